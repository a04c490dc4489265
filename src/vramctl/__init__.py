"""vramctl: where every byte of a language model goes on a GPU, with the witness for each number."""

__version__ = "0.1.0"

"""Invented vocabularies: as many tokens as the real model has, none of its text.

llama.cpp's loader wants every token once, parts of a merge before the merge, byte tokens for what no piece covers, and
a pre-tokeniser it knows (src/llama-vocab.cpp, `llama_vocab::impl::load`, llama.cpp 0c1e57098).  Text survives
tokenising and detokenising; how many tokens it takes is not the real model's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from vramctl.formats.gguf_write import Entry

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # llama_token_type
_WORD = "\u2581"  # SentencePiece's mark of a word's start


def vocabulary(kind: str, pre: str, count: int) -> list[Entry]:
    """The `tokenizer.ggml.*` metadata of `count` invented tokens; `kind` is bpe, spm or wpm."""
    makers = {"bpe": _bpe, "spm": _spm, "wpm": _wpm}
    return makers[kind](pre, count)


def pieces(lead: str) -> Iterator[tuple[str, str]]:
    """Endless pieces as (left, right), both made before (or single letters): two letters, then three, then four, ...

    Every one comes plain and with the mark `lead` of a word's start.
    """
    yield from ((lead, letter) for letter in _LETTERS)
    shorter = [*_LETTERS, *(lead + letter for letter in _LETTERS)]
    while True:
        longer = [(left, letter) for left in shorter for letter in _LETTERS]
        yield from longer
        shorter = [left + letter for left, letter in longer]


def _bpe(pre: str, count: int) -> list[Entry]:
    special = ("<|begin_of_text|>", "<|end_of_text|>", "<|end_of_turn|>")
    alphabet = _byte_alphabet()
    made = list(islice(pieces(alphabet[ord(" ")]), count - len(alphabet) - len(special)))
    tokens = [*alphabet, *(left + right for left, right in made), *special]
    first = count - len(special)
    types = [_NORMAL] * first + [_CONTROL] * len(special)
    return [
        Entry("tokenizer.ggml.model", "str", "gpt2"),
        Entry("tokenizer.ggml.pre", "str", pre),
        Entry("tokenizer.ggml.tokens", "str", tokens),
        Entry("tokenizer.ggml.token_type", "i32", types),
        Entry("tokenizer.ggml.merges", "str", [f"{left} {right}" for left, right in made]),
        Entry("tokenizer.ggml.bos_token_id", "u32", first),
        Entry("tokenizer.ggml.eos_token_id", "u32", first + 1),
        Entry("tokenizer.ggml.eot_token_id", "u32", first + 2),
    ]


def _byte_alphabet() -> list[str]:
    """GPT-2's character for each of the 256 bytes: printable ones stand for themselves, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _spm(pre: str, count: int) -> list[Entry]:
    del pre  # SentencePiece has none
    head = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), _WORD, *_LETTERS]
    made = [left + right for left, right in islice(pieces(_WORD), count - len(head))]
    types = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * (count - 259)]
    return [
        Entry("tokenizer.ggml.model", "str", "llama"),
        Entry("tokenizer.ggml.pre", "str", "default"),
        Entry("tokenizer.ggml.tokens", "str", head + made),
        Entry("tokenizer.ggml.scores", "f32", [0.0] * 259 + [-float(rank) for rank in range(count - 259)]),
        Entry("tokenizer.ggml.token_type", "i32", types),
        Entry("tokenizer.ggml.bos_token_id", "u32", 1),
        Entry("tokenizer.ggml.eos_token_id", "u32", 2),
        Entry("tokenizer.ggml.unknown_token_id", "u32", 0),
    ]


def _wpm(pre: str, count: int) -> list[Entry]:
    del pre  # WordPiece has none
    head = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    marks = [chr(code) for code in range(0x21, 0x7F)]
    single = [*(_WORD + mark for mark in marks), *marks]
    words = (left + right for left, right in pieces(_WORD) if len(left) + len(right) > 2 or left != _WORD)
    made = list(islice(words, count - len(head) - len(single)))
    types = [_CONTROL] * len(head) + [_NORMAL] * (count - len(head))
    return [
        Entry("tokenizer.ggml.model", "str", "bert"),
        Entry("tokenizer.ggml.pre", "str", "default"),
        Entry("tokenizer.ggml.tokens", "str", head + single + made),
        Entry("tokenizer.ggml.token_type", "i32", types),
        Entry("tokenizer.ggml.bos_token_id", "u32", 101),
        Entry("tokenizer.ggml.unknown_token_id", "u32", 100),
        Entry("tokenizer.ggml.seperator_token_id", "u32", 102),
        Entry("tokenizer.ggml.padding_token_id", "u32", 0),
        Entry("tokenizer.ggml.mask_token_id", "u32", 103),
    ]

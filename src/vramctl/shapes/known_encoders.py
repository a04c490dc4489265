"""Embedding models. `max_position_embeddings` is what the file holds: XLM-RoBERTa's two unused rows are cut off."""

from __future__ import annotations

from vramctl.shapes.encoder import bert, nomic_bert
from vramctl.shapes.layout import ConfigValues
from vramctl.shapes.shape import Shape

_UNCASED: ConfigValues = {
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
}

ENCODERS = (
    Shape("all-minilm-l6-v2", "all-MiniLM-L6-v2", "embedding", "sentence-transformers/all-MiniLM-L6-v2", bert, {
        **_UNCASED, "num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12,
        "pooling": "mean",
    }, tokenizer="wpm"),
    Shape("bge-large-en-v1.5", "bge large en v1.5", "embedding", "BAAI/bge-large-en-v1.5", bert, {
        **_UNCASED, "num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
        "pooling": "cls",
    }, tokenizer="wpm"),
    Shape("bge-m3", "bge m3", "embedding", "BAAI/bge-m3", bert, {
        "num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
        "vocab_size": 250002, "max_position_embeddings": 8192, "layer_norm_eps": 1e-5, "type_vocab_size": 1,
        "pooling": "cls",
    }, tokenizer="wpm"),
    Shape("nomic-embed-text-v1.5", "nomic embed text v1.5", "embedding", "nomic-ai/nomic-embed-text-v1.5", nomic_bert, {
        "num_hidden_layers": 12, "n_embd": 768, "n_inner": 3072, "n_head": 12, "vocab_size": 30528,
        "max_trained_positions": 2048, "layer_norm_epsilon": 1e-12, "rotary_emb_base": 1000.0, "type_vocab_size": 2,
        "pooling": "mean",
    }, tokenizer="wpm", parameters=136_731_648),
)  # fmt: skip

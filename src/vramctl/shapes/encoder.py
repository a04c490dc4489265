"""Tensor tables of embedding models: encoders without a cache or an output matrix.

Each function names the converter class (conversion/) and the loader (src/models/) that it follows, as of llama.cpp
0c1e57098.
"""

from __future__ import annotations

from vramctl.formats.gguf_write import Entry
from vramctl.shapes.layout import Config, Layout, blocks, common

_POOLING = {"mean": 1, "cls": 2}


def bert(config: Config) -> Layout:
    """BERT and XLM-RoBERTa encoders (BertModel, XLMRobertaModel; bert.cpp)."""
    layout = Layout("bert")
    common(layout, config)
    _encoder(layout, config, config.hidden, config.integer("max_position_embeddings"))
    width = config.integer("intermediate_size")
    layout.weight("position_embd", config.hidden, config.integer("max_position_embeddings"))
    for _, block in blocks(config):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            layout.linear(f"{block}.{name}", config.hidden, config.hidden, bias=True)
        layout.linear(f"{block}.ffn_up", config.hidden, width, bias=True)
        layout.linear(f"{block}.ffn_down", width, config.hidden, bias=True)
    return layout


def nomic_bert(config: Config) -> Layout:
    """Nomic Embed Text (NomicBertModel; nomic-bert.cpp): rotary positions, fused q/k/v, gated feed-forward."""
    layout = Layout("nomic-bert")
    hidden, width = config.integer("n_embd"), config.integer("n_inner")
    # The converter writes what the model was trained on, not `n_positions`.
    context = config.integer("max_trained_positions")
    layout.put("u32", block_count=config.integer("num_hidden_layers"), context_length=context, embedding_length=hidden,
               feed_forward_length=width, attention__head_count=config.integer("n_head"),
               vocab_size=config.integer("vocab_size"))  # fmt: skip
    layout.put("f32", attention__layer_norm_epsilon=config.number("layer_norm_epsilon"),
               rope__freq_base=config.number("rotary_emb_base"))  # fmt: skip
    _encoder(layout, config, hidden, context)
    for _, block in blocks(config):
        layout.weight(f"{block}.attn_qkv", hidden, 3 * hidden)
        layout.weight(f"{block}.attn_output", hidden, hidden)
        layout.feed_forward(block, hidden, width)
    return layout


def _encoder(layout: Layout, config: Config, hidden: int, context: int) -> None:
    """Add what both have: metadata, embeddings with their norm, and the two norms after each block's halves."""
    kinds = config.integer("type_vocab_size")
    layout.put("u32", context_length=context, pooling_type=_POOLING[config.text("pooling")])
    layout.put("bool", attention__causal=False)
    layout.entries.append(Entry("tokenizer.ggml.token_type_count", "u32", kinds))
    layout.weight("token_embd", hidden, config.integer("vocab_size"))
    layout.weight("token_types", hidden, kinds)
    layout.weight("token_embd_norm", hidden)
    layout.bias("token_embd_norm", hidden)
    for _, block in blocks(config):
        for name in ("attn_output_norm", "layer_output_norm"):
            layout.weight(f"{block}.{name}", hidden)
            layout.bias(f"{block}.{name}", hidden)

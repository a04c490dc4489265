"""Tensor tables of models whose layers partly look through a sliding window.

Each function names the converter class (conversion/) and the loader (src/models/) that it follows, as of llama.cpp
0c1e57098.
"""

from __future__ import annotations

from vramctl.shapes.layout import Config, Layout, blocks, common


def gemma2(config: Config) -> Layout:
    """Gemma 2 (Gemma2Model; gemma2.cpp): every other layer is windowed, embeddings are tied."""
    layout = Layout("gemma2")
    common(layout, config)
    layout.put("f32", attn_logit_softcapping=config.number("attn_logit_softcapping"),
               final_logit_softcapping=config.number("final_logit_softcapping"))  # fmt: skip
    layout.put("u32", attention__sliding_window=config.integer("sliding_window"))
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        layout.attention(block, config)
        layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
    return layout


def gemma3(config: Config) -> Layout:
    """Gemma 3 (Gemma3Model; gemma3.cpp): five of six layers are windowed, embeddings are tied, q and k normed."""
    layout = Layout("gemma3")
    common(layout, config)
    layout.put("u32", attention__sliding_window=config.integer("sliding_window"))
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        layout.attention(block, config, qk_norm=True)
        layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
    return layout


def cohere2(config: Config) -> Layout:
    """Command R7B (Cohere2Model; cohere2.cpp): three of four layers are windowed, one norm a layer, tied."""
    layout = Layout("cohere2")
    common(layout, config)
    layout.put("u32", attention__sliding_window=config.integer("sliding_window"),
               rope__dimension_count=config.head_dim)  # fmt: skip
    layout.put("f32", logit_scale=config.number("logit_scale"))
    layout.put("str", rope__scaling__type="none")
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm")
        layout.attention(block, config)
        layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
    return layout


def gpt_oss(config: Config) -> Layout:
    """gpt-oss (GptOssModel; openai-moe.cpp): every other layer is windowed, sinks, experts released as MXFP4."""
    layout = Layout("gpt-oss")
    common(layout, config)
    width, count = config.integer("intermediate_size"), config.integer("num_local_experts")
    layout.put("u32", attention__sliding_window=config.integer("sliding_window"), expert_feed_forward_length=width)
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "post_attention_norm")
        layout.attention(block, config, bias=True)
        layout.bias(f"{block}.attn_output", config.hidden)
        layout.weight(f"{block}.attn_sinks", config.integer("num_attention_heads"))
        layout.experts(block, config.hidden, width, count)
        layout.bias(f"{block}.ffn_gate_inp", count)
        layout.bias(f"{block}.ffn_gate_exps", width, count)
        layout.bias(f"{block}.ffn_up_exps", width, count)
        layout.bias(f"{block}.ffn_down_exps", config.hidden, count)
    return layout


def gemma4(config: Config) -> Layout:
    """Gemma 4 (Gemma4Model; gemma4.cpp): wider heads in full attention; some have per-layer embeddings or experts."""
    layout = Layout("gemma4")
    common(layout, config)
    windowed = [(il + 1) % config.integer("full_attention_interval") != 0 for il in config.blocks]
    full, slim = config.integer("global_head_dim"), config.head_dim
    kv_slim = config.integer("num_key_value_heads")
    kv_full = config.integer("num_global_key_value_heads", kv_slim)
    per_layer = config.integer("hidden_size_per_layer_input")
    shared = config.integer("num_kv_shared_layers")
    widths = _gemma4_widths(config, shared)
    layout.put("bool", attention__sliding_window_pattern=tuple(windowed))
    layout.put("u32", attention__sliding_window=config.integer("sliding_window"), attention__shared_kv_layers=shared,
               embedding_length_per_layer_input=per_layer, attention__key_length=full, attention__value_length=full,
               attention__key_length_swa=slim, attention__value_length_swa=slim, rope__dimension_count=full,
               rope__dimension_count_swa=slim)  # fmt: skip
    layout.put("f32", final_logit_softcapping=config.number("final_logit_softcapping"))
    if len(set(widths)) > 1:
        layout.put("i32", feed_forward_length=widths)
    if "num_global_key_value_heads" in config:
        layout.put("i32", attention__head_count_kv=tuple(kv_slim if slides else kv_full for slides in windowed))
    if "num_experts" in config:
        layout.put("u32", expert_feed_forward_length=config.integer("moe_intermediate_size"))
    layout.embeddings(config)
    layout.weight("rope_freqs", full // 2)
    if per_layer:
        layers = len(config.blocks)
        layout.weight("per_layer_token_embd", per_layer * layers, config.integer("vocab_size"))
        layout.weight("per_layer_model_proj", config.hidden, per_layer * layers)
        layout.weight("per_layer_proj_norm", per_layer)
    for il, block in blocks(config):
        head, kv_heads = (slim, kv_slim) if windowed[il] else (full, kv_full)
        _gemma4_attention(
            layout, block, config, (head, kv_heads), values=windowed[il] or not config.flag("attention_k_eq_v")
        )
        layout.feed_forward(block, config.hidden, widths[il])
        if "num_experts" in config:
            _gemma4_experts(layout, block, config)
        if per_layer:
            layout.weight(f"{block}.inp_gate", config.hidden, per_layer)
            layout.weight(f"{block}.proj", per_layer, config.hidden)
            layout.norms(block, config.hidden, "post_norm")
    return layout


def _gemma4_widths(config: Config, shared: int) -> tuple[int, ...]:
    """Feed-forward widths: doubled, in some models, in the layers that share another layer's cache."""
    width, first = config.integer("intermediate_size"), len(config.blocks) - shared
    double = config.flag("use_double_wide_mlp")
    return tuple(2 * width if double and il >= first else width for il in config.blocks)


def _gemma4_attention(layout: Layout, block: str, config: Config, sizes: tuple[int, int], *, values: bool) -> None:
    head, kv_heads = sizes
    queries = head * config.integer("num_attention_heads")
    layout.norms(block, config.hidden, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    layout.norms(block, head, "attn_q_norm", "attn_k_norm")
    layout.norms(block, 1, "layer_output_scale")
    layout.weight(f"{block}.attn_q", config.hidden, queries)
    layout.weight(f"{block}.attn_k", config.hidden, head * kv_heads)
    if values:
        layout.weight(f"{block}.attn_v", config.hidden, head * kv_heads)
    layout.weight(f"{block}.attn_output", queries, config.hidden)


def _gemma4_experts(layout: Layout, block: str, config: Config) -> None:
    count, width = config.integer("num_experts"), config.integer("moe_intermediate_size")
    layout.norms(block, config.hidden, "pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2")
    layout.weight(f"{block}.ffn_gate_inp", config.hidden, count)
    layout.plain(f"{block}.ffn_gate_inp.scale", config.hidden)
    layout.weight(f"{block}.ffn_gate_up_exps", config.hidden, 2 * width, count)
    layout.weight(f"{block}.ffn_down_exps", width, config.hidden, count)
    layout.plain(f"{block}.ffn_down_exps.scale", count)

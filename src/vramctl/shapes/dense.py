"""Tensor tables of dense and mixture-of-experts transformers with ordinary attention.

Each function names the converter class (conversion/) and the loader (src/models/) that it follows, as of llama.cpp
0c1e57098.
"""

from __future__ import annotations

from vramctl.shapes.layout import Config, Layout, blocks, common


def llama(config: Config) -> Layout:
    """Llama, Mistral and Mixtral (LlamaModel; llama.cpp)."""
    layout = Layout("llama")
    common(layout, config)
    layout.put("u32", rope__dimension_count=config.head_dim)
    layout.embeddings(config)
    if config.part("rope_scaling").text("rope_type") == "llama3":
        layout.weight("rope_freqs", config.head_dim // 2)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        layout.attention(block, config)
        _mixtral_or_dense(layout, block, config)
    return layout


def _mixtral_or_dense(layout: Layout, block: str, config: Config) -> None:
    width = config.integer("intermediate_size")
    if "num_local_experts" in config:
        layout.experts(block, config.hidden, width, config.integer("num_local_experts"))
    else:
        layout.feed_forward(block, config.hidden, width)


def qwen2(config: Config) -> Layout:
    """Qwen2 and Qwen2.5 (Qwen2Model; qwen2.cpp): q, k and v have biases."""
    layout = Layout("qwen2")
    common(layout, config)
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        layout.attention(block, config, bias=True)
        layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
    return layout


def qwen3(config: Config) -> Layout:
    """Qwen3 (Qwen3Model; qwen3.cpp): q and k are normed."""
    layout = Layout("qwen3")
    common(layout, config)
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        layout.attention(block, config, qk_norm=True)
        layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
    return layout


def qwen3moe(config: Config) -> Layout:
    """Qwen3 with experts (Qwen3MoeModel; qwen3moe.cpp)."""
    layout = Layout("qwen3moe")
    common(layout, config)
    width = config.integer("moe_intermediate_size")
    layout.put("u32", expert_feed_forward_length=width)
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        layout.attention(block, config, qk_norm=True)
        layout.experts(block, config.hidden, width, config.integer("num_experts"))
    return layout


def phi3(config: Config) -> Layout:
    """Phi-3 and Phi-4 (Phi3MiniModel; phi3.cpp): fused q/k/v and gate/up, rope factors for extended contexts."""
    layout = Layout("phi3")
    common(layout, config)
    original = config.integer("original_max_position_embeddings", config.integer("max_position_embeddings"))
    rotated = int(config.number("partial_rotary_factor", 1.0) * config.head_dim)
    layout.put("u32", rope__dimension_count=rotated, rope__scaling__original_context_length=original)
    # The converter writes 0 where the configuration has none.
    layout.put("u32", attention__sliding_window=config.integer("sliding_window", 0))
    layout.embeddings(config)
    if config.part("rope_scaling").text("rope_type") == "longrope":
        layout.weight("rope_factors_long", rotated // 2)
        layout.weight("rope_factors_short", rotated // 2)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        layout.weight(f"{block}.attn_qkv", config.hidden, config.q_width + 2 * config.kv_width)
        layout.weight(f"{block}.attn_output", config.q_width, config.hidden)
        layout.weight(f"{block}.ffn_up", config.hidden, 2 * config.integer("intermediate_size"))
        layout.weight(f"{block}.ffn_down", config.integer("intermediate_size"), config.hidden)
    return layout


def llama4(config: Config) -> Layout:
    """Llama 4 (Llama4Model; llama4.cpp): a routed and a shared expert, three of four layers attend in chunks."""
    layout = Layout("llama4")
    common(layout, config)
    width, step = config.integer("intermediate_size"), config.integer("interleave_moe_layer_step")
    layout.put("u32", feed_forward_length=config.integer("intermediate_size_mlp"), expert_feed_forward_length=width,
               interleave_moe_layer_step=step, rope__dimension_count=config.head_dim)  # fmt: skip
    layout.embeddings(config)
    layout.weight("rope_freqs", config.head_dim // 2)
    for il, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        layout.attention(block, config)
        if (il + 1) % step:
            layout.feed_forward(block, config.hidden, config.integer("intermediate_size_mlp"))
            continue
        layout.experts(block, config.hidden, width, config.integer("num_local_experts"))
        layout.feed_forward(block, config.hidden, width, "_shexp")
    return layout


def glm4moe(config: Config) -> Layout:
    """GLM 4.5 (Glm4MoeModel; glm4-moe.cpp), with its multi-token-prediction block as the last layer."""
    layout = Layout("glm4moe")
    common(layout, config)
    width, shared = config.integer("moe_intermediate_size"), config.integer("n_shared_experts")
    trunk, ahead = config.integer("num_hidden_layers"), config.integer("num_nextn_predict_layers")
    rotated = int(config.head_dim * config.number("partial_rotary_factor"))
    layout.put("u32", block_count=trunk + ahead, nextn_predict_layers=ahead, expert_feed_forward_length=width,
               expert_shared_count=shared, leading_dense_block_count=config.integer("first_k_dense_replace"),
               expert_gating_func=2, rope__dimension_count=rotated)  # fmt: skip
    layout.put("f32", expert_weights_scale=config.number("routed_scaling_factor"))
    layout.put("bool", expert_weights_norm=config.flag("norm_topk_prob"))
    layout.embeddings(config)
    for il in range(trunk + ahead):
        block = f"blk.{il}"
        layout.norms(block, config.hidden, "attn_norm", "post_attention_norm")
        layout.attention(block, config, bias=True)
        if il < config.integer("first_k_dense_replace"):
            layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
        else:
            layout.experts(block, config.hidden, width, config.integer("n_routed_experts"))
            layout.bias(f"{block}.exp_probs_b", config.integer("n_routed_experts"))
            layout.feed_forward(block, config.hidden, width * shared, "_shexp")
        if il >= trunk:
            _predictor(layout, block, config)
    return layout


def _predictor(layout: Layout, block: str, config: Config) -> None:
    """The multi-token-prediction block's own matrices."""
    vocabulary = config.integer("vocab_size")
    layout.weight(f"{block}.nextn.eh_proj", 2 * config.hidden, config.hidden)
    layout.norms(f"{block}.nextn", config.hidden, "enorm", "hnorm", "shared_head_norm")
    layout.weight(f"{block}.nextn.embed_tokens", config.hidden, vocabulary)
    layout.weight(f"{block}.nextn.shared_head_head", config.hidden, vocabulary)

"""Tensor tables of models with latent attention (MLA): one compressed key per token instead of K and V per head."""

from __future__ import annotations

from vramctl.shapes.layout import Config, Layout, blocks, common


def deepseek2(config: Config) -> Layout:
    """DeepSeek V2 and V3, Kimi K2, GLM 4.7 Flash (DeepseekV2Model, Glm4MoeLiteModel; deepseek2.cpp; 0c1e57098)."""
    layout = Layout("deepseek2")
    common(layout, config)
    latent, rope = config.integer("kv_lora_rank"), config.integer("qk_rope_head_dim")
    nope, value = config.integer("qk_nope_head_dim"), config.integer("v_head_dim")
    width, shared = config.integer("moe_intermediate_size"), config.integer("n_shared_experts")
    if "q_lora_rank" in config:
        layout.put("u32", attention__q_lora_rank=config.integer("q_lora_rank"))
    layout.put("u32", attention__head_count_kv=1, attention__kv_lora_rank=latent, attention__key_length=latent + rope,
               attention__value_length=latent, attention__key_length_mla=nope + rope,
               attention__value_length_mla=value, rope__dimension_count=rope, expert_feed_forward_length=width,
               expert_shared_count=shared,
               leading_dense_block_count=config.integer("first_k_dense_replace"))  # fmt: skip
    layout.put("f32", expert_weights_scale=config.number("routed_scaling_factor"))
    if config.flag("norm_topk_prob"):
        layout.put("bool", expert_weights_norm=True)
    if "mscale_all_dim" in config.part("rope_scaling"):
        scale = 0.1 * config.part("rope_scaling").number("mscale_all_dim")
        layout.put("f32", rope__scaling__yarn_log_multiplier=scale)
    layout.embeddings(config)
    for il, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        _attention(layout, block, config)
        if il < config.integer("first_k_dense_replace"):
            layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
            continue
        layout.experts(block, config.hidden, width, config.integer("n_routed_experts"))
        if config.text("topk_method") == "noaux_tc":
            layout.bias(f"{block}.exp_probs_b", config.integer("n_routed_experts"))
        layout.feed_forward(block, config.hidden, width * shared, "_shexp")
    return layout


def _attention(layout: Layout, block: str, config: Config) -> None:
    heads, latent = config.integer("num_attention_heads"), config.integer("kv_lora_rank")
    rope, nope = config.integer("qk_rope_head_dim"), config.integer("qk_nope_head_dim")
    value = config.integer("v_head_dim")
    if "q_lora_rank" in config:
        q_rank = config.integer("q_lora_rank")
        layout.weight(f"{block}.attn_q_a", config.hidden, q_rank)
        layout.weight(f"{block}.attn_q_a_norm", q_rank)
        layout.weight(f"{block}.attn_q_b", q_rank, heads * (nope + rope))
    else:
        layout.weight(f"{block}.attn_q", config.hidden, heads * (nope + rope))
    layout.weight(f"{block}.attn_kv_a_mqa", config.hidden, latent + rope)
    layout.weight(f"{block}.attn_kv_a_norm", latent)
    layout.weight(f"{block}.attn_k_b", nope, latent, heads)
    layout.weight(f"{block}.attn_v_b", latent, value, heads)
    layout.weight(f"{block}.attn_output", heads * value, config.hidden)

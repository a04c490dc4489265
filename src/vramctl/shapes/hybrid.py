"""Tensor tables of models that mix attention with recurrent layers (state-space, delta net, short convolution).

Each function names the converter class (conversion/) and the loader (src/models/) that it follows, as of llama.cpp
0c1e57098.
"""

from __future__ import annotations

from vramctl.shapes.layout import Config, Layout, blocks, common

_ANY_CONTEXT = 1 << 20  # what the converter writes for models without positions


def qwen35(config: Config) -> Layout:
    """Qwen3.5 dense (Qwen3_5TextModel; qwen35.cpp), without its multi-token-prediction block."""
    return _delta_net(Layout("qwen35"), config)


def qwen35moe(config: Config) -> Layout:
    """Qwen3.5 with experts (Qwen3_5MoeTextModel; qwen35moe.cpp), without its multi-token-prediction block."""
    return _delta_net(Layout("qwen35moe"), config)


def qwen3next(config: Config) -> Layout:
    """Qwen3-Next (Qwen3NextModel; qwen3next.cpp), without its multi-token-prediction block."""
    return _delta_net(Layout("qwen3next"), config)


def _delta_net(layout: Layout, config: Config) -> Layout:
    common(layout, config)
    values = config.integer("linear_num_value_heads")
    interval = config.integer("full_attention_interval")
    layout.put("u32", ssm__conv_kernel=config.integer("linear_conv_kernel_dim"),
               ssm__state_size=config.integer("linear_key_head_dim"),
               ssm__group_count=config.integer("linear_num_key_heads"), ssm__time_step_rank=values,
               ssm__inner_size=values * config.integer("linear_value_head_dim"), full_attention_interval=interval,
               rope__dimension_count=int(config.head_dim * config.number("partial_rotary_factor")))  # fmt: skip
    if layout.architecture != "qwen3next":
        layout.put("i32", rope__dimension_sections=(11, 11, 10, 0))
    if "num_experts" in config:
        layout.put("u32", expert_feed_forward_length=config.integer("moe_intermediate_size"),
                   expert_shared_feed_forward_length=config.integer("shared_expert_intermediate_size"))  # fmt: skip
    layout.embeddings(config)
    for il, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "post_attention_norm")
        if (il + 1) % interval == 0:
            layout.weight(f"{block}.attn_q", config.hidden, 2 * config.q_width)  # with the output's gate
            layout.weight(f"{block}.attn_k", config.hidden, config.kv_width)
            layout.weight(f"{block}.attn_v", config.hidden, config.kv_width)
            layout.weight(f"{block}.attn_output", config.q_width, config.hidden)
            layout.norms(block, config.head_dim, "attn_q_norm", "attn_k_norm")
        else:
            _delta_net_layer(layout, block, config)
        _qwen_feed_forward(layout, block, config)
    return layout


def _delta_net_layer(layout: Layout, block: str, config: Config) -> None:
    values, width = config.integer("linear_num_value_heads"), config.integer("linear_value_head_dim")
    keys = config.integer("linear_num_key_heads") * config.integer("linear_key_head_dim")
    mixed = 2 * keys + values * width
    layout.weight(f"{block}.attn_qkv", config.hidden, mixed)
    layout.weight(f"{block}.attn_gate", config.hidden, values * width)
    layout.weight(f"{block}.ssm_conv1d", config.integer("linear_conv_kernel_dim"), mixed)
    layout.bias(f"{block}.ssm_dt", values)
    layout.plain(f"{block}.ssm_a", values)
    if layout.architecture == "qwen3next":
        layout.weight(f"{block}.ssm_ba", config.hidden, 2 * values)
    else:
        layout.weight(f"{block}.ssm_beta", config.hidden, values)
        layout.weight(f"{block}.ssm_alpha", config.hidden, values)
    layout.weight(f"{block}.ssm_norm", width)
    layout.weight(f"{block}.ssm_out", values * width, config.hidden)


def _qwen_feed_forward(layout: Layout, block: str, config: Config) -> None:
    if "num_experts" not in config:
        layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
        return
    layout.experts(block, config.hidden, config.integer("moe_intermediate_size"), config.integer("num_experts"))
    layout.weight(f"{block}.ffn_gate_inp_shexp", config.hidden)
    layout.feed_forward(block, config.hidden, config.integer("shared_expert_intermediate_size"), "_shexp")


def mamba(config: Config) -> Layout:
    """Mamba (MambaModel; mamba.cpp): no attention at all."""
    layout = Layout("mamba")
    inner, state, rank = 2 * config.hidden, config.integer("state_size"), config.integer("time_step_rank")
    conv = config.integer("conv_kernel")
    layout.put("u32", context_length=_ANY_CONTEXT, embedding_length=config.hidden, feed_forward_length=0,
               attention__head_count=0, block_count=config.integer("num_hidden_layers"), ssm__conv_kernel=conv,
               ssm__inner_size=inner, ssm__state_size=state, ssm__time_step_rank=rank,
               vocab_size=config.integer("vocab_size"))  # fmt: skip
    layout.put("f32", attention__layer_norm_rms_epsilon=config.number("layer_norm_epsilon"))
    layout.put("bool", ssm__dt_b_c_rms=False)
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm")
        _mamba_layer(layout, block, config.hidden, (inner, state, rank, conv))
    return layout


def _mamba_layer(layout: Layout, block: str, hidden: int, sizes: tuple[int, int, int, int]) -> None:
    inner, state, rank, conv = sizes
    layout.weight(f"{block}.ssm_in", hidden, 2 * inner)
    layout.weight(f"{block}.ssm_conv1d", conv, inner)
    layout.bias(f"{block}.ssm_conv1d", inner)
    layout.weight(f"{block}.ssm_x", inner, rank + 2 * state)
    layout.weight(f"{block}.ssm_dt", rank, inner)
    layout.bias(f"{block}.ssm_dt", inner)
    layout.plain(f"{block}.ssm_a", state, inner)
    layout.plain(f"{block}.ssm_d", inner)
    layout.weight(f"{block}.ssm_out", inner, hidden)


def jamba(config: Config) -> Layout:
    """Jamba (JambaModel; jamba.cpp): one layer in eight attends, every other one has experts."""
    layout = Layout("jamba")
    common(layout, config)
    inner = config.integer("mamba_expand") * config.hidden
    state, rank, conv = (config.integer(f"mamba_{name}") for name in ("d_state", "dt_rank", "d_conv"))
    attends = [il % config.integer("attn_layer_period") == config.integer("attn_layer_offset") for il in config.blocks]
    kv_heads = config.integer("num_key_value_heads")
    layout.put("i32", attention__head_count_kv=tuple(kv_heads if yes else 0 for yes in attends))
    layout.put("u32", ssm__conv_kernel=conv, ssm__inner_size=inner, ssm__state_size=state, ssm__time_step_rank=rank)
    layout.embeddings(config)
    for il, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        if attends[il]:
            layout.attention(block, config)
        else:
            _mamba_layer(layout, block, config.hidden, (inner, state, rank, conv))
            layout.norms(block, rank, "ssm_dt_norm")
            layout.norms(block, state, "ssm_b_norm", "ssm_c_norm")
        width = config.integer("intermediate_size")
        if il % config.integer("expert_layer_period") == config.integer("expert_layer_offset"):
            layout.experts(block, config.hidden, width, config.integer("num_experts"))
        else:
            layout.feed_forward(block, config.hidden, width)
    return layout


def lfm2(config: Config) -> Layout:
    """LFM2 (LFM2Model; lfm2.cpp): short convolutions between attention layers."""
    layout = Layout("lfm2")
    common(layout, config)
    attends = [il in config.integers("full_attn_idxs") for il in config.blocks]
    kv_heads = config.integer("num_key_value_heads")
    width = _adjusted_width(config)
    layout.put("i32", attention__head_count_kv=tuple(kv_heads if yes else 0 for yes in attends))
    layout.put("u32", shortconv__l_cache=config.integer("conv_L_cache"), feed_forward_length=width)
    layout.weight("token_embd", config.hidden, config.integer("vocab_size"))
    layout.weight("token_embd_norm", config.hidden)
    for il, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        if attends[il]:
            layout.attention(block, config, qk_norm=True)
        else:
            layout.weight(f"{block}.shortconv.conv", config.integer("conv_L_cache"), config.hidden)
            layout.weight(f"{block}.shortconv.in_proj", config.hidden, 3 * config.hidden)
            layout.weight(f"{block}.shortconv.out_proj", config.hidden, config.hidden)
        layout.feed_forward(block, config.hidden, width)
    return layout


def _adjusted_width(config: Config) -> int:
    """The feed-forward width that LFM2 makes of `block_ff_dim`."""
    multiple = config.integer("block_multiple_of")
    width = int(config.number("block_ffn_dim_multiplier") * int(2 * config.integer("block_ff_dim") / 3))
    return -(-width // multiple) * multiple

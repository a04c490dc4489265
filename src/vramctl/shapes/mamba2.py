"""Tensor tables of hybrids whose recurrent layers are Mamba 2.

Each function names the converter class (conversion/) and the loader (src/models/) that it follows, as of llama.cpp
0c1e57098.
"""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.shapes.layout import Config, Layout, blocks, common


@dataclass(frozen=True, slots=True)
class _Mixer:
    """The sizes of a Mamba 2 layer."""

    inner: int
    state: int
    groups: int
    heads: int
    conv: int
    normed: bool = True


def granite_hybrid(config: Config) -> Layout:
    """Granite 4.0 H (GraniteHybridModel; granite-hybrid.cpp): few attention layers, experts everywhere."""
    layout = Layout("granitehybrid")
    common(layout, config)
    mixer = _Mixer(
        inner=config.integer("mamba_expand") * config.hidden, state=config.integer("mamba_d_state"),
        groups=config.integer("mamba_n_groups"), heads=config.integer("mamba_n_heads"),
        conv=config.integer("mamba_d_conv"),
    )  # fmt: skip
    shared = config.integer("shared_intermediate_size")
    attends = [il in config.integers("attention_layers") for il in config.blocks]
    _ssm(layout, mixer)
    _kv_heads(layout, config, attends)
    layout.put("u32", context_length=1 << 20, expert_shared_feed_forward_length=shared,
               rope__dimension_count=config.head_dim)  # fmt: skip
    layout.put("bool", rope__scaling__finetuned=False)
    layout.put("f32", attention__scale=config.number("attention_multiplier"),
               embedding_scale=config.number("embedding_multiplier"),
               residual_scale=config.number("residual_multiplier"),
               logit_scale=config.number("logits_scaling"))  # fmt: skip
    layout.embeddings(config)
    for il, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm", "ffn_norm")
        if attends[il]:
            layout.attention(block, config)
        else:
            _mixer_layer(layout, block, config.hidden, mixer)
        layout.experts(block, config.hidden, config.integer("intermediate_size"), config.integer("num_local_experts"))
        layout.feed_forward(block, config.hidden, shared, "_shexp")
    return layout


def nemotron_h(config: Config) -> Layout:
    """Nemotron-H and Nemotron Nano (NemotronHModel; nemotron-h.cpp): a layer mixes, attends or feeds forward."""
    pattern = config.text("hybrid_override_pattern")
    layout = Layout("nemotron_h_moe" if "E" in pattern else "nemotron_h")
    common(layout, config)
    mixer = _Mixer(
        inner=config.integer("mamba_num_heads") * config.integer("mamba_head_dim"),
        state=config.integer("ssm_state_size"), groups=config.integer("n_groups"),
        heads=config.integer("mamba_num_heads"), conv=config.integer("conv_kernel"),
    )  # fmt: skip
    _ssm(layout, mixer)
    _kv_heads(layout, config, [kind == "*" for kind in pattern])
    layout.put("u32", context_length=1 << 20,
               rope__dimension_count=config.hidden // config.integer("num_attention_heads"))  # fmt: skip
    layout.put("bool", rope__scaling__finetuned=False)
    eps = config.number("layer_norm_epsilon")
    layout.put("f32", attention__layer_norm_rms_epsilon=eps, attention__layer_norm_epsilon=eps)
    width = config.integer("moe_intermediate_size", config.integer("intermediate_size"))
    layout.put("i32", feed_forward_length=tuple(width if kind in "-E" else 0 for kind in pattern))
    if "E" in pattern:
        layout.put("u32", expert_feed_forward_length=width, expert_shared_count=config.integer("n_shared_experts"),
                   expert_shared_feed_forward_length=config.integer("moe_shared_expert_intermediate_size"))  # fmt: skip
        layout.put("bool", expert_weights_norm=config.flag("norm_topk_prob"))
        layout.put("f32", expert_weights_scale=config.number("routed_scaling_factor"))
    layout.embeddings(config)
    for il, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm")
        if pattern[il] == "M":
            _mixer_layer(layout, block, config.hidden, mixer)
        elif pattern[il] == "*":
            layout.attention(block, config)
        else:
            _ungated(layout, block, config, width, experts=pattern[il] == "E")
    return layout


def _ungated(layout: Layout, block: str, config: Config, width: int, *, experts: bool) -> None:
    """A feed-forward of up and down only, with experts and a shared expert or without."""
    hidden = config.hidden
    if not experts:
        layout.weight(f"{block}.ffn_up", hidden, width)
        layout.weight(f"{block}.ffn_down", width, hidden)
        return
    count, shared = config.integer("n_routed_experts"), config.integer("moe_shared_expert_intermediate_size")
    layout.weight(f"{block}.ffn_gate_inp", hidden, count)
    layout.bias(f"{block}.exp_probs_b", count)
    layout.weight(f"{block}.ffn_up_exps", hidden, width, count)
    layout.weight(f"{block}.ffn_down_exps", width, hidden, count)
    layout.weight(f"{block}.ffn_up_shexp", hidden, shared)
    layout.weight(f"{block}.ffn_down_shexp", shared, hidden)


def falcon_h1(config: Config) -> Layout:
    """Falcon-H1 (FalconH1Model; falcon-h1.cpp): attention and a Mamba 2 mixer side by side in every layer."""
    layout = Layout("falcon-h1")
    common(layout, config)
    mixer = _Mixer(
        inner=config.integer("mamba_d_ssm"), state=config.integer("mamba_d_state"),
        groups=config.integer("mamba_n_groups"), heads=config.integer("mamba_n_heads"),
        conv=config.integer("mamba_d_conv"), normed=config.flag("mamba_rms_norm"),
    )  # fmt: skip
    _ssm(layout, mixer)
    layout.embeddings(config)
    for _, block in blocks(config):
        layout.norms(block, config.hidden, "attn_norm")
        layout.plain(f"{block}.ffn_norm", config.hidden)
        layout.attention(block, config)
        _mixer_layer(layout, block, config.hidden, mixer)
        layout.feed_forward(block, config.hidden, config.integer("intermediate_size"))
    return layout


def _ssm(layout: Layout, mixer: _Mixer) -> None:
    layout.put("u32", ssm__conv_kernel=mixer.conv, ssm__inner_size=mixer.inner, ssm__state_size=mixer.state,
               ssm__group_count=mixer.groups, ssm__time_step_rank=mixer.heads)  # fmt: skip


def _kv_heads(layout: Layout, config: Config, attends: list[bool]) -> None:
    """Set the KV heads per layer: none where the layer does not attend."""
    heads = config.integer("num_key_value_heads")
    layout.put("i32", attention__head_count_kv=tuple(heads if yes else 0 for yes in attends))


def _mixer_layer(layout: Layout, block: str, hidden: int, mixer: _Mixer) -> None:
    mixed = mixer.inner + 2 * mixer.groups * mixer.state
    layout.weight(f"{block}.ssm_in", hidden, mixer.inner + mixed + mixer.heads)
    layout.weight(f"{block}.ssm_conv1d", mixer.conv, mixed)
    layout.bias(f"{block}.ssm_conv1d", mixed)
    layout.bias(f"{block}.ssm_dt", mixer.heads)
    layout.plain(f"{block}.ssm_a", 1, mixer.heads)
    layout.plain(f"{block}.ssm_d", 1, mixer.heads)
    if mixer.normed:
        layout.weight(f"{block}.ssm_norm", mixer.inner // mixer.groups, mixer.groups)
    layout.weight(f"{block}.ssm_out", mixer.inner, hidden)

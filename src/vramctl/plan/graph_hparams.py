"""What llama.cpp reads out of a GGUF header to size caches and build graphs.

Follows src/llama-model.cpp `load_hparams`, src/llama-hparams.cpp and each src/models/<arch>.cpp `load_arch_hparams` of
llama.cpp 0c1e57098 and b11434.
"""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records import Model, Unknown

# Sliding window every layer but each n-th: (n, the n-th comes first). The header's own pattern wins.
_SWA_PERIOD = {
    "afmoe": (4, False), "cohere2": (4, False), "cohere2moe": (4, True), "exaone4": (4, False),
    "exaone-moe": (4, False), "gemma2": (2, False), "gemma3": (6, False), "gemma3n": (5, False),
    "laguna": (4, True), "llama4": (4, False), "mellum": (4, False), "muse-glimmer": (4, False),
    "olmo2": (4, False), "gpt-oss": (2, False), "plamo3": (8, False), "smallthinker": (4, True),
}  # fmt: skip
# These carry the pattern in the header, always.
_SWA_LISTED = frozenset(("gemma4", "granite_swa", "maple", "mimo2", "spark2_5", "step35"))
# Without a window in the header these still have one (`None`: no sliding window without the key).
_SWA_DEFAULT = {"gemma2": 4096, "exaone-moe": 128, "llama4": 8192}
RECURRENT = frozenset(("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"))
HYBRID = frozenset((
    "jamba", "falcon-h1", "plamo2", "granitehybrid", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "qwen3next",
    "kimi-linear", "qwen35", "qwen35moe",
))  # fmt: skip
_DELTA_NET = frozenset(("qwen3next", "qwen35", "qwen35moe"))
# A plain cache of keys and values (with sliding windows or compressed keys where the header says so).
_PLAIN = frozenset((
    "llama", "llama4", "deci", "falcon", "grok", "gpt2", "gptj", "gptneox", "mpt", "baichuan", "starcoder", "refact",
    "bloom", "stablelm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "phi2",
    "phi3", "phimoe", "plamo", "plamo3", "codeshell", "orion", "internlm2", "minicpm", "minicpm3", "gemma", "gemma2",
    "gemma3", "gemma3n", "gemma4", "starcoder2", "maple", "xverse", "command-r", "cohere2", "cohere2moe", "dbrx",
    "olmo", "olmo2", "olmoe", "muse-glimmer", "openelm", "arctic", "deepseek", "deepseek2", "deepseek2-ocr",
    "chatglm", "glm4", "glm4moe", "bitnet", "jais", "jais2", "nemotron", "exaone", "exaone4", "exaone-moe", "granite",
    "granitemoe", "granite_swa", "chameleon", "plm", "bailingmoe", "bailingmoe2", "dots1", "arcee", "afmoe", "laguna",
    "ernie4_5", "ernie4_5-moe", "hunyuan-moe", "hunyuan-dense", "hunyuan_vl", "hy_v3", "smollm3", "gpt-oss",
    "smallthinker", "seed_oss", "grovemoe", "apertus", "minimax-m2", "cogvlm", "pangu-embedded", "mistral3",
    "mistral4", "paddleocr", "mimo2", "step35", "spark2_5", "maincoder", "mellum",
))  # fmt: skip
NO_CACHE = frozenset((
    "bert", "jina-bert-v2", "jina-bert-v3", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert",
    "wavtokenizer-dec", "modern-bert", "gemma-embedding", "dream", "llada", "llada-moe", "rnd1", "t5encoder",
))  # fmt: skip
MAX_LAYERS, MAX_EXPERTS = 512, 1024  # src/llama-hparams.h has LLAMA_MAX_LAYERS and LLAMA_MAX_EXPERTS
KNOWN_CACHE = _PLAIN | RECURRENT | HYBRID | NO_CACHE


@dataclass(frozen=True, slots=True)
class Hparams:
    """Sizes per layer (lists count all blocks, MTP ones last) and for the whole model."""

    arch: str
    layers_all: int
    layers: int
    embd: int
    vocab: int
    heads: tuple[int, ...]
    heads_kv: tuple[int, ...]
    ff: tuple[int, ...]
    head_k: int
    head_v: int
    head_k_swa: int
    head_v_swa: int
    head_k_mla: int
    head_v_mla: int
    lora_kv: int
    rot: int
    swa: tuple[bool, ...]
    window: int
    recurrent: tuple[bool, ...]
    kv_from_start: int
    experts: int
    experts_used: int
    expert_groups: int
    groups_used: int
    gating: int
    norm_weights: bool
    weights_scale: float
    dense_lead: int
    ff_shexp: int
    ssm_conv: int
    ssm_inner: int
    ssm_state: int
    ssm_rank: int
    ssm_groups: int
    shortconv: int
    wkv_head: int
    token_shift: int
    kda_head: int
    soft_cap: bool
    final_soft_cap: bool
    logit_scale: float
    residual_scale: float
    embedding_scale: float
    attn_temp: bool
    rope_finetuned: bool
    rope_sections: bool
    embd_per_layer: int

    @property
    def mla(self) -> bool:
        """Whether the cache holds compressed keys only."""
        return self.head_k_mla > 0 and self.head_v_mla > 0

    def k_width(self, layer: int) -> int:
        """Elements of one token's keys in a layer (n_embd_k_gqa)."""
        return (self.head_k_swa if self.swa[layer] else self.head_k) * self.heads_kv[layer]

    def v_width(self, layer: int) -> int:
        """Elements of one token's values in a layer (n_embd_v_gqa)."""
        return (self.head_v_swa if self.swa[layer] else self.head_v) * self.heads_kv[layer]

    @property
    def v_width_max(self) -> int:
        """The widest layer's values: what every layer gets where V is stored transposed."""
        return max(self.v_width(i) for i in range(self.layers_all))

    @property
    def conv_state(self) -> int:
        """Elements of a recurrent layer's first state per sequence (n_embd_r)."""
        if self.wkv_head:
            return self.token_shift * self.embd
        if self.shortconv:
            return self.embd * (self.shortconv - 1)
        if self.kda_head:
            return 3 * (self.ssm_conv - 1 if self.ssm_conv else 3) * self.heads[0] * self.kda_head
        return max(self.ssm_conv - 1, 0) * (self.ssm_inner + 2 * self.ssm_groups * self.ssm_state)

    @property
    def scan_state(self) -> int:
        """Elements of a recurrent layer's second state per sequence (n_embd_s)."""
        if self.wkv_head:
            return self.embd * self.wkv_head
        if self.kda_head:
            return self.kda_head**2 * self.heads[0]
        return self.ssm_state * self.ssm_inner

    @property
    def attends(self) -> tuple[bool, ...]:
        """Which blocks own keys and values."""
        if self.arch in RECURRENT or self.arch in NO_CACHE:
            return (False,) * self.layers_all
        every = [i < self.layers for i in range(self.layers_all)]
        if self.arch == "falcon-h1":
            return tuple(every)
        if self.arch in ("nemotron_h", "nemotron_h_moe"):
            return tuple(e and not self.recurrent[i] and self.ff[i] == 0 for i, e in enumerate(every))
        if self.arch in HYBRID:
            return tuple(e and not self.recurrent[i] for i, e in enumerate(every))
        return tuple(e and (self.kv_from_start < 0 or i < self.kv_from_start) for i, e in enumerate(every))


class _Header:
    """Typed look-ups of `<architecture>.<key>`."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def whole(self, key: str, default: int = 0) -> int:
        value = self.model.meta(key)
        return int(value) if isinstance(value, int) else default

    def real(self, key: str, default: float = 0.0) -> float:
        value = self.model.meta(key)
        return float(value) if isinstance(value, int | float) else default

    def per_layer(self, key: str, count: int, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.model.meta(key)
        if isinstance(value, tuple):
            listed = [int(v) for v in value if isinstance(v, int)]
            return tuple((listed + [0] * count)[:count])
        if isinstance(value, int):
            return (int(value),) * count
        return default


def _windows(head: _Header, arch: str, layers: int, total: int) -> tuple[int, tuple[bool, ...]]:
    window = head.whole("attention.sliding_window", _SWA_DEFAULT.get(arch, 0))
    none = (False,) * total
    if arch == "lfm2" and window:
        kv = head.per_layer("attention.head_count_kv", total, (0,) * total)
        return window, tuple(i < layers and n > 0 for i, n in enumerate(kv))
    if arch == "llama4" and head.model.meta("attention.sliding_window") != 0:
        window = 8192
    if arch == "exaone4":
        window = head.whole("attention.sliding_window", 4096) if layers == 64 else 0
    if not window or (arch not in _SWA_LISTED and arch not in _SWA_PERIOD):
        return 0, none
    pattern = head.model.meta("attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        return window, tuple((*(bool(p) for p in pattern), *none)[:total])
    period, first = _SWA_PERIOD.get(arch, (1, False))
    if isinstance(pattern, int):
        period = int(pattern)
    marked = [period == 0 or (i % period != 0 if first else i % period < period - 1) for i in range(total)]
    return window, tuple(m and i < layers for i, m in enumerate(marked))


def _recurrent(
    head: _Header, arch: str, layers: int, heads_kv: tuple[int, ...], ff: tuple[int, ...]
) -> tuple[bool, ...]:
    total = len(heads_kv)
    if arch in RECURRENT or arch == "falcon-h1":
        return (True,) * total
    if arch in _DELTA_NET:
        listed = head.model.meta("attention.recurrent_layers")
        if isinstance(listed, tuple):
            return tuple(bool(x) for x in listed)
        interval = head.whole("full_attention_interval", 4)
        return tuple(i < layers and (i + 1) % interval != 0 for i in range(total))
    if arch in ("nemotron_h", "nemotron_h_moe"):
        return tuple(i < layers and heads_kv[i] == 0 and ff[i] == 0 for i in range(total))
    if arch in HYBRID:
        return tuple(i < layers and heads_kv[i] == 0 for i in range(total))
    return (False,) * total


def _vocabulary(model: Model) -> int:
    for tensor in model.tensors:
        if tensor.name in ("token_embd.weight", "output.weight") and len(tensor.shape) == 2:
            return tensor.shape[1]
    return 0


def hparams(model: Model) -> Hparams | Unknown:
    """The model's sizes, or Unknown with the key that is missing."""
    head, arch = _Header(model), model.architecture
    total, embd = model.layers, head.whole("embedding_length")
    if total <= 0 or embd <= 0:
        return Unknown(f"the header has no {arch}.block_count or no {arch}.embedding_length")
    if head.whole("expert_count") > MAX_EXPERTS or min(head.per_layer("expert_used_count", total, (0,))) < 0:
        return Unknown(f"llama.cpp takes at most {MAX_EXPERTS} experts")
    if arch in _DELTA_NET and head.whole("full_attention_interval", 4) <= 0:
        return Unknown(f"{arch}.full_attention_interval is {head.whole('full_attention_interval')}")
    layers = total - head.whole("nextn_predict_layers")
    zeros = (0,) * total
    heads = head.per_layer("attention.head_count", total, zeros)
    heads_kv = head.per_layer("attention.head_count_kv", total, heads)
    ff = head.per_layer("feed_forward_length", total, zeros)
    size = embd // heads[0] if heads[0] else 0
    head_k = head.whole("attention.key_length", size) if heads[0] else 0
    head_v = head.whole("attention.value_length", size) if heads[0] else 0
    window, swa = _windows(head, arch, layers, total)
    shared = head.whole("attention.shared_kv_layers")
    from_start = 20 if arch == "gemma3n" else total - shared if arch == "gemma4" else -1
    finetuned = model.meta("rope.scaling.finetuned")
    sections = model.meta("rope.dimension_sections")
    return Hparams(
        arch=arch, layers_all=total, layers=layers, embd=embd, vocab=_vocabulary(model),
        heads=heads, heads_kv=heads_kv, ff=ff, head_k=head_k, head_v=head_v,
        head_k_swa=head.whole("attention.key_length_swa", head_k),
        head_v_swa=head.whole("attention.value_length_swa", head_v),
        head_k_mla=head.whole("attention.key_length_mla"), head_v_mla=head.whole("attention.value_length_mla"),
        lora_kv=head.whole("attention.kv_lora_rank"), rot=head.whole("rope.dimension_count", head_k),
        swa=swa, window=window, recurrent=_recurrent(head, arch, layers, heads_kv, ff), kv_from_start=from_start,
        experts=head.whole("expert_count"),
        experts_used=max(head.per_layer("expert_used_count", total, zeros)),
        expert_groups=head.whole("expert_group_count"), groups_used=head.whole("expert_group_used_count"),
        gating=head.whole("expert_gating_func"), norm_weights=bool(head.whole("expert_weights_norm")),
        weights_scale=head.real("expert_weights_scale"), dense_lead=head.whole("leading_dense_block_count"),
        ff_shexp=head.whole("expert_shared_feed_forward_length"),
        ssm_conv=head.whole("ssm.conv_kernel"), ssm_inner=head.whole("ssm.inner_size"),
        ssm_state=head.whole("ssm.state_size"), ssm_rank=head.whole("ssm.time_step_rank"),
        ssm_groups=head.whole("ssm.group_count"), shortconv=head.whole("shortconv.l_cache"),
        wkv_head=head.whole("wkv.head_size"),
        token_shift=head.whole("token_shift_count", 2),
        kda_head=head.whole("kda.head_dim"),
        soft_cap=arch == "gemma2" or bool(head.real("attn_logit_softcapping")),
        final_soft_cap=arch == "gemma2" or bool(head.real("final_logit_softcapping")),
        logit_scale=head.real("logit_scale"), residual_scale=head.real("residual_scale"),
        embedding_scale=head.real("embedding_scale"), attn_temp=bool(head.real("attention.temperature_scale")),
        rope_finetuned=True if finetuned is None else bool(finetuned),
        rope_sections=isinstance(sections, tuple) and len(sections) > 1 and bool(sections[0]) and bool(sections[1]),
        embd_per_layer=head.whole("embedding_length_per_layer_input"),
    )  # fmt: skip

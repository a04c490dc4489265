"""Where ExLlamaV2 and ExLlamaV3 (and TabbyAPI, which uses them) put an EXL2, EXL3, GPTQ or FP16 folder.

The engines cannot be asked without loading; this is their arithmetic, read from exllamav2 0.3.2 (`exllama_v2.py`) and
exllamav3 1.6.5 (`exllama_v3.py`).  Cache bytes equal what both allocated on an H200, for every cache type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vramctl.errors import BadInput
from vramctl.plan import exllama_v2 as v2
from vramctl.plan import exllama_v3 as v3
from vramctl.plan.exllama_parts import (
    CONTEXT_BYTES,
    PAGE_TOKENS,
    Config,
    Filled,
    Groups,
    Held,
    Part,
    Shared,
    group_tensors,
    largest_cache,
    numel,
    read_config,
)
from vramctl.records import Device, DeviceUse, HostUse, Model, Placement, Settings, Unknown
from vramctl.units import GIB, MIB, format_bytes, pad

OVERHEAD_SOURCE = "CUDA context of a torch process, measured on an H200 (torch 2.11.0+cu130): 618 MiB"
_FORMATS = {2: ("exl2", "gptq", "safetensors"), 3: ("exl3", "safetensors")}
_NO_MASK = (
    "without flash-attn 2.5.7 or newer, ExLlamaV2 0.2.9 to 0.3.2 attends without a causal mask while it reads the "
    "prompt: wrong text, no error; EXLLAMA_NO_SDPA=1 gives the right mask, slower and with more memory"
)
_NOT_PAGED = "without flash-attn 2.5.7 or newer the dynamic generator starts only with paged=False (batch 1)"


@dataclass(frozen=True, slots=True)
class ExllamaPlan:
    """What a load takes and where it sits.

    `placement.kv_bytes` holds the cache and ExLlamaV2's staging, as its own `footprint()` counts; `compute_bytes` is
    scratch space and RoPE tables (exact) plus `transient_bytes`, the largest forward pass of one chunk (an estimate);
    the overhead is the CUDA context and, in ExLlamaV3, what 128 MiB slabs leave unused (at most).
    `layers_per_device` names the layers whose attention and cache are on each GPU. `reserve_bytes` is what to pass as
    reserve_vram (v2) or reserve_per_device (v3, in GiB there) so that the engine stays within the budgets.
    `max_tokens` is the longest cache, a multiple of 256, with which everything still fits.
    """

    placement: Placement
    layers_per_device: tuple[tuple[int, ...], ...]
    cache_tokens: int
    transient_bytes: tuple[int, ...]
    reserve_bytes: tuple[int, ...]
    max_tokens: int
    fits: bool
    because: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything that a placement for any number of tokens follows from.

    `limits` are the bytes that loading may reach on each GPU, `ceilings` those that running may.
    """

    parts: list[Part]
    limits: tuple[int, ...]
    ceilings: tuple[int, ...]
    shared: Shared
    fill: Callable[[int], Filled]
    refusal: str


def plan_exllama(
    model: Model, settings: Settings, devices: tuple[Device, ...], budgets: tuple[int, ...], *, version: int
) -> ExllamaPlan | Unknown:
    """The placement of `model` in ExLlamaV2 (`version` 2) or ExLlamaV3 (3); Unknown where the folder is not understood.

    `n_ctx` is the cache's max_seq_len (v2) or max_num_tokens (v3), `n_batch` the chunk (2048), `tensor_split` a manual
    split in GiB per GPU (gpu_split, use_per_device), `type_k` the cache: fp16, fp8, q8, q6, q4 (v2), fp16 or bits
    such as 8,4 (v3); `flash_attn` on says that flash-attn 2 is installed (v2). `budgets` are bytes per device.
    """
    if model.kind not in _FORMATS[version]:
        raise BadInput(
            "exllama-format",
            f"ExLlamaV{version} does not load {model.kind.upper()} models.",
            because=(
                f"ExLlamaV{version} loads {', '.join(_FORMATS[version]).replace('safetensors', 'FP16 safetensors')}",
            ),
            fix="Use --engine exllamav3 for EXL3, --engine exllamav2 for EXL2 and GPTQ, llama.cpp for GGUF.",
        )
    config = read_config(model)
    if isinstance(config, Unknown):
        return config
    groups = group_tensors(model, config)
    if isinstance(groups, Unknown):
        return groups
    if not groups.head and not (config.tied or version == 3 or v2.uses_embedding_as_head(config, groups)):
        return Unknown("the folder has no lm_head tensors and config.json does not tie it to the embedding")
    if not devices:
        return Unknown("ExLlama needs a GPU and none was given")
    tokens = settings.n_ctx or config.max_tokens
    make = _job_v2 if version == 2 else _job_v3
    job = make(config, groups, settings, devices, budgets)
    # a cache shorter than a chunk shortens the chunk: the longest cache is looked for with a whole one
    longest = make(config, groups, replace(settings, n_ctx=max(tokens, v2.MAX_INPUT_LEN)), devices, budgets)
    if isinstance(job, Unknown):
        return job
    if isinstance(longest, Unknown):
        return longest
    most = largest_cache(lambda n: _works(longest, n))
    if most < v2.MAX_INPUT_LEN:  # not even one whole chunk: shorter caches have shorter chunks

        def fits(count: int) -> bool:
            short = make(config, groups, replace(settings, n_ctx=count), devices, budgets)
            return not isinstance(short, Unknown) and _works(short, count)

        most = max(most, largest_cache(fits, v2.MAX_INPUT_LEN))
    return _plan(job, config, groups, settings, devices, tokens, version, most)


def _job_v2(
    config: Config, groups: Groups, settings: Settings, devices: tuple[Device, ...], budgets: tuple[int, ...]
) -> _Job | Unknown:
    """The load in ExLlamaV2: autosplit with its reserve, or the manual split."""
    cache = _cache_name_v2(settings.type_k, settings.type_v)
    rows = min(settings.n_batch or v2.MAX_INPUT_LEN, settings.n_ctx or config.max_tokens)
    flash, tabby = settings.flash_attn != "off", settings.program == "tabbyapi"
    parts = v2.parts_v2(config, groups, rows=rows, flash_attn=flash, cache=cache, last_row_only=tabby)
    first, rest = (96 * MIB, 0) if tabby else (192 * MIB, 64 * MIB)
    free = tuple(device.free_bytes for device in devices)
    shared = Shared(
        v2.staging_bytes_per_token(config, cache),
        v2.rope_bytes_per_token(config),
        max((part.scratch_bytes for part in parts), default=0),
        CONTEXT_BYTES,
    )
    if settings.tensor_split is not None:
        split = tuple(round(size * GIB) for size in settings.tensor_split)[: len(devices)]
        limits = tuple(min(pair) for pair in zip(budgets, free, strict=True))

        def manual(tokens: int) -> Filled:
            return v2.fill_manual(parts, split, config, tokens, rows=rows, flash_attn=flash)

        return _Job(parts, limits, limits, shared, manual, "Insufficient space in device allocation")
    held_back = [v2.MINIMUM_RESERVE_BYTES + (rest if gpu else first) for gpu in range(len(devices))]
    limits = tuple(max(min(b, f - h), 0) for b, f, h in zip(budgets, free, held_back, strict=True))

    def auto(tokens: int) -> Filled:
        return v2.fill_autosplit(parts, limits, tokens, shared)

    # the reserve is free again once loading has ended
    ceilings = tuple(min(pair) for pair in zip(budgets, free, strict=True))
    return _Job(parts, limits, ceilings, shared, auto, "Insufficient VRAM for model and cache")


def _cache_name_v2(text: str | None, other: str | None) -> str:
    name = {"f16": "fp16", "8bit": "fp8"}.get((text or "fp16").lower(), (text or "fp16").lower())
    mixed = other is not None and other != text
    if name not in v2.CACHE_NAMES or mixed:
        raise BadInput(
            "exllama-cache-type",
            f"ExLlamaV2 has no cache of type {text},{other}." if mixed else f"ExLlamaV2 has no cache of type {text}.",
            because=("its caches are fp16, fp8, q8, q6 and q4, each for keys and values alike",),
            fix="Use one of these with --kv-type.",
        )
    return name


def _job_v3(
    config: Config, groups: Groups, settings: Settings, devices: tuple[Device, ...], budgets: tuple[int, ...]
) -> _Job | Unknown:
    """The load in ExLlamaV3: the reserve per device, or what each device may use."""
    kind = v3.cache_kind(config)
    if isinstance(kind, Unknown):
        return kind
    try:
        bits = v3.cache_bits(settings.type_k, settings.type_v)
    except ValueError as error:
        raise BadInput(
            "exllama-cache-type",
            f"ExLlamaV3 has no cache of type {settings.type_k}.",
            because=(str(error),),
            fix="Use fp16, or the bits of keys and values such as 8,4, with --kv-type.",
        ) from error
    rows = settings.n_batch or v3.MAX_CHUNK
    parts = v3.parts_v3(config, groups, rows=rows, bits=bits, kind=kind)
    free = tuple(device.free_bytes for device in devices)
    if settings.tensor_split is not None:
        use = [round(size * GIB) for size in settings.tensor_split] + [0] * len(devices)
        allowed = [min(f - v3.MARGIN_BYTES, CONTEXT_BYTES + u) if u else 0 for f, u in zip(free, use, strict=False)]
    else:
        allowed = [f - v3.DEFAULT_RESERVE_BYTES for f in free]
    limits = tuple(max(min(b, a), 0) for b, a in zip(budgets, allowed, strict=True))
    shared = Shared(context_bytes=CONTEXT_BYTES)

    def auto(tokens: int) -> Filled:
        return v3.fill_split(parts, limits, tokens, shared)

    return _Job(parts, limits, limits, shared, auto, "Insufficient VRAM in split for model and cache")


def _held(job: _Job, filled: Filled, tokens: int) -> list[Held]:
    """What each GPU holds."""
    held = [Held() for _ in job.limits]
    for part, device in zip(job.parts, filled.device_of, strict=True):
        held[device] = held[device].plus(part, tokens)
    return held


def _over(job: _Job, held: list[Held], tokens: int) -> int | None:
    """The first GPU that holds more than its ceiling while it runs, None where none does."""
    for device, (sums, limit) in enumerate(zip(held, job.ceilings, strict=True)):
        if sums.weights and sums.total(job.shared, tokens) + sums.transient > limit:
            return device
    return None


def _works(job: _Job, tokens: int) -> bool:
    """Whether a cache of this many tokens loads and stays within the limits."""
    filled = job.fill(tokens)
    return filled.fits and _over(job, _held(job, filled, tokens), tokens) is None


def _plan(
    job: _Job,
    config: Config,
    groups: Groups,
    settings: Settings,
    devices: tuple[Device, ...],
    tokens: int,
    version: int,
    max_tokens: int,
) -> ExllamaPlan:
    filled = job.fill(tokens)
    held = _held(job, filled, tokens)
    over = _over(job, held, tokens)
    uses = tuple(_use(device, sums, job.shared, tokens) for device, sums in zip(devices, held, strict=True))
    host = HostUse(sum(2 * numel(t) for t in groups.embedding.values()), 0, 0, _host_output(config, settings, version))
    layers = tuple(
        tuple(
            p.layer
            for p, on in zip(job.parts, filled.device_of, strict=True)
            if on == d and p.attention and p.layer is not None
        )
        for d in range(len(devices))
    )
    return ExllamaPlan(
        placement=Placement(uses, host, "gpu"),
        layers_per_device=layers,
        cache_tokens=tokens,
        transient_bytes=tuple(sums.transient for sums in held),
        reserve_bytes=_reserves(job, devices, version),
        max_tokens=max_tokens,
        fits=filled.fits and over is None,
        because=_because(job, filled, over, devices, held, tokens, version),
        warnings=_warnings(config, groups, settings, tokens, version),
    )


def _host_output(config: Config, settings: Settings, version: int) -> int | Unknown:
    """Bytes of logits in system memory: ExLlamaV2's dynamic generator keeps F32 rows for one whole chunk."""
    if version == 2:
        return 4 * (settings.n_batch or v2.MAX_INPUT_LEN) * pad(config.vocab, 32)
    return Unknown("ExLlamaV3's generator allocates its host buffers as jobs arrive")


def _reserves(job: _Job, devices: tuple[Device, ...], version: int) -> tuple[int, ...]:
    """What to have the engine keep free on each GPU so that it stays within the limits used here."""
    extra = v2.MINIMUM_RESERVE_BYTES if version == 2 else 0
    return tuple(max(d.free_bytes - limit - extra, 0) for d, limit in zip(devices, job.limits, strict=True))


def _use(device: Device, held: Held, shared: Shared, tokens: int) -> DeviceUse:
    if not held.weights:
        return DeviceUse(device.name, 0, 0, 0, 0)
    return DeviceUse(
        device.name,
        held.weights,
        held.cache + held.staging(shared, tokens),
        held.buffers(shared, tokens) + held.transient,
        shared.context_bytes + held.slack(),
    )


def _because(
    job: _Job,
    filled: Filled,
    over: int | None,
    devices: tuple[Device, ...],
    held: list[Held],
    tokens: int,
    version: int,
) -> tuple[str, ...]:
    source = (
        "exllamav2 0.3.2: model.py, cache.py, linear.py"
        if version == 2
        else "exllamav3 1.6.5: model/model_ls.py, cache/"
    )
    lines = [
        f"formula read from {source}",
        "weights, cache and fixed buffers follow the headers; passing memory is estimated",
    ]
    if filled.failed_at is not None:
        lines.insert(0, f"{job.refusal}: no GPU has room for {filled.failed_at}")
    elif over is not None:
        need = held[over].total(job.shared, tokens) + held[over].transient
        lines.insert(0, f"{devices[over].name} would hold {format_bytes(need)} of {format_bytes(job.ceilings[over])}")
    return tuple(lines)


def _warnings(config: Config, groups: Groups, settings: Settings, tokens: int, version: int) -> tuple[str, ...]:
    lines = []
    if version == 2 and settings.flash_attn != "on":
        lines += [_NO_MASK, _NOT_PAGED]
    if tokens % PAGE_TOKENS:
        lines.append(f"{tokens} tokens are not a multiple of 256, which the paged cache needs")
    if settings.n_ctx is None:
        lines.append(f"no context was asked for: the engine takes the model's own {tokens} tokens")
    if version == 2 and settings.type_k == "fp8":
        lines.append("the dynamic generator refuses the fp8 cache")
    if groups.others_bytes:
        lines.append(
            f"{format_bytes(groups.others_bytes)} of other tensors (vision, MTP) are loaded apart and not counted"
        )
    if config.tied and not groups.head:
        lines.append("the tied output layer is a second copy of the embedding table, on the GPU")
    return tuple(lines)

"""Settings that contradict each other or the model: said before any engine is asked."""

from __future__ import annotations

from vramctl.errors import BadInput
from vramctl.ggml_types import BY_NAME, KV_TYPES
from vramctl.records import Model, Settings, Unknown

MAX_CTX = 1 << 27  # 134 million tokens; llama.cpp counts them in 32 bits


MAX_EXPERTS_USED = 256  # a token; the most seen is 22


def check_model(model: Model) -> None:
    """Raises BadInput where a header's numbers contradict each other, before they are computed with; silent otherwise."""
    experts, used = model.meta("expert_count"), model.meta("expert_used_count")
    if isinstance(experts, int) and isinstance(used, int) and (used > experts or used > MAX_EXPERTS_USED):
        raise _corrupt(model, f"a token uses {used} of {experts} experts")
    heads, groups = model.meta("attention.head_count"), model.meta("attention.head_count_kv")
    embedding = model.meta("embedding_length")
    if isinstance(heads, int) and isinstance(groups, int) and groups > 0 and (heads == 0 or heads % groups):
        raise _corrupt(model, f"{heads} attention heads cannot share {groups} KV heads")
    for key, value in (("embedding_length", embedding), ("vocab_size", model.meta("vocab_size"))):
        if isinstance(value, int) and not 1 <= value <= 1 << 24:
            raise _corrupt(model, f"{key} is {value}")


def _corrupt(model: Model, what: str) -> BadInput:
    return BadInput(
        "model-contradicts-itself", f"The header of {model.reference} is corrupt.", because=(what,),
        fix="Download the model again, or convert it again.",
    )  # fmt: skip


def check_settings(asked: Settings, model: Model, *, devices: int) -> None:
    """Raises BadInput for the first contradiction among what was asked for a llama.cpp program; silent otherwise."""
    for check in (_counts, _kv_types, _batches, _layers, _devices, _overrides):
        check(asked, model, devices)


def _counts(asked: Settings, model: Model, devices: int) -> None:
    for name, value, most in (
        ("--ctx", asked.n_ctx, MAX_CTX), ("--parallel", asked.n_parallel, 256), ("--batch", asked.n_batch, 1 << 20),
        ("--ubatch", asked.n_ubatch, 1 << 20), ("--threads", asked.n_threads, 4096),
    ):  # fmt: skip
        if value is not None and not 1 <= value <= most:
            raise BadInput(
                "setting-out-of-range",
                f"{name} {value} is not possible.",
                because=(f"llama.cpp takes 1 to {most}",),
                fix=f"Give {name} a number from 1 to {most}.",
            )


def _kv_types(asked: Settings, model: Model, devices: int) -> None:
    for kind in (asked.type_k, asked.type_v):
        if kind is not None and kind not in KV_TYPES:
            raise BadInput(
                "unknown-kv-type",
                f"{kind} is not a type that llama.cpp stores a KV cache in.",
                because=(f"known types: {', '.join(KV_TYPES)}",),
                fix="Choose one of them, for example --kv-type q8_0.",
            )
    if asked.flash_attn == "off" and asked.type_v is not None and BY_NAME[asked.type_v.upper()].block > 1:
        raise BadInput(
            "quantised-v-needs-flash-attention",
            f"A V cache of {asked.type_v} needs flash attention, and it was turned off.",
            because=("without flash attention V is stored transposed, which block types cannot be",
                     "llama.cpp: V cache quantization requires flash_attn"),
            fix=f"Use --flash-attn on, or keep V in f16: --kv-type {asked.type_k or 'f16'},f16.",
        )  # fmt: skip
    _check_head_blocks(asked, model)


def _check_head_blocks(asked: Settings, model: Model) -> None:
    for kind, key in ((asked.type_k, "attention.key_length"), (asked.type_v, "attention.value_length")):
        width = model.meta(key)
        if kind is None or not isinstance(width, int):
            continue
        block = BY_NAME[kind.upper()].block
        if width % block:
            raise BadInput(
                "kv-type-does-not-divide-head",
                f"A cache of {kind} cannot hold heads of {width}.",
                because=(f"{kind} stores blocks of {block} values; {width} is not a multiple",),
                fix="Use --kv-type f16.",
            )


def _batches(asked: Settings, model: Model, devices: int) -> None:
    if asked.n_batch is not None and asked.n_ubatch is not None and asked.n_batch < asked.n_ubatch:
        raise BadInput(
            "batch-below-ubatch",
            f"--batch {asked.n_batch} is below --ubatch {asked.n_ubatch}.",
            because=(
                "a batch is computed in pieces of ubatch tokens; llama.cpp would silently use the smaller number",
            ),
            fix=f"Use --ubatch {asked.n_batch}, or --batch {asked.n_ubatch}.",
        )


def _layers(asked: Settings, model: Model, devices: int) -> None:
    total = model.layers + 1
    if asked.n_gpu_layers is not None and asked.n_gpu_layers > total:
        raise BadInput(
            "more-layers-than-the-model-has",
            f"--ngl {asked.n_gpu_layers} is more than the model's {total} layers.",
            because=(f"{model.layers} repeating layers and the output layer",),
            fix=f"Use --ngl {total} or --ngl all.",
        )
    if asked.n_cpu_moe:
        experts = model.meta("expert_count")
        if not (isinstance(experts, int) and experts > 1):
            raise BadInput(
                "no-experts",
                f"--n-cpu-moe {asked.n_cpu_moe} has nothing to move.",
                because=(f"a {model.architecture} model with no experts",),
                fix="Leave it out; use --ngl to keep layers on the CPU.",
            )


def _devices(asked: Settings, model: Model, devices: int) -> None:
    if asked.tensor_split is not None and len(asked.tensor_split) > max(devices, 1):
        raise BadInput(
            "tensor-split-too-long",
            f"--tensor-split names {len(asked.tensor_split)} devices; there {'is' if devices == 1 else 'are'} {devices}.",
            because=("one share per device",),
            fix="Give as many shares as devices.",
        )
    if asked.tensor_split is not None and not any(asked.tensor_split):
        raise BadInput(
            "tensor-split-empty", "--tensor-split gives every device nothing.", because=("all shares are 0",),
            fix="Give at least one device a share.",
        )  # fmt: skip
    if asked.main_gpu is not None and asked.main_gpu >= max(devices, 1):
        raise BadInput(
            "no-such-gpu", f"--main-gpu {asked.main_gpu} does not exist.", because=(f"{devices} devices, counted from 0",),
            fix=f"Use 0 to {max(devices, 1) - 1}.",
        )  # fmt: skip


def _overrides(asked: Settings, model: Model, devices: int) -> None:
    known = ("CPU", *(f"CUDA{index}" for index in range(devices)), *(("CUDA_Host",) if devices else ()))
    for pattern, buffer in asked.tensor_overrides or ():
        if buffer not in known:
            raise BadInput(
                "unknown-buffer",
                f"--override-tensor {pattern}={buffer} names a buffer that is not there.",
                because=(f"buffers of this plan: {', '.join(known)}", "llama.cpp: unknown buffer type"),
                fix=f"Write {pattern}=CPU, or another of these.",
            )


def train_ctx_note(settings: Settings, model: Model) -> str | None:
    """A sentence where n_ctx per sequence exceeds what the model was trained for, else None."""
    if isinstance(model.train_ctx, Unknown) or settings.n_ctx is None:
        return None
    per_sequence = settings.n_ctx if settings.kv_unified else settings.n_ctx // (settings.n_parallel or 1)
    if per_sequence <= model.train_ctx:
        return None
    return f"{per_sequence} tokens a sequence are more than the {model.train_ctx} that the model was trained for"

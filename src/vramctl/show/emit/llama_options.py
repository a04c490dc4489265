"""A plan's settings as llama-server's options, in the order of its own documentation.

Names, negations and environment variables are those of `common/arg.cpp`, llama.cpp b11434 and 0c1e57098 (the
build inside llama-cpp-python 0.3.36); both know every option written here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vramctl.records import Plan
from vramctl.show.emit.notes import inexpressible
from vramctl.show.emit.quote import number
from vramctl.show.emit.source import Source, hub_url, local_name, locate, parse_reference

# `kv_cache_types` in common/arg.cpp, b11434.
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


@dataclass(frozen=True, slots=True)
class Option:
    """One option: as an argument (`flag`, `value`; no value for a switch) and as a variable (`env`, `env_value`).

    `env` is None where llama-server reads no variable for it.
    """

    flag: str
    value: str | None
    env: str | None
    env_value: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The option as command line arguments."""
        return (self.flag,) if self.value is None else (self.flag, self.value)


def llama_options(plan: Plan, form: str) -> tuple[Option, ...]:
    """Every option that decides how much memory llama-server takes, so that its defaults have no say."""
    return tuple(
        option
        for part in (_model, _context, _cache, _placement, _overrides, _attachments)
        for option in part(plan, form)
    )


def _valued(flag: str, env: str | None, value: object) -> Iterator[Option]:
    if value is not None:
        yield Option(flag, str(value), env, str(value))


def _switch(on: bool | None, flags: tuple[str | None, str | None], env: str | None) -> Iterator[Option]:
    """A switch with its positive and negative spelling; None where a state needs no word."""
    flag = None if on is None else flags[0 if on else 1]
    if flag is not None:
        yield Option(flag, None, env, "1" if on else "0")


def _model(plan: Plan, form: str) -> Iterator[Option]:
    source = locate(plan.model)
    if source.kind == "hf" and source.revision == "main":
        yield from _valued("--hf-repo", "LLAMA_ARG_HF_REPO", source.repo)
        yield from _valued("--hf-file", "LLAMA_ARG_HF_FILE", source.file)
        if plan.settings.mmproj is None:  # else a projector in the repository would be loaded unasked
            yield Option("--no-mmproj", None, "LLAMA_ARG_MMPROJ_AUTO", "0")
    elif source.kind in ("hf", "url"):
        yield from _valued("--model-url", "LLAMA_ARG_MODEL_URL", source.url or hub_url(source))
    else:
        yield from _valued("--model", "LLAMA_ARG_MODEL", local_name(source))


def _context(plan: Plan, form: str) -> Iterator[Option]:
    settings = plan.settings
    yield from _valued("--ctx-size", "LLAMA_ARG_CTX_SIZE", settings.n_ctx)
    yield from _valued("--parallel", "LLAMA_ARG_N_PARALLEL", settings.n_parallel)
    yield from _switch(settings.kv_unified, ("--kv-unified", "--no-kv-unified"), "LLAMA_ARG_KV_UNIFIED")
    yield from _valued("--batch-size", "LLAMA_ARG_BATCH", settings.n_batch)
    yield from _valued("--ubatch-size", "LLAMA_ARG_UBATCH", settings.n_ubatch)
    yield from _valued("--threads", "LLAMA_ARG_THREADS", settings.n_threads)


def _cache(plan: Plan, form: str) -> Iterator[Option]:
    settings = plan.settings
    yield from _valued("--flash-attn", "LLAMA_ARG_FLASH_ATTN", settings.flash_attn)
    yield from _valued("--cache-type-k", "LLAMA_ARG_CACHE_TYPE_K", kv_type(settings.type_k, form))
    yield from _valued("--cache-type-v", "LLAMA_ARG_CACHE_TYPE_V", kv_type(settings.type_v, form))
    yield from _switch(settings.swa_full, ("--swa-full", None), "LLAMA_ARG_SWA_FULL")
    yield from _switch(settings.offload_kqv, ("--kv-offload", "--no-kv-offload"), "LLAMA_ARG_KV_OFFLOAD")
    yield from _switch(settings.op_offload, (None, "--no-op-offload"), None)


def kv_type(name: str | None, form: str) -> str | None:
    """The name as given, if llama.cpp has a KV cache of that type; BadInput otherwise."""
    if name is not None and name not in KV_TYPES:
        raise inexpressible(
            form,
            f"a KV cache of type {name}",
            because=f"llama.cpp's KV cache types are {', '.join(KV_TYPES)}",
            fix="Plan with --kv-type and one of those.",
        )
    return name


def _placement(plan: Plan, form: str) -> Iterator[Option]:
    settings = plan.settings
    names = [device.name for device in plan.devices]
    yield from _valued("--device", "LLAMA_ARG_DEVICE", ",".join(names) or "none")
    yield from _valued("--gpu-layers", "LLAMA_ARG_N_GPU_LAYERS", settings.n_gpu_layers)
    if names:
        yield from _valued("--split-mode", "LLAMA_ARG_SPLIT_MODE", settings.split_mode)
    if len(names) > 1:
        if settings.split_mode in ("none", "row"):
            yield from _valued("--main-gpu", "LLAMA_ARG_MAIN_GPU", settings.main_gpu)
        if settings.split_mode != "none":
            split = ",".join(map(number, tensor_split(plan)))
            yield from _valued("--tensor-split", "LLAMA_ARG_TENSOR_SPLIT", split)
    yield Option("--fit", "off", "LLAMA_ARG_FIT", "off")
    if settings.use_mmap is False or (settings.use_mmap and plan.origins.get("use_mmap") == "asked"):
        mode = "mmap" if settings.use_mmap else "none"
        yield from _valued("--load-mode", "LLAMA_ARG_LOAD_MODE", mode)


def tensor_split(plan: Plan) -> tuple[float, ...]:
    """The share of each device: as set, else the free bytes the plan stood on.

    Left open, llama.cpp splits by the memory that is free when it loads (`src/llama-model.cpp`, b11434), which
    need not be what was free when the plan was made.
    """
    return plan.settings.tensor_split or tuple(device.free_bytes for device in plan.devices)


def _overrides(plan: Plan, form: str) -> Iterator[Option]:
    settings = plan.settings
    pairs = settings.tensor_overrides or ()
    for pattern, _ in pairs:
        if "," in pattern or "=" in pattern:
            raise inexpressible(
                form,
                f"the tensor override {pattern!r}",
                because="llama.cpp cuts --override-tensor at commas and at the first equals sign, and knows no escape",
                fix="Write the expression without them, for instance with a character class or an alternative.",
            )
    if pairs:
        text = ",".join(f"{pattern}={buffer}" for pattern, buffer in pairs)
        yield from _valued("--override-tensor", "LLAMA_ARG_OVERRIDE_TENSOR", text)
    yield from _valued("--n-cpu-moe", "LLAMA_ARG_N_CPU_MOE", settings.n_cpu_moe or None)


def _attachments(plan: Plan, form: str) -> Iterator[Option]:
    settings = plan.settings
    if settings.mmproj is not None:
        projector = parse_reference(settings.mmproj)
        if projector.kind in ("hf", "url"):
            url = projector.url or hub_url(projector)
            yield from _valued("--mmproj-url", "LLAMA_ARG_MMPROJ_URL", url)
        else:
            yield from _valued("--mmproj", "LLAMA_ARG_MMPROJ", local_name(projector))
    if settings.draft is not None:
        yield from _draft(parse_reference(settings.draft), form)


def _draft(draft: Source, form: str) -> Iterator[Option]:
    path = draft.path
    if draft.kind == "hf" and draft.revision == "main":
        yield from _valued("--hf-repo-draft", "LLAMA_ARG_SPEC_DRAFT_HF_REPO", draft.repo)
        path = draft.file
    elif draft.kind not in ("file", "missing"):
        raise inexpressible(
            form,
            f"a draft model from {draft.url or draft.name or hub_url(draft)}",
            because="llama-server takes a draft model as a file or from the newest revision of a hub repository",
            fix="Download it, and plan with its path.",
        )
    yield from _valued("--model-draft", "LLAMA_ARG_SPEC_DRAFT_MODEL", path)
    yield from _valued("--gpu-layers-draft", "LLAMA_ARG_N_GPU_LAYERS_DRAFT", "all")

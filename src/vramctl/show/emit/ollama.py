"""A plan as an Ollama Modelfile, with the variables of the Ollama server that belong to it.

Read from Ollama v0.33.0-rc2: `parser/parser.go`, `api/types.go` (Runner), `llm/llama_server.go` (since v0.30.0 the
model runs in a llama-server that inherits the server's environment: what no PARAMETER says, LLAMA_ARG_* does).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from vramctl.records import Model, Plan, Settings
from vramctl.show.emit.llama_options import Option, llama_options
from vramctl.show.emit.notes import comment, cuda_numbers, inexpressible, require_engine, summary
from vramctl.show.emit.quote import number
from vramctl.show.emit.source import Source, fetch_note, local_name, locate, parse_reference

FORM = "ollama"
# Options that Ollama gives its llama-server by itself, from the Modelfile or its own variables (an argument
# overrules a variable), and --fit, which leaves a load alone whose context and layers are given (common/fit.cpp).
_SAID_BY_OLLAMA = (
    "LLAMA_ARG_HF_REPO", "LLAMA_ARG_HF_FILE", "LLAMA_ARG_MMPROJ_AUTO", "LLAMA_ARG_MODEL_URL", "LLAMA_ARG_MODEL",
    "LLAMA_ARG_CTX_SIZE", "LLAMA_ARG_N_PARALLEL", "LLAMA_ARG_BATCH", "LLAMA_ARG_UBATCH", "LLAMA_ARG_THREADS",
    "LLAMA_ARG_FLASH_ATTN", "LLAMA_ARG_N_GPU_LAYERS", "LLAMA_ARG_LOAD_MODE", "LLAMA_ARG_MMPROJ_URL",
    "LLAMA_ARG_MMPROJ", "LLAMA_ARG_SPEC_DRAFT_HF_REPO", "LLAMA_ARG_SPEC_DRAFT_MODEL",
    "LLAMA_ARG_N_GPU_LAYERS_DRAFT", "LLAMA_ARG_DEVICE", "LLAMA_ARG_FIT",
)  # fmt: skip
_OLLAMA_KV_TYPES = ("f16", "q8_0", "q4_0")


def emit_ollama(plan: Plan) -> str:
    """A Modelfile; its comments hold the variables to start `ollama serve` with."""
    require_engine(plan, FORM)
    source = locate(plan.model)
    lines = [f"FROM {_modelfile_text(_from(source))}"]
    lines += _projector(plan.settings)
    lines += [f"PARAMETER {name} {value}" for name, value in _parameters(plan)]
    notes = [*summary(plan, program="ollama"), *_download_note(source)]
    notes += [*_notes(plan), "Start the server with these variables (they hold for every model it serves):"]
    notes += [f"  {name}={value}" for name, value in _variables(plan)]
    return comment(notes) + "\n".join(lines) + "\n"


def _from(source: Source) -> str:
    if source.kind == "ollama":
        return source.name
    if source.kind == "hf" and source.revision == "main" and "/" not in source.file:
        return f"hf.co/{source.repo}:{source.file}"
    path = local_name(source)
    return path if path.startswith(("/", "~", "./", "../")) else f"./{path}"


def _download_note(source: Source) -> tuple[str, ...]:
    by_ollama = source.kind == "ollama" or _from(source).startswith("hf.co/")
    return () if by_ollama else fetch_note(source)


def _modelfile_text(text: str) -> str:
    """A value as the Modelfile's parser reads it back; it drops what is not printable, and has no escapes."""
    if not text.isprintable() or text != text.strip() or text.startswith('"'):
        raise inexpressible(
            FORM, f"the path {text!r}", because="a Modelfile has no escapes for such characters", fix="Rename it."
        )
    return text


def _projector(settings: Settings) -> Iterator[str]:
    """A second FROM for the projector; a draft model is refused, because Ollama drafts with MTP and DFlash only."""
    if settings.draft is not None:
        raise inexpressible(
            FORM,
            "a draft model",
            because="Ollama v0.33 takes every DRAFT for an MTP or DFlash head of the model (llm/llama_server.go)",
            fix="Plan without --draft, or use --emit llama-server.",
        )
    if settings.mmproj is None:
        return
    source = parse_reference(settings.mmproj)
    if source.kind != "file":
        raise inexpressible(
            FORM,
            f"the projector {settings.mmproj}",
            because="a Modelfile's second FROM takes a file",
            fix="Download it, and plan with its path.",
        )
    yield f"FROM {_modelfile_text(_from(source))}"


def _parameters(plan: Plan) -> Iterator[tuple[str, str]]:
    settings = plan.settings
    if settings.n_ctx is not None:
        yield "num_ctx", str(_context_of_one(settings.n_ctx, settings.n_parallel or 1))
    if settings.n_gpu_layers is not None:
        yield "num_gpu", str(settings.n_gpu_layers if plan.devices else 0)
    batch = settings.n_ubatch if settings.n_ubatch is not None else settings.n_batch
    if batch is not None:
        yield "num_batch", str(batch)
    if settings.n_threads is not None:
        yield "num_thread", str(settings.n_threads)
    if settings.use_mmap is not None and (plan.origins.get("use_mmap") == "asked" or not settings.use_mmap):
        yield "use_mmap", "true" if settings.use_mmap else "false"
    if _has_mtp(plan.model):  # Ollama would load the model's draft head, which the plan does not hold
        yield "draft_num_predict", "0"
    if settings.split_mode == "none" and len(plan.devices) > 1:
        yield "main_gpu", str(settings.main_gpu or 0)


def _has_mtp(model: Model) -> bool:
    """Whether Ollama finds a multi-token-prediction head in the model (`hasMTPDraft` in llm/llama_server.go)."""
    count = model.meta("nextn_predict_layers")
    legacy = model.architecture in ("qwen35", "qwen35moe") and any(t.name.startswith("mtp.") for t in model.tensors)
    return legacy or (isinstance(count, int) and count > 0)


def _context_of_one(n_ctx: int, n_parallel: int) -> int:
    if n_ctx % n_parallel:
        raise inexpressible(
            FORM,
            f"{n_ctx} tokens for {n_parallel} sequences",
            because="Ollama multiplies num_ctx, the tokens of one sequence, by OLLAMA_NUM_PARALLEL",
            fix=f"Plan with --ctx {n_ctx - n_ctx % n_parallel}.",
        )
    return n_ctx // n_parallel


def _variables(plan: Plan) -> Iterator[tuple[str, str]]:
    settings = plan.settings
    yield "OLLAMA_NUM_PARALLEL", str(settings.n_parallel or 1)
    if settings.flash_attn in ("on", "off"):
        yield "OLLAMA_FLASH_ATTENTION", "1" if settings.flash_attn == "on" else "0"
    yield from _visible_devices(plan)
    options = [o for o in llama_options(plan, FORM) if o.env not in _SAID_BY_OLLAMA and not _is_default(o)]
    if settings.type_k == settings.type_v and settings.type_k in _OLLAMA_KV_TYPES:
        yield "OLLAMA_KV_CACHE_TYPE", settings.type_k
        options = [o for o in options if o.flag not in ("--cache-type-k", "--cache-type-v")]
    if settings.split_mode == "none" and len(plan.devices) > 1:
        options = [o for o in options if o.flag not in ("--split-mode", "--main-gpu")]
    yield from ((_variable(option), shlex.quote(option.env_value)) for option in options)


def _visible_devices(plan: Plan) -> Iterator[tuple[str, str]]:
    """The GPUs by the driver's variable where it is CUDA's: Ollama renumbers what llama-server sees."""
    numbers = cuda_numbers(plan)
    if numbers is not None:
        yield "CUDA_VISIBLE_DEVICES", numbers
    else:
        yield "LLAMA_ARG_DEVICE", ",".join(device.name for device in plan.devices) or "none"


def _is_default(option: Option) -> bool:
    """Whether llama-server as Ollama starts it does so anyway: the variable would only reach other models."""
    return (option.env, option.env_value) in (
        ("LLAMA_ARG_KV_UNIFIED", "0"),
        ("LLAMA_ARG_KV_OFFLOAD", "1"),
        ("LLAMA_ARG_SPLIT_MODE", "layer"),
    )


def _variable(option: Option) -> str:
    if option.env is None:
        raise inexpressible(
            FORM,
            option.flag,
            because="neither Ollama nor the llama-server inside reads a parameter or a variable for it",
            fix="Use --emit llama-server.",
        )
    return option.env


def _notes(plan: Plan) -> tuple[str, ...]:
    settings = plan.settings
    notes = ["For Ollama v0.30 and later; older versions ignore LLAMA_ARG_* variables."]
    if settings.n_batch != settings.n_ubatch and settings.n_ubatch is not None:
        notes.append(f"Ollama has one number for both batches: {number(settings.n_ubatch)}, the one that costs memory.")
    return tuple(notes)

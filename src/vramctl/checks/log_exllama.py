"""Checks of a log: ExLlama and what it stands on: torch, its extension, flash-attn, memory."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, in_words, size_of, text_of
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import Log


def torch_cpu_only(log: Log, platform: str) -> Iterator[Finding]:
    """The installed torch has no CUDA."""
    found = _of(log, "gpu.not_compiled")
    yield from _one(
        log, platform, "torch-cpu-only", found, "The installed torch is a CPU build: it cannot use any GPU."
    )


def torch_arch_unsupported(log: Log, platform: str) -> Iterator[Finding]:
    """The installed torch holds no code for this GPU."""
    found = _of(log, "gpu.arch_not_built")
    name = text_of(found[0], "name") if found else ""
    what = f"The installed torch has no code for {name or 'this GPU'}: the first computation fails."
    yield from _one(log, platform, "torch-arch-unsupported", found, what)


def exllama_jit_msvc(log: Log, platform: str) -> Iterator[Finding]:
    """The extension is built at import and the compiler of Windows is missing or too new."""
    found = events(log, "extension.no_compiler")
    what = "The extension is compiled at import, and no compiler that CUDA accepts is there."
    yield from _one(log, platform, "exllama-jit-msvc", found, what)


def exllama_torch_cuda_mismatch(log: Log, platform: str) -> Iterator[Finding]:
    """The toolkit and torch are of different CUDA versions."""
    found = events(log, "extension.toolkit_mismatch")
    said = f" ({text_of(found[0], 'toolkit')} and {text_of(found[0], 'torch')})" if found else ""
    symbols = tuple(e for e in events(log, "extension.missing") if "undefined symbol" in e.raw and "exllama" in e.raw)
    what = f"The CUDA toolkit and torch are of different versions{said}: the extension cannot be built or loaded."
    yield from _one(log, platform, "exllama-torch-cuda-mismatch", (*found, *symbols), what)


def exllama_jit_no_nvcc(log: Log, platform: str) -> Iterator[Finding]:
    """The extension is built at import and there is no toolkit to build it with."""
    found = events(log, "extension.no_toolkit", "extension.build_failed")
    what = "The extension is compiled at import, and the CUDA toolkit (nvcc), a compiler or ninja is missing."
    yield from _one(log, platform, "exllama-jit-no-nvcc", found, what)


def flash_attn_abi_mismatch(log: Log, platform: str) -> Iterator[Finding]:
    """flash-attn was built for another torch."""
    found = tuple(
        e for e in events(log, "extension.missing")
        if "flash_attn" in e.raw and ("undefined symbol" in e.raw or "DLL load failed" in e.raw)
    )  # fmt: skip
    what = "flash-attn is built for another torch, CUDA or C++ ABI: importing it fails."
    yield from _one(log, platform, "flash-attn-abi-mismatch", found, what)


def flash_attn_pre_ampere(log: Log, platform: str) -> Iterator[Finding]:
    """flash-attn 2 runs on a GPU that it does not support."""
    unsupported = [e for e in _of(log, "flash.unsupported") if "unsupported GPUs" in e.raw]
    found = (*events(log, "flash.gpu_too_old"), *unsupported)
    what = "flash-attn 2 needs a GPU of the Ampere generation or newer on every card that is used."
    yield from _one(log, platform, "flash-attn-pre-ampere", found, what)


def flash_attn_missing(log: Log, platform: str) -> Iterator[Finding]:
    """ExLlama asks for a flash-attn that is not there."""
    found = tuple(e for e in _of(log, "flash.unsupported") if "unsupported GPUs" not in e.raw)
    absent = tuple(
        e
        for e in events(log, "extension.missing")
        if text_of(e, "module").startswith("flash_attn") and "No module" in e.raw
    )
    what = "flash-attn is missing or too old: ExLlama cannot page its cache, or runs without its fast attention."
    yield from _one(log, platform, "flash-attn-missing", (*found, *absent), what)


def exllamav2_hidden_importerror(log: Log, platform: str) -> Iterator[Finding]:
    """The extension could not be imported and the reason was swallowed."""
    found = events(log, "extension.no_name")
    what = "ExLlama's extension could not be imported, and the reason was swallowed: this NameError is only its echo."
    yield from _one(log, platform, "exllamav2-hidden-importerror", found, what)


def exllama_insufficient_vram(log: Log, platform: str) -> Iterator[Finding]:
    """Weights and cache do not fit: ExLlama has no layers on the CPU."""
    found = _of(log, "memory.alloc_failed")
    if not found:
        return
    fields = found[0].fields
    asked, free, total = (size_of(fields.get(name)) for name in ("size", "free", "total"))
    sizes = f": {in_words(asked)} more was wanted" if asked else ""
    there = f"GPU {fields.get('device', 0)} has {in_words(total)}" if total else ""
    yield finding(
        "error",
        f"GPU memory ran out for the model and its cache{sizes}.",
        (found[0].text, there + (f", of which {in_words(free)} was free" if there and free is not None else "")),
        BY_ID["exllama-insufficient-vram"].fix(platform),
        found,
    )


def _of(log: Log, kind: str) -> tuple[Event, ...]:
    """The events of this kind that ExLlama or torch printed."""
    return tuple(event for event in events(log, kind) if event.engine == "exllama")


def _one(log: Log, platform: str, name: str, found: tuple[Event, ...], what: str) -> Iterator[Finding]:
    if found:
        severity = "warning" if name == "flash-attn-missing" and "Error" not in found[0].raw else "error"
        yield finding(severity, what, (found[0].text,), BY_ID[name].fix(platform), found)

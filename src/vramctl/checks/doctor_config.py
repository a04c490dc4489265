"""Checks of what configurations ask of llama.cpp: layers, KV cache, flash attention, context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vramctl.checks.config_call import (
    AUTO_SINCE,
    KQV_SINCE,
    KQV_TRUE_SINCE,
    PLAIN_TYPES,
    RUNS_HERE,
    Asked,
    flash_attention,
    llama_build,
    place,
    python_version,
)
from vramctl.checks.modes_config import fix
from vramctl.checks.runner import Check, NotThere
from vramctl.records.facts import Nvml, PciGpu, Platform, Setting
from vramctl.records.finding import Finding

Call = tuple[Setting, ...]
_KERNEL_PAIRS = frozenset({("q8_0", "q8_0"), ("q4_0", "q4_0")})


def gpu_here(nvml: object, pci: object, platform: object) -> bool | None:
    """Whether this machine has a GPU that an engine would use; None where that is not known."""
    if isinstance(nvml, Nvml) and nvml.gpus:
        return True
    if isinstance(platform, Platform) and platform.system == "macos":
        return True
    if isinstance(pci, tuple):
        return any(isinstance(gpu, PciGpu) and gpu.vendor in {"nvidia", "amd"} for gpu in pci)
    return None


def applies(asked: Asked, nvml: object, pci: object, platform: object) -> bool:
    """Whether what is said of a GPU counts: not for what runs here without one; a file that was given may run elsewhere."""
    file = asked.marker.file
    runs_here = file in RUNS_HERE or file.startswith("process ")
    return not runs_here or gpu_here(nvml, pci, platform) is not False


def llama_call(call: Call) -> Asked:
    """The call, where llama.cpp gets it; otherwise the check does not apply."""
    asked = Asked.of(call)
    if not asked.is_llama:
        raise NotThere("it is not llama.cpp's setting")
    return asked


def n_gpu_layers_zero(
    call: Call, nvml: Any = None, pci: Any = None, platform: Any = None, engines: Any = None, calls: Any = None
) -> Iterator[Finding]:
    """
    A program asks for no layer on the GPU, or leaves n_gpu_layers at its default of 0.

    Why it matters: with 0 the whole model runs on the CPU, however good the GPU and its driver are; nothing warns of it.

    How it is seen: the configuration's call (--config), or `offloaded 0/N layers` in the engine's log. Defaults: 0 in
    llama-cpp-python's `Llama()` and in its server, in LangChain's and LlamaIndex's wrappers of it, and in llama.cpp
    before b6325 (August 2025); newer llama.cpp programs put all layers, or what fits, on the GPU by themselves.

    How sure: certain where it is written out; a value that is worked out when the program runs is left alone.
    """
    asked = llama_call(call)
    if not applies(asked, nvml, pci, platform) or asked.truth("vocab_only"):
        return
    without = gpu_here(nvml, pci, platform) is False
    severity = "warning" if without else "error"
    here = ("this machine has no GPU: it counts where the configuration runs with one",) if without else ()
    written = asked.value("n_gpu_layers")
    if written is not None:
        if asked.number("n_gpu_layers") == 0:
            yield from _written_zero(asked, severity, here, calls)
    elif asked.complete and _default_is_zero(asked, engines):
        yield Finding(
            severity, f"{asked.where} does not say n_gpu_layers, and its default there is 0: no layer is on the GPU.",
            (f"{place(asked.marker)}: no n_gpu_layers", _whose_default(asked, engines), *here),
            fix("n-gpu-layers-zero", asked.program),
        )  # fmt: skip


def _written_zero(asked: Asked, severity: str, here: tuple[str, ...], calls: object) -> Iterator[Finding]:
    """The finding on a 0 that is written out; one in a .env file that a source takes is told with that source."""
    zero = asked.settings["n_gpu_layers"]
    source = zero.taken_from
    what = f"{asked.who('n_gpu_layers')} puts no layer on the GPU{'' if asked.is_variables else ': n_gpu_layers is 0'}."
    how = fix("n-gpu-layers-zero", asked.program)
    if source is not None:
        what = f"{place(zero)} takes n_gpu_layers from {source.name}, which {place(source)} sets to {source.value}."
        how = f"Set {source.name}=-1 in {source.file} (all layers), or as many as fit (`vramctl plan`)."
    elif asked.is_variables and any(
        one.taken_from is not None and place(one.taken_from) == place(zero)
        for call in (calls if isinstance(calls, tuple) else ())
        for one in call
    ):
        return
    yield Finding(severity, what, (*asked.at("n_gpu_layers"), *here), how)


def _default_is_zero(asked: Asked, engines: object) -> bool:
    if asked.program == "llama-cpp-python":
        return True
    build = llama_build(engines)
    return build is not None and build < AUTO_SINCE


def _whose_default(asked: Asked, engines: object) -> str:
    if asked.program == "llama-cpp-python":
        version = python_version(engines)
        told = (
            f"llama-cpp-python {'.'.join(map(str, version))}" if version else "llama-cpp-python, up to 0.3.36 at least"
        )
        return f"{told}: n_gpu_layers=0 by default"
    return f"llama.cpp b{llama_build(engines)} is older than b{AUTO_SINCE}, which made all layers the default"


def gpu_layers_read_as_count(call: Call, nvml: Any = None, pci: Any = None, platform: Any = None) -> Iterator[Finding]:
    """
    n_gpu_layers is 1, as if it were the number of GPUs or a switch.

    Why it matters: exactly one layer goes to the GPU and all others run on the CPU, about as slow as without a GPU. Old
    examples for Apple's Metal wrote 1 to mean "on"; since llama.cpp counts layers there too, they are wrong everywhere.

    How it is seen: `n_gpu_layers=1`, `-ngl 1` or LLAMACPP_N_GPU_LAYERS=1 in the configuration.

    How sure: high - nobody gains from a single layer, but it is not impossible that it was meant.
    """
    asked = llama_call(call)
    if asked.number("n_gpu_layers") == 1 and applies(asked, nvml, pci, platform):
        yield Finding(
            "warning", f"{asked.who('n_gpu_layers')} puts one single layer on the GPU: n_gpu_layers counts layers, not GPUs.",
            asked.at("n_gpu_layers"), fix("gpu-layers-read-as-count", asked.program),
        )  # fmt: skip


def offload_kqv_false(
    call: Call, nvml: Any = None, pci: Any = None, platform: Any = None, engines: Any = None
) -> Iterator[Finding]:
    """
    The KV cache is kept in system memory, and attention runs on the CPU.

    Why it matters: the cache and its attention move together; generation slows down with every token of context, although
    all layers are on the GPU.

    How it is seen: `offload_kqv=False`, `--no-kv-offload`, or a log whose whole KV buffer is the CPU's. The parameter came
    with llama-cpp-python 0.2.24 as False; since 0.2.30 (January 2024) it is True, so writing `offload_kqv=True` changes
    nothing there.

    How sure: certain.
    """
    asked = llama_call(call)
    if not applies(asked, nvml, pci, platform):
        return
    if asked.truth("offload_kqv") is False:
        yield Finding(
            "warning", f"{asked.who('offload_kqv')} keeps the KV cache in system memory, so attention runs on the CPU.",
            asked.at("offload_kqv"), fix("offload-kqv-false", asked.program),
        )  # fmt: skip
    version = python_version(engines)
    old = version is not None and KQV_SINCE <= version < KQV_TRUE_SINCE
    if old and asked.program == "llama-cpp-python" and asked.complete and asked.value("offload_kqv") is None:
        yield Finding(
            "warning", f"{asked.where} leaves offload_kqv at False, the default of the installed llama-cpp-python.",
            (f"llama-cpp-python {'.'.join(map(str, version or ()))} is installed; True is the default since 0.2.30",),
            "Update llama-cpp-python, or write offload_kqv=True.",
        )  # fmt: skip


def flash_attn_disabled(call: Call, nvml: Any = None, pci: Any = None, platform: Any = None) -> Iterator[Finding]:
    """
    Flash attention is switched off in words.

    Why it matters: without it the compute buffer grows with the context, long prompts are slower, and the V cache cannot be
    quantised. `flash_attn=False` of llama-cpp-python is an explicit "disabled", where llama.cpp's own programs decide by
    themselves (`auto`); leaving it out there means False too.

    How it is seen: `flash_attn=False`, `-fa off` or LLAMA_ARG_FLASH_ATTN=off in the configuration; OLLAMA_FLASH_ATTENTION=0;
    a log that says `flash_attn = disabled`, or that auto mode found no kernel.

    How sure: medium - the state is certain, the loss is not: on Pascal and older, and with some Vulkan drivers, it is slower.
    """
    asked = Asked.of(call)
    if asked.program == "ollama":
        if asked.truth("OLLAMA_FLASH_ATTENTION") is False:
            yield Finding("warning", f"{asked.who('OLLAMA_FLASH_ATTENTION')} switches flash attention off for every model.",
                          asked.at("OLLAMA_FLASH_ATTENTION"), fix("flash-attn-disabled", "ollama"))  # fmt: skip
        return
    asked = llama_call(call)
    if not applies(asked, nvml, pci, platform) or _before_volta(nvml):
        return
    if asked.value("flash_attn") is not None and flash_attention(asked) == "off":
        yield Finding(
            "warning", f"{asked.who('flash_attn')} switches flash attention off.", asked.at("flash_attn"),
            fix("flash-attn-disabled", asked.program),
        )  # fmt: skip
    elif (
        asked.program == "llama-cpp-python"
        and flash_attention(asked) == "off"
        and asked.value("n_gpu_layers") is not None
    ):
        yield Finding(
            "info", f"{asked.where} leaves flash attention off, the default of llama-cpp-python.",
            ("llama.cpp's own programs decide by themselves",), "Try flash_attn=True on this GPU.",
        )  # fmt: skip


def _before_volta(nvml: object) -> bool:
    if not isinstance(nvml, Nvml) or not nvml.gpus:
        return False
    known = [gpu.compute_capability for gpu in nvml.gpus if isinstance(gpu.compute_capability, tuple)]
    return bool(known) and all(capability < (7, 0) for capability in known)


def quantized_v_needs_flash_attn(call: Call, engines: Any = None) -> Iterator[Finding]:
    """
    The V cache is to be quantised while flash attention is off: the model does not load.

    Why it matters: llama.cpp refuses it (`quantized V cache requires flash_attn`), and with verbose=False only `Failed to
    create llama_context` is left to see.

    How it is seen: a quantised `type_v` (8 is q8_0) or `-ctv` together with `flash_attn=False`, or without flash_attn in
    llama-cpp-python, whose default is False; or the engine's own words in its log.

    How sure: certain - reproduced with llama-cpp-python 0.3.36. With `auto` flash attention is switched on where it can be.
    """
    asked = llama_call(call)
    v = asked.kv_type("type_v")
    if v is None or v in PLAIN_TYPES or flash_attention(asked, engines) != "off":
        return
    why = asked.at("flash_attn") or (f"{place(asked.marker)}: no flash_attn, which means off here",)
    yield Finding(
        "error", f"{asked.who('type_v')} asks for a V cache of {v} without flash attention: the model will not load.",
        (*asked.at("type_v"), *why), fix("quantized-v-needs-flash-attn", asked.program),
    )  # fmt: skip


def quantized_kv_no_kernel(call: Call, nvml: Any = None, engines: Any = None) -> Iterator[Finding]:
    """
    The pair of K and V types has no attention kernel in CUDA builds as they are shipped.

    Why it matters: only f16, bf16, q8_0 with q8_0, and q4_0 with q4_0 have one. With other pairs builds up to mid 2026 run
    attention on the CPU without a word (prompts several times slower); newer ones convert to f16 on the way and warn once.

    How it is seen: `type_k`/`type_v`, `-ctk`/`-ctv` in the configuration, or the warning and FA_QUANTS in the engine's log.

    How sure: high - exact for builds with default options; one made with -DGGML_CUDA_FA_QUANTS=all has all pairs.
    """
    asked = llama_call(call)
    k, v = asked.kv_type("type_k") or "f16", asked.kv_type("type_v") or "f16"
    if {k, v} <= PLAIN_TYPES or (k, v) in _KERNEL_PAIRS or flash_attention(asked, engines) == "off":
        return
    if isinstance(nvml, Nvml) and not nvml.gpus:
        return
    yield Finding(
        "warning",
        f"{asked.who('type_k', 'type_v')} asks for a KV cache of {k} and {v}: CUDA builds as shipped have no attention kernel "
        "for that pair.",
        asked.at("type_k", "type_v"), fix("quantized-kv-no-kernel", asked.program),
    )  # fmt: skip


CHECKS: tuple[Check, ...] = (
    n_gpu_layers_zero,
    gpu_layers_read_as_count,
    quantized_v_needs_flash_attn,
    quantized_kv_no_kernel,
    offload_kqv_false,
    flash_attn_disabled,
)

"""Why a model is not where it should be: the causes, root first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vramctl.records.finding import Finding
from vramctl.records.placement import Placement
from vramctl.records.unknown import Unknown
from vramctl.records.verification import DeviceWatch, Difference, Evidence
from vramctl.units import GIB, MIB
from vramctl.verify.verdict import less_than_reported, more_splits

# CUDA kernels of a default build: the same type for K and V, one of these (ggml-cuda/fattn.cu; GGML_CUDA_FA_ALL_QUANTS: all).
# Without one, attention runs on the CPU. Since GGML_CUDA_FA_QUANTS (pull request 28079, Sept 2026; system_info lists its pairs)
# K and V are converted to f16 on the GPU instead, but for types that it has no kernels for at all (iq4_nl).
_KERNEL_TYPES = ("f16", "bf16", "q8_0", "q4_0")
# By the names that ggml registers (ggml-backend-reg.cpp of ggml 0.26.0).
_GPU_BACKENDS = frozenset(
    {"cuda", "hip", "musa", "vulkan", "metal", "sycl", "opencl", "cann", "webgpu", "openvino", "rpc"}
)
_OTHERS_MATTER_BYTES = 512 * MIB


def causes(
    reported: Placement | Unknown, evidence: Evidence, watches: Sequence[DeviceWatch], differences: Sequence[Difference]
) -> tuple[Finding, ...]:
    """Why it is not (wholly) on the GPU, the root first; empty where it is and all witnesses agree."""
    if isinstance(reported, Unknown):
        return ()
    none = not any(isinstance(use.weights_bytes, Unknown) or use.weights_bytes > 0 for use in reported.devices)
    found = [*_no_gpu(evidence)] if none else []
    if not found:
        found += _layers(evidence, none=none)
        found += _kept_in_ram(reported, evidence) if not none else []
        found += [*_kv(reported, evidence)] or [*_attention_runs(evidence)]
    found += [*_held(watches, found), *_spill(differences)]
    return tuple(found)


def _no_gpu(evidence: Evidence) -> Iterator[Finding]:
    """Nothing is on a GPU: is there none, is it hidden, or can the build not use it?"""
    if evidence.asked_layers == 0:
        return
    if evidence.gpus_in_machine == 0:
        yield _finding(
            "no-gpu",
            "info",
            "This machine has no GPU that an engine could use.",
            (_listed(evidence),),
            "Nothing to mend: plan for a GPU with `vramctl plan MODEL --gpu NAME`.",
        )
    elif isinstance(evidence.backends, frozenset) and _is_cpu_build(evidence.backends, evidence.hidden_by):
        backends = ", ".join(sorted(evidence.backends)) or "none"
        yield _finding(
            "cpu-only-build",
            "error",
            "The engine is a CPU build: it has no GPU backend at all.",
            (f"its backends: {backends}",),
            "Install a build with a GPU backend; `vramctl doctor` says which one this driver runs.",
        )
    elif isinstance(evidence.hidden_by, str) and evidence.hidden_by:
        yield _finding(
            "visible-devices-hides-gpu",
            "error",
            f"{evidence.hidden_by} hides the GPU from the engine.",
            (f"{evidence.hidden_by} is set", _listed(evidence)),
            f"Unset {evidence.hidden_by.partition('=')[0]}, or name the GPU in it.",
        )
    elif evidence.gpus_listed == 0:
        yield _finding(
            "engine-lists-no-gpu",
            "error",
            "The engine has a GPU backend and lists no GPU.",
            (_listed(evidence),),
            "Run `vramctl doctor`: it finds the driver, library or setting that stands between them.",
        )


def _is_cpu_build(backends: frozenset[str], hidden_by: str | Unknown) -> bool:
    """Whether there is no GPU backend; one for Vulkan prints no system_info, and is known by its devices alone."""
    vulkan_hidden = isinstance(hidden_by, str) and hidden_by.startswith("GGML_VK_")
    return not backends & _GPU_BACKENDS and not vulkan_hidden


def _layers(evidence: Evidence, *, none: bool) -> Iterator[Finding]:
    on, total, asked = evidence.layers_on_gpu, evidence.layers_total, evidence.asked_layers
    if evidence.asked_layers == 0:
        yield _finding(
            "n-gpu-layers-zero",
            "error",
            "n_gpu_layers is 0: every layer stays in system memory.",
            ("n_gpu_layers 0 was asked for",),
            "Set n_gpu_layers to -1 (all), or let `vramctl plan` choose it.",
        )
        return
    if not isinstance(on, int) or not isinstance(total, int) or on >= total or none:
        return
    if on == total - 1:
        yield _finding(
            "one-layer-short",
            "warning",
            f"{on} of {total} layers are on the GPU: the output layer counts as one more.",
            (f"offloaded {on}/{total}",),
            f"Set n_gpu_layers to {total} (or -1).",
        )
        return
    because = [f"offloaded {on}/{total} layers"]
    if isinstance(asked, int) and 0 <= asked < total:
        yield _finding(
            "partial-offload",
            "warning",
            f"{total - on} of {total} layers run on the CPU because n_gpu_layers is {asked}.",
            (*because, f"n_gpu_layers {asked} was asked for"),
            f"Set n_gpu_layers to {total} (or -1) if memory allows: see `vramctl plan`.",
        )
        return
    yield _finding(
        "partial-offload",
        "warning",
        f"{total - on} of {total} layers run on the CPU: they did not fit.",
        tuple(because),
        "Shorten the context, quantise the KV cache or take a smaller quantisation: `vramctl plan` shows what fits.",
    )


def _kept_in_ram(reported: Placement, evidence: Evidence) -> Iterator[Finding]:
    if evidence.kept_in_ram:
        size = reported.host.weights_bytes
        yield _finding(
            "tensors-kept-in-ram",
            "warning",
            f"{evidence.kept_in_ram[0].upper()}{evidence.kept_in_ram[1:]} stay in system memory, as was asked for: each token "
            "waits for it.",
            (f"{size / GIB:.1f} GiB of weights in system memory",) if isinstance(size, int) else (),
            "If memory allows, keep fewer there (n_cpu_moe, tensor overrides): `vramctl plan` shows how few fit.",
        )


def _kv(reported: Placement, evidence: Evidence) -> Iterator[Finding]:
    host = reported.host.kv_bytes
    on_devices = sum(use.kv_bytes for use in reported.devices if isinstance(use.kv_bytes, int))
    if evidence.asked_kv_offload is False or (
        isinstance(host, int) and host > 0 and on_devices == 0 and _whole(evidence)
    ):
        size = f"{host / MIB:.0f} MiB of " if isinstance(host, int) else ""
        yield _finding(
            "offload-kqv-false",
            "error",
            f"The KV cache is in system memory ({size}KV), so attention runs on the CPU.",
            ("offload_kqv is off" if evidence.asked_kv_offload is False else "no KV buffer on a GPU",),
            "Leave offload_kqv at its default (True), or drop --no-kv-offload.",
        )


def _whole(evidence: Evidence) -> bool:
    on, total = evidence.layers_on_gpu, evidence.layers_total
    return isinstance(on, int) and isinstance(total, int) and on >= total


def _attention_runs(evidence: Evidence) -> Iterator[Finding]:
    k, v = evidence.type_k, evidence.type_v
    more = more_splits(evidence)
    if isinstance(k, str) and isinstance(v, str) and _no_kernel(k, v, evidence):
        yield from _kernel_missing(k, v, evidence, more)
    elif more:
        yield _finding(
            "attention-on-cpu",
            "error",
            "Operations of every layer run on the CPU although the layers are on the GPU.",
            (f"the graph has {evidence.graph_splits} splits, {evidence.planned_splits} were expected",),
            "Take the defaults for KV types and flash attention, and compare with `vramctl plan`.",
        )
    if evidence.asked_flash_attn == "off" or evidence.flash_attn in {"off", "disabled"}:
        yield _finding(
            "flash-attn-disabled",
            "warning",
            "Flash attention is off: more memory for long contexts, and slower.",
            ("flash_attn off was asked for",)
            if evidence.asked_flash_attn == "off"
            else ("the engine reports it disabled",),
            "Leave it at auto (llama-cpp-python: flash_attn=True).",
        )


def _no_kernel(k: str, v: str, evidence: Evidence) -> bool:
    """Whether this build (else: a default one) lacks an attention kernel for a cache of these types."""
    if isinstance(evidence.kv_kernels, frozenset):
        return f"{k}-{v}" not in evidence.kv_kernels
    return more_splits(evidence) is not False and (k != v or k not in _KERNEL_TYPES)


def _kernel_missing(k: str, v: str, evidence: Evidence, more: bool | None) -> Iterator[Finding]:
    listed = isinstance(evidence.kv_kernels, frozenset)
    where = {
        True: ": attention runs on the CPU.",
        False: ": K and V are converted to f16 on the GPU each time they are read, which costs speed and memory.",
        None: "; where attention runs is not known." if listed else "; whether this build has one is not known.",
    }[more]
    builds = "this build" if listed else "default CUDA builds"
    shown = [f"type_k {k}, type_v {v}"]
    if isinstance(evidence.kv_kernels, frozenset):
        shown.append(f"the build has kernels for {', '.join(sorted(evidence.kv_kernels))}")
    if more:
        shown.append(f"the graph has {evidence.graph_splits} splits, {evidence.planned_splits} were expected")
    own = f"GGML_CUDA_FA_QUANTS with {k}-{v}" if listed else "GGML_CUDA_FA_ALL_QUANTS"
    yield _finding(
        "quantized-kv-no-kernel",
        "error" if more else "warning",
        f"A KV cache of {k}/{v} has no attention kernel in {builds}{where}",
        tuple(shown),
        f"Use f16, q8_0 or q4_0 for both, or a build with {own}.",
    )


def _held(watches: Sequence[DeviceWatch], found: Sequence[Finding]) -> Iterator[Finding]:
    for watch in watches:
        held = watch.others_before_bytes
        if isinstance(held, int) and held > _OTHERS_MATTER_BYTES:
            whole = f" of {watch.total_bytes / GIB:.1f}" if isinstance(watch.total_bytes, int) else ""
            short = any(one.id == "partial-offload" for one in found)
            yield _finding(
                "vram-held-by-other",
                "warning" if short else "info",
                f"Other processes hold {held / GIB:.1f}{whole} GiB of {watch.name}.",
                (f"{held / GIB:.2f} GiB before the load",),
                "End them, or plan with what is left (`vramctl plan` counts only free memory).",
            )


def _spill(differences: Sequence[Difference]) -> Iterator[Finding]:
    spilled = [one for one in reversed(differences) if one.part == "used" and less_than_reported(one)]
    for one in {one.device: one for one in spilled}.values():
        yield _finding(
            "windows-sysmem-fallback",
            "error",
            f"{one.what}.",
            ("the device's own count is below the engine's",),
            "On Windows: NVIDIA control panel, CUDA - Sysmem Fallback Policy: Prefer No Sysmem Fallback; lower the context.",
        )


def _listed(evidence: Evidence) -> str:
    count = evidence.gpus_listed
    return f"GPUs that the engine lists: {count}" if isinstance(count, int) else "the engine's devices are not known"


def _finding(name: str, severity: str, what: str, because: tuple[str, ...], fix: str) -> Finding:
    return Finding(severity, what, because, fix, id=name)

"""Checks of ExLlama's attention: flash-attn in a version and build that fits, and the missing causal mask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from vramctl.checks.cuda_versions import dotted
from vramctl.checks.engine_facts import capabilities, gpu_name, name_of, version_numbers
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, known
from vramctl.records.facts import Engine, NvmlGpu, Platform, Torch
from vramctl.records.finding import ERROR, WARNING, Finding

_FLASH_TAG = re.compile(r"\+?cu(\d{2})\d?torch(\d+)\.(\d+)cxx11abi(TRUE|FALSE)", re.IGNORECASE)
_PAGED, _OLDEST_FLASH, _FLASH_4 = (2, 5, 7), (2, 2, 1), (4,)
_MASKLESS = ((0, 2, 9), (0, 3, 2))


def flash_attn_4_breaks_exllamav2(
    platform: Platform, engine: Engine, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """A `flash_attn` without a version (flash-attn 4, or a stray folder) ends ExLlamaV2's import.

    Why it matters: flash-attn 4 has no flash_attn/__init__.py, so `flash_attn.__version__` raises AttributeError, which
    ExLlamaV2
    does not catch: nothing works at all.

    How it is seen: from where `flash_attn` would be imported, and that its file tells no version; EXLLAMA_NO_FLASH_ATTN
    is not set.

    How sure: certain - read in exllamav2/attn.py (0.2.9 to 0.3.2) and seen with flash-attn-4 4.0.0b36.
    """
    if engine.kind != "exllamav2" or "EXLLAMA_NO_FLASH_ATTN" in environment:
        return
    origin, version = engine.package.get("flash_attn", ""), engine.package.get("flash_attn version", "")
    if origin and not version:
        four = engine.package.get("flash-attn-4", "")
        what = f"flash-attn {four}" if four else "a folder named flash_attn"
        yield Finding(
            ERROR,
            f"`import exllamav2` fails because of {what}: it has no version that {name_of(engine)} could read.",
            (
                f"flash_attn would be imported from {origin}",
                "AttributeError: module 'flash_attn' has no attribute '__version__'",
            ),
            BY_ID["flash-attn-4-breaks-exllamav2"].fix(platform.kind),
        )


def flash_attn_abi_mismatch(
    platform: Platform, engine: Engine, torch: Torch, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """flash-attn was built for another torch, CUDA or C++ ABI.

    Why it matters: its ImportError ("undefined symbol") is not caught by ExLlamaV2, so that `import exllamav2` itself fails.

    How it is seen: flash_attn_2_cuda is imported in a child process after torch; else the wheel's tag against torch's version,
    CUDA and ABI.

    How sure: certain. ExLlamaV3 does not use flash-attn.
    """
    if engine.kind != "exllamav2" or "EXLLAMA_NO_FLASH_ATTN" in environment or not engine.package.get("flash-attn"):
        return
    error = torch.import_errors.get("flash_attn_2_cuda", "")
    flash = engine.package["flash-attn"]
    tag = _FLASH_TAG.search(f"{flash} {engine.package.get('flash-attn url', '')}")
    because = [f"flash-attn {flash}", f"torch {torch.version}"]
    if error or (tag is not None and _other_build(tag, torch)):
        made = f"it was built for torch {tag[2]}.{tag[3]}, CUDA {tag[1]}, C++11 ABI {tag[4].upper()}" if tag else ""
        reason = error.splitlines()[0][:200] if error else made
        yield Finding(
            ERROR,
            f"flash-attn {flash} does not fit torch {torch.version}, so `import exllamav2` fails: {reason}",
            tuple(because + ([f"import flash_attn_2_cuda: {error}"] if error else [])),
            BY_ID["flash-attn-abi-mismatch"].fix(platform.kind),
        )


def _other_build(tag: re.Match[str], torch: Torch) -> bool:
    """Whether a wheel's tag names another torch minor version, CUDA major version or C++ ABI than the one installed."""
    if (int(tag[2]), int(tag[3])) != version_numbers(torch.version)[:2]:
        return True
    if isinstance(torch.cuda_version, tuple) and int(tag[1]) != torch.cuda_version[0]:
        return True
    return isinstance(torch.cxx11_abi, bool) and (tag[4].upper() == "TRUE") != torch.cxx11_abi


def flash_attn_pre_ampere(
    platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """flash-attn 2 is installed, and a GPU is older than Ampere.

    Why it matters: "FlashAttention only supports Ampere GPUs or newer" at the first prompt. ExLlamaV2 asks only whether
    any GPU is
    new enough, and says that flash attention is there.

    How it is seen: NVML's compute capabilities below 8.0, flash-attn's metadata, EXLLAMA_NO_FLASH_ATTN.

    How sure: certain for the GPUs that are used; in a mixed machine the old one may not be.
    """
    if engine.kind != "exllamav2" or "EXLLAMA_NO_FLASH_ATTN" in environment or not engine.package.get("flash-attn"):
        return
    old = [(gpu, capability) for gpu, capability in capabilities(gpus) if capability < (8, 0)]
    if old:
        gpu, capability = old[0]
        yield Finding(
            ERROR if len(old) == len(gpus) else WARNING,
            f"flash-attn 2 does not run on {gpu_name(gpu)} (compute capability {dotted(capability)}, it wants 8.0), and "
            f"{name_of(engine)} will try it.",
            (f"flash-attn {engine.package['flash-attn']}", "EXLLAMA_NO_FLASH_ATTN is not set"),
            BY_ID["flash-attn-pre-ampere"].fix(platform.kind),
        )


def exllamav2_no_causal_mask(platform: Platform, engine: Engine, environment: Mapping[str, str]) -> Iterator[Finding]:
    """ExLlamaV2 0.2.9 to 0.3.2 without flash-attn and xformers answers wrongly: prompts are read without a causal mask.

    Why it matters: every token of a prompt sees the tokens after it. The text degrades, no error is printed. Measured on
    an H200:
    argmax agreement with transformers 0 of 100 %; with flash-attn, or with EXLLAMA_NO_SDPA=1, all right.

    How it is seen: the version, and that neither flash-attn 2.2.1 or later nor xformers is installed (or both are
    switched off by
    EXLLAMA_NO_FLASH_ATTN and EXLLAMA_NO_XFORMERS), with EXLLAMA_NO_SDPA unset.

    How sure: certain for text models; models with soft-capped attention (Gemma 2) take another path that is right.
    """
    if engine.kind != "exllamav2":
        return
    version = version_numbers(known(engine.version))[:3]
    if not _MASKLESS[0] <= version <= _MASKLESS[1] or "EXLLAMA_NO_SDPA" in environment:
        return
    flash = version_numbers(engine.package.get("flash-attn", ""))
    has_flash = _OLDEST_FLASH <= flash < _FLASH_4 and "EXLLAMA_NO_FLASH_ATTN" not in environment
    has_xformers = bool(engine.package.get("xformers")) and "EXLLAMA_NO_XFORMERS" not in environment
    if not has_flash and not has_xformers:
        off = [name for name in ("EXLLAMA_NO_FLASH_ATTN", "EXLLAMA_NO_XFORMERS") if name in environment]
        yield Finding(
            ERROR,
            f"{name_of(engine)} without flash-attn gives wrong answers: it reads prompts without a causal mask.",
            (
                f"flash-attn: {engine.package.get('flash-attn') or 'not installed'}",
                f"xformers: {engine.package.get('xformers') or 'not installed'}",
                *(f"{name} is set" for name in off),
                "EXLLAMA_NO_SDPA is not set",
            ),
            BY_ID["exllamav2-no-causal-mask"].fix(platform.kind),
        )


def flash_attn_missing(platform: Platform, engine: Engine, environment: Mapping[str, str]) -> Iterator[Finding]:
    """ExLlamaV2 without flash-attn 2.5.7 or later (ExLlamaV3: without triton).

    Why it matters: the dynamic generator of ExLlamaV2 asserts "Paged attention required Flash Attention 2.5.7 or later";
    without
    it there is no batching and no page sharing. ExLlamaV3 uses Triton's kernels and falls back to slower ones.

    How it is seen: the packages' metadata; EXLLAMA_NO_FLASH_ATTN switches it off by its mere presence.

    How sure: certain.
    """
    package = engine.package
    if engine.kind == "exllamav2":
        version = version_numbers(package.get("flash-attn", ""))
        off = "EXLLAMA_NO_FLASH_ATTN" in environment
        if off or not _PAGED <= version < _FLASH_4:
            have = "switched off by EXLLAMA_NO_FLASH_ATTN" if off else package.get("flash-attn") or "not installed"
            yield Finding(
                WARNING,
                f"{name_of(engine)} has no flash-attn 2.5.7 or later ({have}): no paged attention, so no batching.",
                (f"flash-attn: {have}",),
                BY_ID["flash-attn-missing"].fix(platform.kind),
            )
    elif engine.kind == "exllamav3" and not (package.get("triton") or package.get("triton-windows")):
        yield Finding(
            WARNING,
            f"{name_of(engine)} has no triton: attention falls back to slower kernels.",
            ("triton: not installed",),
            "Install triton (Windows: triton-windows) in the version that torch asks for.",
        )


CHECKS: tuple[Check, ...] = (
    flash_attn_4_breaks_exllamav2,
    flash_attn_abi_mismatch,
    flash_attn_pre_ampere,
    exllamav2_no_causal_mask,
    flash_attn_missing,
)

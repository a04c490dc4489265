"""Checks of an Ollama server: whether its settings reach it, what it found, how it was told to place models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vramctl.checks.config_call import Asked, version_of
from vramctl.checks.doctor_config import gpu_here
from vramctl.checks.evidence import in_words
from vramctl.checks.failure_modes import BY_ID, environment_step
from vramctl.checks.modes_config import fix
from vramctl.checks.ollama_settings import ollama_variables, server_environment
from vramctl.checks.runner import Check, NotThere, known
from vramctl.records.facts import Nvml, OllamaServer, Platform
from vramctl.records.finding import Finding
from vramctl.records.unknown import Absent, Unknown

# Variables that only a client reads, or that differ between client and server by design.
_CLIENT_ONLY = frozenset({"OLLAMA_HOST", "OLLAMA_EDITOR", "OLLAMA_NOHISTORY", "OLLAMA_API_BASE"})
_OFF = frozenset({"0", "false", "f", "no", "off"})
_PLAIN_KV = frozenset({"", "f16", "fp16", "f32"})
# Folders of GPU backends under lib/ollama; any other value leaves none of them (discover/runner.go, v0.12.4 to v0.33.0-rc2).
_BACKENDS = ("cuda_", "rocm", "vulkan", "metal", "mlx_", "jetpack", "oneapi")
_DEFAULT_BY_VRAM, _OWN_FLASH, _AUTO_FLASH = (0, 15, 5), (0, 11, 8), (0, 30)


def ollama_wrong_instance(ollama: OllamaServer, platform: Platform) -> Iterator[Finding]:
    """
    Several Ollama servers run, and a client may talk to another one than the one that was set up.

    Why it matters: settings are changed on one server, requests go to the other; models are loaded twice.

    How it is seen: more than one process `ollama serve`, or `bind: address already in use` in a server's log.

    How sure: high - two servers on different ports can be meant; the finding names them.
    """
    listeners = known(ollama.listeners)
    if len(listeners) > 1:
        yield Finding(
            "warning", f"{len(listeners)} Ollama servers run; a client reaches the one at {ollama.url}.",
            tuple(f"process: {line[:120]}" for line in listeners[:4]), BY_ID["ollama-wrong-instance"].fix(platform.kind),
        )  # fmt: skip


def ollama_env_not_in_service(ollama: OllamaServer, platform: Platform, log: Any = None) -> Iterator[Finding]:
    """
    OLLAMA_* variables are set in the shell, but the server does not have them.

    Why it matters: the server is a service or a desktop app with an environment of its own; .bashrc, export and sudo do not
    reach it, so the settings have no effect.

    How it is seen: variables of this shell against those of the server's process, its unit, or the `server config` line of its
    log.

    How sure: certain where the server's variables can be read.
    """
    ours = known(ollama.client_environment)
    theirs = server_environment(ollama, log)
    missing = {
        name: value for name, value in ours.items()
        if name.startswith(("OLLAMA_", "CUDA_VISIBLE")) and name not in _CLIENT_ONLY and not _equal(theirs.get(name), value)
    }  # fmt: skip
    if not missing:
        return
    names = ", ".join(sorted(missing))
    where = f"unit {ollama.unit}" if isinstance(ollama.unit, str) else f"server at {ollama.url}"
    first = f"{next(iter(sorted(missing)))}={missing[next(iter(sorted(missing)))]}"
    yield Finding(
        "warning", f"{names} {'is' if len(missing) == 1 else 'are'} set in this shell, but the Ollama server does not have "
        f"{'it' if len(missing) == 1 else 'them'}.",
        tuple(f"shell: {name}={value}; {where}: {theirs.get(name) or 'not set'}" for name, value in sorted(missing.items())[:6]),
        environment_step(first, platform.kind) if len(missing) == 1 else fix("ollama-env-not-in-service", platform=platform.kind),
    )  # fmt: skip


def _equal(theirs: str | None, ours: str) -> bool:
    if theirs is None:
        return False
    truth = {"1": "true", "0": "false"}
    one, other = theirs.strip("\"' ").lower(), ours.strip("\"' ").lower()
    return truth.get(one, one) == truth.get(other, other) or one.startswith(other)


def ollama_llm_library_override(
    platform: Platform, ollama: Any = None, calls: Any = None, log: Any = None
) -> Iterator[Finding]:
    """
    OLLAMA_LLM_LIBRARY takes the choice of a backend away from the server.

    Why it matters: from v0.12.4 on every backend folder with another name is left out, so that `cpu`, `cpu_avx2` or the name
    of a backend that is not installed leave the CPU; before, a name that exists replaced what was found.

    How it is seen: the variable in the server's environment, its log's `server config` line, or a given .env or unit.

    How sure: certain.
    """
    for where, variables in ollama_variables(ollama, calls, log):
        value = variables.get("OLLAMA_LLM_LIBRARY", "").strip("\"' ")
        if not value:
            continue
        gpu = value.startswith(_BACKENDS)
        yield Finding(
            "warning" if gpu else "error",
            f"OLLAMA_LLM_LIBRARY={value} forces that backend"
            + ("." if gpu else ": no GPU backend has that name, so the CPU is used."),
            (f"{where}: OLLAMA_LLM_LIBRARY={value}",), BY_ID["ollama-llm-library-override"].fix(platform.kind),
        )  # fmt: skip


def ollama_no_gpu_found(ollama: OllamaServer, platform: Platform, nvml: Any = None) -> Iterator[Finding]:
    """
    Ollama runs a model on the CPU alone, although the machine has a GPU.

    Why it matters: it is a symptom: its search for GPUs ended with none, and everything it runs is slow.

    How it is seen: `size_vram` 0 of a loaded model (`/api/ps`), or `inference compute ... library=cpu` in the log. The old
    sentence "no compatible GPUs were discovered" exists in v0.2.0 to v0.12.3 only.

    How sure: certain that the GPU is not used; why is for the checks before this one, or for OLLAMA_DEBUG=1.
    """
    models = known(ollama.models)
    if not isinstance(nvml, Nvml) or not nvml.gpus:
        raise NotThere("no GPU is known here that it could use")
    unused = [model for model in models if model.vram_bytes == 0 and model.num_gpu != 0]
    if unused:
        yield Finding(
            "error", f"Ollama runs {unused[0].name} on the CPU alone, although there is a GPU ({nvml.gpus[0].name}).",
            tuple(f"/api/ps: {model.name} size {_size(model.size_bytes)}, size_vram 0" for model in unused),
            BY_ID["ollama-no-gpu-found"].fix(platform.kind),
        )  # fmt: skip


def ollama_num_gpu_forced(
    platform: Platform, ollama: Any = None, calls: Any = None, nvml: Any = None, pci: Any = None
) -> Iterator[Finding]:
    """
    num_gpu pins how many layers go to the GPU.

    Why it matters: num_gpu counts layers, not GPUs. 1 puts one layer on the GPU, 0 none, 999 more than may fit; the default -1
    lets the server decide by what is free.

    How it is seen: a parameter of the loaded model (`/api/show`), `PARAMETER num_gpu` of a Modelfile, num_gpu in a source's
    options, or the request in the log.

    How sure: certain.
    """
    found = False
    for call in calls if isinstance(calls, tuple) else ():
        asked = Asked.of(call)
        found = found or asked.program == "ollama"
        number = asked.number("num_gpu") if asked.program == "ollama" else None
        if number is not None and number >= 0:
            forced = _forced(number, asked.where, asked.at("num_gpu"), platform)
            if number > 1:  # as many as are wanted, perhaps all: whether they fit is not for the file to tell
                forced = replace(forced, severity="info")
            elif gpu_here(nvml, pci, platform) is False:
                forced = replace(forced, severity="warning")
            yield forced
    if isinstance(ollama, OllamaServer):
        for model in known(ollama.models):
            if isinstance(model.num_gpu, int) and model.num_gpu >= 0 and model.vram_bytes != model.size_bytes:
                yield _forced(model.num_gpu, model.name, (f"/api/show: parameter num_gpu {model.num_gpu}",), platform)
    elif not found:
        known(ollama if isinstance(ollama, Unknown | Absent) else Absent("there is no Ollama server"))


def _forced(number: int, where: str, because: tuple[str, ...], platform: Platform) -> Finding:
    what = {0: "keeps the model off the GPU", 1: "puts one single layer on the GPU: it counts layers, not GPUs"}
    return Finding(
        "error" if number == 0 else "warning",
        f"{where}: num_gpu {number} {what.get(number, f'asks for {number} layers, whether they fit or not')}.",
        because, BY_ID["ollama-num-gpu-forced"].fix(platform.kind),
    )  # fmt: skip


def ollama_kv_type_without_fa(
    platform: Platform, ollama: Any = None, calls: Any = None, log: Any = None
) -> Iterator[Finding]:
    """
    OLLAMA_KV_CACHE_TYPE asks for a quantised cache that flash attention does not allow.

    Why it matters: without flash attention the type is dropped with a warning (up to v0.29), and the cache takes twice or four
    times what was planned; from v0.30 on the type is always handed on, so that OLLAMA_FLASH_ATTENTION=0 makes the load fail.

    How it is seen: both variables in the server's environment or a given .env. v0.5.0 to v0.11.7 need
    OLLAMA_FLASH_ATTENTION=1; from v0.11.8 some model families have it by default; from v0.30 it is automatic.

    How sure: high - certain but for v0.11.8 to v0.29, where it depends on the model.
    """
    version = version_of(ollama.version) if isinstance(ollama, OllamaServer) and isinstance(ollama.version, str) else ()
    for where, variables in ollama_variables(ollama, calls, log):
        kv = variables.get("OLLAMA_KV_CACHE_TYPE", "").strip("\"' ").lower()
        flash = variables.get("OLLAMA_FLASH_ATTENTION", "").strip("\"' ").lower()
        if kv in _PLAIN_KV or (flash and flash not in _OFF):
            continue
        because = (f"{where}: OLLAMA_KV_CACHE_TYPE={kv}, OLLAMA_FLASH_ATTENTION {'=' + flash if flash else 'not set'}",)
        step = environment_step("OLLAMA_FLASH_ATTENTION=1", platform.kind)
        if version >= _AUTO_FLASH or (not version and flash in _OFF):
            if flash in _OFF:
                yield Finding(
                    "error",
                    f"OLLAMA_KV_CACHE_TYPE={kv} with flash attention off: the runner refuses a quantised V cache.",
                    because,
                    step,
                )
        elif version:
            some = version >= _OWN_FLASH and not flash
            families = ": only some model families have it by default" if some else ""
            told = (*because, f"Ollama {'.'.join(map(str, version))}{families}")
            yield Finding(
                "warning",
                f"OLLAMA_KV_CACHE_TYPE={kv} has no effect without flash attention"
                + (", except for models that have it by default." if some else "."),
                told, step,
            )  # fmt: skip
        else:
            yield Finding(
                "info",
                f"OLLAMA_KV_CACHE_TYPE={kv} needs OLLAMA_FLASH_ATTENTION=1 in Ollama before v0.30.",
                because,
                step,
            )


def ollama_context_default(ollama: OllamaServer, platform: Platform, log: Any = None) -> Iterator[Finding]:
    """
    The context is the server's default, and it does not suit.

    Why it matters: the default was 2048 tokens up to v0.6.6 and 4096 up to v0.15.4, so that long prompts are cut without an
    error. Since v0.15.5 it goes by the GPUs' memory (4096, 32768 from 23 GiB on, 262144 from 47 GiB on): after an update the
    same model may no longer fit.

    How it is seen: `context_length` and `size_vram` of `/api/ps` with OLLAMA_CONTEXT_LENGTH not set; prompts that were cut in
    the log.

    How sure: certain for the numbers; a Modelfile's or a client's num_ctx may have set the same value.
    """
    for model in known(ollama.models):
        size, vram, context = model.size_bytes, model.vram_bytes, model.context
        if (
            not isinstance(size, int)
            or not isinstance(vram, int)
            or not isinstance(context, int)
            or not 0 < vram < size
        ):
            continue
        version = version_of(ollama.version) if isinstance(ollama.version, str) else ()
        if (
            context not in {32768, 262144}
            or version < _DEFAULT_BY_VRAM
            or _is_set(ollama, log, "OLLAMA_CONTEXT_LENGTH")
        ):
            continue
        yield Finding(
            "warning",
            f"{model.name} got a context of {context} tokens by default, and {in_words(size - vram)} do not fit on the GPU.",
            (f"/api/ps: {model.name} context_length {context}, size {_size(size)}, size_vram {_size(vram)}",
             f"Ollama {ollama.version} chooses the context by the GPUs' memory; OLLAMA_CONTEXT_LENGTH is not set"),
            environment_step("OLLAMA_CONTEXT_LENGTH=16384", platform.kind),
        )  # fmt: skip


def _is_set(ollama: OllamaServer, log: object, name: str) -> bool:
    return server_environment(ollama, log).get(name, "0").strip("\"' ") not in {"", "0"}


def _size(value: object) -> str:
    return in_words(value) if isinstance(value, int) else "unknown"


SERVER_CHECKS: tuple[Check, ...] = (
    ollama_wrong_instance,
    ollama_env_not_in_service,
    ollama_llm_library_override,
    ollama_num_gpu_forced,
)
MODEL_CHECKS: tuple[Check, ...] = (ollama_no_gpu_found, ollama_kv_type_without_fa, ollama_context_default)

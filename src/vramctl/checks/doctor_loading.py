"""Checks of an engine's start: do its backends load, does CUDA start in it, does it answer at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from vramctl.checks.engine_facts import (
    EXLLAMA,
    LLAMA,
    cuda_libraries,
    gpu_name,
    init_error,
    lists_gpu,
    log_lines,
    name_of,
)
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, known
from vramctl.records.facts import Engine, NvmlGpu, Platform
from vramctl.records.finding import ERROR, WARNING, Finding


def ggml_dll_conflict_in_path(platform: Platform, engine: Engine, foreign_ggml: Sequence[str]) -> Iterator[Finding]:
    """Another program's ggml libraries stand in the search path and are loaded instead of the engine's own.

    Why it matters: libraries of two builds in one process crash, or find no GPU backend. LD_LIBRARY_PATH beats an engine's own
    folder on Linux; on Windows PATH does for programs whose own folder lacks the file.

    How it is seen: files named like ggml's libraries in the folders of LD_LIBRARY_PATH (Linux) or PATH (Windows), outside the
    engine's own folder.

    How sure: high - that they come first is the loader's rule; whether they fit together only their use shows.
    """
    if engine.kind in EXLLAMA or (platform.system == "windows" and engine.kind not in ("ollama", "llama.cpp")):
        return
    own = {_folder(library.path) for library in engine.libraries} | {
        _folder(engine.path),
        _folder(engine.package.get("real", "")),
    }
    wanted = {name for library in engine.libraries for name in library.needed if "ggml" in name.lower()}
    foreign = [path for path in foreign_ggml if _folder(path) not in own]
    if platform.system != "windows":
        foreign = [path for path in foreign if _base(path) in wanted]
    if foreign:
        yield Finding(
            ERROR if _broken(engine) else WARNING,
            f"{name_of(engine)} takes ggml libraries of another program: {_folder(foreign[0])} stands in the search path.",
            (f"found there: {', '.join(_base(path) for path in foreign[:4])}",
             f"its own are in {next(iter(sorted(own - {''})), '?')}",
             *log_lines(engine, r"incompatible|undefined symbol")),
            BY_ID["ggml-dll-conflict-in-path"].fix(platform.kind).replace("FOLDER", _folder(foreign[0])),
        )  # fmt: skip


def ggml_backend_api_mismatch(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """A backend library comes from another build of ggml than the program that loads it.

    Why it matters: the backend is refused and the CPU is used. It happens when two releases are unpacked into one
    folder, or when
    GGML_BACKEND_DIR still names an old one.

    How it is seen: ggml's own line when the engine is started to list its devices.

    How sure: certain - ggml compares the two version numbers and says so.
    """
    for line in log_lines(engine, r"failed to initialize backend from .*incompatible API version", most=1):
        yield Finding(
            ERROR,
            f"{name_of(engine)} refuses a backend library of another build.",
            (line,),
            BY_ID["ggml-backend-api-mismatch"].fix(platform.kind),
        )


def ggml_cuda_backend_not_loaded(platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """The CUDA backend's library is there, and the engine does not load it.

    Why it matters: in release builds a backend that cannot be loaded is skipped without an error, and the CPU does the work.

    How it is seen: the engine has a CUDA library, lists no GPU, and its log has no line of that backend's start.

    How sure: high - that it was not loaded is a fact; the reason is one of those named in the evidence.
    """
    libraries = cuda_libraries(engine)
    if engine.kind not in LLAMA or not libraries or not gpus:
        return
    devices = known(engine.devices)
    if lists_gpu(engine) or any("ggml_cuda_init" in line for line in engine.log):
        return
    listed = ", ".join(device.name for device in devices) or "nothing"
    missing = sorted({name for library in libraries if isinstance(library.missing, tuple) for name in library.missing})
    yield Finding(
        ERROR,
        f"{name_of(engine)} does not load its CUDA backend: it lists {listed}, and {_base(libraries[0].path)} is there.",
        (f"CUDA backend: {libraries[0].path}", f"not found: {', '.join(missing)}" if missing else "its imports are all found",
         *log_lines(engine, r"load_backend|GGML_BACKEND")),
        BY_ID["ggml-cuda-backend-not-loaded"].fix(platform.kind),
    )  # fmt: skip


def ggml_cuda_init_failed(
    platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """The engine's CUDA backend was loaded and could not start.

    Why it matters: the engine goes on with the CPU. This speaks only where no earlier check knows why.

    How it is seen: the line "failed to initialize CUDA" when the engine is started to list its devices, with a GPU that
    NVML lists.

    How sure: high - the line is the engine's own; the cause is what CUDA's text says.
    """
    text = init_error(engine)
    hidden = "CUDA_VISIBLE_DEVICES" in environment and text is not None and "no CUDA-capable device" in text
    if text is None or lists_gpu(engine) or hidden or not gpus:
        return
    yield Finding(
        ERROR,
        f"{name_of(engine)} could not start CUDA: {text}.",
        (*log_lines(engine, r"failed to initialize"), f"NVML lists {', '.join(gpu_name(gpu) for gpu in gpus)}"),
        BY_ID["ggml-cuda-init-failed"].fix(platform.kind),
    )


def engine_does_not_load(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """The engine's own library cannot be loaded.

    Why it matters: nothing of it works, with or without a GPU. This speaks where the missing file or version is not known.

    How it is seen: its library is loaded in a child process of its interpreter; the loader's message is the evidence.

    How sure: certain - the loader's own message.
    """
    if isinstance(engine.import_error, str) and engine.import_error:
        yield Finding(
            ERROR,
            f"{name_of(engine)} cannot be loaded: {_short(engine.import_error)}",
            (f"loading it in {engine.python if isinstance(engine.python, str) else engine.path}", engine.import_error),
            BY_ID["engine-does-not-load"].fix(platform.kind),
        )


def engine_does_not_answer(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """The engine crashes or hangs while it starts and lists its devices.

    Why it matters: no model is loaded by that, so every use of it ends the same way. (An illegal instruction is told by another
    check: then the processor is too old for the build.)

    How it is seen: it is started in a child process with a limit of ten seconds.

    How sure: high - the signal or the time limit is a fact; drivers that hang at the first start after boot may need longer.
    """
    ended = engine.ended if isinstance(engine.ended, str) else ""
    if not ended or ended in ("SIGILL", "illegal instruction") or ended.startswith("exit code"):
        return
    if any("out of memory" in line for line in engine.log):  # a full GPU: told by who holds its memory
        return
    last = [line for line in engine.log if line.strip()][-2:]
    how = "hangs" if ended.startswith("timeout") else "crashes"
    yield Finding(
        WARNING if ended.startswith("timeout") else ERROR,
        f"{name_of(engine)} {how} while it lists its devices ({ended}).",
        (f"a child process that lists its devices: {ended}", *(f"its last output: {line.strip()}" for line in last)),
        BY_ID["engine-does-not-answer"].fix(platform.kind),
    )


def _broken(engine: Engine) -> bool:
    """Whether it does not load, or has a CUDA library and no GPU."""
    if lists_gpu(engine):
        return False
    failed = isinstance(engine.import_error, str) and bool(engine.import_error)
    return failed or bool(cuda_libraries(engine)) or bool(isinstance(engine.ended, str) and engine.ended)


def _short(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= 200 else f"{line[:200]}..."


def _base(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _folder(path: str) -> str:
    return path[: max(path.rfind("/"), path.rfind("\\"), 0)]


CHECKS: tuple[Check, ...] = (
    ggml_dll_conflict_in_path,
    ggml_backend_api_mismatch,
    ggml_cuda_backend_not_loaded,
    ggml_cuda_init_failed,
    engine_does_not_load,
    engine_does_not_answer,
)

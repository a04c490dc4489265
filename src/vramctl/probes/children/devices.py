"""Loads an engine's ggml libraries as the engine does, and lists the devices that it finds; no model is loaded.

Arguments: the folder of the libraries, the main library's path.  Function names and the order of the device types are
those of ggml-backend.h (ggml 0.9 to 0.26; before 0.9.4 type 2 was the accelerator).
"""

# ruff: noqa: PTH118, PTH208
from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

Json = Any

_KINDS = ("cpu", "gpu", "igpu", "accel", "meta")
_ACCELERATORS = ("BLAS", "AMX", "ACCEL", "ZENDNN", "KLEIDIAI")
_LOG: list[str] = []


def say(stream: int, answer: Json) -> None:
    """Write one answer; later ones add to it."""
    os.write(stream, f"\nVRAMCTL-JSON {json.dumps(answer)}\n".encode())


def own_stdout() -> int:
    """The standard output for answers; what libraries print goes to the standard error."""
    stream = os.dup(1)
    os.dup2(2, 1)
    return stream


def libraries(folder: str, main_path: str) -> list[Any]:
    """The loaded libraries, the main one first; OSError where it cannot be loaded."""
    options: Json = {}
    if sys.platform == "win32":  # what llama_cpp/_ctypes_extensions.py does
        os.environ["PATH"] = folder + os.pathsep + os.environ.get("PATH", "")
        places = [folder]
        for name in ("CUDA_PATH", "HIP_PATH"):
            if name in os.environ:
                places += [os.path.join(os.environ[name], part) for part in ("bin", "lib")]
        for place in places:
            os.add_dll_directory(place)  # type: ignore[attr-defined]
        options["winmode"] = 0
    found = [ctypes.CDLL(main_path, **options)]
    for name in sorted(os.listdir(folder)):
        stem = name[3:] if name.startswith("lib") else name
        if stem.split(".")[0] in ("ggml", "ggml-base", "llama") and name.endswith((".so", ".dylib", ".dll")):
            found.append(ctypes.CDLL(os.path.join(folder, name), **options))
    return found


def function(libs: list[Any], name: str, result: Any, *arguments: Any) -> Any:
    """A function of the first library that has it; None where none has."""
    for lib in libs:
        found = getattr(lib, name, None)
        if found is not None:
            found.restype, found.argtypes = result, list(arguments)
            return found
    return None


def listen(libs: list[Any]) -> Any:
    """Keep what the engine logs. Returned so that the callback stays alive."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

    def keep(level: int, text: bytes, _: Any) -> None:
        if len(_LOG) < 400:
            _LOG.append((text or b"").decode("utf-8", "replace"))

    callback = kind(keep)
    for name in ("llama_log_set", "ggml_log_set"):
        log_set = function(libs, name, None, kind, ctypes.c_void_p)
        if log_set is not None:
            log_set(callback, None)
    return callback


def text(value: bytes | None) -> str:
    """C text, empty for NULL."""
    return (value or b"").decode("utf-8", "replace")


def devices(libs: list[Any]) -> list[Json] | None:
    """All devices of the registry; None where this build is too old to have one."""
    count = function(libs, "ggml_backend_dev_count", ctypes.c_size_t)
    at = function(libs, "ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    if count is None or at is None:
        return None
    name = function(libs, "ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
    description = function(libs, "ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
    kind = function(libs, "ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    registry = function(libs, "ggml_backend_dev_backend_reg", ctypes.c_void_p, ctypes.c_void_p)
    registry_name = function(libs, "ggml_backend_reg_name", ctypes.c_char_p, ctypes.c_void_p)
    if name is None or description is None or kind is None:
        return None
    found = []
    for index in range(min(count(), 64)):
        device = at(index)
        number = kind(device)
        one: Json = {"name": text(name(device)), "description": text(description(device))}
        one["kind"] = _KINDS[number] if 0 <= number < len(_KINDS) else str(number)
        if one["kind"] == "igpu" and one["name"].upper().startswith(_ACCELERATORS):
            one["kind"] = "accel"
        one["backend"] = text(registry_name(registry(device))) if registry and registry_name else ""
        found.append(one)
    return found


def add_memory(libs: list[Any], found: list[Json]) -> None:
    """Free and total memory of each device. On CUDA this makes a context: on a full GPU ggml ends the process there."""
    at = function(libs, "ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    memory = function(libs, "ggml_backend_dev_memory", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    for index, one in enumerate(found if memory is not None else []):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        memory(at(index), ctypes.byref(free), ctypes.byref(total))
        one["free_bytes"], one["total_bytes"] = free.value, total.value


def main() -> None:
    """Load, start, list; what is known so far is said before each step that may end the process."""
    stream = own_stdout()
    folder, main_path = sys.argv[1:3]
    answer: Json = {"stage": "loading"}
    say(stream, answer)
    try:
        libs = libraries(folder, main_path)
    except OSError as error:
        say(stream, dict(answer, load_error=str(error)))
        return
    callback = listen(libs)
    say(stream, dict(answer, stage="starting"))
    start = function(libs, "llama_backend_init", None)
    if start is not None:
        start()
    registered = function(libs, "ggml_backend_reg_count", ctypes.c_size_t)
    load_all = function(libs, "ggml_backend_load_all_from_path", None, ctypes.c_char_p)
    if registered is not None and load_all is not None and registered() == 0:  # backends are files of their own
        load_all(folder.encode())
    answer = {"stage": "listing", "log": _LOG}
    say(stream, answer)
    answer["devices"] = devices(libs)
    offload = function(libs, "llama_supports_gpu_offload", ctypes.c_bool)
    if offload is not None:
        answer["supports_gpu_offload"] = bool(offload())
    info = function(libs, "llama_print_system_info", ctypes.c_char_p)
    if info is not None:
        answer["system_info"] = text(info())
    if answer["devices"]:
        say(stream, dict(answer, stage="memory", log=list(_LOG)))
        add_memory(libs, answer["devices"])
    answer["stage"] = "done"
    say(stream, dict(answer, log=list(_LOG)))
    del callback
    os._exit(0)  # backends may crash while they are torn down: that is not what was asked


if __name__ == "__main__":
    main()

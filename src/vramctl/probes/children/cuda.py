"""Starts the CUDA driver as any program would, and says what it answers."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

Json = Any

_NAMES = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")


def say(stream: int, answer: Json) -> None:
    """Write one answer; later ones add to it."""
    os.write(stream, f"\nVRAMCTL-JSON {json.dumps(answer)}\n".encode())


def own_stdout() -> int:
    """The standard output for answers; what libraries print goes to the standard error."""
    stream = os.dup(1)
    os.dup2(2, 1)
    return stream


def mapped_path(part: str) -> str:
    """The file that the loader took, from the process's own map; empty where that cannot be read."""
    try:
        with open("/proc/self/maps") as maps:
            for line in maps:
                path = line.rstrip("\n").partition("/")
                if path[1] and part in path[2].rsplit("/", 1)[-1]:
                    return "/" + path[2]
    except OSError:
        pass
    return ""


def load() -> tuple[Any, str, list[str]]:
    """The driver library, and why each name could not be loaded."""
    errors: list[str] = []
    for name in _NAMES:
        try:
            return (ctypes.WinDLL if sys.platform == "win32" else ctypes.CDLL)(name), name, errors  # type: ignore[attr-defined]
        except (OSError, AttributeError) as error:
            errors.append(str(error))
    return None, "", errors


def error_name(lib: Any, code: int) -> str:
    """CUDA's name of an error code, empty where the driver has none."""
    text = ctypes.c_char_p()
    try:
        lib.cuGetErrorName(ctypes.c_int(code), ctypes.byref(text))
    except AttributeError:
        return ""
    return (text.value or b"").decode("ascii", "replace")


def gpu(lib: Any, index: int) -> Json:
    """One GPU: name, UUID, PCI address, compute capability, memory."""
    device, number, text = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    found: Json = {"index": index}
    code = lib.cuDeviceGet(ctypes.byref(device), ctypes.c_int(index))
    if code:
        found["error"] = code
        return found
    if lib.cuDeviceGetName(text, 256, device) == 0:
        found["name"] = text.value.decode("utf-8", "replace")
    if lib.cuDeviceGetPCIBusId(text, 64, device) == 0:
        found["pci_address"] = text.value.decode("ascii", "replace").lower()
    major, minor = ctypes.c_int(), ctypes.c_int()
    codes = [lib.cuDeviceGetAttribute(ctypes.byref(n), a, device) for n, a in ((major, 75), (minor, 76))]
    if codes == [0, 0]:
        found["compute_capability"] = [major.value, minor.value]
    if lib.cuDeviceGetAttribute(ctypes.byref(number), 18, device) == 0:
        found["integrated"] = bool(number.value)
    total = ctypes.c_size_t()
    for call in ("cuDeviceTotalMem_v2", "cuDeviceTotalMem"):
        if hasattr(lib, call) and getattr(lib, call)(ctypes.byref(total), device) == 0:
            found["total_bytes"] = total.value
            break
    raw = ctypes.create_string_buffer(16)
    for call in ("cuDeviceGetUuid_v2", "cuDeviceGetUuid"):
        if hasattr(lib, call) and getattr(lib, call)(raw, device) == 0:
            digits = raw.raw.hex()
            parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
            found["uuid"] = "GPU-" + "-".join(parts)
            break
    return found


def main() -> None:
    """Load, ask the version, start, list."""
    stream = own_stdout()
    lib, name, errors = load()
    if lib is None:
        say(stream, {"library": None, "errors": errors})
        return
    answer: Json = {"library": mapped_path("libcuda.so") or name}
    version = ctypes.c_int()
    if lib.cuDriverGetVersion(ctypes.byref(version)) == 0:
        answer["driver_version"] = version.value
    say(stream, answer)
    code = lib.cuInit(0)
    answer["init"] = code
    answer["init_name"] = "" if code == 0 else error_name(lib, code)
    if code == 0:
        count = ctypes.c_int()
        counted = lib.cuDeviceGetCount(ctypes.byref(count))
        answer["count_code"] = counted
        answer["gpus"] = [gpu(lib, index) for index in range(min(count.value, 64))] if counted == 0 else []
    say(stream, answer)


if __name__ == "__main__":
    main()

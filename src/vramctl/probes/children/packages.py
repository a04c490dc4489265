"""What is installed for an interpreter, from metadata and files: nothing of it is imported."""

# ruff: noqa: PTH111, PTH112, PTH113, PTH118, PTH120, PTH207, PTH208 - only names of Python 3.8 on any system
from __future__ import annotations

import sys

_FIRST = sys.path[0] if sys.path else None
if _FIRST in ("", "."):
    del sys.path[0]  # modules of the standard library must not come from the current folder

import contextlib  # noqa: E402
import glob  # noqa: E402
import importlib.machinery  # noqa: E402
import importlib.metadata  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import re  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
from typing import Any  # noqa: E402

Json = Any

if _FIRST in ("", "."):
    sys.path.insert(0, _FIRST)

_PACKAGES = ("llama-cpp-python", "xllamacpp", "exllamav2", "exllamav3", "flash-attn", "flash-attn-4", "xformers", "triton",
             "triton-windows", "torch")  # fmt: skip
_WITH_LIBRARIES = ("llama-cpp-python", "xllamacpp", "exllamav2", "exllamav3")
_MODULES = ("llama_cpp", "xllamacpp", "exllamav2", "exllamav3", "exllamav2_ext", "exllamav3_ext", "flash_attn",
            "flash_attn_2_cuda", "xformers", "triton", "torch")  # fmt: skip
_ENDINGS = (".so", ".dll", ".dylib", ".pyd")
_LIBRARY = re.compile(r"\.(?:so|dll|dylib|pyd)(?:\.[0-9.]+)?$")


def normal(name: str | None) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name or "").lower()


def distribution(found: Any) -> Json:
    """One installed copy: version, place, libraries, how it came here."""
    wheel = found.read_text("WHEEL") or ""
    direct = {}
    with contextlib.suppress(ValueError):
        direct = json.loads(found.read_text("direct_url.json") or "{}")
    listed = normal(found.metadata["Name"]) in _WITH_LIBRARIES  # torch's list alone has twenty thousand lines
    files = (found.files or ()) if listed else ()
    libraries = [str(found.locate_file(file)) for file in files if _LIBRARY.search(file.name)]
    return {
        "version": found.version,
        "location": str(found.locate_file("")),
        "libraries": libraries[:200],
        "tags": re.findall(r"^Tag:\s*(\S+)", wheel, re.M)[:4],
        "installer": (found.read_text("INSTALLER") or "").strip(),
        "url": str(direct.get("url", "")),
        "editable": bool(direct.get("dir_info", {}).get("editable")),
    }


def installed() -> Json:
    """All copies of the packages in question, by name, in the order of the search path."""
    found: Json = {}
    for name in _PACKAGES:
        copies: list[Json] = []
        for one in importlib.metadata.distributions(name=name):
            if normal(one.metadata["Name"]) != name:
                continue
            copy = distribution(one)
            if all(os.path.realpath(copy["location"]) != os.path.realpath(other["location"]) for other in copies):
                copies.append(copy)
        if copies:
            found[name] = copies
    return found


def origins() -> Json:
    """Where each module would be imported from; None where it would not be found."""
    found: Json = {}
    for name in _MODULES:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            spec = None
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        found[name] = (spec.origin or (places[0] if places else None)) if spec is not None else None
        if spec is not None and spec.origin is None:
            found[name + " namespace"] = True
    return found


def torch_says(origin: str | None) -> Json:
    """torch's version file, read and not run."""
    if not origin:
        return {}
    try:
        with open(os.path.join(os.path.dirname(origin), "version.py"), encoding="utf-8") as file:
            text = file.read(65536)
    except OSError:
        return {}
    return dict(re.findall(r"^(__version__|cuda|hip|debug)\b[^=\n]*=\s*['\"]?([^'\"\n]*)", text, re.M))


def flash_attn_says(origin: str | None) -> str | None:
    """flash_attn's own version; None where its folder has no __init__.py that tells one."""
    try:
        with open(origin or "", encoding="utf-8") as file:
            found = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", file.read(65536), re.M)
    except OSError:
        return None
    return found.group(1) if found else None


def beside(origin: str | None) -> list[str]:
    """The libraries in a package's folder and its `lib`, also where no metadata lists them."""
    if not origin:
        return []
    folder = os.path.dirname(origin)
    found = []
    for place in (folder, os.path.join(folder, "lib")):
        names = sorted(os.listdir(place)) if os.path.isdir(place) else []
        found += [os.path.join(place, name) for name in names if _LIBRARY.search(name)]
    return found[:200]


def built_before(name: str) -> list[str]:
    """Extensions that torch built at an earlier import."""
    root = os.environ.get("TORCH_EXTENSIONS_DIR") or os.path.expanduser("~/.cache/torch_extensions")
    found = []
    for ending in _ENDINGS:
        found += glob.glob(os.path.join(root, "*", name, name + "*" + ending))
        found += glob.glob(os.path.join(root, name, name + "*" + ending))
    return sorted(found)[:8]


def loader_text(origin: str | None) -> bool | None:
    """Whether llama_cpp's loader knows the folder bin\\x64 of CUDA 13; None where it cannot be read."""
    try:
        path = os.path.join(os.path.dirname(origin or ""), "_ctypes_extensions.py")
        with open(path, encoding="utf-8") as file:
            return "x64" in file.read(65536)
    except OSError:
        return None


def msvc() -> str | None:
    """A Visual C++ compiler where exllamav2/ext.py looks for one; None where there is none."""
    for root in ("ProgramW6432", "ProgramFiles", "ProgramFiles(x86)"):
        pattern = os.path.join(os.environ.get(root, ""), "Microsoft Visual Studio", "20*", "*", "VC", "Tools", "MSVC", "*",
                               "bin", "Hostx64", "x64", "cl.exe")  # fmt: skip
        found = glob.glob(pattern) if os.environ.get(root) else []
        if found:
            return found[-1]
    return None


def translated() -> bool:
    """Whether macOS translates this process from Intel's instructions (Rosetta)."""
    if sys.platform != "darwin":
        return False
    try:
        told = subprocess.run(["sysctl", "-n", "sysctl.proc_translated"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return told.stdout.strip() == b"1"


def main() -> None:
    """Everything at once, as one line."""
    where = origins()
    cuda_home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    tools = {name: shutil.which(name) for name in ("nvcc", "ninja", "g++", "c++", "cl", "pip")}
    nvcc = os.path.join(cuda_home, "bin", "nvcc.exe" if os.name == "nt" else "nvcc")
    tools["nvcc"] = os.path.realpath(tools["nvcc"] or nvcc) if tools["nvcc"] or os.path.isfile(nvcc) else None
    tools["cl"] = tools["cl"] or (msvc() if os.name == "nt" else None)
    answer = {
        "executable": sys.executable, "version": platform.python_version(), "prefix": sys.prefix,
        "machine": platform.machine(), "system": sys.platform, "packages": installed(), "origins": where,
        "torch": torch_says(where.get("torch")), "flash_attn_version": flash_attn_says(where.get("flash_attn")),
        "beside": {name: beside(where.get(name)) for name in ("llama_cpp", "xllamacpp")},
        "built": {name: built_before(name) for name in ("exllamav2_ext", "exllamav3_ext")},
        "loader_knows_x64": loader_text(where.get("llama_cpp")), "tools": tools, "translated": translated(),
    }  # fmt: skip
    sys.stdout.write(f"\nVRAMCTL-JSON {json.dumps(answer)}\n")


if __name__ == "__main__":
    main()

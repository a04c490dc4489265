"""Imports torch, then the compiled extensions that stand on it, one by one; packages that may start a build are not
imported.

`import exllamav2` compiles its extension for many minutes where none is installed (exllamav2/ext.py decides by whether
`import exllamav2_ext` is found), so only a file that is an extension module already is loaded, by its own path.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import sys
from typing import Any

Json = Any

_EXTENSIONS = ("flash_attn_2_cuda", "exllamav2_ext", "exllamav3_ext")


def say(stream: int, answer: Json) -> None:
    """Write one answer; later ones add to it."""
    os.write(stream, f"\nVRAMCTL-JSON {json.dumps(answer)}\n".encode())


def own_stdout() -> int:
    """The standard output for answers; what libraries print goes to the standard error."""
    stream = os.dup(1)
    os.dup2(2, 1)
    return stream


def extension(name: str) -> str | None:
    """The error of importing a compiled module; empty where it works, None where there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    endings = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    if spec is None or not spec.origin or not spec.origin.endswith(endings) or spec.loader is None:
        return None
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    """Import, ask, say; what is known so far is said before each step that may end the process."""
    stream = own_stdout()
    os.environ["MAX_JOBS"] = "0"
    answer: Json = {"stage": "import torch"}
    say(stream, answer)
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except Exception as error:
        say(stream, dict(answer, import_error=f"{type(error).__name__}: {error}"))
        return
    answer.update(version=str(torch.__version__), cuda=torch.version.cuda, hip=torch.version.hip)
    answer["cxx11_abi"] = bool(getattr(torch._C, "_GLIBCXX_USE_CXX11_ABI", True))
    answer["stage"] = "ask CUDA"
    say(stream, answer)
    answer["architectures"] = list(torch.cuda.get_arch_list()) if torch.version.cuda else []
    answer["cuda_available"] = bool(torch.cuda.is_available())
    answer["import_errors"] = {}
    for name in _EXTENSIONS:
        say(stream, dict(answer, stage="import " + name))
        why = extension(name)
        if why is not None:
            answer["import_errors"][name] = why
    say(stream, dict(answer, stage="done"))
    os._exit(0)


if __name__ == "__main__":
    main()

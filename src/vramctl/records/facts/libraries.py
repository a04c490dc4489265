"""What the doctor sees of libraries, as their bytes say: CUDA programs, libcuda, toolkits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vramctl.records.facts.basics import NOT_SEEN, Count, Flag, Text, Version
from vramctl.records.unknown import Absent, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Fatbin:
    """One program inside a library's CUDA fat binaries: `kind` is cubin or ptx, `arch` (8, 6), `isa` PTX's ISA
    version.

    `variant` is "a" for an architecture-specific target (sm_90a), "f" for a family-specific one (sm_120f), else "".
    """

    kind: str
    arch: Version
    isa: Version | None = None
    count: int = 1
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A shared library as its bytes say, never loaded. `form` is elf or pe; `needed` its imports, `missing` those
    found nowhere.

    `found` maps a needed name to the file that the loader would take. `glibc` and `glibcxx` are the highest symbol
    versions it asks for.
    """

    path: str
    form: str
    file_bytes: int
    machine: Text = NOT_SEEN
    needed: tuple[str, ...] = ()
    missing: tuple[str, ...] | Unknown = NOT_SEEN
    found: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Missing names that exist where the loader does not look (site-packages/nvidia/*/lib, a toolkit)."""
    runpath: tuple[str, ...] = ()
    fatbins: tuple[Fatbin, ...] | Unknown = ()
    gfx: tuple[str, ...] | Unknown = ()
    """AMD targets (gfx1030, ...) inside."""
    glibc: Version | Unknown | Absent = NOT_SEEN
    glibcxx: Version | Unknown | Absent = NOT_SEEN
    glibcxx_found: Version | Unknown | Absent = NOT_SEEN
    """The highest version that the libstdc++ defines which the loader would take."""
    cuda_major: Count = NOT_SEEN
    """CUDA's major version it was built for; Absent: it is no CUDA library."""
    cuda_version: Version | Unknown | Absent = NOT_SEEN
    """CUDA's version it was built with, where its bytes tell it (13.0)."""
    backend: str = ""
    """cuda, hip, vulkan, sycl, metal, opencl, rpc, cpu; "" where it is none."""
    debug_build: Flag = NOT_SEEN
    """It imports Windows' debug runtime (certain); on Linux Unknown: debug symbols are no proof."""
    hybrid_runtime: bool = False
    """CUDA 13's runtime on Windows: it loads nvcudart_hybrid64.dll of a driver of branch 580 or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibCuda:
    """A file that answers to the name of the CUDA driver library. `kind` is driver, stub (for linking only), compat
    (forward compatibility package) or wsl; `version` the driver version in its file name."""

    path: str
    kind: str
    target: Text = NOT_SEEN
    version: Version | Unknown | Absent = NOT_SEEN
    file_bytes: Count = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaToolkit:
    """An installed CUDA toolkit. `named_by` says what points to it: CUDA_PATH, CUDA_HOME, PATH, LD_LIBRARY_PATH,
    /usr/local; `runtime_files` are names of its runtime libraries by the folder that holds them."""

    path: str
    version: Version | Unknown | Absent = NOT_SEEN
    named_by: tuple[str, ...] = ()
    nvcc: Text = NOT_SEEN
    exists: bool = True
    runtime_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

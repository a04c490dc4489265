"""Which driver runs which CUDA, which PTX needs which CUDA, and which programs run on which GPU: tables and rules.

Sources: NVIDIA's CUDA Toolkit release notes (tables "CUDA Toolkit and Minimum Required Driver Version for Minor Version
Compatibility" and "CUDA Toolkit and Corresponding Driver Versions"), the CUDA compatibility guide, the PTX ISA's release
history (as in cuda.bindings.utils, and read from libraries built by CUDA 11.8 to 13.2), the architecture compatibility guides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vramctl.records.facts import Fatbin, Version

# Lowest driver that runs compiled code of any minor version of a CUDA major version: Linux, Windows. From 13.0 on the Windows
# toolkit brings no driver and NVIDIA's table gives none for it; the compatibility guide says 580 for both.
_MINIMUM: dict[int, tuple[Version, Version]] = {
    11: ((450, 80, 2), (452, 39)),
    12: ((525, 60, 13), (528, 33)),
    13: ((580, 65, 6), (580,)),
}
# First driver that came with a CUDA version: what its minor version (and its PTX) needs. Linux, Windows (None: not bundled).
_OF_TOOLKIT: dict[Version, tuple[Version, Version | None]] = {
    (10, 0): ((410, 48), (411, 31)),
    (10, 1): ((418, 39), (418, 96)),
    (10, 2): ((440, 33), (441, 22)),
    (11, 0): ((450, 36, 6), (451, 22)),
    (11, 1): ((455, 23), (456, 38)),
    (11, 2): ((460, 27, 3), (460, 82)),
    (11, 3): ((465, 19, 1), (465, 89)),
    (11, 4): ((470, 42, 1), (471, 11)),
    (11, 5): ((495, 29, 5), (496, 4)),
    (11, 6): ((510, 39, 1), (511, 23)),
    (11, 7): ((515, 43, 4), (516, 1)),
    (11, 8): ((520, 61, 5), (520, 6)),
    (12, 0): ((525, 60, 13), (527, 41)),
    (12, 1): ((530, 30, 2), (531, 14)),
    (12, 2): ((535, 54, 3), (536, 25)),
    (12, 3): ((545, 23, 6), (545, 84)),
    (12, 4): ((550, 54, 14), (551, 61)),
    (12, 5): ((555, 42, 2), (555, 85)),
    (12, 6): ((560, 28, 3), (560, 76)),
    (12, 8): ((570, 26), (570, 65)),
    (12, 9): ((575, 51, 3), (576, 2)),
    (13, 0): ((580, 65, 6), None),
    (13, 1): ((590, 44, 1), None),
    (13, 2): ((595, 45, 4), None),
}
# CUDA that first reads a PTX ISA. 8.5 is that of 12.5 and 12.6. From 9.0 on the minor versions are the same (13.0, 13.1, ...).
_PTX: dict[Version, Version] = {
    (6, 0): (9, 0), (6, 1): (9, 1), (6, 2): (9, 2), (6, 3): (10, 0), (6, 4): (10, 1), (6, 5): (10, 2),
    (7, 0): (11, 0), (7, 1): (11, 1), (7, 2): (11, 2), (7, 3): (11, 3), (7, 4): (11, 4), (7, 5): (11, 5),
    (7, 6): (11, 6), (7, 7): (11, 7), (7, 8): (11, 8),
    (8, 0): (12, 0), (8, 1): (12, 1), (8, 2): (12, 2), (8, 3): (12, 3), (8, 4): (12, 4), (8, 5): (12, 5), (8, 6): (12, 7),
    (8, 7): (12, 8), (8, 8): (12, 9),
}  # fmt: skip

# CUDA 13 compiles for compute capability 7.5 and later; branch 580 is the last driver for 5.0 to 7.0.
OLDEST_OF_CUDA_13: Version = (7, 5)
LAST_BRANCH_BEFORE_TURING = 580
# Integrated GPUs (Tegra): binary compatibility holds on the desktop only, so compiled code must be for exactly this one.
_TEGRA: frozenset[Version] = frozenset({(5, 3), (6, 2), (7, 2), (8, 7), (10, 1)})


def minimum_driver(cuda_major: int, system: str) -> Version | None:
    """The lowest driver that runs compiled code of this CUDA major version on `windows` or anything else; None if not
    known."""
    row = _MINIMUM.get(cuda_major)
    return None if row is None else row[1 if system == "windows" else 0]


def driver_of_toolkit(cuda: Version, system: str) -> Version | None:
    """The first driver that runs PTX of this CUDA version; None where no table says."""
    row = _OF_TOOLKIT.get(cuda[:2])
    return None if row is None else row[1 if system == "windows" else 0]


def cuda_of_driver(driver: Version, system: str) -> Version | None:
    """The newest CUDA version that a driver runs, from its number alone; None below the table."""
    column = 1 if system == "windows" else 0
    fitting = [cuda for cuda, row in _OF_TOOLKIT.items() if (first := row[column]) is not None and first <= driver]
    if system == "windows" and driver[0] >= 580:
        fitting += [cuda for cuda, row in _OF_TOOLKIT.items() if cuda[0] >= 13 and row[0][0] <= driver[0]]
    return max(fitting, default=None)


def cuda_of_ptx(isa: Version) -> Version | None:
    """The CUDA version that first reads this PTX ISA version; None where it is not known."""
    return (13, isa[1]) if isa[0] == 9 else _PTX.get(isa[:2])


@dataclass(frozen=True, slots=True)
class CodeForGpu:
    """How a GPU can run a library. `best` is compiled, ptx or none; `program` the one that is used; `ptx_isa` the
    lowest ISA version among the usable PTX programs (the driver must read at least this one)."""

    best: str
    program: Fatbin | None = None
    ptx_isa: Version | None = None


def runs_compiled(program: Fatbin, gpu: Version) -> bool:
    """Whether compiled code runs on this compute capability: same major version, minor not above it.

    Architecture-specific code ("a") runs on exactly its own; family-specific code ("f") on its family, which is the same
    rule except for 10.1, a family of its own; on Tegra compiled code must be for exactly that GPU.
    """
    if program.kind != "cubin" or program.arch[0] != gpu[0] or program.arch[1] > gpu[1]:
        return False
    if program.variant == "a" or gpu in _TEGRA or program.arch in _TEGRA:
        return program.arch == gpu
    return True


def runs_ptx(program: Fatbin, gpu: Version) -> bool:
    """Whether PTX can be compiled for this compute capability: not above it; "a" only for itself, "f" for its family."""
    if program.kind != "ptx" or program.arch > gpu:
        return False
    if program.variant == "a":
        return program.arch == gpu
    if program.variant == "f":
        return program.arch[0] == gpu[0] and (gpu not in _TEGRA or program.arch == gpu)
    return True


def code_for(programs: Iterable[Fatbin], gpu: Version) -> CodeForGpu:
    """What of these programs a GPU of this compute capability would run."""
    fitting = tuple(programs)
    compiled = [program for program in fitting if runs_compiled(program, gpu)]
    if compiled:
        return CodeForGpu("compiled", max(compiled, key=lambda one: (one.arch, one.count)))
    ptx = [program for program in fitting if runs_ptx(program, gpu)]
    if not ptx:
        return CodeForGpu("none")
    newest = max(ptx, key=lambda one: (one.arch, one.isa or (0, 0)))
    return CodeForGpu("ptx", newest, newest.isa)


def architectures(programs: Iterable[Fatbin]) -> str:
    """The architectures of a library in words: `8.6, 8.9 compiled; 7.5, 8.0 as PTX`."""
    parts = []
    for kind, words in (("cubin", "compiled"), ("ptx", "as PTX")):
        names = sorted({(program.arch, program.variant) for program in programs if program.kind == kind})
        if names:
            parts.append(f"{', '.join(dotted(arch) + variant for arch, variant in names)} {words}")
    return "; ".join(parts) or "none"


def dotted(version: Iterable[int]) -> str:
    """A version as text: (12, 9) is `12.9`."""
    return ".".join(str(part) for part in version)


_DRIVER_WIDTHS = {"windows": (0, 2), "linux": (0, 2, 2)}


def driver_text(version: Version, system: str) -> str:
    """A driver version as its vendor writes it: 580.65.06 on Linux, 576.02 on Windows."""
    widths = _DRIVER_WIDTHS.get("windows" if system == "windows" else "linux", ())
    return ".".join(f"{part:0{width}d}" for part, width in zip(version, (*widths, *[0] * len(version)), strict=False))

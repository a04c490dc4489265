"""The AMD targets inside a library: names of its HIP offload bundles."""

from __future__ import annotations

import re

from vramctl.formats.binary_window import BadBinary, Buffer, Window

_BUNDLE = b"__CLANG_OFFLOAD_BUNDLE__"
_COMPRESSED = b"CCOB"
_TARGET = re.compile(r"amdgcn-amd-amdhsa-[^-]*-(gfx[0-9a-f-]{3,32}[^\s]*)")
_MOST_TARGETS = 256


def read_hip_targets(data: Buffer, start: int, size: int) -> tuple[str, ...]:
    """Targets (gfx1030, gfx90a:xnack-) of a `.hip_fatbin` section's first bundle; BadBinary where it is compressed or
    something else."""
    window = Window(data)
    if window.part(start, 4) == _COMPRESSED:
        raise BadBinary("its AMD code is compressed")
    if size < 32 or window.part(start, len(_BUNDLE)) != _BUNDLE:
        raise BadBinary("its section of AMD code has an unknown form")
    (count,) = window.unpack("Q", start + 24)
    at, targets = start + 32, []
    for _ in range(min(count, _MOST_TARGETS)):
        _, _, length = window.unpack("QQQ", at)
        if length > 256:
            raise BadBinary("its section of AMD code is damaged")
        found = _TARGET.search(window.part(at + 24, length).decode("ascii", "replace"))
        if found:
            targets.append(found[1])
        at += 24 + length
    return tuple(dict.fromkeys(targets))

"""Headers fetched from the web, kept in the user's cache folder; a cache that fails is no cache, never an error."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAX_FILES = 64
MAX_BYTES = 512 << 20
_SUFFIX = ".gguf-header"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where headers are kept, one file each, named after address, size and ETag."""

    path: Path

    def read(self, url: str, size: int, etag: str) -> bytes | None:
        """The bytes kept for this content of this address, None where there are none."""
        file = self.path / _name(url, size, etag)
        try:
            data = file.read_bytes()
            os.utime(file)  # what is used stays longest
        except OSError:
            return None
        return data

    def write(self, url: str, size: int, etag: str, data: bytes) -> None:
        """Keeps the bytes, and lets go of the longest unused ones beyond the bounds."""
        with suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(name).replace(self.path / _name(url, size, etag))
            except OSError:
                Path(name).unlink(missing_ok=True)
            self._prune()

    def _prune(self) -> None:
        newest_first = sorted(self.path.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for index, file in enumerate(newest_first):
            total += file.stat().st_size
            if index >= MAX_FILES or total > MAX_BYTES:
                file.unlink(missing_ok=True)


def folder(environ: Mapping[str, str]) -> Folder | None:
    """The cache folder of this user (XDG_CACHE_HOME, LOCALAPPDATA, ~/.cache), None where there is no home."""
    base = environ.get("XDG_CACHE_HOME") or environ.get("LOCALAPPDATA")
    if base and Path(base).is_absolute():
        return Folder(Path(base, "vramctl", "headers"))
    try:
        return Folder(Path.home() / ".cache" / "vramctl" / "headers")
    except RuntimeError:
        return None


def _name(url: str, size: int, etag: str) -> str:
    return hashlib.sha256(f"{url}\n{size}\n{etag}".encode("utf-8", "surrogatepass")).hexdigest() + _SUFFIX

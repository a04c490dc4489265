"""Stand-ins kept for the next run: in the user's cache folder, within a limit, the least recently used let go first.

Every file is its own lock.  Who reads one holds it shared for as long as it is used; who writes holds its `.part` alone, so
that a second process waits and then reads; who removes needs it alone and takes the next where that is refused.  Locks
end with their process, so a crash leaves at most a part, which the next writer removes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vramctl.engines.stand_in_disk import Progress, open_new
from vramctl.engines.stand_in_file import PART, fill, is_stand_in, look_room, prepare
from vramctl.engines.stand_in_locks import hold_alone, hold_shared, in_use, is_still, remove_unused
from vramctl.errors import BadInput
from vramctl.formats.gguf_stand_in import StandIn
from vramctl.records import Model, Unknown
from vramctl.records.stand_in import Kept, ModelFile, Room
from vramctl.units import GIB, parse_size

LIMIT_VARIABLE, FOLDER_VARIABLE = "VRAMCTL_STAND_INS_BYTES", "VRAMCTL_CACHE"
_USUAL_LIMIT = 30 * GIB
_LEFT_FREE = GIB  # of the disk, whatever the limit is
_SUFFIX = ".gguf"
_TRIES = 20

Note = Callable[[str], None]
Announce = Callable[[Room], None]


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of stand-ins and how many bytes they may take together."""

    folder: Path
    limit_bytes: int

    def kept(self) -> tuple[Kept, ...]:
        """What is there, least recently used first."""
        return _seen(self._files(_SUFFIX))

    def unfinished(self) -> tuple[Kept, ...]:
        """What is being written, or was left by a writer that is gone."""
        return _seen(self._files(_SUFFIX + PART))

    def clear(self) -> tuple[Kept, ...]:
        """Remove everything that is not in use; what was removed."""
        return tuple(one for one in (*self.kept(), *self.unfinished()) if remove_unused(Path(one.path)))

    def make_room(self, wanted_bytes: int) -> None:
        """Let go of the least recently used until `wanted_bytes` fit into the limit and onto the disk.

        Where they would not fit onto the disk even alone, nothing is let go.
        """
        self._remove_parts()
        kept = self.kept()
        total = sum(one.file_bytes for one in kept)
        if _free_bytes(self.folder) + total < wanted_bytes + _LEFT_FREE:
            return
        for one in kept:
            full = total + wanted_bytes > self.limit_bytes
            if not full and _free_bytes(self.folder) >= wanted_bytes + _LEFT_FREE:
                return
            if remove_unused(Path(one.path)):
                total -= one.file_bytes

    def _files(self, suffix: str) -> list[Path]:
        return sorted(self.folder.glob(f"*{suffix}")) if self.folder.is_dir() else []

    def _remove_parts(self) -> None:
        """Remove what writers that are gone have left."""
        for path in self._files(_SUFFIX + PART):
            remove_unused(path)


def _seen(files: Iterable[Path]) -> tuple[Kept, ...]:
    """The files with their bytes, least recently used first."""
    found = []
    for path in files:
        with suppress(OSError):
            stat = path.stat()
            found.append(Kept(str(path), stat.st_size, stat.st_mtime, in_use(path)))
    return tuple(sorted(found, key=lambda one: one.used_at_seconds))


def look_cache(environ: Mapping[str, str] | None = None) -> Cache:
    """This user's cache of stand-ins, made by the first that is written.

    VRAMCTL_CACHE names the folder of all of vramctl's caches, else XDG_CACHE_HOME/vramctl or ~/.cache/vramctl.  The limit is
    VRAMCTL_STAND_INS_BYTES, else 30 GiB or half of what the disk has free beside the stand-ins, whichever is less.
    """
    environ = os.environ if environ is None else environ
    folder = _folder(environ) / "stand-ins"
    written = environ.get(LIMIT_VARIABLE, "").strip()
    if written:
        try:
            return Cache(folder, parse_size(written))
        except ValueError as error:
            raise BadInput(
                "bad-limit",
                f"{LIMIT_VARIABLE} is {written!r}.",
                because=(str(error),),
                fix=f"Write a size, such as {LIMIT_VARIABLE}=30GiB.",
            ) from None
    cache = Cache(folder, _USUAL_LIMIT)
    held = sum(one.file_bytes for one in cache.kept())
    return Cache(folder, min(_USUAL_LIMIT, (_free_bytes(folder) + held) // 2))


@contextmanager
def stand_in_file(
    model: Model,
    *,
    cache: Cache | None = None,
    announce: Announce | None = None,
    note: Note | None = None,
    progress: Progress | None = None,
) -> Iterator[ModelFile]:
    """A file that an engine can load for any MODEL: its own where it is a local GGUF, else a stand-in from the cache.

    The file stays for as long as the block lasts.  Before one is written, `announce` is told the size, the free disk and
    the time it will take; `note` is told when another process is waited for.  A stand-in larger than the cache's limit is
    removed after use.  Wrong where the disk is too small or gets full; nothing is left behind then.
    """
    if model.kind == "gguf" and model.files:
        yield ModelFile(model.files[0], model.file_bytes, invented=is_stand_in(model), was_there=True)
        return
    stand_in = prepare(model)
    cache = cache or look_cache()
    path = cache.folder / _name(model, stand_in)
    descriptor, was_there = _obtain(path, stand_in, cache, (announce or _ignore, note or _ignore, progress or _ignore))
    try:
        yield ModelFile(str(path), stand_in.file_bytes, invented=True, was_there=was_there)
    finally:
        with suppress(OSError):
            os.utime(descriptor)
        os.close(descriptor)
        if stand_in.file_bytes > cache.limit_bytes:
            remove_unused(path)


def _ignore(*told: object) -> None:
    """Tell nobody."""


def _obtain(path: Path, stand_in: StandIn, cache: Cache, tell: tuple[Announce, Note, Progress]) -> tuple[int, bool]:
    """A descriptor that holds the file shared, and whether the file was there before."""
    for _ in range(_TRIES):  # whoever waits may find that the other one gave up, or that the file was removed since
        held = _hold(path, stand_in)
        if held is not None:
            return held, True
        made = _make(path, stand_in, cache, tell)
        if made is not None:
            return made, False
    raise BadInput(
        "cache-contended",
        f"{path} was taken away again and again.",
        because=(f"{_TRIES} tries", "other processes clear the cache or give up writing"),
        fix="Try again when they are done, or write a file of your own: vramctl make MODEL -o FILE.",
    )


def _hold(path: Path, stand_in: StandIn) -> int | None:
    """A descriptor that holds a whole stand-in shared; None where there is none (a damaged one is removed)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    good = damaged = False
    try:
        hold_shared(descriptor)
        if not is_still(descriptor, path):
            return None
        whole = os.fstat(descriptor).st_size == stand_in.file_bytes
        good = whole and os.pread(descriptor, len(stand_in.header), 0) == stand_in.header
        damaged = not good
        if good:
            os.utime(path)
            return descriptor
    finally:
        if not good:
            os.close(descriptor)
    if damaged:
        remove_unused(path)
    return None


def _make(path: Path, stand_in: StandIn, cache: Cache, tell: tuple[Announce, Note, Progress]) -> int | None:
    """A descriptor that holds the file that was just written shared; None where another process was faster."""
    announce, note, progress = tell
    part = path.with_name(path.name + PART)
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        descriptor = open_new(part)
    except OSError as error:
        raise BadInput(
            "cache-not-writable",
            f"Stand-ins cannot be kept in {cache.folder}.",
            because=(error.strerror or type(error).__name__,),
            fix=f"Set {FOLDER_VARIABLE} to a folder that can be written, on a disk with room.",
        ) from None
    done = False
    try:
        hold_alone(descriptor, waiting=lambda: note(f"another process is writing {path.name}; waiting for it"))
        if not is_still(descriptor, part):
            return None  # written by the one who was waited for, or given up
        if path.exists():  # written since it was looked for
            part.unlink()
            return None
        try:
            cache.make_room(stand_in.file_bytes)
            announce(look_room(stand_in, cache.folder, leave_free=_LEFT_FREE))
            fill(descriptor, stand_in, path, progress=progress)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        hold_shared(descriptor)  # not in one step: somebody may have removed it in between
        done = is_still(descriptor, path)
        return descriptor if done else None
    finally:
        if not done:
            os.close(descriptor)


def _free_bytes(folder: Path) -> int:
    """What can be written on the disk of a folder that need not be there yet."""
    place = next((one for one in (folder, *folder.parents) if one.is_dir()), Path("/"))
    try:
        stats = os.statvfs(place)
    except OSError:
        return 0
    return stats.f_bavail * stats.f_frsize


def _folder(environ: Mapping[str, str]) -> Path:
    given = environ.get(FOLDER_VARIABLE, "")
    if given:
        return Path(given).absolute()
    base = environ.get("XDG_CACHE_HOME", "")
    if base and Path(base).is_absolute():
        return Path(base, "vramctl")
    try:
        return Path.home() / ".cache" / "vramctl"
    except RuntimeError:
        raise BadInput(
            "no-cache-folder",
            "There is no folder to keep stand-ins in.",
            because=("this user has no home folder",),
            fix=f"Set {FOLDER_VARIABLE} to a folder that can be written.",
        ) from None


def _name(model: Model, stand_in: StandIn) -> str:
    """A file's name: what people call the model, and a digest of the header, which names generator and seed as well."""
    title = model.name if not isinstance(model.name, Unknown) else model.architecture
    quant = model.quantization if not isinstance(model.quantization, Unknown) else "mixed"
    words = re.sub(r"[^\w.-]+", "-", f"{title}-{quant}").strip("-.")[:80]
    return f"{words}-{hashlib.sha256(stand_in.header).hexdigest()[:16]}{_SUFFIX}"

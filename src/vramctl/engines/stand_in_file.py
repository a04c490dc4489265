"""A stand-in file: a model's own header, tensor types and sizes with invented weights, written in seconds."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import Counter
from pathlib import Path

from vramctl.engines.stand_in_disk import Progress, open_new, write_all, write_speed
from vramctl.engines.stand_in_locks import is_still, try_alone
from vramctl.errors import BadInput, CouldNotTell, VramctlError, Wrong
from vramctl.formats import gguf
from vramctl.formats.gguf_cursor import MAX_HEADER_BYTES
from vramctl.formats.gguf_split import joined_header
from vramctl.formats.gguf_stand_in import StandIn, stand_in_mark, stand_in_of
from vramctl.formats.weights import GENERATOR
from vramctl.formats.weights_stream import stand_in_bytes
from vramctl.records import Model
from vramctl.records.stand_in import Room, TypeShare, Written
from vramctl.units import format_bytes
from vramctl.world import mapped

PART = ".part"


def is_stand_in(model: Model) -> bool:
    """Whether the model's own file says that its weights are invented."""
    return stand_in_mark(model.metadata) is not None


def prepare(model: Model, *, seed: int = 0) -> StandIn:
    """What a stand-in of this model is made of; BadInput for what is no GGUF or cannot be loaded here."""
    if model.kind != "gguf":
        raise BadInput(
            "stand-in-not-gguf",
            f"{model.reference} is {model.kind}: stand-ins are GGUF only.",
            because=("only llama.cpp's format is made, whose header is known without the weights",),
            fix="Give a GGUF of the model, or its shape: vramctl shapes lists them.",
        )
    runnable = _with_vocabulary(model)
    return stand_in_of(_header(runnable), where=model.reference, seed=seed)


def _with_vocabulary(model: Model) -> Model:
    """The model; a built-in shape with the invented tokens that an engine needs to run it."""
    if model.header is None or not model.reference.startswith("shape:"):
        return model
    from vramctl.shapes import shape_model

    name, _, quant = model.reference.removeprefix("shape:").rpartition("@")
    return shape_model(name, quant, vocabulary=True)


def _header(model: Model) -> bytes:
    """The GGUF header with padding; of a split set as if it were one file."""
    if model.header is not None:
        return model.header
    raws, headers = [], []
    for path in model.files:
        with mapped(path, limit=MAX_HEADER_BYTES) as file:
            header = gguf.parse(file.buffer, file_bytes=file.file_bytes, where=path)
            raws.append(bytes(file.buffer[: min(header.data_offset, MAX_HEADER_BYTES)]))
            headers.append(header)
    return joined_header(raws, headers)


def look_room(stand_in: StandIn, folder: Path, *, leave_free: int = 0) -> Room:
    """The folder's free bytes and speed, for telling before anything is written.

    Wrong where the file does not fit, or where less than `leave_free` bytes would stay free.
    """
    try:
        free = _free_bytes(folder)
    except OSError as error:
        raise _not_written(folder, error) from None
    limit = _file_size_limit()
    if limit is not None and stand_in.file_bytes > limit:
        raise Wrong(
            "file-size-limit",
            f"The stand-in takes {format_bytes(stand_in.file_bytes)}; this process may write {format_bytes(limit)}.",
            because=("RLIMIT_FSIZE bounds the size of a file",),
            fix="Raise it with `ulimit -f unlimited`.",
        )
    if stand_in.file_bytes + leave_free > free:
        kept = (f"{format_bytes(leave_free)} of the disk are left free",) if leave_free else ()
        raise Wrong(
            "disk-too-small",
            f"The stand-in takes {format_bytes(stand_in.file_bytes)}; {format_bytes(free)} are free in {folder}.",
            because=("it has every tensor of the model in its real size", *kept),
            fix="Free some disk, name a folder on a larger one, or take a smaller model or quantisation.",
        )
    return Room(str(folder), stand_in.file_bytes, free, write_speed(folder))


def write_stand_in(stand_in: StandIn, path: Path, *, progress: Progress, force: bool = False) -> Written:
    """Write the file whole or not at all: to `path`.part, renamed when it is complete.

    BadInput where the path is taken and `force` is not given; Wrong where the disk is full.  Whatever ends the writing,
    Ctrl-C included, the part is removed.
    """
    started = time.perf_counter()
    refuse_taken(path, force=force)
    part = path.with_name(path.name + PART)
    try:
        descriptor = open_new(part)
    except OSError as error:
        raise _not_written(path, error) from None
    try:
        _lock(descriptor, part)
        try:
            fill(descriptor, stand_in, path, progress=progress)
            refuse_taken(path, force=force)
            part.replace(path)
        except BaseException:
            _remove(part)
            raise
    except OSError as error:
        raise _not_written(path, error) from None
    finally:
        os.close(descriptor)
    return Written(
        path=str(path),
        file_bytes=stand_in.file_bytes,
        header_bytes=len(stand_in.header),
        types=_types(stand_in),
        seed=stand_in.seed,
        generator=GENERATOR,
        seconds=time.perf_counter() - started,
    )


def _types(stand_in: StandIn) -> tuple[TypeShare, ...]:
    """The tensor types of a file, the largest share first."""
    tensors, sizes = Counter[str](), Counter[str]()
    for tensor in stand_in.tensors:
        tensors[tensor.type] += 1
        sizes[tensor.type] += tensor.data_bytes
    return tuple(TypeShare(kind, tensors[kind], size) for kind, size in sizes.most_common())


def fill(descriptor: int, stand_in: StandIn, path: Path, *, progress: Progress) -> None:
    """Write a stand-in into an open file; Wrong where the disk is full, BadInput where `path` cannot be written."""
    try:
        os.ftruncate(descriptor, 0)
        write_all(descriptor, stand_in_bytes(stand_in), file_bytes=stand_in.file_bytes, progress=progress)
    except OSError as error:
        raise _not_written(path, error) from None


def refuse_taken(path: Path, *, force: bool) -> None:
    """BadInput where the path is no file, or a file that `force` does not allow to overwrite."""
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise BadInput(
            "not-a-file",
            f"{path} is not a regular file.",
            because=("it is a folder, a pipe or a device",),
            fix="Name a file to write.",
        )
    if path.exists() and not force:
        raise BadInput(
            "file-exists",
            f"{path} is there already.",
            because=(f"it has {format_bytes(path.stat().st_size)}",),
            fix="Name another file with -o, or overwrite it with --force.",
        )


def _lock(descriptor: int, part: Path) -> None:
    """Take the part for this process; BadInput where another one writes it, or has just finished it."""
    if not try_alone(descriptor) or not is_still(descriptor, part):
        raise BadInput(
            "being-written",
            f"Another process is writing {part}.",
            because=("it holds the file's lock",),
            fix="Wait for it, or name another file with -o.",
        )


def _remove(part: Path) -> None:
    with contextlib.suppress(OSError):
        part.unlink()


def _free_bytes(folder: Path) -> int:
    """What an ordinary user can still write there."""
    stats = os.statvfs(folder)
    return stats.f_bavail * stats.f_frsize


def _file_size_limit() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if soft == resource.RLIM_INFINITY else soft


def _not_written(path: Path, error: OSError) -> VramctlError:
    reason = error.strerror or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Wrong(
            "disk-full",
            f"The disk of {path} is full.",
            because=(reason, "nothing is left of what was written"),
            fix="Free some disk, or name a folder on a larger one.",
        )
    if error.errno == errno.EFBIG:
        return Wrong(
            "file-too-large",
            f"{path} would be larger than its file system or this process's limit allows.",
            because=(reason,),
            fix="Write to another file system (FAT32 ends at 4 GiB), or raise `ulimit -f`.",
        )
    if error.errno == errno.EIO:
        return CouldNotTell("disk-failed", f"{path} cannot be written.", because=(reason,), fix="Check the disk.")
    return BadInput(
        "cannot-write", f"{path} cannot be written.", because=(reason,), fix="Name a file in a folder you can write to."
    )

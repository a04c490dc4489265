"""Stand-ins are written whole or not at all, and the cache of them is shared without harm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stand_in_models import small_model
from vramctl.engines.stand_in_cache import Cache, look_cache, stand_in_file
from vramctl.engines.stand_in_disk import write_all, write_speed
from vramctl.engines.stand_in_file import is_stand_in, look_room, prepare, write_stand_in
from vramctl.errors import BadInput, VramctlError, Wrong
from vramctl.formats.gguf_write import Entry, TensorSpec, write_header
from vramctl.formats.weights_stream import stand_in_bytes
from vramctl.probes.models import look_model
from vramctl.records import Model, Unknown
from vramctl.shapes import shape_model
from vramctl.units import GIB, MIB

SMALL = small_model("qwen2.5-0.5b")
OTHER = small_model("qwen2.5-0.5b", "Q8_0")
SIZE = prepare(SMALL).file_bytes


def names(folder: Path = Path()) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


def silent(done: int, total: int) -> None:
    """Tell nobody."""


def test_a_stand_in_is_the_stream_and_takes_real_blocks(tmp_path: Path) -> None:
    stand_in = prepare(SMALL)
    told: list[tuple[int, int]] = []
    written = write_stand_in(stand_in, tmp_path / "a.gguf", progress=lambda done, total: told.append((done, total)))
    file = tmp_path / "a.gguf"
    assert file.read_bytes() == b"".join(stand_in_bytes(stand_in))
    assert written.file_bytes == SIZE == file.stat().st_size <= file.stat().st_blocks * 512
    assert told[-1] == (SIZE, SIZE)
    assert sum(share.data_bytes for share in written.types) == sum(tensor.data_bytes for tensor in SMALL.tensors)
    assert names(tmp_path) == ["a.gguf"]
    assert is_stand_in(look_model(str(file)))
    assert not is_stand_in(SMALL)


def test_a_shape_gets_the_tokens_that_an_engine_needs() -> None:
    plain = shape_model("qwen2.5-0.5b", "Q4_0")
    assert b"tokenizer.ggml.tokens" not in (plain.header or b"")
    assert b"tokenizer.ggml.tokens" in prepare(plain).header


def test_a_split_set_becomes_one_file(tmp_path: Path) -> None:
    entries = [Entry("general.architecture", "str", "llama"), Entry("llama.block_count", "u32", 1)]
    for part, name in enumerate(("token_embd.weight", "output.weight")):
        split = [Entry("split.no", "u16", part), Entry("split.count", "u16", 2), Entry("split.tensors.count", "i32", 2)]
        made = write_header([*(entries if part == 0 else []), *split], [TensorSpec(name, "Q8_0", (64, 8))])
        (tmp_path / f"m-0000{part + 1}-of-00002.gguf").write_bytes(made.data.ljust(made.file_bytes, b"\0"))
    model = look_model(str(tmp_path / "m-00001-of-00002.gguf"))
    write_stand_in(prepare(model), tmp_path / "whole.gguf", progress=silent)
    whole = look_model(str(tmp_path / "whole.gguf"))
    assert [tensor.name for tensor in whole.tensors] == ["token_embd.weight", "output.weight"]
    assert not [key for key in whole.metadata if key.startswith("split.")]


def test_what_is_no_gguf_has_no_stand_in() -> None:
    with pytest.raises(BadInput, match="GGUF only"):
        prepare(replace(SMALL, kind="exl2"))


def test_a_file_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"precious")
    with pytest.raises(BadInput) as taken:
        write_stand_in(prepare(SMALL), path, progress=silent)
    assert taken.value.code == "file-exists"
    assert path.read_bytes() == b"precious"
    write_stand_in(prepare(SMALL), path, progress=silent, force=True)
    assert path.stat().st_size == SIZE
    with pytest.raises(BadInput, match="not a regular file"):
        write_stand_in(prepare(SMALL), tmp_path, progress=silent, force=True)


def test_a_part_of_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "a.gguf.part").write_bytes(b"left by kill -9" * 1000)
    write_stand_in(prepare(SMALL), tmp_path / "a.gguf", progress=silent)
    assert names(tmp_path) == ["a.gguf"]
    assert (tmp_path / "a.gguf").read_bytes() == b"".join(stand_in_bytes(prepare(SMALL)))


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    codes: list[str] = []

    def second(done: int, total: int) -> None:
        if not codes:
            with pytest.raises(VramctlError) as refused:
                write_stand_in(prepare(SMALL), tmp_path / "a.gguf", progress=silent)
            codes.append(refused.value.code)

    write_stand_in(prepare(SMALL), tmp_path / "a.gguf", progress=second)
    assert codes == ["being-written"]
    assert (tmp_path / "a.gguf").stat().st_size == SIZE


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), SystemExit(143), RuntimeError("x"), OSError(28, "No space")])
def test_whatever_ends_the_writing_leaves_nothing(ending: BaseException, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise ending

    with pytest.raises(Wrong if isinstance(ending, OSError) else type(ending)):
        write_stand_in(prepare(SMALL), tmp_path / "a.gguf", progress=stop)
    cache = Cache(tmp_path / "cache", GIB)
    with (
        pytest.raises(Wrong if isinstance(ending, OSError) else type(ending)),
        stand_in_file(SMALL, cache=cache, progress=stop),
    ):
        pass
    assert names(tmp_path) == ["cache"]
    assert names(tmp_path / "cache") == []


FULL = """
import os, resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from stand_in_models import small_model
from vramctl.engines.stand_in_file import prepare, write_stand_in
from vramctl.errors import VramctlError
if sys.argv[3] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    write_stand_in(prepare(small_model("llama3.1-8b", "F32")), Path(sys.argv[1], "a.gguf"), progress=lambda a, b: None)
except VramctlError as error:
    print(error.code, error.exit_code, os.listdir(sys.argv[1]))
"""
TESTS = str(Path(__file__).parents[1])


def test_a_limit_of_the_system_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path), TESTS, "limit"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "file-too-large 1 []\n", ran.stderr


def test_a_disk_that_gets_full_leaves_nothing(tmp_path: Path) -> None:
    """A real full disk: 4 MiB of memory, mounted in a namespace of its own where the system allows that."""
    inside = f'mount -t tmpfs -o size=4m none {tmp_path} && exec "$@"'
    command = ["unshare", "-Urm", "sh", "-c", inside, "sh", sys.executable, "-c", FULL, str(tmp_path), TESTS, "full"]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare" in ran.stderr or "mount" in ran.stderr:
        pytest.skip(f"no file system can be mounted here: {ran.stderr.strip()[:80]}")
    assert ran.stdout == "disk-full 1 []\n", ran.stderr


def test_a_model_larger_than_the_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    specs = [TensorSpec(f"blk.{layer}.ffn_up.weight", "F32", (1 << 20, 1 << 20)) for layer in range(100)]
    header = write_header([Entry("general.architecture", "str", "llama")], specs)
    huge = replace(SMALL, header=header.data, tensors=header.tensors, file_bytes=header.file_bytes)
    with pytest.raises(Wrong) as refused:
        look_room(prepare(huge), tmp_path)
    assert refused.value.code == "disk-too-small"
    cache = Cache(tmp_path / "cache", GIB)
    with stand_in_file(SMALL, cache=cache) as small:
        name = Path(small.path).name
    with pytest.raises(Wrong), stand_in_file(huge, cache=cache):
        pass
    assert names(tmp_path / "cache") == [name]  # nothing is let go for what cannot be


def test_room_says_how_long_it_takes(tmp_path: Path) -> None:
    room = look_room(prepare(SMALL), tmp_path)
    assert room.free_bytes > room.file_bytes == SIZE
    assert not isinstance(room.bytes_per_second, Unknown)
    assert room.seconds == room.file_bytes / room.bytes_per_second
    assert names(tmp_path) == []
    assert isinstance(write_speed(tmp_path / "not there"), Unknown)


@pytest.mark.parametrize("past_the_cache", [True, False])
def test_a_short_tail_is_written_too(past_the_cache: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not past_the_cache:  # as on a system without O_DIRECT
        monkeypatch.setattr("vramctl.engines.stand_in_disk._DIRECT", 0)
    for length in (1, 4095, 4096, 8 * MIB, 8 * MIB + 1):
        data = os.urandom(length)
        descriptor = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        write_all(descriptor, [memoryview(data)], file_bytes=length, progress=silent)
        os.close(descriptor)
        assert (tmp_path / "x").read_bytes() == data


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    yield Cache(tmp_path / "stand-ins", GIB)


def test_the_second_use_finds_the_first_one_s_file(cache: Cache) -> None:
    announced: list[int] = []
    with stand_in_file(SMALL, cache=cache, announce=lambda room: announced.append(room.file_bytes)) as first:
        assert (first.invented, first.was_there) == (True, False)
        assert [one.in_use for one in cache.kept()] == [True]
    with stand_in_file(SMALL, cache=cache, announce=lambda room: announced.append(room.file_bytes)) as second:
        assert (second.path, second.was_there) == (first.path, True)
    assert announced == [SIZE]
    assert [one.in_use for one in cache.kept()] == [False]


def test_a_local_file_is_used_as_it_is(cache: Cache, tmp_path: Path) -> None:
    for invented in (False, True):
        path = tmp_path / f"{invented}.gguf"
        if invented:
            write_stand_in(prepare(SMALL), path, progress=silent)
        else:
            path.write_bytes((SMALL.header or b"").ljust(SMALL.file_bytes, b"\0"))
        with stand_in_file(look_model(str(path)), cache=cache) as file:
            assert (file.path, file.invented, file.was_there) == (str(path), invented, True)
    assert cache.kept() == ()


def test_the_least_recently_used_goes_first_and_none_that_is_in_use(cache: Cache) -> None:
    tight = replace(cache, limit_bytes=2 * prepare(OTHER).file_bytes)
    third = small_model("qwen2.5-0.5b", "Q5_0")
    with stand_in_file(SMALL, cache=tight) as used:
        with stand_in_file(OTHER, cache=tight) as older:
            os.utime(older.path, (1, 1))
        os.utime(older.path, (1e9, 1e9))
        os.utime(used.path, (1, 1))
        with stand_in_file(third, cache=tight) as newest:
            assert {one.path for one in tight.kept()} == {used.path, newest.path}
        assert [Path(one.path).name for one in tight.clear()] == [Path(newest.path).name]
        assert Path(used.path).exists()
    assert len(tight.clear()) == 1
    assert names(tight.folder) == []


def test_one_larger_than_the_limit_is_there_only_while_it_is_used(cache: Cache) -> None:
    tiny = replace(cache, limit_bytes=1)
    with stand_in_file(SMALL, cache=tiny) as file:
        assert Path(file.path).stat().st_size == SIZE
    assert names(tiny.folder) == []


@pytest.mark.parametrize("damage", ["short", "other header", "zeros"])
def test_a_damaged_file_is_written_anew(damage: str, cache: Cache) -> None:
    with stand_in_file(SMALL, cache=cache) as file:
        path = Path(file.path)
    if damage == "short":
        os.truncate(path, SIZE - 1)
    else:
        path.write_bytes(b"\0" * SIZE if damage == "zeros" else b"GGUF" + os.urandom(SIZE - 4))
    with stand_in_file(SMALL, cache=cache) as again:
        assert not again.was_there
        assert path.read_bytes() == b"".join(stand_in_bytes(prepare(SMALL)))


def test_what_a_killed_writer_left_is_cleared(cache: Cache) -> None:
    with stand_in_file(SMALL, cache=cache):
        (cache.folder / "x-0123.gguf.part").write_bytes(b"left")
        with stand_in_file(OTHER, cache=cache):
            assert sorted(path.suffix for path in cache.folder.iterdir()) == [".gguf", ".gguf"]


SHARE = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from stand_in_models import small_model
from vramctl.engines.stand_in_cache import Cache, stand_in_file
def slow(done, total):
    time.sleep(0.2)
notes = []
with stand_in_file(small_model("llama3.1-8b", "F32"), cache=Cache(Path(sys.argv[1]), 1 << 30), progress=slow,
                   note=notes.append) as file:
    print(file.was_there, len(notes), Path(file.path).stat().st_size == file.file_bytes, flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SHARE, str(folder), TESTS]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_want_the_same_write_it_once(tmp_path: Path) -> None:
    running = [start(tmp_path) for _ in range(3)]
    answers = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], answers
    told = [out.split() for out, _ in answers]
    assert sorted(was_there for was_there, _, _ in told) == ["False", "True", "True"]
    assert all(whole == "True" for _, _, whole in told)
    assert len(names(tmp_path)) == 1


def test_who_waits_for_a_writer_that_is_killed_writes_itself(tmp_path: Path) -> None:
    first = start(tmp_path)
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    second = start(tmp_path)
    time.sleep(0.3)
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=60)
    assert out.split()[::2] == ["False", "True"], err
    assert [Path(name).suffix for name in names(tmp_path)] == [".gguf"]


def test_the_cache_s_folder_and_limit_come_from_the_environment(tmp_path: Path) -> None:
    named = look_cache({"VRAMCTL_CACHE": str(tmp_path), "VRAMCTL_STAND_INS_BYTES": "12GiB"})
    assert named == Cache(tmp_path / "stand-ins", 12 * GIB)
    usual = look_cache({"XDG_CACHE_HOME": str(tmp_path)})
    assert usual.folder == tmp_path / "vramctl" / "stand-ins"
    assert 0 < usual.limit_bytes <= 30 * GIB
    with pytest.raises(BadInput, match="VRAMCTL_STAND_INS_BYTES"):
        look_cache({"VRAMCTL_STAND_INS_BYTES": "a lot"})


def test_a_cache_that_cannot_be_written_says_how_to_move_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="cannot be kept"), stand_in_file(SMALL, cache=Cache(tmp_path / "file", GIB)):
        pass


def test_models_of_one_name_and_other_headers_are_kept_apart(cache: Cache) -> None:
    renamed: Model = replace(OTHER, name=SMALL.name, quantization=SMALL.quantization)
    with stand_in_file(SMALL, cache=cache) as one, stand_in_file(renamed, cache=cache) as two:
        assert one.path != two.path

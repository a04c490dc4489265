"""Files that an answer is written to: whole or as they were."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from vramctl.cli.output import write_file


def test_a_file_is_written_with_its_folders_and_nothing_beside_it(tmp_path: Path) -> None:
    write_file(str(tmp_path / "a" / "b" / "r.json"), b"new")
    assert (tmp_path / "a" / "b" / "r.json").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["r.json"]


@pytest.mark.parametrize("ending", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_or_ctrl_c_leaves_what_was_there(
    ending: BaseException, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "r.json"
    if there:
        file.write_bytes(b"old")

    def full(number: int) -> NoReturn:
        raise ending

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(type(ending)):
        write_file(str(file), b"new")
    assert [path.name for path in tmp_path.iterdir()] == (["r.json"] if there else [])
    assert not there or file.read_bytes() == b"old"


def test_a_link_still_leads_to_the_file_and_its_rights_stay(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_file(str(link), b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=write_file, args=(str(pipe), b"new"))
    writer.start()
    assert pipe.read_bytes() == b"new"
    writer.join()
    assert pipe.is_fifo()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_in_a_folder_that_takes_no_new_ones_is_written_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_bytes(b"old")
    tmp_path.chmod(0o500)
    try:
        write_file(str(file), b"new")
    finally:
        tmp_path.chmod(0o700)
    assert file.read_bytes() == b"new"

"""The stand-in for libgomp loads by the loader's own rules and answers 0."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from vramctl.engines.dry_run.no_openmp import SYMBOLS, shared_object

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an ELF library")


@linux
def test_every_name_is_found_and_returns_zero(tmp_path: Path) -> None:
    file = tmp_path / "stub.so"
    made = shared_object()
    assert made is not None
    file.write_bytes(made)
    library = ctypes.CDLL(str(file))
    assert [name for name in SYMBOLS if library[name]() != 0] == []


@linux
@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no code for this processor")
def test_its_soname_satisfies_a_library_that_needs_libgomp(tmp_path: Path) -> None:
    file = tmp_path / "stub.so"
    file.write_bytes(shared_object() or b"")
    code = (
        "import ctypes,sys; ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL); ctypes.CDLL('libgomp.so.1'); print('found')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert ran.stdout.strip() == "found", ran.stderr

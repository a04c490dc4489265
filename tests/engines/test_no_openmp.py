"""The stand-in for libgomp loads by the loader's own rules and is OpenMP with one thread."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from vramctl.engines.dry_run.no_openmp import _KINDS, SYMBOLS, shared_object

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an ELF library")


def loaded(tmp_path: Path) -> ctypes.CDLL:
    file = tmp_path / "stub.so"
    made = shared_object()
    assert made is not None
    file.write_bytes(made)
    return ctypes.CDLL(str(file))


@linux
def test_every_name_is_found_and_what_is_not_said_otherwise_returns_zero(tmp_path: Path) -> None:
    library = loaded(tmp_path)
    assert [name for name in SYMBOLS if not library[name]] == []
    assert [name for name in SYMBOLS if name not in _KINDS and library[name]() != 0] == []


@linux
def test_a_parallel_region_runs_once_on_the_one_thread(tmp_path: Path) -> None:
    library, seen = loaded(tmp_path), []
    region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda data: seen.append(data))
    library["GOMP_parallel"](region, ctypes.c_void_p(77), 8, 0)
    assert seen == [77]
    assert (library["omp_get_num_threads"](), library["omp_get_thread_num"](), library["GOMP_single_start"]()) == (
        1,
        0,
        1,
    )


@linux
def test_a_loop_is_given_out_whole_and_once(tmp_path: Path) -> None:
    library = loaded(tmp_path)
    start, end = ctypes.c_long(-1), ctypes.c_long(-1)
    begin = library["GOMP_loop_nonmonotonic_dynamic_start"]
    begin.argtypes = [ctypes.c_long] * 4 + [ctypes.POINTER(ctypes.c_long)] * 2
    assert begin(3, 10, 1, 1, ctypes.byref(start), ctypes.byref(end)) == 1
    assert (start.value, end.value) == (3, 10)
    assert library["GOMP_loop_nonmonotonic_dynamic_next"](ctypes.byref(start), ctypes.byref(end)) == 0
    assert begin(5, 5, 1, 1, ctypes.byref(start), ctypes.byref(end)) == 0


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

"""Imports are found where the loader would find them, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binary_bytes import elf_library, fatbin, fatbin_entry, pe_library
from vramctl.probes import library_search
from vramctl.probes.doctor_libraries import inspect_library, library_from, look_at_library
from vramctl.probes.library_search import Places, parse_loader_cache
from vramctl.records.facts import Fatbin, Library
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World


@pytest.fixture(autouse=True)
def no_system_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the folders of the test are searched."""
    monkeypatch.setattr(library_search, "_DEFAULT", ())
    monkeypatch.setattr(library_search, "loader_cache", dict)
    library_search.headers_of.cache_clear()


def write(folder: Path, name: str, data: bytes) -> str:
    """A file in a folder that is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return str(folder / name)


def inspected(path: str, places: Places | None = None) -> Library:
    """The record of a library."""
    found = library_from(path, inspect_library(path, places or Places()))
    assert isinstance(found, Library), found
    return found


def test_runpath_with_origin_finds_a_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "libggml.so.0", elf_library())
    main = write(tmp_path, "libllama.so", elf_library(needed=["libggml.so.0"], runpath="$ORIGIN"))
    assert inspected(main).found == {"libggml.so.0": str(tmp_path / "libggml.so.0")}
    bare = write(tmp_path, "libbare.so", elf_library(needed=["libggml.so.0"]))
    assert inspected(bare).missing == ("libggml.so.0",)


def test_ld_library_path_comes_before_runpath(tmp_path: Path) -> None:
    write(tmp_path / "own", "libggml.so.0", elf_library())
    other = write(tmp_path / "other", "libggml.so.0", elf_library())
    main = write(tmp_path / "own", "libllama.so", elf_library(needed=["libggml.so.0"], runpath="$ORIGIN"))
    places = Places(environ={"LD_LIBRARY_PATH": f"{tmp_path}/none:{tmp_path}/other"})
    assert inspected(main, places).found["libggml.so.0"] == other


def test_rpath_comes_before_ld_library_path_and_counts_for_imports_of_imports(tmp_path: Path) -> None:
    mine = write(tmp_path / "a", "libb.so", elf_library(needed=["libc.so"]))
    write(tmp_path / "a", "libc.so", elf_library())
    write(tmp_path / "other", "libb.so", elf_library())
    main = write(tmp_path, "liba.so", elf_library(needed=["libb.so"], rpath="$ORIGIN/a"))
    found = inspected(main, Places(environ={"LD_LIBRARY_PATH": str(tmp_path / "other")}))
    assert found.found["libb.so"] == mine
    assert found.missing == ()


def test_a_file_for_another_machine_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "arm", "libb.so", elf_library(machine=183))
    write(tmp_path / "small", "libb.so", elf_library(bits=32))
    write(tmp_path / "text", "libb.so", b"INPUT(libb.so.1)")
    right = write(tmp_path / "right", "libb.so", elf_library())
    folders = ":".join(str(tmp_path / name) for name in ("arm", "small", "text", "right"))
    main = write(tmp_path, "liba.so", elf_library(needed=["libb.so"], runpath=folders))
    assert inspected(main).found == {"libb.so": right}


def test_what_an_import_misses_is_missing_too_and_is_told_where_it_lies(tmp_path: Path) -> None:
    write(tmp_path, "libcublas.so.12", elf_library(needed=["libcublasLt.so.12"]))
    lies = write(tmp_path / "nvidia" / "cublas" / "lib", "libcublasLt.so.12", elf_library())
    main = write(tmp_path, "libggml-cuda.so", elf_library(needed=["libcublas.so.12"], runpath="$ORIGIN"))
    found = inspected(main, Places(elsewhere=(str(tmp_path / "nvidia" / "cublas" / "lib"),)))
    assert found.missing == ("libcublasLt.so.12",)
    assert found.elsewhere == {"libcublasLt.so.12": lies}


def test_libraries_that_are_loaded_already_are_not_missing(tmp_path: Path) -> None:
    main = write(tmp_path, "ext.so", elf_library(needed=["libtorch_cpu.so"]))
    assert inspected(main, Places(loaded={"libtorch_cpu.so": "/torch/lib/libtorch_cpu.so"})).missing == ()


def test_libraries_that_need_each_other_end(tmp_path: Path) -> None:
    write(tmp_path, "libb.so", elf_library(needed=["liba.so"], runpath="$ORIGIN"))
    main = write(tmp_path, "liba.so", elf_library(needed=["libb.so", "liba.so"], runpath="$ORIGIN"))
    assert inspected(main).missing == ()


def test_a_cuda_library_tells_its_cuda_its_code_and_its_backend(tmp_path: Path) -> None:
    code = fatbin(fatbin_entry(2, 89), fatbin_entry(1, 80, isa=(9, 0)))
    data = elf_library(
        needed=["libcudart.so.13", "libcublas.so.13"], sections={".nv_fatbin": code},
        versions={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_PRIVATE"]},
    )  # fmt: skip
    found = inspected(write(tmp_path, "libggml-cuda.so", data))
    assert (found.cuda_major, found.cuda_version, found.backend) == (13, (13, 0), "cuda")
    assert found.fatbins == (Fatbin(kind="cubin", arch=(8, 9)), Fatbin(kind="ptx", arch=(8, 0), isa=(9, 0)))
    assert found.glibc == (2, 34)
    assert isinstance(found.debug_build, Unknown)


def test_a_windows_library_tells_the_cuda_13_runtime_and_the_debug_runtime(tmp_path: Path) -> None:
    path = write(tmp_path, "ggml-cuda.dll", pe_library(imports=["cublas64_13.dll"], text=b"..nvcudart_hybrid64.dll\0"))
    found = inspected(path)
    assert (found.form, found.cuda_major, found.hybrid_runtime, found.debug_build) == ("pe", 13, True, False)
    debug = write(tmp_path, "ggml-cpu.dll", pe_library(imports=["ucrtbased.dll", "KERNEL32.dll"]))
    assert inspected(debug).debug_build is True


def test_cuda_11_libraries_are_told_by_their_three_digits(tmp_path: Path) -> None:
    path = write(tmp_path, "llama.dll", pe_library(imports=["cudart64_110.dll", "cublas64_11.dll"]))
    assert inspected(path).cuda_major == 11


@pytest.mark.parametrize("name", ["text.so", "empty.so", "cut.so", "folder", "gone.so", "pipe"])
def test_what_is_no_library_is_unknown_or_absent(tmp_path: Path, name: str) -> None:
    import os

    (tmp_path / "text.so").write_text("INPUT(x)")
    (tmp_path / "empty.so").touch()
    (tmp_path / "cut.so").write_bytes(elf_library(needed=["a"])[:70])
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    found = look_at_library(World(), str(tmp_path / name), Places())
    assert isinstance(found, Absent if name == "gone.so" else Unknown)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = ("form", "machine", "needed", "delayed", "found", "missing", "elsewhere", "runpath", "fatbins", "gfx", "glibc",
        "glibcxx", "compiler", "bytes", "hybrid_runtime")  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_an_answer_of_any_form_gives_a_record_or_unknown(answer: dict[str, object]) -> None:
    assert isinstance(library_from("/x/libggml-cuda.so", answer), Library | Unknown)


def test_the_loaders_cache_is_read_by_name_and_machine() -> None:
    text = (
        "3 libs found in cache `/etc/ld.so.cache'\n"
        "\tlibcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1\n"
        "\tlibcuda.so.1 (libc6) => /lib/i386-linux-gnu/libcuda.so.1\n"
        "\tlibc.so.6 (libc6,AArch64, OS ABI: Linux 3.7.0) => /lib/aarch64-linux-gnu/libc.so.6\n"
    )
    assert parse_loader_cache(text) == {
        ("libcuda.so.1", "x86-64"): ("/lib/x86_64-linux-gnu/libcuda.so.1",),
        ("libcuda.so.1", "x86"): ("/lib/i386-linux-gnu/libcuda.so.1",),
        ("libc.so.6", "aarch64"): ("/lib/aarch64-linux-gnu/libc.so.6",),
    }

"""Engines are found by their files and asked in children: they may crash, hang, print nonsense, or start a build."""

from __future__ import annotations

import importlib.util
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binary_bytes import elf_library
from vramctl.probes.children_run import ask_child, told
from vramctl.probes.doctor_cuda import cuda_from, libcuda_kind, look_toolkits, toolkit_from
from vramctl.probes.doctor_engines import look_engines, with_devices
from vramctl.probes.doctor_torch import look_torch
from vramctl.probes.engine_programs import look_llama_programs, parse_devices
from vramctl.probes.interpreters import interpreters
from vramctl.records.facts import CudaDriver, Engine, Platform, Torch
from vramctl.records.unknown import Absent, Unknown
from vramctl.units import MIB
from vramctl.world.machine import World


@dataclass
class AskedFor:
    """What the doctor was asked about."""

    python: str | None = None
    engines: tuple[str, ...] = ()
    pid: int | None = None


@dataclass
class SomeFacts:
    """A platform and an environment."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def fact(self, name: str) -> Any:
        """One of the two."""
        found = {"environment": self.environment, "platform": Platform(system="linux")}
        return found.get(name, Unknown("not looked at"))


def program(folder: Path, name: str, text: str) -> str:
    """A shell script that can be started."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def package(folder: Path, name: str, version: str, files: Mapping[str, str | bytes]) -> None:
    """An installed package: its files, its metadata and its list of files."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: py3-none-linux_x86_64\n")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))


# --- how children end


@pytest.mark.parametrize(
    ("script", "ended"),
    [("kill -ILL $$", "SIGILL"), ("kill -SEGV $$", "SIGSEGV"), ("exit 3", "exit code 3"), ("exit 0", ""),
     ("exec sleep 20", "timeout after 0.3 s")],
)  # fmt: skip
def test_how_a_child_ended_is_told(tmp_path: Path, script: str, ended: str) -> None:
    start = time.monotonic()
    answer = ask_child(program(tmp_path, "python", script), "devices", timeout_seconds=0.3)
    assert answer["ended"] == ended
    assert time.monotonic() - start < 5


def test_what_was_said_before_a_crash_counts(tmp_path: Path) -> None:
    script = 'echo \'VRAMCTL-JSON {"stage": "starting"}\'; echo noise >&2; kill -SEGV $$'
    answer = ask_child(program(tmp_path, "python", script), "devices", timeout_seconds=5)
    assert answer == {"stage": "starting", "ended": "SIGSEGV", "noise": "noise\n"}
    engine = with_devices(Engine(kind="llama-cpp-python", path="/x"), answer)
    assert isinstance(engine.devices, Unknown)
    assert "SIGSEGV while starting" in engine.devices.reason
    assert engine.ended == "SIGSEGV"


def test_an_interpreter_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    assert "unknown" in ask_child(str(tmp_path / "gone"), "devices")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_nonsense_is_no_answer(noise: str) -> None:
    assert isinstance(told(noise), dict)
    assert told(f"{noise}\nVRAMCTL-JSON [1]\nVRAMCTL-JSON {{broken\nVRAMCTL-JSON {{\"a\": 1}}") | {"a": 1} == told(
        f"{noise}\nVRAMCTL-JSON {{\"a\": 1}}"
    )  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(("stage", "devices", "log", "noise", "ended", "load_error", "system_info")), JSON)
)
def test_an_answer_of_any_form_gives_an_engine(answer: dict[str, Any]) -> None:
    assert with_devices(Engine(kind="llama.cpp", path="/x"), answer).kind == "llama.cpp"


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(("library", "errors", "init", "init_name", "gpus", "driver_version", "ended")), JSON
    )
)
def test_an_answer_of_any_form_gives_a_cuda_driver_or_unknown(answer: dict[str, Any]) -> None:
    assert isinstance(cuda_from(answer), CudaDriver | Unknown)


# --- packages, found without importing them


def engines_of(folders: list[Path], monkeypatch: pytest.MonkeyPatch, *kinds: str) -> tuple[Engine, ...]:
    """The engines of this interpreter with these folders before its own."""
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, folders)))
    found = look_engines(World(), AskedFor(python=sys.executable, engines=kinds), SomeFacts())
    assert isinstance(found, tuple), found
    return found


EXPLODES = "raise SystemExit('imported')\n"


def test_llama_cpp_python_is_found_by_its_files_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = elf_library(needed=["libggml.so"], runpath="$ORIGIN")
    files = {"llama_cpp/__init__.py": EXPLODES, "llama_cpp/lib/libllama.so": main, "llama_cpp/lib/libggml.so": elf_library(),
             "llama_cpp/lib/libggml.so.0": elf_library()}  # fmt: skip
    package(tmp_path, "llama-cpp-python", "0.3.16", files)
    (engine,) = engines_of([tmp_path], monkeypatch, "llama-cpp-python")
    assert (engine.version, engine.path) == ("0.3.16", str(tmp_path / "llama_cpp/__init__.py"))
    assert sorted(Path(library.path).name for library in engine.libraries) == ["libggml.so", "libllama.so"]
    assert isinstance(engine.devices, Unknown)  # the synthetic library cannot be loaded: an error, or the child's end
    assert engine.import_error or engine.ended
    assert engine.package["tag"] == "py3-none-linux_x86_64"


def test_a_second_copy_and_a_folder_of_the_same_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, local = tmp_path / "a", tmp_path / "b", tmp_path / "local"
    package(
        first,
        "llama-cpp-python",
        "0.3.8",
        {"llama_cpp/__init__.py": EXPLODES, "llama_cpp/lib/libllama.so": elf_library()},
    )
    package(
        second,
        "llama-cpp-python",
        "0.3.16",
        {"llama_cpp/__init__.py": "", "llama_cpp/lib/libggml-cuda.so": elf_library()},
    )
    (engine,) = engines_of([first, second], monkeypatch, "llama-cpp-python")
    assert engine.version == "0.3.8"
    assert engine.package["other copies"] == f"0.3.16 in {second} (with cuda)"
    (local / "llama_cpp").mkdir(parents=True)
    (local / "llama_cpp" / "__init__.py").write_text(EXPLODES)
    (engine,) = engines_of([local, first], monkeypatch, "llama-cpp-python")
    assert engine.package["shadowed by"] == str(local / "llama_cpp/__init__.py")


def test_an_interpreter_that_cannot_be_asked_is_unknown(tmp_path: Path) -> None:
    asked = AskedFor(python=program(tmp_path, "python", "echo no >&2; exit 7"))
    found = look_engines(World(), asked, SomeFacts())
    assert isinstance(found, Unknown)
    assert "exit code 7" in found.reason


def test_exllama_is_not_imported_and_torch_only_in_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "imported"
    trap = f"open({str(mark)!r}, 'w').close()\n"
    site = tmp_path / "site"
    torch = (
        "import types\n__version__ = '2.8.0+cu128'\nversion = types.SimpleNamespace(cuda='12.8', hip=None)\n"
        "cuda = types.SimpleNamespace(get_arch_list=lambda: ['sm_89'], is_available=lambda: True)\n"
        "_C = types.SimpleNamespace(_GLIBCXX_USE_CXX11_ABI=True)\n"
    )
    versions = "__version__ = '2.8.0+cu128'\ncuda: str = '12.8'\nhip = None\n"
    ending = importlib.machinery.EXTENSION_SUFFIXES[0]
    package(site, "torch", "2.8.0+cu128", {"torch/__init__.py": torch, "torch/version.py": versions})
    package(site, "exllamav2", "0.3.2", {"exllamav2/__init__.py": trap, "exllamav2_ext.py": trap})
    package(site, "flash-attn", "2.8.3", {"flash_attn/__init__.py": f"__version__ = '2.8.3'\n{trap}",
                                          f"flash_attn_2_cuda{ending}": b"no library"})  # fmt: skip
    (engine,) = engines_of([site], monkeypatch, "exllamav2")
    assert (engine.package["torch"], engine.package["cuda"]) == ("2.8.0+cu128", "12.8")
    assert engine.package["flash_attn version"] == "2.8.3"
    found = look_torch(World(), AskedFor(python=sys.executable), SomeFacts())
    assert isinstance(found, Torch)
    assert (found.version, found.cuda_version, found.architectures) == ("2.8.0+cu128", (12, 8), ("sm_89",))
    assert "ImportError" in found.import_errors["flash_attn_2_cuda"]
    assert "exllamav2_ext" not in found.import_errors
    assert not mark.exists()


def test_torch_without_exllama_is_read_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "imported"
    package(tmp_path, "torch", "2.8.0+cpu", {
        "torch/__init__.py": f"open({str(mark)!r}, 'w').close()\n",
        "torch/version.py": "__version__ = '2.8.0+cpu'\ncuda = None\n",
    })  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = look_torch(World(), AskedFor(python=sys.executable), SomeFacts())
    assert isinstance(found, Torch)
    assert isinstance(found.cuda_version, Absent)
    assert not mark.exists()


# --- llama.cpp's programs


LISTED = """Available devices:
  CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 23669 MiB free)
  Vulkan1: AMD Radeon (RADV) (16384 MiB, 16000 MiB free)
  BLAS: OpenBLAS (0 MiB, 0 MiB free)
"""


def test_the_devices_of_a_program_are_read() -> None:
    found = parse_devices(LISTED)
    assert [(one.name, one.kind, one.backend) for one in found] == [
        ("CUDA0", "gpu", "CUDA"), ("Vulkan1", "gpu", "Vulkan"), ("BLAS", "accel", "BLAS")]  # fmt: skip
    assert found[1].description == "AMD Radeon (RADV)"
    assert (found[0].total_bytes, found[0].free_bytes) == (24080 * MIB, 23669 * MIB)


def llama_server(folder: Path, script: str) -> Engine:
    """The engine of a folder with this program."""
    program(folder, "llama-server", script)
    (engine,) = look_llama_programs(World(), {"PATH": str(folder)}, None)
    return engine


def test_a_program_is_asked_for_devices_and_version(tmp_path: Path) -> None:
    (tmp_path / "libggml-cuda.so").write_bytes(elf_library())
    engine = llama_server(
        tmp_path, f"if [ $1 = --version ]; then echo 'version: 11434 (b3c8f0d2e)' >&2; else cat <<'X'\n{LISTED}\nX\nfi"
    )
    assert (engine.version, len(engine.devices) if isinstance(engine.devices, tuple) else 0) == ("b11434", 3)
    assert engine.backends == {"cuda"}


@pytest.mark.parametrize(
    ("script", "ended"), [("kill -ILL $$", "SIGILL"), ("echo hello", ""), ("head -c 3000000 /dev/zero", "")]
)
def test_a_program_that_crashes_or_prints_nonsense_is_unknown(tmp_path: Path, script: str, ended: str) -> None:
    engine = llama_server(tmp_path, script)
    assert isinstance(engine.devices, Unknown)
    assert engine.ended == ended


def test_a_missing_library_of_a_program_is_its_load_error(tmp_path: Path) -> None:
    text = (
        "error while loading shared libraries: libllama.so: cannot open shared object file: No such file or directory"
    )
    engine = llama_server(tmp_path, f"echo '{tmp_path}/llama-server: {text}' >&2; exit 127")
    assert engine.import_error == text


# --- CUDA


def test_stubs_and_compat_libraries_are_known_by_their_folders() -> None:
    assert libcuda_kind("/usr/local/cuda/lib64/stubs/libcuda.so.1", Unknown("")) == "stub"
    assert libcuda_kind("/x/libcuda.so.1", "/usr/local/cuda-13.0/compat/libcuda.so.580.65.06") == "compat"
    assert libcuda_kind("/usr/lib/wsl/lib/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1.1") == "wsl"
    assert libcuda_kind("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "/usr/lib/libcuda.so.580.95.05") == "driver"


def test_toolkits_are_found_by_variables_and_search_paths(tmp_path: Path) -> None:
    new, old = tmp_path / "cuda-13.0", tmp_path / "cuda-12.1"
    for folder in (new, old):
        (folder / "lib64").mkdir(parents=True)
        (folder / "bin").mkdir()
    (new / "version.json").write_text('{"cuda": {"version": "13.0.2"}}')
    (new / "lib64" / "libcudart.so.13").touch()
    (new / "bin" / "nvcc").touch()
    environment = {
        "CUDA_PATH": str(tmp_path / "gone"),
        "LD_LIBRARY_PATH": f"{new}/lib64:{old}/lib64",
        "PATH": f"{old}/bin:/bin",
    }
    found = look_toolkits(World(), AskedFor(), SomeFacts(environment))
    assert isinstance(found, tuple)
    by_path = {Path(one.path).name: one for one in found if one.path.startswith(str(tmp_path))}
    assert by_path["gone"].exists is False
    assert (by_path["cuda-13.0"].version, by_path["cuda-13.0"].named_by) == ((13, 0, 2), ("LD_LIBRARY_PATH",))
    assert by_path["cuda-13.0"].runtime_files == {"lib64": ("libcudart.so.13",)}
    assert (by_path["cuda-12.1"].version, by_path["cuda-12.1"].named_by) == ((12, 1), ("PATH", "LD_LIBRARY_PATH"))
    assert isinstance(by_path["cuda-12.1"].nvcc, Absent)


def test_a_toolkit_of_any_form_is_read() -> None:
    assert toolkit_from({"path": 3, "version": {}, "named_by": "x", "files": []}).path == "3"


@pytest.mark.engine
def test_a_real_engine_lists_its_devices() -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    found = look_engines(World(), AskedFor(python=sys.executable, engines=("xllamacpp",)), SomeFacts())
    assert isinstance(found, tuple)
    (engine,) = found
    assert isinstance(engine.devices, tuple)
    assert "CPU" in [device.backend for device in engine.devices]
    assert isinstance(engine.system_info, str)
    assert "CPU :" in engine.system_info
    assert engine.ended == ""
    assert engine.libraries[0].missing == ()


def test_the_interpreter_of_a_process_is_the_one_it_was_started_with(tmp_path: Path) -> None:
    import subprocess

    link = tmp_path / "venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    waits = [str(link), "-c", "print('ready', flush=True); input()"]
    process = subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        found = interpreters(World(), AskedFor(pid=process.pid), SomeFacts({"PATH": "/usr/bin:/bin"}))
    finally:
        process.communicate(b"\n")
    assert isinstance(found, tuple)
    assert [(one.python, one.told["prefix"], one.ours) for one in found] == [(str(link), str(tmp_path / "venv"), False)]


def test_the_active_environment_is_asked_beside_our_own(tmp_path: Path) -> None:
    link = tmp_path / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    environment = {"VIRTUAL_ENV": str(tmp_path), "CONDA_PREFIX": str(tmp_path / "gone")}
    found = interpreters(World(), AskedFor(), SomeFacts(environment))
    assert isinstance(found, tuple)
    assert [(one.role, one.ours) for one in found] == [("the interpreter in question", True), ("VIRTUAL_ENV", False)]

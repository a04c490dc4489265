"""Which files make a llama.cpp build: wheels, folders, programs, Ollama; nothing here is loaded."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vramctl.engines.binding import Binding
from vramctl.engines.builds import look_build
from vramctl.engines.llama_server import LlamaServer
from vramctl.engines.table import ENGINES, STARTS_BUILDS, engine_of_build
from vramctl.errors import BadInput
from vramctl.records import Build, Unknown

LIBRARIES = ("libggml-base.so", "libggml-cpu.so", "libggml.so", "libllama.so")
VERSIONED = tuple(f"{name}{end}" for name in LIBRARIES for end in ("", ".0", ".0.25.3"))
VARIANTS = ("libggml-cpu-haswell.so", "libggml-cpu-zen4.so", "libggml-cpu-x64.so")


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
        (folder / name).chmod(0o755)
    return folder


def build_at(path: Path) -> Build:
    found = look_build(str(path))
    assert isinstance(found, Build), found
    return found


def names(build: Build) -> list[str]:
    return [Path(file).name for file in build.libraries]


def test_a_folder_gives_its_libraries_in_load_order(tmp_path: Path) -> None:
    make(tmp_path / "llama-b11434", *VERSIONED)
    found = build_at(tmp_path / "llama-b11434")
    assert names(found) == list(LIBRARIES)
    assert (found.name, found.backends_from) == ("llama.cpp in llama-b11434", None)
    assert isinstance(found.version, Unknown)


@pytest.mark.parametrize("inner", ["lib", "bin", "build/bin", "lib/ollama"])
def test_libraries_below_the_folder_are_found(tmp_path: Path, inner: str) -> None:
    make(tmp_path / inner, *VERSIONED)
    assert names(build_at(tmp_path)) == list(LIBRARIES)


def test_a_build_is_named_by_the_part_of_its_path_that_tells(tmp_path: Path) -> None:
    place = make(tmp_path / "llama-b9000" / "build" / "bin", *VERSIONED)
    assert build_at(place).name == "llama.cpp in llama-b9000"


def test_dynamic_backends_are_loaded_from_the_folder_and_not_one_by_one(tmp_path: Path) -> None:
    make(tmp_path, "libggml-base.so", "libggml.so", "libllama.so", *VARIANTS)
    found = build_at(tmp_path)
    assert names(found) == ["libggml-base.so", "libggml.so", "libllama.so"]
    assert found.backends_from == str(tmp_path)


def test_the_names_of_node_llama_cpp_are_known(tmp_path: Path) -> None:
    make(
        tmp_path,
        "libggml-base.so",
        "libggml.cuda.v0.5.0.so",
        "libllama.cuda.v0.5.0.so",
        "libllama-common.so",
        *VARIANTS,
    )
    assert names(build_at(tmp_path)) == ["libggml-base.so", "libggml.cuda.v0.5.0.so", "libllama.cuda.v0.5.0.so"]


@pytest.mark.parametrize("libraries", ["bin", "lib", "lib64", "lib/x86_64-linux-gnu"])
def test_a_program_stands_for_the_libraries_near_it(tmp_path: Path, libraries: str) -> None:
    make(tmp_path / libraries, *VERSIONED)
    make(tmp_path / "bin", "llama-server")
    found = build_at(tmp_path / "bin" / "llama-server")
    assert found.name == "llama.cpp of llama-server"
    assert names(found) == list(LIBRARIES)


def test_a_link_to_a_program_leads_to_its_real_place(tmp_path: Path) -> None:
    make(tmp_path / "opt" / "llama", "llama-server", *VERSIONED)
    make(tmp_path / "bin")
    (tmp_path / "bin" / "llama-server").symlink_to(tmp_path / "opt" / "llama" / "llama-server")
    assert names(build_at(tmp_path / "bin" / "llama-server")) == list(LIBRARIES)


def test_llama_fit_params_is_found_beside_the_libraries_and_alone(tmp_path: Path) -> None:
    make(tmp_path / "both", "llama-fit-params", *VERSIONED)
    make(tmp_path / "alone", "llama-fit-params")
    assert build_at(tmp_path / "both").fit_params == str(tmp_path / "both" / "llama-fit-params")
    alone = build_at(tmp_path / "alone")
    assert (alone.libraries, alone.fit_params) == ((), str(tmp_path / "alone" / "llama-fit-params"))


@pytest.mark.parametrize("folder", ["", "bin", "build/bin"])
def test_programs_without_shared_libraries_are_a_build_that_a_server_runs(tmp_path: Path, folder: str) -> None:
    make(tmp_path / folder, "llama-server", "llama-bench")
    for path in (tmp_path, tmp_path / folder / "llama-server", tmp_path / folder / "llama-bench"):
        found = build_at(path)
        assert found.libraries == ()
        engine = engine_of_build(found)
        assert isinstance(engine, LlamaServer) and engine.program == str(tmp_path / folder / "llama-server")


def test_programs_without_a_server_are_a_build_that_nothing_runs(tmp_path: Path) -> None:
    make(tmp_path, "llama-bench")
    assert engine_of_build(build_at(tmp_path)) == Unknown(
        f"llama.cpp in {tmp_path.name} has neither a library nor llama-server"
    )


def test_libraries_are_driven_directly_also_beside_a_server(tmp_path: Path) -> None:
    make(tmp_path, "llama-server", *VERSIONED)
    assert isinstance(engine_of_build(build_at(tmp_path)), Binding)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_every_way_to_run_a_model_has_a_row_with_its_module(name: str) -> None:
    module = import_module(ENGINES[name])
    ways = [found for found in vars(module).values() if getattr(found, "vehicle", None) == name]
    assert ways, f"{module.__name__} has no engine that calls itself {name}"
    assert hasattr(module, "of_build") == (name in STARTS_BUILDS)


def test_every_file_with_an_engine_is_in_the_table() -> None:
    folder = Path(str(import_module("vramctl.engines").__file__)).parent
    files = {path.stem for path in folder.glob("*.py") if re.search(r"^    vehicle = ", path.read_text(), re.MULTILINE)}
    assert {f"vramctl.engines.{file}" for file in files} == set(ENGINES.values())


def test_a_library_stands_for_its_folder(tmp_path: Path) -> None:
    make(tmp_path, *VERSIONED)
    assert names(build_at(tmp_path / "libllama.so.0")) == list(LIBRARIES)


def test_one_file_that_holds_everything_is_a_build(tmp_path: Path) -> None:
    make(tmp_path / "wheel", "xllamacpp.abi3.so")
    for path in (tmp_path / "wheel", tmp_path / "wheel" / "xllamacpp.abi3.so"):
        assert names(build_at(path)) == ["xllamacpp.abi3.so"]


def test_ollama_since_0_30_is_asked_through_its_own_libraries(tmp_path: Path) -> None:
    make(tmp_path / "lib" / "ollama", "libggml-base.so", "libggml.so", "libllama.so", *VARIANTS)
    make(tmp_path / "bin", "ollama")
    for path in (tmp_path, tmp_path / "bin" / "ollama", tmp_path / "lib" / "ollama"):
        found = build_at(path)
        assert names(found)[-1] == "libllama.so"
        assert found.backends_from == str(tmp_path / "lib" / "ollama")


def test_an_older_ollama_is_an_engine_that_cannot_be_asked(tmp_path: Path) -> None:
    make(tmp_path / "lib" / "ollama", "libggml-base.so", *VARIANTS)
    make(tmp_path / "bin", "ollama")
    for path in (tmp_path, tmp_path / "bin" / "ollama", tmp_path / "lib" / "ollama"):
        found = look_build(str(path))
        assert isinstance(found, Unknown)
        assert "before 0.30" in found.reason


def test_a_program_that_only_lives_near_an_older_ollama_is_not_taken_for_it(tmp_path: Path) -> None:
    make(tmp_path / "lib" / "ollama", "libggml-base.so", *VARIANTS)
    make(tmp_path / "bin", "grep")
    with pytest.raises(BadInput):
        look_build(str(tmp_path / "bin" / "grep"))


@pytest.mark.parametrize("name", ["README.md", "libc.so.6", "python.txt"])
def test_a_file_that_is_no_engine_is_an_error(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(BadInput) as caught:
            look_build(str(path))
        assert caught.value.code == "engine-not-known"


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        look_build(str(tmp_path / "nothing"))
    assert caught.value.code == "engine-not-found"


def environment(folder: Path, packages: dict[str, str]) -> Path:
    """A Python interpreter that finds these packages: a script that puts a folder on the real one's path."""
    for package, file in packages.items():
        make((folder / "site" / package / file).parent, Path(file).name)
        (folder / "site" / package / "__init__.py").write_text("raise SystemExit('must not be imported')\n")
    make(folder / "bin")
    interpreter = folder / "bin" / "python"
    code = f"import sys; sys.path.insert(0, {str(folder / 'site')!r}); exec(sys.argv[1])"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S -c "{code}" "$3"\n')
    interpreter.chmod(0o755)
    return interpreter


@pytest.mark.skipif(os.name == "nt", reason="the stand-in interpreter is a shell script")
def test_an_interpreter_is_asked_for_its_bindings_without_importing_them(tmp_path: Path) -> None:
    interpreter = environment(tmp_path, {"xllamacpp": "xllamacpp.abi3.so"})
    for path in (interpreter, tmp_path):
        found = build_at(path)
        assert names(found) == ["xllamacpp.abi3.so"]
        assert found.path == str(interpreter)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in interpreter is a shell script")
def test_an_interpreter_without_bindings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        look_build(str(environment(tmp_path, {})))

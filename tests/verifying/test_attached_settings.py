"""What a running process was asked for, as its command line and its environment say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vramctl.records import Settings, Unknown
from vramctl.show.settings_text import ALL_EXPERTS
from vramctl.verifying.attached_settings import Given, seen_from_here, settings_of
from vramctl.verifying.evidence import hiding

SERVER = ("/usr/bin/llama-server", "-m", "model.gguf")


def asked(*words: str, **environ: str) -> Settings:
    found = settings_of((*SERVER, *words), environ)
    assert isinstance(found, Given)
    return found.settings


@pytest.mark.parametrize(
    ("words", "layers"),
    [
        ((), None), (("-ngl", "auto"), None), (("-ngl", "-1"), None), (("-ngl", "99"), 99), (("-ngl", "0"), 0),
        (("-ngl", "all"), -1), (("--fit", "off"), -1), (("-ngl", "20", "--device", "none"), 0),
    ],
)  # fmt: skip
def test_layers_are_what_the_server_makes_of_the_option(words: tuple[str, ...], layers: int | None) -> None:
    assert asked(*words).n_gpu_layers == layers


def test_a_variable_counts_where_no_option_says_it() -> None:
    environ = {"LLAMA_ARG_N_GPU_LAYERS": "20", "LLAMA_ARG_CTX_SIZE": "4096", "LLAMA_API_KEY": "secret", "HOME": "/"}
    found = asked("-c", "8192", **environ)
    assert (found.n_gpu_layers, found.n_ctx) == (20, 8192)
    by_variable = settings_of(("llama-server",), {"LLAMA_ARG_MODEL": "/models/a.gguf"})
    assert isinstance(by_variable, Given) and by_variable.model == "/models/a.gguf"


def test_tensors_kept_in_system_memory_are_in_the_settings() -> None:
    found = asked("-ot", r"blk\.1\.=CPU,blk\.2\.=CPU", "-ot", "blk.3.=CUDA1", "--cpu-moe")
    assert found.tensor_overrides == (
        (r"blk\.1\.", "CPU"), (r"blk\.2\.", "CPU"), ("blk.3.", "CUDA1"), ALL_EXPERTS,
    )  # fmt: skip


@pytest.mark.parametrize("written", ["3,1", "3/1"])
def test_shares_of_a_tensor_split_stand_between_commas_or_slashes(written: str) -> None:
    assert asked("-ts", written).tensor_split == (3.0, 1.0)


@pytest.mark.parametrize("words", [("-ts", "much"), ("-ts", "1,,2"), ("-ot", "nothing")])
def test_a_value_that_cannot_be_read_is_a_value_error(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        asked(*words)


def test_a_projector_and_a_draft_model_are_counted_where_they_go_to_a_gpu() -> None:
    found = asked("--mmproj=eyes.gguf", "-md", "small.gguf")
    assert (found.mmproj, found.draft) == ("eyes.gguf", "small.gguf")
    stays = asked("--mmproj", "eyes.gguf", "--no-mmproj-offload", "-md", "small.gguf", "-ngld", "0")
    assert (stays.mmproj, stays.draft) == (None, None)


def test_the_gpus_that_were_chosen_are_known_by_name() -> None:
    found = settings_of((*SERVER, "--device", "CUDA1,CUDA2"), {})
    assert isinstance(found, Given) and found.devices == ("CUDA1", "CUDA2")


def test_the_server_of_llama_cpp_python_has_options_and_defaults_of_its_own() -> None:
    command = ("python", "-m", "llama_cpp.server", "--model", "m.gguf", "--offload_kqv", "false")
    found = settings_of(command, {"LLAMA_ARG_N_GPU_LAYERS": "20"})
    assert isinstance(found, Given)
    assert (found.settings.program, found.settings.n_gpu_layers, found.settings.n_ctx) == ("llama-cpp-python", 0, 2048)
    assert found.settings.offload_kqv is False
    everything = settings_of((*command, "--n_gpu_layers", "-1"), {})
    assert isinstance(everything, Given) and everything.settings.n_gpu_layers == -1


def test_a_router_names_no_model() -> None:
    assert isinstance(settings_of(("llama-server", "--port", "8080"), {}), Unknown)


def test_a_file_is_found_through_the_process_s_own_root(tmp_path: Path) -> None:
    assert seen_from_here("a.gguf", Path("/models"), Path("/")) == Path("/models/a.gguf")
    assert seen_from_here("/models/a.gguf", Path("/app"), tmp_path) == tmp_path / "models" / "a.gguf"
    assert seen_from_here("a.gguf", Path("/models"), tmp_path / "gone") == Path("/models/a.gguf")
    assert seen_from_here("a.gguf", None, Path(f"/proc/{os.getpid()}/root")) == Path("a.gguf")


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES="), ({"CUDA_VISIBLE_DEVICES": "-1"}, "CUDA_VISIBLE_DEVICES=-1"),
        ({"CUDA_VISIBLE_DEVICES": "0"}, ""), ({"NVIDIA_VISIBLE_DEVICES": "void"}, ""),
    ],
)  # fmt: skip
def test_a_variable_that_cuda_does_not_read_hides_nothing(environ: dict[str, str], found: str) -> None:
    assert hiding(environ) == found

"""Configurations that are not calls: an application's own YAML, JSON and TOML, notebooks, and sources in unusual clothes."""

from __future__ import annotations

import json

import pytest

from vramctl.formats.config_audit import MOST_CALLS, Audited, read_configs
from vramctl.records.unknown import Unknown

IMPORT = "from llama_cpp import Llama\n"


def settings(name: str, text: str) -> list[dict[str, object]]:
    """The settings of each call, by name."""
    return [{one.name: one.value for one in call[1:]} for call in read_configs({name: text}).calls]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("settings.yaml", "llamacpp:\n  n_gpu_layers: 0\n  offload_kqv: false\n"),
        ("settings.toml", "[llm]\nn_gpu_layers = 0  # none\noffload_kqv = false\n"),
        ("settings.json", '{"llm": {"n_gpu_layers": 0, "offload_kqv": false}}'),
    ],
)
def test_an_applications_own_settings_are_read(name: str, text: str) -> None:
    assert settings(name, text) == [{"n_gpu_layers": 0, "offload_kqv": False}]


def test_a_model_of_the_servers_own_file_is_a_whole_call() -> None:
    text = '{"host": "0.0.0.0",\n "models": [{"model": "m.gguf",\n  "n_gpu_layers": 0}]}'
    ((marker, *rest),) = read_configs({"config.json": text}).calls
    assert marker.value == "llama_cpp.server"
    assert [(one.name, one.line) for one in rest] == [("model", 2), ("n_gpu_layers", 3)]


def test_files_of_other_programs_are_left_alone() -> None:
    assert settings("package.json", '{"name": "x", "verbose": true, "model": "y"}') == []
    assert settings("data.json", "[" * 100_000) == []
    assert settings("ci.yml", "jobs:\n  test:\n    verbose: true\n") == []


def test_flags_of_text_generation_webui_are_read() -> None:
    (found,) = settings("CMD_FLAGS.txt", "# flags\n--loader llama.cpp --gpu-layers 0 --no_offload_kqv\n")
    assert (found["n_gpu_layers"], found["offload_kqv"]) == (0, False)


def test_the_code_of_a_notebook_is_read() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["Llama(n_gpu_layers=5)"]},
        {"cell_type": "code", "source": ["%pip install llama-cpp-python\n", IMPORT]},
        {"cell_type": "code", "source": 'Llama("m.gguf", n_gpu_layers=0)'},
    ]
    assert settings("a.ipynb", json.dumps({"cells": cells})) == [{"model": "m.gguf", "n_gpu_layers": 0}]
    broken = read_configs({"b.ipynb": "{"})
    assert broken.unread["b.ipynb"].startswith("it cannot be read as a notebook")


@pytest.mark.parametrize(
    "text",
    [
        "from llama_cpp import Llama as Model\nModel(model_path='m.gguf', n_gpu_layers=0)\n",
        "from functools import partial\nfrom llama_cpp import Llama\npartial(Llama, n_gpu_layers=0)\n",
        "from .engine import Llama\nLlama(model_path='m.gguf', n_gpu_layers=0)\n",
        "import xllamacpp\nparams = xllamacpp.CommonParams()\nparams.n_gpu_layers = 0\n",
        "from llama_cpp.server.settings import ModelSettings\nModelSettings(model='m.gguf', n_gpu_layers=0)\n",
        (
            "from haystack_integrations.components.generators.llama_cpp import LlamaCppGenerator\n"
            "LlamaCppGenerator(model='m.gguf', model_kwargs={'n_gpu_layers': 0})\n"
        ),
    ],
)
def test_a_call_is_found_under_other_names(text: str) -> None:
    assert settings("app.py", text)[0]["n_gpu_layers"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "from drawing import Llama\nLlama(color='white')\n",
        "class Llama:\n    pass\nLlama(size=3)\n",
        "class ModelSettings:\n    pass\nModelSettings(model='x')\n",
    ],
)
def test_a_class_of_the_same_name_is_not_an_engine(text: str) -> None:
    assert settings("zoo.py", text) == []


def test_a_dictionary_that_is_changed_later_is_taken_as_it_is_then() -> None:
    base = IMPORT + 'KW = {"model_path": "m.gguf", "n_ctx": 4096}\n'
    assert settings("a.py", base + 'KW["n_gpu_layers"] = -1\nLlama(**KW)\n')[0]["n_gpu_layers"] == -1
    assert settings("a.py", base + "KW.update(n_gpu_layers=-1)\nLlama(**KW)\n")[0]["n_gpu_layers"] == -1
    assert "**" in settings("a.py", base + "KW.update(more())\nLlama(**KW)\n")[0]
    twice = settings("a.py", base + 'KW["n_ctx"] = 8192\nLlama(**KW)\n')[0]
    assert isinstance(twice["n_ctx"], Unknown)


def test_a_text_that_is_handed_to_a_shell_is_a_command_line() -> None:
    text = "import subprocess\nsubprocess.run(f'llama-server -m {model} -ngl 0 --no-kv-offload', shell=True)\n"
    (found,) = settings("run.py", text)
    assert (found["n_gpu_layers"], found["offload_kqv"]) == (0, False)


def test_a_file_of_thousands_of_calls_is_read_in_part_and_said_so() -> None:
    audited: Audited = read_configs({"many.py": IMPORT + "Llama('m.gguf')\n" * 2000})
    assert len(audited.calls) == MOST_CALLS
    assert audited.unread["many.py"] == f"only its first {MOST_CALLS} calls were looked at"


def test_guidance_has_a_class_of_langchains_name_with_other_defaults() -> None:
    (call,) = read_configs({"g.py": "from guidance import models\nmodels.LlamaCpp('m.gguf', n_gpu_layers=-1)\n"}).calls
    assert call[-1].name == "**"

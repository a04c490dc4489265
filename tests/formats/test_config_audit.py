"""Configurations as people write them, read to settings: nothing is executed, what cannot be told is Unknown."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.formats.config_audit import Call, read_configs
from vramctl.records.unknown import Unknown


def calls(text: str, name: str = "app.py", **more: str) -> tuple[Call, ...]:
    return read_configs({name: text, **{key.replace("__", "."): value for key, value in more.items()}}).calls


def values(call: Call) -> dict[str, object]:
    return {setting.name: setting.value for setting in call[1:]}


def only(text: str, name: str = "app.py") -> dict[str, object]:
    (call,) = calls(text, name)
    return values(call)


def test_reads_the_first_example_of_llama_cpp_python() -> None:
    text = """
from llama_cpp import Llama

llm = Llama(
      model_path="./models/7B/llama-model.gguf",
      # n_gpu_layers=-1, # Uncomment to use GPU acceleration
      # seed=1337, # Uncomment to set a specific seed
      # n_ctx=2048, # Uncomment to increase the context window
)
"""
    (call,) = calls(text)
    assert (call[0].value, call[0].line, call[0].program) == ("Llama", 4, "llama-cpp-python")
    assert values(call) == {"model": "./models/7B/llama-model.gguf"}


def test_reads_a_model_from_the_hub() -> None:
    text = 'llm = Llama.from_pretrained(repo_id="Qwen/Qwen2-0.5B-Instruct-GGUF", filename="*q8_0.gguf", verbose=False)'
    assert only(text) == {"repo_id": "Qwen/Qwen2-0.5B-Instruct-GGUF", "model": "*q8_0.gguf", "verbose": False}


def test_reads_langchains_example() -> None:
    text = """
from langchain_community.llms import LlamaCpp
n_gpu_layers = -1  # The number of layers to put on the GPU. The rest will be on the CPU.
n_batch = 512
llm = LlamaCpp(
    model_path="/Users/rlm/Desktop/Code/llama.cpp/models/openorca-platypus2-13b.gguf.q4_0.bin",
    n_gpu_layers=n_gpu_layers,
    n_batch=n_batch,
    callback_manager=callback_manager,
    verbose=True,  # Verbose is required to pass to the callback manager
)
"""
    found = only(text)
    assert (found["n_gpu_layers"], found["n_batch"], found["verbose"]) == (-1, 512, True)
    assert isinstance(found["callback_manager"], Unknown)


def test_reads_llama_index_model_kwargs_and_its_name_for_the_context() -> None:
    text = 'LlamaCPP(model_url=u, context_window=3900, model_kwargs={"n_gpu_layers": 1, "offload_kqv": False})'
    found = only(text)
    assert (found["n_ctx"], found["n_gpu_layers"], found["offload_kqv"]) == (3900, 1, False)


def test_reads_the_agent_of_the_vram_patch() -> None:
    text = """
class Agent:
    def __init__(self, model_path, n_ctx=8192, n_gpu_layers=-1, n_threads=None, flash_attn=True, verbose=False, **kwargs):
        self.n_ctx = n_ctx
        self.llm = Llama(
            model_path=model_path, n_ctx=self.n_ctx, n_threads=n_threads,
            n_gpu_layers=n_gpu_layers,      # all layers
            flash_attn=flash_attn, offload_kqv=True, type_k=1, type_v=1,
            verbose=verbose, chat_format="gemma", **kwargs
        )
"""
    found = only(text)
    assert (found["n_ctx"], found["n_gpu_layers"], found["flash_attn"]) == (8192, -1, True)
    assert (found["offload_kqv"], found["type_k"], found["type_v"]) == (True, 1, 1)
    assert "n_threads" not in found, "None is the default"
    assert isinstance(found["**"], Unknown)


def test_a_parameter_that_is_given_another_value_elsewhere_is_unknown() -> None:
    text = "def load(n_gpu_layers=0):\n    return Llama('m.gguf', n_gpu_layers=n_gpu_layers)\nload(n_gpu_layers=-1)\n"
    assert isinstance(only(text)["n_gpu_layers"], Unknown)


def test_getenv_takes_the_value_of_the_env_file_that_is_given_too() -> None:
    source = 'N = int(os.getenv("LLAMACPP_N_GPU_LAYERS", "0"))\nLlama("m.gguf", n_gpu_layers=N)\n'
    assert only(source)["n_gpu_layers"] == 0
    call, variables = calls(source, __env="LLAMACPP_N_GPU_LAYERS=35  # of 41\n")
    assert values(call)["n_gpu_layers"] == 35
    assert values(variables) == {"n_gpu_layers": 35}


def test_getenv_without_a_default_is_unknown_and_says_which_variable() -> None:
    found = only('Llama("m.gguf", n_gpu_layers=int(os.environ["LAYERS"]))')["n_gpu_layers"]
    assert isinstance(found, Unknown)
    assert "LAYERS" in found.reason


def test_settings_class_with_a_prefix_takes_the_variables_of_the_env_file() -> None:
    source = """
class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LLAMACPP_")
    n_gpu_layers: int = 30
    n_ctx: int = Field(default=8192)

settings = Settings()
llm = Llama("m.gguf", n_gpu_layers=settings.n_gpu_layers, n_ctx=settings.n_ctx)
"""
    assert (only(source)["n_gpu_layers"], only(source)["n_ctx"]) == (30, 8192)
    call, _ = calls(source, __env="LLAMACPP_N_GPU_LAYERS=40\n")
    assert (values(call)["n_gpu_layers"], values(call)["n_ctx"]) == (40, 8192)


def test_arguments_from_a_dictionary_are_seen() -> None:
    text = 'options = {"n_gpu_layers": 0, "n_ctx": 4096}\nLlama("m.gguf", **options, **{"flash_attn": True})\n'
    assert only(text) == {"model": "m.gguf", "n_gpu_layers": 0, "n_ctx": 4096, "flash_attn": True}


def test_cache_types_by_name_are_types() -> None:
    assert only('Llama("m", type_k=llama_cpp.GGML_TYPE_Q8_0, type_v=GGML_TYPE_F16)')["type_k"] == "q8_0"


def test_what_is_worked_out_at_run_time_is_unknown_with_its_text() -> None:
    found = only('Llama("m.gguf", n_gpu_layers=-1 if torch.cuda.is_available() else 0)')["n_gpu_layers"]
    assert isinstance(found, Unknown)
    assert "torch.cuda.is_available()" in found.reason


def test_reads_the_exllama_guide() -> None:
    text = """
config = ExLlamaV2Config("path/to/model")
model = ExLlamaV2(config)
cache = ExLlamaV2Cache(model, lazy=True)
model.load_autosplit(cache, reserve_vram=reserve_vram, progress=True)
generator = ExLlamaV2DynamicGenerator(model, cache, tokenizer)
"""
    assert [call[0].value for call in calls(text)] == [
        "ExLlamaV2Config", "ExLlamaV2Cache", "model.load_autosplit", "ExLlamaV2DynamicGenerator",
    ]  # fmt: skip


def test_reads_ollama_clients() -> None:
    text = """
ollama.chat(model="llama3", messages=m, options={"num_gpu": 1, "num_ctx": 8192})
ChatOllama(model="llama3", num_gpu=0)
"""
    first, second = calls(text)
    assert (values(first)["num_gpu"], values(first)["num_ctx"]) == (1, 8192)
    assert values(second)["num_gpu"] == 0
    assert first[0].program == second[0].program == "ollama"


def test_reads_variables_and_programs_that_a_source_sets_and_starts() -> None:
    text = """
os.environ["CUDA_VISIBLE_DEVICES"] = ""
subprocess.Popen(["/opt/llama.cpp/llama-server", "-m", path, "-ngl", "0", "--port", str(port)])
"""
    server, variables = calls(text)
    assert values(server)["n_gpu_layers"] == 0
    assert values(variables) == {"CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("llama-server -m model.gguf --port 8080", {"model": "model.gguf"}),
        ("./llama-server -m m.gguf -c 16384 -np 4 -ngl 99", {"n_ctx": 16384, "n_parallel": 4, "n_gpu_layers": 99}),
        ("llama-server -hf ggml-org/gemma-3-1b-it-GGUF -ngl all", {"n_gpu_layers": "all"}),
        ("llama-server -m m.gguf --flash-attn off --no-kv-offload", {"flash_attn": "off", "offload_kqv": False}),
        ("llama-server -m m.gguf -fa -ctk q8_0 -ctv q8_0", {"flash_attn": "on", "type_k": "q8_0", "type_v": "q8_0"}),
        ("llama-server --ctx-size=8192 --swa-full --mlock", {"n_ctx": 8192, "swa_full": True, "use_mlock": True}),
        ("CUDA_VISIBLE_DEVICES=1 /usr/bin/llama-cli -m m.gguf -t 16 -nkvo", {"n_threads": 16, "offload_kqv": False}),
        ("C:\\llama\\llama-server.exe -m m.gguf -ngl 0", {"n_gpu_layers": 0}),
        ("python3 -m llama_cpp.server --model m.gguf --n_gpu_layers 35", {"model": "m.gguf", "n_gpu_layers": 35}),
        (
            "python -m llama_cpp.server --model m.gguf --offload_kqv False --flash_attn true",
            {"offload_kqv": False, "flash_attn": True},
        ),
    ],
)
def test_reads_command_lines(line: str, expected: dict[str, object]) -> None:
    command = next(call for call in calls(line, "start.sh") if call[0].value != "variables")
    assert expected.items() <= values(command).items()


def test_continued_lines_are_one_command_at_their_first_line() -> None:
    (call,) = calls("#!/bin/bash\nset -e\nexec llama-server \\\n  -m m.gguf \\\n  -ngl 20 \\\n  -c 8192\n", "run.sh")
    assert call[0].line == 3
    assert values(call) == {"model": "m.gguf", "n_gpu_layers": 20, "n_ctx": 8192}


def test_comments_and_commands_behind_operators_do_not_count() -> None:
    assert calls("# llama-server -m m.gguf -ngl 0\necho llama-server\n", "run.sh") == ()
    (call,) = calls("llama-server -m a.gguf -ngl 99 && other -ngl 0\n", "run.sh")
    assert values(call)["n_gpu_layers"] == 99


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("OLLAMA_KV_CACHE_TYPE=q8_0", ".env"),
        ('export OLLAMA_KV_CACHE_TYPE="q8_0"', "setup.sh"),
        ('[Service]\nEnvironment="OLLAMA_KV_CACHE_TYPE=q8_0"', "override.conf"),
        ("FROM ollama/ollama\nENV OLLAMA_KV_CACHE_TYPE=q8_0", "Dockerfile"),
        ("FROM ollama/ollama\nENV OLLAMA_KV_CACHE_TYPE q8_0", "Dockerfile"),
        ("services:\n  o:\n    environment:\n      - OLLAMA_KV_CACHE_TYPE=q8_0", "docker-compose.yml"),
        ("services:\n  o:\n    environment:\n      OLLAMA_KV_CACHE_TYPE: q8_0", "compose.yaml"),
        ("docker run --gpus all -e OLLAMA_KV_CACHE_TYPE=q8_0 ollama/ollama", "run.sh"),
        ("set OLLAMA_KV_CACHE_TYPE=q8_0", "start.bat"),
        ("setx OLLAMA_KV_CACHE_TYPE q8_0", "start.cmd"),
        ('$env:OLLAMA_KV_CACHE_TYPE = "q8_0"', "start.ps1"),
        ('launchctl setenv OLLAMA_KV_CACHE_TYPE "q8_0"', "mac.sh"),
    ],
)
def test_variables_are_found_in_every_form(text: str, name: str) -> None:
    call = next(call for call in calls(text, name) if call[0].program != "container")
    assert values(call) == {"OLLAMA_KV_CACHE_TYPE": "q8_0"}
    assert call[0].program == "ollama"


def test_an_empty_list_of_devices_is_kept_and_a_list_is_not_cut() -> None:
    assert only("CUDA_VISIBLE_DEVICES=\n", ".env") == {"CUDA_VISIBLE_DEVICES": ""}
    assert only("CUDA_VISIBLE_DEVICES=0,8,1\n", ".env") == {"CUDA_VISIBLE_DEVICES": "0,8,1"}


def test_names_that_may_hold_secrets_are_never_kept() -> None:
    audited = read_configs({".env": "LLAMACPP_API_KEY=abc\nOLLAMA_TOKEN=def\nAWS_SECRET=x\nLLAMACPP_N_CTX=1\n"})
    assert "abc" not in str(audited)
    assert "def" not in str(audited)


def test_the_profiles_of_the_performance_document() -> None:
    speed = "LLAMACPP_N_CTX=2048\nLLAMACPP_N_BATCH=1024\nLLAMACPP_N_GPU_LAYERS=40\nLLAMACPP_TEMPERATURE=0.1\n"
    found = only(speed, ".env.speed")
    assert (found["n_ctx"], found["n_batch"], found["n_gpu_layers"]) == (2048, 1024, 40)


def test_variables_of_llama_server_are_its_options() -> None:
    found = only("LLAMA_ARG_N_GPU_LAYERS=0\nLLAMA_ARG_NO_KV_OFFLOAD=1\nLLAMA_ARG_FLASH_ATTN=auto\n", ".env")
    assert found == {"n_gpu_layers": 0, "offload_kqv": False, "flash_attn": "auto"}


def test_a_compose_file_whose_image_has_the_program() -> None:
    text = """services:
  llamacpp-server:
    image: ghcr.io/ggml-org/llama.cpp:server-cuda
    ports:
      - 8080:8080
    command: ["-m", "/models/m.gguf", "--n-gpu-layers", "0"]
"""
    _, server = calls(text, "docker-compose.yml")
    assert values(server) == {"model": "/models/m.gguf", "n_gpu_layers": 0}


def test_a_list_of_words_as_command() -> None:
    text = "services:\n  a:\n    image: ghcr.io/ggml-org/llama.cpp:server\n    command:\n"
    text += "".join(f"      - {word}\n" for word in ("-m", "m.gguf", "-ngl", "'12'"))
    assert values(calls(text, "compose.yml")[1]) == {"model": "m.gguf", "n_gpu_layers": 12}


def test_llama_swap_blocks_are_one_command() -> None:
    text = (
        'models:\n  "qwen":\n    cmd: |\n      llama-server --port ${PORT}\n      -m qwen.gguf\n      -ngl 99 -fa off\n'
    )
    assert only(text, "config.yaml") == {"model": "qwen.gguf", "n_gpu_layers": 99, "flash_attn": "off"}


COMPOSE = "services:\n  llm:\n    image: {image}\n{more}"
RESERVED = """    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              count: all
              capabilities: [gpu]
"""


@pytest.mark.parametrize(
    ("image", "more", "gpu", "cpu_image"),
    [
        ("ollama/ollama", "", False, False),
        ("ollama/ollama:rocm", "    devices:\n      - /dev/kfd\n      - /dev/dri\n", True, False),
        ("ollama/ollama", "    gpus: all\n", True, False),
        ("ollama/ollama", "    runtime: nvidia\n", True, False),
        ("ghcr.io/ggml-org/llama.cpp:server-cuda", RESERVED, True, False),
        ("ghcr.io/ggml-org/llama.cpp:server-cuda-b6500", "", False, False),
        ("ghcr.io/ggml-org/llama.cpp:server", RESERVED, True, True),
        ("ghcr.io/ggml-org/llama.cpp:full-b6500", "", False, True),
    ],
)
def test_a_compose_service_and_its_gpu(image: str, more: str, gpu: bool, cpu_image: bool) -> None:
    container = next(
        call for call in calls(COMPOSE.format(image=image, more=more), "compose.yml") if call[0].program == "container"
    )
    assert values(container) == {"image": image, "gpu": gpu, "cpu_image": cpu_image}


def test_a_service_that_takes_over_from_another_and_other_images_are_left_alone() -> None:
    assert calls(COMPOSE.format(image="ollama/ollama", more="    extends:\n      service: gpu\n"), "compose.yml") == ()
    assert calls(COMPOSE.format(image="postgres:16", more=""), "compose.yml") == ()


def test_docker_run_lines() -> None:
    text = "docker run -d --gpus=all -v ollama:/root/.ollama -p 11434:11434 --name ollama ollama/ollama\n"
    assert only(text, "run.sh") == {"image": "ollama/ollama", "gpu": True, "cpu_image": False}
    assert only(text.replace("--gpus=all ", ""), "run.sh")["gpu"] is False
    server = (
        "docker run --gpus all -v /m:/m ghcr.io/ggml-org/llama.cpp:server-cuda -m /m/a.gguf -c 512 --n-gpu-layers 0\n"
    )
    container, command = calls(server, "run.sh")
    assert values(container)["gpu"] is True
    assert values(command) == {"model": "/m/a.gguf", "n_ctx": 512, "n_gpu_layers": 0}


def test_tabbyapi_is_known_by_its_keys() -> None:
    text = "network:\n  port: 5000\nmodel:\n  model_dir: models\n  cache_mode: Q6  # half\n  autosplit_reserve: [96]\n"
    (call,) = calls(text, "config.yml")
    assert call[0].program == "tabbyapi"
    assert values(call) == {"model_dir": "models", "cache_mode": "Q6", "autosplit_reserve": "96"}


def test_a_modelfile() -> None:
    assert only("FROM llama3\nPARAMETER num_gpu 1\nparameter num_ctx 4096\nSYSTEM hi\n", "Modelfile") == {
        "num_gpu": 1,
        "num_ctx": 4096,
    }


def test_a_source_that_cannot_be_parsed_says_so() -> None:
    audited = read_configs({"broken.py": "def f(:\n", "nothing.py": "print(1)\n"})
    assert audited.calls == ()
    assert "cannot be read as Python" in audited.unread["broken.py"]
    assert "no engine" in audited.unread["nothing.py"]


def test_nothing_of_a_source_is_executed(tmp_path: object) -> None:
    marker = f"{tmp_path}/ran"
    read_configs({"evil.py": f"open({marker!r}, 'w')\nLlama('m', n_ctx=__import__('os').system('touch {marker}'))\n"})
    import os

    assert not os.path.exists(marker)  # noqa: PTH110


@pytest.mark.parametrize("name", ["a.py", "a.yml", ".env", "run.sh", "Modelfile"])
def test_deep_and_long_texts_are_handled(name: str) -> None:
    for text in (
        "(" * 5000,
        "x = " + "[" * 3000 + "]" * 3000,
        "A" * 300_000,
        "a:\n" * 5000,
        "\\\n" * 5000,
        "-" * 100_000,
    ):
        found = read_configs({name: text})
        settings = [setting for call in found.calls for setting in call]
        assert {setting.name for setting in settings} <= {"call"}, "there is no setting in such a text"
        reason = found.unread.get(name, "")
        assert bool(reason) != bool(found.calls) and not reason.endswith(": "), (
            "what was not read is named, with the reason"
        )


@given(st.text(max_size=300), st.sampled_from(["a.py", "a.yml", ".env", "run.sh", "Modelfile", "x.service"]))
def test_no_text_raises(text: str, name: str) -> None:
    found = read_configs({name: f"llama-server {text}\nOLLAMA_HOST={text}\n{text}"})
    assert all(setting.file == name and setting.line >= 1 for call in found.calls for setting in call)
    assert set(found.unread) <= {name}
    assert found.calls or found.unread[name]


def test_names_that_stand_on_each_other_in_many_ways_are_worked_out_once() -> None:
    names = [f"x{number}" for number in range(30)]
    pairs = itertools.pairwise(names)
    lines = [f"{one} = {other} + 0 or {other}\n{one} = {other}\n{one} = int({other})" for one, other in pairs]
    text = "\n".join([*lines * 20, f"{names[-1]} = {names[0]}", f"Llama('m', n_ctx={names[0]}, n_batch={names[5]})"])
    started = time.monotonic()
    assert isinstance(only(text)["n_ctx"], Unknown)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('exec llama-server -m m.gguf "$@"\n', "run.sh"),
        ("python -m llama_cpp.server --config_file settings.json\n", "run.sh"),
        ("CMD python3 -m llama_cpp.server --host 0.0.0.0\n", "Dockerfile"),
    ],
)
def test_a_program_that_may_get_more_says_so(text: str, name: str) -> None:
    assert "**" in only(text, name)
    assert "**" not in only("llama-server -m $MODEL -ngl 99\n", "run.sh")

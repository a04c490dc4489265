"""What the doctor says of configurations: the true defaults of each version, and silence for what is fine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vramctl.checks import doctor_audit, doctor_config, doctor_given, doctor_placement
from vramctl.checks.doctor_visible import visible_to_cuda
from vramctl.checks.runner import NotThere
from vramctl.formats.config_audit import read_configs
from vramctl.records.facts import Engine, HostFacts, Nvml, NvmlGpu
from vramctl.records.finding import Finding
from vramctl.records.unknown import Unknown

GPU = NvmlGpu(
    index=0, name="NVIDIA GeForce RTX 4060", uuid="GPU-0a1b2c3d-1", compute_capability=(8, 9), total_bytes=8 << 30
)
NVML = Nvml(gpus=(GPU,))
RULES = (*doctor_config.CHECKS, doctor_audit.swa_full_cache, doctor_audit.batch_too_small, doctor_audit.parallel_splits_context,
         doctor_audit.settings_without_effect)  # fmt: skip


def found(
    text: str, name: str = "app.py", *, nvml: Any = NVML, pci: Any = None, engines: Any = ()
) -> dict[str, Finding]:
    given = {"nvml": nvml, "pci": pci, "platform": None, "engines": engines, "calls": None}
    result: dict[str, Finding] = {}
    for call in read_configs({name: text}).calls:
        for rule in RULES:
            for one in run(rule, call, given):
                if one.severity != "info":
                    result[rule.__name__] = one
    return result


def run(rule: Any, call: Any, given: dict[str, Any]) -> Iterator[Finding]:
    names = rule.__code__.co_varnames[1 : rule.__code__.co_argcount]
    try:
        yield from rule(call, **{name: given[name] for name in names})
    except NotThere:
        return


def engine(kind: str, version: str) -> tuple[Engine, ...]:
    return (Engine(kind=kind, path="/venv", version=version),)


def test_layers_are_zero_by_default_in_llama_cpp_python() -> None:
    finding = found('Llama("m.gguf", n_ctx=4096)', engines=engine("llama-cpp-python", "0.3.16+cu124"))[
        "n_gpu_layers_zero"
    ]
    assert finding.severity == "error"
    assert finding.because[1] == "llama-cpp-python 0.3.16: n_gpu_layers=0 by default"


def test_layers_are_not_zero_by_default_in_a_new_llama_server() -> None:
    assert found("llama-server -m m.gguf -c 4096", "run.sh") == {}
    assert found("llama-server -m m.gguf -c 4096", "run.sh", engines=engine("llama.cpp", "b9000")) == {}


def test_layers_are_zero_by_default_in_an_old_llama_server() -> None:
    finding = found("llama-server -m m.gguf -c 4096", "run.sh", engines=engine("llama.cpp", "version: 5200 (abcdef12)"))
    assert "b6325" in finding["n_gpu_layers_zero"].because[1]


def test_layers_of_a_call_whose_arguments_cannot_all_be_seen_are_left_alone() -> None:
    assert "n_gpu_layers_zero" not in found('Llama("m.gguf", **options)')
    assert "n_gpu_layers_zero" not in found('Llama("m.gguf", n_gpu_layers=-1 if cuda() else 0)')


def test_without_a_gpu_a_given_file_is_warned_about_and_what_runs_here_is_fine() -> None:
    finding = found('Llama("m.gguf", n_gpu_layers=0)', nvml=Nvml(error="library-not-found"), pci=())[
        "n_gpu_layers_zero"
    ]
    assert finding.severity == "warning"
    assert "this machine has no GPU" in finding.because[1]
    assert found("LLAMA_ARG_N_GPU_LAYERS=0", "environment", nvml=Nvml(error="library-not-found"), pci=()) == {}


def test_stating_the_default_of_offload_kqv_is_fine() -> None:
    assert found('Llama("m.gguf", n_gpu_layers=-1, flash_attn=True, offload_kqv=True, type_k=1, type_v=1)') == {}


def test_leaving_offload_kqv_out_is_fine_but_in_six_old_releases() -> None:
    call = 'Llama("m.gguf", n_gpu_layers=-1, flash_attn=True)'
    for version in ("0.2.23", "0.2.30", "0.3.36"):
        assert found(call, engines=engine("llama-cpp-python", version)) == {}
    assert "offload_kqv_false" in found(call, engines=engine("llama-cpp-python", "0.2.27"))


def test_a_quantised_v_cache_needs_flash_attention() -> None:
    assert "quantized_v_needs_flash_attn" in found('Llama("m.gguf", n_gpu_layers=-1, type_k=8, type_v=8)')
    assert "quantized_v_needs_flash_attn" in found("llama-server -m m.gguf -fa off -ctk q8_0 -ctv q8_0", "run.sh")
    assert found('Llama("m.gguf", n_gpu_layers=-1, type_k=8, type_v=8, flash_attn=True)') == {}
    assert found("llama-server -m m.gguf -ctk q8_0 -ctv q8_0", "run.sh") == {}, "auto switches it on"
    old = engine("llama.cpp", "b5200")
    assert "quantized_v_needs_flash_attn" in found(
        "llama-server -m m -ngl 99 -ctk q8_0 -ctv q8_0", "run.sh", engines=old
    )


def test_a_quantised_k_cache_alone_needs_no_flash_attention() -> None:
    assert "quantized_v_needs_flash_attn" not in found('Llama("m.gguf", n_gpu_layers=-1, type_k=8)')


@pytest.mark.parametrize(
    ("k", "v", "kernel"),
    [
        ("q8_0", "q8_0", True), ("q4_0", "q4_0", True), ("q8_0", "q4_0", False), ("q5_1", "q5_1", False),
        ("f16", "q8_0", False), ("bf16", "bf16", True),
    ],
)  # fmt: skip
def test_pairs_of_cache_types_with_a_kernel(k: str, v: str, kernel: bool) -> None:
    assert (
        "quantized_kv_no_kernel" not in found(f"llama-server -m m.gguf -fa on -ctk {k} -ctv {v}", "run.sh")
    ) is kernel


def test_flash_attention_off_in_words_is_told_and_on_old_gpus_it_is_not() -> None:
    call = 'Llama("m.gguf", n_gpu_layers=-1, flash_attn=False)'
    assert "flash_attn_disabled" in found(call)
    pascal = Nvml(gpus=(NvmlGpu(index=0, compute_capability=(6, 1)),))
    assert found(call, nvml=pascal) == {}


def test_langchain_without_a_batch_reads_eight_tokens_at_a_time() -> None:
    assert "batch_too_small" in found('LlamaCpp(model_path="m", n_gpu_layers=-1)')
    assert "batch_too_small" not in found('LlamaCpp(model_path="m", n_gpu_layers=-1, n_batch=512)')
    assert "batch_too_small" not in found('Llama("m", n_gpu_layers=-1, flash_attn=True)')


def test_an_unified_cache_is_not_split_by_slots() -> None:
    assert "parallel_splits_context" in found("llama-server -m m -ngl 99 -c 8192 -np 8", "run.sh")
    assert found("llama-server -m m -ngl 99 -c 8192 -np 8 --kv-unified", "run.sh") == {}
    assert found("llama-server -m m -ngl 99 -c 32768 -np 8", "run.sh") == {}


def test_threads_are_compared_with_cores_and_quota() -> None:
    (call,) = read_configs({"a.py": 'Llama("m", n_threads=8)'}).calls
    assert list(doctor_audit.threads_above_cores(call, HostFacts(physical_cores=8, logical_cores=16))) == []
    assert len(list(doctor_audit.threads_above_cores(call, HostFacts(physical_cores=6)))) == 1
    assert (
        "quota" in next(doctor_audit.threads_above_cores(call, HostFacts(physical_cores=8, cpu_quota_cores=2.0))).what
    )


def test_the_block_count_is_one_layer_short() -> None:
    header = {"m.gguf": {"layers": 32, "train_ctx": 8192}}
    for layers, expected in ((32, 1), (33, 0), (-1, 0), (20, 0)):
        (call,) = read_configs({"a.py": f'Llama("m.gguf", n_gpu_layers={layers})'}).calls
        assert len(list(doctor_placement.one_layer_short(call, header))) == expected


def test_a_context_beyond_training_counts_a_slot_each() -> None:
    header = {"m.gguf": {"train_ctx": 8192}}
    for text, expected in (("-c 32768", 1), ("-c 32768 -np 4", 0), ("-c 32768 -np 4 --kv-unified", 1), ("-c 8192", 0)):
        (call,) = read_configs({"a.sh": f"llama-server -m m.gguf {text}"}).calls
        assert len(list(doctor_audit.context_beyond_training(call, header))) == expected


def test_a_fine_call_is_called_fine_with_what_is_known_of_it() -> None:
    (call,) = read_configs({"a.py": 'Llama("m", n_gpu_layers=-1, flash_attn=True, offload_kqv=True)'}).calls
    (finding,) = doctor_given.config_audit({}, calls=(call,), nvml=NVML, engines=engine("llama-cpp-python", "0.3.16"))
    assert (finding.severity, finding.what) == ("info", "a.py:1 Llama(...): nothing to change.")
    assert any("default since llama-cpp-python 0.2.30; 0.3.16 is installed" in line for line in finding.because)


GPUS = tuple(NvmlGpu(index=at, uuid=f"GPU-{at}aaaaaaa-0000") for at in range(8))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("0", (0,)), ("3,1", (3, 1)), ("0,1,8,2", (0, 1)), ("0,1,0", ()), ("", ()), ("-1", ()), ("-1,0", ()), ("8", ()),
        ("NoDevFiles", ()), ("0, 1", (0, 1)), ("GPU-2aaaaaaa-0000", (2,)), ("GPU-2", (2,)), ("GPU-", ()), ("GPU-ffff", ()),
        ("0,,1", (0,)), ("GPU-0,GPU-1,GPU-0", ()), ("none", ()), ("cuda:0", ()),
    ],
)  # fmt: skip
def test_visible_devices_are_read_as_cuda_reads_them(text: str, left: tuple[int, ...]) -> None:
    assert visible_to_cuda(text, GPUS)[0] == left


def test_a_uuid_is_not_judged_where_uuids_are_not_known() -> None:
    assert visible_to_cuda("GPU-1234", (NvmlGpu(index=0, uuid=Unknown("redacted")),))[0] == (0,)


@pytest.mark.parametrize(
    ("text", "name", "severities"),
    [
        ("cache = ExLlamaV2Cache(model, lazy=True)", "a.py", ["warning"]),
        ("cache = ExLlamaV2Cache_Q4(model, max_seq_len=16384, lazy=True)", "a.py", []),
        ("model.load_autosplit(cache, reserve_vram=[0.1, 0.1])", "a.py", ["error"]),
        ("model.load_autosplit(cache, reserve_vram=[201326592])", "a.py", []),
        ("import exllamav3\nmodel.load(reserve_per_device=[536870912])", "a.py", ["error"]),
        ("import exllamav3\nmodel.load(reserve_per_device=[0.5])", "a.py", []),
        ("model:\n  model_dir: models\n  max_seq_len: -1\n", "config.yml", ["warning"]),
        ("model:\n  model_dir: models\n  max_seq_len:\n  cache_size:\n", "config.yml", []),
    ],
)
def test_exllamas_units_and_lengths(text: str, name: str, severities: list[str]) -> None:
    calls = read_configs({name: text}).calls
    assert [one.severity for one in doctor_placement.exllama_insufficient_vram(calls=calls)] == severities


def told(files: dict[str, str]) -> list[Finding]:
    """What is said of layers in these files together."""
    calls = read_configs(files).calls
    return [one for call in calls for one in zero_in(call, calls)]


def zero_in(call: Any, calls: Any) -> Iterator[Finding]:
    given = {"nvml": NVML, "pci": None, "platform": None, "engines": (), "calls": calls}
    yield from run(doctor_config.n_gpu_layers_zero, call, given)


def test_a_zero_of_an_env_file_is_told_once_with_the_source_that_takes_it() -> None:
    source = 'N = int(os.getenv("LLAMACPP_N_GPU_LAYERS", "35"))\nLlama("m.gguf", n_gpu_layers=N)\n'
    (one,) = told({"server.py": source, ".env": "LLAMACPP_LOG=1\nLLAMACPP_N_GPU_LAYERS=0\n"})
    assert one.what == "server.py:2 takes n_gpu_layers from LLAMACPP_N_GPU_LAYERS, which .env:2 sets to 0."
    assert one.because == ("server.py:2: n_gpu_layers=N", ".env:2: LLAMACPP_N_GPU_LAYERS=0")
    assert one.fix.startswith("Set LLAMACPP_N_GPU_LAYERS=-1 in .env")


def test_a_zero_that_no_source_takes_is_the_env_files_own() -> None:
    source = 'Llama("m.gguf", n_gpu_layers=-1)\n'
    (one,) = told({"server.py": source, ".env": "LLAMACPP_N_GPU_LAYERS=0\n"})
    assert one.what == ".env:1 LLAMACPP_N_GPU_LAYERS=0 puts no layer on the GPU."


@pytest.mark.parametrize(
    ("text", "name", "where"),
    [
        ("LLAMA_ARG_N_GPU_LAYERS=0", "environment", "LLAMA_ARG_N_GPU_LAYERS=0 in the environment puts"),
        ("llama-server -m m.gguf -ngl 0", "process 4711", "llama-server (process 4711) puts"),
        ("llama-server -m m.gguf -ngl 0", "run.sh", "run.sh:1 llama-server puts"),
    ],
)
def test_what_has_no_line_is_named_without_one(text: str, name: str, where: str) -> None:
    (one,) = told({name: text})
    assert one.what.startswith(where)
    assert ":1:" not in one.because[0] or name == "run.sh"


def test_a_gpu_that_is_not_there_is_told_in_the_singular() -> None:
    finding = found('Llama("m.gguf", n_gpu_layers=-1, main_gpu=1)')["settings_without_effect"]
    assert (finding.what.partition("; ")[2], finding.fix) == ("there is 1 GPU, number 0.", "Use 0.")


def test_a_ubatch_above_the_default_batch_is_told() -> None:
    assert "n_ubatch 2048 is cut to n_batch 512" in found('Llama("m.gguf", n_gpu_layers=-1, flash_attn=True, n_ubatch=2048)')[
        "settings_without_effect"
    ].what  # fmt: skip
    assert found("llama-server -m m.gguf -ub 2048", "run.sh") == {}


def test_a_tokenizer_alone_needs_no_layers() -> None:
    assert found('Llama("m.gguf", vocab_only=True)') == {}

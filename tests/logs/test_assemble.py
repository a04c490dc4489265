"""Events to loads: what starts one, which figure counts, what ended it."""

from __future__ import annotations

from vramctl.logs.assemble import assemble
from vramctl.logs.command import asked, environment, request_settings
from vramctl.logs.decode import decode
from vramctl.logs.device_names import device_of, is_host
from vramctl.records.load import CPU_ONLY, FAILED, ON_GPU, PARTIAL, Log
from vramctl.units import MIB

LOAD = """\
llama_model_loader: loaded meta data with 26 key-value pairs and 291 tensors from models/a.gguf (version GGUF V3 (latest))
print_info: file size   = 4.33 GiB (5.13 BPW)
load_tensors: loading model tensors, this can take a while... (mmap = true)
load_tensors: offloading 32 repeating layers to GPU
load_tensors: offloading output layer to GPU
load_tensors: offloaded 33/33 layers to GPU
load_tensors:   CPU_Mapped model buffer size =   281.81 MiB
load_tensors:        CUDA0 model buffer size =  4155.99 MiB
llama_context: n_ctx         = 8192
llama_kv_cache_unified:      CUDA0 KV buffer size =  1024.00 MiB
llama_context:      CUDA0 compute buffer size =   560.00 MiB
llama_context:  CUDA_Host compute buffer size =    24.01 MiB
"""


def log_of(text: str) -> Log:
    return assemble(decode(text.splitlines()))


def test_a_load_holds_layers_settings_and_bytes_per_device() -> None:
    (load,) = log_of(LOAD).loads
    assert (load.layers_on_gpu, load.layers_total, load.outcome) == (33, 33, ON_GPU)
    assert load.settings.ctx == 8192
    assert load.settings.mmap is True
    gpu, host = load.devices
    assert (gpu.name, gpu.host) == ("CUDA0", False)
    assert gpu.weights_bytes == round(4155.99 * MIB)
    assert (gpu.kv_bytes, gpu.compute_bytes) == (1024 * MIB, 560 * MIB)
    assert (host.name, host.host, host.kv_bytes) == ("CPU", True, 0)


def test_the_last_pass_counts_where_a_dry_run_prints_first() -> None:
    dry = LOAD.replace("1024.00", "4096.00").replace("560.00", "999.00").replace("33/33", "20/33")
    fit = "common_init_: fitting params to device memory ...\n"
    (load,) = log_of(fit + dry + LOAD).loads
    assert load.layers_on_gpu == 33
    assert load.on_gpus[0].kv_bytes == 1024 * MIB
    assert load.on_gpus[0].compute_bytes == 560 * MIB


def test_two_caches_of_one_context_add_up() -> None:
    twice = LOAD.replace(
        "llama_kv_cache_unified:      CUDA0 KV buffer size =  1024.00 MiB\n",
        "llama_kv_cache_unified:      CUDA0 KV buffer size =   192.00 MiB\n"
        "llama_kv_cache_unified:      CUDA0 KV buffer size =   576.00 MiB\n",
    )
    (load,) = log_of(twice).loads
    assert load.on_gpus[0].kv_bytes == 768 * MIB


def test_buffers_of_several_files_of_one_model_add_up() -> None:
    text = """\
llm_load_tensors: offloaded 62/62 layers to GPU
llm_load_tensors:        CPU buffer size = 100.00 MiB
llm_load_tensors:        CPU buffer size = 200.00 MiB
llm_load_tensors:      CUDA0 buffer size = 900.00 MiB
"""
    (load,) = log_of(text).loads
    assert load.on_host[0].weights_bytes == 300 * MIB


def test_a_second_file_after_the_first_was_placed_is_a_second_load() -> None:
    loads = log_of(LOAD + LOAD.replace("a.gguf", "b.gguf")).loads
    assert [load.model.path for load in loads] == ["models/a.gguf", "models/b.gguf"]


def test_a_failed_allocation_ends_the_load() -> None:
    text = (
        LOAD.partition("llama_context:      CUDA0")[0]
        + """\
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 6940.00 MiB on device 0: cudaMalloc failed: out of memory
ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 7277119488
"""
    )
    (load,) = log_of(text).loads
    assert load.outcome == FAILED
    assert load.ended


def test_layers_on_neither_side_of_the_bus_are_told_apart() -> None:
    assert log_of(LOAD.replace("33/33", "20/33")).loads[0].outcome == PARTIAL
    cpu = "load_tensors: offloaded 0/33 layers to GPU\nload_tensors:   CPU_Mapped model buffer size =  4437.80 MiB\n"
    assert log_of(cpu).loads[0].outcome == CPU_ONLY


def test_two_programs_of_one_journal_do_not_mix() -> None:
    lines = [f"Jul 28 14:26:49 host alpha-llama[10]: {line}" for line in LOAD.splitlines()]
    other = [f"Jul 28 14:26:49 host beta-llama[11]: {line}" for line in LOAD.replace("33/33", "30/33").splitlines()]
    mixed = [line for pair in zip(lines, other, strict=True) for line in pair]
    loads = assemble(decode(mixed)).loads
    assert sorted(str(load.layers_on_gpu) for load in loads) == ["30", "33"]
    assert all(load.on_gpus[0].kv_bytes == 1024 * MIB for load in loads)


def test_a_request_starts_its_latency_before_its_line() -> None:
    line = '[GIN] 2026/01/21 - 16:42:01 | 200 |         1m12s |       127.0.0.1 | POST     "/api/generate"'
    log = log_of(LOAD + line)
    (request,) = log.loads[0].requests
    assert request.latency_seconds == 72.0
    assert isinstance(request.end_seconds, float) and isinstance(request.start_seconds, float)
    assert request.end_seconds - request.start_seconds == 72.0


def test_questions_that_make_no_model_work_are_no_requests() -> None:
    line = '[GIN] 2026/01/21 - 16:42:01 | 200 |      54.305µs |       127.0.0.1 | GET      "/api/tags"'
    assert log_of(LOAD + line).totals.count == 0


def test_loads_beyond_the_bound_are_counted_only() -> None:
    many = "".join(LOAD.replace("a.gguf", f"{number}.gguf") for number in range(460))
    log = log_of(many)
    assert log.dropped_loads > 0
    assert len(log.loads) + log.dropped_loads == 460


def test_what_is_not_printed_is_unknown_not_zero() -> None:
    (load,) = log_of("llm_load_tensors: offloaded 10/33 layers to GPU").loads
    assert not isinstance(load.load_seconds, float)
    assert load.devices == ()
    assert not isinstance(load.model.file_bytes, int)


def test_a_command_line_is_read_in_both_spellings() -> None:
    line = "llama-server --model /m/a.gguf -c 8192 -np 2 --n-gpu-layers 29 --no-mmap -ctk q8_0 --flash-attn on"
    words = line.split()
    values = asked(words)
    assert values["path"] == "/m/a.gguf"
    assert (values["ctx"], values["parallel"], values["asked_layers"], values["mmap"]) == (8192, 2, 29, False)
    assert (values["type_k"], values["flash_attn"]) == ("q8_0", "on")
    assert asked(["x", "-fa", "-c", "4096"])["flash_attn"] == "on"


def test_a_load_request_of_go_is_read() -> None:
    text = (
        "{Operation:commit LoraPath:[] Parallel:1 BatchSize:512 FlashAttention:Auto KvSize:4096 KvCacheType: NumThreads:32 "
        "GPULayers:81[ID:GPU-3ef Layers:81(0..80)] MultiUserCache:false ProjectorPath: MainGPU:0 UseMmap:true}"
    )
    values = request_settings(text)
    assert (values["ctx"], values["gpu_layers"], values["flash_attn"], values["mmap"]) == (4096, 81, "auto", True)
    assert "type_k" not in values
    assert request_settings("{Operation:fit GPULayers:[] UseMmap:false}")["gpu_layers"] == 0


def test_an_environment_map_of_go_is_read_with_empty_values_and_blanks() -> None:
    found = environment(
        "map[CUDA_VISIBLE_DEVICES:0,1 HTTP_PROXY: OLLAMA_ORIGINS:[http://a https://b] OLLAMA_DEBUG:INFO]"
    )
    assert found["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert found["HTTP_PROXY"] == ""
    assert found["OLLAMA_DEBUG"] == "INFO"


def test_host_buffers_are_known_by_their_names() -> None:
    assert all(is_host(name) for name in ("CPU", "CPU_Mapped", "CUDA_Host", "Vulkan_Host", "BLAS", "AMX", "CPU_REPACK"))
    assert not any(is_host(name) for name in ("CUDA0", "ROCm1", "Vulkan0", "Metal_Mapped", "MTL0"))
    assert device_of("Metal_Mapped") == "Metal"
    assert device_of("CPU_REPACK") == "CPU"


def test_very_many_processes_do_not_grow_without_bound() -> None:
    lines = [f"Jul 28 14:26:49 host llama-server[{pid}]: {LOAD.splitlines()[5]}" for pid in range(1000)]
    log = assemble(decode(lines))
    assert len(log.loads) + log.dropped_loads == 1000
    assert len(log.loads) < 500


def test_a_program_that_lists_other_gpus_replaces_those_of_the_one_before() -> None:
    first = "ggml_cuda_init: found 2 CUDA devices:\n  Device 0: Tesla T4, compute capability 7.5, VMM: yes\n"
    second = "  Device 1: Tesla T4, compute capability 7.5, VMM: yes\n"
    other = (
        "ggml_cuda_init: found 1 CUDA devices:\n  Device 0: NVIDIA GeForce RTX 3060, compute capability 8.6, VMM: yes\n"
    )
    log = assemble(decode((first + second + other).splitlines()))
    assert [gpu.name for gpu in log.gpus] == ["NVIDIA GeForce RTX 3060"]
    assert len(assemble(decode((first + second).splitlines())).gpus) == 2

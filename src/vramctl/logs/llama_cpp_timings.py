"""What llama.cpp and its tools print about speed."""

from __future__ import annotations

from vramctl.logs.llama_cpp_values import milliseconds_each, minutes, rate
from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import count, milliseconds, size, words

RULES: tuple[Rule, ...] = (
    rule(
        "timing.prompt",
        r"^prompt eval time += +(?P<seconds>\d+\.\d+) ms / +(?P<tokens>\d+) tokens \( *(?P<each>\S+) ms per"
        r" token, +(?P<per_second>\S+) tokens per second\)$",
        fields={
            "seconds": milliseconds, "tokens": int, "each": milliseconds_each, "per_second": rate, "slot": int,
            "task": int,
        },
        seen="llama.cpp, 2023 on",
        example=(
            "slot print_timing: id  1 | task 0 | prompt eval time =   13734.80 ms /   871 tokens (   15.77 "
            "ms per token,    63.42 tokens per second)"
        ),
        gives={"seconds": 13.7348, "tokens": 871, "each": 0.01577, "per_second": 63.42, "slot": 1, "task": 0},
    ),
    rule(
        "timing.generated",
        r"^(?:generation )?eval time += +(?P<seconds>\d+\.\d+) ms / +(?P<tokens>\d+) (?:tokens|runs) +\("
        r" *(?P<each>\S+) ms per token, +(?P<per_second>\S+) tokens per second\)$",
        fields={
            "seconds": milliseconds, "tokens": int, "each": milliseconds_each, "per_second": rate, "slot": int,
            "task": int,
        },
        seen="llama.cpp, 2023 on",
        example=(
            "slot print_timing: id  1 | task 0 |        eval time =    3523.21 ms /    42 tokens (   85.93 "
            "ms per token,    11.64 tokens per second)"
        ),
        gives={"seconds": 3.52321, "tokens": 42, "each": 0.08593, "per_second": 11.64, "slot": 1, "task": 0},
    ),
    rule(
        "timing.sampled",
        r"^(?:sample|sampling) time += +(?P<seconds>\d+\.\d+) ms / +(?P<tokens>\d+) runs +\( *(?P<each>\S+)"
        r" ms per token, +(?P<per_second>\S+) tokens per second\)$",
        fields={"seconds": milliseconds, "tokens": int, "each": milliseconds_each, "per_second": rate},
        seen="llama.cpp, 2023 on",
        example=(
            "llama_print_timings:      sample time =      15.28 ms /   128 runs   (    0.12 ms per token,  "
            "8378.61 tokens per second)"
        ),
        gives={"seconds": 0.01528, "tokens": 128, "each": 0.00011999999999999999, "per_second": 8378.61},
    ),
    rule(
        "timing.sampled", r"^samplers time += +(?P<seconds>\d+\.\d+) ms / +(?P<tokens>\d+) tokens$",
        fields={"seconds": milliseconds, "tokens": int},
        seen="llama.cpp, Oct 2025 on", example="common_perf_print:    samplers time =      12.31 ms /   200 tokens",
        gives={"seconds": 0.01231, "tokens": 200},
    ),
    rule(
        "timing.sampled", r"^sampling time += +(?P<seconds>\d+\.\d+) ms$",
        fields={"seconds": milliseconds},
        seen="llama.cpp, Oct 2025 on", example="common_perf_print:    sampling time =      18.12 ms",
        gives={"seconds": 0.01812},
    ),
    rule(
        "timing.total", r"^total time += +(?P<seconds>\d+\.\d+) ms / +(?P<tokens>\d+) tokens$",
        fields={"seconds": milliseconds, "tokens": int, "slot": int, "task": int},
        seen="llama.cpp, 2024 on",
        example="slot print_timing: id  1 | task 0 |       total time =   17258.01 ms /   913 tokens",
        gives={"seconds": 17.25801, "tokens": 913, "slot": 1, "task": 0},
    ),
    rule(
        "timing.total", r"^total time += +(?P<seconds>\d+\.\d+) ms$",
        fields={"seconds": milliseconds},
        seen="llama.cpp, 2023-Feb 2024, and llama-server to Sep 2024",
        example="llama_print_timings:       total time =   23754.79 ms",
        gives={"seconds": 23.75479},
    ),
    rule(
        "timing.load", r"^load time += +(?P<seconds>\d+\.\d+) ms$",
        fields={"seconds": milliseconds},
        seen="llama.cpp, 2023 on", example="llama_perf_context_print:        load time =  226439.86 ms",
        gives={"seconds": 226.43985999999998},
    ),
    rule(
        "timing.unaccounted", r"^unaccounted time += +(?P<seconds>-?\d+\.\d+) ms / +(?P<share>-?\d+\.\d+) % .*$",
        fields={"seconds": milliseconds, "share": float},
        seen="llama.cpp, Oct 2025 on",
        example=(
            "common_perf_print: unaccounted time =     112.50 ms /   1.2 %      (total - sampling - prompt "
            "eval - eval) / (total)"
        ),
        gives={"seconds": 0.1125, "share": 1.2},
    ),
    rule(
        "timing.graphs_reused", r"^graphs reused += +(?P<count>\d+)$",
        fields={"count": int, "slot": int, "task": int},
        seen="llama.cpp, Jul 2025 on", example="llama_perf_context_print:    graphs reused =        188",
        gives={"count": 188},
    ),
    rule(
        "graph.cuda_graphs_disabled", r"^disabling (?:CUDA|SYCL|HIP) graphs due to (?P<why>.+)$",
        fields={"why": str},
        seen="llama.cpp, 2024 on (debug builds)",
        example="ggml_backend_cuda_graph_compute: disabling CUDA graphs due to mul_mat_id",
        gives={"why": "mul_mat_id"},
    ),
    rule(
        "graph.cuda_graphs", r"^CUDA [Gg]raph (?:id \d+ reused|update failed|warmup (?:complete|reset))$",
        seen="llama.cpp, debug level, 2025 on", example="ggml_backend_cuda_graph_compute: CUDA graph warmup complete",
    ),
    rule(
        "timing.generation",
        r"^(?:speed|encoded|decoded) +\d+ tokens in +(?P<seconds>\d+\.\d+) seconds, speed:"
        r" +(?P<per_second>\d+\.\d+) t/s$",
        fields={"seconds": float, "per_second": float},
        seen="llama-speculative, llama-lookup",
        example="decoded  128 tokens in    2.310 seconds, speed:   55.411 t/s",
        gives={"seconds": 2.31, "per_second": 55.411},
    ),
    rule(
        "generate.settings",
        r"^n_ctx = (?P<context>\d+), n_batch = (?P<batch>\d+), n_predict = (?P<predict>-?\d+), n_keep ="
        r" (?P<keep>\d+)$",
        fields={"context": int, "batch": int, "predict": int, "keep": int},
        seen="llama-cli, 2023 on", example="generate: n_ctx = 16384, n_batch = 2048, n_predict = -1, n_keep = 0",
        gives={"context": 16384, "batch": 2048, "predict": -1, "keep": 0},
    ),
    rule(
        "bench.settings",
        r"^n_kv_max = (?P<context>\d+), n_batch = (?P<batch>\d+), n_ubatch = (?P<ubatch>\d+), flash_attn ="
        r" (?P<flash_attn>-?\d+),.*n_gpu_layers = (?P<gpu_layers>-?\d+), n_threads = (?P<threads>\d+),"
        r" n_threads_batch = (?P<threads_batch>\d+)$",
        fields={
            "context": int, "batch": int, "ubatch": int, "flash_attn": int, "gpu_layers": int, "threads": int,
            "threads_batch": int,
        },
        seen="llama-batched-bench, llama-sweep-bench",
        example=(
            "main: n_kv_max = 32768, n_batch = 4096, n_ubatch = 4096, flash_attn = 1, n_gpu_layers = 999, "
            "n_threads = 16, n_threads_batch = 16"
        ),
        gives={
            "context": 32768, "batch": 4096, "ubatch": 4096, "flash_attn": 1, "gpu_layers": 999, "threads": 16,
            "threads_batch": 16,
        },
    ),
    rule(
        "bench.head", r"^\| +(?:model|PP) +\|.*$",
        seen="llama-bench, llama-sweep-bench",
        example=(
            "| model                          |       size |     params | backend    | ngl |          test "
            "|                  t/s |"
        ),
    ),
    rule(
        "bench.rule", r"^\| +-[-: |]+\|$",
        seen="llama-bench, llama-sweep-bench",
        example=(
            "| ------------------------------ | ---------: | ---------: | ---------- | --: | ------------: "
            "| -------------------: |"
        ),
    ),
    rule(
        "bench.row",
        r"^\| +(?P<model>[^|]{0,80}?\S) {0,60}\| {0,60}(?P<size>\d+\.\d+ [GMK]iB) {0,60}\|"
        r" {0,60}(?P<params>\d+\.\d+ [BMK]) {0,60}\| {0,60}(?P<backend>[^|]{0,80}?\S)"
        r" {0,60}\|(?P<settings>.*)\| {0,60}(?P<test>(?:pp|tg)[^|]{0,80}?\S) {0,60}\|"
        r" {0,60}(?P<per_second>\d+\.\d+) ± (?P<spread>\d+\.\d+) {0,60}\|$",
        fields={
            "model": str, "size": size, "params": count, "backend": str, "settings": words, "test": str,
            "per_second": float, "spread": float,
        },
        seen="llama-bench, 2023 on",
        example=(
            "| qwen2 14B Q4_0                 |   7.93 GiB |    14.77 B | ROCm,RPC   | 999 |  1 |         "
            "pp512 |       1260.16 ± 4.13 |"
        ),
        gives={
            "model": "qwen2 14B Q4_0", "size": size("7.93 GiB"), "params": 14770000000, "backend": "ROCm,RPC",
            "settings": ("999", "|", "1"), "test": "pp512", "per_second": 1260.16, "spread": 4.13,
        },
    ),
    rule(
        "bench.sweep",
        r"^\| +(?P<prompt>\d+) *\| *(?P<generated>\d+) *\| *(?P<cells>\d+) *\|"
        r" *(?P<prompt_seconds>\d+\.\d+) *\| *(?P<prompt_per_second>\d+\.\d+) *\| *(?P<seconds>\d+\.\d+)"
        r" *\| *(?P<per_second>\d+\.\d+) *\|$",
        fields={
            "prompt": int, "generated": int, "cells": int, "prompt_seconds": float, "prompt_per_second": float,
            "seconds": float, "per_second": float,
        },
        seen="llama-sweep-bench (ik_llama.cpp)",
        example="|  4096 |   1024 |      0 |   49.803 |    82.24 |  153.659 |     6.66 |",
        gives={
            "prompt": 4096, "generated": 1024, "cells": 0, "prompt_seconds": 49.803, "prompt_per_second": 82.24,
            "seconds": 153.659, "per_second": 6.66,
        },
    ),
    rule(
        "bench.batched",
        r"^\| +(?P<prompt>\d+) *\| *(?P<generated>\d+) *\| *(?P<parallel>\d+) *\| *(?P<cells>\d+) *\|"
        r" *(?P<prompt_seconds>\d+\.\d+) *\| *(?P<prompt_per_second>\d+\.\d+) *\| *(?P<seconds>\d+\.\d+)"
        r" *\| *(?P<per_second>\d+\.\d+) *\| *(?P<total_seconds>\d+\.\d+) *\|"
        r" *(?P<total_per_second>\d+\.\d+) *\|$",
        fields={
            "prompt": int, "generated": int, "parallel": int, "cells": int, "prompt_seconds": float,
            "prompt_per_second": float, "seconds": float, "per_second": float, "total_seconds": float,
            "total_per_second": float,
        },
        seen="llama-batched-bench",
        example="|   128 |    128 |    1 |    256 |    1.778 |    71.99 |    5.578 |    22.95 |    7.357 |    34.80 |",
        gives={
            "prompt": 128, "generated": 128, "parallel": 1, "cells": 256, "prompt_seconds": 1.778,
            "prompt_per_second": 71.99, "seconds": 5.578, "per_second": 22.95, "total_seconds": 7.357,
            "total_per_second": 34.8,
        },
    ),
    rule(
        "perplexity.started",
        r"^calculating perplexity over (?P<chunks>\d+) chunks, n_ctx=(?P<context>\d+),"
        r" batch_size=(?P<batch>\d+), n_seq=(?P<sequences>\d+)$",
        fields={"chunks": int, "context": int, "batch": int, "sequences": int},
        seen="llama-perplexity",
        example="perplexity: calculating perplexity over 561 chunks, n_ctx=512, batch_size=2048, n_seq=4",
        gives={"chunks": 561, "context": 512, "batch": 2048, "sequences": 4},
    ),
    rule(
        "perplexity.pace",
        r"^(?P<seconds>\d+\.\d+) seconds per pass - ETA (?:(?P<hours>\d+) hours )?(?P<minutes>\d+\.\d+) minutes$",
        fields={"seconds": float, "hours": int, "minutes": minutes},
        seen="llama-perplexity", example="perplexity: 60.24 seconds per pass - ETA 2 hours 20.82 minutes",
        gives={"seconds": 60.24, "hours": 2, "minutes": 1249.2},
    ),
    rule(
        "perplexity.tokenized", r"^tokenization took (?P<seconds>\d+(?:\.\d+)?) ms$",
        fields={"seconds": milliseconds},
        seen="llama-perplexity", example="perplexity: tokenization took 213.322 ms",
        gives={"seconds": 0.213322},
    ),
    rule(
        "perplexity.tokenized", r"^tokenizing the input \.\.$",
        seen="llama-perplexity", example="perplexity: tokenizing the input ..",
    ),
    rule(
        "perplexity.result", r"^Final estimate: PPL = (?P<value>\S+) \+/- (?P<spread>\S+)$",
        fields={"value": rate, "spread": rate},
        seen="llama-perplexity", example="Final estimate: PPL = 3.3490 +/- 0.01849",
        gives={"value": 3.349, "spread": 0.01849},
    ),
    rule(
        "perplexity.bad", r"^Unexpected negative standard deviation of log\(prob\)$",
        seen="llama-perplexity", example="Unexpected negative standard deviation of log(prob)",
    ),
)  # fmt: skip

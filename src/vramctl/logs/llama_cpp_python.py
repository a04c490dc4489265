"""What llama-cpp-python prints beside its engine."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "crash.exception", r"^Traceback \(most recent call last\):$",
        seen="Python", example="Traceback (most recent call last):",
    ),
    rule(
        "stack.frame", r'^File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<symbol>.+)$',
        fields={"file": str, "line": int, "symbol": str},
        seen="Python", example='  File "/opt/tabby/backends/exllamav2/model.py", line 512, in load_gen',
        gives={"file": "/opt/tabby/backends/exllamav2/model.py", "line": 512, "symbol": "load_gen"},
    ),
    rule(
        "llama_python.prefix_hit", r"^Llama\.generate: prefix-match hit$",
        seen="llama-cpp-python 0.1-0.2", example="Llama.generate: prefix-match hit",
    ),
    rule(
        "llama_python.prefix_hit",
        r"^Llama\.generate: (?P<matched>\d+) prefix-match hit, remaining (?P<tokens>\d+) prompt tokens to eval$",
        fields={"matched": int, "tokens": int},
        seen="llama-cpp-python 0.2.84 on",
        example="Llama.generate: 120 prefix-match hit, remaining 5 prompt tokens to eval",
        gives={"matched": 120, "tokens": 5},
    ),
    rule(
        "llama_python.cache", r"^Llama\._create_completion: cache (?P<what>hit|miss|saved|save)$",
        fields={"what": str},
        seen="llama-cpp-python", example="Llama._create_completion: cache miss",
        gives={"what": "miss"},
    ),
    rule(
        "llama_python.metadata", r"^Model metadata: (?P<value>\{.*\})$",
        fields={"value": str},
        seen="llama-cpp-python 0.2.20 on",
        example="Model metadata: {'general.name': 'phi-4', 'general.architecture': 'phi3'}",
        gives={"value": "{'general.name': 'phi-4', 'general.architecture': 'phi3'}"},
    ),
    rule(
        "llama_python.template", r"^Using gguf chat template: (?P<template>.*)$",
        fields={"template": str},
        seen="llama-cpp-python 0.2.38 on", example="Using gguf chat template: {{ bos_token }}",
        gives={"template": "{{ bos_token }}"},
    ),
    rule(
        "llama_python.template", r"^Using chat eos_token: (?P<eos>.*)$",
        fields={"eos": str},
        seen="llama-cpp-python 0.2.38 on", example="Using chat eos_token: <|eot_id|>",
        gives={"eos": "<|eot_id|>"},
    ),
    rule(
        "llama_python.template", r"^Using chat bos_token: (?P<bos>.*)$",
        fields={"bos": str},
        seen="llama-cpp-python 0.2.38 on", example="Using chat bos_token: <|begin_of_text|>",
        gives={"bos": "<|begin_of_text|>"},
    ),
    rule(
        "llama_python.template", r"^Guessed chat format: (?P<guessed>\S+)$",
        fields={"guessed": str},
        seen="llama-cpp-python 0.2.38 on", example="Guessed chat format: llama-3",
        gives={"guessed": "llama-3"},
    ),
    rule(
        "llama_python.template", r"^Available chat formats from metadata: (?P<formats>.+)$",
        fields={"formats": str},
        seen="llama-cpp-python 0.2.38 on", example="Available chat formats from metadata: chat_template.default",
        gives={"formats": "chat_template.default"},
    ),
    rule(
        "llama_python.template", r"^Using fallback chat format: (?P<fallback>\S+)$",
        fields={"fallback": str},
        seen="llama-cpp-python 0.2.38 on", example="Using fallback chat format: llama-2",
        gives={"fallback": "llama-2"},
    ),
    rule(
        "cpu.info", r"^CPU : (?P<features>.*)$",
        fields={"features": str},
        seen="llama-cpp-python, and llama.cpp without its own prefix",
        example="CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 1 | AVX2 = 1 | LLAMAFILE = 1 | REPACK = 1 | ",
        gives={"features": "SSE3 = 1 | SSSE3 = 1 | AVX = 1 | AVX2 = 1 | LLAMAFILE = 1 | REPACK = 1 |"},
    ),
    rule(
        "cpu.info", r"^(?P<features>(?:CUDA|ROCm|MUSA|SYCL|Vulkan|Metal) : [^|]+ = .*)$",
        fields={"features": str},
        seen="llama-cpp-python with a GPU backend, 2024 on",
        example="CUDA : ARCHS = 900 | USE_GRAPHS = 1 | FA_QUANTS = q4_0-q4_0,f16-f16 | CPU : SSE3 = 1 | ",
        gives={"features": "CUDA : ARCHS = 900 | USE_GRAPHS = 1 | FA_QUANTS = q4_0-q4_0,f16-f16 | CPU : SSE3 = 1 |"},
    ),
    rule(
        "cpu.info", r"^(?P<features>AVX = [01] \| .{0,900})$",
        fields={"features": str},
        seen="llama-cpp-python, 2023-2024", example="AVX = 1 | AVX2 = 1 | FMA = 1 | NEON = 0 | BLAS = 0 | SSE3 = 1 | VSX = 0 |",
        gives={"features": "AVX = 1 | AVX2 = 1 | FMA = 1 | NEON = 0 | BLAS = 0 | SSE3 = 1 | VSX = 0 |"},
    ),
    rule(
        "model.load_failed", r"^Failed to load model from file: .+$",
        seen="llama-cpp-python", example="ValueError: Failed to load model from file: /models/a.gguf",
    ),
    rule(
        "model.load_failed", r"^Model path does not exist: .+$",
        seen="llama-cpp-python", example="ValueError: Model path does not exist: /models/a.gguf",
    ),
    rule(
        "model.load_failed", r"^Failed to create llama_context$",
        seen="llama-cpp-python", example="ValueError: Failed to create llama_context",
    ),
    rule(
        "model.load_failed", r"^Could not load Llama model from path: .+$",
        seen="llama-cpp-python",
        example="ValueError: Could not load Llama model from path: /models/a.bin. Received error",
    ),
    rule(
        "ctx.exceeded",
        r"^(?:ValueError: )?Requested tokens \((?P<tokens>\d+)\) exceed context window of (?P<n_ctx>\d+)$",
        fields={"tokens": int, "n_ctx": int},
        seen="llama-cpp-python", example="ValueError: Requested tokens (9375) exceed context window of 4096",
        gives={"tokens": 9375, "n_ctx": 4096},
    ),
    rule(
        "compute.failed", r"^(?:RuntimeError: )?llama_decode returned (?P<status>-?\d+)$",
        fields={"status": int},
        seen="llama-cpp-python", example="RuntimeError: llama_decode returned 1",
        gives={"status": 1},
    ),
    rule(
        "llama_python.library_failed",
        r"^(?:RuntimeError: )?Failed to load shared library '(?P<path>.+)': (?P<error>.+)$",
        fields={"path": str, "error": str},
        seen="llama-cpp-python",
        example=(
            "RuntimeError: Failed to load shared library '/venv/lib/llama_cpp/lib/libllama.so': "
            "libcudart.so.12: cannot open shared object file: No such file or directory"
        ),
        gives={
            "path": "/venv/lib/llama_cpp/lib/libllama.so",
            "error": "libcudart.so.12: cannot open shared object file: No such file or directory",
        },
    ),
    rule(
        "llama_python.library_failed",
        r"^(?:FileNotFoundError: )?Shared library with base name '(?P<name>\w+)' not found$",
        fields={"name": str},
        seen="llama-cpp-python", example="FileNotFoundError: Shared library with base name 'llama' not found",
        gives={"name": "llama"},
    ),
)  # fmt: skip

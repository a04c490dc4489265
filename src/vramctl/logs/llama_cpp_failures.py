"""What llama.cpp prints when a load or a computation fails."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "model.load_failed", r"^error loading model: (?P<error>.+)$",
        fields={"error": str},
        seen="llama.cpp, 2023 on", example="llama_model_load: error loading model: unable to allocate CUDA0 buffer",
        gives={"error": "unable to allocate CUDA0 buffer"},
    ),
    rule(
        "model.load_failed", r"^failed to load model(?:, '(?P<path>.+)'| '(?P<quoted>[^']+)')?$",
        fields={"path": str, "quoted": str},
        seen="llama.cpp, 2023 on",
        example="srv    load_model: failed to load model, '/models/Phi-4-mini-instruct.BF16.gguf'",
        gives={"path": "/models/Phi-4-mini-instruct.BF16.gguf"},
    ),
    rule(
        "model.load_failed", r"^(?:error: )?unable to load model$",
        lacks=("model",),
        seen="llama.cpp, 2023 on", example="main: error: unable to load model",
    ),
    rule(
        "model.load_failed", r"^exiting due to model loading error$",
        seen="llama-server, 2024 on", example="main: exiting due to model loading error",
    ),
    rule(
        "context.failed", r"^failed to create[ _]context(?: with model '(?P<path>.+)')?$",
        fields={"path": str},
        seen="llama.cpp, Oct 2024 on",
        example="common_init_from_params: failed to create context with model '/models/phi-4.gguf'",
        gives={"path": "/models/phi-4.gguf"},
    ),
    rule(
        "context.failed", r"^error: failed to (?:create context with|load) model '(?P<path>.+)'$",
        fields={"path": str},
        seen="llama.cpp, 2023-Oct 2024, and ik_llama.cpp",
        example="llama_init_from_gpt_params: error: failed to create context with model '/models/phi-4.gguf'",
        gives={"path": "/models/phi-4.gguf"},
    ),
    rule(
        "context.failed", r"^failed to initialize the context: (?P<error>.+)$",
        fields={"error": str},
        seen="llama.cpp, Mar 2025 on",
        example="llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers",
        gives={"error": "failed to allocate compute pp buffers"},
    ),
    rule(
        "context.failed", r"^llama_kv_cache_init\(\) failed for self-attention cache$",
        seen="llama.cpp, 2023-2025",
        example="llama_new_context_with_model: llama_kv_cache_init() failed for self-attention cache",
    ),
    rule(
        "model.load_failed",
        r"^failed to load (?P<what>multimodal|draft|vision) model(?:, ?'?(?P<path>[^']+)'?| from (?P<other>.+))$",
        fields={"what": str, "path": str, "other": str},
        seen="llama-server, 2025 on",
        example="srv    load_model: failed to load multimodal model, '/models/mmproj.gguf'",
        gives={"what": "multimodal", "path": "/models/mmproj.gguf"},
    ),
    rule(
        "model.load_failed", r"^failed to open GGUF file '(?P<path>[^']+)'(?: \((?P<error>.+)\))?$",
        fields={"path": str, "error": str},
        seen="llama.cpp, Feb 2025 on",
        example="gguf_init_from_file: failed to open GGUF file '/models/missing.gguf' (No such file or directory)",
        gives={"path": "/models/missing.gguf", "error": "No such file or directory"},
    ),
    rule(
        "model.load_failed", r"^invalid magic characters:? '?(?P<magic>.{0,20}?)'?(?:, expected 'GGUF')?\.?$",
        fields={"magic": str},
        seen="llama.cpp, 2023 on",
        example="gguf_init_from_file_impl: invalid magic characters: '<!DO', expected 'GGUF'",
        gives={"magic": "<!DO"},
    ),
    rule(
        "model.load_failed", r"^failed to read (?:header|key-value pairs|magic|the tensor data)$",
        seen="llama.cpp, 2024 on", example="gguf_init_from_file_impl: failed to read key-value pairs",
    ),
    rule(
        "model.load_failed", r"^failed to read tensor (?:info|data).*$",
        seen="llama.cpp, 2024 on", example="gguf_init_from_reader: failed to read tensor info",
    ),
    rule(
        "model.load_failed", r"^this GGUF file is version \d+ but this software only supports up to version \d+$",
        seen="llama.cpp, 2024 on",
        example="gguf_init_from_reader: this GGUF file is version 12 but this software only supports up to version 12",
    ),
    rule(
        "model.load_failed", r"^GGUFv1 is no longer supported.*$",
        seen="llama.cpp, 2024 on",
        example="gguf_init_from_reader: GGUFv1 is no longer supported, please use a more up-to-date version",
    ),
    rule(
        "compute.failed", r"^(?P<op>[A-Z][A-Z0-9_]+) failed$",
        fields={"op": str},
        seen="llama.cpp, 2024 on", example="ggml_cuda_compute_forward: FUSED_RMS_NORM failed",
        gives={"op": "FUSED_RMS_NORM"},
    ),
    rule(
        "compute.failed", r"^failed to (?P<call>decode|encode), ret = (?P<status>-?\d+)$",
        fields={"call": str, "status": int},
        seen="llama.cpp, 2023 on", example="llama_decode: failed to decode, ret = -3",
        gives={"call": "decode", "status": -3},
    ),
    rule(
        "compute.failed", r"^ggml_backend_sched_graph_compute(?:_async)? failed with error (?P<status>-?\d+)$",
        fields={"status": int},
        seen="llama.cpp, 2024 on",
        example="graph_compute: ggml_backend_sched_graph_compute_async failed with error -1",
        gives={"status": -1},
    ),
    rule(
        "compute.failed", r"^failed to compute graph, compute status: (?P<status>-?\d+)$",
        fields={"status": int},
        seen="llama.cpp, 2025 on", example="process_ubatch: failed to compute graph, compute status: -2",
        gives={"status": -2},
    ),
    rule(
        "compute.failed", r"^compute failed while preparing batch of size (?P<batch>\d+)$",
        fields={"batch": int},
        seen="llama.cpp, 2025 on", example="decode: compute failed while preparing batch of size 512",
        gives={"batch": 512},
    ),
    rule(
        "compute.failed", r"^could not reserve space for batch with (?P<outputs>\d+) outputs$",
        fields={"outputs": int},
        seen="llama.cpp, 2025 on", example="encode: could not reserve space for batch with 12 outputs",
        gives={"outputs": 12},
    ),
    rule(
        "compute.failed", r"^failed to (?:initialize|allocate) graph$",
        seen="llama.cpp, 2025 on", example="process_ubatch: failed to initialize graph",
    ),
    rule(
        "compute.failed", r"^failed to (?:initialize|prepare) (?:batch|(?:recurrent|attention)[\w ]* ubatches)$",
        seen="llama.cpp, 2025 on", example="init_batch: failed to prepare recurrent ubatches",
    ),
    rule(
        "compute.failed", r"^n_tokens == 0$",
        seen="llama.cpp, 2025 on", example="encode: n_tokens == 0",
    ),
    rule(
        "compute.failed", r"^unexpected memory context status: \d+$",
        seen="llama.cpp, 2025 on", example="decode: unexpected memory context status: 12",
    ),
    rule(
        "kv.no_slot",
        r"^failed to find (?:a memory slot for batch|KV cache slot for ubatch|a slot for (?=\d+"
        r" tokens)|free space)(?: of size)? ?(?P<tokens>\d+)(?: tokens)?$",
        fields={"tokens": int},
        seen="llama.cpp, 2024 on", example="decode: failed to find a memory slot for batch of size 512",
        gives={"tokens": 512},
    ),
    rule(
        "kv.no_slot",
        r"^(?:failed to find|not enough|failed to find available|failed to find \d+ available) (?:available"
        r" )?cells in kv cache(?: to restore state \(\d+ > \d+\))?$",
        seen="llama.cpp, 2024 on", example="state_read_meta: not enough cells in kv cache",
    ),
    rule(
        "kv.no_slot", r"^n_tokens ?= ?(?P<tokens>\d+) > (?:size|cache\.size|n_ctx) ?= ?(?P<cells>\d+)$",
        fields={"tokens": int, "cells": int},
        seen="llama.cpp, 2023 on", example="find_slot: n_tokens = 600 > size = 512",
        gives={"tokens": 600, "cells": 512},
    ),
    rule(
        "kv.no_slot",
        r"^seq_id=(?P<sequence>\d+) >= (?:n_seq_max|kv_size)=(?P<limit>\d+) Try using a bigger --parallel value$",
        fields={"sequence": int, "limit": int},
        seen="llama.cpp, 2024 on", example="find_slot: seq_id=4 >= n_seq_max=4 Try using a bigger --parallel value",
        gives={"sequence": 4, "limit": 4},
    ),
    rule(
        "kv.inconsistent",
        r"^the tokens of sequence (?P<sequence>\d+) in the input batch have inconsistent sequence positions:$",
        fields={"sequence": int},
        seen="llama.cpp, Jun 2025 on",
        example="init: the tokens of sequence 0 in the input batch have inconsistent sequence positions:",
        gives={"sequence": 0},
    ),
    rule(
        "kv.inconsistent", r"^- the (?:last position stored in the memory module|tokens for sequence) .+$",
        seen="llama.cpp, Jun 2025 on",
        example=" - the last position stored in the memory module of the context (i.e. the KV cache) for sequence 12 is X = 12",
    ),
    rule(
        "kv.inconsistent", r"^it is required that the sequence positions remain consecutive: .+$",
        seen="llama.cpp, Jun 2025 on",
        example=" it is required that the sequence positions remain consecutive: Y = X + 1",
    ),
    rule(
        "kv.inconsistent", r"^for M-RoPE, it is required .+$",
        seen="llama.cpp, Jun 2025 on", example=" for M-RoPE, it is required that the position satisfies: X < Y",
    ),
    rule(
        "kv.inconsistent", r"^sequence \d+ (?:positions are|is coupled to|belongs to) .+$",
        seen="llama.cpp, Jun 2025 on", example="init: sequence 12 positions are not continuous",
    ),
    rule(
        "kv.removed",
        r"^removing (?:KV cache|memory module) entries for seq_id = (?P<sequence>\d+), pos ="
        r" \[(?P<start>\d+), \+inf\)$",
        fields={"sequence": int, "start": int},
        seen="llama.cpp, Jun 2025 on",
        example="decode: removing memory module entries for seq_id = 0, pos = [512, +inf)",
        gives={"sequence": 0, "start": 512},
    ),
    rule(
        "cuda.error", r"^(?P<library>CUDA) error: (?P<error>.+)$",
        fields={"library": str, "error": str},
        seen="llama.cpp, Jan 2024 on", example="CUDA error: out of memory",
        gives={"library": "CUDA", "error": "out of memory"},
    ),
    rule(
        "rocm.error", r"^(?P<library>ROCm|MUSA|HIP) error: (?P<error>.+)$",
        fields={"library": str, "error": str},
        seen="llama.cpp, 2024 on", example="ROCm error: invalid device function",
        gives={"library": "ROCm", "error": "invalid device function"},
    ),
    rule(
        "cuda.error",
        r"^(?P<library>CUDA|ROCm|cuBLAS|CUBLAS|hipBLAS) error (?P<status>\d+) at (?P<file>.+):(?P<line>\d+):"
        r" (?P<error>.+)$",
        fields={"library": str, "status": int, "file": str, "line": int, "error": str},
        seen="llama.cpp 2023", example="CUDA error 2 at /go/src/ggml-cuda.cu:5522: out of memory",
        gives={
            "library": "CUDA", "status": 2, "file": "/go/src/ggml-cuda.cu", "line": 5522, "error": "out of memory",
        },
    ),
    rule(
        "cuda.error_where",
        r"^current device: (?P<device>-?\d+), in function (?P<function>\S+) at (?P<file>.+):(?P<line>\d+)$",
        fields={"device": int, "function": str, "file": str, "line": int},
        seen="llama.cpp, Jan 2024 on",
        example=(
            "  current device: 1, in function ggml_cuda_up_gate_unary at "
            "/kaggle/working/ik_llama.cpp/ggml/src/ggml-cuda.cu:2555"
        ),
        gives={
            "device": 1, "function": "ggml_cuda_up_gate_unary",
            "file": "/kaggle/working/ik_llama.cpp/ggml/src/ggml-cuda.cu", "line": 2555,
        },
    ),
    rule(
        "cuda.error_where", r"^current device: (?P<device>-?\d+)$",
        fields={"device": int},
        seen="llama.cpp 2023", example="current device: 0",
        gives={"device": 0},
    ),
    rule(
        "cuda.error_call", r"^err$",
        seen="llama.cpp, Jan 2024 on", example="  err",
    ),
    rule(
        "gpu.arch_not_built",
        r"^(?P<file>.+): ERROR: (?P<library>CUDA|HIP) kernel (?P<kernel>\S+) has no device code compatible"
        r" with (?:CUDA|HIP) arch (?P<arch>\d+)\.(?: ggml-cuda\.cu was compiled for: (?P<built>.+))?$",
        fields={"file": str, "library": str, "kernel": str, "arch": int, "built": str},
        seen="llama.cpp, Jan 2024 on",
        example=(
            "/llama.cpp/ggml-cuda.cu:6122: ERROR: CUDA kernel mul_mat_q has no device code compatible with "
            "CUDA arch 520. ggml-cuda.cu was compiled for: 600,700"
        ),
        gives={
            "file": "/llama.cpp/ggml-cuda.cu:6122", "library": "CUDA", "kernel": "mul_mat_q", "arch": 520,
            "built": "600,700",
        },
    ),
    rule(
        "crash.library_missing",
        r"^(?P<program>\S+): error while loading shared libraries: (?P<library>\S+?): (?P<error>.+)$",
        fields={"program": str, "library": str, "error": str},
        seen="Linux loader",
        example=(
            "/tmp/ollama731275887/runners/cpu/ollama_llama_server: error while loading shared libraries: "
            "libllama.so: cannot open shared object file: No such file or directory"
        ),
        gives={
            "program": "/tmp/ollama731275887/runners/cpu/ollama_llama_server", "library": "libllama.so",
            "error": "cannot open shared object file: No such file or directory",
        },
    ),
)  # fmt: skip

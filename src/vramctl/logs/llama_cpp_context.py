"""What llama.cpp prints when it creates a context."""

from __future__ import annotations

from vramctl.logs.llama_cpp_values import hyperparameter, switched
from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import milliseconds

RULES: tuple[Rule, ...] = (
    rule(
        "context.param",
        r"^(?P<name>n_seq_max|n_ctx|n_ctx_per_seq|n_ctx_seq|n_batch|n_ubatch|n_rs_seq|n_outputs_max|n_outp"
        r"uts_max_per_seq|attn_max_b|mla_attn|rope_cache|reduce_type|dsa_top_k|dsa_idx_topk) +="
        r" +(?P<value>.+)$",
        fields={"name": str, "value": hyperparameter},
        function=(
            "llama_context", "llama_new_context_with_model", "llama_init_from_model", "llama_init_from_file",
            "llama_new_context",
        ),
        seen="llama.cpp, 2023 on", example="llama_context: n_ctx_seq             = 4096",
        gives={"name": "n_ctx_seq", "value": 4096},
    ),
    rule(
        "context.param",
        r"^(?P<name>causal_attn|flash_attn|kv_unified|fused_moe|fused_up_gate|fused_mmad|graph_reuse|group"
        r"ed er|k_cache_hadam|v_cache_hadam|dsa|sched_async|offload_kqv|split_mode_graph_scheduling) +="
        r" +(?P<value>\w+)$",
        fields={"name": str, "value": switched},
        function=(
            "llama_context", "llama_new_context_with_model", "llama_init_from_model", "llama_init_from_file",
            "llama_new_context",
        ),
        seen="llama.cpp, 2024 on", example="llama_context: flash_attn            = auto",
        gives={"name": "flash_attn", "value": "auto"},
    ),
    rule(
        "context.param", r"^(?P<name>freq_base|freq_scale) += +(?P<value>\S+)$",
        fields={"name": str, "value": float},
        function=(
            "llama_context", "llama_new_context_with_model", "llama_init_from_model", "llama_init_from_file",
            "llama_new_context",
        ),
        seen="llama.cpp, 2023 on", example="llama_context: freq_base     = 500000.0",
        gives={"name": "freq_base", "value": 500000.0},
    ),
    rule(
        "context.param", r"^(?P<name>ser) += +(?P<value>-?\d+, \S+)$",
        fields={"name": str, "value": str},
        function=(
            "llama_context", "llama_new_context_with_model", "llama_init_from_model", "llama_init_from_file",
            "llama_new_context",
        ),
        seen="ik_llama.cpp", example="llama_new_context_with_model: ser        = -1, 0",
        gives={"name": "ser", "value": "-1, 0"},
    ),
    rule(
        "context.param", r"^(?P<name>cuda_params) += +(?P<value>.+)$",
        fields={"name": str, "value": str},
        function=(
            "llama_context", "llama_new_context_with_model", "llama_init_from_model", "llama_init_from_file",
            "llama_new_context",
        ),
        seen="ik_llama.cpp", example="llama_init_from_model: cuda_params   = fusion=1",
        gives={"name": "cuda_params", "value": "fusion=1"},
    ),
    rule(
        "context.below_trained",
        r"^(?:n_ctx_per_seq|n_ctx_seq|n_ctx_pre_seq) \((?P<context>\d+)\) < n_ctx_train"
        r" \((?P<trained>\d+)\) -- the full capacity of the model will not be utilized$",
        fields={"context": int, "trained": int},
        seen="llama.cpp, Nov 2024 on",
        example="llama_context: n_ctx_seq (4096) < n_ctx_train (262144) -- the full capacity of the model will not be utilized",
        gives={"context": 4096, "trained": 262144},
    ),
    rule(
        "ctx.too_large",
        r"^(?:n_ctx_per_seq|n_ctx_seq|n_ctx_pre_seq) \((?P<num_ctx>\d+)\) > n_ctx_train"
        r" \((?P<train_ctx>\d+)\) -- possible training context overflow$",
        fields={"num_ctx": int, "train_ctx": int},
        seen="llama.cpp, Nov 2024 on",
        example="llama_context: n_ctx_seq (32768) > n_ctx_train (8192) -- possible training context overflow",
        gives={"num_ctx": 32768, "train_ctx": 8192},
    ),
    rule(
        "ctx.too_large",
        r"^model was trained on only (?P<train_ctx>\d+) context tokens \((?P<num_ctx>\d+) specified\)$",
        fields={"train_ctx": int, "num_ctx": int},
        seen="llama.cpp 2023-2024", example="warning: model was trained on only 4096 context tokens (8192 specified)",
        gives={"train_ctx": 4096, "num_ctx": 8192},
    ),
    rule(
        "ctx.too_large",
        r"^the slot context \((?P<num_ctx>\d+)\) exceeds the training context of the model"
        r" \((?P<train_ctx>\d+)\) - capping$",
        fields={"num_ctx": int, "train_ctx": int},
        seen="llama-server, Sep 2025 on",
        example="srv    load_model: the slot context (131072) exceeds the training context of the model (40960) - capping",
        gives={"num_ctx": 131072, "train_ctx": 40960},
    ),
    rule(
        "context.changed",
        r"^n_ctx is not divisible by n_seq_max - rounding down to (?P<value>\d+)(?: to avoid assertion failure)?$",
        fields={"value": int},
        seen="llama.cpp, 2024 on",
        example="llama_context: n_ctx is not divisible by n_seq_max - rounding down to 4092",
        gives={"value": 4092},
    ),
    rule(
        "context.changed",
        r"^n_batch is less than GGML_KQ_MASK_PAD - increasing to (?P<value>\d+)(?: to avoid assertion failure)?$",
        fields={"value": int},
        seen="llama.cpp, 2024 on", example="llama_context: n_batch is less than GGML_KQ_MASK_PAD - increasing to 12",
        gives={"value": 12},
    ),
    rule(
        "context.changed", r"^n_ctx_train adjusted to (?P<value>\d+)(?: to avoid assertion failure)?$",
        fields={"value": int},
        seen="llama.cpp, 2024 on", example="llama_init_from_model: n_ctx_train adjusted to 12",
        gives={"value": 12},
    ),
    rule(
        "context.changed", r"^setting n_batch = n_ubatch = (?P<value>\d+)(?: to avoid assertion failure)?$",
        fields={"value": int},
        seen="llama.cpp, 2024 on",
        example="srv  llama_server: setting n_batch = n_ubatch = 12 to avoid assertion failure",
        gives={"value": 12},
    ),
    rule(
        "context.changed", r"^custom YaRN scaling detected, re-adjusting n_ctx_train\((?P<trained>\d+)\)\.\.\.$",
        fields={"trained": int},
        seen="llama.cpp, 2026",
        example="llama_init_from_model: custom YaRN scaling detected, re-adjusting n_ctx_train(32768)...",
        gives={"trained": 32768},
    ),
    rule(
        "context.changed",
        r"^setting new yarn_attn_factor = (?P<value>\d+\.\d+) \(mscale == (?P<scale>\d+\.\d+),"
        r" mscale_all_dim = (?P<all>\d+\.\d+)\)$",
        fields={"value": float, "scale": float, "all": float},
        seen="llama.cpp, Dec 2025 on",
        example="llama_context: setting new yarn_attn_factor = 1.0000 (mscale == 1.0, mscale_all_dim = 1.0)",
        gives={"value": 1.0, "scale": 1.0, "all": 1.0},
    ),
    rule(
        "context.embeddings_batch",
        r"^embeddings enabled with n_batch \((?P<batch>\d+)\) > n_ubatch \((?P<ubatch>\d+)\)$",
        fields={"batch": int, "ubatch": int},
        seen="llama-server, 2025 on",
        example="srv    load_model: embeddings enabled with n_batch (2048) > n_ubatch (512)",
        gives={"batch": 2048, "ubatch": 512},
    ),
    rule(
        "context.creating", r"^constructing llama_context$",
        seen="llama.cpp, Mar 2025 on", example="llama_context: constructing llama_context",
    ),
    rule(
        "context.slots_memory",
        r"^requested n_seq_max \((?P<sequences>\d+)\) > 1, but swa_full is not enabled -- performance may"
        r" be degraded: (?P<see>\S+)$",
        fields={"sequences": int, "see": str},
        seen="llama.cpp, Jun-Aug 2025",
        example=(
            "llama_context: requested n_seq_max (4) > 1, but swa_full is not enabled -- performance may be "
            "degraded: https://github.com/ggml-org/llama.cpp/pull/13845#issuecomment-2924800573"
        ),
        gives={"sequences": 4, "see": "https://github.com/ggml-org/llama.cpp/pull/13845#issuecomment-2924800573"},
    ),
    rule(
        "context.unified", r"^non-unified KV cache requires ggml_set_rows\(\) - forcing unified KV cache$",
        seen="llama.cpp, Jul-Aug 2025",
        example="llama_context: non-unified KV cache requires ggml_set_rows() - forcing unified KV cache",
    ),
    rule(
        "context.unified", r"^LLAMA_SET_ROWS=0, using old ggml_cpy\(\) method for backwards compatibility$",
        seen="llama.cpp, Jul-Aug 2025",
        example="llama_kv_cache_unified: LLAMA_SET_ROWS=0, using old ggml_cpy() method for backwards compatibility",
    ),
    rule(
        "context.pipeline", r"^pipeline parallelism enabled \(n_copies=(?P<copies>\d+)\)$",
        fields={"copies": int},
        seen="llama.cpp, Mar 2024-2026", example="llama_context: pipeline parallelism enabled (n_copies=4)",
        gives={"copies": 4},
    ),
    rule(
        "context.pipeline", r"^pipeline parallelism enabled$",
        seen="llama.cpp, 2026", example="llama_context: pipeline parallelism enabled",
    ),
    rule(
        "context.pipeline_off", r"^compute buffer allocation failed, retrying without pipeline parallelism$",
        seen="llama.cpp, Oct 2024 on",
        example="llama_context: compute buffer allocation failed, retrying without pipeline parallelism",
    ),
    rule(
        "context.reserving", r"^reserving (?:\.\.\.|full memory module|a graph for ubatch with .+)$",
        seen="llama.cpp, 2025 on", example="sched_reserve: reserving ...",
    ),
    rule(
        "context.reserved", r"^reserve took (?P<seconds>\d+\.\d+) ms, sched copies = (?P<copies>\d+)$",
        fields={"seconds": milliseconds, "copies": int},
        seen="llama.cpp, 2026", example="sched_reserve: reserve took 5.37 ms, sched copies = 1",
        gives={"seconds": 0.00537, "copies": 1},
    ),
    rule(
        "context.debug",
        r"^(?P<what>enumerating backends|backend_ptrs\.size\(\) = \d+|max_nodes = \d+|worst-case: n_tokens"
        r" = .+|n_ctx = \d+ \(padded\)|graph reuse disabled|call|value = .+)$",
        fields={"what": str},
        function=(
            "llama_context", "sched_reserve", "create_memory", "set_abort_callback", "set_causal_attn", "set_warmup",
            "set_embeddings", "set_adapter_lora", "set_adapter_cvec", "attach_threadpool", "detach_threadpool",
            "clear_adapter_lora",
        ),
        seen="llama.cpp, debug level, Mar 2025 on", example="llama_context: backend_ptrs.size() = 2",
        gives={"what": "backend_ptrs.size() = 2"},
    ),
    rule(
        "graph.nodes", r"^graph nodes += +(?P<count>\d+)$",
        fields={"count": int},
        seen="llama.cpp, Mar 2024 on", example="llama_context: graph nodes  = 986",
        gives={"count": 986},
    ),
    rule(
        "graph.nodes",
        r"^graph nodes += +(?P<count>\d+) \(with bs=(?P<batch>\d+)\), (?P<nodes_one>\d+) \(with bs=1\)$",
        fields={"count": int, "batch": int, "nodes_one": int},
        seen="llama.cpp, Mar 2025 on", example="llama_context: graph nodes  = 1254 (with bs=512), 1126 (with bs=1)",
        gives={"count": 1254, "batch": 512, "nodes_one": 1126},
    ),
    rule(
        "graph.splits", r"^graph splits(?: \(measure\))? *[=:] +(?P<count>\d+)$",
        fields={"count": int},
        seen="llama.cpp, Jan 2024 on", example="llama_context: graph splits = 1",
        gives={"count": 1},
    ),
    rule(
        "graph.splits",
        r"^graph splits = (?P<count>\d+) \(with bs=(?P<batch>\d+)\), (?P<splits_one>\d+) \(with bs=1\)$",
        fields={"count": int, "batch": int, "splits_one": int},
        seen="llama.cpp, Nov 2024 on", example="llama_context: graph splits = 183 (with bs=512), 98 (with bs=1)",
        gives={"count": 183, "batch": 512, "splits_one": 98},
    ),
    rule(
        "graph.nodes",
        r"^graph(?: \((?P<which>[^)]+)\))?: nodes = (?P<count>\d+), splits = (?P<splits>\d+), input objects"
        r" = (?P<objects>\d+), input tensors = (?P<tensors>\d+)$",
        fields={"which": str, "count": int, "splits": int, "objects": int, "tensors": int},
        seen="llama.cpp, 2026",
        example="sched_reserve: graph: nodes = 1254, splits = 2, input objects = 5, input tensors = 9",
        gives={"count": 1254, "splits": 2, "objects": 5, "tensors": 9},
    ),
    rule(
        "graph.nodes",
        r"^graph \(pp bs=(?P<batch>\d+), tg bs=(?P<batch_decode>\d+)\): nodes = (?P<count>\d+) / (?P<nodes_one>\d+),"
        r" splits = (?P<splits>\d+) / (?P<splits_one>\d+), input objects = (?P<objects>\d+) / \d+, input tensors ="
        r" (?P<tensors>\d+) / \d+$",
        fields={
            "batch": int, "batch_decode": int, "count": int, "nodes_one": int, "splits": int, "splits_one": int,
            "objects": int, "tensors": int,
        },
        seen="llama.cpp, 2026",
        example=(
            "sched_reserve: graph (pp bs=512, tg bs=4): nodes = 3126 / 3126, splits = 74 / 50, input objects = 4 / 4, "
            "input tensors = 6 / 6"
        ),
        gives={
            "batch": 512, "batch_decode": 4, "count": 3126, "nodes_one": 3126, "splits": 74, "splits_one": 50,
            "objects": 4, "tensors": 6,
        },
    ),
)  # fmt: skip

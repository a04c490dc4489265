"""What llama.cpp prints about KV cache, compute and output buffers."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import flag, mib, old_mb

RULES: tuple[Rule, ...] = (
    rule(
        "kv.buffer", r"^(?P<device>\S{1,80}(?: \S{1,80}){0,12}) +KV buffer size += +(?P<size>\d+\.\d+) MiB(?: +# .{1,200})?$",
        fields={"device": str, "size": mib},
        seen="llama.cpp, Jan 2024 on", example="llama_kv_cache_init:      CUDA0 KV buffer size =  2048.00 MiB",
        gives={"device": "CUDA0", "size": mib("2048.00")},
    ),
    rule(
        "kv.buffer", r"^VRAM kv self = (?P<size>\d+\.\d+) MB$",
        fields={"size": old_mb},
        seen="llama.cpp, Oct 2023-Jan 2024", example="llama_kv_cache_init: VRAM kv self = 256.00 MB",
        gives={"size": old_mb("256.00")},
    ),
    rule(
        "kv.total", r"^kv self size += +(?P<size>\d+\.\d+) MB$",
        fields={"size": old_mb},
        seen="llama.cpp 2023 (its MB were MiB)", example="llama_new_context_with_model: kv self size  =  256.00 MB",
        gives={"size": old_mb("256.00")},
    ),
    rule(
        "kv.total",
        r"^KV self size += +(?P<size>\d+\.\d+) MiB, K \((?P<type_k>\S+)\): +(?P<k>\d+\.\d+) MiB, V"
        r" \((?P<type_v>\S+)\): +(?P<v>\d+\.\d+) MiB$",
        fields={"size": mib, "type_k": str, "k": mib, "type_v": str, "v": mib},
        seen="llama.cpp, Dec 2023-Apr 2025, and ik_llama.cpp",
        example="llama_new_context_with_model: KV self size  =  399.50 MiB, K (q8_0):  199.75 MiB, V (f16):  199.75 MiB",
        gives={"size": mib("399.50"), "type_k": "q8_0", "k": mib("199.75"), "type_v": "f16", "v": mib("199.75")},
    ),
    rule(
        "kv.total",
        r"^KV self size += +(?P<size>\d+\.\d+) MiB, c\^KV \((?P<type_k>\S+)\): +(?P<k>\d+\.\d+) MiB,"
        r" kv\^T(?: \((?P<type_v>\S+)\): +(?P<v>\d+\.\d+) MiB|: not used)$",
        fields={"size": mib, "type_k": str, "k": mib, "type_v": str, "v": mib},
        seen="ik_llama.cpp (MLA)",
        example="llama_new_context_with_model: KV self size  = 1467.40 MiB, c^KV (q8_0): 1467.40 MiB, kv^T: not used",
        gives={"size": mib("1467.40"), "type_k": "q8_0", "k": mib("1467.40")},
    ),
    rule(
        "kv.total",
        r"^KV self size += +(?P<size>\d+\.\d+) MiB, K-only \((?P<type_k>\S+)\): +(?P<k>\d+\.\d+) MiB;"
        r" independent V-cache: not used$",
        fields={"size": mib, "type_k": str, "k": mib},
        seen="ik_llama.cpp 2026",
        example="llama_init_from_model: KV self size =   512.00 MiB, K-only (f16):   512.00 MiB; independent V-cache: not used",
        gives={"size": mib("512.00"), "type_k": "f16", "k": mib("512.00")},
    ),
    rule(
        "kv.total", r"^KV self indexer size = +(?P<size>\d+\.\d+) MiB \((?P<type>\S+)\)$",
        fields={"size": mib, "type": str},
        seen="ik_llama.cpp 2026", example="llama_init_from_model: KV self indexer size =   64.00 MiB (f16)",
        gives={"size": mib("64.00"), "type": "f16"},
    ),
    rule(
        "kv.total",
        r"^size = +(?P<size>\d+\.\d+) MiB \( *(?P<cells>\d+) cells, +(?P<layers>\d+) layers,"
        r" +(?P<seqs>\d+)(?:/ *(?P<streams>\d+))? seqs\), K \((?P<type_k>\S+)\): +(?P<k>\d+\.\d+) MiB, V"
        r" \((?P<type_v>\S+)\): +(?P<v>\d+\.\d+) MiB$",
        fields={
            "size": mib, "cells": int, "layers": int, "seqs": int, "streams": int, "type_k": str, "k": mib,
            "type_v": str, "v": mib,
        },
        seen="llama.cpp, May 2025 on",
        example=(
            "llama_kv_cache: size =  832.00 MiB (  4096 cells,  26 layers,  2/2 seqs), K (f16):  416.00 "
            "MiB, V (f16):  416.00 MiB"
        ),
        gives={
            "size": mib("832.00"), "cells": 4096, "layers": 26, "seqs": 2, "streams": 2, "type_k": "f16",
            "k": mib("416.00"), "type_v": "f16", "v": mib("416.00"),
        },
    ),
    rule(
        "kv.total",
        r"^size = +(?P<size>\d+\.\d+) MiB \( *(?P<cells>\d+) cells, +(?P<layers>\d+) layers, +(?P<seqs>\d+)"
        r" seqs(?: +(?P<snapshots>\d+) rs_seq)?\), R \((?P<r_type>\S+)\): +(?P<r>\d+\.\d+) MiB, S"
        r" \((?P<s_type>\S+)\): +(?P<s>\d+\.\d+) MiB(?:, P \((?P<p_type>\S+)\): +(?P<p>\d+\.\d+) MiB)?$",
        fields={
            "size": mib, "cells": int, "layers": int, "seqs": int, "snapshots": int, "r_type": str, "r": mib,
            "s_type": str, "s": mib, "p_type": str, "p": mib,
        },
        seen="llama.cpp, Jun 2025 on (recurrent models)",
        example=(
            "llama_memory_recurrent: size =   78.88 MiB (     1 cells,  40 layers,  1 seqs), R (f32):   "
            "2.88 MiB, S (f32):  76.00 MiB"
        ),
        gives={
            "size": mib("78.88"), "cells": 1, "layers": 40, "seqs": 1, "r_type": "f32", "r": mib("2.88"),
            "s_type": "f32", "s": mib("76.00"),
        },
    ),
    rule(
        "rs.buffer", r"^(?P<device>\S{1,80}(?: \S{1,80}){0,12}) +RS buffer size += +(?P<size>\d+\.\d+) MiB$",
        fields={"device": str, "size": mib},
        seen="llama.cpp, Jun 2025 on (recurrent models)",
        example="llama_memory_recurrent:      CUDA0 RS buffer size =    78.88 MiB",
        gives={"device": "CUDA0", "size": mib("78.88")},
    ),
    rule(
        "kv.state_buffer",
        r"^(?P<device>\S+) +(?P<which>DSV4 .{1,40}?) +(?:buffer size|shadow buffer) += +(?P<size>\d+\.\d+) MiB$",
        fields={"device": str, "which": str, "size": mib},
        seen="llama.cpp and ik_llama.cpp, 2026",
        example="llama_kv_cache_dsv4:      CUDA0 DSV4 CSA state buffer size =    12.50 MiB",
        gives={"device": "CUDA0", "which": "DSV4 CSA state", "size": mib("12.50")},
    ),
    rule(
        "kv.creating",
        r"^creating +(?P<which>non-SWA|SWA|main|indexer|DSA|DSV4 [\w -]+?) KV cache(?:, size ="
        r" (?P<cells>\d+) cells)?$",
        fields={"which": str, "cells": int},
        seen="llama.cpp, May 2025 on", example="llama_kv_cache_iswa: creating     SWA KV cache, size = 1536 cells",
        gives={"which": "SWA", "cells": 1536},
    ),
    rule(
        "kv.sliding_full", r"^using full-size SWA cache \(ref: (?P<see>\S+)\)$",
        fields={"see": str},
        seen="llama.cpp, May 2025 on",
        example=(
            "llama_kv_cache_iswa: using full-size SWA cache (ref: "
            "https://github.com/ggml-org/llama.cpp/pull/13194#issuecomment-2868343055)"
        ),
        gives={"see": "https://github.com/ggml-org/llama.cpp/pull/13194#issuecomment-2868343055"},
    ),
    rule(
        "kv.shape",
        r"^(?:kv_size|n_ctx) = (?P<cells>\d+), offload = (?P<offload>[01]), type_k = '(?P<k_type>\S+)',"
        r" type_v = '(?P<v_type>\S+)', n_layer = (?P<layers>\d+), can_shift = (?P<can_shift>[01])(?:,"
        r" padding = (?P<padding>\d+))?$",
        fields={
            "cells": int, "offload": flag, "k_type": str, "v_type": str, "layers": int, "can_shift": flag,
            "padding": int,
        },
        seen="llama.cpp, Dec 2024-May 2025",
        example="llama_kv_cache_init: kv_size = 2048, offload = 1, type_k = 'f16', type_v = 'f16', n_layer = 61, can_shift = 0",
        gives={"cells": 2048, "offload": True, "k_type": "f16", "v_type": "f16", "layers": 61, "can_shift": False},
    ),
    rule(
        "kv.layer", r"^layer +(?P<layer>\d+): dev = (?P<device>\S+)$",
        fields={"layer": int, "device": str},
        seen="llama.cpp, debug level, May 2025 on", example="llama_kv_cache_unified: layer   0: dev = CPU",
        gives={"layer": 0, "device": "CPU"},
    ),
    rule(
        "kv.layer", r"^layer +(?P<layer>\d+): n_embd_head_qk_rope = (?P<rope>\d+), kv_lora_rank = (?P<rank>\d+)$",
        fields={"layer": int, "rope": int, "rank": int},
        seen="ik_llama.cpp (MLA)",
        example="llama_kv_cache_init: layer 0: n_embd_head_qk_rope = 64, kv_lora_rank = 512",
        gives={"layer": 0, "rope": 64, "rank": 512},
    ),
    rule(
        "kv.layer",
        r"^layer +(?P<layer>\d+): n_embd_k_gqa = (?P<k>\d+), n_embd_v_gqa = (?P<v>\d+)(?:, dev = (?P<device>\S+))?$",
        fields={"layer": int, "k": int, "v": int, "device": str},
        seen="llama.cpp, debug level, Dec 2024-May 2025",
        example="llama_kv_cache_init: layer 0: n_embd_k_gqa = 1024, n_embd_v_gqa = 1024",
        gives={"layer": 0, "k": 1024, "v": 1024},
    ),
    rule(
        "kv.layer",
        r"^layer +(?P<layer>\d+): (?P<what>skipped|filtered|does not have KV cache|no reuse|(?:sharing"
        r" with|reuse) layer .+)$",
        fields={"layer": int, "what": str},
        seen="llama.cpp, debug level, May 2025 on", example="llama_kv_cache: layer  28: does not have KV cache",
        gives={"layer": 28, "what": "does not have KV cache"},
    ),
    rule(
        "kv.layer",
        r"^- layer +(?P<layer>\d+): (?P<what>skipped|filtered|does not have KV cache|no reuse|(?:sharing"
        r" with|reuse) layer .+)$",
        fields={"layer": int, "what": str},
        seen="llama.cpp, debug level, May 2025 on", example="operator: - layer  12: no reuse",
        gives={"layer": 12, "what": "no reuse"},
    ),
    rule(
        "kv.padding",
        r"^the V embeddings have different sizes across layers and FA is not enabled - padding V cache to"
        r" (?P<value>\d+)$",
        fields={"value": int},
        seen="llama.cpp, Oct 2025 on",
        example=(
            "llama_kv_cache: the V embeddings have different sizes across layers and FA is not enabled - "
            "padding V cache to 1024"
        ),
        gives={"value": 1024},
    ),
    rule(
        "compute.buffer",
        r"^(?P<device>\S{1,80}(?: \S{1,80}){0,12}) +compute buffer size += +(?P<size>\d+\.\d+) MiB$",
        fields={"device": str, "size": mib},
        seen="llama.cpp, Jan 2024 on", example="sched_reserve:        CPU compute buffer size =   168.03 MiB",
        gives={"device": "CPU", "size": mib("168.03")},
    ),
    rule(
        "compute.buffer",
        r"^(?P<device>\S{1,80}(?: \S{1,80}){0,12}) +compute buffer size (?:is|of) +(?P<size>\d+\.\d+) MiB,"
        r" (?:matches|does not match) expectation of +(?P<expected>\d+\.\d+) MiB$",
        fields={"device": str, "size": mib, "expected": mib},
        seen="llama.cpp, Dec 2025 on",
        example="~llama_context:      CUDA0 compute buffer size is 304.7500 MiB, matches expectation of 304.7500 MiB",
        gives={"device": "CUDA0", "size": mib("304.7500"), "expected": mib("304.7500")},
    ),
    rule(
        "compute.buffer", r"^compute buffer total size = +(?P<size>\d+\.\d+) MB$",
        fields={"size": old_mb},
        seen="llama.cpp, Aug-Nov 2023 (its MB were MiB)",
        example="llama_new_context_with_model: compute buffer total size =  153.47 MB",
        gives={"size": old_mb("153.47")},
    ),
    rule(
        "compute.buffer", r"^compute buffer total size = +(?P<size>\d+\.\d+) MiB$",
        fields={"size": mib},
        seen="llama.cpp, Nov 2023-Jan 2024",
        example="llama_new_context_with_model: compute buffer total size = 73.69 MiB",
        gives={"size": mib("73.69")},
    ),
    rule(
        "output.buffer", r"^(?P<device>\S{1,80}(?: \S{1,80}){0,12}) +output buffer size += +(?P<size>\d+\.\d+) MiB$",
        fields={"device": str, "size": mib},
        seen="llama.cpp, Mar 2024 on", example="llama_context:  CUDA_Host  output buffer size =     0.52 MiB",
        gives={"device": "CUDA_Host", "size": mib("0.52")},
    ),
    rule(
        "input.buffer", r"^(?P<device>\S{1,80}(?: \S{1,80}){0,12}) +input buffer size += +(?P<size>\d+\.\d+) MiB$",
        fields={"device": str, "size": mib},
        seen="llama.cpp, Feb-Mar 2024",
        example="llama_new_context_with_model:  CUDA_Host input buffer size   =    13.02 MiB",
        gives={"device": "CUDA_Host", "size": mib("13.02")},
    ),
    rule(
        "buffer.size", r"^(?:allocated|reallocating tensors in) '(?P<device>\S+)' buffer (?P<size>\d+\.\d+) MiB$",
        fields={"device": str, "size": mib},
        seen="llama.cpp, 2026", example="sync: allocated 'CUDA0' buffer 12.500 MiB",
        gives={"device": "CUDA0", "size": mib("12.500")},
    ),
)  # fmt: skip

"""What llama.cpp and ik_llama.cpp print about single tensors: overrides, repacking, splits."""

from __future__ import annotations

from vramctl.logs.llama_cpp_values import rate
from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import gib, mib, milliseconds

RULES: tuple[Rule, ...] = (
    rule(
        "tensors.override", r"^Tensor (?P<tensor>\S+) buffer type overriden to (?P<buffer>\S+)$",
        fields={"tensor": str, "buffer": str},
        seen="ik_llama.cpp 2025", example="Tensor blk.1.ffn_norm.weight buffer type overriden to CUDA0",
        gives={"tensor": "blk.1.ffn_norm.weight", "buffer": "CUDA0"},
    ),
    rule(
        "tensors.override",
        r"^Tensor (?P<tensor>\S+) \(size = +(?P<size>\d+\.\d+) MiB\) buffer type overridden to (?P<buffer>\S+)$",
        fields={"tensor": str, "size": mib, "buffer": str},
        seen="ik_llama.cpp 2026",
        example="Tensor blk.3.ffn_down_exps.weight (size =   224.00 MiB) buffer type overridden to CPU",
        gives={"tensor": "blk.3.ffn_down_exps.weight", "size": mib("224.00"), "buffer": "CPU"},
    ),
    rule(
        "tensors.override",
        r"^tensor (?P<tensor>\S+) \((?P<size>\d+) MiB (?P<type>\S+)\) buffer type overridden to (?P<buffer>\S+)$",
        fields={"tensor": str, "size": mib, "type": str, "buffer": str},
        seen="llama.cpp, debug level, Apr 2025 on",
        example="tensor blk.3.ffn_down_exps.weight (224 MiB q4_K) buffer type overridden to CPU",
        gives={"tensor": "blk.3.ffn_down_exps.weight", "size": mib("224"), "type": "q4_K", "buffer": "CPU"},
    ),
    rule(
        "tensors.override", r"^tensor (?P<tensor>\S+) buffer type overriden to (?P<buffer>\S+)$",
        fields={"tensor": str, "buffer": str},
        seen="llama.cpp, debug level, Apr 2025",
        example="tensor blk.3.ffn_down_exps.weight buffer type overriden to CPU",
        gives={"tensor": "blk.3.ffn_down_exps.weight", "buffer": "CPU"},
    ),
    rule(
        "tensors.override_added", r"^Adding override (?P<pattern>.+)=(?P<device>[^\s=]+)$",
        fields={"pattern": str, "device": str},
        seen="ik_llama.cpp 2026", example="Adding override blk\\.(0|1)\\.ffn_.*_exps=CPU",
        gives={"pattern": "blk\\.(0|1)\\.ffn_.*_exps", "device": "CPU"},
    ),
    rule(
        "tensors.experts_on_cpu",
        r"^Adding experts CPU overrides for layer (?P<layer>\d+)(?: in device (?P<device>\d+))?$",
        fields={"layer": int, "device": int},
        seen="ik_llama.cpp 2026", example="Adding experts CPU overrides for layer 12 in device 1",
        gives={"layer": 12, "device": 1},
    ),
    rule(
        "tensors.moved",
        r"^tensor '(?P<tensor>\S+)' \((?P<type>\S+)\)(?: \(and (?P<others>\d+) others\))? cannot be used"
        r" with preferred buffer type (?P<preferred>\S+), using (?P<device>\S+) instead$",
        fields={"tensor": str, "type": str, "others": int, "preferred": str, "device": str},
        seen="llama.cpp, Oct 2024 on",
        example=(
            "load_tensors: tensor 'token_embd.weight' (q4_K) (and 290 others) cannot be used with preferred "
            "buffer type CPU_REPACK, using CPU instead"
        ),
        gives={
            "tensor": "token_embd.weight", "type": "q4_K", "others": 290, "preferred": "CPU_REPACK",
            "device": "CPU",
        },
    ),
    rule(
        "tensors.computed",
        r"^Computed (?P<tensor>\S+) as (?P<shape>[\dx ]+\d)(?: of type (?P<type>\S+))?(?: and stored in"
        r" buffer (?P<device>\S+)|, split across (?P<devices>\d+) devices on dim=\d)$",
        fields={"tensor": str, "shape": str, "type": str, "device": str, "devices": int},
        seen="ik_llama.cpp", example="Computed blk.0.attn_v_b.weight as 128 x 512 x 128 and stored in buffer CUDA1",
        gives={"tensor": "blk.0.attn_v_b.weight", "shape": "128 x 512 x 128", "device": "CUDA1"},
    ),
    rule(
        "tensors.computing", r"^=+ llm_prepare_\w+: need to compute (?P<count>\d+) (?P<which>.+) tensors$",
        fields={"count": int, "which": str},
        seen="ik_llama.cpp", example="============ llm_prepare_mla: need to compute 61 wk_b/wv_b tensors",
        gives={"count": 61, "which": "wk_b/wv_b"},
    ),
    rule(
        "tensors.repacked", r"^=+ (?P<how>Repacked|Modified) (?P<count>\d+) tensors$",
        fields={"how": str, "count": int},
        seen="ik_llama.cpp", example="============ Repacked 268 tensors",
        gives={"how": "Repacked", "count": 268},
    ),
    rule(
        "tensors.repacked", r"^repack tensor (?P<tensor>\S+) with (?P<layout>\S+)$",
        fields={"tensor": str, "layout": str},
        seen="llama.cpp, debug level, 2025 on", example="repack: repack tensor blk.0.attn_q.weight with q4_0_8x8",
        gives={"tensor": "blk.0.attn_q.weight", "layout": "q4_0_8x8"},
    ),
    rule(
        "tensors.repacked", r"^amx repack tensor (?P<tensor>\S+) of type (?P<type>\S+)$",
        fields={"tensor": str, "type": str},
        seen="llama.cpp, debug level, 2025 on",
        example="ggml_backend_amx_buffer_set_tensor: amx repack tensor blk.0.attn_q.weight of type q4_0",
        gives={"tensor": "blk.0.attn_q.weight", "type": "q4_0"},
    ),
    rule(
        "tensors.repacked", r"^=+ Model ftype: (?P<type>.+): Repacked ftype: (?P<repacked>.+)$",
        fields={"type": str, "repacked": str},
        seen="ik_llama.cpp", example="===================== Model ftype: Q4_0: Repacked ftype: Q4_0_R8",
        gives={"type": "Q4_0", "repacked": "Q4_0_R8"},
    ),
    rule(
        "tensors.adjusted", r"^=+ Adjusted mainline llama\.cpp MLA tensors to ik_llama\.cpp$",
        seen="ik_llama.cpp", example="================= Adjusted mainline llama.cpp MLA tensors to ik_llama.cpp",
    ),
    rule(
        "attention.mla_off", r"^MLA is only available for LLM_ARCH_DEEPSEEK2 -> turning off MLA$",
        seen="ik_llama.cpp", example=" MLA is only available for LLM_ARCH_DEEPSEEK2 -> turning off MLA",
    ),
    rule(
        "tensors.split_planned",
        r"^Device (?P<index>\d+): +(?P<size>\d+(?:\.\d+)?) MiB(?: -> split = (?P<share>\S+))?$",
        fields={"index": int, "size": mib, "share": rate},
        seen="ik_llama.cpp 2026", example="    Device 0:  18432.50 MiB",
        gives={"index": 0, "size": mib("18432.50")},
    ),
    rule(
        "tensors.split_planned", r"^Estimated model buffer size per device:$",
        seen="ik_llama.cpp 2026", example="Estimated model buffer size per device:",
    ),
    rule(
        "tensors.split_planned", r"^KV cache size per device(?: \(MLA replicated\))?:$",
        seen="ik_llama.cpp 2026", example="llama_kv_cache_init: KV cache size per device (MLA replicated):",
    ),
    rule(
        "tensors.split_planned", r"^Adjusted splits? .*:$",
        seen="ik_llama.cpp 2026", example="Adjusted split at layer 12:  ",
    ),
    rule(
        "tensors.split_planned", r"^=+ Adjusted device splits for split mode graph:$",
        seen="ik_llama.cpp 2026", example="=== Adjusted device splits for split mode graph:",
    ),
    rule(
        "tensors.split_planned", r"^-+ Layer sizes:$",
        seen="ik_llama.cpp 2026", example="------------------- Layer sizes:",
    ),
    rule(
        "tensors.split_planned",
        r"^(?P<what>Memory required for model tensors \+ cache|Memory available on all devices - compute):"
        r" (?P<size>\d+(?:\.\d+)?) MiB$",
        fields={"what": str, "size": mib},
        seen="ik_llama.cpp 2026", example="Memory required for model tensors + cache: 91234 MiB",
        gives={"what": "Memory required for model tensors + cache", "size": mib("91234")},
    ),
    rule(
        "tensors.split_planned",
        r"^Layer +(?P<layer>\d+): +(?P<weights>\d+\.\d+), +(?P<cache>\d+\.\d+), +(?P<sum>\d+\.\d+) (?:"
        r" *(?P<total>\d+\.\d+) +)?MiB(?P<output> \(output layer\))?$",
        fields={"layer": int, "weights": mib, "cache": mib, "sum": mib},
        seen="ik_llama.cpp 2026", example="Layer 12:    512.35,     12.35,    524.70 MiB (output layer)",
        gives={"layer": 12, "weights": mib("512.35"), "cache": mib("12.35"), "sum": mib("524.70")},
    ),
    rule(
        "weights.pinned", r"^Allocating (?P<size>\d+\.\d+) GiB of pinned host memory, this may take a while\.$",
        fields={"size": gib},
        seen="ik_llama.cpp 2026", example="Allocating 120.50 GiB of pinned host memory, this may take a while.",
        gives={"size": gib("120.50")},
    ),
    rule(
        "weights.pinned", r"^done allocating (?P<size>\d+\.\d+) GiB in (?P<seconds>\d+\.\d+) ms$",
        fields={"size": gib, "seconds": milliseconds},
        seen="ik_llama.cpp 2026", example="    done allocating 120.50 GiB in 34012.5 ms",
        gives={"size": gib("120.50"), "seconds": 34.0125},
    ),
)  # fmt: skip

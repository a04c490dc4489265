"""Published GGUF files that the shapes were compared with: what llama.cpp printed when somebody loaded them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """`file size` and `type` lines of a log; `gib` has the log's digits, `note` says why `types` is left empty."""

    shape: str
    file_type: str
    gib: float
    types: Mapping[str, int]
    source: str
    note: str = ""


_UMBC = "umbc-research/Ticket-LLM ollama_server.log (Ollama 0.13.5)"
_KYUZ0 = "kyuz0/amd-strix-halo-toolboxes benchmark/loadtime_results"

PUBLISHED = (
    Published("llama3.2-3b", "Q4_K_M", 1.87, {"F32": 58, "Q4_K": 168, "Q6_K": 29},
              "rjmalagon/ollama-linux-amd-apu issue 19"),
    Published("llama3.1-8b", "Q4_K_M", 4.58, {"F32": 66, "Q4_K": 193, "Q6_K": 33}, _UMBC),
    Published("llama3.1-70b", "Q4_K_M", 39.59, {"F32": 162, "Q4_K": 441, "Q5_K": 40, "Q6_K": 81}, _UMBC),
    Published("mistral-7b", "Q4_1", 4.24, {"F32": 65, "Q4_1": 225, "Q6_K": 1}, "ggml-org/llama.cpp issue 10080"),
    Published("phi4-14b", "Q4_K_M", 8.43, {}, "Ollama log of January 2025", "counts differ: attn_qkv was Q5_K then"),
    Published("phi4-mini", "BF16", 7.15, {"F32": 67, "BF16": 129}, "ggml-org/llama.cpp issue 14740"),
    Published("gemma3-27b", "BF16", 50.31, {"F32": 373, "BF16": 435}, f"{_KYUZ0} (llama.cpp b6040)"),
    Published("gemma4-e4b", "Q4_K_M", 4.95, {"F32": 339, "Q4_K": 336, "Q6_K": 44, "BF16": 1},
              "canonical/inference-snaps issue 275"),
    Published("gemma4-26b-a4b", "Q4_K_M", 15.63, {"F32": 392, "Q5_0": 32, "Q8_0": 28, "Q4_K": 192, "Q6_K": 14},
              "scrya-com/rotorquant issue 9"),
    Published("qwen3-30b-a3b", "Q4_K_M", 17.28, {"F32": 241, "Q4_K": 289, "Q6_K": 49},
              "ikawrakow/ik_llama.cpp issue 514 (llama.cpp b5622)"),
    Published("qwen3-30b-a3b", "BF16", 56.89, {"F32": 241, "BF16": 338}, f"{_KYUZ0} (Qwen3-Coder, llama.cpp b6066)"),
    Published("qwen3-235b-a22b", "Q4_K_M", 132.386, {"F32": 471, "Q4_K": 567, "Q6_K": 93},
              "ikawrakow/ik_llama.cpp issue 389"),
    Published("deepseek-v3-671b", "Q8_0", 664.29, {}, "ikawrakow/ik_llama.cpp issue 271 (DeepSeek R1, llama.cpp b4905)",
              "counts differ: attn_kv_b was one tensor then"),
)  # fmt: skip

"""What llama.cpp prints while it opens a model file: metadata, tensor types, overrides."""

from __future__ import annotations

from vramctl.logs.llama_cpp_values import hyperparameter
from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import flag, ints, mib, size

RULES: tuple[Rule, ...] = (
    rule(
        "model.loaded_meta",
        r"^loaded meta data with (?P<kv_count>\d+) key-value pairs and (?P<tensors>\d+) tensors from"
        r" (?P<path>.+) \(version (?P<version>.+)\)$",
        fields={"kv_count": int, "tensors": int, "path": str, "version": str},
        seen="llama.cpp, Aug 2023 on",
        example=(
            "llama_model_loader: loaded meta data with 24 key-value pairs and 291 tensors from "
            "/root/.ollama/models/blobs/sha256-e8a35b5937a5e6d5c35d1f2a15f161e07eefe5e5bb0a3cdd42998ee79b051"
            "730 (version GGUF V3 (latest))"
        ),
        gives={
            "kv_count": 24, "tensors": 291,
            "path": "/root/.ollama/models/blobs/sha256-e8a35b5937a5e6d5c35d1f2a15f161e07eefe5e5bb0a3cdd42998ee79b051730",
            "version": "GGUF V3 (latest)",
        },
    ),
    rule(
        "model.loaded_meta", r"^llama\.cpp: loading model from (?P<path>.+)$",
        fields={"path": str},
        seen="llama.cpp, before Aug 2023 (ggml files)",
        example="llama.cpp: loading model from /models/llama-2-7b.ggmlv3.q4_0.bin",
        gives={"path": "/models/llama-2-7b.ggmlv3.q4_0.bin"},
    ),
    rule(
        "model.dump", r"^Dumping metadata keys/values\. Note: KV overrides do not apply in this output\.$",
        seen="llama.cpp, Sep 2023 on",
        example="llama_model_loader: Dumping metadata keys/values. Note: KV overrides do not apply in this output.",
    ),
    rule(
        "model.kv", r"^- kv +(?P<index>\d+): +(?P<key>\S+) +(?P<type>[ui](?:8|16|32|64)) += (?P<value>-?\d+)$",
        fields={"index": int, "key": str, "type": str, "value": int},
        seen="llama.cpp, Oct 2023 on",
        example="llama_model_loader: - kv   7:              llama.attention.head_count_kv u32              = 8",
        gives={"index": 7, "key": "llama.attention.head_count_kv", "type": "u32", "value": 8},
    ),
    rule(
        "model.kv", r"^- kv +(?P<index>\d+): +(?P<key>\S+) +(?P<type>f(?:32|64)) += (?P<value>\S+)$",
        fields={"index": int, "key": str, "type": str, "value": float},
        seen="llama.cpp, Oct 2023 on",
        example="llama_model_loader: - kv   8:                       llama.rope.freq_base f32              = 500000.000000",
        gives={"index": 8, "key": "llama.rope.freq_base", "type": "f32", "value": 500000.0},
    ),
    rule(
        "model.kv", r"^- kv +(?P<index>\d+): +(?P<key>\S+) +(?P<type>bool) += (?P<value>true|false)$",
        fields={"index": int, "key": str, "type": str, "value": flag},
        seen="llama.cpp, Oct 2023 on",
        example="llama_model_loader: - kv  21:               tokenizer.ggml.add_bos_token bool             = true",
        gives={"index": 21, "key": "tokenizer.ggml.add_bos_token", "type": "bool", "value": True},
    ),
    rule(
        "model.kv", r"^- kv +(?P<index>\d+): +(?P<key>\S+) +(?P<type>str) +=(?: (?P<value>.*))?$",
        fields={"index": int, "key": str, "type": str, "value": str},
        seen="llama.cpp, Oct 2023 on",
        example="llama_model_loader: - kv   0:                       general.architecture str              = llama",
        gives={"index": 0, "key": "general.architecture", "type": "str", "value": "llama"},
    ),
    rule(
        "model.kv",
        r"^- kv +(?P<index>\d+): +(?P<key>\S+) +(?P<type>arr)\[(?P<of>\w+),(?P<count>\d+)\] += (?P<value>.*)$",
        fields={"index": int, "key": str, "type": str, "of": str, "count": int, "value": str},
        seen="llama.cpp, Oct 2023 on",
        example=(
            "llama_model_loader: - kv  16:                  tokenizer.ggml.token_type arr[i32,128256]  = "
            "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ..."
        ),
        gives={
            "index": 16, "key": "tokenizer.ggml.token_type", "type": "arr", "of": "i32", "count": 128256,
            "value": "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...",
        },
    ),
    rule(
        "model.kv", r"^- kv +(?P<index>\d+): +(?P<key>\S+) +(?P<type>[a-z]\w*)$",
        fields={"index": int, "key": str, "type": str},
        seen="llama.cpp, Aug-Sep 2023 (without values)",
        example="llama_model_loader: - kv   0:                       general.architecture str     ",
        gives={"index": 0, "key": "general.architecture", "type": "str"},
    ),
    rule(
        "model.tensor_type", r"^- type +(?P<type>\S+): +(?P<count>\d+) tensors$",
        fields={"type": str, "count": int},
        function="llama_model_loader",
        seen="llama.cpp, Sep 2023 on", example="llama_model_loader: - type q4_K:  168 tensors",
        gives={"type": "q4_K", "count": 168},
    ),
    rule(
        "model.tensor",
        r"^- tensor(?: split)? +(?P<index>\d+): +(?P<name>\S+) +(?P<type>\S+) +\[ *(?P<shape>[\d, ]+?)"
        r" *\](?: +(?P<size>\d+\.\d+) MiB)?$",
        fields={"index": int, "name": str, "type": str, "shape": ints, "size": mib},
        seen="llama.cpp, Aug 2023-Jan 2024; with sizes at trace level since",
        example="llama_model_loader: - tensor    0:                token_embd.weight q4_K     [  4096, 32000,     1,     1 ]",
        gives={"index": 0, "name": "token_embd.weight", "type": "q4_K", "shape": (4096, 32000, 1, 1)},
    ),
    rule(
        "model.splits", r"^additional (?P<count>\d+) GGUFs(?: metadata loaded\.)?$",
        fields={"count": int},
        seen="llama.cpp, Mar 2024 on", example="llama_model_loader: additional 2 GGUFs metadata loaded.",
        gives={"count": 2},
    ),
    rule(
        "model.splits", r"^loading additional (?P<count>\d+) GGUFs(?: metadata loaded\.)?$",
        fields={"count": int},
        seen="llama.cpp, Mar 2024 on", example="llama_model_loader: loading additional 12 GGUFs",
        gives={"count": 12},
    ),
    rule(
        "model.type_unknown", r"^unknown type (?P<type>\S+)$",
        fields={"type": str},
        seen="llama.cpp, Sep 2023 on", example="llama_model_loader: unknown type i2_s",
        gives={"type": "i2_s"},
    ),
    rule(
        "model.override", r"^Using metadata override \( *(?P<type>\w+)\) '(?P<key>[^']+)' = (?P<value>.+)$",
        fields={"type": str, "key": str, "value": str},
        seen="llama.cpp, Dec 2023 on",
        example="validate_override: Using metadata override (  int) 'qwen3moe.expert_used_count' = 6",
        gives={"type": "int", "key": "qwen3moe.expert_used_count", "value": "6"},
    ),
    rule(
        "model.override_refused",
        r"^(?:Warning: )?Bad metadata override type for key '(?P<key>[^']+)', expected (?P<expected>\w+)"
        r" but got (?P<type>\w+)$",
        fields={"key": str, "expected": str, "type": str},
        seen="llama.cpp, Dec 2023 on",
        example="validate_override: Warning: Bad metadata override type for key 'general.name', expected str but got int",
        gives={"key": "general.name", "expected": "str", "type": "int"},
    ),
    rule(
        "model.files_open", r"^Max stdio successfully set to (?P<count>\d+)$",
        fields={"count": int},
        seen="ik_llama.cpp 2025", example="llama_model_loader: Max stdio successfully set to 2048",
        gives={"count": 2048},
    ),
    rule(
        "load.mmap_unavailable", r"^mmap is not supported on this platform$",
        seen="llama.cpp, 2023 on", example="llama_model_loader: mmap is not supported on this platform",
    ),
    rule(
        "load.mmap_unavailable",
        r"^mmap is not available, so tensor (?P<tensor>\S+) \(size = (?P<size>\d+) MiB\) is loaded into RAM"
        r" in full$",
        fields={"tensor": str, "size": mib},
        seen="llama.cpp, 2026",
        example="create_tensor: mmap is not available, so tensor token_embd.weight (size = 1024 MiB) is loaded into RAM in full",
        gives={"tensor": "token_embd.weight", "size": mib("1024")},
    ),
    rule(
        "load.lazy", r"^tensor (?P<tensor>\S+) \(size = (?P<size>\d+) MiB\) lazy read enabled$",
        fields={"tensor": str, "size": mib},
        seen="llama.cpp, 2026",
        example="create_tensor: tensor per_layer_token_embd.weight (size = 2240 MiB) lazy read enabled",
        gives={"tensor": "per_layer_token_embd.weight", "size": mib("2240")},
    ),
    rule(
        "tensors.override_hint",
        r"^tensor overrides to CPU are used with mmap enabled - consider using"
        r" (?P<hint>--no-mmap|--load-mode none) for better performance$",
        fields={"hint": str},
        seen="llama.cpp, Aug 2025 on",
        example=(
            "llama_model_loader: tensor overrides to CPU are used with mmap enabled - consider using "
            "--no-mmap for better performance"
        ),
        gives={"hint": "--no-mmap"},
    ),
    rule(
        "tensors.unused",
        r"^(?:model has )?unused tensor (?P<tensor>\S+) \(size = (?P<size>\d+) bytes\) -- ignoring$",
        fields={"tensor": str, "size": size},
        seen="llama.cpp, 2025 on",
        example="model has unused tensor blk.92.eh_proj.weight (size = 209715200 bytes) -- ignoring",
        gives={"tensor": "blk.92.eh_proj.weight", "size": size("209715200")},
    ),
    rule(
        "tensors.invalid", r"^tensor '(?P<tensor>\S+)' has invalid data$",
        fields={"tensor": str},
        seen="llama.cpp, Apr 2024 on", example="load_all_data: tensor 'blk.3.ffn_down.weight' has invalid data",
        gives={"tensor": "blk.3.ffn_down.weight"},
    ),
    rule(
        "model.partial",
        r"^partial load — used (?P<used>\d+) of (?P<tensors>\d+) tensors in the file \(rest belong to a"
        r" sibling model on the same \.gguf\)$",
        fields={"used": int, "tensors": int},
        seen="llama.cpp, 2026",
        example=(
            "done_getting_tensors: partial load — used 12 of 310 tensors in the file (rest belong to a "
            "sibling model on the same .gguf)"
        ),
        gives={"used": 12, "tensors": 310},
    ),
    rule(
        "model.info",
        r"^(?P<key>format|n_vocab|n_ctx|n_embd|n_mult|n_head|n_layer|n_rot|n_ff|n_parts|n_head_kv|n_gqa|rn"
        r"orm_eps|n_embd_gqa|ftype|type|model size|freq_base|freq_scale|model params) += +(?P<value>.+)$",
        fields={"key": str, "value": hyperparameter},
        function="llama_model_load_internal",
        seen="llama.cpp, before Aug 2023", example="llama_model_load_internal: n_layer    = 32",
        gives={"key": "n_layer", "value": 32},
    ),
    rule(
        "load.cancelled", r"^cancelled model load$",
        seen="llama.cpp, Dec 2023 on", example="llama_model_load_from_file_impl: cancelled model load",
    ),
    rule(
        "load.vocab_only", r"^vocab only - skipping tensors$",
        seen="llama.cpp, Aug 2023 on", example="llama_model_load: vocab only - skipping tensors",
    ),
    rule(
        "load.aligned",
        r"^llama\.cpp: can't use mmap because tensors are not aligned; convert to new format to avoid this$",
        seen="llama.cpp, before Aug 2023",
        example="llama.cpp: can't use mmap because tensors are not aligned; convert to new format to avoid this",
    ),
    rule(
        "load.lora",
        r"^(?:applying lora adapter from|loading lora adapter from) '(?P<path>.+)'(?: - please wait)? \.\.\.$",
        fields={"path": str},
        seen="llama.cpp, 2023 on",
        example="llama_lora_adapter_init_impl: loading lora adapter from '/loras/a.gguf' ...",
        gives={"path": "/loras/a.gguf"},
    ),
    rule(
        "load.lora", r"^loaded (?P<count>\d+) tensors from lora file$",
        fields={"count": int},
        seen="llama.cpp, Jul 2024 on", example="llama_lora_adapter_init_impl: loaded 448 tensors from lora file",
        gives={"count": 448},
    ),
)  # fmt: skip

"""What llama.cpp prints about the model it has read: hyperparameters, vocabulary."""

from __future__ import annotations

from vramctl.logs.llama_cpp_values import hyperparameter
from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import count, flag, gib, mb, size

RULES: tuple[Rule, ...] = (
    rule(
        "model.arch", r"^arch +=(?: (?P<arch>.*))?$",
        fields={"arch": str},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="llm_load_print_meta: arch             = llama",
        gives={"arch": "llama"},
    ),
    rule(
        "model.name", r"^general\.name *=(?: (?P<name>.*))?$",
        fields={"name": str},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: general.name     = Llama 3.2 3B Instruct",
        gives={"name": "Llama 3.2 3B Instruct"},
    ),
    rule(
        "model.file_format", r"^(?:file )?format += (?P<value>.+)$",
        fields={"value": str},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: file format = GGUF V3 (latest)",
        gives={"value": "GGUF V3 (latest)"},
    ),
    rule(
        "model.ftype", r"^(?:model ftype|file type) += (?P<value>.+)$",
        fields={"value": str},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: file type   = Q4_K - Medium",
        gives={"value": "Q4_K - Medium"},
    ),
    rule(
        "model.size", r"^(?:model size|file size) += +(?P<size>\d+\.\d+ (?:MiB|GiB|TiB)) \((?P<bpw>\d+\.\d+) BPW\)$",
        fields={"size": size, "bpw": float},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Nov 2023 on", example="print_info: file size   = 1.87 GiB (5.01 BPW) ",
        gives={"size": size("1.87 GiB"), "bpw": 5.01},
    ),
    rule(
        "model.size", r"^model size += +(?P<size>\d+\.\d+) GB \((?P<bpw>\d+\.\d+) BPW\)$",
        fields={"size": gib, "bpw": float},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep-Nov 2023 (its GB were GiB)",
        example="llm_load_print_meta: model size       = 3.56 GB (4.54 BPW)",
        gives={"size": gib("3.56"), "bpw": 4.54},
    ),
    rule(
        "model.repeating_size",
        r"^repeating layers = +(?P<size>\d+\.\d+ (?:MiB|GiB|TiB)) \((?P<bits_per_weight>\d+\.\d+) BPW,"
        r" (?P<parameters>\d+\.\d+ [KMBT]) parameters\)$",
        fields={"size": size, "bits_per_weight": float, "parameters": count},
        function=("print_info", "llm_load_print_meta"),
        seen="ik_llama.cpp",
        example="llm_load_print_meta: repeating layers = 217.886 GiB (2.793 BPW, 670.196 B parameters)",
        gives={"size": size("217.886 GiB"), "bits_per_weight": 2.793, "parameters": 670196000000},
    ),
    rule(
        "model.params", r"^model params += +(?P<count>\d+(?:\.\d+)?(?: [KMBT])?)$",
        fields={"count": count},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: model params     = 3.21 B",
        gives={"count": 3210000000},
    ),
    rule(
        "model.size_class", r"^model type += (?P<value>.+)$",
        fields={"value": str},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: model type       = 3B",
        gives={"value": "3B"},
    ),
    rule(
        "model.vocab_only", r"^vocab_only +=(?: (?P<value>[01]))$",
        fields={"value": flag},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, 2024 on", example="print_info: vocab_only       = 1",
        gives={"value": True},
    ),
    rule(
        "model.no_alloc", r"^no_alloc +=(?: (?P<value>[01]))$",
        fields={"value": flag},
        function=("print_info", "llm_load_print_meta"),
        says="1: a dry run, whose sizes are a plan",
        seen="llama.cpp, Dec 2025 on", example="print_info: no_alloc         = 1",
        gives={"value": True},
    ),
    rule(
        "model.n_ctx_train", r"^n_ctx_train +=(?: (?P<value>\d+))$",
        fields={"value": int},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: n_ctx_train      = 131072",
        gives={"value": 131072},
    ),
    rule(
        "model.n_layer", r"^n_layer +=(?: (?P<value>\d+))$",
        fields={"value": int},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: n_layer          = 28",
        gives={"value": 28},
    ),
    rule(
        "model.n_expert", r"^n_expert +=(?: (?P<value>\d+))$",
        fields={"value": int},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Dec 2023 on", example="print_info: n_expert         = 128",
        gives={"value": 128},
    ),
    rule(
        "model.n_expert_used", r"^n_expert_used +=(?: (?P<value>\d+))$",
        fields={"value": int},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Dec 2023 on", example="print_info: n_expert_used    = 8",
        gives={"value": 8},
    ),
    rule(
        "model.token", r"^(?P<name>[A-Z][A-Za-z ]{0,30}?) token += (?P<id>-?\d+) '(?P<text>.*)'?$",
        fields={"name": str, "id": int},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: EOS token        = 128009 '<|eot_id|>'",
        gives={"name": "EOS", "id": 128009},
    ),
    rule(
        "model.info",
        r"^(?!(?:arch|general\.name|format|file format|model ftype|file type|model size|file size|repeating"
        r" layers|model params|model type|vocab_only|no_alloc|n_ctx_train|n_layer|n_expert|n_expert_used)"
        r" {0,40}=)(?![A-Z][A-Za-z ]{0,30} token )(?P<key>\w[\w.() /-]{0,40}?) {0,40}= *(?P<value>.*)$",
        fields={"key": str, "value": hyperparameter},
        function=("print_info", "llm_load_print_meta"),
        seen="llama.cpp, Sep 2023 on", example="print_info: n_head_kv        = 8",
        gives={"key": "n_head_kv", "value": 8},
    ),
    rule(
        "model.info", r"^--- (?P<key>.+) ---$",
        fields={"key": str},
        seen="llama.cpp (mtmd), 2025 on", example="--- vision hparams ---",
        gives={"key": "vision hparams"},
    ),
    rule(
        "vocab.cache", r"^special tokens cache size = (?P<count>\d+)$",
        fields={"count": int},
        seen="llama.cpp, Jun 2024 on", example="load: special tokens cache size = 22",
        gives={"count": 22},
    ),
    rule(
        "vocab.cache", r"^token to piece cache size = (?P<size>\d+\.\d+) MB$",
        fields={"size": mb},
        seen="llama.cpp, Jun 2024 on", example="load: token to piece cache size = 0.9310 MB",
        gives={"size": mb("0.9310")},
    ),
    rule(
        "vocab.special_tokens",
        r"^special tokens definition check successful \( *(?P<count>\d+)/(?P<vocab>\d+) \)\.$",
        fields={"count": int, "vocab": int},
        seen="llama.cpp, Oct 2023-Jun 2024",
        example="llm_load_vocab: special tokens definition check successful ( 259/32000 ).",
        gives={"count": 259, "vocab": 32000},
    ),
    rule(
        "vocab.mismatch",
        r"^mismatch in special tokens definition \( *(?P<count>\d+)/(?P<vocab>\d+) vs"
        r" (?P<other>\d+)/(?P<other_vocab>\d+) \)\.$",
        fields={"count": int, "vocab": int, "other": int, "other_vocab": int},
        seen="llama.cpp, Oct 2023-Jun 2024",
        example="llm_load_vocab: mismatch in special tokens definition ( 293/32032 vs 260/32032 ).",
        gives={"count": 293, "vocab": 32032, "other": 260, "other_vocab": 32032},
    ),
    rule(
        "vocab.end_tokens", r"^printing all EOG tokens:$",
        seen="llama.cpp, May 2025 on", example="load: printing all EOG tokens:",
    ),
    rule(
        "vocab.end_tokens", r"^- (?P<id>\d+) \('(?P<text>.*)'\)$",
        fields={"id": int, "text": str},
        function=("load", "llm_load_vocab", "impl"),
        seen="llama.cpp, May 2025 on", example="load:   - 128001 ('<|end_of_text|>')",
        gives={"id": 128001, "text": "<|end_of_text|>"},
    ),
    rule(
        "vocab.unused", r"^(?P<count>\d+) unused tokens$",
        fields={"count": int},
        function=("load", "llm_load_vocab", "impl"),
        seen="llama.cpp, 2026", example="load: 0 unused tokens",
        gives={"count": 0},
    ),
    rule(
        "vocab.end_token_odd", r"^special_eo[smt]_id is not in special_eog_ids - the tokenizer config may be incorrect$",
        seen="llama.cpp, Oct 2024 on",
        example="load: special_eos_id is not in special_eog_ids - the tokenizer config may be incorrect",
    ),
    rule(
        "vocab.control_token", r"^control token: +(?P<id>\d+) '(?P<text>.*)' is not marked as EOG$",
        fields={"id": int, "text": str},
        seen="llama.cpp, Oct 2024 on",
        example="load: control token: 128098 '<|reserved_special_token_90|>' is not marked as EOG",
        gives={"id": 128098, "text": "<|reserved_special_token_90|>"},
    ),
    rule(
        "vocab.control_token",
        r"^control-looking token: +(?P<id>\d+) '(?P<text>.*)' was not control-type; this is probably a bug"
        r" in the model\. its type will be overridden$",
        fields={"id": int, "text": str},
        seen="llama.cpp, Oct 2024 on",
        example=(
            "load: control-looking token: 128247 '</s>' was not control-type; this is probably a bug in the "
            "model. its type will be overridden"
        ),
        gives={"id": 128247, "text": "</s>"},
    ),
    rule(
        "vocab.pretokenizer_missing", r"^missing (?:or unrecognized )?pre-tokenizer type, using: '(?P<type>\S+)'$",
        seen="llama.cpp, Apr 2024 on", example="llm_load_vocab: missing pre-tokenizer type, using: 'default'",
    ),
    rule(
        "vocab.pretokenizer_missing",
        r"^(?:GENERATION QUALITY (?:MAY|WILL) BE DEGRADED!|CONSIDER REGENERATING THE MODEL|\*{20,})$",
        function=("load", "llm_load_vocab", "impl"),
        seen="llama.cpp, Apr 2024 on", example="llm_load_vocab: GENERATION QUALITY WILL BE DEGRADED!",
    ),
    rule(
        "vocab.pretokenizer_missing", r"^$",
        function=("load", "llm_load_vocab", "impl"),
        seen="llama.cpp, Apr 2024 on", example="llm_load_vocab:                                              ",
    ),
    rule(
        "vocab.adding",
        r"^(?:bad special token|setting token|override|model vocab missing newline token|SPM vocabulary,"
        r" but newline token not found|empty token at index|adding|unknown"
        r" (?:pre-)?tokenizer|jina-v2-de|ignoring)\b.*$",
        function=("load", "llm_load_vocab", "impl"),
        seen="llama.cpp, 2023 on",
        example="llm_load_vocab: SPM vocabulary, but newline token not found: basic_string::at! Using special_pad_id instead.",
    ),
    rule(
        "vocab.tokenizer", r"^initializing tokenizer for type (?P<type>\d+)$",
        seen="llama.cpp, debug level, Jan 2025 on", example="init_tokenizer: initializing tokenizer for type 2",
    ),
    rule(
        "model.warning",
        r"^(?P<text>Phi SWA is currently disabled - results might be suboptimal for some models \(see"
        r" .+\)|qwen3moe.*|using the .* tokenizer.*)$",
        fields={"text": str},
        function="load_hparams",
        seen="llama.cpp, 2025 on",
        example=(
            "load_hparams: Phi SWA is currently disabled - results might be suboptimal for some models (see "
            "https://github.com/ggml-org/llama.cpp/pull/13676)"
        ),
        gives={
            "text": "Phi SWA is currently disabled - results might be suboptimal for some models (see https://github.com/ggml-org/llama.cpp/pull/13676)",
        },
    ),
)  # fmt: skip

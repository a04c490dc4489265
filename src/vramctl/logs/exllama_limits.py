"""What TabbyAPI prints about context, cache sizes and its settings."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "model.lora", r"^Lora successfully loaded: ?(?P<name>.*)$",
        fields={"name": str},
        seen="TabbyAPI 2024-2026", example="INFO:     Lora successfully loaded: my-lora",
        gives={"name": "my-lora"},
    ),
    rule(
        "model.busy", r'^(?:\| \w+ +\| )?Model "(?P<name>.+)" is already loaded(?:! Aborting\.)?$',
        fields={"name": str},
        seen="TabbyAPI 2024-2026",
        example='2025-06-15 12:34:56.789 INFO:     Model "Qwen3-32B-exl3" is already loaded',
        gives={"name": "Qwen3-32B-exl3"},
    ),
    rule(
        "model.overrides", r"^(?:\| \w+ +\| )?Applying model overrides from (?P<path>.+)$",
        fields={"path": str},
        seen="TabbyAPI 2025-2026",
        example="2025-06-15 12:34:56.789 INFO:     Applying model overrides from /models/a/tabby_config.yml",
        gives={"path": "/models/a/tabby_config.yml"},
    ),
    rule(
        "context.param",
        r"^(?:\| \w+ +\| )?Using (?:configured|default) (?P<name>cache_size|max_seq_len)(?: from model)?:"
        r" (?P<value>\d+) tokens\.$",
        fields={"name": str, "value": int},
        seen="TabbyAPI 2026", example="2025-06-15 12:34:56.789 INFO:     Using configured cache_size: 32768 tokens.",
        gives={"name": "cache_size", "value": 32768},
    ),
    rule(
        "context.param",
        r"^(?:\| \w+ +\| )?(?P<name>cache_size|max_seq_len) is undefined\. Defaulting to (?P<value>\d+)"
        r" tokens\.(?: You should ideally configure cache_size explicitly\.)?$",
        fields={"name": str, "value": int},
        seen="TabbyAPI 2026",
        example=(
            "2025-06-15 12:34:56.789 WARNING:  cache_size is undefined. Defaulting to 8192 tokens. You "
            "should ideally configure cache_size explicitly."
        ),
        gives={"name": "cache_size", "value": 8192},
    ),
    rule(
        "context.rounded",
        r"^(?:\| \w+ +\| )?The given (?P<name>cache size|chunk size) \((?P<value>\d+)\) is not a multiple"
        r" of (?P<of>\d+)\.$",
        fields={"name": str, "value": int, "of": int},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 WARNING:  The given cache size (32700) is not a multiple of 256.",
        gives={"name": "cache size", "value": 32700, "of": 256},
    ),
    rule(
        "context.rounded",
        r"^(?:\| \w+ +\| )?Overriding (?P<name>cache_size|chunk_size) with an overestimated value of"
        r" (?P<value>\d+) tokens\.$",
        fields={"name": str, "value": int},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 WARNING:  Overriding cache_size with an overestimated value of 32768 tokens.",
        gives={"name": "cache_size", "value": 32768},
    ),
    rule(
        "context.cache_small",
        r"^(?:\| \w+ +\| )?The given cache_size \((?P<value>\d+)\) is (?:smaller than the desired context"
        r" length\.|less than 2 \* max_seq_len and may be too small for requests using CFG\.)$",
        fields={"value": int},
        seen="TabbyAPI 2024-2025",
        example="2025-06-15 12:34:56.789 WARNING:  The given cache_size (4096) is smaller than the desired context length.",
        gives={"value": 4096},
    ),
    rule(
        "context.cache_small", r"^(?:\| \w+ +\| )?Overriding cache_size to max_seq_len\.$",
        seen="TabbyAPI 2024-2025", example="2025-06-15 12:34:56.789 WARNING:  Overriding cache_size to max_seq_len. ",
    ),
    rule(
        "context.cache_small",
        r"^(?:\| \w+ +\| )?The given max_seq_len \((?P<context>\d+)\) is larger than the cache size and"
        r" will be limited to (?P<value>\d+) tokens\.$",
        fields={"context": int, "value": int},
        seen="TabbyAPI 2026",
        example=(
            "2025-06-15 12:34:56.789 WARNING:  The given max_seq_len (131072) is larger than the cache size "
            "and will be limited to 32768 tokens."
        ),
        gives={"context": 131072, "value": 32768},
    ),
    rule(
        "kv.type_unsupported",
        r"^(?:\| \w+ +\| )?Provided (?P<draft>draft )?cache mode '(?P<type>[^']*)' is not a valid choice"
        r" for (?P<backend>\w+), please check your settings\. Defaulting to FP16\.$",
        fields={"draft": str, "type": str, "backend": str},
        seen="TabbyAPI 2025",
        example=(
            "2025-06-15 12:34:56.789 WARNING:  Provided cache mode 'Q7' is not a valid choice for "
            "exllamav2, please check your settings. Defaulting to FP16."
        ),
        gives={"type": "Q7", "backend": "exllamav2"},
    ),
    rule(
        "ctx.exceeded",
        r"^(?:\| \w+ +\| )?(?:Context|Prompt|Negative prompt) length (?P<tokens>\d+) is greater than"
        r" max_seq_len (?P<n_ctx>\d+)(?:\. Generation is truncated and metrics may not be accurate\.)?$",
        fields={"tokens": int, "n_ctx": int},
        seen="TabbyAPI 2024-2025",
        example=(
            "2025-06-15 12:34:56.789 WARNING:  Context length 9375 is greater than max_seq_len 4096. "
            "Generation is truncated and metrics may not be accurate."
        ),
        gives={"tokens": 9375, "n_ctx": 4096},
    ),
    rule(
        "ctx.exceeded",
        r"^(?:\| \w+ +\| )?(?:\w+: )?Prompt length (?P<tokens>\d+) exceeds the available context size of"
        r" (?P<n_ctx>\d+) tokens$",
        fields={"tokens": int, "n_ctx": int},
        seen="TabbyAPI 2026",
        example=(
            "2025-06-15 12:34:56.789 ERROR:    ContextLengthExceededError: Prompt length 9375 exceeds the "
            "available context size of 4096 tokens"
        ),
        gives={"tokens": 9375, "n_ctx": 4096},
    ),
    rule(
        "ctx.exceeded",
        r"^(?:\| \w+ +\| )?(?:\w+: )?Initial job allocation requires (?P<tokens>\d+) cache tokens, which"
        r" exceeds the available context size of (?P<n_ctx>\d+) tokens$",
        fields={"tokens": int, "n_ctx": int},
        seen="TabbyAPI 2026",
        example=(
            "2025-06-15 12:34:56.789 ERROR:    ContextLengthExceededError: Initial job allocation requires "
            "9472 cache tokens, which exceeds the available context size of 4096 tokens"
        ),
        gives={"tokens": 9472, "n_ctx": 4096},
    ),
    rule(
        "ctx.exceeded",
        r"^(?:\| \w+ +\| )?(?:\w+: )?Total required page size for request (?P<tokens>\d+) \+"
        r" (?P<negative>\d+) \+ (?P<new>\d+) \* 2 is greater than cache_size (?P<n_ctx>\d+)$",
        fields={"tokens": int, "negative": int, "new": int, "n_ctx": int},
        seen="TabbyAPI 2025",
        example=(
            "2025-06-15 12:34:56.789 ERROR:    ValueError: Total required page size for request 3000 + 100 "
            "+ 500 * 2 is greater than cache_size 4096"
        ),
        gives={"tokens": 3000, "negative": 100, "new": 500, "n_ctx": 4096},
    ),
    rule(
        "ctx.exceeded",
        r"^(?:\| \w+ +\| )?(?:AssertionError: )?Job requires (?P<pages>\d+) pages \(only (?P<there>\d+)"
        r" available\) and cannot be enqueued\. Total cache allocated is (?P<count>\d+) \* (?P<page>\d+) ="
        r" (?P<n_ctx>\d+) tokens$",
        fields={"pages": int, "there": int, "count": int, "page": int, "n_ctx": int},
        seen="exllamav2 0.1-0.3, exllamav3",
        example=(
            "AssertionError: Job requires 33 pages (only 16 available) and cannot be enqueued. Total cache "
            "allocated is 16 * 256 = 4096 tokens"
        ),
        gives={"pages": 33, "there": 16, "count": 16, "page": 256, "n_ctx": 4096},
    ),
    rule(
        "model.draft_missing",
        r"^(?:\| \w+ +\| )?Draft model is disabled because a model name wasn't provided\. Please check your"
        r" config\.yml!$",
        seen="TabbyAPI 2024-2026",
        example=(
            "2025-06-15 12:34:56.789 WARNING:  Draft model is disabled because a model name wasn't "
            "provided. Please check your config.yml!"
        ),
    ),
    rule(
        "model.inline_skipped",
        r'^Unable to switch model to .+ because "inline_model_loading" is not True in config\.yml\.$',
        seen="TabbyAPI 2024-2026",
        example=(
            "2025-06-15 12:34:56.789 WARNING:  Unable to switch model to Qwen3-32B because "
            '"inline_model_loading" is not True in config.yml.'
        ),
    ),
    rule(
        "model.inline_skipped", r"^Could not find model path .+\. Skipping inline model load\.$",
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 WARNING:  Could not find model path /models/x. Skipping inline model load.",
    ),
)  # fmt: skip

"""What llama.cpp and its tools print first: settings, warm-up, templates, caches."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import flag

RULES: tuple[Rule, ...] = (
    rule(
        "server.log_started", r"^Log (?:start|end)$",
        seen="llama.cpp, 2023 on", example="Log start",
    ),
    rule(
        "server.log_started", r"^llama backend init$",
        seen="llama.cpp, 2023 on", example="main: llama backend init",
    ),
    rule(
        "server.log_started", r"^load the model and apply lora adapter, if any$",
        seen="llama.cpp, 2023 on", example="main: load the model and apply lora adapter, if any",
    ),
    rule(
        "server.log_started", r"^loading model$",
        seen="llama.cpp, 2023 on", example="main: loading model",
    ),
    rule(
        "server.log_started", r"^logging to file is disabled\.$",
        seen="llama.cpp, 2023 on", example="logging to file is disabled.",
    ),
    rule(
        "server.seed", r"^seed += (?P<seed>\d+)$",
        fields={"seed": int},
        seen="llama.cpp, 2023-2024", example="main: seed  = 1729657101",
        gives={"seed": 1729657101},
    ),
    rule(
        "server.threadpool", r"^llama threadpool init, n_threads = (?P<threads>\d+)$",
        fields={"threads": int},
        seen="llama.cpp, Sep 2024 on", example="main: llama threadpool init, n_threads = 32",
        gives={"threads": 32},
    ),
    rule(
        "server.warming",
        r"^warming up the model with an empty run(?: - please wait \.\.\. \(--no-warmup to disable\))?$",
        seen="llama.cpp, 2023 on",
        example="common_init_from_params: warming up the model with an empty run - please wait ... (--no-warmup to disable)",
    ),
    rule(
        "server.token_bias", r"^added (?P<token>.+) logit bias = (?P<value>\S+)$",
        fields={"token": str, "value": float},
        seen="llama.cpp, 2025 on", example="common_init_from_params: added <|im_end|> logit bias = -inf",
        gives={"token": "<|im_end|>", "value": float("-inf")},
    ),
    rule(
        "server.sampler_default", r"^setting dry_penalty_last_n to ctx_size = (?P<context>\d+)$",
        fields={"context": int},
        seen="llama.cpp, 2025", example="common_init_from_params: setting dry_penalty_last_n to ctx_size = 131072",
        gives={"context": 131072},
    ),
    rule(
        "server.shift_off",
        r"^KV cache shifting is not supported for this (?:context|model)(?: \(--no-context-shift to"
        r" disable\))?, disabling KV cache shifting$",
        seen="llama.cpp, Nov 2024 on",
        example="common_init_from_params: KV cache shifting is not supported for this context, disabling KV cache shifting",
    ),
    rule(
        "server.shift_off", r"^ctx_shift is not (?:supported|implemented) .+, it will be disabled$",
        seen="llama.cpp, Nov 2024 on",
        example="srv    load_model: ctx_shift is not supported by multimodal, it will be disabled",
    ),
    rule(
        "server.template", r"^chat template$",
        seen="llama-server, Feb-Sep 2024, and ik_llama.cpp",
        example=(
            'INFO [                    main] chat template | tid="133181503258624" timestamp=1749452713 '
            'chat_example="<|im_start|>system\\nYou are a helpful assistant<|im_end|>\\n" built_in=true'
        ),
    ),
    rule(
        "server.template",
        r"^(?:init: )?chat template, (?P<what>example_format|chat_template|built_in|thinking)(?: = |:"
        r" )(?P<value>.*)$",
        fields={"what": str},
        seen="llama-server, Sep 2024 on", example="srv          init: init: chat template, thinking = 1",
        gives={"what": "thinking"},
    ),
    rule(
        "server.template", r"^(?P<what>preserve_reasoning) kwarg: (?P<value>.+)$",
        fields={"what": str, "value": str},
        seen="llama-server, 2026",
        example="srv          init: preserve_reasoning kwarg: not supported by template",
        gives={"what": "preserve_reasoning", "value": "not supported by template"},
    ),
    rule(
        "server.template_unknown",
        r"^The chat template that comes with this model is not yet supported, falling back to chatml\. This"
        r" may cause the model to output suboptimal responses$",
        seen="llama-server, 2024 on",
        example=(
            "The chat template that comes with this model is not yet supported, falling back to chatml. "
            "This may cause the model to output suboptimal responses"
        ),
    ),
    rule(
        "server.template_unknown", r"^failed to (?:initialize|parse) (?:tool use )?chat template.*$",
        seen="llama-server, 2024 on", example="common_chat_templates_init: failed to initialize chat template",
    ),
    rule(
        "server.template_unknown", r"^(?:please|init: please) consider (?:disabling|enabling) jinja via .+$",
        seen="llama-server, 2024 on",
        example="common_chat_templates_init: please consider disabling jinja via --no-jinja, or using another chat template",
    ),
    rule(
        "server.template_unknown", r"^(?:[\w]+: )?chat template parsing error: .+$",
        seen="llama-server, 2024 on", example="srv          init: init: chat template parsing error: WORD",
    ),
    rule(
        "server.security",
        r"^(?:CORS is set to allow all origins \('\*'\) and no API key is set|this can be a security risk"
        r" \(cross-origin attacks\)|-{10,}|This feature is EXPERIMENTAL .+|.*do not expose (?:server )?to"
        r" untrusted environments)$",
        function=("srv llama_server", "srv main", "srv start"),
        seen="llama-server, 2026",
        example="srv  llama_server: CORS is set to allow all origins ('*') and no API key is set",
    ),
    rule(
        "server.security",
        r"^security: no API key is set and CORS allows all origins(?: \(see (?P<see>\S+)\))?$",
        fields={"see": str},
        seen="llama-server, 2026",
        example=(
            "srv  llama_server: security: no API key is set and CORS allows all origins "
            "(see https://github.com/ggml-org/llama.cpp/pull/25655)"
        ),
        gives={"see": "https://github.com/ggml-org/llama.cpp/pull/25655"},
    ),
    rule(
        "server.more_info", r"^more info: (?P<see>\S+)$",
        fields={"see": str},
        seen="llama-server, 2025 on",
        example="srv  llama_server: more info: https://github.com/ggml-org/llama.cpp/pull/25655",
        gives={"see": "https://github.com/ggml-org/llama.cpp/pull/25655"},
    ),
    rule(
        "server.more_info", r"^for more info see (?P<see>\S+)$",
        fields={"see": str},
        seen="llama-server, 2025 on",
        example="srv    load_model: for more info see https://github.com/ggml-org/llama.cpp/pull/16391",
        gives={"see": "https://github.com/ggml-org/llama.cpp/pull/16391"},
    ),
    rule(
        "server.cache", r"^prompt cache is enabled, size limit: (?P<size>\d+ MiB|no limit)$",
        fields={"size": str},
        seen="llama-server, Oct 2025 on", example="srv    load_model: prompt cache is enabled, size limit: 8192 MiB",
        gives={"size": "8192 MiB"},
    ),
    rule(
        "server.cache", r"^use `--cache-ram (?:0` to disable|N` to enable) (?:the prompt cache|it)$",
        seen="llama-server, Oct 2025 on",
        example="srv    load_model: use `--cache-ram 0` to disable the prompt cache",
    ),
    rule(
        "server.cache", r"^prompt cache is disabled - use `--cache-ram N` to enable it$",
        seen="llama-server, Oct 2025 on",
        example="srv    load_model: prompt cache is disabled - use `--cache-ram N` to enable it",
    ),
    rule(
        "server.cache", r"^prompt cache is disabled because .+$",
        seen="llama-server, Oct 2025 on",
        example="prompt cache is disabled because this model has private state outside the generic KV cache",
    ),
    rule(
        "server.cache", r"^idle slots will be saved to prompt cache upon starting a new task$",
        seen="llama-server, Oct 2025 on",
        example="srv          init: idle slots will be saved to prompt cache upon starting a new task",
    ),
    rule(
        "server.checkpoints", r"^context checkpoints enabled, max = (?P<count>\d+), min spacing = (?P<spacing>\d+)$",
        fields={"count": int, "spacing": int},
        seen="llama-server, 2026",
        example="srv    load_model: context checkpoints enabled, max = 32, min spacing = 8192",
        gives={"count": 32, "spacing": 8192},
    ),
    rule(
        "server.reuse_off", r"^cache_?[rR]euse is not supported (?:by .+|by this context), it will be disabled$",
        seen="llama-server, 2025 on",
        example="srv    load_model: cache_reuse is not supported by multimodal, it will be disabled",
    ),
    rule(
        "server.chat_format", r"^chat format: (?P<value>.+)$",
        fields={"value": str},
        seen="llama-server, 2025 on", example="srv    operator(): chat format: peg-native",
        gives={"value": "peg-native"},
    ),
    rule(
        "server.chat_format", r"^Chat format: (?P<value>.+)$",
        fields={"value": str},
        seen="llama-server, 2025", example="srv  params_from_: Chat format: Content-only",
        gives={"value": "Content-only"},
    ),
    rule(
        "server.conversation", r"^conv_id=(?P<id>\S*) \(empty=(?P<empty>[01])\)$",
        fields={"id": str, "empty": flag},
        function="srv server_strea",
        seen="llama-server, 2026", example="srv  server_strea: conv_id= (empty=1)",
        gives={"id": "", "empty": True},
    ),
    rule(
        "server.speculative", r"^no implementations specified for speculative decoding$",
        seen="llama.cpp, 2025 on", example="no implementations specified for speculative decoding",
    ),
    rule(
        "server.speculative", r"^adding speculative implementation '.+'$",
        seen="llama.cpp, 2025 on", example="adding speculative implementation 'draft-simple'",
    ),
    rule(
        "server.speculative", r"^loading draft model '.+'$",
        seen="llama.cpp, 2025 on", example="common_speculative_init_result: loading draft model '/models/a.gguf'",
    ),
    rule(
        "server.speculative",
        r"^speculative decoding (?:context initialized|is not supported.*|not supported.*|will use .*)$",
        seen="llama.cpp, 2025 on", example="srv    load_model: speculative decoding not supported by this context",
    ),
    rule(
        "server.speculative",
        r"^spec +\w+: (?P<what>no implementations specified for speculative decoding|adding speculative"
        r" implementation '.+'|loading draft model '.+'|speculative decoding (?:context initialized|is not"
        r" supported.*|not supported.*|will use .*))$",
        fields={"what": str},
        seen="llama.cpp, 2025 on", example="spec common_specu: no implementations specified for speculative decoding",
        gives={"what": "no implementations specified for speculative decoding"},
    ),
)  # fmt: skip

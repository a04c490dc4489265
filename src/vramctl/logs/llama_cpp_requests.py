"""What llama-server prints about requests, context limits and its caches."""

from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import mib, milliseconds

RULES: tuple[Rule, ...] = (
    rule(
        "ctx.shift",
        r"^slot context shift, n_keep = (?P<keep>\d+), n_left = (?P<left>\d+), n_discard = (?P<discard>\d+)$",
        fields={"keep": int, "left": int, "discard": int, "slot": int, "task": int},
        seen="llama-server, Sep 2024 on",
        example="slot update_slots: id  0 | task 0 | slot context shift, n_keep = 1, n_left = 4094, n_discard = 2047",
        gives={"keep": 1, "left": 4094, "discard": 2047, "slot": 0, "task": 0},
    ),
    rule(
        "ctx.shift", r"^slot context shift$",
        fields={
            "keep": at("n_keep", int), "left": at("n_left", int), "discard": at("n_discard", int), "n_ctx": int,
            "past": at("n_past", int), "slot": at("id_slot", int), "task": at("id_task", int),
        },
        needs=("id_slot",),
        seen="llama-server, Mar-Sep 2024, and ik_llama.cpp",
        example=(
            'INFO [            update_slots] slot context shift | tid="133181503258624" '
            "timestamp=1749452800 id_slot=0 id_task=7 n_keep=0 n_left=4095 n_discard=2047 n_ctx=4096 "
            "n_past=4095 n_system_tokens=0 n_cache_tokens=4095"
        ),
        gives={"keep": 0, "left": 4095, "discard": 2047, "n_ctx": 4096, "past": 4095, "slot": 0, "task": 7},
    ),
    rule(
        "ctx.shift",
        r"^context shift - n_keep = (?P<keep>\d+), n_left = (?P<left>\d+), n_discard = (?P<discard>\d+)$",
        fields={"keep": int, "left": int, "discard": int},
        seen="llama-server, Oct 2023-Mar 2024",
        example="slot 0: context shift - n_keep = 0, n_left = 2046, n_discard = 1023",
        gives={"keep": 0, "left": 2046, "discard": 1023},
    ),
    rule(
        "ctx.shift",
        r"^context full, swapping: n_past = (?P<past>\d+), n_left = (?P<left>\d+), n_ctx = (?P<n_ctx>\d+),"
        r" n_keep = (?P<keep>\d+), n_discard = (?P<discard>\d+)$",
        fields={"past": int, "left": int, "n_ctx": int, "keep": int, "discard": int},
        seen="llama-cli, 2023 on (debug level)",
        example="context full, swapping: n_past = 512, n_left = 511, n_ctx = 512, n_keep = 0, n_discard = 255",
        gives={"past": 512, "left": 511, "n_ctx": 512, "keep": 0, "discard": 255},
    ),
    rule(
        "ctx.truncated",
        r"^input truncated, n_ctx = (?P<limit>\d+), n_keep = (?P<keep>\d+), n_left = (?P<left>\d+),"
        r" n_prompt_tokens = (?P<new>\d+)$",
        fields={"limit": int, "keep": int, "left": int, "new": int, "slot": int, "task": int},
        seen="llama-server, Sep 2024-Oct 2025",
        example=(
            "slot update_slots: id  0 | task 0 | input truncated, n_ctx = 4096, n_keep = 5, n_left = 4091, "
            "n_prompt_tokens = 2051"
        ),
        gives={"limit": 4096, "keep": 5, "left": 4091, "new": 2051, "slot": 0, "task": 0},
    ),
    rule(
        "ctx.truncated", r"^input truncated$",
        fields={
            "limit": at("n_ctx", int), "keep": at("n_keep", int), "left": at("n_left", int),
            "new": at("n_prompt_tokens", int),
        },
        seen="llama-server, Dec 2023-Sep 2024, and ik_llama.cpp",
        example=(
            'VERB [            update_slots] input truncated | tid="139" timestamp=1716000000 id_slot=0 '
            "id_task=0 n_ctx=2048 n_keep=5 n_left=2043 n_prompt_tokens=1027"
        ),
        gives={"limit": 2048, "keep": 5, "left": 2043, "new": 1027},
    ),
    rule(
        "ctx.exceeded",
        r"^request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<n_ctx>\d+) tokens\),"
        r" try increasing it$",
        fields={"tokens": int, "n_ctx": int, "slot": int, "task": int},
        seen="llama-server, 2025 on",
        example="srv    send_error: request (9375 tokens) exceeds the available context size (4096 tokens), try increasing it",
        gives={"tokens": 9375, "n_ctx": 4096},
    ),
    rule(
        "ctx.exceeded", r"^prompt is too long.*$",
        fields={"slot": int, "task": int},
        seen="llama-server, 2025 on", example="llama_completion: prompt is too long (12 tokens, max 12)",
    ),
    rule(
        "ctx.exceeded", r"^task id = (?P<id>\d+), error: (?P<error>.+)$",
        fields={"id": int, "error": str},
        seen="llama-server, Sep 2024 on",
        example=(
            "srv    send_error: task id = 12, error: request (9375 tokens) exceeds the available context "
            "size (4096 tokens), try increasing it"
        ),
        gives={
            "id": 12,
            "error": "request (9375 tokens) exceeds the available context size (4096 tokens), try increasing it",
        },
    ),
    rule(
        "ctx.limit",
        r"^n_predict is not set and self-context extend is disabled\. Limiting generated tokens to"
        r" n_ctx_train to avoid EOS-less generation infinite loop$",
        seen="llama-server, 2024, and ik_llama.cpp",
        example=(
            "WARN [           process_token] n_predict is not set and self-context extend is disabled. "
            "Limiting generated tokens to n_ctx_train to avoid EOS-less generation infinite loop | "
            'tid="139" timestamp=1716000000 id_slot=0'
        ),
    ),
    rule(
        "ctx.stopped",
        r"^stopped (?:by limit, n_(?:gen|decoded) = (?P<tokens>\d+), n_predict = (?P<limit>-?\d+)|due to"
        r" running out of context(?: capacity)?, .+|by (?:time|indentation) limit.*|by EOS)$",
        fields={"tokens": int, "limit": int, "slot": int, "task": int},
        seen="llama-server, debug level",
        example="slot process_toke: id  0 | task 0 | stopped by limit, n_decoded = 128, n_predict = 128",
        gives={"tokens": 128, "limit": 128, "slot": 0, "task": 0},
    ),
    rule(
        "kv.retry",
        r"^failed to find free space in the KV cache, retrying with smaller (?:batch size, (?:i|off) ="
        r" (?P<offset>\d+), n_batch = (?P<batch>\d+), ret = (?P<status>-?\d+)|n_batch ="
        r" (?P<smaller>\d+)|batch size - try increasing it .+)$",
        fields={"offset": int, "batch": int, "status": int, "smaller": int},
        seen="llama-server, 2023 on",
        example=(
            "srv  update_slots: failed to find free space in the KV cache, retrying with smaller batch "
            "size, i = 0, n_batch = 256, ret = 1"
        ),
        gives={"offset": 0, "batch": 256, "status": 1},
    ),
    rule(
        "kv.full",
        r"^failed to decode the batch(?:: KV cache is full - try increasing it via the context"
        r" size(?:,.+)?|, n_batch = (?P<batch>\d+), ret = (?P<status>-?\d+))$",
        fields={"batch": int, "status": int},
        seen="llama-server, 2023 on",
        example=(
            "srv  update_slots: failed to decode the batch: KV cache is full - try increasing it via the "
            "context size, i = 0, n_batch = 1, ret = 1"
        ),
    ),
    rule(
        "kv.full",
        r"^(?P<error>Context size has been exceeded\.|Compute error\.|Invalid input batch\.) off ="
        r" (?P<offset>\d+), n_batch = (?P<batch>\d+), ret = (?P<status>-?\d+)$",
        fields={"error": str, "offset": int, "batch": int, "status": int},
        seen="llama-server, Oct 2025 on",
        example="srv  update_slots: Context size has been exceeded. off = 0, n_batch = 1, ret = 1",
        gives={"error": "Context size has been exceeded.", "offset": 0, "batch": 1, "status": 1},
    ),
    rule(
        "kv.purged", r"^purging slot (?P<slot>\d+) with (?P<tokens>\d+) tokens$",
        fields={"slot": int, "tokens": int},
        seen="llama-server, Nov 2025 on", example="srv  try_purge_id: purging slot 2 with 8121 tokens",
        gives={"slot": 2, "tokens": 8121},
    ),
    rule(
        "cache.state",
        r"^- cache state: (?P<prompts>\d+) prompts, (?P<size>\d+\.\d+) MiB \(limits: (?P<limit>\d+\.\d+)"
        r" MiB, (?P<tokens>\d+) tokens, (?P<estimate>\d+) est\)$",
        fields={"prompts": int, "size": mib, "limit": mib, "tokens": int, "estimate": int},
        seen="llama-server, Oct 2025 on",
        example="srv        update:  - cache state: 0 prompts, 0.000 MiB (limits: 8192.000 MiB, 8192 tokens, 8589934592 est)",
        gives={"prompts": 0, "size": mib("0.000"), "limit": mib("8192.000"), "tokens": 8192, "estimate": 8589934592},
    ),
    rule(
        "cache.prompt",
        r"^- prompt (?:0x[0-9a-f]+|[0-9A-F]+): +(?P<tokens>\d+) tokens, checkpoints: +(?P<checkpoints>\d+),"
        r" +(?P<size>\d+\.\d+) MiB$",
        fields={"tokens": int, "checkpoints": int, "size": mib},
        seen="llama-server, Oct 2025 on",
        example="srv        update:    - prompt 0x55d0c0ffee:    8121 tokens, checkpoints:  2,   812.100 MiB",
        gives={"tokens": 8121, "checkpoints": 2, "size": mib("812.100")},
    ),
    rule(
        "cache.saved",
        r"^- saving prompt with length (?P<tokens>\d+), total state size = (?P<size>\d+\.\d+) MiB(?:"
        r" \(draft: (?P<draft>\d+\.\d+) MiB\))?$",
        fields={"tokens": int, "size": mib, "draft": mib},
        seen="llama-server, Oct 2025 on",
        example="srv   prompt_save:  - saving prompt with length 8121, total state size = 812.100 MiB",
        gives={"tokens": 8121, "size": mib("812.100")},
    ),
    rule(
        "cache.evicted",
        r"^- (?:cache (?:size|token) limit (?:\(.+\) )?(?:reached|reduced).+|making room for prompt cache"
        r" entry.+|prompt state size .+ exceeds cache size limit .+)$",
        seen="llama-server, Oct 2025 on",
        example="srv        update:  - cache size limit reached, removing oldest entry (size = 812.100 MiB)",
    ),
    rule(
        "cache.searched",
        r"^- (?:looking for better prompt, .+|found better prompt with .+|prompt with length .+|prompt is"
        r" already in the cache, skipping|removing obsolete cached prompt with length .+)$",
        seen="llama-server, Oct 2025 on",
        example="srv          load:  - looking for better prompt, base f_keep = -1.000, f_sim = 0.000",
    ),
    rule(
        "cache.updated", r"^prompt cache (?:update|load|save) took (?P<seconds>\d+\.\d+) ms$",
        fields={"seconds": milliseconds},
        seen="llama-server, Oct 2025 on", example="srv  get_availabl: prompt cache update took 0.03 ms",
        gives={"seconds": 2.9999999999999997e-05},
    ),
    rule(
        "cache.updating", r"^updating prompt cache$",
        seen="llama-server, Oct 2025 on", example="srv  get_availabl: updating prompt cache",
    ),
    rule(
        "cache.updating", r"^saving idle slot to prompt cache$",
        seen="llama-server, Oct 2025 on",
        example="slot process_sing: id  0 | task -1 | saving idle slot to prompt cache",
    ),
    rule(
        "cache.updating", r"^clearing (?:slot|prompt with \d+ tokens|KV cache).*$",
        seen="llama-server, Oct 2025 on",
        example="slot prompt_clear: id  3 | task 7 | clearing prompt with 12 tokens",
    ),
    rule(
        "cache.failed",
        r"^failed to (?:allocate memory for prompt cache state: .+|restore state with size \d+|load prompt"
        r" from cache)$",
        seen="llama-server, Oct 2025 on", example="srv          load: failed to restore state with size 851968000",
    ),
    rule(
        "request.cancelled", r"^cancel task, id_task = (?P<task>\d+)$",
        fields={"task": int},
        seen="llama-server, Sep 2024 on", example="srv          stop: cancel task, id_task = 12",
        gives={"task": 12},
    ),
    rule(
        "request.cancelled", r"^stopping wait for next result due to should_stop condition.*$",
        fields={"task": int},
        seen="llama-server, Sep 2024 on",
        example="srv          next: stopping wait for next result due to should_stop condition",
    ),
    rule(
        "request.deferred",
        r"^(?:no slot is available|requested slot is unavailable|not enough free slots for child"
        r" tasks.+|decoding), (?:defer|decline) task, id_task = (?P<task>\d+)$",
        fields={"task": int},
        seen="llama-server, Dec 2023 on (debug level)",
        example="srv  process_sing: no slot is available, defer task, id_task = 12",
        gives={"task": 12},
    ),
    rule(
        "request.deferred", r"^no slot is available$",
        fields={"task": int},
        seen="llama-server, Dec 2023 on (debug level)", example="no slot is available",
    ),
    rule(
        "request.failed", r"^got (?:another )?exception: (?P<error>.+)$",
        fields={"error": str},
        seen="llama-server, 2024 on",
        example='srv    operator(): got exception: {"code":500,"message":"failed to parse messages","type":"server_error"}',
        gives={"error": '{"code":500,"message":"failed to parse messages","type":"server_error"}'},
    ),
    rule(
        "request.failed", r"^received error result, stopping further processing$",
        seen="llama-server, 2024 on", example="srv          next: received error result, stopping further processing",
    ),
    rule(
        "request.failed", r"^task error$",
        seen="llama-server, 2024 on", example="task error",
    ),
    rule(
        "request.failed", r"^error while launching slot$",
        seen="llama-server, 2024 on", example="error while launching slot",
    ),
)  # fmt: skip

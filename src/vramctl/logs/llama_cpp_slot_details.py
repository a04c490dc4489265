"""What llama-server prints about a slot at work: caches reused, checkpoints, samplers."""

from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import milliseconds

RULES: tuple[Rule, ...] = (
    rule(
        "slot.cache_reused", r"^kv cache rm \[(?P<kept>\d+), end\)$",
        fields={"kept": int, "slot": int, "task": int},
        seen="llama-server, Sep 2024-Oct 2025", example="slot update_slots: id  0 | task 0 | kv cache rm [512, end)",
        gives={"kept": 512, "slot": 0, "task": 0},
    ),
    rule(
        "slot.cache_reused", r"^kv cache rm \[p0, end\)$",
        fields={"kept": at("p0", int), "slot": at("id_slot", int), "task": at("id_task", int)},
        needs=("id_slot",),
        seen="llama-server, Mar-Sep 2024, and ik_llama.cpp",
        example=(
            'INFO [            update_slots] kv cache rm [p0, end) | tid="133181503258624" '
            "timestamp=1749452800 id_slot=0 id_task=7 p0=4096"
        ),
        gives={"kept": 4096, "slot": 0, "task": 7},
    ),
    rule(
        "slot.cache_reused", r"^kv cache rm \[p0, end\)$",
        fields={"kept": at("p0", int), "slot": at("slot_id", int), "task": at("task_id", int)},
        needs=("slot_id",),
        seen="llama-server, Dec 2023-Mar 2024",
        example=(
            '{"function":"update_slots","level":"INFO","line":823,"msg":"kv cache rm [p0, '
            'end)","p0":240,"slot_id":0,"task_id":70,"tid":"140591962781248","timestamp":1710269763}'
        ),
        gives={"kept": 240, "slot": 0, "task": 70},
    ),
    rule(
        "slot.cache_reused", r"^kv cache rm - \[(?P<kept>\d+), end\)$",
        fields={"kept": int},
        seen="llama-server, Oct 2023-Jan 2024", example="slot 0 : kv cache rm - [0, end)",
        gives={"kept": 0},
    ),
    rule(
        "slot.cache_reused",
        r"^(?:cached )?n_(?:past|tokens) = (?P<tokens>\d+), memory_seq_rm \[(?P<kept>\d+), end\)$",
        fields={"tokens": int, "kept": int, "slot": int, "task": int},
        seen="llama-server, Oct 2025 on",
        example="slot   operator(): id  1 | task 0 | cached n_tokens = 0, memory_seq_rm [0, end)",
        gives={"tokens": 0, "kept": 0, "slot": 1, "task": 0},
    ),
    rule(
        "slot.sampler", r"^sampler (?P<what>chain|params|seed): ?(?P<value>.*)$",
        fields={"what": str, "value": str, "slot": int, "task": int},
        seen="llama.cpp, Sep 2024 on",
        example="slot launch_slot_: id  1 | task -1 | sampler chain: logits -> ?penalties -> ?dry -> top-k -> dist ",
        gives={"what": "chain", "value": "logits -> ?penalties -> ?dry -> top-k -> dist", "slot": 1, "task": -1},
    ),
    rule(
        "slot.sampler",
        r"^init sampler, took (?P<seconds>\d+\.\d+) ms, tokens: text = (?P<text>\d+), total = (?P<total>\d+)$",
        fields={"seconds": milliseconds, "text": int, "total": int, "slot": int, "task": int},
        seen="llama-server, 2026",
        example="slot init_sampler: id  1 | task 0 | init sampler, took 0.15 ms, tokens: text = 871, total = 871",
        gives={"seconds": 0.00015, "text": 871, "total": 871, "slot": 1, "task": 0},
    ),
    rule(
        "slot.sampler", r"^(?P<name>repeat_last_n|dry_multiplier|top_k|mirostat|xtc_probability) = .+$",
        fields={"name": str},
        seen="llama.cpp, 2024 on",
        example=(
            "\ttop_k = 20, top_p = 0.950, min_p = 0.000, xtc_probability = 0.000, xtc_threshold = 0.100, "
            "typical_p = 1.000, temp = 0.600"
        ),
        gives={"name": "top_k"},
    ),
    rule(
        "slot.sampler", r"^sampling order:$",
        seen="llama.cpp 2024, and ik_llama.cpp", example="sampling order:",
    ),
    rule(
        "slot.sampler", r"^(?:CFG|logits|penalties|top-k|top_k) -> .+$",
        seen="llama.cpp 2024, and ik_llama.cpp",
        example="CFG -> Penalties -> dry -> top_k -> tfs_z -> typical_p -> top_p -> min_p -> xtc -> top_n_sigma -> temperature ",
    ),
    rule(
        "slot.draft",
        r"^draft acceptance(?: rate)? = (?P<rate>\d+\.\d+) \( *(?P<accepted>\d+) accepted /"
        r" +(?P<generated>\d+) generated\)(?:, mean len = +(?P<length>\d+\.\d+))?$",
        fields={"rate": float, "accepted": int, "generated": int, "length": float, "slot": int, "task": int},
        seen="llama-server, 2025 on",
        example="slot print_timing: id  0 | task 0 | draft acceptance rate = 0.57576 (  171 accepted /   297 generated)",
        gives={"rate": 0.57576, "accepted": 171, "generated": 297, "slot": 0, "task": 0},
    ),
    rule(
        "slot.draft",
        r"^accepted +(?P<accepted>\d+)/ *(?P<generated>\d+) draft tokens(?:, new n_(?:past|tokens) ="
        r" (?P<tokens>\d+)| \(restore checkpoint\))?$",
        fields={"accepted": int, "generated": int, "tokens": int, "slot": int, "task": int},
        seen="llama-server, 2025 on",
        example="slot update_slots: id  0 | task 0 | accepted 3/8 draft tokens, new n_tokens = 120",
        gives={"accepted": 3, "generated": 8, "tokens": 120, "slot": 0, "task": 0},
    ),
    rule(
        "slot.checkpoint", r"^created (?:context|SWA) checkpoint.*$",
        fields={"slot": int, "task": int},
        seen="llama-server, Aug 2025 on",
        example=(
            "slot update_slots: id  0 | task 0 | created context checkpoint 1 of 8 (pos_min = 0, pos_max = "
            "870, size = 40.012 MiB)"
        ),
        gives={"slot": 0, "task": 0},
    ),
    rule(
        "slot.checkpoint", r"^restored (?:context|SWA) checkpoint.*$",
        fields={"slot": int, "task": int},
        seen="llama-server, Aug 2025 on",
        example=(
            "slot      iterate: id  3 | task 7 | restored context checkpoint (pos_min = 12, pos_max = 12, "
            "n_tokens = 12, n_past = 12, size = 12.346 MiB)"
        ),
        gives={"slot": 3, "task": 7},
    ),
    rule(
        "slot.checkpoint", r"^erasing old (?:context|SWA) checkpoint.*$",
        fields={"slot": int, "task": int},
        seen="llama-server, Aug 2025 on",
        example=(
            "slot create_check: id  3 | task 7 | erasing old context checkpoint (pos_min = 12, pos_max = "
            "12, n_tokens = 12, size = 12.346 MiB)"
        ),
        gives={"slot": 3, "task": 7},
    ),
    rule(
        "slot.checkpoint", r"^erased invalidated (?:context|SWA) checkpoint.*$",
        fields={"slot": int, "task": int},
        seen="llama-server, Aug 2025 on",
        example=(
            "slot      iterate: id  3 | task 7 | erased invalidated context checkpoint (pos_min = 12, "
            "pos_max = 12, n_tokens = 12, n_swa = 12, pos_next = 12, size = 12.346 MiB)"
        ),
        gives={"slot": 3, "task": 7},
    ),
    rule(
        "slot.checkpoint", r"^failed to restore (?:context|SWA) checkpoint.*$",
        fields={"slot": int, "task": int},
        seen="llama-server, Aug 2025 on",
        example=(
            "slot apply_checkp: id  3 | task 7 | failed to restore context checkpoint (pos_min = 12, "
            "pos_max = 12, n_tokens = 12, size = 12.346 MiB)"
        ),
        gives={"slot": 3, "task": 7},
    ),
    rule(
        "slot.checkpoint", r"^superseding (?:context|SWA) checkpoint.*$",
        fields={"slot": int, "task": int},
        seen="llama-server, Aug 2025 on",
        example="slot create_check: id  3 | task 7 | superseding context checkpoint at n_tokens = 12",
        gives={"slot": 3, "task": 7},
    ),
    rule(
        "slot.checkpoint", r"^erasing (?:context|SWA) checkpoint.*$",
        fields={"slot": int, "task": int},
        seen="llama-server, Aug 2025 on",
        example=(
            "slot create_check: id  3 | task 7 | erasing context checkpoint too close to an earlier one "
            "(pos_min = 12, pos_max = 12, n_tokens = 12, size = 12.346 MiB)"
        ),
        gives={"slot": 3, "task": 7},
    ),
    rule(
        "slot.reprocessed", r"^forcing full prompt re-processing due to lack of cache data \(likely due to SWA.*\)$",
        fields={"slot": int, "task": int},
        seen="llama-server, Aug 2025 on",
        example=(
            "slot update_slots: id  0 | task 0 | forcing full prompt re-processing due to lack of cache "
            "data (likely due to SWA, see "
            "https://github.com/ggml-org/llama.cpp/pull/13194#issuecomment-2868343055)"
        ),
        gives={"slot": 0, "task": 0},
    ),
    rule(
        "slot.last_token",
        r"^(?:we have|need) to evaluate at least 1 token (?:to generate logits|for each active slot).*$",
        seen="llama-server, 2023 on",
        example=(
            "slot update_slots: id  0 | task 0 | need to evaluate at least 1 token for each active slot "
            "(n_past = 871, task.n_tokens() = 871)"
        ),
    ),
    rule(
        "slot.last_token", r"^n_past was set to (?P<past>\d+)$",
        fields={"past": int, "slot": int, "task": int},
        seen="llama-server, 2025 on", example="slot update_slots: id  0 | task 0 | n_past was set to 870",
        gives={"past": 870, "slot": 0, "task": 0},
    ),
    rule(
        "slot.past",
        r"^n_past = (?P<past>\d+), (?:cache_tokens|slot\.(?:cache_tokens|prompt\.tokens))\.size\(\) ="
        r" (?P<cached>\d+), seq_id = (?P<sequence>\d+), pos_min = (?P<first>-?\d+)(?:, n_swa ="
        r" (?P<window>\d+))?$",
        fields={"past": int, "cached": int, "sequence": int, "first": int, "window": int, "slot": int, "task": int},
        seen="llama-server, May 2025 on",
        example=(
            "slot update_slots: id  0 | task 0 | n_past = 12, slot.prompt.tokens.size() = 871, seq_id = 0, "
            "pos_min = 359, n_swa = 512"
        ),
        gives={"past": 12, "cached": 871, "sequence": 0, "first": 359, "window": 512, "slot": 0, "task": 0},
    ),
    rule(
        "slot.chunk_reused", r"^reusing chunk with size .+$",
        fields={"slot": int, "task": int},
        seen="llama-server, Oct 2024 on",
        example="slot update_slots: id  0 | task 0 | reusing chunk with size 256, shifting KV cache [512, 768) -> [256, 512)",
        gives={"slot": 0, "task": 0},
    ),
    rule(
        "slot.chunk_reused", r"^trying to reuse chunks with size .+$",
        fields={"slot": int, "task": int},
        seen="llama-server, Oct 2024 on",
        example="slot      iterate: id  3 | task 7 | trying to reuse chunks with size > 12, n_past = 12",
        gives={"slot": 3, "task": 7},
    ),
    rule(
        "slot.chunk_reused", r"^after context reuse, new n_past = \d+$",
        fields={"slot": int, "task": int},
        seen="llama-server, Oct 2024 on",
        example="slot      iterate: id  3 | task 7 | after context reuse, new n_past = 12",
        gives={"slot": 3, "task": 7},
    ),
    rule(
        "slot.empty_prompt", r"^empty prompt - releasing slot$",
        seen="llama-server, 2024 on", example="slot update_slots: id  0 | task 0 | empty prompt - releasing slot",
    ),
)  # fmt: skip

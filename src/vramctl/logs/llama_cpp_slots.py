"""What llama-server prints about slots: tasks, their prompts and their ends."""

from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import flag

RULES: tuple[Rule, ...] = (
    rule(
        "slot.processing", r"^processing task(?:, is_child = (?P<child>[01]))?$",
        fields={"child": flag, "slot": int, "task": int},
        seen="llama-server, Sep 2024 on", example="slot launch_slot_: id  3 | task 0 | processing task, is_child = 0",
        gives={"child": False, "slot": 3, "task": 0},
    ),
    rule(
        "slot.processing", r"^slot is processing task$",
        fields={"slot": at("id_slot", int), "task": at("id_task", int)},
        needs=("id_slot",),
        seen="llama-server, Mar-Sep 2024, and ik_llama.cpp",
        example=(
            'INFO [   launch_slot_with_task] slot is processing task | tid="133181503258624" '
            "timestamp=1749452800 id_slot=0 id_task=7"
        ),
        gives={"slot": 0, "task": 7},
    ),
    rule(
        "slot.processing", r"^slot is processing task$",
        fields={"slot": at("slot_id", int), "task": at("task_id", int)},
        needs=("slot_id",),
        seen="llama-server, Dec 2023-Mar 2024",
        example=(
            '{"function":"launch_slot_with_data","level":"INFO","line":823,"msg":"slot is processing '
            'task","slot_id":0,"task_id":70,"tid":"140591962781248","timestamp":1710269763}'
        ),
        gives={"slot": 0, "task": 70},
    ),
    rule(
        "slot.selected", r"^selected slot by LRU, t_last = (?P<last>-?\d+)$",
        fields={"last": int, "slot": int, "task": int},
        seen="llama-server, Sep 2024 on",
        example="slot get_availabl: id  1 | task -1 | selected slot by LRU, t_last = -1",
        gives={"last": -1, "slot": 1, "task": -1},
    ),
    rule(
        "slot.selected",
        r"^selected slot by (?:lcs|LCP|lcp) similarity, (?:lcs_len|lcp_len|max_lcp_len) = (?P<tokens>\d+),"
        r" similarity = (?P<similarity>\d+\.\d+)(?: \(> (?P<threshold>\d+\.\d+) thold\))?$",
        fields={"tokens": int, "similarity": float, "threshold": float, "slot": int, "task": int},
        seen="llama-server, Sep 2024-Oct 2025",
        example=(
            "slot get_availabl: id  0 | task 12 | selected slot by lcs similarity, lcs_len = 512, "
            "similarity = 0.812 (> 0.100 thold)"
        ),
        gives={"tokens": 512, "similarity": 0.812, "threshold": 0.1, "slot": 0, "task": 12},
    ),
    rule(
        "slot.selected",
        r"^selected slot by LCP similarity, (?:f_sim_best|sim_best) = (?P<similarity>\d+\.\d+) \(>"
        r" (?P<threshold>\d+\.\d+) thold\), f_keep = (?P<kept>-?\d+\.\d+)$",
        fields={"similarity": float, "threshold": float, "kept": float, "slot": int, "task": int},
        seen="llama-server, Oct 2025 on",
        example=(
            "slot get_availabl: id  0 | task -1 | selected slot by LCP similarity, sim_best = 0.812 (> "
            "0.100 thold), f_keep = 0.950"
        ),
        gives={"similarity": 0.812, "threshold": 0.1, "kept": 0.95, "slot": 0, "task": -1},
    ),
    rule(
        "slot.selected", r"^selected slot by id(?: \((?P<id>\d+)\))?$",
        fields={"id": int, "slot": int, "task": int},
        seen="llama-server, 2025 on", example="slot get_availabl: id  0 | task -1 | selected slot by id (0)",
        gives={"id": 0, "slot": 0, "task": -1},
    ),
    rule(
        "slot.skipped", r"^- (?:skipping, (?P<why>slot is empty|is_processing = \d+)|checking sim = .+|copying .+)$",
        fields={"why": str, "slot": int, "task": int},
        seen="llama-server, 2026", example="slot get_availabl: id  0 | task -1 |  - skipping, slot is empty",
        gives={"why": "slot is empty", "slot": 0, "task": -1},
    ),
    rule(
        "slot.prompt",
        r"^new prompt, n_ctx_slot = (?P<context>\d+), n_keep = (?P<keep>-?\d+),"
        r" (?:n_prompt_tokens|task\.n_tokens) = (?P<tokens>\d+)$",
        fields={"context": int, "keep": int, "tokens": int, "slot": int, "task": int},
        seen="llama-server, Sep 2024 on",
        example="slot update_slots: id  1 | task 0 | new prompt, n_ctx_slot = 4096, n_keep = 4, task.n_tokens = 871",
        gives={"context": 4096, "keep": 4, "tokens": 871, "slot": 1, "task": 0},
    ),
    rule(
        "slot.prompt", r"^slot progression$",
        fields={
            "past": at("n_past", int), "tokens": at("n_prompt_tokens_processed", int), "slot": at("slot_id", int),
            "task": at("task_id", int),
        },
        seen="llama-server, Dec 2023-Mar 2024",
        example=(
            '{"function":"update_slots","level":"INFO","line":823,"msg":"slot '
            'progression","n_past":240,"n_prompt_tokens_processed":674,"slot_id":0,"task_id":70,"tid":"14059'
            '1962781248","timestamp":1710269763}'
        ),
        gives={"past": 240, "tokens": 674, "slot": 0, "task": 70},
    ),
    rule(
        "slot.progress",
        r"^prompt processing(?: progress)?, (?:n_past = (?P<past>\d+), )?n_tokens = +(?P<tokens>\d+),(?:"
        r" batch\.n_tokens = (?P<batch>\d+),)? progress = (?P<share>\d+\.\d+)(?:, t ="
        r" +(?P<seconds>\d+\.\d+) s / (?P<per_second>\d+\.\d+) tokens per second)?$",
        fields={
            "past": int, "tokens": int, "batch": int, "share": float, "seconds": float, "per_second": float,
            "slot": int, "task": int,
        },
        seen="llama-server, Sep 2024 on",
        example=(
            "slot update_slots: id  0 | task 0 | prompt processing progress, n_past = 2048, n_tokens = "
            "2048, progress = 0.231000"
        ),
        gives={"past": 2048, "tokens": 2048, "share": 0.231, "slot": 0, "task": 0},
    ),
    rule(
        "slot.prompt_done",
        r"^prompt (?:done|processing done), (?:n_past = (?P<past>\d+), )?n_tokens = +(?P<tokens>\d+)(?:,"
        r" batch\.n_tokens = (?P<batch>\d+))?$",
        fields={"past": int, "tokens": int, "batch": int, "slot": int, "task": int},
        seen="llama-server, Sep 2024 on",
        example="slot update_slots: id  0 | task 0 | prompt done, n_past = 871, n_tokens = 871",
        gives={"past": 871, "tokens": 871, "slot": 0, "task": 0},
    ),
    rule(
        "slot.generating",
        r"^n_(?:gen|decoded) = +(?P<tokens>\d+), tg = +(?P<per_second>\d+\.\d+) t/s(?:, tg_3s ="
        r" +(?P<recent>\d+\.\d+) t/s)?$",
        fields={"tokens": int, "per_second": float, "recent": float, "slot": int, "task": int},
        seen="llama-server, 2026",
        example="slot print_timing: id  1 | task 0 | n_gen =    120, tg =  41.20 t/s, tg_3s =  40.80 t/s",
        gives={"tokens": 120, "per_second": 41.2, "recent": 40.8, "slot": 1, "task": 0},
    ),
    rule(
        "slot.released", r"^stop processing: n_(?:past|tokens) = (?P<n_tokens>\d+), truncated = (?P<truncated>[01])$",
        fields={"n_tokens": int, "truncated": flag, "slot": int, "task": int},
        seen="llama-server, Sep 2024 on",
        example="slot      release: id  1 | task 0 | stop processing: n_tokens = 912, truncated = 0",
        gives={"n_tokens": 912, "truncated": False, "slot": 1, "task": 0},
    ),
    rule(
        "slot.released", r"^slot released$",
        fields={
            "n_ctx": int, "n_tokens": at("n_past", int), "truncated": flag, "slot": at("id_slot", int),
            "task": at("id_task", int),
        },
        needs=("id_slot",),
        seen="llama-server, Mar-Sep 2024, and ik_llama.cpp",
        example=(
            'INFO [            update_slots] slot released | tid="133181503258624" timestamp=1749452800 '
            "id_slot=0 id_task=7 n_ctx=65536 n_past=22442 n_system_tokens=0 n_cache_tokens=22442 "
            "truncated=false"
        ),
        gives={"n_ctx": 65536, "n_tokens": 22442, "truncated": False, "slot": 0, "task": 7},
    ),
    rule(
        "slot.released", r"^slot released$",
        fields={
            "n_ctx": int, "n_tokens": at("n_past", int), "truncated": flag, "slot": at("slot_id", int),
            "task": at("task_id", int),
        },
        needs=("slot_id",),
        seen="llama-server, Dec 2023-Mar 2024",
        example=(
            '{"function":"update_slots","level":"INFO","line":1627,"msg":"slot '
            'released","n_cache_tokens":400,"n_ctx":2048,"n_past":399,"n_system_tokens":0,"slot_id":0,"task_'
            'id":0,"tid":"140591962781248","timestamp":1710269763,"truncated":false}'
        ),
        gives={"n_ctx": 2048, "n_tokens": 399, "truncated": False, "slot": 0, "task": 0},
    ),
    rule(
        "slot.released", r"^slot (?P<slot>\d+) released \((?P<n_tokens>\d+) tokens in cache\)$",
        fields={"slot": int, "n_tokens": int},
        seen="llama-server, Oct 2023-Jan 2024", example="slot 0 released (399 tokens in cache)",
        gives={"slot": 0, "n_tokens": 399},
    ),
)  # fmt: skip

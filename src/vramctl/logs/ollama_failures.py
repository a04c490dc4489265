"""What Ollama prints when something goes wrong: loads that fail, runners that die, requests that are refused."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.ollama_memory import RUNNER
from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import flag, size

FAILURES: tuple[Rule, ...] = (
    rule(
        "runner.load_failed", r"^error loading llama server$",
        fields={"error": str},
        seen="ollama 0.1.32-now ERROR",
        example='time=2025-01-10T22:05:24.000+08:00 level=ERROR source=sched.go:455 msg="error loading llama server" error="llama runner process has terminated: exit status 2"',
        gives={"error": "llama runner process has terminated: exit status 2"},
    ),
    rule(
        "runner.load_failed", r"^(?:Load failed|NewLlamaServer failed|failed to create server|failed to load model metadata)$",
        fields={"model": str, "error": str},
        seen="ollama 0.1.33-now INFO",
        example='time=2026-01-14T12:27:12.000-05:00 level=INFO source=sched.go:470 msg="Load failed" model=/m/sha256-aa error="llama runner process has terminated: cudaMalloc failed: out of memory"',
        gives={"model": "/m/sha256-aa", "error": "llama runner process has terminated: cudaMalloc failed: out of memory"},
    ),
    rule(
        "runner.load_failed", r"^(?:do load request|error starting llama server|unable to load any llama server|post predict)$",
        fields={"server": str, "error": str},
        seen="ollama 0.1.32-0.24.0 ERROR",
        example='time=2026-01-14T12:27:12.000-05:00 level=ERROR source=server.go:290 msg="do load request" error="Post \\"http://127.0.0.1:40000/load\\": EOF"',
        gives={"error": 'Post "http://127.0.0.1:40000/load": EOF'},
    ),
    rule(
        "runner.load_failed", r"^(?:error starting llama runner|error starting the external llama runner|llama runner stopped with error|llama runner exited with error|error starting llama\.cpp server): (?P<error>.+)$",
        fields={"error": str},
        seen="ollama 0.0.18-0.1.17",
        example="2023/11/20 12:00:00 llama.go:420: error starting llama runner: llama runner process has terminated",
        gives={"error": "llama runner process has terminated"},
    ),
    rule(
        "runner.terminated", r"^(?:llama runner|llama-server) terminated$",
        fields={"error": str, "exit": str},
        seen="ollama 0.2.8-now (DEBUG to 0.5.7, ERROR from 0.5.8; llama-server and exit from 0.30.0)",
        example='time=2025-07-24T18:30:00.000+09:00 level=ERROR source=server.go:464 msg="llama runner terminated" error="exit status 2"',
        gives={"error": "exit status 2"},
    ),
    rule(
        "runner.stopped", r"^(?:llama runner|llama-server) process no longer running$",
        fields={"sys": str, "status": at("string")},
        seen="ollama 0.1.35-now WARN (repeats)",
        example='time=2025-09-11T00:43:10.000+02:00 level=WARN source=server.go:1211 msg="llama runner process no longer running" sys=134 string="signal: aborted (core dumped)"',
        gives={"sys": "134", "status": "signal: aborted (core dumped)"},
    ),
    rule(
        "runner.startup_retry", r"^llama-server load failed; evicting all other models and retrying once$",
        fields={"model": str, "error": str},
        seen="ollama 0.30.0-now WARN",
        example='time=2026-09-02T16:52:40.000Z level=WARN source=sched.go:640 msg="llama-server load failed; evicting all other models and retrying once" model=/m/sha256-aa error="cudaMalloc failed: out of memory"',
        gives={"model": "/m/sha256-aa", "error": "cudaMalloc failed: out of memory"},
    ),
    rule(
        "runner.startup_retry", r"^llama-server load failed; reducing automatic context and retrying once$",
        fields={
            "model": str, "old_ctx": at("old_num_ctx", int), "effective_ctx": at("effective_num_ctx", int), "new_ctx": at("new_num_ctx", int),
            "old_batch": at("old_num_batch", int), "new_batch": at("new_num_batch", int), "loaded": at("loaded_count", int),
            "evict_all": flag, "error": str,
        },
        seen="ollama 0.30.0-now WARN",
        example='time=2026-09-02T16:52:40.000Z level=WARN source=sched.go:652 msg="llama-server load failed; reducing automatic context and retrying once" model=/m/sha256-aa old_num_ctx=32768 effective_num_ctx=32768 new_num_ctx=4096 old_num_batch=512 new_num_batch=512 loaded_count=0 evict_all=false error="cudaMalloc failed: out of memory"',
        gives={"model": "/m/sha256-aa", "old_ctx": 32768, "effective_ctx": 32768, "new_ctx": 4096, "old_batch": 512, "new_batch": 512, "loaded": 0, "evict_all": False, "error": "cudaMalloc failed: out of memory"},
    ),
    rule(
        "runner.startup_retry", r"^llama-server startup failed with projector GPU offload; retrying with projector CPU offload$",
        fields={"model": str, "error": str},
        seen="ollama 0.30.0-now WARN",
        example='time=2026-09-02T16:52:40.000Z level=WARN source=llama_server.go:800 msg="llama-server startup failed with projector GPU offload; retrying with projector CPU offload" model=/m/sha256-aa error="exit status 1"',
        gives={"model": "/m/sha256-aa", "error": "exit status 1"},
    ),
    rule(
        "memory.runtime_oom", r"^runtime OOM detected; expiring loaded models to clear memory before next request$",
        fields={"model": str, "error": str},
        seen="ollama 0.30.0-now WARN",
        example='time=2026-09-02T16:53:40.000Z level=WARN source=sched.go:900 msg="runtime OOM detected; expiring loaded models to clear memory before next request" model=/m/sha256-aa error="CUDA error: out of memory"',
        gives={"model": "/m/sha256-aa", "error": "CUDA error: out of memory"},
    ),
    rule(
        "memory.tracking_lost", r"^llama-server VRAM tracking: no per-device buffer sizes were parsed .*$",
        fields={"model": str, "gpus": int},
        seen="ollama 0.30.0-now WARN",
        example='time=2026-09-02T16:52:41.000Z level=WARN source=llama_server.go:1400 msg="llama-server VRAM tracking: no per-device buffer sizes were parsed from llama-server logs. VRAM accounting will be inaccurate. This may indicate a change in llama-server\'s log format — check for \'buffer size\' lines in the output." model=/m/sha256-aa gpus=1',
        gives={"model": "/m/sha256-aa", "gpus": 1},
    ),
    rule(
        "runner.load_aborted", r"^client connection closed before (?:server|llama-server) finished loading, aborting load$",
        seen="ollama 0.1.39-now WARN",
        example='time=2025-07-30T10:53:55.000+10:00 level=WARN source=server.go:600 msg="client connection closed before server finished loading, aborting load"',
        gives={},
    ),
    rule(
        "runner.load_expired", r"^triggering expiration for failed load$",
        fields={"model_path": at("model"), **RUNNER},
        seen="ollama 0.1.33-now DEBUG",
        example='time=2025-07-30T10:53:55.000+10:00 level=DEBUG source=sched.go:460 msg="triggering expiration for failed load" runner.size="1.9 GiB" runner.vram="1.9 GiB" runner.parallel=2 runner.pid=14006 runner.model=/m/sha256-aa',
        gives={"runner_size": size("1.9 GiB"), "runner_vram": size("1.9 GiB"), "parallel": 2, "pid": 14006, "model": "/m/sha256-aa"},
    ),
    rule(
        "request.aborted", r"^aborting (?P<what>completion|embedding|embeddings|chat) request due to client closing the connection$",
        fields={"what": str},
        seen="ollama 0.4.4-now INFO",
        example='time=2025-07-30T10:54:55.000+10:00 level=INFO source=runner.go:700 msg="aborting completion request due to client closing the connection"',
        gives={"what": "completion"},
    ),
    rule(
        "request.failed", r"^(?:llm (?P<call>predict|encode|decode|embedding|load) error|embedding generation failed): (?P<error>.+)$",
        fields={"call": str, "error": str},
        seen="ollama 0.0.18-0.24.0",
        example='time=2025-07-30T10:54:55.000+10:00 level=INFO source=server.go:1000 msg="llm predict error: CUDA error: out of memory"',
        gives={"call": "predict", "error": "CUDA error: out of memory"},
    ),
    rule(
        "request.failed", r"^(?:embedding generation failed|chat prompt error|chat template prompt error|chat prompt error applying structured outputs|llama-server (?:chat|completion) error)$",
        fields={"error": str},
        seen="ollama 0.2.6-now ERROR",
        example='time=2025-07-30T10:54:55.000+10:00 level=ERROR source=routes.go:500 msg="embedding generation failed" error="the input length exceeds the context length"',
        gives={"error": "the input length exceeds the context length"},
    ),
    rule(
        "request.repeats", r"^prediction aborted, token repeat limit reached$",
        seen="ollama 0.1.29-now DEBUG",
        example='time=2025-07-30T10:54:55.000+10:00 level=DEBUG source=server.go:900 msg="prediction aborted, token repeat limit reached"',
        gives={},
    ),
    rule(
        "server.busy", r"^server busy, please try again\. +maximum pending requests exceeded$",
        seen="ollama 0.1.33-now",
        example="server busy, please try again.  maximum pending requests exceeded",
        gives={},
    ),
    rule(
        "server.port_taken", r"^listen tcp (?P<address>\S+): bind: (?P<why>.+)$",
        fields={"address": str, "why": str}, function=("Error", "error"),
        seen="ollama, all versions",
        example="Error: listen tcp 127.0.0.1:11434: bind: address already in use",
        gives={"address": "127.0.0.1:11434", "why": "address already in use"},
    ),
    rule(
        "server.panic", r"^panic: (?P<what>.+)$",
        fields={"what": str},
        seen="Go programs, all versions",
        example="time=2025-07-30T10:54:55.000+10:00 level=ERROR source=x.go:1 msg=\"panic: runtime error: index out of range\"",
        gives={"what": "runtime error: index out of range"},
    ),
    rule(
        "server.setting_invalid", r"^(?:invalid environment variable, using default|invalid port, using default|invalid setting(?:, ignoring|, must be greater than zero| must be greater than zero)?)$",
        fields={"key": str, "value": str, "default": str, "error": str},
        seen="ollama 0.1.33-now",
        example='time=2025-07-30T10:54:55.000+10:00 level=WARN source=config.go:200 msg="invalid environment variable, using default" key=OLLAMA_NUM_PARALLEL value=many default=0',
        gives={"key": "OLLAMA_NUM_PARALLEL", "value": "many", "default": "0"},
    ),
    rule(
        "model.blob_missing", r"^(?:couldn't open model file|file open error|file read error|couldn't decode ggml)$",
        fields={"file": str, "error": str},
        seen="ollama 0.2.0-now",
        example='time=2026-01-14T12:27:12.000-05:00 level=WARN source=ggml.go:500 msg="file open error" file=/m/sha256-aa error="open /m/sha256-aa: no such file or directory"',
        gives={"file": "/m/sha256-aa", "error": "open /m/sha256-aa: no such file or directory"},
    ),
    rule(
        "model.key_missing", r"^(?:key not found|key with type not found)$",
        fields={"key": str, "default": str},
        seen="ollama 0.5.12-now (DEBUG from 0.7.0)",
        example='time=2025-10-03T13:18:04.223+02:00 level=DEBUG source=ggml.go:276 msg="key with type not found" key=llama.vision.block_count default=0',
        gives={"key": "llama.vision.block_count", "default": "0"},
    ),
)

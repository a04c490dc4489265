"""What Ollama's loaders and runners print beside memory and starts: layouts, model files, libraries and their faults."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import ints, size

RULES: tuple[Rule, ...] = (
    rule(
        "fit.layer", r"^layer to assign$",
        fields={"layer": int, "size": size},
        seen="ollama 0.11.5-0.24.0 TRACE",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=server.go:1052 msg="layer to assign" layer=31 size="214.5 MiB"',
        gives={"layer": 31, "size": size("214.5 MiB")},
    ),
    rule(
        "model.tensor_created", r"^created tensor$",
        fields={"name": str, "shape": ints, "type": at("dtype", int), "buffer": at("buffer_type")},
        seen="ollama 0.6.0-0.24.0 (DEBUG to 0.6.8, then TRACE)",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=ggml.go:240 msg="created tensor" name=blk.0.attn_q.weight shape="[4096 4096]" dtype=12 buffer_type=CUDA0',
        gives={"name": "blk.0.attn_q.weight", "shape": (4096, 4096), "type": 12, "buffer": "CUDA0"},
    ),
    rule(
        "model.tensor_found", r"^found tensor$",
        seen="ollama 0.5.12-0.31.1 (DEBUG to 0.6.8, then TRACE)",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=model.go:200 msg="found tensor" name=blk.0.attn_q.weight',
        gives={},
    ),
    rule(
        "runner.batch", r'^computeBatch: (?P<what>[^"]{1,80})$',
        fields={"what": str, "batch": at("batchID", int)},
        seen="ollama 0.11.9-0.24.0 TRACE",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=runner.go:640 msg="computeBatch: logits ready" batchID=17',
        gives={"what": "logits ready", "batch": 17},
    ),
    rule(
        "runner.batch", r'^forwardBatch (?P<what>[^"]{1,80})$',
        fields={"what": str, "batch": at("batchID", int)},
        seen="ollama 0.11.9-0.24.0 TRACE",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=runner.go:470 msg="forwardBatch no pending batch detected" batchID=17',
        gives={"what": "no pending batch detected", "batch": 17},
    ),
    rule(
        "vocab.counts", r"^Token counts$",
        fields={"normal": int, "unknown": int, "control": int, "unused": int, "bytes": at("byte", int)},
        seen="ollama 0.6.0-now (DEBUG to 0.6.8, then TRACE)",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=sentencepiece.go:40 msg="Token counts" normal=262144 unknown=1 control=2 "user defined"=0 unused=0 byte=256',
        gives={"normal": 262144, "unknown": 1, "control": 2, "unused": 0, "bytes": 256},
    ),
    rule(
        "vocab.tokens", r"^Tokens$",
        fields={"count": at("num tokens", int)},
        seen="ollama 0.6.0-now (DEBUG to 0.6.8, then TRACE)",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=sentencepiece.go:30 msg="Tokens" "num tokens"=262144',
        gives={"count": 262144},
    ),
    rule(
        "vocab.coded", r"^encoded$",
        fields={"text": at("string")},
        seen="ollama 0.5.12-now (DEBUG to 0.6.3, then TRACE)",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=bytepairencoding.go:260 msg="encoded" string=hello ids=[15339]',
        gives={"text": "hello"},
    ),
    rule(
        "vocab.coded", r"^decoded$",
        fields={"text": at("string")},
        seen="ollama 0.5.12-now (DEBUG to 0.6.3, then TRACE)",
        example='time=2025-11-05T13:24:42.481Z level=TRACE source=bytepairencoding.go:280 msg="decoded" string=hello from=[15339]',
        gives={"text": "hello"},
    ),
    rule(
        "runner.dynamic_failed", r"^Failed to load dynamic library (?P<library>\S+) (?P<error>[^-].*)$",
        fields={"library": str, "error": str},
        seen="ollama 0.1.18-0.1.31 WARN",
        example='time=2025-11-05T13:24:42.481Z level=WARN source=llm.go:160 msg="Failed to load dynamic library /tmp/ollama1/cuda_v11/libext_server.so Unable to load dynamic library: libcudart.so.11.0: cannot open shared object file"',
        gives={"library": "/tmp/ollama1/cuda_v11/libext_server.so", "error": "Unable to load dynamic library: libcudart.so.11.0: cannot open shared object file"},
    ),
    rule(
        "runner.embedding_request", r"^embedding request$",
        fields={"input": str, "text": at("content")},
        seen="ollama 0.3.13-0.24.0 (DEBUG with content to 0.6.8, then TRACE)",
        example='time=2025-11-05T13:24:42.481Z level=DEBUG source=runner.go:620 msg="embedding request" content=hello',
        gives={"text": "hello"},
    ),
    rule(
        "runner.library_gone", r"^(?P<library>\S+) has disappeared, reloading libraries$",
        fields={"library": str},
        seen="ollama 0.1.24-0.1.31 INFO",
        example='time=2025-11-05T13:24:42.481Z level=INFO source=llm.go:140 msg="/tmp/ollama1/cuda_v11/libext_server.so has disappeared, reloading libraries"',
        gives={"library": "/tmp/ollama1/cuda_v11/libext_server.so"},
    ),
    rule(
        "runner.server_error", r"^server error:(?P<error>\S.*)$",
        fields={"error": str},
        seen="ollama 0.3.13-0.24.0",
        example='2025/05/01 12:00:00 runner.go:940: server error:listen tcp 127.0.0.1:36891: bind: address already in use',
        gives={"error": "listen tcp 127.0.0.1:36891: bind: address already in use"},
    ),
    rule(
        "runner.ggml_init", r"^XXX (?P<when>before|after) ggml_init$",
        fields={"when": str},
        seen="ollama 0.11.0-0.11.3 INFO (left over by mistake)",
        example='time=2025-11-05T13:24:42.481Z level=INFO source=ggml.go:125 msg="XXX before ggml_init"',
        gives={"when": "before"},
    ),
)

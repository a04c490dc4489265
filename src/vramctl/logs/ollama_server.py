"""What Ollama prints about its server, requests, downloads and the machine."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import duration, flag, size, words

SERVER: tuple[Rule, ...] = (
    rule(
        "server.config", r"^server config$",
        fields={"env": str},
        seen="ollama 0.1.34-now INFO (a Go log line in some versions)",
        example='2024/08/28 18:43:20 routes.go:1125: INFO server config env="map[CUDA_VISIBLE_DEVICES: OLLAMA_DEBUG:false OLLAMA_FLASH_ATTENTION:false OLLAMA_NUM_PARALLEL:0]"',
        gives={"env": "map[CUDA_VISIBLE_DEVICES: OLLAMA_DEBUG:false OLLAMA_FLASH_ATTENTION:false OLLAMA_NUM_PARALLEL:0]"},
    ),
    rule(
        "server.listening", r"^Listening on (?P<address>\S+) \(version (?P<version>[^)]+)\)$",
        fields={"address": str, "version": str},
        seen="ollama 0.1.4-now INFO",
        example='time=2025-07-24T18:29:05.878+09:00 level=INFO source=routes.go:1288 msg="Listening on 127.0.0.1:11434 (version 0.9.6)"',
        gives={"address": "127.0.0.1:11434", "version": "0.9.6"},
    ),
    rule(
        "server.listening", r"^Listening on (?P<address>\S+)$",
        fields={"address": str},
        seen="ollama 0.0.1-0.1.3",
        example="2023/09/20 12:00:00 routes.go:534: Listening on 127.0.0.1:11434",
        gives={"address": "127.0.0.1:11434"},
    ),
    rule(
        "model.described", r"^$",
        fields={"architecture": str, "file_type": str, "name": str, "description": str, "tensors": at("num_tensors", int), "key_values": at("num_key_values", int)},
        needs=("architecture",),
        seen="ollama 0.5.12-0.24.0 INFO (its own engine)",
        example='time=2025-09-11T00:42:49.588+02:00 level=INFO source=ggml.go:131 msg="" architecture=gptoss file_type=MXFP4 name="" description="" num_tensors=471 num_key_values=30',
        gives={"architecture": "gptoss", "file_type": "MXFP4", "name": "", "description": "", "tensors": 471, "key_values": 30},
    ),
    rule(
        "system.cpu_features", r"^system$",
        fields={"info": str, "threads": int, "compiler": str, "cuda_archs": at("CUDA.0.ARCHS", words)},
        seen="ollama 0.4.0-0.24.0 INFO",
        example='time=2026-01-14T12:27:06.000-05:00 level=INFO source=ggml.go:104 msg=system CPU.0.SSE3=1 CPU.0.AVX=1 CPU.0.AVX2=1 CPU.1.LLAMAFILE=1 CUDA.0.ARCHS=750,800,860,890 CUDA.0.USE_GRAPHS=1 compiler=cgo(gcc)',
        gives={"compiler": "cgo(gcc)", "cuda_archs": ("750", "800", "860", "890")},
    ),
    rule(
        "request.finished", r"^(?P<status>\d{3}) \| +(?P<seconds>\S+) \| +(?P<client>\S+) \| (?P<method>[A-Z]+) +\"(?P<path>[^\"]*)\"$",
        fields={"status": int, "seconds": duration, "client": str, "method": str, "path": str}, function="GIN",
        seen="ollama, all versions (the line is written when the request ends)",
        example='[GIN] 2026/01/21 - 16:42:01 | 200 |          1m1s |       127.0.0.1 | POST     "/api/generate"',
        gives={"status": 200, "seconds": 61.0, "client": "127.0.0.1", "method": "POST", "path": "/api/generate"},
    ),
    rule(
        "server.route", r"^(?P<method>[A-Z]+) +(?P<path>/\S*) +--> (?P<handler>.+) \((?P<handlers>\d+) handlers\)$",
        fields={"method": str, "path": str, "handler": str, "handlers": int}, function="GIN-debug",
        seen="ollama, all versions at start",
        example="[GIN-debug] POST   /api/create               --> github.com/ollama/ollama/server.(*Server).CreateHandler-fm (5 handlers)",
        gives={"method": "POST", "path": "/api/create", "handler": "github.com/ollama/ollama/server.(*Server).CreateHandler-fm", "handlers": 5},
    ),
    rule(
        "server.web_note", r"^(?P<what>\[WARNING\] .+|Listening and serving .+|redirecting request .+|Loaded HTML Templates .+)$",
        fields={"what": str}, function="GIN-debug",
        seen="ollama, all versions at start",
        example='[GIN-debug] [WARNING] Running in "debug" mode. Switch to "release" mode in production.',
        gives={"what": '[WARNING] Running in "debug" mode. Switch to "release" mode in production.'},
    ),
    rule(
        "option.invalid", r"^invalid option provided$",
        fields={"option": str},
        seen="ollama 0.1.35-now WARN",
        example='time=2026-01-14T12:30:04.000-05:00 level=WARN source=types.go:860 msg="invalid option provided" option=tfs_z',
        gives={"option": "tfs_z"},
    ),
    rule(
        "download.started", r"^downloading (?P<blob>\w+) in (?P<parts>\d+) (?P<part>[\d.]+ \w+) part\(s\)$",
        fields={"blob": str, "parts": int, "part": size},
        seen="ollama 0.1.2-now INFO (decimal units)",
        example='time=2024-03-12T18:54:34.417Z level=INFO source=download.go:136 msg="downloading 43070e2d4e53 in 1 11 KB part(s)"',
        gives={"blob": "43070e2d4e53", "parts": 1, "part": size("11 KB")},
    ),
    rule(
        "download.retried", r"^(?P<blob>\w+) part (?P<part>\d+) (?:attempt (?P<attempt>\d+) failed: (?P<error>.+), retrying.*|stalled; retrying.*)$",
        fields={"blob": str, "part": int, "attempt": int, "error": str},
        seen="ollama 0.1.2-now INFO",
        example='time=2024-03-12T18:54:44.417Z level=INFO source=download.go:170 msg="43070e2d4e53 part 3 attempt 0 failed: unexpected EOF, retrying in 1s"',
        gives={"blob": "43070e2d4e53", "part": 3, "attempt": 0, "error": "unexpected EOF"},
    ),
    rule(
        "storage.blobs", r"^total (?P<what>blobs|unused blobs removed): (?P<count>\d+)$",
        fields={"what": str, "count": int},
        seen="ollama 0.0.19-now INFO",
        example='time=2026-01-14T12:26:58.882-05:00 level=INFO source=images.go:500 msg="total unused blobs removed: 0"',
        gives={"what": "unused blobs removed", "count": 0},
    ),
    rule(
        "model.template", r"^template selection$",
        fields={"model": str, "selected": str, "renderer": str, "parser": str},
        seen="ollama 0.30.1-now INFO",
        example='time=2026-09-02T16:52:34.500Z level=INFO source=images.go:700 msg="template selection" model=llama3:8b selected=go_template renderer="" parser=""',
        gives={"model": "llama3:8b", "selected": "go_template", "renderer": "", "parser": ""},
    ),
    rule(
        "server.cloud", r"^Ollama cloud disabled: (?P<disabled>true|false)$",
        fields={"disabled": flag},
        seen="ollama 0.16.2-now INFO",
        example='time=2026-09-02T16:51:59.108Z level=INFO source=routes.go:1953 msg="Ollama cloud disabled: false"',
        gives={"disabled": False},
    ),
    rule(
        "system.cpu_packages", r"^packages$",
        fields={"count": int},
        seen="ollama 0.3.14-0.24.0 INFO (Windows)",
        example='time=2024-12-05T01:56:10.000Z level=INFO source=gpu_windows.go:167 msg=packages count=1',
        gives={"count": 1},
    ),
    rule(
        "system.cpu_package", r"^$",
        fields={"package": int, "cores": int, "efficiency": int, "threads": int},
        needs=("package",),
        seen="ollama 0.3.14-0.24.0 INFO (Windows)",
        example='time=2024-12-05T01:56:10.000Z level=INFO source=cpu_windows.go:214 msg="" package=0 cores=4 efficiency=0 threads=8',
        gives={"package": 0, "cores": 4, "efficiency": 0, "threads": 8},
    ),
    rule(
        "request.tokens", r"^$",
        fields={"ctx": at("ctxLen", int), "tokens": at("tokenCount", int)},
        needs=("ctxLen",),
        seen="ollama 0.12.0-0.13.2 INFO",
        example='time=2025-11-12T09:00:31.000Z level=INFO source=routes.go:750 msg="" ctxLen=4096 tokenCount=9',
        gives={"ctx": 4096, "tokens": 9},
    ),
    rule(
        "server.key_created", r"^Couldn't find '(?P<path>[^']+)'\. Generating new private key\.$",
        fields={"path": str},
        seen="ollama, all versions at first start",
        example="Couldn't find '/root/.ollama/id_ed25519'. Generating new private key.",
        gives={"path": "/root/.ollama/id_ed25519"},
    ),
    rule(
        "server.key_created", r"^Your new public key is:$",
        seen="ollama, all versions at first start",
        example="Your new public key is:",
        gives={},
    ),
)

"""An imitation of llama-server, run as a program: its options, its log and its answers, but no model behind them.

Formats are those of tools/server of llama.cpp b11434. The model's file name says what goes wrong: `refuse.gguf`,
`silent.gguf` (never ready), `memory.gguf`, `crash.gguf` (ends in its first answer), `stall.gguf` (stops in its first stream),
`old.gguf` (no timings), `busy.gguf` (HTTP 400).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from pathlib import Path
from typing import Any

HELP = """----- common params -----
-h,    --help, --usage                  print usage and exit
-t,    --threads N                      number of CPU threads to use during generation (default: -1)
-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)
-b,    --batch-size N                   logical maximum batch size (default: 2048)
-ub,   --ubatch-size N                  physical maximum batch size (default: 512)
-fa,   --flash-attn [on|off|auto]       set Flash Attention use
-np,   --parallel N                     number of server slots
-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers to store in VRAM
-m,    --model FNAME                    model path to load
--host HOST                             ip address to listen
--port PORT                             port to listen
--no-warmup                             skip warming up the model
-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold.
"""
LOG = """0.00.000.100 I srv    load_model: loading model '{model}'
0.00.001.000 I load_tensors: offloaded 0/3 layers to GPU
0.00.001.100 I load_tensors:   CPU_Mapped model buffer size =     2.26 MiB
0.00.001.200 I llama_context: n_ctx         = {n_ctx}
0.00.001.300 I llama_context: n_batch       = 512
0.00.001.400 I llama_kv_cache:        CPU KV buffer size =     2.00 MiB
0.00.001.500 I sched_reserve:        CPU compute buffer size =     6.52 MiB
0.00.001.600 I sched_reserve: graph: nodes = 71, splits = 1, input objects = 4, input tensors = 9
0.00.001.700 I srv  llama_server: model loaded"""


FAILURES = {
    "refuse.gguf": """0.00.001.000 E llama_model_load: error loading model: invalid magic characters
0.00.001.100 E srv    load_model: failed to load model, 'refuse.gguf'""",
    "memory.gguf": """0.00.001.000 E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 3480.01 MiB on device 0: \
cudaMalloc failed: out of memory
0.00.001.100 E llama_model_load: error loading model: unable to allocate CUDA0 buffer""",
}


def say(text: str) -> None:
    """Writes to the log at once."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    model, n_ctx = "", 0
    cached: tuple[int, ...] = ()
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """State and facts."""
        if self.path == "/health":
            ready = not self.model.endswith("silent.gguf")
            self._send(200 if ready else 503, {"status": "ok"} if ready else {"error": {"message": "Loading model"}})
        elif self.path == "/props":
            each = {"n_ctx": self.n_ctx}
            self._send(200, {"default_generation_settings": each, "total_slots": 1, "model_path": self.model,
                             "build_info": "b11434-imitation"})  # fmt: skip
        elif self.path == "/v1/models":
            self._send(200, {"data": [{"id": self.model, "meta": {"n_vocab": 2048}}]})
        else:
            self._send(404, {"error": {"message": "File Not Found"}})

    def do_POST(self) -> None:
        """A completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "LLAMA_API_KEY" in os.environ and not self.headers["Authorization"]:
            self._send(401, {"error": {"message": "Invalid API Key"}})
            return
        prompt = body["prompt"]
        if self.model.endswith("crash.gguf"):
            say("/src/ggml.c:1234: GGML_ASSERT(a == b) failed")
            os.abort()
        if self.model.endswith("busy.gguf") or len(prompt) + body["n_predict"] > self.n_ctx:
            self._send(400, {"error": {"code": 400, "message": "the request exceeds the available context size"}})
            return
        same = takewhile(lambda pair: pair[0] == pair[1], zip(type(self).cached, prompt, strict=False))
        known = min(len(list(same)), len(prompt) - 1) if body["cache_prompt"] else 0
        type(self).cached = tuple(prompt)
        count = max(1, body["n_predict"])
        if body.get("stream"):
            self._stream(known, len(prompt), count)
        else:
            self._send(200, {"content": "x", "stop": True, **self._timings(known, len(prompt), count)})

    def _stream(self, known: int, length: int, count: int) -> None:
        self.send_response(200)
        self.end_headers()
        for token in range(1, count + 1):
            if self.model.endswith("stall.gguf") and token == 3:
                time.sleep(60)
            piece = {"content": "x", "stop": False, **self._timings(known, length, token)}
            self.wfile.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
            self.wfile.flush()
            time.sleep(0.001)
        self.wfile.write(
            b"data: " + json.dumps({"stop": True, **self._timings(known, length, count)}).encode() + b"\n\n"
        )

    def _timings(self, known: int, length: int, count: int) -> dict[str, Any]:
        if self.model.endswith("old.gguf"):
            return {}
        return {"timings": {"cache_n": known, "prompt_n": length - known, "prompt_ms": 0.1 * (length - known),
                            "predicted_n": count, "predicted_ms": 2.0 * (count - 1)}}  # fmt: skip

    def _send(self, status: int, document: dict[str, Any]) -> None:
        raw = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def main() -> int:
    """Serves until it is told to end."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--help", action="store_true")
    parser.add_argument("--model", default="")
    parser.add_argument("--port", type=int)
    parser.add_argument("--ctx-size", type=int, default=4096)
    options, _ = parser.parse_known_args()
    if options.help:
        sys.stdout.write(HELP)
        return 0
    name = Path(options.model).name
    if name in FAILURES:
        say(FAILURES[name])
        return 1
    say(LOG.format(model=options.model, n_ctx=options.ctx_size))
    Answers.model, Answers.n_ctx = options.model, options.ctx_size
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An imitation of Ollama's API, run as a program: `imitation_ollama.py PORT LOG`. Formats are those of v0.33.0-rc2.

The model's name says what goes wrong: `missing`, `memory`, `crash` (its runner ends in the first answer), `stall`, `short`.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

LOG = """time=2026-11-20T21:00:00.000Z level=INFO source=server.go:429 msg="starting runner" cmd="/usr/bin/ollama runner"
load_tensors: offloaded 33/33 layers to GPU
load_tensors:        CUDA0 model buffer size =  4403.49 MiB
llama_context: n_ctx         = 2048
llama_kv_cache:      CUDA0 KV buffer size =   256.00 MiB
llama_context: graph splits = 2
"""
NO_MEMORY = "model requires more system memory (24.0 GiB) than is available (3.1 GiB)"


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    loaded: ClassVar[dict[str, int]] = {}
    log_path = Path()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """Version and what is loaded."""
        if self.path == "/api/version":
            self._send(200, {"version": "0.33.0-imitation"})
        elif self.path == "/api/ps":
            rows = [{"name": f"{name}:latest", "model": f"{name}:latest", "size": 5_000_000_000, "size_vram": 4_900_000_000,
                     "context_length": n_ctx} for name, n_ctx in self.loaded.items()]  # fmt: skip
            self._send(200, {"models": rows})
        else:
            self._send(404, {"error": "not found"})

    def do_POST(self) -> None:
        """Loading, unloading, generating."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["model"]
        if self.path == "/api/show":
            self._send(200, {"details": {"family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"}})
        elif name == "missing":
            self._send(404, {"error": "model 'missing' not found"})
        elif name == "memory":
            self._send(500, {"error": NO_MEMORY})
        elif body["prompt"] == "":
            self._load(name, body)
        elif name == "crash":
            self.loaded.pop(name, None)
            self._send(500, {"error": "llama runner process has terminated: exit status 2"})
        else:
            self._generate(name, body)

    def _load(self, name: str, body: dict[str, Any]) -> None:
        if body.get("keep_alive") == 0:
            self.loaded.pop(name, None)
            self._send(200, {"model": name, "response": "", "done": True, "done_reason": "unload"})
            return
        if name not in self.loaded:
            with self.log_path.open("a") as log:
                log.write(LOG)
        self.loaded[name] = body["options"].get("num_ctx", 4096)
        self._send(200, {"model": name, "response": "", "done": True, "done_reason": "load"})

    def _generate(self, name: str, body: dict[str, Any]) -> None:
        count = 1 if name == "short" else body["options"]["num_predict"]
        read = len(body["prompt"].split()) + 1
        last = {
            "model": name, "response": "", "done": True, "done_reason": "length", "prompt_eval_count": read,
            "prompt_eval_duration": read * 100_000, "eval_count": count, "eval_duration": (count - 1) * 2_000_000,
        }  # fmt: skip
        if not body["stream"]:
            self._send(200, last | {"response": "x" * count})
            return
        self.send_response(200)
        self.end_headers()
        for token in range(count):
            if name == "stall" and token == 2:
                time.sleep(60)
            self.wfile.write(json.dumps({"model": name, "response": "x", "done": False}).encode() + b"\n")
            self.wfile.flush()
            time.sleep(0.001)
        self.wfile.write(json.dumps(last).encode() + b"\n")

    def _send(self, status: int, document: dict[str, Any]) -> None:
        raw = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def main() -> None:
    """Serves until it is killed."""
    Answers.log_path = Path(sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()

"""What TabbyAPI and its web server print about the server and requests."""

from __future__ import annotations

from vramctl.logs.llama_cpp_values import rate
from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "server.model_loaded", r"^(?:\| \w+ +\| )?Model successfully loaded\.$",
        seen="TabbyAPI 2024-2026", example="2025-06-15 12:34:56.789 INFO:     Model successfully loaded.",
    ),
    rule(
        "server.model_unloaded", r"^(?:\| \w+ +\| )?(?P<what>Model|Loras) unloaded\.$",
        fields={"what": str},
        seen="TabbyAPI 2024-2026", example="2025-06-15 12:34:56.789 INFO:     Model unloaded.",
        gives={"what": "Model"},
    ),
    rule(
        "server.model_unloading", r"^(?:\| \w+ +\| )?Unloading existing (?P<what>model|embeddings model)\.$",
        fields={"what": str},
        seen="TabbyAPI 2024-2026", example="2025-06-15 12:34:56.789 INFO:     Unloading existing model.",
        gives={"what": "model"},
    ),
    rule(
        "server.embedding_loaded", r"^(?:\| \w+ +\| )?Embedding model (?P<what>successfully loaded|unloaded)\.$",
        fields={"what": str},
        seen="TabbyAPI 2024-2026", example="2025-06-15 12:34:56.789 INFO:     Embedding model successfully loaded.",
        gives={"what": "successfully loaded"},
    ),
    rule(
        "timing.generated",
        r"^(?:\| \w+ +\| )?Metrics \(ID: (?P<id>\w+)\): (?P<tokens>\d+) tokens generated in"
        r" (?P<total_seconds>\d+(?:\.\d+)?) seconds \(Queue: (?P<queue_seconds>\d+(?:\.\d+)?) s, Process:"
        r" (?P<cached>\d+) cached tokens and (?P<prompt_tokens>\d+) new tokens at"
        r" (?P<prompt_per_second>\S+) T/s, Generate: (?P<per_second>\S+) T/s(?:, Context: (?P<context>\d+)"
        r" tokens)?(?:, Draft: .+)?\)(?P<truncated> <-- Not accurate \(truncated\))?$",
        fields={
            "id": str, "tokens": int, "total_seconds": float, "queue_seconds": float, "cached": int,
            "prompt_tokens": int, "prompt_per_second": rate, "per_second": rate, "context": int,
        },
        seen="TabbyAPI 2024-2026",
        example=(
            "2025-06-15 12:34:56.789 INFO:     Metrics (ID: 1ab2c3): 200 tokens generated in 6.04 seconds "
            "(Queue: 0.0 s, Process: 0 cached tokens and 871 new tokens at 1420.5 T/s, Generate: 36.9 T/s, "
            "Context: 871 tokens) "
        ),
        gives={
            "id": "1ab2c3", "tokens": 200, "total_seconds": 6.04, "queue_seconds": 0.0, "cached": 0,
            "prompt_tokens": 871, "prompt_per_second": 1420.5, "per_second": 36.9, "context": 871,
        },
    ),
    rule(
        "timing.generated",
        r"^(?:\| \w+ +\| )?Metrics: (?P<tokens>\d+) tokens generated in (?P<total_seconds>\d+(?:\.\d+)?)"
        r" seconds \(.+\)(?: <-- Not accurate \(truncated\))?$",
        fields={"tokens": int, "total_seconds": float},
        seen="TabbyAPI, early 2024",
        example="INFO:     Metrics: 200 tokens generated in 6.04 seconds (33.11 T/s, context 871 tokens)",
        gives={"tokens": 200, "total_seconds": 6.04},
    ),
    rule(
        "request.received",
        r"^Received (?P<what>chat completion|completion|[\w ]+?)(?: (?:streaming )?request)? (?P<id>\w+)$",
        fields={"what": str, "id": str},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Received chat completion streaming request 1ab2c3d4",
        gives={"what": "chat completion", "id": "1ab2c3d4"},
    ),
    rule(
        "request.received",
        r"^Finished (?P<what>chat completion|completion|[\w ]+?)(?: (?:streaming )?request)? (?P<id>\w+)$",
        fields={"what": str, "id": str},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Finished chat completion streaming request 1ab2c3d4",
        gives={"what": "chat completion", "id": "1ab2c3d4"},
    ),
    rule(
        "request.finished",
        r'^(?:\| \w+ +\| )?(?P<client>\S+:\d+) - "(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[\d.]+"'
        r" (?P<status>\d{3})(?: [\w ]+)?$",
        fields={"client": str, "method": str, "path": str, "status": int},
        seen="uvicorn (TabbyAPI, llama-cpp-python)",
        example='INFO:     127.0.0.1:53040 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
        gives={"client": "127.0.0.1:53040", "method": "POST", "path": "/v1/chat/completions", "status": 200},
    ),
    rule(
        "server.starting", r"^Started server process \[\d+\]$",
        seen="uvicorn (TabbyAPI, llama-cpp-python)", example="INFO:     Started server process [1234]",
    ),
    rule(
        "server.starting", r"^Waiting for application startup\.$",
        seen="uvicorn (TabbyAPI, llama-cpp-python)", example="INFO:     Waiting for application startup.",
    ),
    rule(
        "server.starting", r"^Application startup complete\.$",
        seen="uvicorn (TabbyAPI, llama-cpp-python)", example="INFO:     Application startup complete.",
    ),
    rule(
        "server.starting", r"^Shutting down$",
        seen="uvicorn (TabbyAPI, llama-cpp-python)", example="INFO:     Shutting down",
    ),
    rule(
        "server.starting", r"^Waiting for application shutdown\.$",
        seen="uvicorn (TabbyAPI, llama-cpp-python)", example="INFO:     Waiting for application shutdown.",
    ),
    rule(
        "server.starting", r"^Application shutdown complete\.$",
        seen="uvicorn (TabbyAPI, llama-cpp-python)", example="INFO:     Application shutdown complete.",
    ),
    rule(
        "server.starting", r"^Finished server process \[\d+\]$",
        seen="uvicorn (TabbyAPI, llama-cpp-python)", example="INFO:     Finished server process [1234]",
    ),
    rule(
        "server.listening", r"^(?:\| \w+ +\| )?Uvicorn running on (?P<address>\S+)(?: \(Press CTRL\+C to quit\))?$",
        fields={"address": str},
        seen="uvicorn (TabbyAPI, llama-cpp-python)",
        example="INFO:     Uvicorn running on http://127.0.0.1:5000 (Press CTRL+C to quit)",
        gives={"address": "http://127.0.0.1:5000"},
    ),
    rule(
        "server.listening",
        r"^(?:\| \w+ +\| )?(?:Developer|Completions|Chat completions|Chat Completions) documentation:"
        r" (?P<address>\S+)$",
        fields={"address": str},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Developer documentation: http://127.0.0.1:5000/redoc",
        gives={"address": "http://127.0.0.1:5000/redoc"},
    ),
    rule(
        "server.listening", r"^Completions: (?P<address>https?://\S+)$",
        fields={"address": str},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Completions: http://127.0.0.1:5000/v1/completions",
        gives={"address": "http://127.0.0.1:5000/v1/completions"},
    ),
    rule(
        "server.listening", r"^Chat completions: (?P<address>https?://\S+)$",
        fields={"address": str},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Chat completions: http://127.0.0.1:5000/v1/chat/completions",
        gives={"address": "http://127.0.0.1:5000/v1/chat/completions"},
    ),
)  # fmt: skip

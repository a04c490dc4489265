"""What llama-server prints when it starts, serves and stops."""

from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import flag, milliseconds

RULES: tuple[Rule, ...] = (
    rule(
        "server.starting", r"^binding port with default address family$",
        seen="llama-server, 2024 on", example="main: binding port with default address family",
    ),
    rule(
        "server.starting", r"^initializing \.\.\.$",
        function="srv llama_server",
        seen="llama-server, 2026", example="srv  llama_server: initializing ...",
    ),
    rule(
        "server.argument_repeated",
        r"^argument '(?P<option>[^']+)' specified multiple times, use comma-separated values instead"
        r" \(only last value will be used\)$",
        fields={"option": str},
        seen="llama.cpp, 2026",
        example=(
            "DEPRECATED: argument '-np' specified multiple times, use comma-separated values instead "
            "(only last value will be used)"
        ),
        gives={"option": "-np"},
    ),
    rule(
        "server.starting", r"^using \d+ threads for HTTP server$",
        seen="llama-server, 2024 on", example="srv          init: using 15 threads for HTTP server",
    ),
    rule(
        "server.starting", r"^The UI is (?:disabled|enabled)$",
        seen="llama-server, 2024 on", example="srv          init: The UI is disabled",
    ),
    rule(
        "server.starting", r"^Web UI is disabled$",
        seen="llama-server, 2024 on", example="Web UI is disabled",
    ),
    rule(
        "server.starting", r"^Use --ui/--no-ui .+$",
        seen="llama-server, 2024 on",
        example="srv          init: Use --ui/--no-ui (or deprecated --webui/--no-webui) to enable/disable",
    ),
    rule(
        "server.starting", r"^Running with(?:out)? SSL$",
        seen="llama-server, 2024 on", example="Running with SSL",
    ),
    rule(
        "server.starting", r"^running with(?:out)? SSL.*$",
        seen="llama-server, 2024 on",
        example="srv  init_listene: running with SSL: key = /models/a.gguf, cert = /models/a.gguf",
    ),
    rule(
        "server.starting", r"^api_keys: .+$",
        seen="llama-server, 2024 on", example="srv  init_listene: api_keys: ****WORD",
    ),
    rule(
        "server.listening",
        r"^HTTP server is listening, hostname: (?P<host>.+), port: (?P<port>\d+), http threads: (?P<threads>\d+)$",
        fields={"host": str, "port": int, "threads": int},
        seen="llama-server, Sep 2024-2025",
        example="main: HTTP server is listening, hostname: 127.0.0.1, port: 8080, http threads: 15",
        gives={"host": "127.0.0.1", "port": 8080, "threads": 15},
    ),
    rule(
        "server.listening", r"^HTTP server listening$",
        fields={"host": at("hostname"), "port": int, "threads": at("n_threads_http", int)},
        seen="llama-server, Nov 2023-Sep 2024, and ik_llama.cpp",
        example=(
            'INFO [                    main] HTTP server listening | tid="133181503258624" '
            'timestamp=1749452713 n_threads_http="111" port="10002" hostname="0.0.0.0"'
        ),
        gives={"host": "0.0.0.0", "port": 10002, "threads": 111},
    ),
    rule(
        "server.listening",
        r"^(?:server is )?listening on (?P<address>https?://\S+|unix:\S+)(?: - starting the main loop)?$",
        fields={"address": str},
        seen="llama-server, Sep 2024 on",
        example="main: server is listening on http://127.0.0.1:8080 - starting the main loop",
        gives={"address": "http://127.0.0.1:8080"},
    ),
    rule(
        "server.listening", r"^llama server listening at (?P<address>\S+)$",
        fields={"address": str},
        seen="llama-server, 2023", example="llama server listening at http://127.0.0.1:8080",
        gives={"address": "http://127.0.0.1:8080"},
    ),
    rule(
        "server.port_taken",
        r"^couldn't bind(?: HTTP server socket, hostname: (?P<host>\S+), port: (?P<port>\d+)| to server"
        r" socket: hostname=(?P<name>\S+) port=(?P<number>\d+))$",
        fields={"host": str, "port": int, "name": str, "number": int},
        seen="llama-server, 2023 on",
        example="srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080",
        gives={"host": "127.0.0.1", "port": 8080},
    ),
    rule(
        "server.model_loaded", r"^model loaded$",
        seen="llama-server, Nov 2023 on", example="srv  llama_server: model loaded",
    ),
    rule(
        "server.model", r"^loading model,? '(?P<path>.+)'$",
        fields={"path": str},
        seen="llama-server, 2025 on", example="srv    load_model: loading model '/models/phi-4-Q4_K_M.gguf'",
        gives={"path": "/models/phi-4-Q4_K_M.gguf"},
    ),
    rule(
        "server.model", r"^loaded multimodal model,? '(?P<path>.+)'$",
        fields={"path": str},
        seen="llama-server, 2025 on",
        example=(
            "srv    load_model: loaded multimodal model, "
            "'/root/.ollama/models/blobs/sha256-70ca26e41ecea9da997e2887462ad68b848fbf64da011ff4107bbe735351"
            "9ee0'"
        ),
        gives={
            "path": "/root/.ollama/models/blobs/sha256-70ca26e41ecea9da997e2887462ad68b848fbf64da011ff4107bbe7353519ee0",
        },
    ),
    rule(
        "server.model", r"^local path '(?P<path>.+)'$",
        fields={"path": str},
        seen="llama-server, 2026", example="srv    load_model: local path '/models/phi-4-Q4_K_M.gguf'",
        gives={"path": "/models/phi-4-Q4_K_M.gguf"},
    ),
    rule(
        "model.load_failed", r"^unable to load model$",
        fields={"path": at("model")},
        needs=("model",),
        seen="llama-server, 2023-Sep 2024, and ik_llama.cpp",
        example=(
            ' ERR [              load_model] unable to load model | tid="22457510539264" '
            'timestamp=1740668683 model="/models/a.gguf"'
        ),
        gives={"path": "/models/a.gguf"},
    ),
    rule(
        "server.slots", r"^initializing slots$",
        fields={"slots": at("n_slots", int)},
        seen="llama-server, Dec 2023-Sep 2024, and ik_llama.cpp",
        example='INFO [                    init] initializing slots | tid="133181503258624" timestamp=1749452713 n_slots=1',
        gives={"slots": 1},
    ),
    rule(
        "server.slots", r"^initializing slots, n_slots = (?P<slots>\d+)$",
        fields={"slots": int},
        seen="llama-server, Sep 2024-2026", example="srv          init: initializing slots, n_slots = 1",
        gives={"slots": 1},
    ),
    rule(
        "server.slots",
        r"^initializing, n_slots = (?P<slots>\d+), n_ctx_slot = (?P<context>\d+), kv_unified = '(?P<unified>\w+)'$",
        fields={"slots": int, "context": int, "unified": flag},
        seen="llama-server, 2026",
        example="srv    load_model: initializing, n_slots = 2, n_ctx_slot = 4096, kv_unified = 'false'",
        gives={"slots": 2, "context": 4096, "unified": False},
    ),
    rule(
        "server.slots",
        r"^n_parallel is set to auto, using n_(?:slots|parallel) = (?P<slots>\d+) and kv_unified ="
        r" (?P<unified>true|false)$",
        fields={"slots": int, "unified": flag},
        seen="llama-server, Dec 2025 on",
        example="srv          init: n_parallel is set to auto, using n_slots = 4 and kv_unified = true",
        gives={"slots": 4, "unified": True},
    ),
    rule(
        "slot.new", r"^new slot,? (?:n_ctx|n_ctx_slot) = (?P<context>\d+)$",
        fields={"context": int, "slot": int},
        seen="llama-server, Sep 2024 on", example="slot         init: id  0 | task -1 | new slot n_ctx_slot = 131072",
        gives={"context": 131072, "slot": 0},
    ),
    rule(
        "slot.new", r"^new slot$",
        fields={"context": at("n_ctx_slot", int), "slot": at("id_slot", int)},
        needs=("id_slot",),
        seen="llama-server, Mar-Sep 2024, and ik_llama.cpp",
        example=(
            'INFO [                    init] new slot | tid="133181503258624" timestamp=1749452713 '
            "id_slot=0 n_ctx_slot=65536"
        ),
        gives={"context": 65536, "slot": 0},
    ),
    rule(
        "slot.new", r"^new slot$",
        fields={"context": at("n_ctx_slot", int), "slot": at("slot_id", int)},
        needs=("slot_id",),
        seen="llama-server, Dec 2023-Mar 2024",
        example=(
            '{"function":"initialize","level":"INFO","line":442,"msg":"new '
            'slot","n_ctx_slot":2048,"slot_id":0,"tid":"140596870104640","timestamp":1710269762}'
        ),
        gives={"context": 2048, "slot": 0},
    ),
    rule(
        "server.idle", r"^all slots are idle(?: and system prompt is empty, clear the KV cache)?$",
        seen="llama-server, Dec 2023 on", example="srv  update_slots: all slots are idle",
    ),
    rule(
        "server.idle", r"^entering sleeping state$",
        seen="llama-server, Dec 2025 on", example="srv  update_slots: entering sleeping state",
    ),
    rule(
        "server.idle", r"^server is (?:entering|exiting) sleeping state$",
        seen="llama-server, Dec 2025 on", example="srv  handle_sleep: server is entering sleeping state",
    ),
    rule(
        "server.stopping", r"^(?:operator\(\): )?cleaning up before exit\.\.\.$",
        seen="llama-server, Sep 2024 on", example="srv    operator(): operator(): cleaning up before exit...",
    ),
    rule(
        "server.stopping", r"^Received second interrupt, terminating immediately\.$",
        seen="llama-server, 2024 on", example="Received second interrupt, terminating immediately.",
    ),
    rule(
        "server.unauthorised", r"^Unauthorized: Invalid API Key$",
        seen="llama-server, 2023 on", example="srv    operator(): Unauthorized: Invalid API Key",
    ),
    rule(
        "request.finished", r"^request: (?P<method>[A-Z]+) (?P<path>\S+) (?P<client>\S+) (?P<status>\d{3})$",
        fields={"method": str, "path": str, "client": str, "status": int},
        seen="llama-server, Sep 2024 on",
        example="srv  log_server_r: request: POST /v1/chat/completions 127.0.0.1 200",
        gives={"method": "POST", "path": "/v1/chat/completions", "client": "127.0.0.1", "status": 200},
    ),
    rule(
        "request.finished", r"^request$",
        fields={"method": str, "path": str, "client": at("remote_addr"), "status": int},
        seen="llama-server, 2023-Sep 2024, and ik_llama.cpp",
        example=(
            'INFO [      log_server_request] request | tid="125142946533376" timestamp=1749965675 '
            'remote_addr="172.17.0.3" remote_port=48454 status=200 method="GET" path="/v1/models" params={}'
        ),
        gives={"method": "GET", "path": "/v1/models", "client": "172.17.0.3", "status": 200},
    ),
    rule(
        "request.processing_image", r"^(?P<what>image|audio|\w+) processed in (?P<seconds>\d+) ms$",
        fields={"what": str, "seconds": milliseconds},
        seen="llama-server, 2025 on", example="WORD processed in 12 ms",
        gives={"what": "WORD", "seconds": 0.012},
    ),
    rule(
        "request.processing_image", r"^(?:image|audio) slice encoded in (?P<encoded>\d+) ms$",
        fields={"encoded": milliseconds},
        seen="llama-server, 2025 on", example="image slice encoded in 1203 ms",
        gives={"encoded": 1.203},
    ),
)  # fmt: skip

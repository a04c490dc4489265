"""What Ollama's tray program prints about its server and updates, and the web framework's hints."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule

RULES: tuple[Rule, ...] = (
    rule(
        "server.gin_hint", r"^- using (?:env|code):.*$",
        seen="every version",
        example="[GIN-debug]  - using env:	export GIN_MODE=release",
        gives={},
    ),
    rule(
        "manifest.corrupt", r"^corrupt manifests detected, skipping prune operation\.  Re-pull or delete to clear$",
        fields={"error": str},
        seen="ollama 0.4.0-now",
        example='time=2025-11-01T10:00:00.000Z level=WARN source=routes.go:1600 msg="corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear" error=EOF',
        gives={"error": "EOF"},
    ),
    rule(
        "app.starting", r"^starting Ollama$",
        fields={"app": str, "version": str},
        seen="Ollama's tray program",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=app.go:200 msg="starting Ollama" app=/Applications version=0.12.3 OS=macOS/15',
        gives={"app": "/Applications", "version": "0.12.3"},
    ),
    rule(
        "app.server_starting", r"^starting server\.\.\.$",
        seen="Ollama's tray program of 2024",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=server.go:100 msg="starting server..."',
        gives={},
    ),
    rule(
        "app.server_started", r"^started ollama server with pid (?P<pid>\d+)$",
        fields={"pid": int},
        seen="Ollama's tray program of 2024",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=server.go:160 msg="started ollama server with pid 4711"',
        gives={"pid": 4711},
    ),
    rule(
        "app.server_logs", r"^ollama server logs (?P<path>.+)$",
        fields={"path": str},
        seen="Ollama's tray program of 2024",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=server.go:161 msg="ollama server logs C:\\\\Users\\\\a\\\\AppData\\\\Local\\\\Ollama\\\\server.log"',
        gives={"path": "C:\\\\Users\\\\a\\\\AppData\\\\Local\\\\Ollama\\\\server.log"},
    ),
    rule(
        "app.server_crashed", r"^server crash (?P<crashes>\d+) - exit code (?P<code>-?\d+) - respawning$",
        fields={"crashes": int, "code": int},
        seen="Ollama's tray program",
        example='time=2025-11-01T10:00:00.000Z level=WARN source=server.go:136 msg="server crash 1 - exit code 1 - respawning"',
        gives={"crashes": 1, "code": 1},
    ),
    rule(
        "app.config", r"^app config$",
        fields={"env": str},
        seen="Ollama's tray program",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=lifecycle.go:20 msg="app config" env="map[OLLAMA_DEBUG:false]"',
        gives={"env": "map[OLLAMA_DEBUG:false]"},
    ),
    rule(
        "app.started", r"^ollama app started$",
        seen="Ollama's tray program",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=lifecycle.go:20 msg="ollama app started"',
        gives={},
    ),
    rule(
        "app.update_checking", r"^checking for available update$",
        fields={"url": at("requestURL")},
        seen="Ollama's tray program",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=updater.go:100 msg="checking for available update" requestURL=https://ollama.com/api/update',
        gives={"url": "https://ollama.com/api/update"},
    ),
    rule(
        "app.update_available", r"^New update available at (?P<url>\S+)$",
        fields={"url": str},
        seen="Ollama's tray program",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=updater.go:130 msg="New update available at https://ollama.com/download"',
        gives={"url": "https://ollama.com/download"},
    ),
)

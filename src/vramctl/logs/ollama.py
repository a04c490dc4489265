"""What Ollama itself prints, of every era (its runners' lines are llama.cpp's)."""

from __future__ import annotations

from vramctl.logs.ollama_2023 import OLDEST
from vramctl.logs.ollama_devices import DEVICES
from vramctl.logs.ollama_discovery import RULES as DISCOVERY
from vramctl.logs.ollama_failures import FAILURES
from vramctl.logs.ollama_fit import FIT
from vramctl.logs.ollama_http import RULES as HTTP
from vramctl.logs.ollama_memory import MEMORY
from vramctl.logs.ollama_notes_gpu import NOTES_GPU
from vramctl.logs.ollama_notes_runner import NOTES_RUNNER
from vramctl.logs.ollama_notes_server import NOTES_SERVER
from vramctl.logs.ollama_runner import RULES as RUNNER
from vramctl.logs.ollama_scheduler import SCHEDULER
from vramctl.logs.ollama_server import SERVER
from vramctl.logs.rule import Rule

RULES: tuple[Rule, ...] = (
    MEMORY
    + FIT
    + DEVICES
    + SERVER
    + SCHEDULER
    + FAILURES
    + OLDEST
    + NOTES_SERVER
    + NOTES_GPU
    + NOTES_RUNNER
    + DISCOVERY
    + HTTP
    + RUNNER
)

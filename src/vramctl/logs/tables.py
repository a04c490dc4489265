"""All tables of rules, by the engine that prints the lines."""

from __future__ import annotations

from vramctl.logs import exllama, llama_cpp, ollama, start_errors, system
from vramctl.logs.rule import Rule

TABLES: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("ollama", ollama.RULES),
    ("llama.cpp", llama_cpp.RULES),
    ("exllama", exllama.RULES),
    ("system", (*system.RULES, *start_errors.RULES)),
)

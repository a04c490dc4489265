"""What ExLlama and TabbyAPI print: one tuple of all parts."""

from __future__ import annotations

from vramctl.logs import exllama_engine, exllama_limits, exllama_server
from vramctl.logs.rule import Rule

RULES: tuple[Rule, ...] = (*exllama_engine.RULES, *exllama_server.RULES, *exllama_limits.RULES)

"""What a collector lost on a line's way into InfluxDB, put back where it is certain; pure text."""

from __future__ import annotations

import json
import re

# Ollama_Influx_Translator (its clean_message) drops every character beyond ASCII: GIN's `110.535µs` is stored as `110.535s`.
# Go prints seconds with up to nine decimals, microseconds with up to three, and from one minute on always minutes: of real
# seconds one in a million has at most three decimals.
_GIN_LATENCY = re.compile(r"(\[GIN\] [0-9/]{10} - [0-9:]{8} \| *\d{3} \| +)(\d+)(\.\d+)?s( +\|)")
_MINUTE = 60


def repaired(message: str) -> tuple[str, bool]:
    """The message as the engine wrote it, and whether a lost µ was put back.

    journald gives messages with colours as lists of bytes, which were stored as the text of the list (`[27,91,...]`).
    """
    if message[:1] == "[" and message[1:2].isdigit() and message.rstrip()[-1:] == "]":
        message = _from_list(message)
    if "[GIN]" not in message:
        return message, False
    match = _GIN_LATENCY.search(message)
    if match is None or (int(match[2]) < _MINUTE and len(match[3] or "") > 4):
        return message, False
    cut = match.end(2) if match[3] is None else match.end(3)
    return message[:cut] + "µ" + message[cut:], True


def _from_list(message: str) -> str:
    """The text whose bytes the message lists; the message itself where it lists none."""
    try:
        return bytes(json.loads(message)).decode("utf-8", "replace")
    except (ValueError, TypeError):
        return message

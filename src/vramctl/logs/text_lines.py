"""Lines that llama.cpp and its servers write, and plain text: function, level, slot and message."""

from __future__ import annotations

import re

from vramctl.logs.attributes import pairs
from vramctl.logs.line import ENGINE, TEXT, UNSURE, Message

_CLOCK = re.compile(r"(?P<stamp>\d{1,5}\.\d\d\.\d{3}\.\d{3}) (?P<level>[DIWEVT]) ")
_UNIX = re.compile(r"\[(?P<stamp>\d{10})\] ?")
_TID = re.compile(r"(?P<level>INFO|WARN|ERR|VERB|DBUG|DEBUG) +\[ *(?P<function>[\w ~:]{1,60})\] ")
_SLOT = re.compile(r"id +(?P<slot>-?\d+) *\| *task +(?P<task>-?\d+) *\| *")
_LEVELS = {"D": "DEBUG", "I": "INFO", "W": "WARN", "E": "ERROR", "V": "DEBUG", "T": "DEBUG"}
_SERVER = ("srv ", "slot", "que ", "res ", "cmn ", "main")
_FAMILY = re.compile(
    r"~?(?:llama|llm|ggml|gguf|load|print_info|common|clip|srv|slot|sched_|init_tokenizer|kv_|set_abort|alloc_tensor|gptneox|mtmd|graph_|"
    r"create_tensor|build_|server_|vk_|ggml_|sampl|ctx|n_ctx|main$|system_info$|build$|warmup|init|reserve|perplexity|resize|decode|encode|find_slot|"
    r"output_reserve|initialize|process_|update_slots|launch_|check_|done_getting|create_|get_|load_|device_info|fit_|oom|state_|prompt_|speculative)"
)
WORDS_OF_ALARM = frozenset(
    {"warning", "error", "Error", "note", "WARNING", "ERROR", "fatal", "INFO", "Warning", "info"}
)


def text_line(payload: str) -> Message:
    """A line of llama.cpp or of any program, taken apart as far as its shape allows."""
    stamp = level = ""
    first = payload[:1]
    if first.isdigit() or first == "[":
        match = _CLOCK.match(payload)
        if match is not None:
            stamp, level, payload = match[1], _LEVELS[match[2]], payload[match.end() :].lstrip()
        else:
            match = _UNIX.match(payload)
            if match is not None:
                stamp, payload = match[1], payload[match.end() :]
    elif first in _LEVELS and payload[1:2] == " ":
        level, payload = _LEVELS[first], payload[2:].lstrip()
    elif first in "IWEVD":
        match = _TID.match(payload)
        if match is not None:
            text, _, attributes = payload[match.end() :].partition(" | tid=")
            return Message(TEXT, text.strip(), match[2].strip(), match[1], "", "tid=" + attributes, ENGINE)
    name, colon, rest = payload.partition(": ")
    if colon and len(name) < 80:
        if name.lstrip("~").isidentifier():
            surely = ENGINE if level or (name not in WORDS_OF_ALARM and _FAMILY.match(name)) else UNSURE
            return Message(TEXT, rest.strip(), name, level, stamp, "", surely)
        if name[:4] in _SERVER:
            return _server_line(name, rest, level, stamp)
    elif payload.endswith(":") and payload[:-1].isidentifier() and _FAMILY.match(payload):
        return Message(TEXT, "", payload[:-1], level, stamp, "", ENGINE)
    return Message(TEXT, payload.strip(), "", level, stamp, "", ENGINE if level and stamp else UNSURE)


def _server_line(name: str, rest: str, level: str, stamp: str) -> Message:
    """A line of llama-server: `slot update_slots: id  3 | task 0 | ...`, `srv  log_server_r: ...`."""
    function = " ".join(name.split())
    match = _SLOT.match(rest)
    if match is None:
        return Message(TEXT, rest.strip(), function, level, stamp, "", ENGINE)
    attributes = {"slot": match[1], "task": match[2]}
    return Message(TEXT, rest[match.end() :].strip(), function, level, stamp, attributes, ENGINE)


def attributes_of(message: Message) -> dict[str, str]:
    """The attributes of a message by key."""
    found = message.attributes
    return pairs(found) if isinstance(found, str) else found

"""Variables and command lines in .env files, shell scripts, systemd units, Dockerfiles and compose files, with their lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

# Variables that decide on GPUs, memory or an engine; all others are none of our business and are never kept.
KNOWN_VARIABLE = re.compile(
    r"(?:LLAMACPP|LLAMA_CPP|LLAMA_ARG|OLLAMA)_[A-Z0-9_]+|LLAMA_[A-Z_]*(?:LAYERS|CTX|BATCH|THREADS|ATTN|KQV)"
    r"|CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|(?:HIP|ROCR|GGML_VK|NVIDIA)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL"
    r"|GGML_CUDA_[A-Z0-9_]+|HSA_OVERRIDE_GFX_VERSION|EXLLAMA_NO_[A-Z_]+|PYTORCH_CUDA_ALLOC_CONF"
    r"|N_GPU_LAYERS|N_CTX|N_BATCH|N_UBATCH|N_THREADS|N_THREADS_BATCH|OFFLOAD_KQV|FLASH_ATTN|TYPE_K|TYPE_V|USE_MLOCK"
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")
_PROGRAM = re.compile(
    r"(?:^|[\s\"'=/\\(\[])((?:llama-server|llama-cli|llama-completion|llama-mtmd-cli|llama-run)(?:\.exe)?)(?=[\s\"'\\,\]^`]|$)"
)
_MODULE = re.compile(r"-m[\s\"',]+llama_cpp\.server\b")
_COMMENT = re.compile(r"^\s*(?:#|;|//|REM\b|::)", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?<![\w$])(?P<name>{KNOWN_VARIABLE.pattern})[\"']?(?:\s*=\s*|:\s+|\s+(?=[\w\"'-]+\s*$))"
    r"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s#\"',\]}]*(?:,[^\s#\"'\]}]+)*)"
)
_CONTINUED = re.compile(r"[\\^`]\s*$")
LONGEST_LINE = 20_000


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that is given a value in line `line`."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command line of an engine's program: `program` and the words after it."""

    program: str
    words: tuple[str, ...]
    line: int


def variables(text: str) -> Iterator[Variable]:
    """Every known variable that is set, in order. Comments, and names that may hold secrets, are left out."""
    for number, line in enumerate(text.splitlines(), 1):
        if _COMMENT.match(line) or len(line) > LONGEST_LINE:
            continue
        for match in _ASSIGNED.finditer(line):
            if not _SECRET.search(match["name"]):
                yield Variable(match["name"], match["value"].strip("\"'"), number)


def commands(text: str) -> Iterator[Command]:
    """Every command line of llama.cpp's programs or llama-cpp-python's server, continuation lines joined."""
    for number, line in joined_lines(text):
        if not _COMMENT.match(line):
            yield from commands_in(line, number)


def commands_in(line: str, number: int) -> Iterator[Command]:
    """The command lines inside one (joined) line."""
    module = _MODULE.search(line)
    if module:
        yield Command("llama_cpp.server", words_of(line[module.end() :]), number)
    for match in _PROGRAM.finditer(line):
        words = words_of(line[match.end() :])
        if any(word.startswith("-") for word in words):
            yield Command(match[1].removesuffix(".exe"), words, number)


def joined_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, those that end in a continuation mark joined with the next."""
    held, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LONGEST_LINE:
            continue
        held, first = (f"{held} {line.strip()}", first) if held else (line, number)
        if _CONTINUED.search(held) and len(held) < LONGEST_LINE and not _COMMENT.match(held):
            held = _CONTINUED.sub("", held)
            continue
        yield first, held
        held = ""
    if held:
        yield first, held


def words_of(text: str) -> tuple[str, ...]:
    """The words of a command line up to the first shell operator; quotes and JSON lists' commas are taken off."""
    try:
        words = shlex.split(text, comments=True, posix=True)
    except ValueError:
        words = text.split()
    found: list[str] = []
    for word in words:
        if word in {"|", "||", "&&", ";", "&", ">", ">>", "2>&1", "<"}:
            break
        cleaned = word.strip("[],").strip("\"'")
        if cleaned:
            found.append(cleaned)
    return tuple(found)

"""One call of an engine as a configuration writes it: its settings by name, and what stands where nothing is written."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from vramctl.records.facts import Engine, Setting
from vramctl.records.unknown import Absent, Unknown

Value = str | int | float | bool | Unknown | None
_TYPES = {0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 20: "iq4_nl", 30: "bf16"}
PLAIN_TYPES = frozenset({"f32", "f16", "bf16"})
# Programs that hand their settings to llama.cpp.
LLAMA_PROGRAMS = frozenset({"llama-cpp-python", "llama-server", "llama-cli"})
# llama.cpp: all layers and flash attention `auto` by default since b6325 (pull request 15434, merged 2025-08-30).
AUTO_SINCE = 6325
# llama-cpp-python: `offload_kqv` came with 0.2.24 as False and is True since 0.2.30 (its git history).
KQV_SINCE, KQV_TRUE_SINCE = (0, 2, 24), (0, 2, 30)


# Where settings stand that count on this machine; a file that was given may be used on another.
RUNS_HERE = frozenset({"environment", "the Ollama server's environment"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A call with its settings by name; the last of several of one name counts, as it does for the programs."""

    marker: Setting
    settings: dict[str, Setting]

    @classmethod
    def of(cls, call: Collection[Setting]) -> Asked:
        """Of the settings as they were found; the first one says what was called."""
        first, *rest = call
        return cls(first, {setting.name: setting for setting in rest})

    @property
    def program(self) -> str:
        """Whose call it is."""
        return self.marker.program

    @property
    def is_llama(self) -> bool:
        """Whether llama.cpp gets these settings."""
        return self.program in LLAMA_PROGRAMS

    @property
    def complete(self) -> bool:
        """Whether what is not written here is not given: a call or command line that can be seen as a whole."""
        return self.marker.value not in {"variables", "Modelfile"} and "**" not in self.settings

    @property
    def last_name(self) -> str:
        """What was called, without the names before the dot."""
        return str(self.marker.value).removesuffix(".from_pretrained").rsplit(".", 1)[-1]

    def value(self, name: str) -> Value:
        """The value as written; None where it is not written, Unknown where it cannot be told."""
        setting = self.settings.get(name)
        return None if setting is None else setting.value

    def number(self, name: str) -> int | None:
        """A whole number that is written; None for anything else."""
        value = self.value(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def truth(self, name: str) -> bool | None:
        """A truth value that is written (also 0, 1, on, off); None for anything else."""
        value = self.value(name)
        if isinstance(value, str):
            return {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}.get(value.lower())
        return bool(value) if isinstance(value, int | float) else None

    def kv_type(self, name: str) -> str | None:
        """A cache type's name (`type_k=8` is q8_0); None where none is written."""
        value = self.value(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return _TYPES.get(value, f"type {value}")
        return value.lower() if isinstance(value, str) and value else None

    def at(self, *names: str) -> tuple[str, ...]:
        """Where these settings stand, with what is written, and the variables that they are taken from:
        `agent.py:12: n_gpu_layers=0`."""
        found = [self.settings[name] for name in names if name in self.settings]
        both = [(one, one.taken_from) for one in found]
        return tuple(f"{place(one)}: {one.written}" for pair in both for one in pair if one is not None)

    @property
    def where(self) -> str:
        """Where the call stands: `agent.py:12 Llama(...)`, `llama-server (process 4711)`."""
        if _is_process(self.marker.file):
            return f"{self.marker.written} ({self.marker.file})"
        return place(self.marker) if self.is_variables else f"{place(self.marker)} {self.marker.written}"

    @property
    def is_variables(self) -> bool:
        """Whether these are variables, which no call is seen of."""
        return self.marker.value == "variables"

    def who(self, *names: str) -> str:
        """What asks for these settings: the call, or the variables themselves: `.env:1 LLAMA_ARG_N_GPU_LAYERS=0`."""
        found = [self.settings[name] for name in names if name in self.settings]
        if not self.is_variables or not found:
            return self.where
        written = " with ".join(one.written for one in found)
        at = place(found[0])
        if at not in RUNS_HERE:
            return f"{at} {written}"
        return f"{written} in {at if at.startswith('the ') else f'the {at}'}"


def place(setting: Setting) -> str:
    """Where a setting stands: `agent.py:12`; variables and command lines of a process have no lines."""
    file = setting.file
    return file if file in RUNS_HERE or _is_process(file) else f"{file}:{setting.line}"


def _is_process(file: str) -> bool:
    return file.startswith("process ")


def flash_attention(asked: Asked, engines: object = None) -> str | None:
    """Flash attention as this call gets it: on, off or auto; None where that cannot be told."""
    value = asked.value("flash_attn")
    if isinstance(value, Unknown):
        return None
    if value is not None:
        if asked.program == "llama-cpp-python":
            return "on" if asked.truth("flash_attn") else "off"
        return str(value)
    if not asked.complete:
        return None
    if asked.program == "llama-cpp-python":
        return "off"
    build = llama_build(engines)
    return "off" if build is not None and build < AUTO_SINCE else "auto"


def python_version(engines: object) -> tuple[int, ...] | None:
    """The installed llama-cpp-python's version, None where none was found."""
    for engine in engines if isinstance(engines, tuple) else ():
        if isinstance(engine, Engine) and engine.kind == "llama-cpp-python" and isinstance(engine.version, str):
            return version_of(engine.version)
    return None


def llama_build(engines: object) -> int | None:
    """The build number of an installed llama.cpp (`b6325`, `version: 6325 (abc)`), None where none was found."""
    for engine in engines if isinstance(engines, tuple) else ():
        if isinstance(engine, Engine) and engine.kind == "llama.cpp" and isinstance(engine.version, str):
            match = re.search(r"\bb?(\d{3,6})\b", engine.version)
            if match:
                return int(match[1])
    return None


def version_of(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: `0.3.16+cu124` is (0, 3, 16)."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def known_or_none(value: object) -> object:
    """The value, None where it is Unknown or Absent."""
    return None if isinstance(value, Unknown | Absent) else value

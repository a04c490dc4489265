"""Configuration files to settings: each call, command line or set of variables of an engine, with file and line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import PurePath

from vramctl.formats.config_containers import Container, of_commands, of_compose
from vramctl.formats.config_fields import SUFFIXES, Group, code_of_notebook, groups
from vramctl.formats.config_lines import Command, Variable, commands, commands_in, variables, words_of
from vramctl.formats.config_options import Found, Value, field_of, read_fields, read_options, read_value, read_variable
from vramctl.formats.config_python import PythonCall, read_python
from vramctl.formats.config_yaml import Entry, entries
from vramctl.records.facts import Setting
from vramctl.records.unknown import Unknown

Call = tuple[Setting, ...]
CALL = "call"
"""The name of a call's first setting: what was called (`Llama`, `llama-server`, `variables`, `Modelfile`, `config.yml`)."""
UNSEEN = "**"
"""The name of a setting that says that a call gets more than can be seen."""
MOST_CALLS = 300
"""More calls than this of one file are not looked at."""
_PARAMETER = re.compile(r"^\s*PARAMETER\s+(?P<name>\w+)\s+(?P<value>\S+)", re.IGNORECASE)
_TABBY_SIGNS = frozenset({"cache_mode", "gpu_split_auto", "max_seq_len", "autosplit_reserve", "model_dir"})


@dataclass(frozen=True, slots=True)
class Audited:
    """What the files ask for, and of those that could not be read or ask for nothing, why."""

    calls: tuple[Call, ...]
    unread: Mapping[str, str]


def read_configs(files: Mapping[str, str]) -> Audited:
    """All calls of all files in order. Variables of .env files stand for themselves and for `os.getenv` of the sources."""
    numbers = count(1)
    environment = {
        v.name: _env_setting(path, v) for path, text in files.items() if is_env(path) for v in variables(text)
    }
    calls: list[Call] = []
    unread: dict[str, str] = {}
    for path, text in files.items():
        found = list(islice(_calls(path, text, environment, numbers), MOST_CALLS + 1))
        if len(found) > MOST_CALLS:
            found[MOST_CALLS:] = [Unknown(f"only its first {MOST_CALLS} calls were looked at")]
        calls += [call for call in found if not isinstance(call, Unknown)]
        reasons = [call.reason for call in found if isinstance(call, Unknown)]
        if not found or reasons:
            unread[path] = reasons[0] if reasons else "no engine's call, command line or variable was found in it"
    return Audited(tuple(calls), unread)


def is_env(path: str) -> bool:
    """Whether a file holds variables for a program: .env, .env.speed, prod.env."""
    name = PurePath(path.replace("\\", "/")).name
    return name.startswith(".env") or name.endswith(".env")


def _env_setting(path: str, variable: Variable) -> Setting:
    """A variable of a .env file under its own name, whoever takes it."""
    name, value = variable.name, variable.value
    return Setting(
        name=name, value=value, written=f"{name}={value}", file=path, line=variable.line, program="environment"
    )


def _calls(
    path: str, text: str, environment: Mapping[str, Setting], numbers: Iterable[int]
) -> Iterator[Call | Unknown]:
    number = iter(numbers)
    name = PurePath(path.replace("\\", "/")).name
    if name.endswith((".py", ".pyw", ".ipynb")):
        source = code_of_notebook(text) if name.endswith(".ipynb") else text
        yield from [source] if isinstance(source, Unknown) else _of_python(path, source, environment, number)
        return
    if (
        name.startswith("Modelfile")
        or name.endswith(".modelfile")
        or (re.search(r"^FROM\s", text, re.M) and re.search(r"^PARAMETER\s", text, re.M))
    ):
        yield from _of_modelfile(path, text, number)
        return
    if name.endswith((".yml", ".yaml")):
        yield from _of_yaml(path, text, number)
    else:
        yield from (_of_command(path, command, number) for command in commands(text))
        for one in of_commands(text):
            yield _of_container(path, one, number)
            if "llama.cpp" in one.image and one.words:
                yield _of_command(path, Command("llama-server", one.words, one.line), number)
    yield from _of_variables(path, list(variables(text)), number)
    if name.endswith(SUFFIXES):
        yield from (_of_group(path, group, next(number)) for group in groups(name, text))
    elif name == "CMD_FLAGS.txt":  # text-generation-webui
        flags = " ".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        yield _of_command(path, Command("llama-server", (*words_of(flags), "$more"), 1), number)


def _of_group(path: str, group: Group, number: int) -> Call:
    at = _At(path, "llama-cpp-python", number)
    first = group.fields[0].line
    marker = at.setting(CALL, "llama_cpp.server", "model of llama_cpp.server", first)
    if not group.server:
        marker = at.setting(CALL, "variables", "settings", first)
    return (marker, *(at.setting(field.name, field.value, field.written, field.line) for field in group.fields))


def _of_python(
    path: str, text: str, environment: Mapping[str, Setting], number: Iterator[int]
) -> Iterator[Call | Unknown]:
    source = read_python(text, {name: str(setting.value) for name, setting in environment.items()})
    if isinstance(source, Unknown):
        yield source
        return
    for call in source.calls:
        yield _of_call(path, call, next(number), environment)
    for command in source.commands:
        yield _of_command(path, command, number)
    yield from _of_variables(path, [Variable(v.name, _text(v.value), v.line) for v in source.variables], number)


def _text(value: Value) -> str:
    return "${unknown}" if isinstance(value, Unknown) else str(value)


def _of_call(path: str, call: PythonCall, number: int, environment: Mapping[str, Setting]) -> Call:
    at = _At(path, call.program, number)
    found = [at.setting(a.name, a.value, a.written, a.line, environment.get(a.variable)) for a in call.arguments]
    if call.open:
        found.append(at.setting(UNSEEN, Unknown("arguments that are collected elsewhere"), "**", call.line))
    return (at.setting(CALL, call.callee, f"{call.callee}(...)", call.line), *found)


@dataclass(frozen=True, slots=True)
class _At:
    """Where settings stand: their file, whose they are, and the number of their call."""

    file: str
    program: str
    number: int

    def setting(self, name: str, value: Value, written: str, line: int, taken_from: Setting | None = None) -> Setting:
        return Setting(
            name=name, value=value, written=written, file=self.file, line=line, program=self.program, call=self.number,
            taken_from=taken_from,
        )  # fmt: skip


def _of_command(path: str, command: Command, number: Iterator[int]) -> Call:
    server = command.program == "llama_cpp.server"
    program = "llama-cpp-python" if server else "llama-server" if command.program == "llama-server" else "llama-cli"
    read = read_fields if server else read_options
    found = list(read(command.words))
    if _more(path, command):
        found.append((UNSEEN, Unknown("arguments that are given elsewhere"), "**"))
    return _call(path, command.line, program, command.program, found, next(number))


def _more(path: str, command: Command) -> bool:
    """Whether the program may get more than its command line says: `"$@"`, a configuration file, an image's variables."""
    image = PurePath(path).name.startswith("Dockerfile") and command.program == "llama_cpp.server"
    pairs = zip(("", *command.words), command.words, strict=False)
    return image or any(
        word.startswith("--config_file") or (word.startswith("$") and not before.startswith("-"))
        for before, word in pairs
    )


def _call(path: str, line: int, program: str, callee: str, found: list[Found], number: int) -> Call:
    at = _At(path, program, number)
    return (
        at.setting(CALL, callee, callee, line),
        *(at.setting(name, value, text, line) for name, value, text in found),
    )


def _of_variables(path: str, found: list[Variable], number: Iterator[int]) -> Iterator[Call]:
    """One call for each program whose variables are set; the last value of a name wins."""
    by_program: dict[str, dict[str, Variable]] = {}
    for variable in found:
        theirs = variable.name.startswith(("LLAMACPP_", "LLAMA_CPP_")) and not field_of(variable.name)
        if not theirs:  # an application's own settings: temperature, search, log level
            by_program.setdefault(_program(variable.name), {})[variable.name] = variable
    for program, chosen in by_program.items():
        at = _At(path, program, next(number))
        settings = [at.setting(*read_variable(one.name, one.value), one.line) for one in chosen.values()]
        yield (at.setting(CALL, "variables", "variables", settings[0].line), *settings)


def _program(name: str) -> str:
    """Whose variable it is."""
    if name.startswith("OLLAMA_"):
        return "ollama"
    if name.startswith("LLAMA_ARG_"):
        return "llama-server"
    if name.startswith("EXLLAMA_"):
        return "exllamav2"
    return "llama-cpp-python" if field_of(name) else "environment"


def _of_modelfile(path: str, text: str, number: Iterator[int]) -> Iterator[Call]:
    found = []
    for line, match in ((at, _PARAMETER.match(one)) for at, one in enumerate(text.splitlines(), 1)):
        if match:
            found.append((line, match["name"].lower(), match["value"]))
    at = _At(path, "ollama", next(number))
    settings = [at.setting(name, read_value(value), f"PARAMETER {name} {value}", line) for line, name, value in found]
    yield (at.setting(CALL, "Modelfile", "Modelfile", 1), *settings)


def _of_yaml(path: str, text: str, number: Iterator[int]) -> Iterator[Call]:
    found = list(entries(text))
    model = [entry for entry in found if entry.path[:1] == ("model",) and len(entry.path) == 2 and entry.value]
    if {entry.key for entry in model} & _TABBY_SIGNS:
        at = _At(path, "tabbyapi", next(number))
        settings = [at.setting(e.key, _yaml_value(e.value), f"{e.key}: {e.value}", e.line) for e in model]
        yield (at.setting(CALL, "config.yml", "config.yml", model[0].line), *settings)
        return
    yield from (_of_container(path, one, number) for one in of_compose(found))
    images = {entry.path[:-1]: entry.value for entry in found if entry.key == "image"}
    for entry in found:
        if entry.key in {"command", "cmd", "args", "entrypoint"} and entry.value:
            yield from _yaml_commands(path, entry, images, number)


def _of_container(path: str, one: Container, number: Iterator[int]) -> Call:
    at = _At(path, "container", next(number))
    passed = "a GPU is passed" if one.gpu else "no GPU is passed"
    return (
        at.setting(CALL, one.name, one.name, one.line),
        at.setting("image", one.image, f"image {one.image}", one.line),
        at.setting("gpu", one.gpu, passed, one.line),
        at.setting("cpu_image", one.cpu_image, f"image {one.image}", one.line),
    )


def _yaml_commands(
    path: str, entry: Entry, images: Mapping[tuple[str, ...], str], number: Iterator[int]
) -> Iterator[Call]:
    text = re.sub(r"(?<!\\)\\\s+", " ", f"{entry.value} ")
    found = list(commands_in(text, entry.line))
    image = images.get(entry.path[:-1], "")
    if not found and "llama.cpp" in image and entry.key != "entrypoint":
        found = list(commands_in(f"llama-server {text}", entry.line))
    yield from (_of_command(path, one, number) for one in found)


def _yaml_value(text: str) -> Value:
    return text.strip("[] ") if text.startswith("[") else read_value(text)

"""Calls of engines in a Python source, read with `ast` alone: `Llama(...)`, LangChain, LlamaIndex, ExLlama, Ollama's client."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from vramctl.formats.config_lines import KNOWN_VARIABLE, Command, commands_in
from vramctl.formats.config_names import Names, dotted
from vramctl.formats.config_options import FIELDS, Value
from vramctl.records.unknown import Unknown

LLAMA, EXL2, EXL3, OLLAMA = "llama-cpp-python", "exllamav2", "exllamav3", "ollama"
# Classes by their last name. LangChain's and LlamaIndex's hand their arguments on to `Llama()`.
_CLASSES: dict[str, str] = {
    "Llama": LLAMA, "LlamaCpp": LLAMA, "ChatLlamaCpp": LLAMA, "LlamaCppEmbeddings": LLAMA, "LlamaCPP": LLAMA,
    "LlamaCppGenerator": LLAMA, "LlamaCppChatGenerator": LLAMA, "ModelSettings": LLAMA,
    "ChatOllama": OLLAMA, "OllamaLLM": OLLAMA, "Ollama": OLLAMA, "OllamaEmbeddings": OLLAMA,
    "ExLlamaV2Config": EXL2, "ExLlamaV2Cache": EXL2, "ExLlamaV2Cache_8bit": EXL2, "ExLlamaV2Cache_Q4": EXL2,
    "ExLlamaV2Cache_Q6": EXL2, "ExLlamaV2Cache_Q8": EXL2, "ExLlamaV2DynamicGenerator": EXL2,
}  # fmt: skip
_RENAMED = {"context_window": "n_ctx", "n_seq_max": "n_parallel"}
_NESTED = frozenset({"model_kwargs", "options"})
_PROGRAMS = frozenset({"llama-server", "llama-cli", "llama-completion", "llama-mtmd-cli", "llama-run"})
# Modules that have these classes, or hand them on.
_ENGINES = ("llama_cpp", "haystack", "langchain", "llama_index", "exllamav2", "exllamav3", "ollama")
_SHELLS = frozenset({
    "run", "Popen", "call", "check_call", "check_output", "system", "popen", "split", "getoutput", "create_subprocess_shell",
})  # fmt: skip
LARGEST_SOURCE = 2 << 20


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call, its value as far as it is known."""

    name: str
    value: Value
    written: str
    line: int
    variable: str = ""
    """The variable of the .env files from which the value is taken."""


@dataclass(frozen=True, slots=True)
class PythonCall:
    """One call of an engine: `callee` as written, its arguments; `open` where others may be given that cannot be seen."""

    program: str
    callee: str
    line: int
    arguments: tuple[Argument, ...]
    open: bool = False


@dataclass(frozen=True, slots=True)
class PythonSource:
    """What a source asks for: calls of engines, variables that it sets, command lines that it starts."""

    calls: tuple[PythonCall, ...]
    variables: tuple[Argument, ...]
    commands: tuple[Command, ...]


def read_python(text: str, environment: Mapping[str, str]) -> PythonSource | Unknown:
    """What the source asks for; `environment` are the variables of the .env files given with it."""
    if len(text) > LARGEST_SOURCE:
        return Unknown("it is too large for a source file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Unknown(f"it cannot be read as Python: {str(error) or type(error).__name__}"[:160])
    try:
        return _read(tree, Names(tree, environment, _CLASSES))
    except RecursionError:
        return Unknown("its expressions are nested too deeply")


def _read(tree: ast.Module, names: Names) -> PythonSource:
    calls: list[PythonCall] = []
    variables: list[Argument] = []
    commands: list[Command] = []
    exl3 = any(_imports(node, "exllamav3") for node in ast.walk(tree))
    origins = Origins.of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            calls += _call(node, names, origins, exl3=exl3)
            variables += _set_default(node, names)
            commands += _shell(node)
        elif isinstance(node, ast.Assign):
            variables += _set(node, names)
        elif isinstance(node, ast.List | ast.Tuple):
            commands += _command(node, names)
    if any(_imports(node, "xllamacpp") for node in ast.walk(tree)):
        calls += _params(tree, names)
    calls.sort(key=lambda call: call.line)
    return PythonSource(tuple(calls), tuple(variables), tuple(commands))


def _imports(node: ast.AST, module: str) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == module
    return isinstance(node, ast.Import) and any(name.name.split(".")[0] == module for name in node.names)


def _params(tree: ast.Module, names: Names) -> Iterator[PythonCall]:
    """What is set on xllamacpp's CommonParams: `params.n_gpu_layers = 99`."""
    found: list[Argument] = []
    for node in ast.walk(tree):
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        if not isinstance(node, ast.Assign) or not isinstance(target, ast.Attribute):
            continue
        if target.attr == "no_kv_offload" and isinstance(node.value, ast.Constant):
            written = ast.unparse(node)[:120]
            found.append(Argument("offload_kqv", not node.value.value, written, node.lineno))
        elif target.attr in FIELDS:
            found += _argument(target.attr, node.value, names)
    if found:
        yield PythonCall("llama-cli", "CommonParams", found[0].line, tuple(found), open=True)


@dataclass(frozen=True, slots=True)
class Origins:
    """Where a file has its names from: `as_` are names given on import, `foreign` classes that may be another's; `guidance` is
    whether it uses guidance, whose LlamaCpp has other defaults than LangChain's."""

    as_: Mapping[str, str]
    foreign: frozenset[str]
    guidance: bool

    @classmethod
    def of(cls, tree: ast.Module) -> Origins:
        """Of all imports and classes of a source."""
        given: dict[str, str] = {}
        foreign: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                given |= {name.asname: name.name for name in node.names if name.asname and name.name in _CLASSES}
                if node.level or not (node.module or "").startswith(_ENGINES):
                    foreign |= {name.name for name in node.names}
            elif isinstance(node, ast.ClassDef):
                foreign.add(node.name)
        guidance = any(_imports(node, "guidance") for node in ast.walk(tree))
        return cls(given, frozenset(foreign), guidance)

    def has_another(self, last: str, node: ast.Call) -> bool:
        """Whether a class of this name is somebody else's: it comes from elsewhere, and takes none of the arguments."""
        given = {keyword.arg for keyword in node.keywords}
        return last in self.foreign and not given & {"model_path", *FIELDS, *_RENAMED, *_NESTED}


def _shell(node: ast.Call) -> Iterator[Command]:
    """The command lines in a text that is handed to a shell: `subprocess.run("llama-server ...", shell=True)`."""
    if dotted(node.func).rsplit(".", 1)[-1] in _SHELLS and node.args:
        text = node.args[0]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield from commands_in(text.value, node.lineno)
        elif isinstance(text, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "${unknown}" for part in text.values]
            yield from commands_in("".join(parts), node.lineno)


def _call(node: ast.Call, names: Names, origins: Origins, *, exl3: bool) -> Iterator[PythonCall]:
    callee = dotted(node.func)
    partial = callee.rsplit(".", 1)[-1] == "partial" and bool(node.args)
    if partial:
        callee = dotted(node.args[0])
        node = ast.copy_location(ast.Call(node.args[0], node.args[1:], node.keywords), node)
    first, _, rest = callee.partition(".")
    last = (f"{origins.as_[first]}.{rest}" if first in origins.as_ else callee).strip(".")
    last = last.removesuffix(".from_pretrained").rsplit(".", 1)[-1]
    program = "" if origins.has_another(last, node) else _CLASSES.get(last, "")
    if last == "Cache" and exl3:
        program = EXL3
    elif last in {"load_autosplit", "load"} and _load_of(node):
        program = EXL3 if exl3 else EXL2
    elif callee.rsplit(".", 1)[-1] in {"chat", "generate", "embed"} and any(k.arg == "options" for k in node.keywords):
        program = OLLAMA
    if not program or not callee:
        return
    arguments: list[Argument] = []
    unseen = (
        partial
        or (last == "LlamaCpp" and origins.guidance)
        or any(isinstance(argument, ast.Starred) for argument in node.args)
    )
    if last == "Llama" and node.args and not isinstance(node.args[0], ast.Starred):
        arguments += _argument("model", node.args[0], names)
    for keyword in node.keywords:
        inner = names.mapping(keyword.value) if keyword.arg is None or keyword.arg in _NESTED else None
        if inner is not None:
            for name, value in inner.items():
                arguments += _argument(name, value, names)
        elif keyword.arg is None or keyword.arg in _NESTED:
            unseen = True
        else:
            arguments += _argument(keyword.arg, keyword.value, names)
    yield PythonCall(program, callee, node.lineno, tuple(arguments), unseen)


def _load_of(node: ast.Call) -> bool:
    """Whether `.load(...)` is an ExLlama model's: its arguments' names say so."""
    known = {"reserve_vram", "reserve_per_device", "use_per_device", "gpu_split", "tensor_p"}
    return dotted(node.func).endswith(".load_autosplit") or any(k.arg in known for k in node.keywords)


def _argument(name: str, node: ast.expr, names: Names) -> Iterator[Argument]:
    value = names.value(node)
    written = ast.unparse(node)
    if value is not None:
        name = "model" if name in {"model_path", "filename"} else _RENAMED.get(name, name)
        yield Argument(name, value, f"{name}={written[:120]}", node.lineno, names.variable_of(node))


def _set(node: ast.Assign, names: Names) -> Iterator[Argument]:
    """`os.environ["CUDA_VISIBLE_DEVICES"] = "0"`."""
    for target in node.targets:
        if isinstance(target, ast.Subscript) and dotted(target.value) in {"os.environ", "environ"}:
            yield from _variable(target.slice, node.value, names, node.lineno)


def _set_default(node: ast.Call, names: Names) -> Iterator[Argument]:
    if dotted(node.func) in {"os.environ.setdefault", "os.putenv"} and len(node.args) == 2:
        yield from _variable(node.args[0], node.args[1], names, node.lineno)


def _variable(name: ast.expr, value: ast.expr, names: Names, line: int) -> Iterator[Argument]:
    key = names.value(name)
    if isinstance(key, str) and KNOWN_VARIABLE.fullmatch(key):
        found = names.value(value)
        if found is not None:
            yield Argument(key, found, f"{key}={ast.unparse(value)[:120]}", line)


def _command(node: ast.List | ast.Tuple, names: Names) -> Iterator[Command]:
    """A list of words that starts one of llama.cpp's programs (`["llama-server", "-m", model]`)."""
    words = [_word(item, names) for item in _items(node)]
    if not words:
        return
    program = words[0].replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".exe")
    if program in _PROGRAMS:
        yield Command(program, tuple(words[1:]), node.lineno)
    elif "llama_cpp.server" in words:
        yield Command("llama_cpp.server", tuple(words[words.index("llama_cpp.server") + 1 :]), node.lineno)


def _items(node: ast.List | ast.Tuple) -> Iterable[ast.expr]:
    return node.elts[:200]


def _word(item: ast.expr, names: Names) -> str:
    if isinstance(item, ast.Constant):
        return str(item.value)
    value = names.value(item)
    return "${unknown}" if value is None or isinstance(value, Unknown) else str(value)

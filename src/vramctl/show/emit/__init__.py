"""A plan as an engine's own configuration: one file a form, all listed in `EMITTERS`."""

from __future__ import annotations

from collections.abc import Callable

from vramctl.errors import BadInput
from vramctl.records import Plan
from vramctl.show.emit.env import emit_env
from vramctl.show.emit.exllamav2 import emit_exllamav2
from vramctl.show.emit.exllamav3 import emit_exllamav3
from vramctl.show.emit.llama_cpp_python import emit_llama_cpp_python
from vramctl.show.emit.llama_server import emit_llama_server
from vramctl.show.emit.llama_swap import emit_llama_swap
from vramctl.show.emit.ollama import emit_ollama
from vramctl.show.emit.tabbyapi import emit_tabbyapi

# form, the program (`--for`) and the engine it is for, what writes it
EMITTERS: tuple[tuple[str, str, str, Callable[[Plan], str]], ...] = (
    ("llama-server", "llama-server", "llama.cpp", emit_llama_server),
    ("llama-cpp-python", "llama-cpp-python", "llama.cpp", emit_llama_cpp_python),
    ("env", "llama-server", "llama.cpp", emit_env),
    ("ollama", "ollama", "llama.cpp", emit_ollama),
    ("llama-swap", "llama-server", "llama.cpp", emit_llama_swap),
    ("exllamav2", "exllamav2", "exllamav2", emit_exllamav2),
    ("exllamav3", "exllamav3", "exllamav3", emit_exllamav3),
    ("tabbyapi", "tabbyapi", "exllamav3", emit_tabbyapi),
)
FORMS = tuple(form for form, *_ in EMITTERS)


def emit(plan: Plan, form: str) -> str:
    """The plan as the text of `form`, ready to be saved or run; BadInput where that form cannot say it."""
    for name, _, _, write in EMITTERS:
        if name == form:
            return write(plan)
    raise BadInput(
        "emit-unknown-form",
        f"There is no --emit {form}.",
        because=(f"the forms are {', '.join(FORMS)}",),
        fix="Choose one of them.",
    )


def program_of(form: str) -> str:
    """The program (`--for`) whose configuration `form` is: what to plan for when the user names only the form."""
    return next(program for name, program, _, _ in EMITTERS if name == form)

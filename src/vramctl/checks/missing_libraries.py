"""What an engine does not find: which libraries, who needs them, where they lie instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vramctl.records.facts import Engine
from vramctl.records.unknown import Unknown


def missing_names(engine: Engine, form: str) -> list[str]:
    """Names that are found nowhere, each once; a library whose imports were not searched says nothing."""
    return list(
        dict.fromkeys(
            name
            for library in engine.libraries
            if library.form == form and not isinstance(library.missing, Unknown)
            for name in library.missing
        )
    )


def needed_by(engine: Engine, missing: Sequence[str]) -> Iterator[str]:
    """A line for each library that needs some of them."""
    for library in engine.libraries:
        names = [name for name in library.needed if name in missing]
        if names:
            yield f"{library.path} needs {', '.join(names)}"


def lies_in(engine: Engine, missing: Sequence[str]) -> Iterator[str]:
    """A line for each that exists where the loader does not look."""
    places = {name: path for library in engine.libraries for name, path in library.elsewhere.items() if name in missing}
    for name, path in places.items():
        yield f"{name} lies in {path}, where the loader does not look"


def load_error(engine: Engine) -> tuple[str, ...]:
    """What importing the engine said, as evidence; nothing where it worked."""
    return (
        (f"loading it: {engine.import_error}",) if isinstance(engine.import_error, str) and engine.import_error else ()
    )

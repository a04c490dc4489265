"""`vramctl schema NAME`: the JSON Schema of what --json prints."""

from __future__ import annotations

import click

from vramctl.cli.output import answer_json, write
from vramctl.show.schemas import NAMES, schema


@click.command("schema")
@click.argument("name", type=click.Choice(NAMES), required=False)
@click.option("--json", "as_json", is_flag=True, hidden=True, help="A schema is always JSON.")
def command(*, name: str | None, as_json: bool) -> int:
    """Print the JSON Schema (draft 2020-12) of a document; without NAME, list them."""
    if name is None:
        write("".join(f"{known}\n" for known in NAMES))
    else:
        answer_json(schema(name))
    return 0

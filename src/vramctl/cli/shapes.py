"""`vramctl shapes [TEXT]`: the models that can be planned without a file."""

from __future__ import annotations

import click

from vramctl.cli.options import output_options
from vramctl.cli.output import Output, answer, answer_json
from vramctl.errors import BadInput
from vramctl.show.listing import listing

EPILOG = """\b
Examples:
  vramctl shapes qwen
  vramctl plan shape:qwen3-8b@Q4_K_M --gpu 12GiB
"""


@click.command("shapes", epilog=EPILOG)
@click.argument("text", required=False)
@output_options
def command(*, text: str | None, out: Output) -> int:
    """List the built-in shapes, or those whose name, title or family has TEXT."""
    from vramctl.shapes.build import quants
    from vramctl.shapes.catalogue import SHAPES

    wanted = (text or "").lower()
    found = [shape for shape in SHAPES if wanted in f"{shape.name} {shape.title} {shape.family}".lower()]
    if not found:
        raise BadInput(
            "unknown-shape",
            f"No built-in shape has {text!r} in its name.",
            because=(f"there are {len(SHAPES)}",),
            fix="List them all with vramctl shapes.",
        )
    if out.json:
        shapes = [
            {
                "name": shape.name,
                "title": shape.title,
                "family": shape.family,
                "parameters": shape.parameters or {"unknown": "the publisher states only a rounded figure"},
                "source": shape.source,
            }
            for shape in found
        ]
        answer_json({"schema": "vramctl.shapes/1", "shapes": shapes, "quantizations": list(quants())})
        return 0
    rows = [(shape.name, shape.title, shape.family, shape.source) for shape in found]
    note = f"Write shape:{found[0].name}@Q4_K_M, or another of {', '.join(quants())}."
    answer(listing(("shape", "model", "family", "from"), rows, out.page, note=note), None)
    return 0

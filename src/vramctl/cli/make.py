"""`vramctl make MODEL`: a file with the model's own header, types and sizes, and invented weights."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from vramctl.cli.options import output_options
from vramctl.cli.output import Output, answer, answer_json, write
from vramctl.cli.progress import progress_bar
from vramctl.cli.values import ModelReference
from vramctl.errors import BadInput

EPILOG = """\b
MODEL is a GGUF file, https://HOST/FILE.gguf, hf:ORG/REPO/FILE.gguf, ollama:NAME
or shape:NAME@QUANT; of a remote one the header is fetched and nothing else.

\b
Examples:
  vramctl make shape:llama3.1-8b@Q4_K_M                 4.6 GiB in seconds
  vramctl make hf:ORG/REPO/FILE.gguf -o stand-in.gguf   before 18 GB are fetched
  vramctl make model.gguf -o shareable.gguf             its shape, not its weights
  vramctl make --list                                   what bench and verify keep

\b
Memory and speed are the model's; its text is noise. Exit code: 0 written, 1 the
disk is too small or full (nothing is left there then), 2 wrong usage.
"""


@click.command("make", epilog=EPILOG)
@click.argument("model", type=ModelReference(), required=False)
@click.option("--output", "-o", metavar="FILE", help="Where to write. Default: the model's name, in this folder.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Other weights.")
@click.option("--list", "listed", is_flag=True, help="List the stand-ins that are kept for bench and verify.")
@click.option("--clear", is_flag=True, help="Remove the kept stand-ins that are not in use.")
@output_options
def command(
    *, model: str | None, output: str | None, force: bool, seed: int, listed: bool, clear: bool, out: Output
) -> int:
    """Write a GGUF of MODEL with its real header and sizes, and invented weights."""
    if listed or clear:
        if model is not None or output is not None:
            raise BadInput("usage", "--list and --clear take no MODEL.", because=(), fix="Leave out one of the two.")
        return _shelf(out, clear=clear)
    if model is None:
        raise click.UsageError("Missing argument 'MODEL'.", click.get_current_context())
    return _make(model, Path(output) if output is not None else None, out, force=force, seed=seed)


def _make(reference: str, path: Path | None, out: Output, *, force: bool, seed: int) -> int:
    from vramctl.engines.stand_in_file import look_room, prepare, refuse_taken, write_stand_in
    from vramctl.probes.models import look_model
    from vramctl.show import make_json, make_text

    model = look_model(reference)
    path = path or Path(_default_name(reference))
    refuse_taken(path, force=force)
    stand_in = prepare(model, seed=seed)
    room = look_room(stand_in, path.absolute().parent)
    write(make_text.room_text(room, str(path)), stream=sys.stderr)
    with progress_bar() as progress:
        written = write_stand_in(stand_in, path, progress=progress, force=force)
    if out.json:
        answer_json(make_json.make_document(written, room, model))
    else:
        answer(make_text.written_text(written, model), None)
    return 0


def _shelf(out: Output, *, clear: bool) -> int:
    from vramctl.engines.stand_in_cache import look_cache
    from vramctl.records.stand_in import Shelf
    from vramctl.show import make_json, make_text

    cache = look_cache()
    removed = cache.clear() if clear else ()
    shelf = Shelf(str(cache.folder), cache.limit_bytes, cache.kept(), removed, cache.unfinished())
    if out.json:
        answer_json(make_json.shelf_document(shelf))
    else:
        answer(make_text.shelf_text(shelf, out.page), None)
    return 0


def _default_name(reference: str) -> str:
    """`llama3.1-8b-Q4_K_M.stand-in.gguf` for `shape:llama3.1-8b@Q4_K_M`: the last part, without what no file should have."""
    last = reference.partition("?")[0].rstrip("/").rpartition("/")[2]
    scheme, _, rest = last.partition(":")
    last = rest if scheme.lower() in ("shape", "ollama", "hf") else last
    stem = re.sub(r"\.gguf(?=@|$)", "", last, flags=re.IGNORECASE)
    return (re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:120] or "model") + ".stand-in.gguf"

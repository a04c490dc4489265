"""What `vramctl bench` answers: the text or document, the files asked for, floors and comparisons, the exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vramctl.cli.output import Output, answer, answer_json, write, write_file
from vramctl.errors import BadInput

if TYPE_CHECKING:
    from vramctl.records.measurement import Bench, Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where a run is written beside what is printed; None where it is not."""

    save: str | None = None
    html: str | None = None
    png: str | None = None
    smoke: str | None = None

    def refuse_unwritable(self) -> None:
        """BadInput where a file could not be written later: what was measured for minutes must not be lost."""
        for file in (self.save, self.html, self.png, self.smoke):
            if file is not None and (why := _unwritable(Path(file))):
                raise _cannot_write(file, why)
        if self.png is not None:
            from vramctl.show.sheet import refuse_without_pillow

            refuse_without_pillow()

    def written(self, bench: Bench) -> Iterator[tuple[str, bytes]]:
        """Each file's name with what stands in it."""
        from vramctl.show.bench_json import bench_document

        for file in (self.save, self.smoke):
            if file is not None:
                yield file, (json.dumps(bench_document(bench), indent=2) + "\n").encode()
        if self.html is not None:
            from vramctl.show.bench_page import html_page

            yield self.html, html_page(bench).encode()
        if self.png is not None:
            from vramctl.show.bench_picture import bench_png

            yield self.png, bench_png(bench)


def _unwritable(path: Path) -> str:
    """Why the file cannot be written, as far as can be seen before; "" where nothing speaks against it."""
    try:
        if path.is_dir():
            return "it is a folder"
        if path.exists():
            return "" if os.access(path, os.W_OK) else "it may not be written"
        folder = next(one for one in path.absolute().parents if one.exists())
    except OSError as error:
        return error.strerror or str(error)
    if not folder.is_dir():
        return f"{folder} is no folder"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"nothing may be written into {folder}"


def _cannot_write(file: str, why: str) -> BadInput:
    return BadInput(
        "cannot-write",
        f"{file} cannot be written.",
        because=(why,),
        fix="Give a file in a folder that can be written.",
    )


def tell(bench: Bench, files: Files, out: Output, *, as_markdown: bool) -> int:
    """Writes the files and prints the answer.

    The exit code: 1 where a row failed, 2 where a file could not be written after all, 3 where nothing was measured; that of
    the signal (130, 143) where one ended the run early.
    """
    from vramctl.show import bench_json, bench_text

    code = _outcome(bench)
    for file, content in files.written(bench):
        code = max(code, _written(file, content))
    if out.json:
        answer_json(bench_json.bench_document(bench))
    else:
        write(bench_text.markdown(bench) if as_markdown else bench_text.bench_text(bench, out.page))
    return bench.ended_by or code


def _written(file: str, content: bytes) -> int:
    """0 where the file was written, else 2, which is said."""
    try:
        write_file(file, content)
    except OSError as error:
        write(f"{file} cannot be written: {error.strerror or error}\n", stream=sys.stderr)
        return 2
    write(f"{file} was written\n", stream=sys.stderr)
    return 0


def _outcome(bench: Bench) -> int:
    """1 where a row failed, 3 where nothing was measured at all."""
    from vramctl.records.measurement import Stat

    if any(row.failed for row in bench.rows):
        return 1
    figures = ("prefill_tokens_per_second", "decode_tokens_per_second", "throughput_tokens_per_second", "ttft_seconds")
    return 0 if any(isinstance(getattr(row, name), Stat) for row in bench.rows for name in figures) else 3


def below_floor(bench: Bench, floor: float | None) -> int:
    """1 where a row decodes slower than the floor, or nobody knows how fast; says which."""
    from vramctl.records.measurement import Stat

    if floor is None:
        return 0
    for row in bench.rows:
        decode = row.decode_tokens_per_second
        if not isinstance(decode, Stat) or decode.median < floor:
            told = f"{decode.median:.1f} tokens/s" if isinstance(decode, Stat) else "not known"
            write(f"decode of {row.name or bench.model} is {told}, the floor is {floor:g}\n", stream=sys.stderr)
            return 1
    write(f"the floor of {floor:g} tokens/s is held\n", stream=sys.stderr)
    return 0


def compared(before: Bench, after: Bench, name: str, out: Output) -> int:
    """Prints the comparison: 1 where something got worse, 3 where there is nothing to compare."""
    from vramctl.bench.against import against
    from vramctl.show import bench_text

    ratios = against(before, after)
    if not ratios:
        write(f"{name} and this run have no row in common: nothing was compared\n", stream=sys.stderr)
        return 3
    text = bench_text.compare_text((name, before), ("this run", after), ratios, out.page)
    write(f"\n{text}", stream=sys.stderr if out.json else sys.stdout)
    return _regression(before, after, ratios)


def _regression(before: Bench, after: Bench, ratios: Sequence[Ratio]) -> int:
    """1 where something got worse, 3 where it seems so and one of the two runs does not count."""
    from vramctl.show import bench_text

    if not any(bench_text.is_worse(one) for one in ratios):
        return 0
    return 1 if before.valid and after.valid else 3


def compare(files: tuple[str, ...], out: Output, *, html: str | None = None) -> int:
    """`vramctl bench compare BEFORE AFTER`: two saved runs, printed and written as a page where one is asked for."""
    from vramctl.bench.against import against
    from vramctl.show import bench_json, bench_text

    if len(files) != 2:
        raise click.UsageError("`bench compare` takes two saved runs: BEFORE AFTER.")
    before, after = (saved(file) for file in files)
    ratios = against(before, after)
    if not ratios:
        raise BadInput(
            "nothing-to-compare", "The two runs have no row in common.",
            because=("rows are matched by name, prompt and depth",), fix="Save both with the same options.",
        )  # fmt: skip
    code = _regression(before, after, ratios)
    if html is not None:
        from vramctl.show.compare_page import compare_page

        page = compare_page((files[0], before), (files[1], after), ratios)
        code = max(code, _written(html, page.encode()))
    if out.json:
        answer_json(bench_json.compare_document(files[0], files[1], ratios))
    else:
        answer(bench_text.compare_text((files[0], before), (files[1], after), ratios, out.page), None)
    return code


def saved(file: str) -> Bench:
    """A run that was written with --save or --json."""
    from vramctl.show.bench_read import read_bench
    from vramctl.world import read_small

    return read_bench(read_small(file, limit=64 << 20).decode("utf-8", "replace"), file)

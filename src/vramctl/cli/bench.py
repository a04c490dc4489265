"""`vramctl bench MODEL`: how fast is it here, and how far from the hardware's limit?"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from vramctl.cli.bench_report import Files, below_floor, compare, compared, saved, tell
from vramctl.cli.options import output_options, settings_options, utilization_option
from vramctl.cli.output import Output, write
from vramctl.cli.progress import progress_bar
from vramctl.cli.sections import SectionedCommand
from vramctl.cli.values import Contexts, Count, GpuLayers
from vramctl.records import Plan, Settings

if TYPE_CHECKING:
    from vramctl.bench.request import Effort, Request
    from vramctl.records.measurement import Bench
    from vramctl.records.stand_in import ModelFile

EPILOG = """\b
MODEL is what `vramctl plan` takes. One that is no local file runs as a
stand-in: its own header and sizes with invented weights (vramctl make --help).

\b
Examples:
  vramctl bench model.gguf
  vramctl bench shape:qwen3-30b-a3b@Q4_K_M        before 18 GB are fetched
  vramctl bench model.gguf --layers 0,8,16,auto   a table of n_gpu_layers
  vramctl bench model.gguf --long-context 512,4096,32768
  vramctl bench model.gguf --smoke --floor 20     for CI: exit 1 below 20 tok/s
  vramctl bench model.gguf --save before.json
  vramctl bench model.gguf --against before.json  exit 1 where it got slower
  vramctl bench compare before.json after.json --html changes.html
  vramctl bench model.gguf --parallel 1,4,16      through a server of its own
  vramctl bench http://127.0.0.1:8080 --parallel 1,4
  vramctl bench model.gguf --html report.html --png report.png

\b
Exit codes: 0 measured, 1 below a floor, slower than before or does not fit,
2 wrong usage, 3 nothing could be measured, or slower in a run that does not
count.
"""
SMOKE_FILE = "reports/perf_gpu_smoke.json"
SMOKE_PROMPT, SMOKE_DECODE, SHORT_SECONDS, SMOKE_SECONDS = 128, 32, 20.0, 40.0


@click.command("bench", cls=SectionedCommand, epilog=EPILOG)
@click.argument("model", nargs=-1, required=True, metavar="MODEL | compare BEFORE AFTER")
@utilization_option
@settings_options(several_parallel=True)
@click.option("--engine-path", metavar="PATH", type=click.Path(), help="The llama.cpp build to run.")
@click.option("--prompt", "prompt_tokens", type=Count(), default=512, show_default=True, help="Tokens of prompt.")
@click.option("--generate", "decode_tokens", type=Count(), default=64, show_default=True, help="Tokens to decode.")
@click.option("--depth", type=click.IntRange(0), default=0, help="Tokens in the cache before. Default: none.")
@click.option("--rounds", type=Count(), default=20, show_default=True, help="At most so many rounds.")
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="About so long for a row; --smoke, --all: 20.",
)
@click.option("--layers", metavar="N[,N...]", help="Compare these n_gpu_layers: 0,8,16,auto.")
@click.option("--long-context", type=Contexts(), default=(), help="Compare these lengths of context, CPU and GPU.")
@click.option("--smoke", is_flag=True, help=f"Under a minute; writes {SMOKE_FILE} too.")
@click.option("--floor", type=click.FloatRange(0), help="Exit 1 below so many decoded tokens per second.")
@click.option("--all", "everything", is_flag=True, help="Smoke, layers and long context in one report.")
@click.option("--against", metavar="FILE", help="Compare with a saved run; exit 1 where it got slower.")
@click.option("--save", metavar="FILE", help="Write the run as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table as Markdown.")
@click.option("--html", metavar="FILE", help="Write a report with charts.")
@click.option("--png", metavar="FILE", help="Write the report as one picture.")
@click.option("--force", is_flag=True, help="Load it although it does not fit.")
@output_options
def command(
    *, model: tuple[str, ...], settings: Settings, parallels: tuple[int, ...], utilization: float, engine_path: str | None,
    prompt_tokens: int, decode_tokens: int, depth: int, rounds: int, seconds: float, layers: str | None,
    long_context: tuple[int, ...], smoke: bool, floor: float | None, everything: bool, against: str | None, save: str | None,
    as_markdown: bool, html: str | None, png: str | None, force: bool, out: Output,
) -> int:  # fmt: skip
    """Measure prefill, decode, first token and load of MODEL here, beside what the hardware allows."""
    if model[0] == "compare":
        if save or png or as_markdown:
            raise click.UsageError("`bench compare` writes --html only: --save, --png and --markdown are for a run.")
        return compare(model[1:], out, html=html)
    if len(model) != 1:
        raise click.UsageError("Give one MODEL, or `compare BEFORE AFTER`.")
    from vramctl.bench.request import Effort, Request

    files = Files(save=save, html=html, png=png, smoke=SMOKE_FILE if smoke else None)
    files.refuse_unwritable()
    before = saved(against) if against else None
    effort = Effort(
        prompt_tokens=prompt_tokens, decode_tokens=decode_tokens, depth=depth, rounds=rounds, seconds=seconds,
        keep_sizes=_given("prompt_tokens") or _given("decode_tokens"),
    )  # fmt: skip
    effort = _less(effort, smoke=smoke, everything=everything)
    if before is not None and before.rows and not effort.keep_sizes:
        effort = replace(effort, prompt_tokens=before.rows[0].prompt_tokens, keep_sizes=True)
    request = Request(
        model=model[0], settings=settings, effort=effort, layers=_layers(layers), depths=long_context,
        on_cpu_too=bool(long_context), engine_path=engine_path, force=force, everything=everything, parallels=parallels,
        utilization=utilization,
    )  # fmt: skip
    bench = _run(request, out)
    code = tell(bench, files, out, as_markdown=as_markdown)
    if bench.ended_by:
        return code
    code = max(code, below_floor(bench, floor))
    return code if before is None or against is None else max(code, compared(before, bench, against, out))


def _given(option: str) -> bool:
    """Whether an option stands on the command line."""
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def _less(effort: Effort, *, smoke: bool, everything: bool) -> Effort:
    """The effort of a smoke test, and of each row of --all, where more was not asked for."""
    if smoke:
        effort = replace(
            effort,
            prompt_tokens=effort.prompt_tokens if _given("prompt_tokens") else min(effort.prompt_tokens, SMOKE_PROMPT),
            decode_tokens=effort.decode_tokens if _given("decode_tokens") else min(effort.decode_tokens, SMOKE_DECODE),
        )
    if (smoke or everything) and not _given("seconds"):
        effort = replace(effort, seconds=SHORT_SECONDS, in_all_seconds=SMOKE_SECONDS if smoke else math.inf)
    return effort


def _run(request: Request, out: Output) -> Bench:
    from vramctl.bench.job import run_bench
    from vramctl.bench.server import bench_parallel, bench_server, is_server
    from vramctl.planning.ready import refuse_not_run

    if is_server(request.model):
        return bench_server(request, say=talk_of_work(out))
    refuse_not_run(request.settings, through_server=bool(request.parallels))
    with ExitStack() as stack:
        if request.parallels:
            return bench_parallel(request, say=talk_of_work(out), open_file=lambda plan: stand_in_or_file(plan, stack))
        return run_bench(request, say=talk_of_work(out), open_file=lambda plan: stand_in_or_file(plan, stack))


def talk_of_work(out: Output) -> Callable[[str], None]:
    """Where long work is told about: where a person looks, or where --verbose asks."""
    if out.verbose or not sys.stderr.isatty():
        return out.progress
    return lambda text: write(f"{text}\n", stream=sys.stderr)


def stand_in_or_file(plan: Plan, stack: ExitStack) -> ModelFile:
    """A file that an engine can load for the plan's model: itself where it is a local GGUF, else a stand-in."""
    from vramctl.engines.stand_in_cache import stand_in_file
    from vramctl.show.make_text import room_text

    progress = stack.enter_context(progress_bar())
    return stack.enter_context(
        stand_in_file(
            plan.model,
            announce=lambda room: write(room_text(room, "the cache of stand-ins"), stream=sys.stderr),
            progress=progress,
        )
    )


def _layers(text: str | None) -> tuple[int | None, ...]:
    if text is None:
        return ()
    found = [GpuLayers().convert(part.strip(), None, None) for part in text.split(",") if part.strip()]
    if not found:
        raise click.UsageError("--layers takes numbers, auto or all: 0,8,16,auto.")
    return tuple(dict.fromkeys(None if value == "auto" else int(value) for value in found))

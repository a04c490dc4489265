"""`vramctl plan MODEL`: where every byte would go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import click

from vramctl.cli.options import device_options, output_options, settings_options, witness_options
from vramctl.cli.output import Output, answer, answer_json, write
from vramctl.cli.sections import SectionedCommand
from vramctl.cli.values import ModelReference
from vramctl.errors import BadInput
from vramctl.records import Plan, Settings
from vramctl.show.emit import FORMS, emit, program_of

EPILOG = """\b
MODEL is a GGUF file, a folder with safetensors, https://HOST/FILE.gguf,
hf:ORG/REPO/FILE.gguf, ollama:NAME or shape:NAME@QUANT (see vramctl shapes).

\b
Examples:
  vramctl plan model.gguf                          on this machine's GPUs
  vramctl plan model.gguf --gpu "RTX 3060" --ctx 16k
  vramctl plan model.gguf --gpu 12GiB --ctx 4k,8k,32k            a table
  vramctl plan model.gguf --gpu "RTX 3060" --gpu "RTX 4090" --each-gpu
  vramctl plan model.gguf --gpu "2x RTX 3090" --tensor-split 3,1
  vramctl plan shape:qwen3-30b-a3b@Q4_K_M --gpu 12GiB --cpu-moe
  vramctl plan model.gguf --emit llama-server -o run.sh
  vramctl plan model.gguf --engine-path venv/bin/python --engine-path llama.cpp/build/bin

\b
What you set is kept, the rest is chosen to fit. Exit code: 0 it fits (of a
table: at least one row), 1 it does not, 2 wrong usage, 3 could not tell.
"""


@click.command("plan", cls=SectionedCommand, epilog=EPILOG)
@click.argument("model", type=ModelReference())
@device_options
@click.option("--each-gpu", is_flag=True, help="A table with a row per --gpu, in the place of one machine with all.")
@settings_options(several_contexts=True)
@witness_options
@click.option(
    "--emit",
    "form",
    metavar="FORM",
    type=click.Choice(FORMS),
    help=f"Print the plan as a configuration: {', '.join(FORMS)}.",
)
@click.option("--output", "-o", metavar="FILE", help="Write the answer to FILE.")
@output_options
def command(
    *, model: str, gpus: tuple[str, ...], ram: str | None, utilization: float, each_gpu: bool,
    contexts: tuple[int, ...], settings: Settings, witness: str, engine_paths: tuple[str, ...],
    engine_version: str | None, form: str | None, output: str | None, out: Output,
) -> int:  # fmt: skip
    """Where would every byte of MODEL go?

    Says how much memory weights, KV cache and compute buffers take on each GPU, how many layers and how much context
    fit, who says so and whether that is exact. No GPU is needed: name one with --gpu.
    """
    _check_together(gpus, each_gpu, contexts, engine_paths, form, as_json=out.json)
    if form is not None and settings.program is None:
        settings = replace(settings, program=program_of(form))
    from vramctl.planning import Request, make_plans

    first = Request(
        model=model,
        settings=settings,
        gpus=gpus or None,
        ram=ram,
        utilization=utilization,
        witness=witness,
        engine_version=engine_version,
    )
    requests = [
        replace(first, gpus=machine, engine_path=path, settings=replace(settings, n_ctx=n_ctx))
        for machine in ([(gpu,) for gpu in gpus] if each_gpu else [first.gpus])
        for n_ctx in contexts or (None,)
        for path in engine_paths or (None,)
    ]
    plans = make_plans(requests, progress=out.progress)
    _show(plans, form, replace(out, file=output), compare=len(engine_paths) > 1)
    return 0 if (plans[-1].fits if len(engine_paths) > 1 else any(plan.fits for plan in plans)) else 1


def _show(plans: Sequence[Plan], form: str | None, out: Output, *, compare: bool) -> None:
    """One plan, a table, a difference or a configuration; as text or JSON."""
    if form is not None:
        answer(emit(plans[0], form).rstrip("\n") + "\n", out.file)
        from vramctl.show.verdict import verdict

        write(f"{verdict(plans[0]).plain}\n", stream=sys.stderr)
        return
    from vramctl.show import plan_diff, plan_json, plan_table, plan_text

    if out.json:
        document = (
            plan_diff.diff_document(plans[0], plans[1])
            if compare
            else plan_json.table_document(plans)
            if len(plans) > 1
            else plan_json.plan_document(plans[0])
        )
        answer_json(document, out.file)
        return
    page = out.page if out.file is None else replace(out.page, colour=False, unicode=True)
    if compare:
        text = plan_diff.diff_text(plans[0], plans[1], page)
    else:
        text = plan_table.table_text(plans, page) if len(plans) > 1 else plan_text.plan_text(plans[0], page)
    answer(text, out.file)


def _check_together(
    gpus: tuple[str, ...], each_gpu: bool, contexts: tuple[int, ...], engine_paths: tuple[str, ...],
    form: str | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Refuse options that ask for two things at once."""
    table = len(contexts) > 1 or each_gpu
    if each_gpu and not gpus:
        raise _contradiction("--each-gpu needs GPUs to compare.", "Name them: --gpu 'RTX 3060' --gpu 'RTX 4090'.")
    if len(engine_paths) > 2:
        raise _contradiction(f"{len(engine_paths)} builds were named.", "Give --engine-path once, or twice to compare.")
    if len(engine_paths) == 2 and table:
        raise _contradiction("A table cannot compare two builds.", "Give one --ctx, or one --engine-path.")
    if form is not None and (table or len(engine_paths) == 2):
        raise _contradiction("--emit writes one plan, and several were asked for.", "Give one --ctx and one build.")
    if form is not None and as_json:
        raise _contradiction("--emit and --json are two forms of one answer.", "Give one of them.")


def _contradiction(what: str, fix: str) -> BadInput:
    return BadInput("usage", what, because=(), fix=fix)

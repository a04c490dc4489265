"""The options that many commands share: settings of a load, the engine to ask, how to answer."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from vramctl.cli.output import Output, stream_page, talk
from vramctl.cli.values import (
    Contexts,
    Count,
    Gpu,
    GpuLayers,
    KvTypes,
    ModelReference,
    Share,
    Shares,
    Size,
    TensorOverride,
)
from vramctl.records import Settings
from vramctl.show.settings_text import ALL_EXPERTS

Command = Callable[..., int]
ENGINES = ("llama.cpp", "exllamav2", "exllamav3", "ollama")
PROGRAMS = ("llama-server", "llama-cpp-python", "ollama", "exllamav2", "exllamav3", "tabbyapi")
WITNESSES = ("auto", "dry-run", "fit-params", "formula")

_PARALLEL = click.option("--parallel", "-np", "n_parallel", type=Count(), help="Sequences at the same time.")
_PARALLELS = click.option(
    "--parallel",
    "-np",
    "parallels",
    type=Contexts(),
    default=(),
    help="Requests at the same time, against a server: 1,4,16.",
)
_SETTINGS = (
    click.option(
        "--engine", metavar="ENGINE", type=click.Choice(ENGINES), help=f"What runs the model: {', '.join(ENGINES)}."
    ),
    click.option(
        "--for", "program", metavar="PROGRAM", type=click.Choice(PROGRAMS),
        help=f"The program whose defaults fill what is left open: {', '.join(PROGRAMS)}."
    ),
    _PARALLEL,
    click.option("--batch", "n_batch", type=Count(), help="Tokens a call may hand in."),
    click.option("--ubatch", "n_ubatch", type=Count(), help="Tokens computed at once."),
    click.option(
        "--ngl", "n_gpu_layers", metavar="N|auto|all", type=GpuLayers(),
        help="Layers on the GPU, the output layer counted.",
    ),
    click.option("--kv-type", type=KvTypes(), help="Type of the KV cache: one for both, or K,V."),
    click.option("--flash-attn", type=click.Choice(["on", "off", "auto"]), help="Flash attention."),
    click.option("--no-kv-offload", "offload_kqv", flag_value=False, default=None, help="Keep the KV cache in RAM."),
    click.option("--split", "split_mode", type=click.Choice(["layer", "row", "none"]), help="How GPUs share a model."),
    click.option("--tensor-split", type=Shares(), help="Parts per GPU, such as 3,1 (ExLlama: GiB)."),
    click.option("--main-gpu", metavar="N", type=click.IntRange(0, 63), help="The GPU used with --split none."),
    click.option("--n-cpu-moe", metavar="N", type=click.IntRange(0, 10_000), help="Experts of the first N layers stay in RAM."),
    click.option("--cpu-moe", is_flag=True, help="The experts of all layers stay in RAM."),
    click.option(
        "--override-tensor", "-ot", "tensor_overrides", type=TensorOverride(), multiple=True,
        help="Put tensors whose name matches RE in BUF (CPU, CUDA0). Repeatable.",
    ),
    click.option("--mmproj", metavar="FILE", help="The projector of a vision model, in the same sum."),
    click.option("--draft", metavar="MODEL", type=ModelReference(), help="A draft model, in the same sum."),
    click.option("--swa-full", flag_value=True, default=None, help="Sliding windows keep the whole context."),
    click.option(
        "--kv-unified/--no-kv-unified", default=None, help="One KV cache for all sequences, or one for each."
    ),
    click.option("--no-op-offload", "op_offload", flag_value=False, default=None, help="Host tensors compute on the host."),
    click.option("--no-mmap", "use_mmap", flag_value=False, default=None, help="Read the file instead of mapping it."),
    click.option("--threads", "n_threads", type=Count(), help="CPU threads."),
)  # fmt: skip
_CTX = click.option(
    "--ctx", "-c", "n_ctx", type=Count(), help="Tokens of context, all sequences together; 32k is 32768."
)
_CONTEXTS = click.option(
    "--ctx", "-c", "contexts", type=Contexts(), default=(),
    help="Tokens of context, all sequences together; 32k is 32768. With commas: a table.",
)  # fmt: skip


def settings_options(*, several_contexts: bool = False, several_parallel: bool = False) -> Callable[[Command], Command]:
    """A decorator: the options of one load, handed to the command as `settings`.

    With `several_contexts` the command gets `contexts`, in the order given and empty where none was, and
    `settings.n_ctx` is left open; `several_parallel` does the same for `parallels`.
    """
    options = [_CONTEXTS if several_contexts else _CTX, *_SETTINGS]
    if several_parallel:
        options[options.index(_PARALLEL)] = _PARALLELS

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_settings(**values: Any) -> int:
            own = {name: values.pop(name) for name in _OWN if name in values}
            return command(settings=_settings(own), **values)

        return _stacked(with_settings, tuple(options))

    return decorate


_OWN = (
    "engine", "program", "n_ctx", "n_parallel", "n_batch", "n_ubatch", "n_gpu_layers", "kv_type", "flash_attn",
    "offload_kqv", "split_mode", "tensor_split", "main_gpu", "n_cpu_moe", "cpu_moe", "tensor_overrides", "mmproj",
    "draft", "swa_full", "kv_unified", "op_offload", "use_mmap", "n_threads",
)  # fmt: skip


def _settings(own: dict[str, Any]) -> Settings:
    """The record of what was asked for; what was not given stays None."""
    key, value = own.pop("kv_type") or (None, None)
    overrides = [pair for pairs in own.pop("tensor_overrides") for pair in pairs]
    if own.pop("cpu_moe"):
        if own["n_cpu_moe"] is not None:
            raise click.UsageError("--cpu-moe and --n-cpu-moe say the same thing differently: give one of them.")
        overrides.append(ALL_EXPERTS)
    if own["n_gpu_layers"] == "auto":
        own["n_gpu_layers"] = None
    return Settings(type_k=key, type_v=value, tensor_overrides=tuple(overrides) or None, **own)


utilization_option = click.option(
    "--utilization", metavar="SHARE", type=Share(), default=0.90, show_default=True,
    help="Share of each GPU that all programs together may hold.",
)  # fmt: skip


def device_options(command: Command) -> Command:
    """The machine that is planned for: `gpus` (None: this machine's), `ram`, `utilization`."""
    return _stacked(
        command,
        (
            click.option(
                "--gpu", "gpus", type=Gpu(), multiple=True,
                help="A GPU to plan for: 'RTX 3060', 12GiB, 'RTX 3060=9.5GiB', '2x RTX 3090' or none. "
                "Repeatable. Default: what this machine has.",
            ),
            click.option("--ram", type=Size(), help="System memory that may be used. Default: this machine's."),
            utilization_option,
        ),
    )  # fmt: skip


def witness_options(command: Command) -> Command:
    """Who is asked: `witness`, `engine_paths` (as many as were given) and `engine_version`."""
    return _stacked(
        command,
        (
            click.option(
                "--witness", metavar="KIND", type=click.Choice(WITNESSES), default="auto", show_default=True,
                help="Who says the numbers: dry-run (the engine's own allocator), fit-params "
                "(llama-fit-params), formula or auto.",
            ),
            click.option(
                "--engine-path", "engine_paths", metavar="PATH", multiple=True, type=click.Path(),
                help="The build to ask: a Python interpreter, a folder with libllama or a binary. "
                "Given twice: what changed between the two.",
            ),
            click.option("--engine-version", metavar="TEXT", help="The version a formula is for, such as 0.12.10."),
        ),
    )  # fmt: skip


def output_options(command: Command) -> Command:
    """How to answer: --json, --verbose, --debug, --no-color, handed to the command as `out`."""

    @functools.wraps(command)
    def with_output(*, as_json: bool, verbose: bool, debug: bool, no_color: bool, **values: Any) -> int:
        page = stream_page(sys.stdout, colour=False if no_color else None)
        talking = verbose or debug
        return command(out=Output(json=as_json, page=page, progress=talk(talking), verbose=talking), **values)

    return _stacked(
        with_output,
        (
            click.option("--json", "as_json", is_flag=True, help="Print one JSON document (see vramctl schema)."),
            click.option("--verbose", "-v", is_flag=True, help="Say on stderr what is being done."),
            click.option("--debug", is_flag=True, help="As --verbose, with tracebacks of errors."),
            click.option("--no-color", is_flag=True, help="No colours (NO_COLOR says the same)."),
        ),
    )


def _stacked(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    """The command with these options, in the order in which the help lists them."""
    for option in reversed(options):
        command = option(command)
    return command

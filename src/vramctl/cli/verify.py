"""`vramctl verify MODEL`: is it really on the GPU?"""

from __future__ import annotations

from contextlib import ExitStack

import click

from vramctl.cli.options import output_options, settings_options, utilization_option
from vramctl.cli.output import Output, answer_json, write
from vramctl.cli.sections import SectionedCommand
from vramctl.cli.values import ModelReference
from vramctl.records import Settings
from vramctl.records.verification import COULD_NOT_TELL, ON_GPU, Verification

EPILOG = """\b
Three witnesses are compared: what the plan says, what the engine reports, and
what the device shows while it decodes. MODEL is what `vramctl plan` takes; one
that is no local file runs as a stand-in (vramctl make --help).

\b
Examples:
  vramctl verify model.gguf
  vramctl verify model.gguf --ngl 30
  vramctl verify shape:llama3.1-8b@Q4_K_M --ctx 8k
  vramctl verify model.gguf --engine-path ~/llama.cpp/build/bin
  vramctl verify http://127.0.0.1:11434            an Ollama or llama-server
  vramctl verify --pid 4242

\b
Exit codes: 0 on the GPU, 1 not (wholly), 2 wrong usage, 3 could not tell.
"""


@click.command("verify", cls=SectionedCommand, epilog=EPILOG)
@click.argument("model", type=ModelReference(), required=False, metavar="MODEL|URL")
@utilization_option
@settings_options()
@click.option("--engine-path", metavar="PATH", type=click.Path(), help="The llama.cpp build to run.")
@click.option("--pid", type=click.IntRange(1), help="Verify this running process: nothing is loaded or ended.")
@click.option("--force", is_flag=True, help="Load it although it does not fit.")
@output_options
def command(
    *, model: str | None, settings: Settings, utilization: float, engine_path: str | None, pid: int | None, force: bool,
    out: Output,
) -> int:  # fmt: skip
    """Prove where MODEL is: weights, KV cache, and where attention runs."""
    from vramctl.bench.server import is_server, refuse_settings
    from vramctl.cli.bench import stand_in_or_file, talk_of_work
    from vramctl.engines.http_api import shown_url
    from vramctl.planning.ready import refuse_not_run
    from vramctl.verifying import Request, verify_model, verify_pid, verify_server

    if (model is None) == (pid is None):
        raise click.UsageError("Give a MODEL, the URL of a server, or --pid.")
    if pid is not None:
        refuse_settings(settings, f"process {pid}")
        return _tell(verify_pid(pid), out, model=f"process {pid}", engine="attached")
    assert model is not None
    if is_server(model):
        refuse_settings(settings, shown_url(model))
        return _tell(verify_server(model), out, model=shown_url(model), engine="attached")
    refuse_not_run(settings)
    request = Request(model=model, settings=settings, engine_path=engine_path, force=force, utilization=utilization)
    with ExitStack() as stack:
        found, _, engine = verify_model(
            request, say=talk_of_work(out), open_file=lambda made: stand_in_or_file(made, stack)
        )
    return _tell(found, out, model=model, engine=engine)


def _tell(found: Verification, out: Output, *, model: str, engine: str) -> int:
    from vramctl.show import verify_json, verify_text

    if out.json:
        answer_json(verify_json.verify_document(found, model=model, engine=engine))
    else:
        write(verify_text.verify_text(found, out.page, model=model, engine=engine))
    if found.verdict == COULD_NOT_TELL:
        return 3
    return 0 if found.verdict == ON_GPU else 1

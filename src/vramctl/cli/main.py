"""The program: finds the command, prints what went wrong, and exits with the code of the contract."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from vramctl import __version__
from vramctl.cli.group import LazyGroup
from vramctl.cli.output import AnswerLost, stream_page, write
from vramctl.errors import BadInput, VramctlError

OUR_BUG, INTERRUPTED = 70, 130
EPILOG = """\b
Examples:
  vramctl plan model.gguf --gpu "RTX 3060"
  vramctl doctor
  vramctl explain server.log
  vramctl verify model.gguf
  vramctl bench shape:llama3.1-8b@Q4_K_M

\b
Exit codes: 0 fine, 1 something is wrong, 2 wrong usage or
unreadable input, 3 could not tell, 70 a bug of vramctl.
"""


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="vramctl", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> int:
    """Language models on your own GPU: will it fit, why is it slow, is it really there, what went wrong.

    For llama.cpp, llama-cpp-python, Ollama and ExLlama. Every number names its witness.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    return 0


def run() -> NoReturn:
    """Run the program with this process's arguments and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started it: the exit code still says how it went
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the end
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a name that the terminal cannot show must not end the program
    for ending in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(ending) is not signal.SIG_IGN:  # nohup's wish stands
            signal.signal(ending, _terminated)
    sys.exit(main(sys.argv[1:]))


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Leaves by an exception, so that children and temporary files are cleaned up as on Ctrl-C."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error becomes text or, with --json, a document."""
    given = _before_dashes(arguments)
    if "_VRAMCTL_COMPLETE" in os.environ:
        from vramctl.cli.completion import register

        register()
    try:
        code = cli.main(list(arguments), prog_name="vramctl", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        return _report(_usage(error), given)
    except VramctlError as error:
        if "--debug" in given:
            _print_traceback()
        return _report(error, given)
    except Exception as error:
        if "--debug" in given:
            _print_traceback()
        return _report(_bug(error), given)


def _before_dashes(arguments: Sequence[str]) -> tuple[str, ...]:
    """The arguments that can be options: those before `--`."""
    given = tuple(arguments)
    return given[: given.index("--")] if "--" in given else given


def _report(error: VramctlError, given: Sequence[str]) -> int:
    """Print the error where it belongs, and return its exit code; where even that cannot be written, the code remains."""
    with contextlib.suppress(BadInput):
        if "--json" in given and not isinstance(error, AnswerLost):
            import json

            from vramctl.show.error_text import error_document

            write(json.dumps(error_document(error), indent=2) + "\n")
        else:
            from vramctl.show.error_text import error_text

            page = stream_page(sys.stderr, colour=False if "--no-color" in given else None)
            write(error_text(error, page), stream=sys.stderr)
    return error.exit_code


def _usage(error: click.ClickException) -> BadInput:
    """A mistake in the arguments, in the words of click and in our form."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "vramctl"
    usage = (context.get_usage().replace("Usage:", "usage:"),) if context is not None else ()
    return BadInput("usage", error.format_message(), because=usage, fix=f"{path} --help shows all options.")


def _bug(error: Exception) -> VramctlError:
    text = str(error).strip().splitlines()
    return VramctlError(
        "bug",
        f"vramctl {__version__} failed: {type(error).__name__}{': ' + text[0] if text else ''}",
        because=("this is a bug of vramctl, not of your command",),
        fix="Run the command again with --debug and report it with what that prints.",
        exit_code=OUR_BUG,
    )


def _print_traceback() -> None:
    import traceback

    traceback.print_exc(file=sys.stderr)

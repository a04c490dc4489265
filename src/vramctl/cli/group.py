"""The commands and where each lives; one is imported only when it is used."""

from __future__ import annotations

import difflib
from importlib import import_module

import click

# name, module, what `vramctl --help` says of it
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("plan", "vramctl.cli.plan", "Where would every byte of a model go?"),
    ("doctor", "vramctl.cli.doctor", "Why is the GPU not used, or used badly?"),
    ("explain", "vramctl.cli.explain", "What does this engine's log say went wrong?"),
    ("make", "vramctl.cli.make", "How big and fast is a model here, before it is downloaded?"),
    ("verify", "vramctl.cli.verify", "Is it really on the GPU?"),
    ("bench", "vramctl.cli.bench", "How fast is it here, and how far from the limit?"),
    ("gpus", "vramctl.cli.gpus", "Which GPUs are here, and which are known?"),
    ("shapes", "vramctl.cli.shapes", "Which models can be planned without a file?"),
    ("schema", "vramctl.cli.schema", "What does --json print? (JSON Schema)"),
    ("completion", "vramctl.cli.completion", "Print the completion script of a shell."),
)


class LazyGroup(click.Group):
    """A group that lists `COMMANDS` without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of the table."""
        return [name for name, _, _ in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name: the attribute `command` of its module; else one that was added by hand."""
        for name, module, _ in COMMANDS:
            if name == cmd_name:
                command: click.Command = import_module(module).command
                return command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where there is no such command."""
        if not ctx.resilient_parsing and args and args[0][:1] != "-" and self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands with one line each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, _, text in COMMANDS])

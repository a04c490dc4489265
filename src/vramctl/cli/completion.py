"""`vramctl completion SHELL`: the script that completes commands, options and values."""

from __future__ import annotations

from typing import Any, ClassVar

import click
from click.shell_completion import BashComplete, ShellComplete, add_completion_class, get_completion_class

from vramctl.cli.output import write

VARIABLE = "_VRAMCTL_COMPLETE"
EPILOG = """\b
Put this into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish:
  eval "$(vramctl completion bash)"
  eval "$(vramctl completion zsh)"
  vramctl completion fish | source
"""


class ColonBash(BashComplete):
    """Bash's completion for words with a colon or `=`, which bash takes apart (`shape:llama3.1-8b@Q4_K_M`)."""

    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one, from the line as it was typed."""
        import os

        from click.shell_completion import split_arg_string

        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)[1:]
        if line[-1:].isspace() or not words:
            return words, ""
        return words[:-1], words[-1]

    def format_completion(self, item: Any) -> str:
        """Type and value; of the value what comes after bash's last word break."""
        _, incomplete = self.get_completion_args()
        broken = max(incomplete.rfind(":"), incomplete.rfind("=")) + 1
        value = item.value[broken:] if item.value.startswith(incomplete[:broken]) else item.value
        return f"{item.type},{value}"


def register() -> None:
    """Let click answer bash's questions with `ColonBash`."""
    add_completion_class(ColonBash)


def script(shell: str) -> str:
    """The text to evaluate in that shell."""
    from vramctl.cli.main import cli

    found: type[ShellComplete] | None = ColonBash if shell == "bash" else get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    template = found(cli, {}, "vramctl", VARIABLE)
    return template.source_template % template.source_vars()


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(*, shell: str) -> int:
    """Print the script that makes SHELL complete vramctl's commands, options, shapes and GPUs."""
    write(script(shell) + "\n")
    return 0

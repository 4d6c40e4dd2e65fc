"""`catena completion`: what makes a shell complete command lines."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from compiler.cli.console import Console
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import CatenaError, Diagnostic

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_CATENA_COMPLETE"
"""What the script sets for Click, which then prints completions in the place of running the command."""


@verb("completion")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(SHELLS))
def completion(session: Session, shell: str) -> Outcome:
    """Print the script that makes a shell complete commands, options and their values.

    For bash, in ~/.bashrc: eval "$(catena completion bash)"
    """
    from compiler.cli.main import CATENA

    kind = get_completion_class(shell)
    assert kind is not None
    try:
        script = kind(CATENA, {}, "catena", _VARIABLE).source()
    except RuntimeError as error:  # Click asks bash for its version
        raise CatenaError(Diagnostic("CAT-C001", f"{shell} cannot complete: {error}")) from error

    def show(console: Console) -> None:
        console.out(script)

    return Outcome({"shell": shell, "script": script}, show)

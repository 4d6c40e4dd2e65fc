"""Showing that work goes on: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from compiler.cli.console import Color, Console

Say = Callable[[str], None]


@contextmanager
def activity(console: Console, what: str) -> Iterator[Say]:
    """Show `what` while the block runs; the function it is given prints a line above. Standard error is used.

    Nothing is shown when quiet, for `--no-progress` or for `--json`.
    """
    if not console.show_progress or console.is_quiet:
        yield _say_nothing
    elif sys.stderr.isatty() and console.color is not Color.NEVER:
        from rich.console import Console as RichConsole
        from rich.text import Text

        terminal = RichConsole(
            file=sys.stderr, no_color=not console.has_color(sys.stderr), markup=False, highlight=False, emoji=False
        )
        with terminal.status(Text(what)):
            yield lambda line: terminal.print(line, soft_wrap=True)
    else:
        yield _write_line


def _say_nothing(line: str) -> None:
    pass


def _write_line(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()

"""Showing that work goes on: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from compiler.cli.console import Color, Console

Say = Callable[[str], None]
_SECONDS_BETWEEN = 10.0
"""Of lines about work whose parts are many."""


@dataclass(frozen=True)
class Activity:
    """What is shown of work that goes on: `say` prints a line, `show` changes what a terminal says of the work."""

    say: Say
    show: Say


@contextmanager
def activity(console: Console, what: str) -> Iterator[Activity]:
    """Show `what` while the block runs, on standard error.

    Nothing is shown when quiet, for `--no-progress` or for `--json`.
    """
    if not console.show_progress or console.is_quiet:
        yield Activity(_say_nothing, _say_nothing)
    elif sys.stderr.isatty() and console.color is not Color.NEVER:
        from rich.console import Console as RichConsole
        from rich.text import Text

        terminal = RichConsole(
            file=sys.stderr, no_color=not console.has_color(sys.stderr), markup=False, highlight=False, emoji=False
        )
        with terminal.status(Text(what)) as status:
            yield Activity(lambda line: terminal.print(line, soft_wrap=True), lambda what: status.update(Text(what)))
    else:
        yield Activity(_write_line, _say_nothing)


def _say_nothing(line: str) -> None:
    pass


def _write_line(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def spaced(say: Say) -> Callable[[str, bool], None]:
    """A `say` for work of many parts: the first line, the one of the end, and of the others one every ten seconds."""
    next_time = [0.0]

    def say_some(line: str, is_end: bool) -> None:
        if is_end or monotonic() >= next_time[0]:
            next_time[0] = monotonic() + _SECONDS_BETWEEN
            say(line)

    return say_some

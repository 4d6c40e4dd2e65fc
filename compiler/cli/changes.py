"""Differences between the IR before and after passes, as commands print them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from compiler.cli.console import BOLD, DIM, GREEN, RED, Console

if TYPE_CHECKING:
    from compiler.ir_history.history import Step


def print_changes(
    console: Console, steps: Iterable[Step], node: str | None = None, stream: TextIO | None = None
) -> None:
    """Print what passes did, op by op: `-` before, `+` after, `~` moved; in colours where there are any."""
    from compiler.ir_history.text import Mark, change_lines

    styles = {Mark.HEAD: BOLD, Mark.NODES: DIM, Mark.REMOVED: RED, Mark.ADDED: GREEN, Mark.MOVED: DIM}
    for line in change_lines(steps, node):
        console.marked(line.text, styles[line.mark], stream)

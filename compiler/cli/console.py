"""The two streams of a command: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from shutil import get_terminal_size
from typing import TextIO

from compiler.tables import Table
from dialects.diagnostics import Diagnostic, visible


class Color(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


NODES_SHOWN = 10
GROUPS_SHOWN = 20
RED, GREEN, BOLD, DIM, RESET = "\033[31m", "\033[32m", "\033[1m", "\033[2m", "\033[0m"


@dataclass(frozen=True)
class Console:
    """Prints for one command. `verbosity` is -1 for quiet, 0, 1 for verbose."""

    color: Color = Color.AUTO
    verbosity: int = 0
    show_progress: bool = True

    @property
    def is_quiet(self) -> bool:
        """Whether only results and errors are printed."""
        return self.verbosity < 0

    @property
    def is_verbose(self) -> bool:
        """Whether details are printed."""
        return self.verbosity > 0

    def has_color(self, stream: TextIO) -> bool:
        """Whether to colour a stream: as asked, else on a terminal unless NO_COLOR is set."""
        if self.color is Color.AUTO:
            return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return self.color is Color.ALWAYS

    def out(self, text: str) -> None:
        """A result."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def table(self, table: Table) -> None:
        """A result in rows and columns: drawn where there is colour, else plain aligned text."""
        if self.has_color(sys.stdout):
            self._rich_table(table)
        else:
            self.out(table.plain())

    def _rich_table(self, table: Table) -> None:
        from rich import box
        from rich.console import Console as RichConsole
        from rich.table import Table as RichTable

        drawn = RichTable(title=table.title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for column, end in zip(table.columns, table.footer or [""] * len(table.columns), strict=True):
            justify = "right" if column.is_number else "left"
            drawn.add_column(column.title, end, justify=justify, overflow="fold")
        drawn.show_footer = bool(table.footer)
        for row in table.rows:
            drawn.add_row(*row)
        # A table that is too wide is left to the terminal to wrap: folded numbers cannot be read.
        needed = max(len(line) for line in table.plain().splitlines()) + 2 * len(table.columns)
        width = max(needed, get_terminal_size().columns)
        RichConsole(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False).print(drawn)

    def marked(self, text: str, style: str, stream: TextIO | None = None) -> None:
        """A line of a result in a colour, where there is colour."""
        into = sys.stdout if stream is None else stream
        into.write(f"{style}{text}{RESET}\n" if style and self.has_color(into) else f"{text}\n")

    def note(self, text: str) -> None:
        """A remark on standard error, unless quiet."""
        if not self.is_quiet:
            sys.stderr.write(text + "\n")

    def errors(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Diagnostics on standard error: equal ones once, with their nodes, and how many there are.

        Unless verbose, at most `GROUPS_SHOWN` that differ are shown.
        """
        found = tuple(diagnostics)
        groups = _groups(found)
        shown = groups if self.is_verbose else groups[:GROUPS_SHOWN]
        for group in shown:
            sys.stderr.write(self._styled(visible(_text_of(group))) + "\n")
        if len(shown) < len(groups):
            sys.stderr.write(f"and {len(groups) - len(shown)} more kinds, see --verbose or --json\n")
        if len(found) > 1:
            counts: dict[str, int] = {}
            for diagnostic in found:
                counts[diagnostic.code] = counts.get(diagnostic.code, 0) + 1
            parts = ", ".join(f"{code} x{count}" for code, count in counts.items())
            sys.stderr.write(f"{len(found)} problems: {parts}\n")

    def _styled(self, text: str) -> str:
        if not self.has_color(sys.stderr):
            return text
        head, _, rest = text.partition("\n")
        mark, _, message = head.partition(": ")
        return f"{BOLD}{RED}{mark}{RESET}: {BOLD}{message}{RESET}" + (f"\n{rest}" if rest else "")

    def verdict(self, ok: bool, seconds: float, subject: str) -> None:
        """The last line: how it went, how long it took, what it made."""
        if self.is_quiet:
            return
        word = "OK" if ok else "FAILED"
        if self.has_color(sys.stderr):
            word = f"{BOLD}{GREEN if ok else RED}{word}{RESET}"
        sys.stderr.write(" | ".join(part for part in (word, f"{seconds:.1f} s", subject) if part) + "\n")


def _groups(diagnostics: tuple[Diagnostic, ...]) -> list[list[Diagnostic]]:
    groups: dict[tuple[str, ...], list[Diagnostic]] = {}
    for each in diagnostics:
        key = (each.code, each.stage, each.message, each.expected, each.found, each.hint)
        groups.setdefault(key, []).append(each)
    return list(groups.values())


def _text_of(group: list[Diagnostic]) -> str:
    first = group[0]
    if len(group) == 1:
        return str(first)
    is_one_place = bool(first.where) and all(each.where == first.where for each in group)
    head = [first.stage, first.where] if is_one_place else [first.stage]
    places = list(dict.fromkeys(_place(each, with_where=not is_one_place) for each in group))
    shown = [place for place in places if place][:NODES_SHOWN]
    more = f" and {len(places) - len(shown)} more" if len(places) > len(shown) else ""
    place = f" ({', '.join(filter(None, head))})" if any(head) else ""
    lines = [f"error[{first.code}]{place}: {first.message} (x{len(group)})"]
    lines += [f"  at:       {', '.join(shown)}{more}"] if shown else []
    lines += [f"  expected: {first.expected}"] if first.expected else []
    lines += [f"  found:    {first.found}"] if first.found else []
    lines += [f"  hint:     {first.hint}"] if first.hint else []
    return "\n".join(lines)


def _place(each: Diagnostic, *, with_where: bool) -> str:
    """The node of a problem, and the file, option or instruction it comes from."""
    if not with_where or not each.where:
        return each.node
    return f"{each.node} ({each.where})" if each.node else each.where

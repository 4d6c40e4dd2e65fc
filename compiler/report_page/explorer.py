"""The IR of a compilation pass by pass, as plain data for a page: every line of text once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from compiler.ir_history import Change, IrHistory, Kind, Step
from compiler.ir_text import ModuleText
from compiler.pipelines import describe_pass, known_passes

LONGEST = 400_000
"""Characters of a text that a page holds; the rest is for `catena compile --dump-passes`."""
KINDS = tuple(Kind)


class _Texts:
    """Texts as numbers of lines: most lines stay as they are from one pass to the next."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.texts: list[dict[str, Any]] = []
        self._known: dict[int, int] = {}
        # A text is known by its identity, which has to outlive the search for it.
        self._kept: list[ModuleText] = []

    def number(self, text: ModuleText) -> int:
        """The number of a text; a new one if it has none."""
        if id(text) not in self._known:
            shown = _shown(text.lines)
            numbers = [self.lines.setdefault(line, len(self.lines)) for line in text.lines[:shown]]
            characters = sum(len(line) + 1 for line in text.lines)
            self._known[id(text)] = len(self.texts)
            self._kept.append(text)
            entry = {"runs": list(_runs(numbers)), "total": len(text.lines), "shown": shown, "characters": characters}
            self.texts.append(entry)
        return self._known[id(text)]


class _Places:
    """ONNX nodes that ops came from, every list of them once."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, ...], int] = {}

    def number(self, nodes: tuple[str, ...]) -> int:
        """The number of a list of nodes."""
        return self.found.setdefault(nodes, len(self.found))


def explorer(history: IrHistory) -> dict[str, Any]:
    """What the explorer shows of a compilation.

    `lines` are the different lines of all texts; a text is `runs` of them, as pairs of the first line and how many. A
    change is [kind, line before, line after, nodes, nodes before, what]: lines are numbers in the texts of its step, -1
    of none, nodes are numbers in `places`. Changes whose lines are cut off are counted only.
    """
    texts, places, known = _Texts(), _Places(), known_passes()
    steps = [
        {
            "stage": step.stage,
            "pass": step.name,
            "spec": step.spec,
            "doc": describe_pass(step.name, known[step.name]).doc if step.name in known else "",
            "seconds": step.seconds,
            "before": (before := texts.number(step.before)),
            "after": (after := texts.number(step.after)),
            "counts": [step.counts[kind] for kind in KINDS],
            "kinds_before": dict(step.kinds_before),
            "kinds": dict(step.kinds),
            "changes": list(_changes(step, (texts.texts[before]["shown"], texts.texts[after]["shown"]), places)),
        }
        for step in history.steps
    ]
    stages = [
        {"stage": each.stage, "text": texts.number(each.text), "seconds": each.seconds} for each in history.stages
    ]
    return {
        "kinds": [str(kind) for kind in KINDS],
        "steps": steps,
        "stages": stages,
        "texts": texts.texts,
        "lines": list(texts.lines),
        "places": [list(nodes) for nodes in places.found],
    }


def _changes(step: Step, shown: tuple[int, int], places: _Places) -> Iterator[list[Any]]:
    for each in step.changes:
        lines = _lines(step, each)
        if all(line < end for line, end in zip(lines, shown, strict=True)):
            nodes = places.number(each.nodes), places.number(each.came_from)
            yield [KINDS.index(each.kind), *lines, *nodes, ", ".join(each.what)]


def _lines(step: Step, change: Change) -> tuple[int, int]:
    before = -1 if change.before is None else step.before.starts[change.before]
    after = -1 if change.after is None else step.after.starts[change.after]
    return before, after


def _shown(lines: Sequence[str]) -> int:
    """How many lines are kept."""
    total = 0
    for number, line in enumerate(lines):
        total += len(line) + 1
        if total > LONGEST:
            return number
    return len(lines)


def _runs(numbers: Sequence[int]) -> Iterator[int]:
    """Stretches of lines that follow each other: the first one, and how many."""
    for _, stretch in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        several = list(stretch)
        yield several[0][1]
        yield len(several)

"""Which file of a description is to blame for a problem, and at which line.

A description may change another one, so that what is wrong with a key may be due to what a file further out says. To
blame is the innermost file that makes the problem: what it extends does not have it. If it does not give the key, the
line is that of the change that makes the problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, cast

from compiler.descriptions.causes import Causes
from compiler.descriptions.files import DescribedTarget
from compiler.descriptions.lines import first_line_in, line_in_value, line_of, nearest_line
from dialects.diagnostics import Diagnostic
from dialects.toml_text import EXTENDS, key_in, key_parts, line_in_text

_QUOTED = re.compile(r": (?:nothing is counted as )?'([^']+)'")
"""What of a table a problem is about, such as an event."""
_ROUNDS = 3
"""How often what hides other problems is put right."""

ProblemsOf = Callable[[DescribedTarget], Iterable[Diagnostic]]


def blamed(
    problems: Sequence[Diagnostic],
    described: DescribedTarget,
    problems_of: ProblemsOf,
) -> list[Diagnostic]:
    """Problems of a description with file and line; messages start with a key and a colon.

    What a key is wrong about stays with the file that gives it, if that file or one that changes it makes the problem.
    What only settings on top of the files make wrong is said of these.
    """
    if described.as_written is not None:
        written = _messages(described.as_written, described, problems, problems_of)
        given = [each for each in problems if each.message in written]
        made = [each for each in problems if each.message not in written]
        keys = tuple(described.settings)
        return [
            *(replace(each, where=set_by(key_of(each), keys)) for each in made),
            *blamed(given, described.as_written, problems_of),
        ]
    chain = described.chain
    known = [_messages(inner, described, problems, problems_of) for inner in chain[1:]]
    makers = [_makers(problem, known) for problem in problems]
    causes = [Causes(each, lambda changed: _messages(changed, described, problems, problems_of)) for each in chain]
    return [
        _located(each, chain[:count], chain[count:], causes[count - 1])
        for each, count in zip(problems, makers, strict=True)
    ]


def _messages(
    inner: DescribedTarget, outer: DescribedTarget, problems: Iterable[Diagnostic], problems_of: ProblemsOf
) -> set[str]:
    """What is wrong with a description by itself.

    Keys that it lacks, or that a description further out puts right, would hide the rest: they are taken from there.
    """
    left, found = {each.message for each in problems}, set[str]()
    for _ in range(_ROUNDS):
        here = list(problems_of(inner))
        found |= {each.message for each in here}
        hiding = {key_of(each) for each in here if each.message not in left}
        if not hiding:
            break
        description = inner.description
        for key in hiding:
            description = _as_in(description, outer.description, key.split("."))
        inner = replace(inner, description=description)
    return found


def _as_in(description: dict[str, Any], other: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """A description with what another one has in a place, if it has anything there."""
    name, *inner = path
    if name not in other:
        return description
    if not inner:
        return {**description, name: other[name]}
    tables = [cast("object", each.get(name, {})) for each in (description, other)]
    if not all(isinstance(each, dict) for each in tables):
        return description
    ours, theirs = cast("list[dict[str, Any]]", tables)
    return {**description, name: _as_in(ours, theirs, inner)}


def set_by(key: str, settings: Sequence[str]) -> str:
    """Which of some settings say something of a key, or of what is nearest to it; all if none is near."""

    def common(setting: str) -> int:
        pairs = zip(".".join(key_parts(setting)).split("."), key.split("."), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    nearest = max(map(common, settings))
    return f"set by {', '.join(f'--set {each}' for each in settings if common(each) == nearest)}"


def key_of(problem: Diagnostic) -> str:
    """The key that a problem is about, with which its message begins."""
    return key_in(problem.message)


def _makers(problem: Diagnostic, known: Sequence[set[str]]) -> int:
    """How many files, from the outermost, it takes to have the problem no more."""
    if _is_missing(problem):
        return 1  # what is extended need not be complete
    return next((count for count, messages in enumerate(known, 1) if problem.message not in messages), len(known) + 1)


def _is_missing(problem: Diagnostic) -> bool:
    return problem.message.endswith("is missing")


def _located(
    problem: Diagnostic, makers: Sequence[DescribedTarget], inner: Sequence[DescribedTarget], causes: Causes
) -> Diagnostic:
    """A problem at its line in the files that it takes to make it; `causes` are the changes of the last of them."""
    key, within = key_of(problem), line_in_text(problem.where) or 1
    for each in makers:
        if (line := _line_in_table(problem, each)) is not None:
            return replace(problem, where=f"{each.file}, line {line}")
    for each in makers:
        if (line := line_in_value(key, each.file, within)) is not None:
            return replace(problem, where=f"{each.file}, line {line}")
    for each in makers:
        if (line := first_line_in(key, each.file)) is not None:
            return replace(problem, where=f"{each.file}, line {line}")
    problem, to_blame = _with_origin(problem, key, inner), makers[-1].file
    if not _is_missing(problem) and (line := causes.line(problem.message, key)) is not None:
        return replace(problem, where=f"{to_blame}, line {line}")
    for each in reversed(makers):
        if (line := nearest_line(key, each.file)) is not None:
            return replace(problem, where=f"{each.file}, line {line}")
    return replace(problem, where=f"{to_blame}, line {line_of(EXTENDS, to_blame) or 1}")


def _line_in_table(problem: Diagnostic, described: DescribedTarget) -> int | None:
    """The line of what a problem is about in the table of its key, if it has a line of its own."""
    key = key_of(problem)
    quoted = _QUOTED.match(problem.message, len(key))
    return None if quoted is None else line_of(f"{key}.{quoted[1]}", described.file)


def _with_origin(problem: Diagnostic, key: str, inner: Iterable[DescribedTarget]) -> Diagnostic:
    """A problem that says where the key itself is given, if files that are not to blame do."""
    for each in inner:
        if (line := _line_in_table(problem, each) or line_of(key, each.file)) is not None:
            origin = f"it is given in {each.file}, line {line}"
            return replace(problem, hint=f"{problem.hint}; {origin}" if problem.hint else origin)
    return problem

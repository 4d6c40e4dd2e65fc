"""Code with other instructions, and what is to be said of it when it is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from backends.isa import Instruction
from dialects.diagnostics import CatenaError

Edit = Callable[[list[Instruction]], list[Instruction]]


def changed(kind: type[Instruction], number: int = 0, **values: object) -> Edit:
    """Some fields of one instruction of a kind."""

    def edit(code: list[Instruction]) -> list[Instruction]:
        index = [i for i, each in enumerate(code) if isinstance(each, kind)][number]
        return [*code[:index], replace(code[index], **values), *code[index + 1 :]]

    return edit


def without(kind: type[Instruction], number: int = 0) -> Edit:
    """All but one instruction of a kind."""

    def edit(code: list[Instruction]) -> list[Instruction]:
        index = [i for i, each in enumerate(code) if isinstance(each, kind)][number]
        return code[:index] + code[index + 1 :]

    return edit


def moved(kind: type[Instruction], number: int, by: int) -> Edit:
    """One instruction of a kind, some places further on."""

    def edit(code: list[Instruction]) -> list[Instruction]:
        index = [i for i, each in enumerate(code) if isinstance(each, kind)][number]
        code.insert(index + by, code.pop(index))
        return code

    return edit


def assert_stops(run: Callable[[], object], code: str, message: str) -> None:
    """A run ends with one fault, which names its instruction and the node."""
    with pytest.raises(CatenaError) as caught:
        run()
    (problem,) = caught.value.diagnostics
    assert problem.code == code, problem
    assert message in str(problem)
    assert problem.where.startswith("instruction ")
    assert problem.node

"""Faults of two instructions, on different cores."""

from __future__ import annotations

from backends.rram.streams import Task
from backends.spatial.memory import Fault


class PairFault(Fault):
    """A fault of an instruction and of an `other` one, given with its task, if it is known.

    `came_first` says whether the other one was executed before.
    """

    def __init__(
        self,
        code: str,
        message: str,
        expected: str = "",
        found: str = "",
        *,
        other: tuple[Task, int] | None,
        came_first: bool = False,
    ):
        super().__init__(code, message, expected, found)
        self.other, self.came_first = other, came_first

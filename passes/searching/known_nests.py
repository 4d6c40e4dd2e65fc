"""Nests of links of groups, each searched once."""

from __future__ import annotations

from dialects.diagnostics import CatenaError
from dialects.schedule import Mapping as LinkMapping
from passes.searching.parts import Nests, Part
from passes.searching.task import Deadline


class KnownNests:
    """The nests that searches find, without a limit of time, for what turns leave links to do."""

    def __init__(self, nests: Nests):
        self._nests = nests
        self._found: dict[str, LinkMapping | None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def of(self, part: Part) -> LinkMapping | None:
        """The nest of a link; None if there is none that the machine can run."""
        task = self._nests.task(part)
        key = repr(task.signature)
        if key not in self._found:
            try:
                nest = task.look(Deadline()).mapping
            except CatenaError:
                self._found[key] = None
            else:
                self._found[key] = None if task.violations(nest) else nest
        return self._found[key]

"""Delta debugging of a model: smaller ones are tried for as long as one still fails; the best is always at hand."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compiler.reduction.criteria import Fails
from compiler.reduction.parts import is_valid
from compiler.reduction.shrinking import (
    Size,
    bypassed_nodes,
    fewer_nodes,
    plainer_constants,
    plainer_nodes,
    size_of,
    smaller_extents,
)

if TYPE_CHECKING:
    import onnx

_STEPS = (bypassed_nodes, smaller_extents, plainer_constants, plainer_nodes)


def _nothing(_: object) -> None:
    """For those who ask for no news."""


@dataclass
class Reduction:
    """A reduction as far as it came: the smallest model that `fails`, how many were tried, and whether none is left.

    `found` is told every model that is smaller than those before and fails, `show` what is being tried. If the whole is
    a valid ONNX model, so is every smaller one.
    """

    model: onnx.ModelProto
    fails: Fails
    found: Callable[[onnx.ModelProto], None] = _nothing
    show: Callable[[str], None] = _nothing
    tried: int = 0
    is_finished: bool = False
    _seen: set[bytes] = field(default_factory=set[bytes])
    _end: float = math.inf
    _keeps_valid: bool = False

    @property
    def size(self) -> Size:
        """See `size_of`."""
        return size_of(self.model)

    def run(self, time_limit: float | None = None) -> None:
        """Reduce until no candidate fails, so many seconds are over, or Ctrl-C comes."""
        self._keeps_valid = is_valid(self.model)
        self._end = math.inf if time_limit is None else time.monotonic() + time_limit
        try:
            while self._pass():
                pass
            self.is_finished = time.monotonic() < self._end
        except KeyboardInterrupt:
            self.is_finished = False

    def _pass(self) -> bool:
        """Try everything once; whether the model became smaller."""
        before = self.size
        self._leave_out_nodes()
        for step in _STEPS:
            while self._take_first(step(self.model)):
                pass
        return self.size < before

    def _leave_out_nodes(self) -> None:
        """Runs of nodes, long ones first, as `ddmin` of Zeller and Hildebrandt (IEEE TSE 2002) does."""
        parts = 2
        while len(self.model.graph.node) > 1:
            count = len(self.model.graph.node)
            if self._take_first(fewer_nodes(self.model, min(parts, count))):
                parts = max(2, parts - 1)
            elif parts >= count:
                return
            else:
                parts *= 2

    def _take_first(self, candidates: Iterator[onnx.ModelProto]) -> bool:
        """Go on with the first of some candidates that is smaller and fails; whether there is one, and time for it."""
        for candidate in candidates:
            if time.monotonic() >= self._end:
                return False
            digest = hashlib.sha256(candidate.SerializeToString(deterministic=True)).digest()
            if digest in self._seen or size_of(candidate) >= self.size:
                continue
            self._seen.add(digest)
            if self._keeps_valid and not is_valid(candidate):
                continue
            self.tried += 1
            self.show(f"{self.size[0]} nodes, {self.size[1]} elements, {self.tried} tried")
            if self.fails(candidate):
                self.model = candidate
                self.found(candidate)
                return True
        return False

"""Whoever wants to know how far the searches of a chain are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Distinct searches of a chain, how many of them the cache knew, and how many have ended by now.

    None at all before groups of layers are chosen, of which searches follow.
    """

    total: int
    cached: int
    searched: int

    def __str__(self) -> str:
        if not self.total:
            return "choosing groups of layers"
        return f"{self.cached + self.searched}/{self.total} distinct layers mapped, {self.cached} from the cache"


Watcher = Callable[[Progress], None]


def _nobody(_: Progress) -> None:
    pass


_WATCHER: ContextVar[Watcher] = ContextVar("watcher", default=_nobody)


@contextmanager
def watched(by: Watcher) -> Generator[None]:
    """Tell `by` about all searches within the block."""
    token = _WATCHER.set(by)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def tell(progress: Progress) -> None:
    """Tell whoever watches."""
    _WATCHER.get()(progress)

"""Whoever may ask the searches of a chain to end, each with the best mapping it has found by then."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

Asked = Callable[[], bool]
"""Whether searches are to end."""


def never() -> bool:
    """Nobody asks."""
    return False


_ASKED: ContextVar[Asked] = ContextVar("asked", default=never)


@contextmanager
def stopped(when: Asked) -> Generator[None]:
    """All searches within the block end as soon as they may once `when` says so."""
    token = _ASKED.set(when)
    try:
        yield
    finally:
        _ASKED.reset(token)


def asked_to_stop() -> Asked:
    """What says whether searches are to end now."""
    return _ASKED.get()

"""Emulators of anybody at work: what they fail at is said as their failure, whatever Python raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backends.spatial.defects import DEFECTS, as_fault
from dialects.diagnostics import CatenaError, Diagnostic


@contextmanager
def emulating() -> Iterator[None]:
    """Raise `CatenaError` (CAT-I001, stage emulation) in the place of the errors of an emulator's own code."""
    try:
        yield
    except DEFECTS as error:
        fault = as_fault(error)
        raise CatenaError(Diagnostic(fault.code, fault.message, stage="emulation", hint=fault.hint)) from error

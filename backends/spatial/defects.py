"""What an emulator itself fails at, as a fault of the instruction at work: Python's errors say nothing of a program."""

from __future__ import annotations

import traceback
from pathlib import Path

from backends.spatial.memory import Fault

DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What Python raises where code is wrong. Observers end runs by exceptions that are none of these."""


def as_fault(error: Exception) -> Fault:
    """A fault as it is; of anything else, that the emulator failed, and at what."""
    if isinstance(error, Fault):
        return error
    text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    origin = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return Fault("CAT-I001", f"the emulator failed: {said}{origin}", hint="a bug of the emulator: report it")

"""Errors of layers, as `catena verify --json` found them, for a page."""

from __future__ import annotations

import json
from typing import Any

from backends.program import Program
from compiler.files import read_text
from compiler.verification.comparison import layer_subject
from dialects.diagnostics import CatenaError, Diagnostic


def errors_of(name: str, program: Program) -> dict[str, dict[str, Any]]:
    """By layer its error, the unit of it, the tolerance, and whether it is within; of those that have a reference.

    Raises `CatenaError`: CAT-C002 for a file that cannot be read, CAT-C003 for one that is of no verification of the
    program.
    """
    layers = {layer_subject(layer.name): layer.name for layer in program.layers}
    try:
        read: Any = json.loads(read_text(name))
        compared = read["result"]["comparisons"]
        found = {
            layers[each["subject"]]: {
                "error": float(each["error"]),
                "unit": str(each["unit"]),
                "tolerance": float(each["tolerance"]),
                "equal": bool(each["equal"]),
            }
            for each in compared
            if each["error"] is not None and each["subject"] in layers
        }
    except (ValueError, TypeError, KeyError, RecursionError):
        found = {}
    if not found:
        expected = "what catena verify PROGRAM --json printed of this program"
        raise CatenaError(Diagnostic("CAT-C003", f"{name} is no verification of this program", expected=expected))
    return found

"""What a verb hands back to the command line, and the one JSON object made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.cli.console import Console
from dialects.diagnostics import Diagnostic, ExitCode


def _show_nothing(console: Console) -> None:
    """For results that are files only."""


@dataclass(frozen=True)
class Outcome:
    """A verb's result: `result` for `--json`, `show` for a person, `subject` for the last line.

    A verb that finds what it looks for (a mismatch, say) gives `diagnostics` and an exit code besides its result.
    """

    result: Mapping[str, Any] = field(default_factory=dict[str, Any])
    show: Callable[[Console], None] = _show_nothing
    subject: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
    exit_code: ExitCode = ExitCode.OK


def envelope(
    verb: str, exit_code: int, seconds: float, result: Mapping[str, Any], diagnostics: Sequence[Diagnostic]
) -> str:
    """The JSON object that `--json` prints, for good and bad endings alike. NaN and infinity become strings."""
    return json.dumps(
        {
            "command": verb,
            "status": "ok" if exit_code == ExitCode.OK else "failed",
            "exit_code": int(exit_code),
            "seconds": round(seconds, 3),
            "result": plain(result),
            "diagnostics": [each.to_json() for each in diagnostics],
        },
        indent=2,
        allow_nan=False,
    )


def plain(value: object) -> Any:
    """A value as JSON can hold it: mappings, lists, strings, numbers, booleans, null."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case str() | bool() | int() | float() | None:
            return value
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case Sequence():
            return [plain(item) for item in value]
        case _:
            return str(value)

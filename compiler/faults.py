"""Any exception as diagnostics: what the command line and its JSON show instead of a traceback."""

from __future__ import annotations

import traceback
from pathlib import Path

from dialects.diagnostics import CODES, CatenaError, Diagnostic, ExitCode, no_memory


def diagnostics_of(error: BaseException) -> tuple[Diagnostic, ...]:
    """What went wrong, as diagnostics. An exception that no part of Catena foresaw is CAT-I001.

    xDSL's own exceptions are recognised by name, so that its modules need not be imported to report a wrong flag.
    """
    if isinstance(error, CatenaError):
        return error.diagnostics
    match type(error).__name__:
        case "ParseError":
            return (Diagnostic("CAT-R001", _message(error)),)
        case "VerifyException":
            return (Diagnostic("CAT-R002", _message(error)),)
        case "ArgSpecParseError":
            return (Diagnostic("CAT-C001", _message(error)),)
        case _:
            pass
    if isinstance(error, OSError):
        subject = f"{error.filename}: " if error.filename else ""
        return (Diagnostic("CAT-C002", f"{subject}{error.strerror or error}"),)
    if isinstance(error, MemoryError):
        return (no_memory(),)
    return (
        Diagnostic(
            "CAT-I001",
            f"unexpected {type(error).__name__}: {_message(error)}",
            where=_origin(error),
            hint="run again with --debug to see where, and report it",
        ),
    )


def exit_code_of(diagnostics: tuple[Diagnostic, ...]) -> ExitCode:
    """The exit code of a command that ends with these diagnostics: that of the first."""
    return CODES[diagnostics[0].code].exit_code


def _message(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines)


def _origin(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""

"""What a refusal says about the fallback that the user did not allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from compiler.sources import ImportOptions
from dialects.diagnostics import CatenaError, Diagnostic

HINT = "let ONNX Runtime execute it on the host: --allow-fallback host"

_HELPED = frozenset({"CAT-U001", "CAT-U002", "CAT-U003", "CAT-U004"})
_STAGES = frozenset({"import", "gconv"})


@contextmanager
def fallback_hint(options: ImportOptions) -> Iterator[None]:
    """Add the flag's name to the hints of what the host could execute, unless it was allowed to."""
    try:
        yield
    except CatenaError as error:
        found = with_hints(error.diagnostics, options)
        if found == error.diagnostics:
            raise
        raise CatenaError(found) from error


def with_hints(problems: Iterable[Diagnostic], options: ImportOptions) -> tuple[Diagnostic, ...]:
    """The problems, the flag named in those that the host could help with, unless that is allowed already."""
    if options.fallback is not None:
        return tuple(problems)
    return tuple(map(_with_hint, problems))


def _is_helped(problem: Diagnostic) -> bool:
    return problem.code in _HELPED and problem.stage in _STAGES


def _with_hint(problem: Diagnostic) -> Diagnostic:
    if not _is_helped(problem) or HINT in problem.hint:
        return problem
    return replace(problem, hint=f"{problem.hint}; or {HINT}" if problem.hint else HINT)

"""What a person touches: command line, stage table, ONNX import, verification, reports.

The verbs of the command line are functions here (see `compiler.api`): check, compile, run, verify, inspect, opt,
quantize, prune, assemble, disassemble, report, diff, explain, explore, reduce, new_backend, cache, doctor; conform is
`conformance`, measure_accuracy `accuracy`, list_targets `targets`, and history `inspect --passes`. They are imported
when first used, so that the command starts quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.api import (
        assemble,
        cache,
        check,
        compile,
        conform,
        diff,
        disassemble,
        doctor,
        explain,
        explore,
        history,
        inspect,
        list_targets,
        measure_accuracy,
        new_backend,
        opt,
        prune,
        quantize,
        reduce,
        report,
        run,
        verify,
    )

__all__ = [
    "assemble",
    "cache",
    "check",
    "compile",
    "conform",
    "diff",
    "disassemble",
    "doctor",
    "explain",
    "explore",
    "history",
    "inspect",
    "list_targets",
    "measure_accuracy",
    "new_backend",
    "opt",
    "prune",
    "quantize",
    "reduce",
    "report",
    "run",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from compiler import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

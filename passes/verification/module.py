"""All checks over one module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.utils.exceptions import VerifyException

from dialects.diagnostics import CatenaError, Diagnostic
from passes.verification.attributes import attribute_problems
from passes.verification.dominance import dominance_problems
from passes.verification.legality import Legality
from passes.verification.locations import location_problems
from passes.verification.problems import Problem

PROBLEM_LIMIT = 50
"""At most this many problems are reported one by one, the others are counted."""

NO_POSITIONS: Mapping[Operation, str] = MappingProxyType({})


def verify_module(
    module: ModuleOp,
    *,
    stage: str = "",
    legality: Legality | None = None,
    positions: Mapping[Operation, str] = NO_POSITIONS,
) -> None:
    """Check a module against every rule.

    `stage` is what messages say; `legality` the rule of the stage the module has reached, None in the middle of one;
    `positions` where in a file each op stands. Raises `CatenaError` (CAT-R002, CAT-R003) with all problems found.
    """
    problems = list(
        chain(
            _definition_problems(module),
            dominance_problems(module),
            attribute_problems(module),
            location_problems(module),
            legality.problems(module, stage) if legality is not None else (),
        )
    )
    if not problems:
        return
    found = [problem.diagnostic(stage, positions) for problem in problems[:PROBLEM_LIMIT]]
    if len(problems) > PROBLEM_LIMIT:
        found.append(Diagnostic(found[0].code, f"and {len(problems) - PROBLEM_LIMIT} more", stage=stage))
    raise CatenaError(found)


def _definition_problems(module: ModuleOp) -> Iterator[Problem]:
    """What xDSL's verifier says, of every op instead of the first."""
    try:
        module.verify()
        return
    except VerifyException as error:
        first = str(error)
    found = [problem for op in module.walk() for problem in _own_problems(op)]
    # The failure lies in how ops are nested, which only the whole verification looks at.
    yield from found or [Problem(module, "CAT-R002", first)]


def _own_problems(op: Operation) -> Iterator[Problem]:
    # `verify_` is the op's part of `verify`, which would print the whole module for each failure.
    try:
        op.verify_()
    except VerifyException as error:
        yield Problem(op, "CAT-R002", str(error))

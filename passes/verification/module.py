"""All checks over one module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.traits import NoTerminator
from xdsl.utils.exceptions import VerifyException

from dialects.diagnostics import CatenaError, Diagnostic
from passes.verification.attributes import attribute_problems
from passes.verification.dominance import dominance_problems
from passes.verification.encodings import encoding_problems
from passes.verification.facts import Facts, facts_of, facts_suffice
from passes.verification.legality import Legality
from passes.verification.locations import location_problems
from passes.verification.problems import Problem

PROBLEM_LIMIT = 50
"""At most this many problems are reported one by one, the others are counted."""

NO_POSITIONS: Mapping[Operation, str] = MappingProxyType({})


class Verifier:
    """Checks a module again and again while passes change it.

    A module that is as it was when it was found sound is not checked again but for its legality. In one that has
    changed, ops whose facts are the same are sound still (`facts_of`).
    """

    def __init__(self) -> None:
        self._sound: list[Facts] = []
        """Of every op of the module when it was last found sound. It keeps those ops: no identity is used again."""

    def verify(
        self,
        module: ModuleOp,
        *,
        stage: str = "",
        legality: Legality | None = None,
        positions: Mapping[Operation, str] = NO_POSITIONS,
    ) -> None:
        """Check a module against every rule, as `verify_module`."""
        ops = tuple(module.walk())
        facts = [facts_of(op) for op in ops]
        before, self._sound = self._sound, []
        problems = list(
            chain(
                _problems(module, ops, facts, before) if facts != before else (),
                legality.problems(ops, stage) if legality is not None else (),
            )
        )
        if not problems:
            self._sound = facts
            return
        found = [problem.diagnostic(stage, positions) for problem in problems[:PROBLEM_LIMIT]]
        if len(problems) > PROBLEM_LIMIT:
            found.append(Diagnostic(found[0].code, f"and {len(problems) - PROBLEM_LIMIT} more", stage=stage))
        raise CatenaError(found)


def _problems(
    module: ModuleOp, ops: Sequence[Operation], facts: Sequence[Facts], before: Iterable[Facts]
) -> Iterator[Problem]:
    """Everything wrong with a module, which was sound when the facts were those of `before`."""
    known = {id(old.op): old for old in before}
    pairs = [(known.get(id(new.op)), new) for new in facts]
    redefined = {new.op for old, new in pairs if old is None or old.definition != new.definition}
    changed = [new.op for old, new in pairs if old != new]
    yield from _definition_problems(op for op in ops if op in redefined or not facts_suffice(op))
    yield from dominance_problems(module)
    yield from attribute_problems(changed)
    yield from location_problems(changed)
    yield from encoding_problems(changed)


def _definition_problems(ops: Iterable[Operation]) -> Iterator[Problem]:
    """What xDSL's verifier says, of every op instead of the first."""
    broken = False
    for op in ops:
        problem = _own_problem(op, is_likely=broken)
        if problem is not None:
            broken = True
            yield problem


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
    Verifier().verify(module, stage=stage, legality=legality, positions=positions)


def _own_problem(op: Operation, is_likely: bool) -> Problem | None:
    # `verify` checks the op's place and then its definition with `verify_`; if that fails it prints the whole module
    # into the exception. Asking `verify_` first avoids that, which is worth it once a module is known to be broken.
    try:
        if is_likely:
            op.verify_()
        op.verify(verify_nested_ops=False)
    except VerifyException as error:
        return Problem(op, "CAT-R002", str(error))
    except NotImplementedError as error:
        # xDSL prints the op into its exception, and cannot print numbers of some float types.
        reason = error.__context__ if isinstance(error.__context__, VerifyException) else "it cannot be printed"
        return Problem(op, "CAT-R002", str(reason))
    for region in op.regions:
        block = region.first_block
        if block is not None and block is region.last_block and not block.ops and not op.has_trait(NoTerminator):
            return Problem(op, "CAT-R002", "the region of one block is empty and has no terminator")
    return None

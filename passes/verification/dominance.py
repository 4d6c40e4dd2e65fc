"""Every value is defined before it is used; xDSL's own verifier does not look."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.irdl.dominance import DominanceInfo
from xdsl.traits import IsolatedFromAbove

from passes.verification.problems import Problem, value_name


def dominance_problems(root: Operation) -> Iterator[Problem]:
    """One problem for each operand of an op below `root` that is not defined on every way to the op.

    Within an op that is isolated from above, nothing is defined that stands outside.
    Linear in the number of ops for regions of one block.
    """
    for region in root.regions:
        yield from _check_region(region, set())


def _check_region(region: Region, outer: set[int]) -> Iterator[Problem]:
    # Values go by their identities, which sets compare much faster.
    blocks = list(region.blocks)
    if len(blocks) == 1:
        yield from _check_block(blocks[0], outer)
        return
    order = DominanceInfo(region) if blocks else None
    for block in blocks:
        assert order is not None
        known = {id(value) for other in blocks if order.strictly_dominates(other, block) for value in _defined(other)}
        yield from _check_block(block, outer | known)


def _check_block(block: Block, outer: set[int]) -> Iterator[Problem]:
    # One set for the block and all it encloses: what a nested region defines is taken out again after it.
    known = outer
    added = [id(value) for value in block.args if id(value) not in known]
    known.update(added)
    for op in block.ops:
        for index, operand in enumerate(op.operands):
            if id(operand) not in known:
                yield Problem(
                    op, "CAT-R002", f"operand {index}, {value_name(operand)}, is used before it is defined there"
                )
        for region in op.regions:
            yield from _check_region(region, set() if op.has_trait(IsolatedFromAbove) else known)
        fresh = [id(value) for value in op.results if id(value) not in known]
        known.update(fresh)
        added.extend(fresh)
    known.difference_update(added)


def _defined(block: Block) -> Iterator[SSAValue]:
    yield from block.args
    for op in block.ops:
        yield from op.results

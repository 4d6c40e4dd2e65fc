"""Where tensors live in DRAM: which values share storage, how long each is live, first-fit addresses.

Values of a gconv chain share storage when one is a view of the other or is written straight into a concatenation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import ConcatOp, LinkOp
from dialects.locations import describe
from dialects.weights import ConstantOp
from passes.chain_views import Source, source_of
from passes.storage import Storage


class Storages:
    """The storage of every value of a chain in which concatenations are in place.

    Raises `CatenaError` (CAT-R003) if a part of a concatenation is not: the pass `copy-concat` has not run.
    """

    def __init__(self, function: FuncOp):
        block = function.body.block
        self._storage = Storage(block)
        loose = [
            op
            for op in block.ops
            if isinstance(op, ConcatOp) and not all(self._storage.is_in_place(op, n) for n in range(len(op.parts)))
        ]
        if loose:
            raise CatenaError([_needs_copy("a part of a concatenation is not written in place", op) for op in loose])

    def place(self, value: SSAValue) -> Source:
        """The value that owns the storage of a value, and the words of it that are meant.

        Raises `CatenaError` (CAT-R003) if a view cannot be expressed with one stride per dimension.
        """
        found = self._storage.seen(source_of(value))
        if found is None:
            raise CatenaError(_needs_copy("a view cannot be read with one stride per dimension", value.owner))
        return found


def _needs_copy(message: str, op: Operation | Block) -> Diagnostic:
    node = describe(op) if isinstance(op, Operation) else ""
    return Diagnostic("CAT-R003", message, "placed", node, hint="run copy-concat first")


@dataclass
class Lifetime:
    """The first and last op index at which a storage is written or read."""

    first: int
    last: int


def lifetimes(function: FuncOp, storages: Storages) -> dict[SSAValue, Lifetime]:
    """Lifetimes of every storage; arguments live from the start, results to the end. Constants are left out."""
    found: dict[SSAValue, Lifetime] = {}
    ops = list(function.body.block.ops)
    for argument in function.args:
        found[argument] = Lifetime(-1, -1)
    for index, op in enumerate(ops):
        touched = [*op.operands, *op.results] if isinstance(op, LinkOp) else []
        for value in touched:
            _touch(found, storages.place(value).base, index)
    for value in ops[-1].operands:
        _touch(found, storages.place(value).base, len(ops))
    return found


def _touch(found: dict[SSAValue, Lifetime], storage: SSAValue, index: int) -> None:
    if isinstance(storage.owner, ConstantOp):
        return
    life = found.setdefault(storage, Lifetime(index, index))
    life.first, life.last = min(life.first, index), max(life.last, index)


def first_fit(sizes: dict[SSAValue, int], lives: dict[SSAValue, Lifetime], base: int) -> dict[SSAValue, int]:
    """Addresses from `base` such that storages that live at the same time do not overlap.

    Larger storages first, each at the lowest address that is free during its whole life.
    """
    placed: list[tuple[SSAValue, int]] = []
    order = {storage: index for index, storage in enumerate(sizes)}
    for storage in sorted(sizes, key=lambda s: (-sizes[s], order[s])):
        life = lives[storage]
        busy = sorted(
            (address, address + sizes[other])
            for other, address in placed
            if lives[other].first <= life.last and life.first <= lives[other].last
        )
        placed.append((storage, _lowest_gap(busy, sizes[storage], base)))
    return dict(placed)


def _lowest_gap(busy: Iterable[tuple[int, int]], words: int, base: int) -> int:
    address = base
    for start, end in busy:
        if start - address >= words:
            break
        address = max(address, end)
    return address

"""Where tensors live in DRAM: which values share storage, how long each is live, first-fit addresses.

Values of a gconv chain share storage when one is a view of the other or is written straight into a concatenation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import ConcatOp, LinkOp, View, ViewOp, shape_of
from dialects.locations import describe
from dialects.weights import ConstantOp


@dataclass(frozen=True)
class Place:
    """Part of a storage: the value that owns it and the words of it that are meant."""

    storage: SSAValue
    view: View


class Storages:
    """The storage of every value of a chain in which concatenations are in place (pass `copy-concat`)."""

    def __init__(self, function: FuncOp):
        self._places: dict[SSAValue, Place] = {}
        self._parts: dict[SSAValue, tuple[ConcatOp, int]] = {}
        for op in function.body.block.ops:
            if isinstance(op, ConcatOp):
                start = 0
                for part in op.parts:
                    self._parts[part] = (op, start)
                    start += shape_of(part)[op.axis.value.data]

    def place(self, value: SSAValue) -> Place:
        """The storage of a value and its words there.

        Raises `CatenaError` (CAT-R003) if a view cannot be expressed with one stride per dimension.
        """
        found = self._places.get(value)
        if found is None:
            found = self._places[value] = self._resolve(value)
        return found

    def _resolve(self, value: SSAValue) -> Place:
        owner = value.owner
        if isinstance(owner, ViewOp):
            base = self.place(owner.base)
            composed = owner.view.of(base.view)
            if composed is None:
                raise CatenaError(
                    Diagnostic(
                        "CAT-R003",
                        "a view of a value that is written into a concatenation needs a copy",
                        "placed",
                        describe(owner),
                        hint="run copy-concat first",
                    )
                )
            return Place(base.storage, composed)
        if value in self._parts:
            concat, start = self._parts[value]
            whole = self.place(concat.result)
            axis = concat.axis.value.data
            return Place(whole.storage, whole.view.slice(axis, start, shape_of(value)[axis]))
        return Place(value, View.dense(shape_of(value)))


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
            _touch(found, storages.place(value).storage, index)
    for value in ops[-1].operands:
        _touch(found, storages.place(value).storage, len(ops))
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

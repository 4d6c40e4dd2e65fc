"""Where tensors live in DRAM: which values share storage, how long each is live, first-fit addresses.

Values of a gconv chain share storage when one is a view of the other or is written straight into a concatenation or
scatter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import ConcatOp, LinkOp, ScatterOp
from dialects.locations import describe
from dialects.weights import ConstantOp
from passes.chain_views import Source, source_of
from passes.computed_addresses import Lookup, Update, read_lookup
from passes.storage import Storage, placed_operands


class Storages:
    """The storage of every value of a chain in which concatenations and scatters are in place.

    Raises `CatenaError` (CAT-R003) if an operand of one is not: the pass `copy-concat` has not run.
    """

    def __init__(self, function: FuncOp):
        block = function.body.block
        self._storage = Storage(block)
        self._places: dict[SSAValue, Source] = {}
        """The places that were asked for: the chain stays as it is."""
        loose = [op for op in block.ops if isinstance(op, ConcatOp | ScatterOp) and not self._is_in_place(op)]
        if loose:
            raise CatenaError([_needs_copy(f"an operand of {op.name} is not written in place", op) for op in loose])

    def _is_in_place(self, op: ConcatOp | ScatterOp) -> bool:
        return all(self._storage.is_in_place(op, operand) for operand in placed_operands(op))

    def lookups(self, link: LinkOp) -> tuple[Lookup | None, Update | None]:
        """What a link's input is looked up in, and what its result updates at computed addresses, as buffers.

        Raises `CatenaError` (CAT-R003) if the addresses cannot be expressed with one stride per dimension.
        """
        read = read_lookup(link)
        if read is not None:
            read = read.of_place(self.place(read.base))
            if read is None:
                raise CatenaError(_needs_copy("computed addresses do not compose with a view", link))
        return read, self._storage.update(link.result)

    def touched(self, link: LinkOp) -> list[SSAValue]:
        """Every value in memory that a link reads or writes: its operands, index tensors and result."""
        read = read_lookup(link)
        input = [link.input] if read is None else [read.base, read.index.base]
        update = self._storage.update(link.result)
        index = [] if update is None else [update.where.index.base]
        return [*input, *link.operands[1:], *index, link.result]

    def place(self, value: SSAValue) -> Source:
        """The value that owns the storage of a value, and the words of it that are meant.

        Raises `CatenaError` (CAT-R003) if a view cannot be expressed with one stride per dimension.
        """
        found = self._places.get(value)
        if found is None:
            found = self._places[value] = self.seen(source_of(value))
        return found

    def seen(self, source: Source) -> Source:
        """A view of a value as a view of the storage that holds the value.

        Raises `CatenaError` (CAT-R003) if that cannot be expressed with one stride per dimension.
        """
        found = self._storage.seen(source)
        if found is None:
            raise CatenaError(_needs_copy("a view cannot be read with one stride per dimension", source.base.owner))
        return found


def _needs_copy(message: str, op: Operation | Block) -> Diagnostic:
    node = describe(op) if isinstance(op, Operation) else ""
    return Diagnostic("CAT-R003", message, "placed", node, hint="run copy-concat first")


@dataclass
class Lifetime:
    """The first and last op index at which a storage is written or read."""

    first: int
    last: int


def lifetimes(
    function: FuncOp, storages: Storages, together: Iterable[Sequence[LinkOp]] = ()
) -> dict[SSAValue, Lifetime]:
    """Lifetimes of every storage; arguments live from the start, results to the end. Constants are left out.

    Links that run `together` take turns: what one of them reads or writes lives while any of them runs.
    """
    found: dict[SSAValue, Lifetime] = {}
    ops = list(function.body.block.ops)
    for argument in function.args:
        found[argument] = Lifetime(-1, -1)
    number = {op: index for index, op in enumerate(ops)}
    beside = {link: (number[links[0]], number[links[-1]]) for links in together for link in links}
    for index, op in enumerate(ops):
        if isinstance(op, LinkOp):
            for value in storages.touched(op):
                for when in beside.get(op, (index,)):
                    _touch(found, storages.place(value).base, when)
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

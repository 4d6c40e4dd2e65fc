"""What a fused group does, by walking every turn of its loops and naming every element: the oracle of `passes.fusion`.

Sets of elements are boolean arrays over whole tensors. What a point of a link reads is looked up in tables that list,
point by point, the indices of `dialects.gconv.spec`; nothing here reasons about intervals, windows or dimensions.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import PASS, Dim, LoopKind
from dialects.schedule import Loop, Storage, Temporal
from dialects.schedule import Mapping as Nest
from passes.fusion.group import Group, GroupLink, Operand, Role

Elements = npt.NDArray[np.bool_]
"""A set of elements of a tensor, of outputs of a link, or of its reduction's terms: one flag each, row-major."""

Index = tuple[int, ...]
"""Which turn it is: the index of each loop, outermost first."""

OUTPUT = (LoopKind.G, LoopKind.OP, LoopKind.OPC)
DEPENDS_ON = {Role.INPUT: (LoopKind.G, LoopKind.OPC), Role.KERNEL: (LoopKind.G, LoopKind.OP), Role.POST: OUTPUT}
"""The loops, besides `ks`, whose indices occur in those of an operand."""


@dataclass(frozen=True)
class Walked:
    """What was counted; words are elements, dictionaries without a unit are by name of tensor, link or memory."""

    turns: tuple[Index, ...]
    reads: Mapping[str, int]
    """Words of each tensor fetched from off-chip."""
    writes: Mapping[str, int]
    """Words of each tensor that leave the chip."""
    operations: Mapping[str, int]
    """Of each link, over all turns."""
    baseline: Mapping[str, int]
    """Distinct operations of each link."""
    operations_by_turn: Mapping[str, tuple[int, ...]]
    held: Mapping[str, tuple[int, ...]]
    """Words in the place of each tensor that has a level, by turn of all loops."""
    local: Mapping[tuple[str, str], tuple[int, ...]]
    """Words that a link (first name) uses of a tensor (second) without a level, by turn of all loops."""
    occupancy: Mapping[str, int]
    """Most words of each tensor held at once; without a level, by any one link."""
    capacity: Mapping[str, int]
    """Words of each memory: what its tensors need at most, added up although they may need it in different turns."""
    occupied: Mapping[str, tuple[int, ...]]
    """Words of each memory that are in use at once, by turn of all loops."""

    @property
    def recomputed(self) -> dict[str, int]:
        """Operations of each link that had been done before."""
        return {link: count - self.baseline[link] for link, count in self.operations.items()}

    @property
    def peak(self) -> dict[str, int]:
        """Most words of each memory in use at once."""
        return {memory: max(words) for memory, words in self.occupied.items()}

    @property
    def offchip(self) -> int:
        """Words that cross the chip's border."""
        return sum(self.reads.values()) + sum(self.writes.values())

    def latency(self, stages: Stages, parallelism: Mapping[str, int] | None = None) -> int:
        """Cycles of links that do so many operations a cycle (1 unless stated)."""
        rates = parallelism or {}
        columns = [[-(-n // rates.get(link, 1)) for n in counts] for link, counts in self.operations_by_turn.items()]
        flat = [cycles for turn in zip(*columns, strict=True) for cycles in turn]
        if stages is Stages.SEQUENTIAL:
            return sum(flat)
        count = len(columns)
        hidden = 0
        for turn in range(len(self.turns) - 1):
            hidden += min(sum(flat[x + 1 : x + count]) for x in range(turn * count, turn * count + count))
        return sum(flat) - hidden


def walk(group: Group, mapping: FusedMapping) -> Walked:
    """Walks a group. Raises `ValueError` for several heads, or an intermediate or level that cannot be."""
    walker = _Walker(group, mapping)
    for index in walker.turns:
        walker.take_turn(index)
    return walker.result()


class _Walker:
    """Everything that is counted from turn to turn."""

    def __init__(self, group: Group, mapping: FusedMapping) -> None:
        self.group, self.mapping = group, mapping
        self.head = group.head
        if group.links[-1] is not self.head:
            raise ValueError("the head is not the last link")
        loops = [loop.loop for loop in mapping.loops]
        if len(set(loops)) < len(loops):
            raise ValueError("two loops cut the same loop of the head")
        trips = [-(-_count(self.head, loop.loop) // loop.tile) for loop in mapping.loops]
        self.turns = tuple(itertools.product(*map(range, trips)))
        self.retentions = {tensor.name: mapping.retention(tensor.name) for tensor in group.tensors}
        for name, retention in self.retentions.items():
            if retention.level is None and name in group.intermediates:
                raise ValueError(f"{name} is made and read in the group: it needs a level")
            if retention.level is not None and not 0 <= retention.level <= len(loops):
                raise ValueError(f"{name}: there is no loop {retention.level}")
        self.links = {link.name: _LinkTables(link, group) for link in group.links}
        self.priors = {
            name: _Prior(self.retentions[name].level or 0, group.tensor(name).size) for name in group.intermediates
        }
        self.places = {
            name: _Place(retention, retention.level, group.tensor(name).size)
            for name, retention in self.retentions.items()
            if retention.level is not None
        }
        self.done = {link.name: _Distinct() for link in group.links}
        self.counts: dict[str, list[int]] = {link.name: [] for link in group.links}
        self.local: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.moved: dict[tuple[str, str], int] = defaultdict(int)
        self.exported = dict.fromkeys(group.exported, 0)
        self.written = np.zeros(group.tensor(self.head.result).size, np.bool_)

    def take_turn(self, index: Index) -> None:
        needed = {tensor.name: np.zeros(tensor.size, np.bool_) for tensor in self.group.tensors}
        for link in reversed(self.group.links):  # the head first, makers after all of their readers
            tables = self.links[link.name]
            if link is self.head:
                outputs, terms = tables.tile(self.mapping.loops, index)
                needed[link.result] = outputs
                self.written |= outputs
            else:
                outputs, terms = self._new(link.result, index, needed[link.result]), tables.all_terms
                if link.result in self.exported:
                    self.exported[link.result] += _size(outputs)
            self.counts[link.name].append(self.done[link.name].add(tables.worked(outputs), terms))
            self._bring(link, link.result, outputs, terms)
            read: dict[str, Elements] = {}
            for operand, access in zip(link.operands, tables.accesses, strict=True):
                elements = access.read(outputs, terms)
                read[operand.tensor] = read[operand.tensor] | elements if operand.tensor in read else elements
            for tensor, elements in read.items():
                needed[tensor] |= elements
                self._bring(link, tensor, outputs, terms)
        for tensor, place in self.places.items():
            place.see(index, needed[tensor])

    def _bring(self, link: GroupLink, tensor: str, outputs: Elements, terms: Elements) -> None:
        """Walk a link's own loops above its own place of a tensor: what the place gets, and what it holds at most."""
        if self.retentions[tensor].level is not None:
            return
        tables, largest = self.links[link.name], 0
        there = np.zeros(self.group.tensor(tensor).size, np.bool_)
        for some, few in tables.parts(outputs, terms, self._own_loops(link, tensor)):
            if link.result == tensor:
                piece = some & few.any()
            else:
                reads = [access.read(some, few) for access in tables.accesses_of(tensor)]
                piece = np.logical_or.reduce(reads)
            self.moved[link.name, tensor] += _size(piece & ~there)
            largest, there = max(largest, _size(piece)), piece
        self.local[link.name, tensor].append(largest)

    def _own_loops(self, link: GroupLink, tensor: str) -> list[Temporal]:
        """The loops of the link's nest before it stores the tensor where its place is."""
        names = ["O" if link.result == tensor else "", *(op.role for op in link.operands if op.tensor == tensor)]
        (name, *others) = [each for each in names if each]
        loops: list[Temporal] = []
        for node in dict(self.mapping.branches).get(link.name, Nest(())).nodes:
            if isinstance(node, Temporal):
                loops.append(node)
                continue
            here = isinstance(node, Storage) and node.memory == self.retentions[tensor].memory and name in node.operands
            if here and not others:
                return loops
        return []

    def _new(self, tensor: str, index: Index, needed: Elements) -> Elements:
        """What of an intermediate must be made in this turn."""
        earlier = self.priors[tensor].before(index, needed)
        return needed & ~earlier if self.retentions[tensor].reuse else needed

    def result(self) -> Walked:
        for place in self.places.values():
            place.leave()
        names = [tensor.name for tensor in self.group.tensors]
        reads, writes = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
        for name in self.group.external:
            reads[name] = self._brought(name)
        writes |= self.exported
        out = self.head.result
        writes[out] = self._brought(out)
        reads[out] = writes[out] - _size(self.written)
        held = {
            name: tuple(place.sizes[index[: place.level]] for index in self.turns)
            for name, place in self.places.items()
        }
        local = {key: tuple(sizes) for key, sizes in self.local.items()}
        occupancy = dict.fromkeys(names, 0) | {name: max(sizes) for name, sizes in held.items()}
        for (_, tensor), sizes in local.items():
            occupancy[tensor] = max(occupancy[tensor], *sizes)
        memories = sorted({retention.memory for retention in self.retentions.values()})
        return Walked(
            turns=self.turns,
            reads=reads,
            writes=writes,
            operations={name: sum(counts) for name, counts in self.counts.items()},
            baseline={name: done.size for name, done in self.done.items()},
            operations_by_turn={name: tuple(counts) for name, counts in self.counts.items()},
            held=held,
            local=local,
            occupancy=occupancy,
            capacity={memory: self._capacity(memory, held, local) for memory in memories},
            occupied={memory: self._occupied(memory, held, local) for memory in memories},
        )

    def _brought(self, tensor: str) -> int:
        """Words of a tensor that cross the chip's border in one direction."""
        if tensor in self.places:
            return self.places[tensor].fills
        return sum(words for (_, used), words in self.moved.items() if used == tensor)

    def _capacity(
        self, memory: str, held: Mapping[str, Sequence[int]], local: Mapping[tuple[str, str], Sequence[int]]
    ) -> int:
        placed = sum(max(sizes) for tensor, sizes in held.items() if self.retentions[tensor].memory == memory)
        by_link = dict.fromkeys(self.links, 0)
        for (link, tensor), sizes in local.items():
            if self.retentions[tensor].memory == memory:
                by_link[link] += max(sizes)
        return placed + self._over_links(list(by_link.values()))

    def _occupied(
        self, memory: str, held: Mapping[str, Sequence[int]], local: Mapping[tuple[str, str], Sequence[int]]
    ) -> tuple[int, ...]:
        words: list[int] = []
        for turn in range(len(self.turns)):
            placed = sum(sizes[turn] for tensor, sizes in held.items() if self.retentions[tensor].memory == memory)
            by_link = dict.fromkeys(self.links, 0)
            for (link, tensor), sizes in local.items():
                if self.retentions[tensor].memory == memory:
                    by_link[link] += sizes[turn]
            words.append(placed + self._over_links(list(by_link.values())))
        return tuple(words)

    def _over_links(self, words: list[int]) -> int:
        """Links that take turns share the room of what is theirs alone; stages of a pipeline work at the same time."""
        return max(words) if self.mapping.stages is Stages.SEQUENTIAL else sum(words)


class _LinkTables:
    """The points of a link, which are pairs of an output and a term of the reduction, and what they read."""

    def __init__(self, link: GroupLink, group: Group) -> None:
        self.dims, self.operands = link.spec.dims, link.operands
        self.outputs = _indices(self.dims, OUTPUT)
        self.terms = _indices(self.dims, (LoopKind.KS,))
        self.all_terms: Elements = np.ones(math.prod(dim.ks for dim in self.dims), np.bool_)
        worked = (LoopKind.G, LoopKind.OPC) if link.spec.main == PASS else OUTPUT
        self.work_of = _numbers(self.dims, worked, self.outputs)
        self.works = math.prod(dim.count(kind) for dim in self.dims for kind in worked)
        self.accesses = [_Access(self, operand, group.tensor(operand.tensor).shape) for operand in link.operands]

    def tile(self, loops: Sequence[Temporal], index: Index) -> tuple[Elements, Elements]:
        """The outputs and the terms whose loop indices lie in the tiles of a turn."""
        outputs = np.ones(len(self.work_of), np.bool_)
        terms = self.all_terms.copy()
        for loop, turn in zip(loops, index, strict=True):
            key = loop.loop.dim, loop.loop.kind
            points, indices = (terms, self.terms[key]) if key in self.terms else (outputs, self.outputs[key])
            points &= indices // loop.tile == turn
        return outputs, terms

    def parts(
        self, outputs: Elements, terms: Elements, loops: Sequence[Temporal]
    ) -> Iterator[tuple[Elements, Elements]]:
        """Outputs and terms of the turns of loops that cut these, from the lowest index that there is."""
        if not outputs.any() or not terms.any():
            return
        cut: list[tuple[bool, npt.NDArray[np.int64]]] = []
        for node in loops:
            key = node.loop.dim, node.loop.kind
            of_terms = key in self.terms
            indices = self.terms[key] if of_terms else self.outputs[key]
            cut.append((of_terms, (indices - indices[terms if of_terms else outputs].min()) // node.tile))
        counts = [int(numbers[terms if of_terms else outputs].max()) + 1 for of_terms, numbers in cut]
        for turn in itertools.product(*map(range, counts)):
            some, few = outputs.copy(), terms.copy()
            for (of_terms, numbers), number in zip(cut, turn, strict=True):
                points = few if of_terms else some
                points &= numbers == number
            if some.any() and few.any():
                yield some, few

    def accesses_of(self, tensor: str) -> list[_Access]:
        """How the operands that see a tensor read."""
        pairs = zip(self.operands, self.accesses, strict=True)
        return [access for operand, access in pairs if operand.tensor == tensor]

    def worked(self, outputs: Elements) -> Elements:
        """What is worked through for these outputs: themselves, without a kernel one of each `op`."""
        works = np.zeros(self.works, np.bool_)
        works[self.work_of[outputs]] = True
        return works


class _Access:
    """What points of a link read through an operand.

    `table` has a row for each combination of the indices that the operand's depend on, `row_of` each output's, and a
    column for each term of the reduction. It holds the element's number in the tensor, or that behind the last where
    the point reads padding.
    """

    def __init__(self, link: _LinkTables, operand: Operand, shape: tuple[int, ...]) -> None:
        kinds = DEPENDS_ON[operand.role]
        self.has_terms = operand.role is not Role.POST
        self.row_of = _numbers(link.dims, kinds, link.outputs)
        self.size = math.prod(shape)
        rows = {key: indices[:, None] for key, indices in _indices(link.dims, kinds).items()}
        columns = {key: indices[None, :] for key, indices in link.terms.items()}
        indices: list[npt.NDArray[np.int64]] = []
        exists = np.ones(
            (
                math.prod(dim.count(kind) for dim in link.dims for kind in kinds),
                len(link.all_terms) if self.has_terms else 1,
            ),
            np.bool_,
        )
        for dim, extent in zip(link.dims, operand.shape, strict=True):
            if operand.role is Role.INPUT:
                g, opc, ks = rows[dim.name, LoopKind.G], rows[dim.name, LoopKind.OPC], columns[dim.name, LoopKind.KS]
                dilated = opc * dim.stride + ks * dim.dilation - dim.pad
                in_group = dilated // dim.up
                exists &= (dilated % dim.up == 0) & (in_group >= 0) & (in_group < extent // dim.g)
                indices.append(g * (extent // dim.g) + in_group)
            elif operand.role is Role.KERNEL:
                g, op, ks = rows[dim.name, LoopKind.G], rows[dim.name, LoopKind.OP], columns[dim.name, LoopKind.KS]
                indices.append((g * dim.op + op) * dim.ks + ks)
            else:
                g, op, opc = (rows[dim.name, kind] for kind in OUTPUT)
                indices.append(0 * g if extent == 1 else (g * dim.op + op) * dim.opc + opc)
        number = np.zeros(exists.shape, np.int64)
        for axis, size in zip(operand.axes, shape, strict=True):
            at = axis.offset + sum(step * indices[dim] for dim, step in axis.terms)
            if np.any(exists & ((at < 0) | (at >= size))):
                raise ValueError(f"an operand reads outside {operand.tensor}")
            number = number * size + at
        self.table = np.where(exists, number, self.size).astype(np.int32)

    def read(self, outputs: Elements, terms: Elements) -> Elements:
        """The elements that the points, all pairs of these outputs and terms, read."""
        rows = np.zeros(len(self.table), np.bool_)
        rows[self.row_of[outputs]] = True
        numbers = self.table[rows][:, terms] if self.has_terms else self.table[rows]
        elements = np.zeros(self.size + 1, np.bool_)
        elements[numbers] = True
        return elements[: self.size]


class _Prior:
    """What the turns before, of those between which a place of this level keeps something, needed of an intermediate.

    These are all turns that have the first level - 1 loops' indices in common with this one and lie in the turn right
    before of loop level - 1, and those that have the first level indices in common and come earlier.
    """

    def __init__(self, level: int, size: int) -> None:
        self.level, self.size = level, size
        self.prefix: Index | None = None
        self.last: Elements = self._none()
        self.now: Elements = self._none()

    def _none(self) -> Elements:
        return np.zeros(self.size, np.bool_)

    def before(self, index: Index, needed: Elements) -> Elements:
        """What turns before this one needed; this one is before the next."""
        prefix = index[: self.level]
        if prefix != self.prefix:
            outer = None if self.prefix is None else self.prefix[:-1]
            self.last = self.now if prefix[:-1] == outer else self._none()
            self.now = self._none()
            self.prefix = prefix
        earlier = self.last | self.now
        self.now |= needed
        return earlier


class _Place:
    """A place below the first `level` loops, that holds all that one turn of these needs of a tensor."""

    def __init__(self, retention: Retention, level: int, size: int) -> None:
        self.retention, self.level = retention, level
        self.prefix: Index | None = None
        self.last: Elements = np.zeros(size, np.bool_)
        self.now: Elements = np.zeros(size, np.bool_)
        self.fills = 0
        self.sizes: dict[Index, int] = {}

    def see(self, index: Index, needed: Elements) -> None:
        """A turn of all loops needs these elements."""
        if self.prefix != index[: self.level]:
            self.leave()
            self.prefix = index[: self.level]
        self.now |= needed

    def leave(self) -> None:
        """The turn of the first loops is over: what it needed is known, and what had to be brought for it."""
        if self.prefix is None:
            return
        self.sizes[self.prefix] = _size(self.now)
        self.fills += _size(self.now & ~self.last if self.retention.reuse else self.now)
        self.last, self.now = self.now, np.zeros(self.now.size, np.bool_)
        self.prefix = None


class _Distinct:
    """Counts the distinct ones of points given as all pairs of some outputs and some terms."""

    def __init__(self) -> None:
        self.outputs: dict[bytes, tuple[int, Elements]] = {}

    def add(self, outputs: Elements, terms: Elements) -> int:
        """The number of pairs."""
        key = terms.tobytes()  # tiles of terms are the same or disjoint
        if key not in self.outputs:
            self.outputs[key] = _size(terms), np.zeros(outputs.size, np.bool_)
        count, seen = self.outputs[key]
        seen |= outputs
        return _size(outputs) * count

    @property
    def size(self) -> int:
        return sum(_size(outputs) * count for count, outputs in self.outputs.values())


def _indices(dims: Sequence[Dim], kinds: Sequence[LoopKind]) -> dict[tuple[str, LoopKind], npt.NDArray[np.int64]]:
    """The loop indices of all combinations of the loops of some kinds, one array each, the last loop fastest.

    Of (g, op, opc), in this order, combination number n is the row-major n-th element of the output.
    """
    keys = [(dim.name, kind) for dim in dims for kind in kinds]
    counts = [dim.count(kind) for dim in dims for kind in kinds]
    return dict(zip(keys, np.indices(counts).reshape(len(keys), -1), strict=True))


def _numbers(
    dims: Sequence[Dim], kinds: Sequence[LoopKind], outputs: Mapping[tuple[str, LoopKind], npt.NDArray[np.int64]]
) -> npt.NDArray[np.int64]:
    """For every output, the number among the combinations of the loops of some kinds."""
    counts = [dim.count(kind) for dim in dims for kind in kinds]
    return np.ravel_multi_index([outputs[dim.name, kind] for dim in dims for kind in kinds], counts)


def _count(link: GroupLink, loop: Loop) -> int:
    return next(dim.count(loop.kind) for dim in link.spec.dims if dim.name == loop.dim)


def _size(elements: Elements) -> int:
    return int(np.count_nonzero(elements))

"""Pass `place-multicore`: a mapped chain becomes buffers with addresses and a stream for every core of a layer."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp, LoopKind, shape_of
from dialects.gconv.interpreter import main_function
from dialects.host_segment import SegmentOp
from dialects.locations import describe
from dialects.multicore import (
    ActivateOp,
    ComputeOp,
    FetchOp,
    LoadOp,
    MvmOp,
    PartOp,
    ProgramOp,
    RangeOp,
    RunOp,
    StoreOp,
    StreamOp,
    SumsOp,
    VectorsOp,
)
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping, CrossbarsAttr, Scheme, VectorAttr, VectorMapping, share
from dialects.schedule import Loop, LoopAttr
from dialects.spatial import ForOp, LayerOp
from dialects.target import require_multicore
from passes.dram import Storages
from passes.multicore.accesses import placed_layers
from passes.multicore.buffers import most_bytes, refuse_large_turns
from passes.multicore.groups import open_groups
from passes.multicore.matrix import Grid, Matrix, Part, constant_words, shift_of
from passes.multicore.rounds import Round, rounds
from passes.multicore.tiles import loops_of, row_loop, tiles_for
from passes.placing import Buffers, links_of, place


class PlaceMulticorePass(ModulePass):
    """Give tensors addresses in the shared memory, partial sums words of theirs, and every core its stream.

    A stream addresses what it touches by hardware loops: the vectors of a part by their number, tiles of vector units
    by the ranges of loops. Layers of a pipelined machine have tensors and partial sums of their own, others share the
    words. What a group keeps between its links lies row by row, in a hold that has room for all of it
    (`bound-buffers` makes it smaller). Turns that do not fit the buffer of a core are refused (CAT-F002).
    """

    name = "place-multicore"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "placed")
        _refuse_others(op)
        groups = open_groups(op, machine)
        links = links_of(op)
        grids = _grids(links, machine)
        writer = _Writer(machine, grids)

        def body(link: LinkOp, buffers: Buffers) -> list[Operation]:
            return writer.streams(link)

        together = links if machine.pipelines_layers else ()
        gathered = [each.gathered for each in groups]
        # Of groups it is known later how much of the memory they take.
        capacity = None if groups else machine.shared.words
        place(op, capacity, Storages(main_function(op)), body, gathered, together=together)
        for each in groups:
            each.add_holds()
        refuse_large_turns(_most(op, machine), machine, "placed")


def _most(module: ModuleOp, machine: MulticoreMachine) -> dict[LayerOp, int]:
    """Of layers on crossbars, the bytes of a core's buffer that a stream takes at most."""
    found: dict[LayerOp, int] = {}
    for layer in placed_layers(main_function(module)):
        if isinstance(layer.mapping, CrossbarsAttr):
            streams = (op for op in layer.body.block.ops if isinstance(op, StreamOp))
            found[layer] = max(most_bytes(layer, stream, machine) for stream in streams)
    return found


def _refuse_others(module: ModuleOp) -> None:
    """Raises `CatenaError` (CAT-U006) for what cores do not run: host segments."""
    problems = [
        Diagnostic(
            "CAT-U006", f"cores do not run a {op.name}", "placed", describe(op), hint="leave out --allow-fallback"
        )
        for op in main_function(module).body.block.ops
        if isinstance(op, SegmentOp)
    ]
    if problems:
        raise CatenaError(problems)


def _grids(links: list[LinkOp], machine: MulticoreMachine) -> dict[LinkOp, Grid]:
    """The grids of links on crossbars. Raises `CatenaError` for links that are not mapped, or not placed on cores."""
    grids: dict[LinkOp, Grid] = {}
    problems: list[Diagnostic] = []

    def refuse(link: LinkOp, message: str, **more: str) -> None:
        problems.append(Diagnostic("CAT-R003", message, "placed", describe(link), **more))

    for link in links:
        match link.mapping:
            case CrossbarsAttr(data=mapping):
                grid = Grid.of(Matrix.of(link.spec), mapping, machine)
                wanted = grid.tall * grid.wide * mapping.copies
                if len(mapping.cores) != wanted:
                    refuse(link, "a core is needed for every part", expected=str(wanted), found=str(len(mapping.cores)))
                elif any(core >= machine.cores.count for core in mapping.cores):
                    found = f"core {max(mapping.cores)}"
                    refuse(
                        link, "a part is on a core that is not there", expected=f"{machine.cores.count}", found=found
                    )
                else:
                    grids[link] = grid
            case VectorAttr(data=mapping) if mapping.cores:
                if max(mapping.cores) >= machine.cores.count or len(set(mapping.cores)) < len(mapping.cores):
                    refuse(link, "parts are on cores that are not there, or on one core twice")
            case _:
                refuse(link, "the link has no mapping onto cores", hint="run slice-weights and what follows it")
    if problems:
        raise CatenaError(problems)
    return grids


@dataclass
class _Writer:
    """The streams of links in their order, and what is taken of crossbars and memory for sums so far."""

    machine: MulticoreMachine
    grids: dict[LinkOp, Grid]
    used: dict[int, int] = field(default_factory=dict[int, int])
    sums: int = 0

    def __post_init__(self) -> None:
        taken: dict[int, int] = {}
        for grid in self.grids.values():
            for part, core in zip(grid.parts(), grid.mapping.cores, strict=True):
                taken[core] = taken.get(core, 0) + part.crossbars
        self.is_resident = max(taken.values(), default=0) <= self.machine.cores.crossbars

    def streams(self, link: LinkOp) -> list[Operation]:
        """The streams of one link."""
        match link.mapping:
            case CrossbarsAttr(data=mapping):
                return self._crossbars(link, mapping)
            case VectorAttr(data=mapping):
                return self._vectors(link, mapping)
            case _:
                raise AssertionError(link.mapping)

    def _crossbars(self, link: LinkOp, mapping: CrossbarMapping) -> list[Operation]:
        grid = self.grids[link]
        matrix = grid.matrix
        base = self._sums(link, matrix.vectors * matrix.groups * matrix.columns) if grid.tall > 1 else None
        # Sums of a ring lie together, vector by vector, those of rings beside one another one after the other.
        places: dict[int, int] = {}
        found: list[Operation] = []
        assert link.kernel is not None
        words = constant_words(link.kernel)
        shift = None if words is None else shift_of(words, self.machine)
        if shift is None:
            message = "the link cannot run on crossbars"
            hint = "leave its mapping to slice-weights"
            raise CatenaError(Diagnostic("CAT-R003", message, "placed", describe(link), hint=hint))
        for part, core in zip(grid.parts(), mapping.cores, strict=True):
            head = [self._part(part), VectorsOp.of_set(part.vectors)]
            if base is not None:
                stride = len(part.groups) * len(part.columns)
                ring = part.ring[0] % (grid.tall * grid.wide)
                if ring not in places:
                    places[ring] = base
                    base += matrix.vectors * stride
                head.append(SumsOp.of(address=places[ring], stride=stride))
            head.append(self._program(part, core, shift))
            found.append(StreamOp.of(*head, *_runs(link, part, mapping.scheme), core=core))
        return found

    def _sums(self, link: LinkOp, words: int) -> int:
        base = self.sums if self.machine.schedule.pipelined else 0
        if base + words > self.machine.shared.sum_words:
            limits = f"{self.machine.shared.sum_words} words", f"{base + words} words"
            message = "partial sums do not fit the shared memory"
            raise CatenaError(Diagnostic("CAT-F003", message, "placed", describe(link), "", *limits))
        self.sums = max(self.sums, base + words)
        return base

    @staticmethod
    def _part(part: Part) -> Operation:
        return PartOp.of(groups=_pair(part.groups), rows=_pair(part.rows), columns=_pair(part.columns))

    def _program(self, part: Part, core: int, shift: int) -> Operation:
        first = self.used.get(core, 0)
        if first + part.crossbars > self.machine.cores.crossbars:
            first = 0
        self.used[core] = first + part.crossbars
        resident = UnitAttr() if self.is_resident else None
        return ProgramOp.of(crossbars=(first, part.crossbars), shift=shift, resident=resident)

    def _vectors(self, link: LinkOp, mapping: VectorMapping) -> list[Operation]:
        spec = link.spec
        sizes = {loop: _count(link, loop) for loop in loops_of(spec)}
        parts = len(mapping.cores)
        loop = mapping.loop
        if loop is not None:
            sizes[loop] = -(-sizes[loop] // parts)
        # Updates stay in their order, in one turn.
        is_cut = loop is not None or parts > 1
        row = row_loop(spec) if self.machine.pipelines_layers else None
        tiles = tiles_for(link, sizes, self.machine.cores.buffer_bytes, row) if is_cut else {}
        if tiles is None:
            found = f"{self.machine.cores.buffer_bytes} bytes"
            message = "not even one result's operands fit the buffer of a core"
            raise CatenaError(Diagnostic("CAT-F002", message, "placed", describe(link), found=found))
        streams: list[Operation] = []
        for number, core in enumerate(mapping.cores):
            body: list[Operation] = [LoadOp.of(tensor="I")]
            body += [LoadOp.of(tensor="K")] if link.kernel is not None else []
            body += [LoadOp.of(tensor="X")] if link.extras else []
            body += [ComputeOp.of(), *([ActivateOp.of()] if spec.post else []), StoreOp.of(tensor="O")]
            for each, tile in reversed(tiles.items()):
                body = [ForOp.of(LoopAttr(each), tile, body)]
            if loop is not None:
                part = share(_count(link, loop), number, parts)
                body.insert(0, RangeOp.of(loop=LoopAttr(loop), part=_pair(part)))
            streams.append(StreamOp.of(*body, core=core))
        return streams


def _count(link: LinkOp, loop: Loop) -> int:
    dim = next(dim for dim in link.spec.dims if dim.name == loop.dim)
    return dim.count(LoopKind(loop.kind))


def _pair(indices: range) -> tuple[int, int]:
    return indices.start, len(indices)


def _runs(link: LinkOp, part: Part, scheme: Scheme) -> list[Operation]:
    """What a core does for its vectors: runs of turns in which it does the same.

    What all vectors have in common is brought when it is first needed: cores of a cyclic ring are at work by then, and
    would all ask for the bus if they did so at the start.
    """
    varies = [_varies(link, number) for number in range(len(link.extras))]
    found: list[Operation] = []
    for each in rounds(part, scheme):
        if each.is_last and not all(varies):
            found.append(LoadOp.of(tensor="B"))
        found.append(_run(each, has_post=bool(link.spec.post), varies=any(varies)))
    return found


def _varies(link: LinkOp, number: int) -> bool:
    """Whether an operand of `post` is another one for other vectors."""
    shape = shape_of(link.extras[number])
    return any(dim.opc > 1 and extent > 1 for dim, extent in zip(link.spec.dims, shape, strict=True))


def _run(each: Round, *, has_post: bool, varies: bool) -> Operation:
    body: list[Operation] = [LoadOp.of(tensor="I"), MvmOp.of()]
    if not each.is_first:
        body.append(FetchOp.of())
    if each.is_last:
        body += [LoadOp.of(tensor="X")] if varies else []
        body += [ActivateOp.of()] if has_post else []
    body.append(StoreOp.of(tensor="O" if each.is_last else "S"))
    return RunOp.of(*body, start=each.start, turns=each.turns)

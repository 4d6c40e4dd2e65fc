"""A link of a fused group on a machine of rows and columns: whether its nest is legal there, what its runs count.

The nest is an ordinary mapping of the link's largest turn. An input that lies in a hold is stored there before all
loops and read by passes as they need it; kernels go from a hold to the elements, post operands come from one, and
results leave the tile of their sums for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from dialects.array_machine import Machine
from dialects.diagnostics import Diagnostic
from dialects.events import BURSTS, COMPRESSED, Counts
from dialects.gconv.spec import PASS, Dim, GConv, LoopKind
from dialects.gconv.view import View
from dialects.schedule import Loop, Mapping, Operand, Storage
from passes.fusion.placed import NAMES
from passes.fusion.shapes import KINDS, Shape, largest, part_of
from passes.mapping.bursts import starts_of
from passes.mapping.cost import extra_words
from passes.mapping.fit import Held, scratchpad_violations, violations
from passes.mapping.prediction import predict_on_array
from passes.mapping.tiling import Tiling, distinct_positions, number
from passes.work import Work

_HINT = "give the link another nest, or none to have one searched; or cut smaller tiles of the head"
Place = tuple[range, ...]
"""The indices of (g, op, opc, ks) of every dimension in turn that a run works."""


def array_violations(
    spec: GConv,
    mapping: Mapping,
    kept: Iterable[str],
    shapes: Sequence[Shape],
    machine: Machine,
    taken: int,
    stage: str,
    node: str,
) -> list[Diagnostic]:
    """Every rule that the nest of a link breaks in its largest turn, or else in another one.

    `kept` are the roles (`I`, `K`, `O`, `P0`, ...) of what lies in holds, `taken` the words of the buffer up to which
    holds lie.
    """
    holds_input = Operand.INPUT in kept
    if holds_input and not _begins_with_input(mapping):
        message = "I lies in glb when a turn begins, and the nest does not take it from there"
        expected = "store glb [I] before all loops"
        return [Diagnostic("CAT-F002", message, stage, node, expected=expected, found=str(mapping), hint=_HINT)]
    held = Held(-(-taken // machine.glb.bank_words), holds_input)
    found = violations(part_of(spec, largest(shapes)).bare, mapping, machine, stage, node, held=held)
    for shape in shapes:
        found = found or scratchpad_violations(part_of(spec, shape), mapping, machine, stage, node)
    return [replace(problem, hint=problem.hint or _HINT) for problem in found]


def _begins_with_input(mapping: Mapping) -> bool:
    for node in mapping.nodes:
        if not isinstance(node, Storage):
            return False
        if Operand.INPUT in node.operands:
            return node.memory == "glb"
    return False


def transfer_events(role: str) -> tuple[str, str]:
    """What a word counts off-chip and in the buffer that is fetched for a role of a link, or sent as its result."""
    if role == Operand.OUTPUT:
        return "dram.output.write", "glb.output.send"
    name = NAMES.get(role, "extra")
    return f"dram.{name}.read", f"glb.{name}.fill"


@dataclass(frozen=True)
class ArrayMember:
    """What a link of a group runs: all of its work, the mapping of its largest turn, the roles of what holds keep."""

    work: Work
    mapping: Mapping
    kept: frozenset[str]


def predict_places(member: ArrayMember, machine: Machine, places: Iterable[tuple[Place, int]]) -> Counts:
    """What the runs of a link count together, by where each is and how often.

    Runs of equal shape that are equally far beyond the borders of the input count the same.
    """
    total = Counts()
    known: dict[tuple[object, ...], Counts] = {}
    for place, times in places:
        key = what_counts(member.work, place)
        if key not in known:
            known[key] = _predict(member, machine, place)
        total.add(_times(known[key], times))
    return total


def what_counts(work: Work, place: Place) -> tuple[object, ...]:
    """What the counts of a run depend on: its shape, where its sums begin and end, how far it is beyond borders."""
    return tuple(each for dim, ranges, extent in _dims(work, place) for each in _key(dim, ranges, extent))


def _dims(work: Work, place: Place) -> Iterator[tuple[Dim, Place, int]]:
    """The dimensions of a link with the ranges of a run, and the input words of a group."""
    for index, (dim, extent) in enumerate(zip(work.spec.dims, work.input_shape, strict=True)):
        yield dim, place[4 * index : 4 * index + 4], extent // dim.g


def _key(dim: Dim, ranges: Place, extent: int) -> tuple[object, ...]:
    """What of a run's ranges its counts depend on."""
    _, _, outputs, taps = ranges
    low = outputs.start * dim.stride + taps.start * dim.dilation - dim.pad
    high = low + (len(outputs) - 1) * dim.stride + (len(taps) - 1) * dim.dilation
    is_inside = low >= 0 and high <= (extent - 1) * dim.up
    return (*map(len, ranges), taps.start == 0, taps.stop == dim.ks, is_inside, low % dim.up if is_inside else low)


def _times(counts: Counts, times: int) -> Counts:
    events = {event: times * count for event, count in counts.events.items()}
    return Counts(events, times * counts.array_cycles, times * counts.passes, counts.peak_pes)


def _predict(member: ArrayMember, machine: Machine, place: Place) -> Counts:
    kept, mapping = member.kept, member.mapping
    sums = SumsOfRun.at(member.work.spec, place)
    work = part_at(member.work, place) if sums.finish else unfinished_part(member.work, place)
    first = 2 if work.has_kernel else 1
    extras = [f"P{number}" not in kept for number in range(len(work.views) - first - 1)]
    moved = [*[True] * first, *extras, True]
    loaded = replace(
        work,
        views=tuple(view for view, is_moved in zip(work.views, moved, strict=True) if is_moved),
        compressed=tuple(each for each, is_moved in zip(work.compressed, moved, strict=True) if is_moved),
    )
    counts = predict_on_array(loaded, mapping, machine, member.work.spec)
    events = counts.events
    if Operand.INPUT in kept:
        _forget(counts, "dram.input.read")
        events["dram.input.padding"] = events["glb.input.fill"] = 0
        events["glb.input.read"] = _held_reads(work, mapping)
    if Operand.KERNEL in kept:
        events["glb.kernel.read"] = events["dram.kernel.read"]
        _forget(counts, "dram.kernel.read")
    if Operand.OUTPUT in kept:
        events["glb.output.hold"] = events["dram.output.write"]
        _forget(counts, "dram.output.write")
    held = [shape for shape, is_loaded in zip(work.extra_shapes, extras, strict=True) if not is_loaded]
    events["glb.extra.read"] = sum(extra_words(work.spec, mapping, shape) for shape in held)
    if not sums.begin:
        events["array.output.in"] += events["glb.output.first"]
    sums.count(counts)
    return counts


@dataclass(frozen=True)
class SumsOfRun:
    """Whether the sums of a run begin in it, or go on from another turn, and whether they are finished in it."""

    begin: bool
    finish: bool

    @classmethod
    def at(cls, spec: GConv, place: Place) -> SumsOfRun:
        """The sums of a run on a place."""
        taps = place[len(KINDS) - 1 :: len(KINDS)]
        ends = (each.stop == dim.ks for each, dim in zip(taps, spec.dims, strict=True))
        return cls(all(each.start == 0 for each in taps), all(ends))

    def count(self, counts: Counts) -> None:
        """Of the counts of a run that begins and finishes its sums, make those of this one, in the buffer."""
        for is_so, event, other in ((self.begin, "first", "read"), (self.finish, "last", "write")):
            if not is_so:
                counts.events[f"glb.output.{other}"] += counts.events[f"glb.output.{event}"]
                counts.events[f"glb.output.{event}"] = 0


def unfinished_part(work: Work, place: Place) -> Work:
    """A part of a link of whose sums nothing is made yet: each lies in its hold once, as it is."""
    if work.spec.main == PASS:
        once = (each[:1] if index % len(KINDS) == 1 else each for index, each in enumerate(place))
        place = tuple(once)
    part = part_at(work, place)
    tensors = 2 if work.has_kernel else 1
    views = (*part.views[:tensors], part.views[-1])
    compressed = (*part.compressed[:tensors], part.compressed[-1])
    return replace(part, spec=replace(part.spec, post=()), views=views, compressed=compressed)


def _forget(counts: Counts, event: str) -> None:
    """Take out words that do not go over the off-chip link, and what they would take there."""
    for name in (event, BURSTS[event], COMPRESSED.get(event, event)):
        if name in counts.events:
            counts.events[name] = 0


def part_at(work: Work, place: Place) -> Work:
    """A link as far as a run works it: padded as it is there, with the views that it has of its tensors."""
    spec = part_of(work.spec, tuple(map(len, place)))
    dims = tuple(
        replace(dim, pad=dim.pad - place[4 * index + 2].start * dim.stride - place[4 * index + 3].start * dim.dilation)
        for index, dim in enumerate(spec.dims)
    )
    spec = replace(spec, dims=dims)
    shapes = [tuple(extent * dim.g for dim, (_, _, extent) in zip(dims, _dims(work, place), strict=True))]
    if work.has_kernel:
        shapes.append(spec.kernel_shape)
    for view in work.views[len(shapes) : -1]:
        pairs = zip(view.shape, spec.output_shape, strict=True)
        shapes.append(tuple(1 if extent == 1 else part for extent, part in pairs))
    shapes.append(spec.output_shape)
    views = tuple(View(shape, view.strides) for shape, view in zip(shapes, work.views, strict=True))
    return replace(work, spec=spec, views=views)


def _held_reads(work: Work, mapping: Mapping) -> int:
    """Words that passes read of an input in a hold: what their windows touch, without padding."""
    position = len(mapping.nodes) - len(mapping.spatial)
    depth, total = Tiling(work.spec, mapping).at(position), 1
    for dim, extent in zip(work.spec.dims, work.input_shape, strict=True):
        outputs, taps = (
            starts_of(mapping, position, Loop(dim.name, kind), dim.count(kind)) for kind in (LoopKind.OPC, LoopKind.KS)
        )
        touched = sum(
            _touched(dim, extent // dim.g, a * dim.stride + b * dim.dilation - dim.pad, n, m)
            for (a, n), (b, m) in product(outputs, taps)
        )
        total *= dim.g * number(depth.of(dim, LoopKind.OP)) * touched
    return total


def _touched(dim: Dim, extent: int, low: int, outputs: int, taps: int) -> int:
    """How many words of a group so many windows touch whose first position, padding included, is `low`."""
    high = low + (outputs - 1) * dim.stride + (taps - 1) * dim.dilation
    if dim.up == 1 and low >= 0 and high < extent:
        return distinct_positions(outputs, taps, dim.stride, dim.dilation)
    return _touched_at_borders(dim.stride, dim.dilation, dim.up, extent, low, outputs, taps)


@lru_cache(1 << 12)
def _touched_at_borders(stride: int, dilation: int, up: int, extent: int, low: int, outputs: int, taps: int) -> int:
    places = low + np.unique(np.add.outer(np.arange(outputs) * stride, np.arange(taps) * dilation))
    places = places[places % up == 0] // up
    return int(np.count_nonzero((places >= 0) & (places < extent)))

"""Fused groups on machines of rows and columns: placed, emitted, read back, run by both engines."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping as Table
from dataclasses import replace

from xdsl.context import Context
from xdsl.ir import Attribute

from backends.container import parse_program, program_bytes
from backends.program import Program
from backends.spatial.emit import emit
from backends.spatial.emulator import MODES, SpatialEmulator
from dialects.array_machine import Machine
from dialects.fused_mapping import FusedMapping
from dialects.gconv import PASS, GConv, LoopKind
from dialects.gconv.interpreter import Interpreter
from dialects.groups import GroupOp
from dialects.schedule import Axis, Loop, Mapping, Node, Operand, Spatial, Storage, Temporal
from passes.fusion.array_members import array_violations
from passes.fusion.group import Group
from passes.fusion.holds import addresses, plan_group
from passes.fusion.memories import levels_of
from passes.fusion.model import FusedCosts
from passes.fusion.shapes import largest, part_of
from passes.fusion.turns import kept_by, shapes_of, taken_by
from passes.map_row_stationary import MapRowStationaryPass
from passes.place_spatial import PlaceSpatialPass
from tests.backends.generic.fused_groups import Chain, assert_results, chain_of, fuse, without_pieces
from tests.backends.spatial.layers import check_counts

_TRIES = 40


def with_nests(group: Group, mapping: FusedMapping, machine: Machine, rng: random.Random) -> FusedMapping:
    """The mapping with a random legal nest for every link, where one is found in some tries."""
    levels = levels_of(machine)
    plan = plan_group(group, mapping, levels, "placed", "")
    placed = addresses(plan.holds, tuple(link.name for link in group.links), levels)
    branches: list[tuple[str, Mapping]] = []
    for link in group.links:
        kept, shapes = kept_by(plan, link.name), list(shapes_of(plan, link.name))
        taken = taken_by(plan, placed, link.name).get("glb", 0)
        for _ in range(_TRIES if shapes else 0):
            nest = random_nest(part_of(link.spec, largest(shapes)), kept, rng)
            if not array_violations(link.spec, nest, kept, shapes, machine, taken, "placed", ""):
                branches.append((link.name, nest))
                break
    return replace(mapping, branches=tuple(branches))


def random_nest(spec: GConv, kept: Table[str, int], rng: random.Random) -> Mapping:
    """A mapping of sound structure; an input that lies in a hold is stored first."""
    kinds = [kind for kind in LoopKind if kind is not LoopKind.OP or spec.main != PASS]
    loops = [Loop(dim.name, kind) for dim in spec.dims for kind in kinds if dim.count(kind) > 1]
    counts = {Loop(dim.name, kind): dim.count(kind) for dim in spec.dims for kind in kinds}
    cut = rng.choices(loops, k=rng.randint(0, 6)) if loops else []
    temporal = [Temporal(loop, rng.randint(1, counts[loop])) for loop in cut]
    kernel = max((i + 1 for i, node in enumerate(temporal) if node.loop.kind is not LoopKind.OPC), default=0)
    output = next((i for i, node in enumerate(temporal) if node.loop.kind is LoopKind.KS), len(temporal))
    spots = [
        (0 if Operand.INPUT in kept else rng.randint(0, len(temporal)), Storage("glb", (Operand.INPUT,))),
        (rng.randint(0, output), Storage("glb", (Operand.OUTPUT,))),
    ]
    if spec.main != PASS:
        spots.append((rng.randint(kernel, len(temporal)), Storage("spad", (Operand.KERNEL,))))
    nodes: list[Node] = list(temporal)
    for spot, storage in sorted(spots, key=lambda each: -each[0]):
        nodes.insert(spot, storage)
    for loop in rng.choices(loops, k=rng.randint(0, 4)) if loops else []:
        axis = Axis.ROW if loop.kind is LoopKind.KS else rng.choice(tuple(Axis))
        nodes.append(Spatial(loop, rng.randint(1, counts[loop]), axis))
    return Mapping(tuple(nodes))


def compiled(chain: Chain, *, is_mapped: bool = False) -> Program:
    """The program of a chain, as read back from its file."""
    module = chain.module
    module.verify()
    for step in (*([] if is_mapped else [MapRowStationaryPass()]), PlaceSpatialPass()):
        step.apply(Context(), module)
        module.verify()
    return parse_program(program_bytes(emit(module, "eyeriss")), "test")


def check_group(
    group: Group,
    mapping: FusedMapping,
    machine: Machine,
    rng: random.Random | None = None,
    types: Table[str, Attribute] | None = None,
    modes: tuple[str, ...] = tuple(MODES),
) -> Program:
    """Run a group with both engines: outputs of the links one by one, and what was predicted, by link and of the model.

    Nests are searched, or, with a generator, drawn. Raises `CatenaError` if the mapping cannot be lowered.
    """
    if rng is not None:
        mapping = with_nests(group, mapping, machine, rng)
    chain = chain_of(group, machine, types)
    expected = Interpreter(chain.module.clone()).run(chain.inputs)
    fuse(chain, group, mapping)
    program = compiled(chain)
    costs = FusedCosts(group, mapping)
    for mode in modes:
        emulator = SpatialEmulator(program, mode)
        assert_results(emulator.run(chain.inputs), expected, mode)
        assert list(emulator.counters) == [entry.name for entry in program.layers]
        for entry in program.layers:
            check_counts(emulator.counters[entry.name], entry, mode)
        check_model(group, mapping, machine, costs, emulator)
        check_room(group, with_nests_of(chain, group, mapping), machine, emulator)
    return program


def with_nests_of(chain: Chain, group: Group, mapping: FusedMapping) -> FusedMapping:
    """A mapping with the nests that links have in a placed chain, drawn or searched."""
    (fused,) = [op for op in chain.module.walk() if isinstance(op, GroupOp)]
    assert fused.mapping is not None
    nests = dict(fused.mapping.data.branches)
    return replace(mapping, branches=tuple((link.name, nests[link.result]) for link in group.links))


def check_model(
    group: Group, mapping: FusedMapping, machine: Machine, costs: FusedCosts, emulator: SpatialEmulator
) -> None:
    """Traffic, operations and occupancy of the whole group are those of the model of fused groups."""
    counted: Counter[str] = Counter()
    for link, counts in zip(group.links, emulator.counters.values(), strict=True):
        counted.update(counts.events)
        assert counts.operations == costs.work[link.name].operations, link.name
    if any(each.memory == "dram" for each in mapping.retentions):
        return
    reads = sum(counted[f"dram.{name}.read"] for name in ("input", "kernel", "extra"))
    assert reads == sum(words for name, words in costs.reads.items() if name in group.external)
    assert counted["dram.output.write"] == sum(costs.writes.values())


def check_room(group: Group, mapping: FusedMapping, machine: Machine, emulator: SpatialEmulator) -> None:
    """What tensors take at most is what the model says, but for what nests bring in pieces, which no hold has."""
    (entry,) = emulator.program.groups
    assert emulator.held[entry.name] == entry.held
    if any(each.memory == "dram" for each in mapping.retentions) or (held := without_pieces(group, mapping)) is None:
        return
    costs = FusedCosts(group, held)
    holds = plan_group(group, mapping, levels_of(machine), "placed", "").holds
    spare = sum(hold.spare for hold in holds)
    for memory, words in entry.held.items():
        assert costs.capacity(memory) <= words
        # what single links have for themselves begins in whole banks, so that it fills other words for each of them
        assert words <= costs.capacity(memory) + spare or any(hold.link for hold in holds)

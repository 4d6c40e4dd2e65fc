"""Fused groups on machines of any levels: chains of groups as data, placed, emitted, read back, run by both engines."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import FunctionType, ModuleOp, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from backends.container import parse_program, program_bytes
from backends.fields import Array
from backends.generic.emit import emit
from backends.generic.emulator import MODES, NestEmulator
from backends.program import Program
from dialects.accelerator import Accelerator
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping
from dialects.gconv import LinkOp, View, ViewOp, row_major, shape_of
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import Interpreter
from dialects.locations import node_location
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping, Node, Operand, Storage, Temporal
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from passes.fusion.group import Group, GroupLink, Role
from passes.fusion.grouping import group_links
from passes.fusion.holds import Run, plan_group
from passes.fusion.model import FusedCosts
from passes.fusion.pieces import is_cut_evenly, own_loops, part_of_link
from passes.fusion.shapes import largest, part_of
from passes.mapper.problem import Problem
from passes.place_nest import PlaceNestPass
from tests.backends.generic.layers import check_counts
from tests.backends.spatial.layers import integers, names


@dataclass
class Chain:
    """A group as a chain of links on arguments and constants; `values` are its tensors by name."""

    module: ModuleOp
    values: dict[str, SSAValue]
    inputs: dict[str, Array]


def chain_of(group: Group, machine: Accelerator, types: Table[str, Attribute] | None = None) -> Chain:
    """The links of a group as a function: kernels alone are constants, what else it reads are arguments."""
    types = types or {}
    read = [name for name in group.external if any(True for _ in group.readers(name))]
    constants = [name for name in read if group.is_kernel_alone(name)]
    arguments = [name for name in read if name not in constants]

    def kind(name: str) -> TensorType[Attribute]:
        return TensorType(types.get(name, f32), group.tensor(name).shape)

    block = Block(arg_types=[kind(name) for name in arguments])
    values: dict[str, SSAValue] = dict(zip(arguments, block.args, strict=True))

    def add(op: Operation, name: str) -> SSAValue:
        op.location = node_location(name)
        block.add_op(op)
        return op.results[0]

    inputs = {name: _words(group.tensor(name).shape, seed, types.get(name)) for seed, name in enumerate(arguments)}
    for seed, name in enumerate(constants):
        values[name] = add(ConstantOp.of(_words(group.tensor(name).shape, 100 + seed, types.get(name))), name)
    for link in group.links:
        operands: dict[Role, list[SSAValue]] = {role: [] for role in Role}
        for operand in link.operands:
            base = values[operand.tensor]
            steps = row_major(shape_of(base))
            offset = sum(axis.offset * step for axis, step in zip(operand.axes, steps, strict=True))
            strides = [0] * len(operand.shape)
            for axis, step in zip(operand.axes, steps, strict=True):
                for dim, each in axis.terms:
                    strides[dim] += each * step
            view = View(operand.shape, tuple(strides), offset)
            is_whole = view == View.dense(shape_of(base))
            operands[operand.role].append(base if is_whole else add(ViewOp.of(base, view), link.name))
        (input,), kernels, extras = operands[Role.INPUT], operands[Role.KERNEL], operands[Role.POST]
        kernel = kernels[0] if kernels else None
        made = LinkOp.of(link.spec, input, kernel, extras, tensor=link.result, element_type=types.get(link.result))
        values[link.result] = add(made, link.name)
    outputs = [group.head.result, *sorted(group.exported)]
    block.add_op(ReturnOp(*(values[name] for name in outputs)))
    function = FuncOp(
        "main",
        FunctionType.from_lists([arg.type for arg in block.args], [values[name].type for name in outputs]),
        Region(block),
        arg_attrs=names(*arguments),
        res_attrs=names(*outputs),
    )
    return Chain(ModuleOp([MachineOp.of(machine), function]), values, inputs)


def _words(shape: tuple[int, ...], seed: int, kind: Attribute | None) -> Array:
    words = integers(shape, seed)
    return words if kind is None else words.astype(str(kind).replace("i", "int").replace("f", "float"))


def fuse(chain: Chain, group: Group, mapping: FusedMapping) -> FusedOp:
    """Make the links of a chain one group, with the mapping of the group as data, whose names it takes over."""
    owners = {link.name: chain.values[link.result].owner for link in group.links}
    links = [owner for owner in owners.values() if isinstance(owner, LinkOp)]
    fused = group_links(links)
    renamed: dict[str, str] = {}
    inside = dict(fused.names.items())
    outer = dict(zip(fused.inputs, fused.read_names, strict=True))
    for name, value in chain.values.items():
        renamed[name] = inside.get(value) or outer.get(value, "")
    used = [replace(each, tensor=renamed[each.tensor]) for each in mapping.retentions if renamed.get(each.tensor)]
    branches = tuple((renamed[group.link(name).result], nest) for name, nest in mapping.branches)
    fused.properties["mapping"] = FusedAttr.of(replace(mapping, retentions=tuple(used), branches=branches))
    return fused


def with_nests(
    group: Group, mapping: FusedMapping, machine: NestMachine, rng: random.Random | None = None
) -> FusedMapping:
    """The mapping with a nest for every link: what lies in holds first, then what it says, or some loops at random."""
    plan, given = plan_group(group, mapping, machine, "placed", ""), dict(mapping.branches)
    branches: list[tuple[str, Mapping]] = []
    for link in group.links:
        kept = {
            operand: plan.holds[plan.keeps[link.name, operand]].memory
            for operand in Operand
            if (link.name, operand) in plan.keeps
        }
        nodes: list[Node] = []
        for memory in machine.memories:
            held = tuple(
                operand for operand, where in kept.items() if where == memory.name and operand in memory.operands
            )
            if held:
                nodes.append(Storage(memory.name, held))
        sums = kept.get(Operand.OUTPUT)
        if sums is not None and Operand.OUTPUT not in machine.memory(sums).operands:
            nodes.append(Storage(machine.memories[-1].name, (Operand.OUTPUT,)))
            kept[Operand.OUTPUT] = machine.memories[-1].name
        for node in given.get(link.name, Mapping(())).nodes:
            if not isinstance(node, Storage) or not any(operand in kept for operand in node.operands):
                nodes.append(node)
        if rng is not None and link.name not in given:
            shapes = [
                shape
                for depth, step in plan.steps
                if isinstance(step, Run) and step.link == link.name
                for shape, _ in step.box.shapes(plan.turns[:depth])
            ]
            if shapes:
                nodes += _loops(Problem.of(part_of(link.spec, largest(shapes))), kept, machine, rng)
        branches.append((link.name, Mapping(tuple(nodes))))
    return replace(mapping, branches=tuple(branches))


def _loops(problem: Problem, kept: dict[Operand, str], machine: NestMachine, rng: random.Random) -> list[Node]:
    nodes: list[Node] = []

    def cut() -> None:
        for _ in range(rng.randint(0, 2)):
            if problem.loops:
                loop = rng.randrange(len(problem.loops))
                nodes.append(Temporal(problem.loops[loop], rng.randint(1, problem.extents[loop])))

    cut()
    inner = machine.memories[-1].name
    for operand in rng.sample(list(problem.operands), len(problem.operands)):
        if kept.get(operand) != inner and rng.random() < 0.6 and operand in machine.memories[-1].operands:
            nodes.append(Storage(inner, (operand,)))
            cut()
    return nodes


def compiled(chain: Chain) -> Program:
    """The program of a chain, as read back from its file."""
    module = chain.module
    module.verify()
    PlaceNestPass().apply(Context(), module)
    module.verify()
    return parse_program(program_bytes(emit(module, "generic")), "test")


def check_group(
    group: Group,
    mapping: FusedMapping,
    machine: NestMachine,
    rng: random.Random | None = None,
    types: Table[str, Attribute] | None = None,
    modes: tuple[str, ...] = tuple(MODES),
) -> Program:
    """Run a group with both engines: outputs of the links one by one, and what was predicted, by link and of the model.

    Raises `CatenaError` if the mapping cannot be lowered.
    """
    mapping = with_nests(group, mapping, machine, rng)
    chain = chain_of(group, machine, types)
    expected = Interpreter(chain.module.clone()).run(chain.inputs)
    fuse(chain, group, mapping)
    program = compiled(chain)
    costs = FusedCosts(group, mapping)
    for mode in modes:
        emulator = NestEmulator(program, mode)
        assert_results(emulator.run(chain.inputs), expected, mode)
        check_counts(program, emulator, mode)
        _check_model(group, mapping, machine, costs, emulator)
    return program


def assert_results(found: Table[str, np.ndarray], expected: Table[str, np.ndarray], mode: str) -> None:
    """What a group makes is what its links make one by one: floats to a millionth of the largest, others to the bit."""
    for name, array in expected.items():
        if array.dtype.kind == "f":
            scale = float(np.abs(array).max(initial=0)) or 1.0
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6 * scale, err_msg=f"{mode}: {name}")
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=f"{mode}: {name}")


def _check_model(
    group: Group, mapping: FusedMapping, machine: NestMachine, costs: FusedCosts, emulator: NestEmulator
) -> None:
    """Traffic, operations and occupancy of the whole group are those of the model of fused groups."""
    outer = machine.memories[0].name
    counted: Counter[str] = Counter()
    for counts in emulator.counters.values():
        counted.update(counts.events)
    (entry,) = emulator.program.groups
    assert emulator.held[entry.name] == entry.held
    if any(each.memory == outer for each in mapping.retentions):
        return
    if not all(_is_counted_alike(group, mapping, link) for link in group.links):
        return
    reads = sum(counted[f"{outer}.{name}.read"] for name in ("input", "kernel", "extra"))
    assert reads == sum(words for name, words in costs.reads.items() if name in group.external)
    assert counted[f"{outer}.output.update"] == sum(costs.writes.values())
    spare = sum(hold.spare for hold in plan_group(group, mapping, machine, "placed", "").holds)
    if (held := without_pieces(group, mapping)) is None:
        return
    costs = FusedCosts(group, held)
    for memory, words in entry.held.items():
        assert costs.capacity(memory) <= words <= costs.capacity(memory) + spare
    for link, counts in zip(group.links, emulator.counters.values(), strict=True):
        assert counts.operations == costs.work[link.name].operations, link.name


def _is_counted_alike(group: Group, mapping: FusedMapping, link: GroupLink) -> bool:
    """Whether a nest moves the words of the model for what it brings in pieces: each once, and no padding or gaps.

    What a view shows several times nests bring as often.
    """
    for tensor in (link.result, *(operand.tensor for operand in link.operands)):
        operand, loops = part_of_link(link, tensor), own_loops(mapping, link, tensor)
        if not all(is_cut_evenly(group, link, tensor, node.loop) for node in loops):
            return False
        windows = (dim.pad or dim.up > 1 or dim.stride > 1 or dim.dilation > 1 for dim in link.spec.dims)
        if loops and operand is Operand.INPUT and any(windows):
            return False
    return True


def without_pieces(group: Group, mapping: FusedMapping) -> FusedMapping | None:
    """A mapping with what links bring in pieces, beside all holds, in another memory; None if others hold the same."""
    cut: set[str] = set()
    for each in mapping.retentions:
        users = [link for link in group.links if each.tensor in (link.result, *(read.tensor for read in link.operands))]
        in_pieces = [bool(own_loops(mapping, link, each.tensor)) for link in users]
        if any(in_pieces) and not all(in_pieces):
            return None
        cut |= {each.tensor} if any(in_pieces) else set()
    kept = tuple(replace(each, memory="pieces") if each.tensor in cut else each for each in mapping.retentions)
    return replace(mapping, retentions=kept)

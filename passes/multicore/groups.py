"""Fused groups of a machine of cores: their links with mappings of their own, and their tensors in holds of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr, on_cores
from dialects.fused_mapping import Stages, quoted
from dialects.gconv import LinkOp, shape_of
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.groups import GroupOp, HoldOp, KeepOp, PlacedAxis
from dialects.locations import describe, fuse_locations
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping, VectorMapping
from dialects.spatial import BufferOp, LayerOp, Role, integer
from passes.choose_layouts import lay_out, seen_in
from passes.fold_views import fold_views
from passes.fusion.grouping import inline
from passes.multicore.rows import SHARED, Rows, rows_of
from passes.multicore.tiles import row_loop
from passes.placing import Buffers, Gathered
from passes.storage import Storage


@dataclass
class OpenGroup:
    """A group whose links stand in the chain again: the rows of what stays between them, and the op they end up in."""

    links: list[LinkOp]
    mapping: FusedAttr
    rows: dict[SSAValue, Rows]
    """Of results that only links of the group read, and that lie row by row."""
    buffers: dict[BufferOp, Rows] = field(default_factory=dict[BufferOp, Rows])
    op: GroupOp | None = None

    @property
    def gathered(self) -> Gathered:
        """How its layers come to stand in one op."""
        return Gathered(self.links, self._begin, self._gather)

    def _begin(self, buffers: Buffers) -> None:
        for value, rows in self.rows.items():
            owner = buffers.access(value).buffer.owner
            assert isinstance(owner, BufferOp)
            if owner.role.data == Role.INTERMEDIATE:
                self.buffers[owner] = rows

    def _gather(self, layers: list[LayerOp]) -> GroupOp:
        self.op = GroupOp.create(properties={"mapping": self.mapping}, regions=[Region(Block(layers))])
        self.op.location = fuse_locations(layer.location for layer in layers)
        return self.op

    def add_holds(self) -> None:
        """Say of every tensor that stays that it lies in a hold: for now in its own words, all of them."""
        assert self.op is not None
        first = self.op.layers[0]
        for buffer, rows in self.buffers.items():
            axes = [PlacedAxis(rows.count, rows.words, rows.count), PlacedAxis(rows.words, 1, rows.words)]
            hold = HoldOp.of(buffer.result, 0, SHARED, integer(buffer.address), buffer.words, axes)
            hold.location = buffer.location
            self.op.body.block.insert_op_before(hold, first)
            for layer in self.op.layers:
                for role in _roles(layer, buffer):
                    keep = KeepOp.of(role, hold.result)
                    keep.location = layer.location
                    _add_first(layer, keep)


def open_groups(module: ModuleOp, machine: MulticoreMachine) -> list[OpenGroup]:
    """Put the links of every group into its place, with their mappings, and have what stays lie row by row.

    Raises `CatenaError`: CAT-R003 for groups without a mapping onto cores, CAT-U006 for what cores cannot do with one.
    """
    function = main_function(module)
    groups = [op for op in function.body.block.ops if isinstance(op, FusedOp)]
    if problems := [problem for op in groups for problem in _problems(op, machine)]:
        raise CatenaError(problems)
    found = [_open(op) for op in groups]
    storage = Storage(function.body.block)
    for group in found:
        for value, rows in list(group.rows.items()):
            layout = seen_in(shape_of(value), rows.order)
            if storage.fits(value, layout):
                lay_out(value, rows.order)
            else:
                del group.rows[value]
    if any(group.rows for group in found):
        fold_views(function.body.block)
    return found


def _problems(op: FusedOp, machine: MulticoreMachine) -> Iterator[Diagnostic]:
    """What keeps a group from running on cores."""

    def problem(code: str, message: str, **more: str) -> Diagnostic:
        return Diagnostic(code, message, "placed", describe(op), **more)

    if not isinstance(op.mapping, FusedAttr):
        yield problem("CAT-R003", "the group has no mapping", hint="leave it to fuse-rows")
        return
    mapping = op.mapping.data
    branches = dict(mapping.branches)
    others = [name for name in op.link_names if not isinstance(branches.get(name), CrossbarMapping | VectorMapping)]
    if others:
        message = f"the mapping of the group does not lay {', '.join(map(quoted, others))} over cores"
        yield problem("CAT-R003", message, hint="on cores --fuse makes groups, of links that are mapped")
        return
    if not machine.pipelines_layers:
        message = "groups run as pipelines, and layers of this machine one after another"
        yield problem("CAT-U006", message, hint="set schedule.pipelined to true, or leave out --fuse")
    if mapping.stages is not Stages.PIPELINE:
        yield problem("CAT-U006", "links of a group run side by side", expected="pipeline", found=mapping.stages)
    if staying := [each.tensor for each in mapping.retentions if each.resident]:
        message = (
            f"{', '.join(map(quoted, staying))} stays from one group to another, and cores have one memory for all"
        )
        yield problem("CAT-U006", message, hint="leave the word out")
    row = row_loop(op.head.spec)
    if [node.loop for node in mapping.loops] != [row]:
        found = ", ".join(map(str, mapping.loops)) or "none"
        message = "turns of a group are rows of what its head makes"
        yield problem("CAT-U006", message, expected=f"for {row}" if row else "a head with rows", found=found)
    cores = [core for name in op.link_names for core in _cores(branches[name])]
    if len(set(cores)) < len(cores):
        shared = sorted({core for core in cores if cores.count(core) > 1})
        message = "links of a group have a core in common, and would wait for one another"
        yield problem("CAT-U006", message, expected="cores of their own", found=f"core {shared[0]} several times")


def _cores(branch: object) -> tuple[int, ...]:
    assert isinstance(branch, CrossbarMapping | VectorMapping)
    return branch.cores


def _open(op: FusedOp) -> OpenGroup:
    assert isinstance(op.mapping, FusedAttr)
    mapping, names, exported = op.mapping.data, op.link_names, set(op.yielded)
    staying = {each.tensor for each in mapping.retentions if each.level}
    results = {name: link.result for name, link in zip(names, op.links, strict=True)}
    attribute, branches = op.mapping, dict(mapping.branches)
    links = inline(op)
    rows: dict[SSAValue, Rows] = {}
    for link, name in zip(links, names, strict=True):
        branch = branches[name]
        assert isinstance(branch, CrossbarMapping | VectorMapping)
        link.properties["mapping"] = on_cores(branch)
        found = rows_of(link, branch)
        if name in staying and results[name] not in exported and found is not None:
            rows[link.result] = found
    return OpenGroup(links, attribute, rows)


def _roles(layer: LayerOp, buffer: BufferOp) -> Iterator[str]:
    """What a buffer is to a layer: I, K, P0, P1 ... or O."""
    first = 2 if layer.kernel is not None else 1
    extras = {number: f"P{number - first}" for number in range(first, len(layer.tensors) - 1)}
    named = {0: "I", **({1: "K"} if first == 2 else {}), **extras, len(layer.tensors) - 1: "O"}
    return (named[number] for number, value in enumerate(layer.tensors) if value.owner is buffer)


def _add_first(layer: LayerOp, op: KeepOp) -> None:
    block = layer.body.block
    if block.first_op is None:
        block.add_op(op)
    else:
        block.insert_op_before(op, block.first_op)

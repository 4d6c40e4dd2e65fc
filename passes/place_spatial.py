"""Pass `place-spatial`: a mapped chain becomes buffers with addresses and layers of loops, transfers and passes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, FunctionType, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import (
    PASS,
    ConcatOp,
    GConv,
    LinkOp,
    LoopKind,
    ReduceAttr,
    ScatterOp,
    View,
    element_type_of_value,
    shape_of,
)
from dialects.gconv.interpreter import argument_names, main_function, result_names
from dialects.host_segment import SegmentOp, host_ports, segment_inputs, segment_outputs
from dialects.locations import describe, node_location
from dialects.schedule import HostAttr, LoopAttr, Mapping, MappingAttr, Operand, Spatial, Storage, Temporal
from dialects.spatial import (
    AccessAttr,
    BufferOp,
    ForOp,
    LayerOp,
    LoadOp,
    OffloadOp,
    OpenOp,
    PassOp,
    PlaceOp,
    Role,
    SpreadOp,
    StoreOp,
)
from dialects.spatial_access import Lookup as PlacedLookup
from dialects.spatial_access import LookupAttr
from dialects.target import Machine, require_machine
from dialects.weights import ConstantOp, WeightRef
from passes.assign_host import require_host
from passes.chain_views import source_of
from passes.computed_addresses import Lookup
from passes.dram import Storages, first_fit, lifetimes
from passes.mapping.fit import buffer_tiles, violations
from passes.mapping.tiling import Tiling


@dataclass(frozen=True)
class PlaceSpatialPass(ModulePass):
    """Give tensors addresses and turn every mapped link into a layer of loops, transfers and processing passes.

    The layer of a link that the host executes holds `spatial.offload`.
    """

    name = "place-spatial"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_machine(op, "placed")
        function = main_function(op)
        links = [link for link in function.body.block.ops if isinstance(link, LinkOp)]
        storages = Storages(function)
        _require_mappings(links, machine, storages)
        buffers = _Buffers(function, machine, storages)
        layers = list(_steps(function, buffers, machine))
        block = Block([*buffers.ops, *layers, ReturnOp()])
        block.last_op.location = function.location  # pyright: ignore[reportOptionalMemberAccess]
        placed = FuncOp("main", FunctionType.from_lists([], []), Region(block))
        placed.location = function.location
        function.detach()
        op.body.block.add_op(placed)
        function.erase(safe_erase=False)


def _require_mappings(links: list[LinkOp], machine: Machine, storages: Storages) -> None:
    problems: list[Diagnostic] = []
    legal: set[tuple[GConv, Mapping, bool]] = set()
    for link in links:
        if isinstance(link.mapping, HostAttr):
            require_host(machine, "placed", describe(link))
        elif not isinstance(link.mapping, MappingAttr):
            problems.append(
                Diagnostic(
                    "CAT-R003", "the link has no mapping", "placed", describe(link), hint="run map-row-stationary"
                )
            )
        else:
            in_order = storages.lookups(link)[1] is not None
            spec, mapping = link.spec.bare, link.mapping.data
            if (spec, mapping, in_order) in legal:
                continue
            found = violations(spec, mapping, machine, "placed", describe(link), in_order=in_order)
            problems += found
            if not found:
                legal.add((spec, mapping, in_order))
    if problems:
        raise CatenaError(problems)


@dataclass(frozen=True)
class _Access:
    """Words of a buffer."""

    buffer: SSAValue
    view: View


class _Buffers:
    """The buffers of a function: constants from address 0, then everything else by lifetime; each type by itself."""

    def __init__(self, function: FuncOp, machine: Machine, storages: Storages):
        self.storages = storages
        self.ops: list[BufferOp] = []
        self._of_storage: dict[SSAValue, BufferOp] = {}
        end = self._place_constants(function)
        self._place_tensors(function, end)
        end = max((op.address.value.data + op.words for op in self.ops), default=0)
        if end > machine.dram.words:
            raise CatenaError(
                Diagnostic(
                    "CAT-F003",
                    "the network does not fit the off-chip memory",
                    "placed",
                    expected=f"at most {machine.dram.words} words",
                    found=f"{end} words",
                )
            )

    def access(self, value: SSAValue) -> _Access:
        """The buffer that holds a value, and the words of it that are meant."""
        place = self.storages.place(value)
        return _Access(self._of_storage[place.base].result, place.view)

    def looked_up(self, lookup: Lookup) -> tuple[_Access, SSAValue, LookupAttr]:
        """What a lookup in a buffer accesses, the buffer of its index tensor, and how addresses are made."""
        index = self.storages.seen(lookup.index)
        *shape, components = index.view.shape
        *strides, step = index.view.strides
        terms = tuple((step * number, *term) for number, term in zip(range(components), lookup.view.terms, strict=True))
        attribute = LookupAttr(PlacedLookup(View(tuple(shape), tuple(strides), index.view.offset), terms))
        access = _Access(self._of_storage[lookup.base].result, lookup.view.plain)
        return access, self._of_storage[index.base].result, attribute

    def _add(self, storage: SSAValue, op: BufferOp, name: str | None = None) -> None:
        owner = storage.owner
        op.location = owner.location if isinstance(owner, Operation) else node_location(name or "input")
        self._of_storage[storage] = op
        self.ops.append(op)

    def _place_constants(self, function: FuncOp) -> int:
        """Constants of one type of word after those of another, within a type in the order of their first use."""
        of_type: dict[Attribute, dict[SSAValue, WeightRef]] = {}
        for link in function.body.block.ops:
            for value in self.storages.touched(link) if isinstance(link, LinkOp) else ():
                storage = self.storages.place(value).base
                if isinstance(storage.owner, ConstantOp):
                    of_type.setdefault(element_type_of_value(storage), {})[storage] = storage.owner.value
        address = 0
        for constants in of_type.values():
            for storage, value in constants.items():
                self._add(storage, BufferOp.of(Role.CONSTANT, address, storage.type, value=value))
                address += View.dense(shape_of(storage)).size
        return address

    def _place_tensors(self, function: FuncOp, base: int) -> None:
        """A region for the words of each type; within it first fit by lifetime."""
        lives = lifetimes(function, self.storages)
        of_type: dict[Attribute, dict[SSAValue, int]] = {}
        for storage in lives:
            of_type.setdefault(element_type_of_value(storage), {})[storage] = math.prod(shape_of(storage))
        addresses: dict[SSAValue, int] = {}
        for sizes in of_type.values():
            found = first_fit(sizes, lives, base)
            addresses |= found
            base = max(address + sizes[storage] for storage, address in found.items())
        names: dict[SSAValue, str] = dict(zip(function.args, argument_names(function), strict=True))
        results = self._results(function)
        hidden = _host_values(function)
        dtypes = _user_types(function)
        for storage, address in sorted(addresses.items(), key=lambda item: lives[item[0]].first):
            if storage in names:
                role, name, kind = Role.INPUT, names[storage], storage.type
            elif storage in results:
                role, (name, value) = Role.OUTPUT, results[storage]
                kind = value.type
            else:
                role, name, kind = Role.INTERMEDIATE, _tensor_name(storage), storage.type
            if storage in hidden or (role is Role.OUTPUT and results[storage][1] in hidden):
                role = Role.INTERMEDIATE
            strides = None
            if (tensor := _laid_out(storage)) is not None:
                name, kind, strides = _tensor_name(tensor), tensor.type, self.storages.place(tensor).view.strides
            dtype = dtypes.get(name or "")
            self._add(storage, BufferOp.of(role, address, kind, tensor=name, dtype=dtype, strides=strides), name)
        self._place_empty_results(function, base)

    def _place_empty_results(self, function: FuncOp, address: int) -> None:
        """Buffers of no words for the results without elements, which nothing computes."""
        last = function.body.block.last_op
        assert isinstance(last, ReturnOp)
        dtypes = _user_types(function)
        for name, value in zip(result_names(function), last.operands, strict=True):
            if 0 in shape_of(value):
                op = BufferOp.of(Role.OUTPUT, address, value.type, tensor=name, dtype=dtypes.get(name))
                op.location = node_location(name)
                self.ops.append(op)

    def _results(self, function: FuncOp) -> dict[SSAValue, tuple[str, SSAValue]]:
        last = function.body.block.last_op
        assert isinstance(last, ReturnOp)
        found: dict[SSAValue, tuple[str, SSAValue]] = {}
        for name, value in zip(result_names(function), last.operands, strict=True):
            if 0 in shape_of(value):
                continue
            place = self.storages.place(value)
            whole = View.dense(shape_of(place.base))
            is_made = isinstance(place.base.owner, LinkOp | ConcatOp | ScatterOp) and place.base not in found
            if not is_made or not place.view.is_dense or place.view.offset or place.view.size != whole.size:
                raise CatenaError(
                    Diagnostic("CAT-R003", f"result {name!r} is no tensor of its own", "placed", hint="run copy-concat")
                )
            found[place.base] = (name, value)
        return found


def _laid_out(storage: SSAValue) -> SSAValue | None:
    """The tensor that a storage holds with its dimensions in another order (`passes.choose_layouts`), if it does."""
    owner = storage.owner
    if not isinstance(owner, ConcatOp) or len(owner.parts) > 1 or owner.tensor is not None:
        return None
    return source_of(owner.parts[0]).base


def _tensor_name(storage: SSAValue) -> str | None:
    tensor = getattr(storage.owner, "tensor", None)
    return tensor.data if isinstance(tensor, StringAttr) else None


def _host_values(function: FuncOp) -> set[SSAValue]:
    """Arguments and results that only host segments see."""
    last = function.body.block.last_op
    results = last.operands if isinstance(last, ReturnOp) else ()
    pairs = (*zip(host_ports(function.arg_attrs, function.args), function.args, strict=True),)
    pairs += (*zip(host_ports(function.res_attrs, results), results, strict=True),)
    return {value for is_host, value in pairs if is_host}


def _user_types(function: FuncOp) -> dict[str, str]:
    """The element types that the user sees, by tensor name, where they are not those of the words."""
    found: dict[str, str] = {}
    for attributes, names in (
        (function.arg_attrs, argument_names(function)),
        (function.res_attrs, result_names(function)),
    ):
        for entry, name in zip(attributes or (), names, strict=False):
            dtype = entry.data.get("onnx.dtype")
            if isinstance(dtype, StringAttr):
                found[name] = dtype.data
    return found


def _steps(function: FuncOp, buffers: _Buffers, machine: Machine) -> Iterator[Operation]:
    """A layer for every link, host segments between them on their buffers."""
    inputs, outputs = segment_inputs(function), segment_outputs(function)
    for op in function.body.block.ops:
        if isinstance(op, LinkOp):
            yield _layer(op, buffers, machine)
        elif isinstance(op, SegmentOp):
            values = [*(inputs[name] for name in op.read_names), *(outputs[name] for name in op.made_names)]
            placed = op.placed([buffers.access(value).buffer for value in values])
            placed.location = op.location
            yield placed


def _layer(link: LinkOp, buffers: _Buffers, machine: Machine) -> LayerOp:
    mapping = link.mapping
    body: list[Operation] = [OffloadOp()]
    if not isinstance(mapping, HostAttr):
        assert isinstance(mapping, MappingAttr)
        body = [*_configuration(link, mapping.data, machine), *_loops(mapping.data, 0)]
    read, update = buffers.storages.lookups(link)
    input, read_index, read_lookup = (
        (buffers.access(link.input), None, None) if read is None else buffers.looked_up(read)
    )
    output, write_index, write_lookup = (
        (buffers.access(link.result), None, None) if update is None else buffers.looked_up(update.where)
    )
    kernel = None if link.kernel is None else buffers.access(link.kernel)
    extras = [buffers.access(extra) for extra in link.extras]
    layer = LayerOp(
        operands=[
            input.buffer,
            [] if kernel is None else [kernel.buffer],
            [extra.buffer for extra in extras],
            output.buffer,
            [] if read_index is None else [read_index],
            [] if write_index is None else [write_index],
        ],
        properties={
            "nest": link.nest,
            "main": link.main,
            "reduce": link.reduce,
            "acc": link.acc,
            "pad": link.pad,
            "pre": link.pre,
            "mid": link.mid,
            "post": link.post,
            "tensor": link.tensor,
            "mapping": mapping,
            "accesses": ArrayAttr(
                AccessAttr(each.view) for each in (input, *([] if kernel is None else [kernel]), *extras, output)
            ),
            "read_lookup": read_lookup,
            "write_lookup": write_lookup,
            "update": None if update is None else ReduceAttr(update.reduce),
        },
        regions=[Region(Block(body))],
    )
    for op in layer.walk():
        op.location = link.location
    return layer


def _configuration(link: LinkOp, mapping: Mapping, machine: Machine) -> list[Operation]:
    """Array configuration and on-chip places: inputs from the first bank, partial sums from the next whole bank."""
    bank = machine.glb.bank_words
    tiles = buffer_tiles(link.spec, mapping)
    base = -(-tiles[Operand.INPUT] // bank) * bank
    ops: list[Operation] = [
        SpreadOp(properties={"loop": LoopAttr(n.loop), "tile": IntegerAttr(n.tile, i64), "axis": StringAttr(n.axis)})
        for n in mapping.spatial
    ]
    ops.append(_place(Operand.INPUT, "glb", 0, tiles[Operand.INPUT]))
    if link.spec.main != PASS:
        sizes = Tiling(link.spec, mapping).in_pass.largest
        words = math.prod(size for loop, size in sizes.items() if loop.kind is not LoopKind.OPC)
        ops.append(_place(Operand.KERNEL, "spad", 0, words))
    ops.append(_place(Operand.OUTPUT, "glb", base, tiles[Operand.OUTPUT]))
    return ops


def _place(operand: Operand, memory: str, address: int, words: int) -> PlaceOp:
    return PlaceOp(
        properties={
            "operand_name": StringAttr(operand),
            "memory": StringAttr(memory),
            "address": IntegerAttr(address, i64),
            "words": IntegerAttr(words, i64),
        }
    )


def _loops(mapping: Mapping, position: int) -> list[Operation]:
    """The ops of a mapping from node `position` inwards."""
    if position == len(mapping.nodes):
        return [PassOp()]
    match mapping.nodes[position]:
        case Temporal(loop, tile):
            return [ForOp.of(LoopAttr(loop), tile, _loops(mapping, position + 1))]
        case Spatial():
            return _loops(mapping, position + 1)
        case Storage(_, operands):
            ops = [_transfer(operand) for operand in operands]
            drain = [StoreOp()] if Operand.OUTPUT in operands else []
            return [*ops, *_loops(mapping, position + 1), *drain]


def _transfer(operand: Operand) -> Operation:
    return OpenOp() if operand is Operand.OUTPUT else LoadOp(properties={"operand_name": StringAttr(operand)})

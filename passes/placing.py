"""Where the tensors of a chain lie in off-chip memory, and its links as layers: what all machines place alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ArrayAttr, FunctionType, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import element_type_of, tensor_type
from dialects.gconv import ConcatOp, LinkOp, ReduceAttr, ScatterOp, View, element_type_of_value, shape_of
from dialects.gconv.interpreter import argument_names, main_function, result_names
from dialects.host_segment import SegmentOp, host_ports, segment_inputs, segment_outputs
from dialects.locations import node_location
from dialects.schedule import HostAttr
from dialects.spatial import AccessAttr, BufferOp, LayerOp, OffloadOp, Role
from dialects.spatial_access import Lookup as PlacedLookup
from dialects.spatial_access import LookupAttr
from dialects.weights import Array, ConstantOp, WeightRef
from passes.chain_views import source_of
from passes.computed_addresses import Lookup
from passes.dram import Storages, first_fit, lifetimes

Body = Callable[[LinkOp, "Buffers"], list[Operation]]
"""The loops of a mapped link: what stands in its layer."""


@dataclass(frozen=True)
class Gathered:
    """Links of a chain, one after another, whose layers stand in one op.

    `begin` is called before the first of them is placed, `gather` makes the op of all layers.
    """

    links: Sequence[LinkOp]
    begin: Callable[[Buffers], None]
    gather: Callable[[list[LayerOp]], Operation]


def links_of(module: ModuleOp) -> list[LinkOp]:
    """The links of the chain in their order."""
    return [op for op in main_function(module).body.block.ops if isinstance(op, LinkOp)]


@dataclass(frozen=True, eq=False)
class Encoded:
    """A kernel as it is stored: the words that are kept, one after another, and what says where they belong."""

    values: Array
    index: Array


def place(
    module: ModuleOp,
    capacity: int | None,
    storages: Storages,
    body: Body,
    groups: Sequence[Gathered] = (),
    encoded: Mapping[LinkOp, Encoded] | None = None,
    together: Sequence[LinkOp] = (),
) -> None:
    """Put buffers and layers in the place of the chain; layers of links that are gathered, in ops of their own.

    Links that run `together`, besides those that are gathered, share no words of memory. The layer of a link that the
    host executes holds `spatial.offload`. Kernels that are `encoded` lie so, and have no words at addresses that
    strides lead to. Raises `CatenaError` (CAT-F003) if the tensors need more than `capacity` words.
    """
    function = main_function(module)
    beside = [*(each.links for each in groups), *([together] if together else [])]
    buffers = Buffers(function, capacity, storages, beside, encoded or {})
    layers = list(_steps(function, buffers, body, groups))
    block = Block([*buffers.ops, *layers, ReturnOp()])
    block.last_op.location = function.location  # pyright: ignore[reportOptionalMemberAccess]
    placed = FuncOp("main", FunctionType.from_lists([], []), Region(block))
    placed.location = function.location
    function.detach()
    module.body.block.add_op(placed)
    function.erase(safe_erase=False)


@dataclass(frozen=True)
class Access:
    """Words of a buffer."""

    buffer: SSAValue
    view: View


class Buffers:
    """The buffers of a function: constants from address 0, then everything else by lifetime; each type by itself.

    They end at word `end`. Raises `CatenaError` (CAT-F003) if that is beyond the memory's `capacity`.
    """

    def __init__(
        self,
        function: FuncOp,
        capacity: int | None,
        storages: Storages,
        together: Sequence[Sequence[LinkOp]] = (),
        encoded: Mapping[LinkOp, Encoded] | None = None,
    ):
        self.storages = storages
        self._together = together
        self._encoded = encoded or {}
        self._of_encoded: dict[Encoded, tuple[BufferOp, BufferOp]] = {}
        self.ops: list[BufferOp] = []
        self._of_storage: dict[SSAValue, BufferOp] = {}
        end = self._place_constants(function)
        self._place_tensors(function, end)
        self.end = max((op.address.value.data + op.words for op in self.ops), default=0)
        if capacity is not None and self.end > capacity:
            raise CatenaError(
                Diagnostic(
                    "CAT-F003",
                    "the network does not fit the off-chip memory",
                    "placed",
                    expected=f"at most {capacity} words",
                    found=f"{self.end} words",
                )
            )

    def access(self, value: SSAValue) -> Access:
        """The buffer that holds a value, and the words of it that are meant."""
        place = self.storages.place(value)
        return Access(self._of_storage[place.base].result, place.view)

    def kernel(self, link: LinkOp) -> Access:
        """The buffer that holds a link's kernel; of one that is encoded, no more than its shape can be said."""
        assert link.kernel is not None
        if link not in self._encoded:
            return self.access(link.kernel)
        values, _ = self._of_encoded[self._encoded[link]]
        shape = link.spec.kernel_shape
        return Access(values.result, View(shape, (0,) * len(shape)))

    def index_of_kernel(self, link: LinkOp) -> SSAValue:
        """The buffer that says where the words of an encoded kernel belong."""
        return self._of_encoded[self._encoded[link]][1].result

    def looked_up(self, lookup: Lookup) -> tuple[Access, SSAValue, LookupAttr]:
        """What a lookup in a buffer accesses, the buffer of its index tensor, and how addresses are made."""
        index = self.storages.seen(lookup.index)
        *shape, components = index.view.shape
        *strides, step = index.view.strides
        terms = tuple((step * number, *term) for number, term in zip(range(components), lookup.view.terms, strict=True))
        attribute = LookupAttr(PlacedLookup(View(tuple(shape), tuple(strides), index.view.offset), terms))
        access = Access(self._of_storage[lookup.base].result, lookup.view.plain)
        return access, self._of_storage[index.base].result, attribute

    def _add(self, storage: SSAValue, op: BufferOp, name: str | None = None) -> None:
        owner = storage.owner
        op.location = owner.location if isinstance(owner, Operation) else node_location(name or "input")
        self._of_storage[storage] = op
        self.ops.append(op)

    def _place_constants(self, function: FuncOp) -> int:
        """Constants of one type of word after those of another, within a type in the order of their first use."""
        of_type: dict[Attribute, dict[BufferOp, None]] = {}
        for link in function.body.block.ops:
            for value in self.storages.touched(link) if isinstance(link, LinkOp) else ():
                if isinstance(link, LinkOp) and link in self._encoded and value is link.kernel:
                    for op in self._encoded_buffers(link):
                        of_type.setdefault(element_type_of_value(op.result), {})[op] = None
                    continue
                storage = self.storages.place(value).base
                if isinstance(storage.owner, ConstantOp) and storage not in self._of_storage:
                    op = BufferOp.of(Role.CONSTANT, 0, storage.type, value=storage.owner.value)
                    op.location = storage.owner.location
                    self._of_storage[storage] = op
                    of_type.setdefault(element_type_of_value(storage), {})[op] = None
        address = 0
        for op in (each for constants in of_type.values() for each in constants):
            op.properties["address"] = IntegerAttr(address, i64)
            self.ops.append(op)
            address += op.words
        return address

    def _encoded_buffers(self, link: LinkOp) -> tuple[BufferOp, BufferOp]:
        """The buffers of an encoded kernel, whose addresses are not known yet."""
        found = self._encoded[link]
        if found not in self._of_encoded:
            values, index = (
                BufferOp.of(
                    Role.CONSTANT, 0, tensor_type(element_type_of(each.dtype), each.shape), value=WeightRef.of(each)
                )
                for each in (found.values, found.index)
            )
            assert link.kernel is not None
            owner = self.storages.place(link.kernel).base.owner
            values.location = index.location = owner.location if isinstance(owner, Operation) else link.location
            self._of_encoded[found] = values, index
        return self._of_encoded[found]

    def _place_tensors(self, function: FuncOp, base: int) -> None:
        """A region for the words of each type; within it first fit by lifetime."""
        lives = lifetimes(function, self.storages, self._together)
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


def _steps(function: FuncOp, buffers: Buffers, body: Body, groups: Sequence[Gathered]) -> Iterator[Operation]:
    """A layer for every link, host segments between them on their buffers."""
    inputs, outputs = segment_inputs(function), segment_outputs(function)
    gathered = {group.links[0]: group for group in groups}
    members = {link for group in groups for link in group.links}
    for op in function.body.block.ops:
        if isinstance(op, LinkOp) and op in gathered:
            group = gathered[op]
            group.begin(buffers)
            yield group.gather([_layer(link, buffers, body(link, buffers)) for link in group.links])
        elif isinstance(op, LinkOp) and op in members:
            continue
        elif isinstance(op, LinkOp):
            yield _layer(op, buffers, [OffloadOp()] if isinstance(op.mapping, HostAttr) else body(op, buffers))
        elif isinstance(op, SegmentOp):
            values = [*(inputs[name] for name in op.read_names), *(outputs[name] for name in op.made_names)]
            placed = op.placed([buffers.access(value).buffer for value in values])
            placed.location = op.location
            yield placed


def _layer(link: LinkOp, buffers: Buffers, body: list[Operation]) -> LayerOp:
    read, update = buffers.storages.lookups(link)
    input, read_index, read_lookup = (
        (buffers.access(link.input), None, None) if read is None else buffers.looked_up(read)
    )
    output, write_index, write_lookup = (
        (buffers.access(link.result), None, None) if update is None else buffers.looked_up(update.where)
    )
    kernel = None if link.kernel is None else buffers.kernel(link)
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
            "mapping": link.mapping,
            "search": link.search,
            "zeros": link.zeros,
            "live": link.live,
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

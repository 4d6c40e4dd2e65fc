"""The placed form of a chain for a spatial machine: tensors have addresses, layers are loops of transfers and passes.

    %x = spatial.buffer "input" at 0 {tensor = "image"} : tensor<1x3x8x8xf32>
    %y = spatial.buffer "output" at 192 {tensor = "pooled"} : tensor<1x3x4x4xf32>
    spatial.layer %x : tensor<1x3x8x8xf32> to %y : tensor<1x3x4x4xf32>
        <C opc 3, H opc 4 ks 2 stride 2, W opc 4 ks 2 stride 2> "pass" max
        accesses [#spatial.access<[3, 8, 8] by [64, 8, 1]>, #spatial.access<[3, 4, 4] by [16, 4, 1]>] {
      spatial.spread <C.opc> tile 1 on "col"
      spatial.place "I" in "glb" at 0 words 96
      spatial.place "O" in "glb" at 96 words 24
      spatial.for <H.opc> tile 2 {
        spatial.open
        spatial.load "I"
        spatial.pass
        spatial.store
      }
    }

A layer that leaves the accelerator has one op in its body instead:

    spatial.layer %x : tensor<1x3x8x8xf32> to %y : tensor<1x3x4x4xf32>
        <C opc 3, H opc 4 ks 2 stride 2, W opc 4 ks 2 stride 2> "pass" max
        accesses [#spatial.access<[3, 8, 8] by [64, 8, 1]>, #spatial.access<[3, 4, 4] by [16, 4, 1]>] {
      spatial.offload
    }

Loops split the current range of one GCONV loop into tiles; the last may be smaller. What is loaded, computed or stored
at a point follows from the ranges of all loops there, as defined in `dialects.gconv.spec`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from xdsl.dialects.builtin import I64, ArrayAttr, IntegerAttr, StringAttr, TensorType, i64
from xdsl.ir import Attribute, Block, Dialect, Operation, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import NoTerminator
from xdsl.utils.exceptions import VerifyException

from dialects.gconv import (
    PASS,
    GConv,
    NestAttr,
    Reduce,
    ReduceAttr,
    ScalarAttr,
    StepsAttr,
    View,
    ZerosAttr,
    gconv_of,
    shape_of,
)
from dialects.gconv.attributes import computing_type, main_operator, post_only_steps
from dialects.gemm_live import LiveAttr
from dialects.gemm_mapping import GemmAttr
from dialects.multicore_mapping import CrossbarsAttr, VectorAttr
from dialects.operand_segments import with_quick_operands
from dialects.schedule import Axis, HostAttr, LoopAttr, MappingAttr, Operand, SearchAttr
from dialects.spatial_access import AccessAttr, Lookup, LookupAttr
from dialects.weights import WeightRef

ON_CHIP = ("glb", "spad")
"""The memories in which tiles are placed."""


@lru_cache(1 << 12)
def _i64(value: int) -> IntegerAttr[I64]:
    """A number as an attribute; tiles, strides and sizes of a network are few different ones."""
    return IntegerAttr(value, i64)


class Role(StrEnum):
    """What a buffer holds."""

    INPUT = "input"
    OUTPUT = "output"
    CONSTANT = "constant"
    INTERMEDIATE = "intermediate"


@irdl_op_definition
class BufferOp(IRDLOperation):
    """A tensor in DRAM from `address`, in words of its element type. A constant buffer carries its words.

    It is row-major, or has `strides` that fill the same words in another order of dimensions. `tensor` is the ONNX
    tensor it holds; `dtype` the element type the user sees, where it differs from the word type. Buffers of different
    word types do not share words.
    """

    name = "spatial.buffer"

    role = prop_def(StringAttr)
    address = prop_def(IntegerAttr[I64])
    value = opt_prop_def(WeightRef)
    tensor = opt_prop_def(StringAttr)
    dtype = opt_prop_def(StringAttr)
    strides = opt_prop_def(ArrayAttr[IntegerAttr[I64]])
    result = result_def(TensorType)

    irdl_options = (ParsePropInAttrDict(),)

    assembly_format = "$role `at` $address (`holds` $value^)? attr-dict `:` type($result)"

    @classmethod
    def of(
        cls,
        role: Role,
        address: int,
        kind: Attribute,
        *,
        value: WeightRef | None = None,
        tensor: str | None = None,
        dtype: str | None = None,
        strides: Sequence[int] | None = None,
    ) -> BufferOp:
        """A buffer of tensor type `kind` at a word address."""
        properties: dict[str, Attribute | None] = {
            "role": StringAttr(role),
            "address": _i64(address),
            "value": value,
            "tensor": None if tensor is None else StringAttr(tensor),
            "dtype": None if dtype is None else StringAttr(dtype),
            "strides": None if strides is None else ArrayAttr([_i64(stride) for stride in strides]),
        }
        # Here as below, `create` takes what is in its final form, in a third of the constructor's time.
        return cls.create(
            properties={name: value for name, value in properties.items() if value is not None},
            result_types=[kind],
        )

    @property
    def view(self) -> View:
        """The tensor as a view of the buffer's words."""
        whole = View.dense(shape_of(self.result))
        if self.strides is None:
            return whole
        return View(whole.shape, tuple(stride.value.data for stride in self.strides))

    @property
    def words(self) -> int:
        """Number of words."""
        return View.dense(shape_of(self.result)).size

    def verify_(self) -> None:
        if self.role.data not in {role.value for role in Role}:
            raise VerifyException(f"unknown role {self.role.data!r}: expected one of {', '.join(Role)}")
        if (self.role.data == Role.CONSTANT) != (self.value is not None):
            raise VerifyException("a buffer holds a value if and only if it is a constant")
        if self.address.value.data < 0:
            raise VerifyException("an address is not negative")
        _verify_strides(self.view.shape, self.view.strides)


def _verify_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """Strides of a buffer are those of a row-major tensor whose dimensions were put in another order."""
    if len(strides) != len(shape):
        raise VerifyException(f"{len(strides)} strides for {len(shape)} dimensions")
    if 0 in shape:
        return
    several = sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1)
    expected = 1
    for stride, size in several:
        if stride != expected:
            raise VerifyException(f"strides {list(strides)} do not fill a buffer of shape {list(shape)}")
        expected *= size


@with_quick_operands
@irdl_op_definition
class LayerOp(IRDLOperation):
    """One link of the chain on the machine: what it computes, where its tensors are, and its loops.

    `accesses` has one entry per tensor in the order input, kernel, extras, output; shapes as in `gconv.link`. An input
    with a `read_index` is looked up there: its access shows what indices of 0 name. An output with a `write_index`
    updates words at such addresses, combined by `update`, in row-major order. `mapping` is what the loops were made
    from, `search` how good that is, `zeros` and `live` what is known of the data; only predictions and reports use
    them.
    """

    name = "spatial.layer"

    input = operand_def(TensorType)
    kernel = opt_operand_def(TensorType)
    extras = var_operand_def(TensorType)
    output = operand_def(TensorType)
    read_index = opt_operand_def(TensorType)
    write_index = opt_operand_def(TensorType)
    nest = prop_def(NestAttr)
    main = prop_def(StringAttr)
    reduce = prop_def(ReduceAttr)
    acc = opt_prop_def(Attribute)
    pad = opt_prop_def(ScalarAttr)
    pre = opt_prop_def(StepsAttr)
    mid = opt_prop_def(StepsAttr)
    post = opt_prop_def(StepsAttr)
    tensor = opt_prop_def(StringAttr)
    accesses = prop_def(ArrayAttr[AccessAttr])
    read_lookup = opt_prop_def(LookupAttr)
    write_lookup = opt_prop_def(LookupAttr)
    update = opt_prop_def(ReduceAttr)
    mapping = opt_prop_def(MappingAttr | GemmAttr | HostAttr | CrossbarsAttr | VectorAttr)
    search = opt_prop_def(SearchAttr)
    zeros = opt_prop_def(ZerosAttr)
    live = opt_prop_def(LiveAttr)
    body = region_def("single_block")

    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    traits = traits_def(NoTerminator())

    assembly_format = (
        "$input `:` type($input) (`by` $kernel^ `:` type($kernel))? (`with` $extras^ `:` type($extras))?"
        " `to` $output `:` type($output) $nest $main $reduce (`acc` $acc^)? (`pad` $pad^)?"
        " (`pre` $pre^)? (`mid` $mid^)? (`post` $post^)? `accesses` $accesses"
        " (`reads` `at` $read_index^ `:` type($read_index) $read_lookup)?"
        " (`writes` `at` $write_index^ `:` type($write_index) $write_lookup $update)?"
        " attr-dict-with-keyword $body"
    )

    @property
    def spec(self) -> GConv:
        """The general convolution as plain data."""
        return gconv_of(self.nest, self.main, self.reduce, self.pad, self.pre, self.mid, self.post, self.acc)

    @property
    def tensors(self) -> list[SSAValue]:
        """The tensors that `accesses` are of, in their order."""
        kernel = [] if self.kernel is None else [self.kernel]
        return [self.input, *kernel, *self.extras, self.output]

    @property
    def views(self) -> list[View]:
        """The accesses as plain data, in the order of `tensors`."""
        return [access.data for access in self.accesses]

    def verify_(self) -> None:
        if len(self.accesses) != len(self.tensors):
            raise VerifyException(f"{len(self.accesses)} accesses for {len(self.tensors)} tensors")
        rank = len(self.nest.data)
        for operand, view in zip(self.tensors, self.views, strict=True):
            if len(view.shape) != rank:
                raise VerifyException(f"an access of rank {len(view.shape)} in a nest of {rank} dimensions")
            _verify_access("an access", operand, view)
        given = (
            (self.read_index, self.read_lookup, self.input, self.views[0]),
            (self.write_index, self.write_lookup, self.output, self.views[-1]),
        )
        if any((index is None) != (lookup is None) for index, lookup, *_ in given):
            raise VerifyException("an index tensor and how it is looked up belong together")
        if (self.write_index is None) != (self.update is None):
            raise VerifyException("updates have an index tensor and a way to be combined")
        computing_type(self.acc)
        for index, lookup, operand, view in given:
            if index is not None and lookup is not None:
                _verify_lookup(index, lookup.data, operand, view)
        _verify_computation(self.spec, self.main, self.kernel is not None, [view.shape for view in self.views])


def _verify_access(what: str, operand: SSAValue, view: View) -> None:
    low, high = view.bounds()
    extent = View.dense(shape_of(operand)).size
    if view.size and (low < 0 or high >= extent):
        raise VerifyException(f"{what} reaches words {low} to {high} of a buffer with {extent}")


def _verify_lookup(index: SSAValue, lookup: Lookup, operand: SSAValue, view: View) -> None:
    """Every index word exists, and every word that an index can name."""
    if lookup.index.shape != view.shape:
        raise VerifyException(f"an index of shape {list(lookup.index.shape)} for an access of {list(view.shape)}")
    for place, _, _ in lookup.terms:
        positions = lookup.index
        _verify_access("an index", index, View(positions.shape, positions.strides, positions.offset + place))
    shape = (*view.shape, *(extent for _, _, extent in lookup.terms))
    strides = (*view.strides, *(step for _, step, _ in lookup.terms))
    _verify_access("a computed address", operand, View(shape, strides, view.offset))


def _verify_computation(spec: GConv, main: StringAttr, has_kernel: bool, shapes: list[tuple[int, ...]]) -> None:
    """What `gconv.link` demands of its operands, of the shapes that a layer reads and writes."""
    main_operator(main)
    if (spec.main == PASS) == has_kernel:
        raise VerifyException(f"main operator {spec.main!r} and {'a' if has_kernel else 'no'} kernel")
    if spec.reduce is Reduce.NONE and any(dim.ks != 1 for dim in spec.dims):
        raise VerifyException("reduce none needs every ks to be 1")
    source, *others, result = shapes
    if any(extent % dim.g for dim, extent in zip(spec.dims, source, strict=True)):
        raise VerifyException(f"an input of shape {list(source)} does not divide into its groups")
    if has_kernel and others[0] != spec.kernel_shape:
        raise VerifyException(f"the kernel has shape {list(spec.kernel_shape)}, its access {list(others[0])}")
    if result != spec.output_shape:
        raise VerifyException(f"the output has shape {list(spec.output_shape)}, its access {list(result)}")
    extras = others[1:] if has_kernel else others
    for index, extra in enumerate(extras):
        if any(have not in (1, want) for have, want in zip(extra, result, strict=True)):
            raise VerifyException(f"extra operand {index} must broadcast to {list(result)}: {list(extra)}")
    post_only_steps(spec)
    used = {step.operand for step in spec.post if step.operand is not None}
    if used != set(range(len(extras))):
        raise VerifyException(f"post steps use operands {sorted(used)}, the layer has {len(extras)}")


@irdl_op_definition
class SpreadOp(IRDLOperation):
    """Array configuration: tiles of a loop lie side by side along an axis."""

    name = "spatial.spread"

    loop = prop_def(LoopAttr)
    tile = prop_def(IntegerAttr[I64])
    axis = prop_def(StringAttr)

    irdl_options = (ParsePropInAttrDict(),)

    assembly_format = "$loop `tile` $tile `on` $axis attr-dict"

    @classmethod
    def of(cls, loop: LoopAttr, tile: int, axis: str) -> SpreadOp:
        """Tiles along an axis."""
        return cls.create(properties={"loop": loop, "tile": _i64(tile), "axis": StringAttr(axis)})

    def verify_(self) -> None:
        _one_of("axis", self.axis, [axis.value for axis in Axis])
        _at_least("tile", self.tile, 1)


@irdl_op_definition
class PlaceOp(IRDLOperation):
    """Where the tile of a tensor (I input, K kernel, O output) lives on chip: memory, first word, words reserved."""

    name = "spatial.place"

    operand_name = prop_def(StringAttr)
    memory = prop_def(StringAttr)
    address = prop_def(IntegerAttr[I64])
    words = prop_def(IntegerAttr[I64])

    irdl_options = (ParsePropInAttrDict(),)

    assembly_format = "$operand_name `in` $memory `at` $address `words` $words attr-dict"

    @classmethod
    def of(cls, operand: Operand, memory: str, address: int, words: int) -> PlaceOp:
        """The place of a tensor's tile."""
        return cls.create(
            properties={
                "operand_name": StringAttr(operand),
                "memory": StringAttr(memory),
                "address": _i64(address),
                "words": _i64(words),
            }
        )

    def verify_(self) -> None:
        _one_of("tensor", self.operand_name, [operand.value for operand in Operand])
        _one_of("memory", self.memory, ON_CHIP)
        _at_least("address", self.address, 0)
        _at_least("words", self.words, 1)


@irdl_op_definition
class ForOp(IRDLOperation):
    """Tiles of a loop one after another."""

    name = "spatial.for"

    loop = prop_def(LoopAttr)
    tile = prop_def(IntegerAttr[I64])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(NoTerminator())

    assembly_format = "$loop `tile` $tile attr-dict-with-keyword $body"

    @classmethod
    def of(cls, loop: LoopAttr, tile: int, body: list[Operation]) -> ForOp:
        """A loop around `body`."""
        return cls.create(properties={"loop": loop, "tile": _i64(tile)}, regions=[Region(Block(body))])

    def verify_(self) -> None:
        _at_least("tile", self.tile, 1)


@irdl_op_definition
class OpenOp(IRDLOperation):
    """Begin an output tile: its words in the buffer hold nothing until a pass writes them."""

    name = "spatial.open"
    assembly_format = "attr-dict"


@irdl_op_definition
class LoadOp(IRDLOperation):
    """Bring the current tile of the input (through `pre`, padding materialised) or the kernel on chip."""

    name = "spatial.load"

    operand_name = prop_def(StringAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$operand_name attr-dict"

    @classmethod
    def of(cls, operand: Operand) -> LoadOp:
        """A transfer of the input or the kernel."""
        return cls.create(properties={"operand_name": StringAttr(operand)})

    def verify_(self) -> None:
        _one_of("tensor", self.operand_name, [Operand.INPUT.value, Operand.KERNEL.value])


@irdl_op_definition
class PassOp(IRDLOperation):
    """One processing pass: the array folds the current input and kernel tiles into the output tile."""

    name = "spatial.pass"
    assembly_format = "attr-dict"


@irdl_op_definition
class StoreOp(IRDLOperation):
    """Write the finished output tile to DRAM through `post`."""

    name = "spatial.store"
    assembly_format = "attr-dict"


@irdl_op_definition
class OffloadOp(IRDLOperation):
    """The host core executes the whole layer, from DRAM to DRAM: nothing is placed on chip, no loop runs."""

    name = "spatial.offload"
    assembly_format = "attr-dict"


def _one_of(what: str, attribute: StringAttr, choices: Sequence[str]) -> None:
    if attribute.data not in choices:
        raise VerifyException(f"unknown {what} {attribute.data!r}: expected one of {', '.join(choices)}")


def _at_least(what: str, attribute: IntegerAttr[I64], least: int) -> None:
    if integer(attribute) < least:
        raise VerifyException(f"{what} must be at least {least}, is {integer(attribute)}")


def integer(attribute: IntegerAttr[I64]) -> int:
    """The value of an i64 attribute."""
    return attribute.value.data


SPATIAL = Dialect(
    "spatial",
    [BufferOp, LayerOp, SpreadOp, PlaceOp, ForOp, OpenOp, LoadOp, PassOp, StoreOp, OffloadOp],
    [AccessAttr, LookupAttr],
)

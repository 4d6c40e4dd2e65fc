"""Operations of the gconv dialect: a chain of general convolutions over strided views.

%k = gconv.view %w <[9408, 49, 7, 1]> : tensor<64x3x7x7xf32> -> tensor<1x192x7x7xf32>
%y = gconv.link %x : tensor<1x3x224x224xf32> by %k : tensor<1x192x7x7xf32> with %b : tensor<1x64x1x1xf32>
     <N, C op 64 ks 3, H opc 112 ks 7 stride 2 pad 3, W opc 112 ks 7 stride 2 pad 3> "mul" add
     post <add[0], relu> {tensor = "y"} -> tensor<1x64x112x112xf32>
%z = gconv.concat %y, %y axis 1 : tensor<1x64x112x112xf32>, tensor<1x64x112x112xf32> -> tensor<1x128x112x112xf32>
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from xdsl.dialects.builtin import I64, DenseArrayBase, IntegerAttr, StringAttr, TensorType, i32, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from dialects.element_types import element_type_of, numpy_dtype_of, tensor_type
from dialects.gconv.attributes import (
    NestAttr,
    ReduceAttr,
    ScalarAttr,
    StepsAttr,
    StridedAttr,
    ZerosAttr,
    computing_type,
    main_operator,
    post_only_steps,
)
from dialects.gconv.spec import PASS, GConv, Reduce
from dialects.gconv.view import View
from dialects.gemm_live import LiveAttr
from dialects.operand_segments import with_quick_operands


def shape_of(value: SSAValue | Attribute) -> tuple[int, ...]:
    """The static shape of a tensor value or tensor type."""
    # Asked for at every turn: looking at the class is much faster than isinstance of an abstract one, and a list than
    # the iterators behind `get_shape`.
    kind = value if type(value) is TensorType else cast("TensorType[Attribute]", cast("SSAValue", value).type)
    return tuple([extent.data for extent in kind.shape.data])


def element_type_of_value(value: SSAValue) -> Attribute:
    """The element type of a tensor value."""
    return cast("TensorType[Attribute]", value.type).element_type


@lru_cache(1 << 6)
def _type_name(element_type: Attribute) -> str:
    """NumPy's name of an element type, which NumPy puts together anew each time."""
    return str(numpy_dtype_of(element_type))


def gconv_of(
    nest: NestAttr,
    main: StringAttr,
    reduce: ReduceAttr,
    pad: ScalarAttr | None,
    pre: StepsAttr | None,
    mid: StepsAttr | None,
    post: StepsAttr | None,
    acc: Attribute | None,
) -> GConv:
    """The general convolution that the properties of an op describe."""
    return GConv(
        nest.data,
        main.data,
        reduce.data,
        pre.data if pre else (),
        mid.data if mid else (),
        post.data if post else (),
        pad.data if pad else None,
        _type_name(acc) if acc else None,
    )


@lru_cache(1 << 10)
def _segments(*sizes: int) -> DenseArrayBase:
    """How many operands each of an op's operand definitions has."""
    return DenseArrayBase.from_list(i32, sizes)


@with_quick_operands
@irdl_op_definition
class LinkOp(IRDLOperation):
    """One general convolution: a link of the chain.

    The input has, per dimension, g groups of any extent; the kernel g*op*ks; the result g*op*opc; an extra operand of
    `post` has the result's extent or 1. `acc` is the type that main, mid and the reduction compute in (but for sums of
    floats: see `dialects.gconv.spec`), if that is not the input's. `tensor` names the ONNX tensor the result equals, if
    it equals one; `search` says how good a `mapping` is that was searched for; `zeros`, and `live` under a
    mapping to matrix products, what is known of the data.
    """

    name = "gconv.link"

    input = operand_def(TensorType)
    kernel = opt_operand_def(TensorType)
    extras = var_operand_def(TensorType)
    nest = prop_def(NestAttr)
    main = prop_def(StringAttr)
    reduce = prop_def(ReduceAttr)
    acc = opt_prop_def(Attribute)
    pad = opt_prop_def(ScalarAttr)
    pre = opt_prop_def(StepsAttr)
    mid = opt_prop_def(StepsAttr)
    post = opt_prop_def(StepsAttr)
    tensor = opt_prop_def(StringAttr)
    mapping = opt_prop_def(Attribute)
    search = opt_prop_def(Attribute)
    zeros = opt_prop_def(ZerosAttr)
    live = opt_prop_def(LiveAttr)
    result = result_def(TensorType)

    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    traits = traits_def(Pure())

    assembly_format = (
        "$input `:` type($input) (`by` $kernel^ `:` type($kernel))? (`with` $extras^ `:` type($extras))?"
        " $nest $main $reduce (`acc` $acc^)? (`pad` $pad^)? (`pre` $pre^)? (`mid` $mid^)? (`post` $post^)?"
        " attr-dict `->` type($result)"
    )

    @classmethod
    def of(
        cls,
        spec: GConv,
        input: SSAValue,
        kernel: SSAValue | None = None,
        extras: Sequence[SSAValue] = (),
        *,
        tensor: str | None = None,
        element_type: Attribute | None = None,
        mapping: Attribute | None = None,
    ) -> LinkOp:
        """A link that computes `spec`; the result's element type is the input's unless given."""
        kind = tensor_type(element_type or element_type_of_value(input), spec.output_shape)
        kernels = () if kernel is None else (kernel,)
        properties: dict[str, Attribute | None] = {
            "nest": NestAttr(spec.dims),
            "main": StringAttr(spec.main),
            "reduce": ReduceAttr(spec.reduce),
            "acc": None if spec.acc is None else element_type_of(spec.acc),
            "pad": None if spec.pad_value is None else ScalarAttr(spec.pad_value),
            "pre": StepsAttr(spec.pre) if spec.pre else None,
            "mid": StepsAttr(spec.mid) if spec.mid else None,
            "post": StepsAttr(spec.post) if spec.post else None,
            "tensor": None if tensor is None else StringAttr(tensor),
            "mapping": mapping,
            AttrSizedOperandSegments.attribute_name: _segments(1, len(kernels), len(extras)),
        }
        # `create` takes everything in its final form, at a fraction of what the constructor takes to get there.
        return cls.create(
            operands=[input, *kernels, *extras],
            properties={name: value for name, value in properties.items() if value is not None},
            result_types=[kind],
        )

    @property
    def spec(self) -> GConv:
        """The general convolution as plain data."""
        return gconv_of(self.nest, self.main, self.reduce, self.pad, self.pre, self.mid, self.post, self.acc)

    def verify_(self) -> None:
        spec, kernel, extras = self.spec, self.kernel, self.extras
        main_operator(self.main)
        computing_type(self.acc)
        if (spec.main == PASS) != (kernel is None):
            raise VerifyException(f"main operator {spec.main!r} and {'no' if kernel is None else 'a'} kernel")
        if spec.reduce is Reduce.NONE and any(dim.ks != 1 for dim in spec.dims):
            raise VerifyException("reduce none needs every ks to be 1")
        post_only_steps(spec)
        _verify_shapes(spec, self.input, kernel, extras, self.result)
        used = {step.operand for step in spec.post if step.operand is not None}
        if used != set(range(len(extras))):
            raise VerifyException(f"post steps use operands {sorted(used)}, the link has {len(extras)}")


def _verify_shapes(
    spec: GConv, input: SSAValue, kernel: SSAValue | None, extras: Sequence[SSAValue], result: SSAValue
) -> None:
    """The shapes of a link's operands and result are those of its loops. Raises `VerifyException`."""
    rank = len(spec.dims)
    values = [("input", input), ("result", result)]
    values += [("kernel", kernel)] if kernel is not None else []
    values += [(f"extra operand {index}", extra) for index, extra in enumerate(extras)]
    shapes = {name: shape_of(value) for name, value in values}
    for name, value in values:
        if len(shapes[name]) != rank or -1 in shapes[name]:
            raise VerifyException(f"{name} must have a static shape of rank {rank}, has {value.type}")
    output_shape = spec.output_shape
    if shapes["result"] != output_shape:
        raise VerifyException(f"result must have shape {list(output_shape)}, has {result.type}")
    if kernel is not None and shapes["kernel"] != spec.kernel_shape:
        raise VerifyException(f"kernel must have shape {list(spec.kernel_shape)}, has {kernel.type}")
    for dim, extent in zip(spec.dims, shapes["input"], strict=True):
        if extent % dim.g:
            raise VerifyException(f"input extent {extent} of dimension {dim.name} is no multiple of g = {dim.g}")
    for index, extra in enumerate(extras):
        if any(have not in (1, want) for have, want in zip(shape_of(extra), output_shape, strict=True)):
            raise VerifyException(f"extra operand {index} must broadcast to {list(output_shape)}: {extra.type}")


@irdl_op_definition
class ViewOp(IRDLOperation):
    """A strided view of a tensor: no words move. Offset and strides count elements of the row-major base."""

    name = "gconv.view"

    base = operand_def(TensorType)
    layout = prop_def(StridedAttr)
    result = result_def(TensorType)

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(Pure())

    assembly_format = "$base $layout attr-dict `:` type($base) `->` type($result)"

    @classmethod
    def of(cls, base: SSAValue, view: View) -> ViewOp:
        """The view `view` of the value `base`."""
        return cls.create(
            operands=[base],
            properties={"layout": StridedAttr((view.offset, view.strides))},
            result_types=[tensor_type(element_type_of_value(base), view.shape)],
        )

    @property
    def view(self) -> View:
        """The view as plain data."""
        offset, strides = self.layout.data
        return View(shape_of(self.result), strides, offset)

    def verify_(self) -> None:
        if element_type_of_value(self.base) != element_type_of_value(self.result):
            raise VerifyException("a view keeps the element type")
        if len(self.layout.data[1]) != len(shape_of(self.result)):
            raise VerifyException(f"{len(self.layout.data[1])} strides for {self.result.type}")
        view, extent = self.view, math.prod(shape_of(self.base))
        if view.size:
            low, high = view.bounds()
            if low < 0 or high >= extent:
                raise VerifyException(f"view reads elements {low} to {high} of a tensor with {extent}")


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """Tensors side by side along one axis. Producers that can write in place do; others are copied by a link."""

    name = "gconv.concat"

    parts = var_operand_def(TensorType)
    axis = prop_def(IntegerAttr[I64])
    tensor = opt_prop_def(StringAttr)
    result = result_def(TensorType)

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(Pure())

    assembly_format = "$parts `axis` $axis attr-dict `:` type($parts) `->` type($result)"

    @classmethod
    def of(cls, parts: Sequence[SSAValue], axis: int, tensor: str | None = None) -> ConcatOp:
        """`parts` side by side along `axis` (0 <= axis < rank)."""
        shape = list(shape_of(parts[0]))
        shape[axis] = sum(shape_of(part)[axis] for part in parts)
        return cls(
            operands=[list(parts)],
            properties={
                "axis": IntegerAttr(axis, i64),
                "tensor": None if tensor is None else StringAttr(tensor),
            },
            result_types=[tensor_type(element_type_of_value(parts[0]), tuple(shape))],
        )

    def verify_(self) -> None:
        if not self.parts:
            raise VerifyException("nothing to put side by side")
        shape, axis = list(shape_of(self.result)), self.axis.value.data
        if not 0 <= axis < len(shape):
            raise VerifyException(f"axis {axis} is not a dimension of {self.result.type}")
        for part in self.parts:
            have = list(shape_of(part))
            if have[:axis] != shape[:axis] or have[axis + 1 :] != shape[axis + 1 :]:
                raise VerifyException(f"{part.type} does not fit beside the others in {self.result.type}")
        if sum(shape_of(part)[axis] for part in self.parts) != shape[axis]:
            raise VerifyException(f"the parts do not fill axis {axis} of {self.result.type}")

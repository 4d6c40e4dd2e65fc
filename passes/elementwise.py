"""Links that compute every result element from one element of each operand, as functions over strided views.

Such a link is, in the shape of its result, `post(mid(main(pre(input), kernel)))` with input, kernel and extra operands
each a strided view: what fusion moves from link to link.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced

from xdsl.ir import Attribute, Operation, SSAValue

from dialects.element_types import numpy_dtype_of
from dialects.gconv import PASS, Dim, IndexedOp, LinkOp, Step, View, cast_of, cast_to, element_type_of_value, shape_of
from passes.chain_views import Source, compacted, source_of

SWAPPED: dict[str, str] = {
    **{name: name for name in ("add", "mul", "max", "min", "eq", "same", "and", "or", "xor")},
    **{a: b for pair in (("sub", "rsub"), ("div", "rdiv"), ("pow", "rpow"), ("lt", "gt"), ("le", "ge"))
       for a, b in (pair, pair[::-1])},
}  # fmt: skip
"""The binary function that takes its two operands the other way round, for those that have one."""


@dataclass(frozen=True)
class Applied:
    """A step and the operand it reads, a view in the shape of the link's result; None for a unary step."""

    step: Step
    operand: Source | None = None


@dataclass(frozen=True)
class Elementwise:
    """A link without reduction or padding, in the shape of its result."""

    input: Source
    kernel: Source | None
    pre: tuple[Step, ...]
    main: str
    after: tuple[Applied, ...]
    cast: Step | None = None
    """What brings the input to the type that the link computes in, if that is another."""

    def flows(self) -> Iterator[tuple[Source, tuple[Applied, ...]]]:
        """Every operand that the rest can be written as steps on, and those steps, in order."""
        yield self.input, self.steps_on_input()
        if self.kernel is not None:
            swapped = self.steps_on_kernel()
            if swapped is not None:
                yield self.kernel, swapped
        elif self.after and (first := self.after[0].operand) is not None and not (self.pre or self.cast):
            function = SWAPPED.get(self.after[0].step.function)
            if function is not None:
                yield first, (Applied(Step(function, operand=0), self.input), *self.after[1:])

    def steps_on_input(self) -> tuple[Applied, ...]:
        """Everything done to the input, in order; the main operator becomes a step that reads the kernel."""
        main = () if self.kernel is None else (Applied(Step(self.main, operand=0), self.kernel),)
        cast = () if self.cast is None else (Applied(self.cast),)
        return (*(Applied(step) for step in self.pre), *cast, *main, *self.after)

    def steps_on_kernel(self) -> tuple[Applied, ...] | None:
        """Everything done to the kernel, the main operator swapped to read the input.

        None if that cannot be said: the two are of different types, or the main operator cannot be swapped.
        """
        swapped = SWAPPED.get(self.main)
        if swapped is None or self.pre or self.kernel is None or self.cast is not None:
            return None
        if element_type_of_value(self.kernel.base) != element_type_of_value(self.input.base):
            return None
        return (Applied(Step(swapped, operand=0), self.input), *self.after)


def elementwise(link: LinkOp) -> Elementwise | None:
    """The link as an element-wise function over views; None if it reduces, pads or needs a copy to be one.

    None as well if it reads at computed addresses: what it reads is no strided view, and cannot go elsewhere.
    """
    spec = link.spec
    if any(dim.ks != 1 for dim in spec.dims) or isinstance(link.input.owner, IndexedOp):
        return None
    cast = None
    if spec.acc not in (None, numpy_dtype_of(element_type_of_value(link.input)).name):
        cast = cast_to(spec.acc or "")
        if cast is None:
            return None
    shape = spec.output_shape
    input = _input_in_result_shape(spec.dims, source_of(link.input), shape_of(link.input), shape)
    if input is None:
        return None
    kernel = None
    if spec.main != PASS:
        assert link.kernel is not None
        kernel = _kernel_in_result_shape(spec.dims, source_of(link.kernel), shape)
        if kernel is None:
            return None
    extras = [extra_in_result_shape(extra, shape) for extra in link.extras]
    after = [Applied(step) for step in spec.mid]
    after += [Applied(step, None if step.operand is None else extras[step.operand]) for step in spec.post]
    return Elementwise(input, kernel, spec.pre, spec.main, tuple(after), cast)


def with_steps(
    link: LinkOp,
    dims: tuple[Dim, ...],
    steps: Sequence[Applied],
    element_type: Attribute | None = None,
    tensor: str | None = None,
) -> tuple[LinkOp, list[Operation]]:
    """The link over `dims` with more post steps, and the views it needs.

    Operands are in the shape of the result, repeated dimensions cut to extent 1 (`compact_in_shape`).
    """
    extras = list(link.extras)
    post, views = numbered(steps, extras)
    spec = replaced(link.spec, dims=dims, post=(*link.spec.post, *post))
    return LinkOp.of(spec, link.input, link.kernel, extras, tensor=tensor, element_type=element_type), views


def numbered(steps: Sequence[Applied], extras: list[SSAValue]) -> tuple[tuple[Step, ...], list[Operation]]:
    """Steps that count their operands in `extras`, to which those are added, and the views that this needs."""
    post: list[Step] = []
    views: list[Operation] = []
    for applied in steps:
        if applied.operand is None:
            post.append(applied.step)
            continue
        made, value = applied.operand.materialise()
        views += made
        post.append(replaced(applied.step, operand=len(extras)))
        extras.append(value)
    return tuple(post), views


def compact_steps(steps: Sequence[Applied], shape: tuple[int, ...]) -> tuple[Applied, ...] | None:
    """Steps on a result of another shape as steps for `with_steps`; None if an operand would have to be copied."""
    compact: list[Applied] = []
    for applied in steps:
        operand = applied.operand and compact_in_shape(applied.operand, shape)
        if applied.operand is not None and operand is None:
            return None
        compact.append(Applied(applied.step, operand))
    return tuple(compact)


def unary_steps(link: LinkOp) -> tuple[Step, ...] | None:
    """The functions of a link that applies nothing but unary functions, in one element type; None for other links.

    The link may still reduce, pad or crop: see `elementwise`.
    """
    spec = link.spec
    if spec.main != PASS or link.extras or element_type_of_value(link.input) != element_type_of_value(link.result):
        return None
    steps = (*spec.pre, *spec.mid, *spec.post)
    return None if spec.acc is not None or any(cast_of(step) for step in steps) else steps


def extra_in_result_shape(extra: SSAValue, shape: tuple[int, ...]) -> Source:
    """An extra operand repeated to the result's shape."""
    source = source_of(extra)
    return Source(source.base, source.view.expand(shape))


def compact_in_shape(operand: Source, shape: tuple[int, ...]) -> Source | None:
    """An operand given in one result shape as an extra operand of a link with another; None if that needs a copy."""
    reshaped = operand.reshape(shape)
    return None if reshaped is None else Source(reshaped.base, compacted(reshaped.view))


def _input_in_result_shape(
    dims: tuple[Dim, ...], source: Source, extents: tuple[int, ...], shape: tuple[int, ...]
) -> Source | None:
    """The element read for each result element, when none lies outside the input."""
    view = source.view
    sizes: list[int] = []
    strides: list[int] = []
    offset = view.offset
    for dim, extent, stride in zip(dims, extents, view.strides, strict=True):
        per_group = extent // dim.g
        low, high = dim.window
        if low < 0 or high >= per_group * dim.up or low % dim.up or (dim.opc > 1 and dim.stride % dim.up):
            return None
        sizes += [dim.g, dim.op, dim.opc]
        strides += [per_group * stride, 0, dim.stride // dim.up * stride]
        offset += low // dim.up * stride
    return Source(source.base, View(tuple(sizes), tuple(strides), offset)).reshape(shape)


def _kernel_in_result_shape(dims: tuple[Dim, ...], source: Source, shape: tuple[int, ...]) -> Source | None:
    """The kernel element for each result element of a link whose ks counts are all 1."""
    sizes: list[int] = []
    strides: list[int] = []
    for dim, stride in zip(dims, source.view.strides, strict=True):
        sizes += [dim.g, dim.op, dim.opc]
        strides += [dim.op * stride, stride, 0]
    return Source(source.base, View(tuple(sizes), tuple(strides), source.view.offset)).reshape(shape)

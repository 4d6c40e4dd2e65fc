"""Random gconv chains for property tests of passes, and what must hold of a pass on each of them.

Chains compute in f64 on small integers: every rewrite that only regroups integer arithmetic must be exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, TensorType, f64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.parser import Parser
from xdsl.passes import ModulePass

from dialects.gconv import (
    ConcatOp,
    Dim,
    GConv,
    IndexedOp,
    IndexedView,
    LinkOp,
    Reduce,
    ScatterOp,
    Step,
    View,
    ViewOp,
    shape_of,
)
from dialects.gconv.interpreter import Interpreter
from dialects.locations import node_location, node_names
from dialects.weights import ConstantOp
from passes.rewriting import erase_all_dead
from passes.verification import verify_module
from tests.filechecking import new_ir_context, print_module, run_passes

Shape = tuple[int, ...]
UNARY = (
    Step("relu"),
    Step("neg"),
    Step("abs"),
    Step("affine", (2.0, -1.0)),
    Step("affine", (1.0, 0.0)),
    Step("clip", (-3.0, 6.0)),
    Step("clip", (0.0, math.inf)),
    Step("sign"),
)
BINARY = ("add", "sub", "rsub", "mul", "max", "min", "lt", "ge")


class Chain(ModuleOp):
    """A module that shows itself as text when a property test fails."""

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        printer.text(print_module(self))


class ChainBuilder:
    """Appends ops to a function body; every op gets a node name of its own and every link names a tensor."""

    def __init__(self, *shapes: Shape):
        self.block = Block(arg_types=[TensorType(f64, shape) for shape in shapes])
        self.values: list[SSAValue] = list(self.block.args)
        self._count = 0

    def add(self, op: Operation) -> SSAValue:
        op.location = node_location(f"n{self._count}")
        self._count += 1
        self.block.add_op(op)
        return op.results[0]

    def constant(self, words: np.ndarray) -> SSAValue:
        return self.add(ConstantOp.of(words.astype(np.float64)))

    def link(
        self, spec: GConv, input: SSAValue, kernel: SSAValue | None = None, extras: Sequence[SSAValue] = ()
    ) -> SSAValue:
        return self.add(LinkOp.of(spec, input, kernel, extras, tensor=f"t{self._count}"))

    def view(self, base: SSAValue, view: View) -> SSAValue:
        return self.add(ViewOp.of(base, view))

    def concat(self, parts: Sequence[SSAValue], axis: int) -> SSAValue:
        return self.add(ConcatOp.of(parts, axis, f"t{self._count}"))

    def gather(self, base: SSAValue, index: SSAValue, view: IndexedView) -> SSAValue:
        """A copy of an indexed view."""
        return self.link(GConv(plain(view.shape)), self.add(IndexedOp.of(base, index, view)))

    def scatter(
        self, updates: SSAValue, index: SSAValue, view: IndexedView, data: SSAValue, reduce: Reduce
    ) -> SSAValue:
        return self.add(ScatterOp.of(updates, index, view, shape_of(data), data, reduce, f"t{self._count}"))

    def indices(self, words: np.ndarray) -> SSAValue:
        return self.add(ConstantOp.of(words.astype(np.int64)))

    def module(self, results: Sequence[SSAValue]) -> ModuleOp:
        self.block.add_op(ReturnOp(*results))
        function = FuncOp(
            "main",
            ([arg.type for arg in self.block.args], [value.type for value in results]),
            Region(self.block),
            arg_attrs=_names("x", len(self.block.args)),
            res_attrs=_names("y", len(results)),
        )
        return Chain([function])


def _names(stem: str, count: int) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr([DictionaryAttr({"onnx.name": StringAttr(f"{stem}{i}")}) for i in range(count)])


def plain(shape: Shape, kind: str = "opc") -> tuple[Dim, ...]:
    """Dimensions d0, d1, ... with the given counts of one kind."""
    return tuple(Dim(f"d{axis}", **{kind: size}) for axis, size in enumerate(shape))


@st.composite
def random_chains(draw: st.DrawFn, max_ops: int = 9) -> ModuleOp:
    """A function of up to `max_ops` layers over one or two arguments of shape [batch, channels, 6, 5]."""
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), 6, 5)
    builder = ChainBuilder(*[shape] * draw(st.integers(1, 2)))
    for _ in range(draw(st.integers(1, max_ops))):
        _draw_layer(draw, builder)
    recent = builder.values[-4:]
    results = [builder.values[-1], *(value for value in recent[:-1] if draw(st.integers(0, 3)) == 0)]
    return builder.module(results)


def _draw_layer(draw: st.DrawFn, builder: ChainBuilder) -> None:
    # Mostly the newest value, so that chains arise; now and then an older one, so that they branch.
    index = len(builder.values) - 1 - draw(st.sampled_from((0, 0, 0, 0, 1, 2, 5)))
    value = builder.values[max(index, 0)]
    shape = shape_of(value)
    makers = [_unary, _unary, _binary_constant, _binary_constant, _binary_live, _reshape, _slice, _transpose, _concat]
    makers += [_gather, _scatter]
    if len(shape) == 4:
        makers += [_convolution, _convolution, _pool, _pad]
    result = draw(st.sampled_from(makers))(draw, builder, value)
    if 0 < math.prod(shape_of(result)) <= 2000:
        builder.values.append(result)


def _unary(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    steps = tuple(draw(st.lists(st.sampled_from(UNARY), min_size=1, max_size=3)))
    place = draw(st.sampled_from(("pre", "mid", "post")))
    return builder.link(GConv(plain(shape_of(value)), **{place: steps}), value)


def _words(draw: st.DrawFn, shape: Shape) -> np.ndarray:
    generator = np.random.default_rng(draw(st.integers(0, 20)))
    return generator.integers(-2, 3, shape)


def _binary_constant(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    """A constant of the value's shape or repeated along some dimensions, as kernel or as extra operand."""
    shape = shape_of(value)
    repeated = [draw(st.booleans()) for _ in shape]
    function = draw(st.sampled_from(BINARY))
    words = _words(draw, tuple(1 if r else n for n, r in zip(shape, repeated, strict=True)))
    if draw(st.integers(0, 5)) == 0:
        words = np.full_like(words, draw(st.sampled_from((0, 1))))
    constant = builder.constant(words)
    dims = tuple(
        Dim(f"d{axis}", opc=size) if r else Dim(f"d{axis}", g=size)
        for axis, (size, r) in enumerate(zip(shape, repeated, strict=True))
    )
    if draw(st.booleans()):
        return builder.link(GConv(dims, main=function), value, constant)
    return builder.link(GConv(plain(shape), post=(Step(function, operand=0),)), value, extras=[constant])


def _binary_live(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    shape = shape_of(value)
    others = [other for other in builder.values if shape_of(other) == shape]
    other = draw(st.sampled_from(others))
    spec = GConv(plain(shape, "g"), main=draw(st.sampled_from(BINARY)), post=_some_unary(draw))
    return builder.link(spec, *((value, other) if draw(st.booleans()) else (other, value)))


def _some_unary(draw: st.DrawFn) -> tuple[Step, ...]:
    return tuple(draw(st.lists(st.sampled_from(UNARY), max_size=1)))


def _reshape(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    shape = shape_of(value)
    flat = (shape[0], math.prod(shape[1:]))
    spread = (shape[0], 1, math.prod(shape[1:-1]), shape[-1]) if len(shape) > 1 else (1, 1, 1, *shape)
    target = draw(st.sampled_from(((math.prod(shape),), flat, spread, shape)))
    return builder.view(value, View.dense(target))


def _slice(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    shape = shape_of(value)
    axis = draw(st.integers(0, len(shape) - 1))
    start = draw(st.integers(0, shape[axis] - 1))
    size = draw(st.integers(1, shape[axis] - start))
    if draw(st.integers(0, 3)) == 0:
        return builder.view(value, View.dense(shape).slice(axis, start + size - 1, size, -1))
    return builder.view(value, View.dense(shape).slice(axis, start, size))


def _transpose(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    axes = draw(st.permutations(range(len(shape_of(value)))))
    return builder.view(value, View.dense(shape_of(value)).permute(axes))


def _concat(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    shape = shape_of(value)
    axis = draw(st.integers(0, len(shape) - 1))
    alike = [v for v in builder.values if len(shape_of(v)) == len(shape)]
    fitting = [v for v in alike if _without(shape_of(v), axis) == _without(shape, axis)]
    parts = [value, *draw(st.lists(st.sampled_from(fitting), max_size=2))]
    return builder.concat(draw(st.permutations(parts)), axis)


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], -1, *shape[axis + 1 :])


def _lookup(draw: st.DrawFn, builder: ChainBuilder, shape: Shape) -> tuple[IndexedView, SSAValue]:
    """Places of a tensor that an index names along one dimension, as a row of its own or element by element."""
    axis = draw(st.integers(0, len(shape) - 1))
    size = draw(st.integers(1, 4))
    dense = View.dense(shape)
    step = (dense.strides[axis], shape[axis])
    own = dense.slice(axis, 0, 1).expand((*shape[:axis], 1, *shape[axis + 1 :]))
    own = View((*shape[:axis], size, *shape[axis + 1 :]), (*own.strides[:axis], 0, *own.strides[axis + 1 :]))
    extents = own.shape if draw(st.booleans()) else tuple(size if a == axis else 1 for a in range(len(shape)))
    generator = np.random.default_rng(draw(st.integers(0, 20)))
    index = builder.indices(generator.integers(-shape[axis], shape[axis], (*extents, 1)))
    return IndexedView.of_terms(own, [step]), index


def _gather(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    view, index = _lookup(draw, builder, shape_of(value))
    return builder.gather(value, index, view)


def _scatter(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    """Another value, or the same, with updates: a constant or the size of the value's own first elements."""
    view, index = _lookup(draw, builder, shape_of(value))
    updates = builder.constant(_words(draw, view.shape)) if draw(st.booleans()) else builder.gather(value, index, view)
    if draw(st.booleans()):
        updates = builder.link(GConv(plain(view.shape), post=_some_unary(draw)), updates)
    return builder.scatter(updates, index, view, value, draw(st.sampled_from(list(Reduce))))


def _window(draw: st.DrawFn, name: str, extent: int, pads: bool = True) -> Dim:
    size = draw(st.integers(1, min(3, extent)))
    stride = draw(st.integers(1, 2))
    pad = draw(st.integers(-1 if extent > size + 1 else 0, 1)) if pads else 0
    reach = extent + 2 * pad - size
    return Dim(name, opc=max(reach // stride + 1, 1), ks=size, stride=stride, pad=pad)


def _convolution(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    batch, channels, height, width = shape_of(value)
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
    outputs = draw(st.integers(1, 3))
    dims = (
        Dim("N", opc=batch),
        Dim("C", g=groups, op=outputs, ks=channels // groups),
        _window(draw, "H", height),
        _window(draw, "W", width),
    )
    spec = GConv(dims, "mul", Reduce.ADD, pre=_some_unary(draw), post=_some_unary(draw))
    kernel = builder.constant(_words(draw, (groups * outputs, channels // groups, dims[2].ks, dims[3].ks)))
    shaped = builder.view(kernel, View.dense(spec.kernel_shape))
    return builder.link(spec, value, shaped)


def _pool(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    batch, channels, height, width = shape_of(value)
    reduce = draw(st.sampled_from((Reduce.MAX, Reduce.ADD)))
    # A window of padding alone would be infinite; without padding every window holds an element.
    dims = (
        Dim("N", opc=batch),
        Dim("C", opc=channels),
        _window(draw, "H", height, pads=reduce is Reduce.ADD),
        _window(draw, "W", width, pads=reduce is Reduce.ADD),
    )
    return builder.link(GConv(dims, reduce=reduce, post=_some_unary(draw)), value)


def _pad(draw: st.DrawFn, builder: ChainBuilder, value: SSAValue) -> SSAValue:
    batch, channels, height, width = shape_of(value)
    dims = [Dim("N", opc=batch), Dim("C", opc=channels)]
    for name, extent in (("H", height), ("W", width)):
        low, high = draw(st.integers(-1, 2)), draw(st.integers(-1, 2))
        dims.append(Dim(name, opc=max(extent + low + high, 1), pad=low))
    return builder.link(GConv(tuple(dims), pad_value=draw(st.sampled_from((0.0, 0.0, 1.0)))), value)


def run_chain(module: ModuleOp) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The results, and every named tensor, of a chain on fixed small integers."""
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    generator = np.random.default_rng(7)
    inputs = {
        f"x{i}": generator.integers(-3, 4, shape_of(arg)).astype(np.float64) for i, arg in enumerate(function.args)
    }
    interpreter = Interpreter(module)
    results = interpreter.run(inputs)
    return results, interpreter.tensors


def _computes(op: Operation) -> bool:
    """Whether an op is more than a view: those may vanish without a trace."""
    return isinstance(op, LinkOp | ScatterOp) or (isinstance(op, ConcatOp) and len(op.parts) > 1)


def all_names(ops: Iterable[Operation]) -> set[str]:
    """The node names in the locations of ops."""
    return {name for op in ops for name in node_names(op.location)}


def check_pass(
    module: ModuleOp, passes: str | Sequence[ModulePass], relative: float = 0.0, may_drop_names: bool = False
) -> ModuleOp:
    """Run passes and check: same results, same values under every tensor name, sound IR, text round trip, locations.

    `relative` is the error allowed relative to an array's maximum, 0 for exact equality.
    """
    for block in (op.body.block for op in module.ops if isinstance(op, FuncOp)):
        erase_all_dead(block)
    names = all_names(op for op in module.walk() if _computes(op))
    expected, tensors = run_chain(module)
    run_passes(module, passes)
    verify_module(module)
    text = print_module(module)
    assert print_module(Parser(new_ir_context(), text).parse_module()) == text
    found, found_tensors = run_chain(module)
    for name, value in expected.items():
        assert_close(found[name], value, relative)
    for name, value in found_tensors.items():
        known = tensors[name] if name in tensors else expected[name]
        assert_close(value.reshape(-1), known.reshape(-1), relative)
    assert may_drop_names or names <= all_names(module.walk())
    return module


def assert_close(found: np.ndarray, expected: np.ndarray, relative: float) -> None:
    assert found.shape == expected.shape
    finite = expected[np.isfinite(expected)]
    scale = float(np.abs(finite).max(initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=relative * scale)


def links_of(module: ModuleOp) -> list[LinkOp]:
    """Every link of a module, in order."""
    return [op for op in module.walk() if isinstance(op, LinkOp)]

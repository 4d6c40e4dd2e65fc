"""fold-weights: constants into kernels, merged steps, clamps, and what must stay as it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, LinkOp, Reduce, Step, View
from dialects.gconv.scalar import apply
from dialects.weights import Blob, ConstantOp
from passes.clamping_steps import without_idle_clamps
from passes.linear_steps import Term
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains

CONV_DIMS = (Dim("N", opc=2), Dim("C", g=2, op=3, ks=2), Dim("H", opc=3, ks=2), Dim("W", opc=4))
CONV = GConv(CONV_DIMS, "mul", Reduce.ADD)
CHANNELS = np.array([1.0, 2, 3, 4, 5, 8]).reshape(1, 6, 1, 1)


def convolution(*post: tuple[str, np.ndarray | tuple[float, ...]], spec: GConv = CONV, reads: int = 1) -> Chain:
    """A convolution of [2, 4, 4, 4] with post steps: a function and its constant operand or its parameters."""
    builder = ChainBuilder((2, 4, 4, 4))
    weights = np.random.default_rng(3).integers(-3, 4, (6, 2, 2, 1))
    kernel = builder.view(builder.constant(weights), View.dense(CONV.kernel_shape))
    steps: list[Step] = []
    extras = []
    for function, what in post:
        if isinstance(what, tuple):
            steps.append(Step(function, what))
        else:
            steps.append(Step(function, operand=len(extras)))
            extras.append(builder.constant(what))
    shaped = GConv(spec.dims, spec.main, spec.reduce, spec.pre, spec.mid, tuple(steps))
    return builder.module([builder.link(shaped, builder.values[0], kernel, extras) for _ in range(reads)])


def folded(module: Chain, relative: float = 1e-12) -> LinkOp:
    check_pass(module, "fold-weights", relative)
    (link,) = links_of(module)
    return link


def post_of(link: LinkOp) -> list[str]:
    return [step.function for step in link.spec.post]


def test_folds_a_batch_normalisation_into_kernel_and_bias() -> None:
    weights = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    kernel_ir = np.arange(24, dtype=np.float32).reshape(12, 2)
    bias, scale, shift = (np.arange(4, dtype=np.float32).reshape(4, 1) + k for k in (1, 2, 3))
    constants = "\n".join(
        f'%{name} = weights.constant <"{Blob(array).digest}"> : tensor<{kind}xf32> loc("{place}")'
        for name, array, kind, place in (
            ("w", weights, "4x3x2", "conv"),
            ("b", bias, "4x1", "conv"),
            ("s", scale, "4x1", "norm"),
            ("t", shift, "4x1", "norm"),
        )
    )
    digests = [
        Blob(each.astype(np.float32)).digest for each in (kernel_ir * np.repeat(scale, 3, 0), bias * scale + shift)
    ]
    check_ir(
        f"""
        func.func @main(%x: tensor<3x5xf32>) -> tensor<4x4xf32> {{
          {constants}
          %k = gconv.view %w <[2, 1]> : tensor<4x3x2xf32> -> tensor<12x2xf32> loc("conv")
          %y = gconv.link %x : tensor<3x5xf32> by %k : tensor<12x2xf32> with %b, %s, %t
            : tensor<4x1xf32>, tensor<4x1xf32>, tensor<4x1xf32> <C op 4 ks 3, W opc 4 ks 2> "mul" add
            post <add[0], mul[1], add[2], relu> {{tensor = "y"}} -> tensor<4x4xf32> loc(fused["conv", "norm"])
          func.return %y : tensor<4x4xf32>
        }}
        """,
        "fold-weights",
        f"""
        CHECK:      func.func @main
        CHECK-NEXT: [[K:%.*]] = weights.constant <"{digests[0]}"> : tensor<12x2xf32> loc(fused["conv", "norm"])
        CHECK-NEXT: [[B:%.*]] = weights.constant <"{digests[1]}"> : tensor<4x1xf32> loc(fused["conv", "norm"])
        CHECK-NEXT: gconv.link %x : tensor<3x5xf32> by [[K]] : tensor<12x2xf32> with [[B]] : tensor<4x1xf32>
        CHECK-SAME: post <add[0], relu> {{tensor = "y"}} -> tensor<4x4xf32> loc(fused["conv", "norm"])
        CHECK-NEXT: func.return
        """,
        weights=[weights, bias, scale, shift],
        locations=True,
    )


def test_folds_groups_of_several_kernels() -> None:
    link = folded(convolution(("sub", CHANNELS), ("div", CHANNELS), ("affine", (2.0, 1.0))))
    # (x - c) / c * 2 + 1 = x * (2 / c) - 1
    assert link.spec.post == (Step("affine", (1.0, -1.0)),)
    assert link.kernel is not None
    assert isinstance(link.kernel.owner, ConstantOp)


def test_folds_divisions_by_a_number() -> None:
    assert folded(convolution(("over", (4.0,)), ("affine", (2.0, 0.0)))).spec.post == ()
    # 1 / 3 is no number of a machine, but the weights are rounded once anyway.
    assert folded(convolution(("over", (3.0,)), ("relu", ()))).spec.post == (Step("relu"),)
    # Without weights a division stays what it is.
    assert post_of(folded(convolution(("relu", ()), ("over", (3.0,)), spec=CONV))) == ["relu", "over"]


def test_folds_reversed_subtractions() -> None:
    link = folded(convolution(("rsub", CHANNELS), ("add", CHANNELS), ("relu", ())))
    assert link.spec.post == (Step("add", operand=0), Step("relu"))
    np.testing.assert_array_equal(link.extras[0].owner.array, 2 * CHANNELS)
    # After a step that is not linear there is no kernel to negate.
    link = folded(convolution(("relu", ()), ("rsub", CHANNELS), ("add", CHANNELS), ("sub", CHANNELS)))
    assert link.spec.post == (Step("relu"), Step("affine", (-1.0, 0.0)), Step("add", operand=0))


def test_does_not_fold_what_varies_with_position() -> None:
    rows = np.array([1.0, 2, 4]).reshape(1, 1, 3, 1)
    assert post_of(folded(convolution(("mul", rows), ("add", CHANNELS)))) == ["mul", "add"]
    # The channel factor goes into the kernel, the row factor stays behind it.
    link = folded(convolution(("mul", CHANNELS), ("mul", rows)))
    assert post_of(link) == ["mul"]
    np.testing.assert_array_equal(link.extras[0].owner.array, rows)


def test_does_not_fold_before_a_nonlinear_step_or_a_mid_step_or_across_max() -> None:
    assert post_of(folded(convolution(("relu", ()), ("mul", CHANNELS)))) == ["relu", "mul"]
    mid = GConv(CONV_DIMS, "mul", Reduce.ADD, mid=(Step("abs"),))
    assert post_of(folded(convolution(("mul", CHANNELS), spec=mid))) == ["mul"]
    maximum = GConv(CONV_DIMS, "mul", Reduce.MAX)
    assert post_of(folded(convolution(("mul", -CHANNELS), spec=maximum))) == ["mul"]


def test_leaves_shared_kernels() -> None:
    module = convolution(("mul", CHANNELS), reads=2)
    check_pass(module, "fold-weights")
    assert [post_of(link) for link in links_of(module)] == [["mul"], ["mul"]]


def test_leaves_a_kernel_that_folding_would_enlarge() -> None:
    builder = ChainBuilder((3, 4))
    row = builder.view(builder.constant(np.array([2.0, 3, 4, 5])), View((3, 4), (0, 1)))
    factor = builder.constant(np.array([[2.0], [4], [6]]))
    link = GConv(plain((3, 4), "g"), "mul", post=(Step("mul", operand=0),))
    module = builder.module([builder.link(link, builder.values[0], row, [factor])])
    assert post_of(folded(module)) == ["mul"]


def test_leaves_kernels_that_would_overflow() -> None:
    # 8e307 is finite; times a weight of 3 it is not.
    assert post_of(folded(convolution(("mul", CHANNELS * 1e307)))) == ["mul"]


def test_additions_go_into_an_adding_kernel() -> None:
    builder = ChainBuilder((6, 5))
    first, second = (builder.constant(np.arange(6.0).reshape(6, 1) * k) for k in (1, 3))
    dims = (Dim("C", g=6), Dim("W", opc=5))
    spec = GConv(dims, "sub", post=(Step("add", operand=0), Step("affine", (1.0, 2.0)), Step("relu")))
    link = folded(builder.module([builder.link(spec, builder.values[0], first, [second])]), 0.0)
    assert (link.spec.main, post_of(link)) == ("add", ["relu"])
    assert link.kernel is not None
    np.testing.assert_array_equal(link.kernel.owner.array, np.arange(6.0).reshape(6, 1) * 2 + 2)


@pytest.mark.parametrize(
    ("kernel", "steps"),
    [
        ((1, 4, 1, 6), [("mul", (1, 4, 1, 1))]),
        ((1, 4, 1, 1), [("mul", (1, 4, 1, 1)), ("add", (1, 4, 1, 1))]),
        ((1, 1, 1, 6), [("mul", (1, 4, 1, 1)), ("add", (1, 4, 1, 1))]),
        ((1, 4, 1, 1), [("affine", (2.0, 1.0))]),
    ],
)
def test_a_factor_behind_an_adding_kernel_stays(
    kernel: tuple[int, ...], steps: list[tuple[str, tuple[int, ...] | tuple[float, ...]]]
) -> None:
    builder = ChainBuilder((1, 4, 6, 6))
    dims = tuple(
        Dim(name, g=size) if size == full > 1 else Dim(name, opc=full)
        for name, size, full in zip("NCHW", kernel, (1, 4, 6, 6), strict=True)
    )
    added = builder.constant(np.arange(math.prod(kernel), dtype=np.float64).reshape(kernel) + 1)
    post: list[Step] = []
    extras = []
    for function, what in steps:
        if function == "affine":
            post.append(Step(function, what))
        else:
            post.append(Step(function, operand=len(extras)))
            extras.append(builder.constant(np.arange(math.prod(what)).reshape(what) + 2.0))
    spec = GConv(dims, "add", post=tuple(post))
    link = folded(builder.module([builder.link(spec, builder.values[0], added, extras)]))
    assert (link.spec.main, post_of(link)) == ("add", [function for function, _ in steps])


def test_a_division_by_powers_of_two_becomes_a_multiplication_and_no_other_does() -> None:
    for words, expected in (([1.0, 2, 0.25], "mul"), ([1.0, 3, 4], "div"), ([1.0, 0, 4], "div")):
        builder = ChainBuilder((3, 2))
        divisor = builder.constant(np.array(words).reshape(3, 1))
        kernel_link = builder.link(GConv((Dim("a", g=3), Dim("b", opc=2)), "div"), builder.values[0], divisor)
        again = builder.constant(np.array(words).reshape(3, 1))
        step = GConv(plain((3, 2)), post=(Step("relu"), Step("div", operand=0)))
        module = builder.module([kernel_link, builder.link(step, builder.values[0], extras=[again])])
        check_pass(module, "fold-weights")
        one, two = links_of(module)
        assert (one.spec.main, post_of(two)) == (expected, ["relu", expected])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("affine", 2.0, 1.0), ("affine", 3.0, -1.0)], [("affine", 6.0, 2.0)]),
        ([("affine", 1.0, 0.0)], []),
        ([("neg",), ("neg",)], []),
        ([("neg",)], [("neg",)]),
        ([("neg",), ("affine", 2.0, 1.0)], [("affine", -2.0, 1.0)]),
        ([("relu",), ("relu",)], [("relu",)]),
        ([("relu",), ("clip", -1.0, 6.0)], [("clip", 0.0, 6.0)]),
        ([("clip", -1.0, 6.0), ("relu",)], [("clip", 0.0, 6.0)]),
        ([("clip", -5.0, -1.0), ("relu",)], [("clip", -5.0, -1.0), ("relu",)]),
        ([("clip", 0.0, math.inf)], [("relu",)]),
        ([("clip", -math.inf, math.inf)], []),
        ([("sigmoid",), ("clip", 0.0, 1.0)], [("sigmoid",)]),
        ([("relu",), ("saturate", 0.0, 6.0)], [("saturate", 0.0, 6.0)]),
        ([("saturate", -1.0, 6.0), ("relu",)], [("saturate", 0.0, 6.0)]),
        ([("saturate", 0.0, 6.0), ("saturate", -1.0, 9.0)], [("saturate", 0.0, 6.0)]),
        ([("relu",), ("saturate", -1.0, 6.0)], [("relu",), ("saturate", -1.0, 6.0)]),
        ([("clip", 0.0, 1.0), ("saturate", 0.0, 1.0)], [("saturate", 0.0, 1.0)]),
        ([("abs",), ("relu",), ("sqrt",), ("relu",)], [("abs",), ("sqrt",)]),
        ([("tanh",), ("relu",)], [("tanh",), ("relu",)]),
    ],
)
def test_merges_unary_steps(steps: list[tuple[object, ...]], expected: list[tuple[object, ...]]) -> None:
    for place in ("pre", "mid", "post"):
        builder = ChainBuilder((5,))
        spec = GConv(plain((5,)), **{place: tuple(Step(str(name), tuple(parameters)) for name, *parameters in steps)})
        link = folded(builder.module([builder.link(spec, builder.values[0])]))
        assert [(step.function, *step.parameters) for step in getattr(link.spec, place)] == expected


def test_merges_additions_that_a_live_operand_does_not_separate() -> None:
    builder = ChainBuilder((2, 3), (2, 3))
    x, live = builder.block.args
    column, row = builder.constant(np.array([[1.0], [2]])), builder.constant(np.array([[1.0, 2, 3]]))
    functions = ("add", "add", "add", "add", "sub")
    spec = GConv(plain((2, 3)), post=tuple(Step(name, operand=index) for index, name in enumerate(functions)))
    link = folded(builder.module([builder.link(spec, x, extras=[column, column, live, column, row])]), 0.0)
    # column + row would be a larger array than either.
    assert post_of(link) == ["add", "add", "add", "add"]
    assert [extra is live for extra in link.extras] == [False, True, False, False]
    np.testing.assert_array_equal(link.extras[0].owner.array, [[2], [4]])
    np.testing.assert_array_equal(link.extras[3].owner.array, [[-1, -2, -3]])


def test_integers_are_left_alone() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4xi32>) -> tensor<4xi32> {
          %y = gconv.link %x : tensor<4xi32> <A opc 4> "pass" none post <affine(0.5, 0.0), affine(2.0, 0.0)>
            -> tensor<4xi32>
          func.return %y : tensor<4xi32>
        }
        """,
        "fold-weights",
        "CHECK: post <affine(0.5, 0.0), affine(2.0, 0.0)>",
    )


def test_an_unchanged_link_is_not_replaced() -> None:
    module = convolution(("add", CHANNELS), ("relu", ()))
    before = links_of(module)
    run_passes(module, "fold-weights")
    assert links_of(module)[0] is before[0]


def test_folding_twice_changes_nothing_more() -> None:
    module = convolution(("add", CHANNELS), ("mul", CHANNELS), ("affine", (2.0, 3.0)), ("clip", (0.0, 6.0)))
    run_passes(module, "fold-weights")
    before = links_of(module)
    run_passes(module, "fold-weights")
    assert links_of(module)[0] is before[0]


def test_names_every_weight_that_is_not_at_hand() -> None:
    digests = ["0" * 64, "1" * 64]
    lines = [f'%{i} = weights.constant <"{digest}"> : tensor<2xf32> loc("w{i}")' for i, digest in enumerate(digests)]
    with pytest.raises(CatenaError) as caught:
        run_passes(parse_module(f"func.func @main() {{ {' '.join(lines)} func.return }}"), "fold-weights")
    assert [(d.code, d.node) for d in caught.value.diagnostics] == [("CAT-R004", "w0"), ("CAT-R004", "w1")]


def test_refuses_control_flow() -> None:
    with pytest.raises(CatenaError, match="fold-weights rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "fold-weights")


_BOUNDS = st.sampled_from((-math.inf, -2.0, -1.0, 0.0, 1.0, 3.0, math.inf))
_CLAMPS = st.one_of(
    st.just(Term("relu")),
    st.builds(lambda name, low, high: Term(name, (low, high)), st.sampled_from(("clip", "saturate")), _BOUNDS, _BOUNDS),
    st.sampled_from([Term("abs"), Term("tanh"), Term("neg")]),
)


@settings(derandomize=True, deadline=None, max_examples=examples(300))
@given(st.lists(_CLAMPS, max_size=5))
def test_clamps_keep_every_value(terms: list[Term]) -> None:
    values = np.array([-math.inf, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 2, 3, 4, math.inf, math.nan])
    expected = found = values
    for term in terms:
        expected = apply(term.function, expected, parameters=term.parameters)
    fewer = without_idle_clamps(terms)
    for term in fewer:
        found = apply(term.function, found, parameters=term.parameters)
    np.testing.assert_array_equal(found, expected)
    assert len(fewer) <= len(terms)


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    steps = sum(len(link.spec.post) for link in links_of(module))
    check_pass(module, "fold-weights", 1e-12)
    assert sum(len(link.spec.post) for link in links_of(module)) <= steps


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning_of_fused_chains(module: Chain) -> None:
    check_pass(module, "fold-views,fuse-elementwise,fold-weights", 1e-12)

"""match-activations: every spelling of a known activation, and near misses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from dialects.diagnostics import CatenaError
from dialects.gconv import GConv, Step, View
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains

SHAPE = (2, 3)


def product(
    steps: list[Step], swapped: bool = False, before: list[Step] | None = None, then: tuple[Step, ...] = ()
) -> Chain:
    """x * f(x) with f as one link per step; `before` is applied to one factor alone."""
    builder = ChainBuilder(SHAPE)
    x = factor = builder.values[0]
    for step in steps:
        factor = builder.link(GConv(plain(SHAPE), post=(step,)), factor)
    for step in before or []:
        x = builder.link(GConv(plain(SHAPE), post=(step,)), x)
    operands = (factor, x) if swapped else (x, factor)
    return builder.module([builder.link(GConv(plain(SHAPE, "g"), "mul", post=then), *operands)])


def functions(module: Chain) -> list[list[tuple[str, ...]]]:
    return [[(step.function, *step.parameters) for step in link.spec.post] for link in links_of(module)]


def test_a_sigmoid_and_a_product_are_a_swish_of_the_convolution() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4xf32>, %k: tensor<4xf32>) -> tensor<4xf32> {
          %c = gconv.link %x : tensor<4xf32> by %k : tensor<4xf32> <A g 4> "mul" none -> tensor<4xf32> loc("conv")
          %s = gconv.link %c : tensor<4xf32> <A opc 4> "pass" none post <sigmoid> -> tensor<4xf32> loc("sigmoid")
          %y = gconv.link %c : tensor<4xf32> by %s : tensor<4xf32> <A g 4> "mul" none post <relu> {tensor = "y"}
            -> tensor<4xf32> loc("product")
          func.return %y : tensor<4xf32>
        }
        """,
        "match-activations",
        """
        CHECK:      [[C:%.*]] = gconv.link %x
        CHECK-NEXT: gconv.link [[C]] : tensor<4xf32> <A opc 4> "pass" none post <swish(1.0), relu> {tensor = "y"}
        CHECK-SAME: loc(fused["sigmoid", "product"])
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], [("square",)]),
        ([Step("sigmoid")], [("swish", 1.0)]),
        ([Step("affine", (1.702, 0.0)), Step("sigmoid")], [("swish", 1.702)]),
        ([Step("hard_sigmoid", (1 / 6, 0.5))], [("hard_swish",)]),
        ([Step("hard_sigmoid", (0.16666667, 0.5))], [("hard_swish",)]),
        ([Step("affine", (1.0, 3.0)), Step("clip", (0.0, 6.0))], [("hard_swish",), ("affine", 6.0, 0.0)]),
        ([Step("affine", (1.0, 3.0)), Step("clip", (0.0, 6.0)), Step("affine", (1 / 6, 0.0))], [("hard_swish",)]),
        ([Step("softplus"), Step("tanh")], [("mish",)]),
        (
            [Step("affine", (math.sqrt(0.5), 0.0)), Step("erf"), Step("affine", (1.0, 1.0))],
            [("gelu",), ("affine", 2.0, 0.0)],
        ),
        (
            [Step("over", (math.sqrt(2),)), Step("erf"), Step("affine", (1.0, 1.0))],
            [("gelu",), ("affine", 2.0, 0.0)],
        ),
    ],
)
def test_recognises(steps: list[Step], expected: list[tuple[object, ...]], swapped: bool) -> None:
    module = check_pass(product(steps, swapped, then=(Step("neg"),)), "match-activations", 1e-6)
    assert functions(module) == [[*expected, ("neg",)]]


@pytest.mark.parametrize(
    ("steps", "before"),
    [
        ([Step("tanh")], []),
        ([Step("hard_sigmoid", (0.2, 0.5))], []),
        ([Step("affine", (1.0, 1.0)), Step("sigmoid")], []),
        ([Step("sigmoid")], [Step("neg")]),
        ([Step("tanh"), Step("softplus")], []),
    ],
)
def test_leaves_other_products(steps: list[Step], before: list[Step]) -> None:
    module = product(steps, before=before)
    assert len(links_of(check_pass(module, "match-activations"))) == len(steps) + len(before) + 1


def test_looks_through_views_and_leaves_other_readers() -> None:
    builder = ChainBuilder((2, 3, 4))
    x = builder.values[0]
    sigmoid = builder.link(GConv(plain((2, 3, 4)), post=(Step("sigmoid"),)), x)
    flat, gate = (builder.view(value, View.dense((6, 4))) for value in (x, sigmoid))
    turned = builder.view(sigmoid, View.dense((2, 3, 4)).permute((1, 0, 2)))
    mismatched = builder.view(x, View.dense((3, 2, 4)))
    results = [
        builder.link(GConv(plain((6, 4), "g"), "mul"), flat, gate),
        builder.link(GConv(plain((3, 2, 4), "g"), "mul"), mismatched, turned),
    ]
    module = check_pass(builder.module(results), "match-activations", 1e-12)
    assert functions(module) == [[("sigmoid",)], [("swish", 1.0)], []]


def test_a_product_with_a_constant_is_none() -> None:
    builder = ChainBuilder(SHAPE)
    words = builder.constant(np.ones(SHAPE))
    module = builder.module([builder.link(GConv(plain(SHAPE, "g"), "mul"), builder.values[0], words)])
    assert functions(check_pass(module, "match-activations")) == [[]]


def test_refuses_control_flow() -> None:
    with pytest.raises(CatenaError, match="match-activations rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "match-activations")


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    before = len(links_of(module))
    check_pass(module, "match-activations")
    assert len(links_of(module)) <= before

"""fold-quantization: integers are read as they are, sums stay exact, what cannot be said in integers stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from dialects.gconv import LinkOp, element_type_of_value
from dialects.gconv.interpreter import Interpreter
from dialects.weights import ConstantOp
from passes.verification import verify_module
from tests.examples import examples
from tests.filechecking import check_ir, parse_module, run_passes
from tests.passes.lower_onnx.models import lower, model_of

DEQUANTIZED = """%f = gconv.link %x : tensor<1x4xi8> <A, B opc 4> "pass" none acc f32
               post <affine(1.0, 5.0), affine(0.5, 0.0)> -> tensor<1x4xf32>"""
KERNEL = np.arange(-4, 8, dtype=np.int8).reshape(3, 4)


def digest(array: np.ndarray) -> str:
    return ConstantOp.of(array).value.data.digest


def test_a_product_accumulates_integers_and_scales_the_sum() -> None:
    share = (5 * KERNEL.astype(np.int64).sum(1, keepdims=True)).astype(np.int32)
    check_ir(
        f"""
        func.func @main(%x: tensor<1x4xi8>) -> tensor<3x1xf32> {{
          {DEQUANTIZED}
          %k = weights.constant <"{digest(KERNEL)}"> : tensor<3x4xi8>
          %w = gconv.link %k : tensor<3x4xi8> <A opc 3, B opc 4> "pass" none acc f32
               post <affine(0.25, 0.0)> -> tensor<3x4xf32>
          %y = gconv.link %f : tensor<1x4xf32> by %w : tensor<3x4xf32> <A op 3, B ks 4> "mul" add post <relu>
               -> tensor<3x1xf32>
          func.return %y : tensor<3x1xf32>
        }}
        """,
        "fold-quantization",
        f"""
        CHECK:      [[C:%.*]] = weights.constant <"{digest(share)}"> : tensor<3x1xi32>
        CHECK-NEXT: gconv.link %x : tensor<1x4xi8> by %k : tensor<3x4xi8> with [[C]] : tensor<3x1xi32>
        CHECK-SAME: <A op 3, B ks 4> "mul" add acc i32 post <add[0], to_float32, affine(0.125, 0.0), relu>
        CHECK-NOT:  gconv.link
        """,
        weights=[KERNEL],
    )


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ('<A, B ks 4> "pass" max post <exp> -> tensor<1x1xf32>',
         '<A, B ks 4> "pass" max post <to_float32, affine(1.0, 5.0), affine(0.5, 0.0), exp>'),
        ('<A, B ks 4> "pass" add -> tensor<1x1xf32>',
         '<A, B ks 4> "pass" add acc i32 post <to_float32, affine(1.0, 20.0), affine(0.5, 0.0)>'),
        ('<A, B opc 4 ks 2 pad 1> "pass" add -> tensor<1x4xf32>',
         '<A, B opc 4 ks 2 pad 1> "pass" add acc i32 pad <-5.0> post <to_float32, affine(1.0, 10.0), affine(0.5, '),
        # What lies between the words of a dilated input reads as padding, too.
        ('<A, B opc 6 ks 2 up 2> "pass" add -> tensor<1x6xf32>',
         '<A, B opc 6 ks 2 up 2> "pass" add acc i32 pad <-5.0> post <to_float32, affine(1.0, 10.0), affine(0.5, '),
        ('<A, B opc 3 ks 2> "pass" add -> tensor<1x3xf32>',
         '<A, B opc 3 ks 2> "pass" add acc i32 post <to_float32, affine(1.0, 10.0), affine(0.5, '),
    ],
    ids=["maximum", "sum", "window", "dilated", "inside"],
)  # fmt: skip
def test_a_reduction_of_integers_is_dequantized_afterwards(link: str, found: str) -> None:
    result = link.rpartition("-> ")[2]
    check_ir(
        f"""
        func.func @main(%x: tensor<1x4xi8>) -> {result} {{
          {DEQUANTIZED}
          %y = gconv.link %f : tensor<1x4xf32> {link}
          func.return %y : {result}
        }}
        """,
        "fold-quantization",
        f"CHECK: gconv.link %x : tensor<1x4xi8> {found}\nCHECK-NOT: gconv.link",
    )


@pytest.mark.parametrize(
    ("unit", "scale", "zero", "joins"),
    [
        (0.25, 0.125, 0, True),
        (0.25, 0.12500001, 0, True),
        (0.25, 0.129, 0, False),
        (0.25, 0.12501, 0, False),
        (0.25, 0.125, 3, False),
        (1e-9, 2e-9, 0, False),
    ],
    ids=["its units", "but for rounding", "3 % off", "0.01 % off", "zero point", "small"],
)
def test_a_bias_in_the_units_of_the_sums_joins_them(unit: float, scale: float, zero: int, joins: bool) -> None:
    """x in units of 0.5 by weights in units of `unit`; any other bias stays a number that is added afterwards."""
    bias = np.array([1000, -20000, 12345], np.int32).reshape(3, 1)
    text = f"""
        func.func @main(%x: tensor<1x4xi8>) -> tensor<3x1xf32> {{
          {DEQUANTIZED}
          %k = weights.constant <"{digest(KERNEL)}"> : tensor<3x4xi8>
          %w = gconv.link %k : tensor<3x4xi8> <A opc 3, B opc 4> "pass" none acc f32
               post <affine({unit:.12f}, 0.0)> -> tensor<3x4xf32>
          %c = weights.constant <"{digest(bias)}"> : tensor<3x1xi32>
          %b = gconv.link %c : tensor<3x1xi32> <A opc 3, B> "pass" none
               post <affine(1.0, {-zero}.0), to_float32, affine({scale:.12f}, 0.0)> -> tensor<3x1xf32>
          %y = gconv.link %f : tensor<1x4xf32> by %w : tensor<3x4xf32> with %b : tensor<3x1xf32>
               <A op 3, B ks 4> "mul" add post <add[0]> -> tensor<3x1xf32>
          func.return %y : tensor<3x1xf32>
        }}
        """
    module = parse_module(text, weights=[KERNEL, bias])
    inputs = {"0": np.array([[7, -100, 3, 90]], np.int8)}
    before = Interpreter(module).run(inputs)
    run_passes(module, "fold-quantization")
    last = [op for op in module.walk() if isinstance(op, LinkOp)][-1]
    assert str(last.acc) == "i32"
    assert sum(step.function == "add" for step in last.spec.post) == (1 if joins else 2)
    after = Interpreter(module).run(inputs)
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=1e-6)


@pytest.mark.parametrize(
    "link",
    [
        '<A, B ks 4> "pass" mul -> tensor<1x1xf32>',
        '<A, B ks 4> "pass" add pre <square> -> tensor<1x1xf32>',
        '<A, B ks 4> "pass" add mid <abs> -> tensor<1x1xf32>',
        '<A, B opc 4 ks 2 pad 1> "pass" max pad <0.0> -> tensor<1x4xf32>',
        '<A, B opc 4> "pass" none post <exp> -> tensor<1x4xf32>',
    ],
    ids=["product", "pre", "mid", "padding", "step"],
)
def test_what_integers_cannot_say_stays(link: str) -> None:
    result = link.rpartition("-> ")[2]
    text = f"""
        func.func @main(%x: tensor<1x4xi8>) -> {result} {{
          {DEQUANTIZED}
          %y = gconv.link %f : tensor<1x4xf32> {link}
          func.return %y : {result}
        }}
        """
    module = parse_module(text)
    before = str(module)
    run_passes(module, "fold-quantization")
    assert str(module) == before


def test_weights_that_are_not_at_hand_are_named() -> None:
    text = f"""
        func.func @main(%x: tensor<1x4xi8>) -> tensor<1x4xf32> {{
          %k = weights.constant <"{"0" * 64}"> : tensor<1x4xf32>
          {DEQUANTIZED}
          %y = gconv.link %f : tensor<1x4xf32> by %k : tensor<1x4xf32> <A g 1, B g 4> "mul" none -> tensor<1x4xf32>
          func.return %y : tensor<1x4xf32>
        }}
        """
    with pytest.raises(CatenaError) as caught:
        run_passes(parse_module(text), "fold-quantization")
    assert [each.code for each in caught.value.diagnostics] == ["CAT-R004"]


def product_of(x: tuple[str, int], y: tuple[str, int], other_reader: str = "") -> str:
    """x of [2, 4] times y of [4, 3], both dequantized from a type with a zero point."""

    def dequantized(result: str, source: str, kind: str, zero: int, shape: str) -> str:
        nest = "A opc 2, B opc 4" if shape == "2x4" else "A opc 4, B opc 3"
        return f"""{result} = gconv.link {source} : tensor<{shape}x{kind}> <{nest}> "pass" none acc f32
                   post <affine(1.0, {-zero}.0), affine(0.5, 0.0)> -> tensor<{shape}xf32>"""

    result = "%y, %o" if other_reader else "%y"
    types = "tensor<2x3xf32>, tensor<2x4xf32>" if other_reader else "tensor<2x3xf32>"
    return f"""
        func.func @main(%x: tensor<2x4x{x[0]}>, %z: tensor<4x3x{y[0]}>) -> ({types}) {{
          {dequantized("%a", "%x", *x, "2x4")}
          {dequantized("%b", "%z", *y, "4x3")}
          %i = gconv.view %a <[4, 0, 1]> : tensor<2x4xf32> -> tensor<2x1x4xf32>
          %k = gconv.view %b <[0, 1, 3]> : tensor<4x3xf32> -> tensor<1x3x4xf32>
          %c = gconv.link %i : tensor<2x1x4xf32> by %k : tensor<1x3x4xf32> <A opc 2, N op 3, B ks 4> "mul" add
               -> tensor<2x3x1xf32>
          %y = gconv.view %c <[3, 1]> : tensor<2x3x1xf32> -> tensor<2x3xf32>
          {other_reader}
          func.return {result} : {types}
        }}
        """


@pytest.mark.parametrize(
    ("x", "y", "moved", "acc"),
    [
        (("i8", 0), ("i8", 0), [], "i32"),
        (("ui8", 128), ("i8", 0), ["i16"], "i32"),
        (("ui8", 128), ("i8", -7), ["i16", "i16"], "i32"),
        (("ui16", 32768), ("i8", 5), ["i32", "i16"], "i32"),
        (("ui16", 32768), ("ui16", 5), ["i32", "i32"], "i64"),
    ],
)
def test_two_tensors_lose_their_zero_points_first(
    x: tuple[str, int], y: tuple[str, int], moved: list[str], acc: str
) -> None:
    module = parse_module(product_of(x, y))
    random = np.random.default_rng(1)
    names = {"i8": np.int8, "ui8": np.uint8, "ui16": np.uint16}
    inputs = {"0": random.integers(0, 127, (2, 4)).astype(names[x[0]]), "1": np.full((4, 3), -9).astype(names[y[0]])}
    before = Interpreter(module).run(inputs)
    run_passes(module, "fold-quantization")
    *centred, last = [op for op in module.walk() if isinstance(op, LinkOp)]
    assert [str(element_type_of_value(op.result)) for op in centred] == moved
    assert (str(last.acc), len(last.spec.post)) == (acc, 2)
    after = Interpreter(module).run(inputs)
    np.testing.assert_allclose(after["0"], before["0"], rtol=1e-6)


def test_a_tensor_that_others_read_is_not_moved_once_more() -> None:
    other = '%o = gconv.link %a : tensor<2x4xf32> <A opc 2, B opc 4> "pass" none post <exp> -> tensor<2x4xf32>'
    module = parse_module(product_of(("ui8", 128), ("i8", 0), other))
    before = str(module)
    run_passes(module, "fold-quantization")
    assert str(module) == before


@st.composite
def quantized_layers(draw: st.DrawFn) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, object]]:
    """A quantized convolution's input, constants and attributes."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    x_dtype, w_dtype = (draw(st.sampled_from([np.int8, np.uint8, np.int16])) for _ in range(2))
    groups = draw(st.integers(1, 2))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 2))

    def words(dtype: type[np.integer], *shape: int) -> np.ndarray:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)

    channels = outputs if draw(st.booleans()) else 1
    shape = (channels,) if channels > 1 else ()
    x_scale, w_scale = np.float32(0.02), np.asarray(rng.uniform(0.001, 0.05, shape), np.float32)
    constants = {
        "xs": np.asarray(x_scale), "xz": words(x_dtype).reshape(()),
        "w": words(w_dtype, outputs, inputs // groups, draw(st.integers(1, 3)), 2),
        "ws": w_scale, "wz": np.zeros(shape, w_dtype) if draw(st.booleans()) else words(w_dtype, *shape),
        "b": rng.integers(-9999, 9999, outputs, np.int32), "bs": np.asarray(x_scale * w_scale, np.float32),
        "ys": np.asarray(np.float32(draw(st.sampled_from([0.5, 3.7, 40.0])))), "yz": words(np.int8).reshape(()),
    }  # fmt: skip
    attributes = {"group": groups, "pads": [draw(st.integers(0, 2)) for _ in range(4)],
                  "strides": [draw(st.integers(1, 2)), 1]}  # fmt: skip
    return {"x": words(x_dtype, 1, inputs, 6, 5)}, constants, attributes


@settings(max_examples=examples(60), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(quantized_layers())
def test_the_meaning_is_kept_within_one_step(
    drawn: tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, object]],
) -> None:
    inputs, constants, attributes = drawn
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bf"], axis=0),
        helper.make_node("Conv", ["xf", "wf", "bf"], ["yf"], **attributes),
        helper.make_node("Relu", ["yf"], ["zf"]),
        helper.make_node("QuantizeLinear", ["zf", "ys", "yz"], ["y"]),
    ]
    model = model_of(nodes, inputs, constants, ["y"], opset=21)
    module = lower(model)
    before = Interpreter(module).run(inputs)["y"]
    folded = import_model(model)
    run_passes(folded, "fold-constants,lower-onnx,fold-views,fold-quantization")
    verify_module(folded)
    first = next(op for op in folded.walk() if isinstance(op, LinkOp))
    assert first.acc is not None, str(folded)
    after = Interpreter(folded).run(inputs)["y"]
    assert np.abs(before.astype(int) - after.astype(int)).max() <= 1
    run_passes(folded, "evaluate-constants,fuse-elementwise,fold-weights")
    assert sum(isinstance(op, LinkOp) for op in folded.walk()) == 1, str(folded)
    np.testing.assert_array_equal(Interpreter(folded).run(inputs)["y"], after)

"""The `onnx` dialect: generated classes, accessors, text form."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from onnx import defs
from xdsl.dialects import test
from xdsl.dialects.builtin import NoneType, TensorType, f32, i64
from xdsl.ir import SSAValue
from xdsl.parser import Parser
from xdsl.traits import Pure
from xdsl.utils.exceptions import ParseError

from dialects.locations import node_names
from dialects.onnx import ONNX, AttributeKind, NoValueOp, OnnxOp, operation_class, operator_schema
from tests.filechecking import check_ir, new_ir_context, parse_module, print_module

IMAGE = TensorType(f32, [1, 3, 8, 8])
KERNEL = TensorType(f32, [4, 3, 3, 3])


def onnx_classes() -> list[type[OnnxOp]]:
    return [op for op in ONNX.operations if issubclass(op, OnnxOp)]


def values_of(*types: TensorType | NoneType) -> list[SSAValue]:
    return list(test.TestOp(result_types=list(types)).results)


def convolution(**attributes: object) -> OnnxOp:
    return operation_class("Conv", 13).of(
        values_of(IMAGE, KERNEL),
        [TensorType(f32, [1, 4, 6, 6])],
        outputs=["y"],
        attributes=attributes,  # pyright: ignore[reportArgumentType]
        node="conv",
    )


def test_there_is_a_class_for_every_version_of_every_operator() -> None:
    schemas = [schema for schema in defs.get_all_schemas_with_history() if schema.domain == ""]
    assert {(op.op_type, op.since_version) for op in onnx_classes()} == {
        (schema.name, schema.since_version) for schema in schemas
    }
    names = [op.name for op in ONNX.operations]
    assert len(names) == len(set(names)) == len(schemas) + 1


def test_the_newest_version_has_the_plain_name() -> None:
    by_name = {op.name: op for op in onnx_classes()}
    for name, op in by_name.items():
        newest = defs.get_schema(op.op_type, domain="").since_version
        expected = f"onnx.{op.op_type}" + ("" if op.since_version == newest else f"_v{op.since_version}")
        assert name == expected


def test_the_opset_selects_the_version() -> None:
    assert operation_class("Conv", 10).since_version == 1
    assert operation_class("Conv", 11).since_version == 11
    assert operation_class("Relu", 13).name == "onnx.Relu_v13"
    with pytest.raises(KeyError, match="opset 7 has no operator ConstantOfShape"):
        operation_class("ConstantOfShape", 7)


def test_every_schema_can_be_read() -> None:
    for op in onnx_classes():
        schema = op.schema()
        assert schema is operator_schema(op.op_type, op.since_version)
        assert all(parameter.allowed for parameter in (*schema.inputs, *schema.outputs))


def test_only_random_operators_are_not_pure() -> None:
    impure = {op.op_type for op in onnx_classes() if not op.has_trait(Pure)}
    assert impure == {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }


def test_accessors_give_inputs_and_attributes_by_name() -> None:
    op = convolution(strides=(2, 1), auto_pad="VALID")
    assert op.operand("X") is op.operands[0]
    assert op.operand("B") is None
    assert op.result("Y") is op.results[0]
    assert op.output_names == ("y",)
    assert node_names(op.location) == ("conv",)
    assert op.attribute("strides") == op.ints_attribute("strides") == (2, 1)
    assert op.string_attribute("auto_pad") == "VALID"
    assert op.has_attribute("strides")
    assert not op.has_attribute("pads")


def test_a_missing_attribute_has_the_default_of_the_schema_then_the_given_one() -> None:
    op = convolution()
    assert op.int_attribute("group", 7) == 1
    assert op.attribute("pads") is None
    assert op.ints_attribute("pads", (0, 0)) == (0, 0)
    with pytest.raises(KeyError, match="no value for attribute 'pads'"):
        op.ints_attribute("pads")
    with pytest.raises(KeyError, match="no attribute 'stride'"):
        op.attribute("stride")


def test_typed_accessors_refuse_another_kind() -> None:
    op = convolution(strides=(1, 1), auto_pad="VALID")
    for accessor, name in (
        (op.int_attribute, "strides"),
        (op.float_attribute, "strides"),
        (op.string_attribute, "strides"),
        (op.ints_attribute, "auto_pad"),
        (op.floats_attribute, "auto_pad"),
        (op.tensor_attribute, "auto_pad"),
    ):
        with pytest.raises(TypeError, match=f"attribute '{name}' of Conv is not of kind"):
            accessor(name)


def test_float_and_tensor_attributes() -> None:
    leaky = operation_class("LeakyRelu", 16).of(values_of(IMAGE), [IMAGE], outputs=["y"], attributes={"alpha": 0.25})
    assert leaky.float_attribute("alpha") == 0.25
    filled = operation_class("ConstantOfShape", 9).of(
        values_of(TensorType(i64, [1])),
        [TensorType(i64, [3])],
        outputs=["y"],
        attributes={"value": np.array([7], np.int64)},
    )
    np.testing.assert_array_equal(filled.tensor_attribute("value"), [7])


def test_variadic_inputs() -> None:
    op = operation_class("Concat", 13).of(
        values_of(IMAGE, IMAGE), [TensorType(f32, [2, 3, 8, 8])], outputs=["y"], attributes={"axis": 0}
    )
    assert op.variadic("inputs") == tuple(op.operands)
    with pytest.raises(TypeError, match="is variadic"):
        op.operand("inputs")
    with pytest.raises(TypeError, match="is not variadic"):
        convolution().variadic("X")
    with pytest.raises(KeyError, match=r"Conv .* has no input 'x'; it has X, W, B"):
        convolution().operand("x")
    with pytest.raises(KeyError, match=r"Conv .* has no output 'y'; it has Y"):
        convolution().result("y")


def test_an_input_left_out_in_the_middle() -> None:
    nothing = NoValueOp()
    data, limit = values_of(IMAGE, TensorType(f32, []))
    op = operation_class("Clip", 13).of([data, nothing.result, limit], [IMAGE], outputs=["y"])
    op.verify()
    assert op.operand("min") is None
    assert op.operand("max") is limit


def test_an_unknown_attribute_is_refused_when_building() -> None:
    with pytest.raises(KeyError):
        convolution(stride=(1, 1))


CONV = "%y = onnx.Conv_v11(%x, %w) {{{attributes}}} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>"


def function_text(line: str) -> str:
    arguments = "%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>"
    return (
        f"func.func @main({arguments}) -> tensor<1x4x6x6xf32> {{\n  {line}\n  func.return %y : tensor<1x4x6x6xf32>\n}}"
    )


def test_the_text_form_is_readable_and_complete() -> None:
    check_ir(
        function_text(CONV.format(attributes='outputs = ["y"], strides = [1, 1], auto_pad = "NOTSET", group = 1')),
        "",
        """
        // CHECK: func.func @main(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>)
        // CHECK-NEXT: %y = onnx.Conv_v11(%x, %w) {outputs = ["y"], strides = [1, 1], auto_pad = "NOTSET", group = 1}
        // CHECK-SAME: : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
        // CHECK-NEXT: func.return
        """,
    )


def test_the_generic_form_says_the_same() -> None:
    text = function_text(
        '%y = "onnx.Conv_v11"(%x, %w) <{outputs = ["y"], strides = array<i64: 1, 1>}> '
        ": (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>"
    )
    plain = function_text(CONV.format(attributes='outputs = ["y"], strides = [1, 1]'))
    assert print_module(parse_module(text)) == print_module(parse_module(plain))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("group = one", "Expected integer literal"),
        ('outputs = ["y"], outputs = ["z"]', "given twice"),
        ("strides = [1, 1", "Expected `]`|expected|Expected"),
        ("strides", "="),
    ],
)
def test_text_that_cannot_be_parsed(attributes: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        Parser(new_ir_context(), function_text(CONV.format(attributes=attributes))).parse_module()


def test_every_attribute_of_every_operator_round_trips() -> None:
    """Ops with all their attributes, in generic operands: the text of each is stable."""
    samples = {
        AttributeKind.INT: 3,
        AttributeKind.INTS: (1, -2),
        AttributeKind.FLOAT: 0.1,
        AttributeKind.FLOATS: (1e-7, 2.0),
        AttributeKind.STRING: 'a "quoted" \\ text',
        AttributeKind.STRINGS: ("a", "b\n"),
        AttributeKind.TENSOR: np.array([1.5, -2.0], np.float32),
    }
    lines = []
    for op_class in onnx_classes():
        known = op_class.schema().attributes.values()
        attributes = {each.name: samples[each.kind] for each in known if each.kind is not None}
        op = op_class.of([], [], outputs=[], attributes=attributes)
        lines.append(str(op))
    text = "\n".join(lines)
    again = [str(op) for op in Parser(new_ir_context(), text).parse_module().ops]
    assert again == lines


def test_loading_the_dialect_is_cheap() -> None:
    """CPU seconds beside numpy and xDSL's own dialects, in a fresh process; the generous bound is for slow machines."""
    program = (
        "import time, numpy, xdsl.dialects.func, dialects.weights\n"
        "start = time.process_time()\n"
        "from dialects.onnx import ONNX\n"
        "assert len(list(ONNX.operations)) > 600\n"
        "print(time.process_time() - start)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(found.stdout) < 0.6

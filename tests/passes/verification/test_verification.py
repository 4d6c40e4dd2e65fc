"""The verifier that runs after every pass: each rule broken in text, and the text that breaks none."""

from __future__ import annotations

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, FunctionType, ModuleOp, StringAttr, TensorType, UnknownLoc, f32
from xdsl.dialects.func import Func, FuncOp
from xdsl.dialects.test import Test
from xdsl.parser import Parser

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.registry import available_dialects
from passes.verification import Legality, Verifier, verify_module

T = "tensor<2xf32>"


def parse_ir(body: str, attributes: str = "") -> ModuleOp:
    context = Context()
    for dialect in (Builtin, Func, Test):
        context.load_dialect(dialect)
    for name, factory in available_dialects().items():
        context.register_dialect(name, factory)
    return Parser(context, f"builtin.module {attributes} {{ {body} }}").parse_module()


def problems_in(body: str, attributes: str = "", legality: Legality | None = None) -> tuple[Diagnostic, ...]:
    with pytest.raises(CatenaError) as caught:
        verify_module(parse_ir(body, attributes), stage="gconv", legality=legality)
    return caught.value.diagnostics


def view(result: str, base: str, location: str = ' loc("node")', attributes: str = "") -> str:
    return f"%{result} = gconv.view %{base} <[1]> {attributes} : {T} -> {T}{location}"


def in_function(*lines: str) -> str:
    body = "\n".join(lines)
    return f'func.func @main(%x: {T} {{onnx.name = "x"}}) -> {T} {{ {body} func.return %y : {T} }}'


def test_accepts_a_sound_module() -> None:
    body = in_function(view("a", "x"), view("y", "a"))
    module = parse_ir(body, 'attributes {catena.stage = "gconv"}')
    verify_module(module, stage="gconv", legality=Legality(dialects=frozenset({"gconv"})))


def test_finds_a_use_before_its_definition() -> None:
    (problem,) = problems_in(in_function(view("y", "a"), view("a", "x")))
    assert problem.code == "CAT-R002"
    assert problem.node == "node"
    assert problem.message == "gconv.view %y: operand 0, %a, is used before it is defined there"


def test_an_op_may_not_use_its_own_result() -> None:
    (problem,) = problems_in(in_function(view("y", "y")))
    assert "used before it is defined" in problem.message


def test_what_a_nested_region_defines_is_unknown_outside() -> None:
    inner = f'"test.op"() ({{ %a = "test.op"() : () -> {T} "test.termop"() : () -> () }}) : () -> () loc("region")'
    module = parse_ir(in_function(inner, view("y", "x")))
    defining, using = (op for op in module.walk() if op.results)
    using.operands[0] = defining.results[0]
    with pytest.raises(CatenaError, match="operand 0, %a, is used before it is defined there"):
        verify_module(module)


def test_a_nested_region_sees_what_stands_before_it() -> None:
    inner = f'"test.op"() ({{ "test.termop"(%x) : ({T}) -> () }}) : () -> () loc("region")'
    verify_module(parse_ir(in_function(inner, view("y", "x"))))


def test_blocks_see_only_blocks_that_dominate_them() -> None:
    body = f"""
    func.func @main(%x: {T}) -> {T} {{
      "test.termop"() [^left, ^right] : () -> ()
    ^left:
      %a = "test.op"(%x) : ({T}) -> {T} loc("left")
      "test.termop"() [^end] : () -> ()
    ^right:
      "test.termop"() [^end] : () -> ()
    ^end:
      %b = "test.op"(%x) : ({T}) -> {T} loc("fine")
      func.return %a : {T}
    }}"""
    (problem,) = problems_in(body)
    assert problem.message == "func.return: operand 0, %a, is used before it is defined there"


def test_finds_an_undeclared_attribute_and_names_the_likely_one() -> None:
    first, second = problems_in(
        in_function(view("y", "x", attributes="{layuot = 3 : i64}")), 'attributes {catena.stge = "gconv"}'
    )
    assert first.message == "builtin.module: unknown attribute 'catena.stge'"
    assert "catena.stage" in first.hint
    assert second.message == "gconv.view %y: unknown attribute 'layuot'"
    assert "layout" in second.hint


@pytest.mark.parametrize("value", ["3 : i64", '"ABC"', f'"{"0" * 63}"'])
def test_declared_attributes_have_their_kind_of_value(value: str) -> None:
    (problem,) = problems_in(in_function(view("y", "x")), f"attributes {{catena.model_sha256 = {value}}}")
    assert problem.message == "builtin.module: attribute 'catena.model_sha256' has a wrong value"


def test_function_ports_carry_onnx_attributes_only() -> None:
    (problem,) = problems_in(f"func.func @main(%x: {T} {{nam = 1 : i64}}) {{ func.return }}")
    assert problem.message == "func.func @main: argument 0 has the unknown attribute 'nam'"


def test_finds_an_op_without_a_node_name() -> None:
    (problem,) = problems_in(in_function(view("y", "x", location="")))
    assert problem.message == "gconv.view %y: the op does not say which ONNX node it came from"


def test_reports_every_broken_definition_not_the_first() -> None:
    wrong = f"gconv.view %x <[1, 1]> : {T} -> {T}"
    found = problems_in(in_function(f'%a = {wrong} loc("one")', f'%y = {wrong} loc("two")'))
    assert [(problem.code, problem.node) for problem in found] == [("CAT-R002", "one"), ("CAT-R002", "two")]


def test_finds_a_missing_terminator() -> None:
    (problem,) = problems_in(f'func.func @main() {{ %a = "test.op"() : () -> {T} loc("a") }}')
    assert "not a terminator" in problem.message


def test_names_ops_that_are_illegal_at_the_stage() -> None:
    first, second = problems_in(
        in_function(view("a", "x"), f'%y = "test.op"(%a) : ({T}) -> {T} loc("late")'),
        legality=Legality(dialects=frozenset({"gconv"}), required={"gconv.view": ("mapping",)}),
    )
    assert (first.code, first.message) == ("CAT-R003", "gconv.view %a: the op has no mapping after stage gconv")
    assert (second.code, second.node) == ("CAT-R003", "late")
    assert second.message == "test.op %y: the op is not legal after stage gconv"
    assert second.expected == "gconv.*, builtin.module, func.func, func.return"


def test_problems_of_all_kinds_come_together_and_are_limited() -> None:
    lines = [view(f"v{index}", "late", location="") for index in range(60)]
    found = problems_in(in_function(*lines, view("late", "x"), view("y", "late")))
    assert len(found) == 51
    assert found[-1].message == "and 70 more"


def test_a_verifier_looks_again_at_what_has_changed() -> None:
    module = parse_ir(in_function(view("a", "x"), view("y", "a")))
    verifier = Verifier()
    verifier.verify(module)
    verifier.verify(module)
    last = next(op for op in module.walk() if op.name == "gconv.view" and op.results[0].name_hint == "y")
    wrong = parse_ir(in_function("%y = gconv.view %x <[7]> : tensor<2xf32> -> tensor<2xf32>"))
    layout = next(op for op in wrong.walk() if op.name == "gconv.view").properties["layout"]
    right = last.properties["layout"]
    last.properties["layout"] = layout
    for _ in range(2):
        with pytest.raises(CatenaError, match=r"gconv\.view %y: view reads"):
            verifier.verify(module)
    last.properties["layout"] = right
    verifier.verify(module)


def test_an_empty_block_is_found() -> None:
    module = parse_ir(in_function(view("y", "x")))
    function = next(op for op in module.walk() if op.name == "func.func")
    for op in reversed(list(function.regions[0].block.ops)):
        op.detach()
        op.erase()
    with pytest.raises(CatenaError, match=r"func\.func @main"):
        verify_module(module)


def test_a_verifier_looks_again_at_functions_and_the_module() -> None:
    module = parse_ir(in_function(view("y", "x")))
    function = next(op for op in module.walk() if isinstance(op, FuncOp))
    right = function.function_type
    verifier = Verifier()
    verifier.verify(module)
    wrong = TensorType(f32, [3])
    for kind, message in (
        (FunctionType.from_lists([wrong], right.outputs.data), "Expected entry block arguments"),
        (FunctionType.from_lists(right.inputs.data, [wrong]), "Expected arguments to have the same types"),
    ):
        function.properties["function_type"] = kind
        for _ in range(2):
            with pytest.raises(CatenaError, match=message):
                verifier.verify(module)
        function.properties["function_type"] = right
        verifier.verify(module)
    module.body.block.add_op(function.clone())
    with pytest.raises(CatenaError, match='Redefinition of symbol "main"'):
        verifier.verify(module)


def test_a_function_sees_nothing_that_stands_outside_it() -> None:
    outside = f'%o = "test.op"() : () -> {T} loc("outside")'
    module = parse_ir(outside + in_function(view("y", "x")))
    verifier = Verifier()
    verifier.verify(module)
    value = next(op for op in module.walk() if op.name == "test.op").results[0]
    next(op for op in module.walk() if op.name == "gconv.view").operands[0] = value
    with pytest.raises(CatenaError, match="operand 0, %o, is used before it is defined there"):
        verifier.verify(module)


def test_a_verifier_looks_again_at_locations_attributes_and_the_order_of_ops() -> None:
    module = parse_ir(in_function(view("a", "x"), view("y", "a")))
    verifier = Verifier()
    verifier.verify(module)
    first, second = [op for op in module.walk() if op.name == "gconv.view"]
    block, location = first.parent, first.location
    assert block is not None
    first.location = UnknownLoc()
    with pytest.raises(CatenaError, match="does not say which ONNX node"):
        verifier.verify(module)
    first.location = location
    verifier.verify(module)
    first.attributes["layuot"] = StringAttr("")
    with pytest.raises(CatenaError, match="unknown attribute 'layuot'"):
        verifier.verify(module)
    del first.attributes["layuot"]
    verifier.verify(module)
    first.detach()
    block.insert_op_after(first, second)
    with pytest.raises(CatenaError, match="is used before it is defined there"):
        verifier.verify(module)

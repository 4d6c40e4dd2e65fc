"""legalize-words: floats carried as f32, the meaning kept, what the machine cannot express refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.gconv import Dim, GConv, LinkOp, Reduce, Step, element_type_of_value
from dialects.gconv.interpreter import Interpreter
from dialects.locations import node_location
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from passes.legalize_words import LegalizeWordsPass
from passes.verification import verify_module
from tests.examples import examples
from tests.filechecking import check_ir, new_ir_context, parse_module, run_passes
from tests.passes.mapping.machines import EYERISS, machine_like_eyeriss

MACHINE = str(MachineOp.of(EYERISS))


def function(body: str, kind: str = "tensor<4xf32>", result: str | None = None, machine: str = MACHINE) -> str:
    """IR text of a function that takes `%x` and returns `%y`."""
    result = result or kind
    return f"""{machine}
    func.func @main(%x: {kind} {{onnx.name = "x"}}) -> ({result} {{onnx.name = "y"}}) {{
      {body}
      func.return %y : {result}
    }}"""


def problems(text: str, weights: list[np.ndarray] | None = None) -> list[Diagnostic]:
    module = parse_module(text, weights or [])
    with pytest.raises(CatenaError) as caught:
        run_passes(module, "legalize-words")
    found = list(caught.value.diagnostics)
    assert all((d.code, d.stage) == ("CAT-U006", "encoded") for d in found)
    return found


def test_floats_are_carried_as_f32_and_everything_else_as_it_is() -> None:
    text = f"""{MACHINE}
    func.func @main(%x: tensor<4xi64> {{onnx.name = "x"}}, %z: tensor<4xf64> {{onnx.name = "z"}})
        -> (tensor<4xi1> {{onnx.name = "y"}}, tensor<2x2xi64> {{onnx.name = "v"}}, tensor<4xf64> {{onnx.name = "w"}}) {{
      %k = weights.constant <"DIGEST"> : tensor<4xi64> loc("k")
      %a = gconv.link %x : tensor<4xi64> by %k : tensor<4xi64> <C g 4> "lt" none -> tensor<4xi1> loc("less")
      %v = gconv.view %x <[2, 1]> : tensor<4xi64> -> tensor<2x2xi64> loc("shape")
      %w = gconv.link %z : tensor<4xf64> <C opc 4> "pass" none acc f64 post <exp> -> tensor<4xf64> loc("exp")
      func.return %a, %v, %w : tensor<4xi1>, tensor<2x2xi64>, tensor<4xf64>
    }}"""
    words = np.arange(4)
    digest = ConstantOp.of(words).value.data.digest
    check_ir(
        text.replace("DIGEST", digest),
        "legalize-words",
        f"""
        CHECK:      func.func @main(%x: tensor<4xi64> {{onnx.name = "x"}},
        CHECK-SAME:                 %z: tensor<4xf32> {{onnx.name = "z", onnx.dtype = "float64"}})
        CHECK-SAME: -> (tensor<4xi1> {{onnx.name = "y"}},
        CHECK-SAME:     tensor<2x2xi64> {{onnx.name = "v"}},
        CHECK-SAME:     tensor<4xf32> {{onnx.name = "w", onnx.dtype = "float64"}})
        CHECK-NEXT: [[K:%.*]] = weights.constant <"{digest}"> : tensor<4xi64>
        CHECK-NEXT: [[A:%.*]] = gconv.link %x : tensor<4xi64> by [[K]] : tensor<4xi64> <C g 4> "lt" none
        CHECK-SAME: -> tensor<4xi1>
        CHECK-NEXT: [[V:%.*]] = gconv.view %x <[2, 1]> : tensor<4xi64> -> tensor<2x2xi64>
        CHECK-NEXT: [[W:%.*]] = gconv.link %z : tensor<4xf32> <C opc 4> "pass" none acc f32 post <exp> -> tensor<4xf32>
        CHECK:      func.return [[A]], [[V]], [[W]] : tensor<4xi1>, tensor<2x2xi64>, tensor<4xf32>
        """,
        weights=[words],
    )


def test_a_second_run_changes_nothing() -> None:
    body = '%y = gconv.link %x : tensor<4xf16> <C opc 4> "pass" none post <neg> -> tensor<4xf16> loc("n")'
    module = parse_module(function(body, "tensor<4xf16>"))
    run_passes(module, "legalize-words")
    once = str(module)
    assert 'onnx.dtype = "float16"' in once
    run_passes(module, "legalize-words")
    assert str(module) == once


ARRAYS = {
    "float32": st.integers(-40, 40).map(lambda n: n / 4),
    "int32": st.integers(-9, 9),
    "int64": st.integers(-9, 9),
    "uint8": st.integers(0, 9),
    "bool": st.booleans(),
}
STEPS = {
    "f": ("relu", "neg", "abs", "sign", "floor", "ceil", "round", "trunc", "nonzero", "square"),
    "i": ("relu", "neg", "abs", "sign", "nonzero", "trunc"),
    "u": ("relu", "sign", "nonzero"),
    "b": ("not", "nonzero"),
}
MAINS = {"f": ("add", "mul", "lt", "keep"), "i": ("add", "mul", "ge", "max"), "u": ("max", "eq"), "b": ("and", "xor")}


@dataclass
class Drawn:
    """A chain under construction: the newest value and its NumPy type."""

    value: SSAValue
    dtype: np.dtype

    @property
    def kind(self) -> str:
        return self.dtype.kind


@st.composite
def typed_chains(draw: st.DrawFn) -> tuple[ModuleOp, np.ndarray]:
    """Links over four words that compute in and cast to floats, integers and truth values; an input."""
    dtype = np.dtype(draw(st.sampled_from(list(ARRAYS))))
    source = np.array(draw(st.lists(ARRAYS[dtype.name], min_size=4, max_size=4)), dtype)
    block = Block(arg_types=[TensorType(element_type_of(dtype), [4])])
    now = Drawn(block.args[0], dtype)
    for index in range(draw(st.integers(1, 5))):
        to = np.dtype(draw(st.sampled_from(list(ARRAYS)))) if draw(st.booleans()) else now.dtype
        assume(not (to.name == "uint8" and now.kind in "if"))  # casting what is negative has no defined result
        steps = tuple(Step(name) for name in draw(st.lists(st.sampled_from(STEPS[now.kind]), max_size=2)))
        kernel: ConstantOp | None = None
        spec = GConv((Dim("C", opc=4),), post=steps)
        if draw(st.booleans()):
            words = np.array(draw(st.lists(ARRAYS[now.dtype.name], min_size=4, max_size=4)), now.dtype)
            kernel = ConstantOp.of(words)
            kernel.location = node_location(f"k{index}")
            block.add_op(kernel)
            spec = GConv((Dim("C", g=4),), draw(st.sampled_from(MAINS[now.kind])), Reduce.NONE, post=steps)
        link = LinkOp.of(
            spec, now.value, kernel.result if kernel else None, element_type=element_type_of(to), tensor=f"t{index}"
        )
        link.location = node_location(f"n{index}")
        block.add_op(link)
        now = Drawn(link.result, to)
    block.add_op(ReturnOp(now.value))
    signature = ([arg.type for arg in block.args], [now.value.type])
    return ModuleOp([MachineOp.of(EYERISS), FuncOp("main", signature, Region(block))]), source


@settings(max_examples=examples(90), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(typed_chains())
def test_the_meaning_is_kept(chain: tuple[ModuleOp, np.ndarray]) -> None:
    module, source = chain
    module.verify()
    before = Interpreter(module)
    before.run({"0": source})
    run_passes(module, "legalize-words")
    verify_module(module)
    after = Interpreter(module)
    after.run({"0": source})
    assert after.tensors.keys() == before.tensors.keys()
    for name, expected in before.tensors.items():
        assert after.tensors[name].dtype == expected.dtype
        np.testing.assert_array_equal(after.tensors[name], expected, err_msg=name)


def test_doubles_are_rounded() -> None:
    words = np.array([1 / 3, 1e300, np.nan])
    kind = "tensor<3xf64>"
    digest = ConstantOp.of(words).value.data.digest
    body = f"""%k = weights.constant <"{digest}"> : {kind} loc("k")
      %y = gconv.link %x : {kind} by %k : {kind} <C g 3> "mul" none post <exp> -> {kind} loc("scale")"""
    module = parse_module(function(body, kind), [words])
    run_passes(module, "legalize-words")
    (constant,) = (op for op in module.walk() if isinstance(op, ConstantOp))
    np.testing.assert_array_equal(constant.array, np.array([1 / 3, np.inf, np.nan], np.float32))
    assert numpy_dtype_of(element_type_of_value(constant.result)) == np.float32


NARROW = str(MachineOp.of(machine_like_eyeriss(arithmetic=["f32", "i16"])))


@pytest.mark.parametrize(
    ("kind", "link", "found"),
    [
        ("i32", '"pass" none post <neg>', "i32"),
        ("i16", '"pass" none acc i64 post <neg>', "i64"),
        ("ui8", '"pass" none', "ui8"),
        ("i4", '"pass" none post <neg>', "i4"),
    ],
)
def test_types_that_the_machine_does_not_compute_in_are_refused(kind: str, link: str, found: str) -> None:
    body = f'%y = gconv.link %x : tensor<4x{kind}> <C opc 4> {link} -> tensor<4x{kind}> loc("f")'
    (problem,) = problems(function(body, f"tensor<4x{kind}>", machine=NARROW))
    assert (problem.node, problem.expected, problem.found) == ("f", "f32, i16", found)


def test_narrow_types_can_be_stored_and_moved() -> None:
    body = '%y = gconv.link %x : tensor<4xi4> <C opc 4> "pass" none -> tensor<4xi4> loc("f")'
    run_passes(parse_module(function(body, "tensor<4xi4>", machine=NARROW)), "legalize-words")
    body = '%y = gconv.link %x : tensor<4xf8E5M2> <C opc 4> "pass" none acc f32 post <exp> -> tensor<4xf32> loc("f")'
    run_passes(parse_module(function(body, "tensor<4xf8E5M2>", "tensor<4xf32>", NARROW)), "legalize-words")


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ('"pass" none pad <16777217.0> post <neg>', "16777217"),
        ('"pass" none pre <affine(1.0, 33554431.0)>', "33554431"),
        ('"pass" none acc f32 post <affine(1.0, 33554431.0), to_int64, clip(-33554431.0, 0.0)>', "-33554431"),
    ],
)
def test_integers_that_instructions_would_round_are_refused(link: str, found: str) -> None:
    body = f'%y = gconv.link %x : tensor<4xi64> <C opc 4> {link} -> tensor<4xi64> loc("f")'
    (problem,) = problems(function(body, "tensor<4xi64>"))
    assert (problem.node, problem.found) == ("f", found)


def test_limits_of_the_machine_are_all_reported() -> None:
    machine = str(MachineOp.of(machine_like_eyeriss(limits={"post_steps": 1, "post_operands": 1})))
    body = """
      %a = gconv.link %x : tensor<4xf32> with %x : tensor<4xf32> <C opc 4> "pass" none post <add[0]> -> tensor<4xf32>
        loc("fits")
      %b = gconv.link %x : tensor<4xf32> with %x, %a : tensor<4xf32>, tensor<4xf32> <C opc 4> "pass" none
        post <add[0], add[1]> -> tensor<4xf32> loc("two")
      %c = gconv.link %x : tensor<4xf32> <C opc 4> "pass" none post <relu> -> tensor<4xi32> loc("cast")
      %y = gconv.link %b : tensor<4xf32> <C opc 4> "pass" none -> tensor<4xf32> loc("last")"""
    found = problems(function(body, machine=machine))
    assert [(d.node, d.message, d.expected, d.found) for d in found] == [
        ("two", "scalar functions after a link", "at most 1", "2"),
        ("two", "tensors read by scalar functions after a link", "at most 1", "2"),
    ]


def test_links_that_instructions_cannot_hold_are_refused() -> None:
    kind = f"tensor<{'1x' * 16}f32>"
    dims = ", ".join(f"d{index}" for index in range(16))
    body = f'%y = gconv.link %x : {kind} <{dims}> "pass" none -> {kind} loc("many")'
    (problem,) = problems(function(body, kind))
    assert (problem.message, problem.expected, problem.found) == ("dimensions of a link", "at most 15", "16")
    kind = f"tensor<{1 << 24}xf32>"
    body = f'%y = gconv.link %x : {kind} <C opc {1 << 24}> "pass" none -> {kind} loc("long")'
    (problem,) = problems(function(body, kind))
    assert (problem.message, problem.found) == ("indices of a loop of dimension C", str(1 << 24))


def test_without_a_machine_there_are_no_words() -> None:
    with pytest.raises(CatenaError, match=r"no target\.machine") as caught:
        LegalizeWordsPass().apply(new_ir_context(), parse_module(function("", machine="").replace("%y", "%x")))
    assert [(d.code, d.stage) for d in caught.value.diagnostics] == [("CAT-R003", "encoded")]


def test_a_refused_module_is_left_as_it_was() -> None:
    body = '%y = gconv.link %x : tensor<4xi32> <C opc 4> "pass" none post <exp> -> tensor<4xi32> loc("f")'
    module = parse_module(function(body, "tensor<4xi32>", machine=NARROW))
    before = str(module)
    with pytest.raises(CatenaError):
        run_passes(module, "legalize-words")
    assert str(module) == before

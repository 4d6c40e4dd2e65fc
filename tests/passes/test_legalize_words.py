"""legalize-words: one word type for all, the meaning kept, what words cannot carry refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
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


def test_every_tensor_gets_the_word_type_and_arguments_remember_theirs() -> None:
    text = f"""{MACHINE}
    func.func @main(%x: tensor<4xi64> {{onnx.name = "x"}}, %z: tensor<4xf32> {{onnx.name = "z"}})
        -> (tensor<4xi1> {{onnx.name = "y"}}, tensor<2x2xi64> {{onnx.name = "v"}}, tensor<4xf32> {{onnx.name = "w"}}) {{
      %k = weights.constant <"DIGEST"> : tensor<4xi64> loc("k")
      %a = gconv.link %x : tensor<4xi64> by %k : tensor<4xi64> <C g 4> "lt" none -> tensor<4xi1> loc("less")
      %v = gconv.view %x <[2, 1]> : tensor<4xi64> -> tensor<2x2xi64> loc("shape")
      %w = gconv.link %z : tensor<4xf32> <C opc 4> "pass" none post <exp> -> tensor<4xf32> loc("exp")
      func.return %a, %v, %w : tensor<4xi1>, tensor<2x2xi64>, tensor<4xf32>
    }}"""
    words = np.arange(4)
    digest = ConstantOp.of(words).value.data.digest
    narrow = ConstantOp.of(words.astype(np.float32)).value.data.digest
    check_ir(
        text.replace("DIGEST", digest),
        "legalize-words",
        f"""
        CHECK:      func.func @main(%x: tensor<4xf32> {{onnx.name = "x", onnx.dtype = "int64"}},
        CHECK-SAME:                 %z: tensor<4xf32> {{onnx.name = "z"}})
        CHECK-SAME: -> (tensor<4xf32> {{onnx.name = "y", onnx.dtype = "bool"}},
        CHECK-SAME:     tensor<2x2xf32> {{onnx.name = "v", onnx.dtype = "int64"}},
        CHECK-SAME:     tensor<4xf32> {{onnx.name = "w"}})
        CHECK-NEXT: [[K:%.*]] = weights.constant <"{narrow}"> : tensor<4xf32>
        CHECK-NEXT: [[A:%.*]] = gconv.link %x : tensor<4xf32> by [[K]] : tensor<4xf32> <C g 4> "lt" none
        CHECK-SAME: -> tensor<4xf32>
        CHECK-NEXT: [[V:%.*]] = gconv.view %x <[2, 1]> : tensor<4xf32> -> tensor<2x2xf32>
        CHECK-NEXT: [[W:%.*]] = gconv.link %z : tensor<4xf32> <C opc 4> "pass" none post <exp> -> tensor<4xf32>
        CHECK:      func.return [[A]], [[V]], [[W]] : tensor<4xf32>, tensor<2x2xf32>, tensor<4xf32>
        """,
        weights=[words],
    )


def test_a_second_run_changes_nothing() -> None:
    body = '%y = gconv.link %x : tensor<4xi32> <C opc 4> "pass" none post <neg> -> tensor<4xi32> loc("n")'
    module = parse_module(function(body, "tensor<4xi32>"))
    run_passes(module, "legalize-words")
    once = str(module)
    assert 'onnx.dtype = "int32"' in once
    run_passes(module, "legalize-words")
    assert str(module) == once


@pytest.mark.parametrize(
    ("source", "result", "link", "post"),
    [
        # Integers have no fraction, truth values no other value than 0 and 1.
        ("f32", "i32", '"pass" none', "post <trunc>"),
        ("f32", "i64", '"pass" none post <relu>', "post <relu, trunc>"),
        ("f32", "i32", '"pass" none post <floor>', "post <floor>"),
        ("f32", "i32", '"pass" none post <nonzero>', "post <nonzero>"),
        ("f32", "i1", '"pass" none', "post <nonzero>"),
        ("i32", "i1", '"pass" none post <neg>', "post <neg, nonzero>"),
        ("i32", "i1", '"pass" none post <nonzero>', "post <nonzero>"),
        ("i1", "i1", '"pass" none', None),
        ("i1", "i32", '"pass" none', None),
        ("i64", "i32", '"pass" none', None),
        ("i32", "f32", '"pass" none', None),
        ("f64", "f32", '"pass" none', None),
    ],
)
def test_a_change_of_type_is_a_step(source: str, result: str, link: str, post: str | None) -> None:
    body = f'%y = gconv.link %x : tensor<4x{source}> <C opc 4> {link} -> tensor<4x{result}> loc("cast")'
    check = f'"pass" none {post} ->' if post else '"pass" none ->'
    text = function(body, f"tensor<4x{source}>", f"tensor<4x{result}>")
    check_ir(text, "legalize-words", f"CHECK: gconv.link %x : tensor<4xf32> <C opc 4> {check} tensor<4xf32>")


def test_a_sum_of_truth_values_is_made_one_again() -> None:
    body = '%y = gconv.link %x : tensor<4xf32> by %k : tensor<4xf32> <C ks 4> "lt" add -> tensor<1xi1> loc("any")'
    text = function(
        '%k = weights.constant <"DIGEST"> : tensor<4xf32> loc("k")\n' + body, "tensor<4xf32>", "tensor<1xi1>"
    )
    words = np.zeros(4, np.float32)
    text = text.replace("DIGEST", ConstantOp.of(words).value.data.digest)
    check_ir(text, "legalize-words", 'CHECK: "lt" add post <nonzero>', weights=[words])


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


@settings(max_examples=90, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(typed_chains())
def test_words_carry_every_value_exactly(chain: tuple[ModuleOp, np.ndarray]) -> None:
    module, source = chain
    module.verify()
    before = Interpreter(module)
    before.run({"0": source})
    small = all(np.abs(np.asarray(tensor, np.float64)).max() < 1 << 20 for tensor in before.tensors.values())
    assume(small)
    run_passes(module, "legalize-words")
    verify_module(module)
    after = Interpreter(module)
    after.run({"0": source.astype(np.float32)})
    assert after.tensors.keys() == before.tensors.keys()
    for name, expected in before.tensors.items():
        assert after.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(after.tensors[name], expected.astype(np.float32), err_msg=name)
    for value in (value for op in module.walk() for value in op.results):
        assert element_type_of_value(value) == f32


def test_constants_that_words_would_round_are_refused() -> None:
    def text(words: np.ndarray) -> str:
        kind = f"tensor<{len(words)}x{ConstantOp.of(words).result.type.element_type}>"  # pyright: ignore
        constant = f'%k = weights.constant <"{ConstantOp.of(words).value.data.digest}"> : {kind} loc("big")'
        link = f'%y = gconv.link %k : {kind} <C opc {len(words)}> "pass" none -> {kind} loc("copy")'
        return function(f"{constant}\n{link}", kind)

    for exact in ([1 << 24, -(1 << 24)], [3 << 30], [0]):
        words = np.array(exact, np.int64)
        run_passes(parse_module(text(words), [words]), "legalize-words")
    for inexact, largest in (([5, (1 << 24) + 1], (1 << 24) + 1), ([-(1 << 63), 1 - (1 << 63)], 1 << 63)):
        words = np.array(inexact, np.int64)
        (problem,) = problems(text(words), [words])
        assert problem.node == "big"
        assert problem.message == "a constant of type int64 does not fit the machine's f32 words exactly"
        assert (problem.expected, problem.found) == (f"integers up to {1 << 24}", f"up to {largest}")


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


@pytest.mark.parametrize(
    ("kind", "link", "message", "found"),
    [
        ("i32", '"pass" none post <exp>', "integer arithmetic that f32 words do not give exactly", "exp"),
        ("i64", '"pass" none pre <sqrt> post <tanh>', "integer arithmetic that f32 words do not give exactly",
         "sqrt, tanh"),
        ("i8", '"pass" none post <square>', "int8 arithmetic that wraps around where f32 words do not", "square"),
        ("ui8", '"pass" none post <neg>', "uint8 arithmetic that wraps around where f32 words do not", "neg"),
        ("ui64", '"pass" none mid <neg>', "uint64 arithmetic that wraps around where f32 words do not", "neg"),
    ],
)  # fmt: skip
def test_arithmetic_that_words_do_not_have_is_refused(kind: str, link: str, message: str, found: str) -> None:
    body = f'%y = gconv.link %x : tensor<4x{kind}> <C opc 4> {link} -> tensor<4x{kind}> loc("f")'
    (problem,) = problems(function(body, f"tensor<4x{kind}>"))
    assert (problem.node, problem.message, problem.found) == ("f", message, found)
    assert found not in problem.expected.split(", ")


def test_a_sum_of_small_integers_may_wrap() -> None:
    body = '%y = gconv.link %x : tensor<4xi8> <C ks 4> "pass" add -> tensor<1xi8> loc("sum")'
    (problem,) = problems(function(body, "tensor<4xi8>", "tensor<1xi8>"))
    assert problem.found == "add"
    # A single word is no sum, and the largest of many words is one of them.
    for link, result in (('<C opc 4> "pass" add', 4), ('<C ks 4> "pass" max', 1)):
        body = f'%y = gconv.link %x : tensor<4xi8> {link} -> tensor<{result}xi8> loc("f")'
        run_passes(parse_module(function(body, "tensor<4xi8>", f"tensor<{result}xi8>")), "legalize-words")


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
        ("cast", "scalar functions after a link", "at most 1", "2"),  # a step that cuts fractions off joins it
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
    module = parse_module(function(body, "tensor<4xi32>"))
    before = str(module)
    with pytest.raises(CatenaError):
        run_passes(module, "legalize-words")
    assert str(module) == before

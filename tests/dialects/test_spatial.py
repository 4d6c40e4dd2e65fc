"""The placed form as text: every op prints and parses back; what no machine can execute is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import TensorType, f32
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects import spatial
from dialects.gconv import Dim, GConv, Reduce, Step, View
from dialects.schedule import Loop, LoopAttr
from dialects.spatial import AccessAttr, BufferOp, ForOp, LayerOp, PassOp, Role, integer
from dialects.unicode_parser import UnicodeParser
from dialects.weights import WeightRef
from tests.examples import examples
from tests.filechecking import new_ir_context, parse_module, print_module

WORDS = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
DIGEST = WeightRef.of(WORDS).data.digest
BUFFERS = f"""
  %x = spatial.buffer "input" at 40 {{tensor = "image", dtype = "uint8"}} : tensor<1x2x4x4xf32>
  %k = spatial.buffer "constant" at 0 holds <"{DIGEST}"> : tensor<1x2x2x3xf32>
  %b = spatial.buffer "intermediate" at 12 : tensor<3xf32>
  %y = spatial.buffer "output" at 72 {{tensor = "out"}} : tensor<2x3x2xf32>
"""
HEAD = "spatial.layer %x : tensor<1x2x4x4xf32> by %k : tensor<1x2x2x3xf32> with %b : tensor<3xf32>"
TO = "to %y : tensor<2x3x2xf32>"
NEST = "<C ks 2, H opc 3 ks 2, W opc 2 ks 3>"
STEPS = '"mul" add pad <-inf> pre <abs> mid <neg> post <add[0], relu>'
ACCESSES = (
    "accesses [#spatial.access<[2, 4, 4] by [16, 4, 1]>, #spatial.access<[2, 2, 3] by [6, 3, 1]>, "
    "#spatial.access<[1, 3, 1] by [0, -1, 0] from 2>, #spatial.access<[1, 3, 2] by [0, 2, 1] from 6>]"
)
BODY = """{
    spatial.spread <W.opc> tile 1 on "col"
    spatial.place "I" in "glb" at 0 words 32
    spatial.place "K" in "spad" at 0 words 12
    spatial.place "O" in "glb" at 32 words 6
    spatial.for <H.opc> tile 2 {
      spatial.open
      spatial.load "I"
      spatial.load "K"
      spatial.pass
      spatial.store
    }
  }"""
MAPPING = 'attributes {tensor = "out", mapping = #schedule.mapping<for H.opc 2, store glb [O, I], store spad [K]>}'
MODULE = f"{BUFFERS}  {HEAD} {TO} {NEST} {STEPS} {ACCESSES} {MAPPING} {BODY}"


@pytest.mark.parametrize(
    ("shape", "strides", "fills"),
    [
        ((2, 3, 4), (12, 4, 1), True),
        ((2, 3, 4), (1, 8, 2), True),
        ((2, 1, 4), (4, 7, 1), True),
        ((2, 4, 0), (0, 0, 1), True),
        ((2, 3, 4), (12, 5, 1), False),
        ((2, 3, 4), (0, 4, 1), False),
        ((2, 3), (3,), False),
    ],
)
def test_strides_of_a_buffer_fill_it(shape: tuple[int, ...], strides: tuple[int, ...], fills: bool) -> None:
    buffer = BufferOp.of(Role.INTERMEDIATE, 0, TensorType(f32, shape), strides=strides)
    if fills:
        buffer.verify()
    else:
        with pytest.raises(VerifyException, match="strides"):
            buffer.verify()


def test_a_layer_prints_and_parses_back() -> None:
    module = parse_module(MODULE, [WORDS])
    module.verify()
    text = print_module(module)
    again = parse_module(text, [WORDS])
    again.verify()
    assert print_module(again) == text
    for line in (*BUFFERS.strip().splitlines(), *BODY[1:-1].strip().splitlines()):
        assert line.strip() in text


def test_a_layer_as_plain_data() -> None:
    (layer,) = (op for op in parse_module(MODULE, [WORDS]).walk() if isinstance(op, LayerOp))
    assert layer.spec == GConv(
        (Dim("C", ks=2), Dim("H", opc=3, ks=2), Dim("W", opc=2, ks=3)),
        "mul", Reduce.ADD, (Step("abs"),), (Step("neg"),), (Step("add", (), 0), Step("relu")), float("-inf"),
    )  # fmt: skip
    assert layer.views[2:] == [View((1, 3, 1), (0, -1, 0), 2), View((1, 3, 2), (0, 2, 1), 6)]


def test_buffers_know_their_words() -> None:
    buffers = [op for op in parse_module(MODULE, [WORDS]).walk() if isinstance(op, BufferOp)]
    assert [(integer(op.address), op.words) for op in buffers] == [(40, 32), (0, 12), (12, 3), (72, 12)]
    made = BufferOp.of(Role.OUTPUT, 5, TensorType(f32, [2, 3]), tensor="t", dtype="bool")
    made.verify()
    assert str(made).endswith('spatial.buffer "output" at 5 {tensor = "t", dtype = "bool"} : tensor<2x3xf32>')


def test_loops_are_built_around_their_body() -> None:
    loop = ForOp.of(LoopAttr(Loop("C", parse_kind("op"))), 3, [PassOp()])
    assert str(loop) == "spatial.for <C.op> tile 3 {\n  spatial.pass\n}"


def parse_kind(text: str) -> object:
    attribute = UnicodeParser(new_ir_context(), f"#schedule.loop<C.{text}>").parse_attribute()
    assert isinstance(attribute, LoopAttr)
    return attribute.data.kind


STRIDES = st.integers(-(1 << 40), 1 << 40)


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 40), STRIDES), max_size=6), st.integers(0, 1 << 40))
def test_accesses_print_and_parse_back(axes: list[tuple[int, int]], offset: int) -> None:
    attribute = AccessAttr(View(tuple(n for n, _ in axes), tuple(s for _, s in axes), offset))
    assert UnicodeParser(new_ir_context(), str(attribute)).parse_attribute() == attribute


@pytest.mark.parametrize("text", ["<[2] by [1, 1]>", "<[-2] by [1]>", "<[2] from 3>", "<[2] by [1] from -3>", "<>"])
def test_what_is_no_access_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        UnicodeParser(new_ir_context(), f"#spatial.access{text}").parse_attribute()


def changed(old: str, new: str) -> str:
    assert MODULE.count(old) == 1, old
    return MODULE.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"input" at', '"scratch" at', "unknown role 'scratch': expected one of input, output"),
        ('"input" at', '"constant" at', "a buffer holds a value if and only if it is a constant"),
        ('"constant" at', '"input" at', "a buffer holds a value if and only if it is a constant"),
        ("at 72", "at -1", "an address is not negative"),
        (", #spatial.access<[1, 3, 2] by [0, 2, 1] from 6>]", "]", "3 accesses for 4 tensors"),
        ("<[1, 3, 1] by [0, -1, 0] from 2>", "<[1, 3] by [0, -1] from 2>", "an access of rank 2 in a nest of 3"),
        ("by [0, 2, 1] from 6", "by [0, 2, 1] from 7", "an access reaches words 7 to 12 of a buffer with 12"),
        ("by [0, -1, 0] from 2", "by [0, -1, 0] from 1", "an access reaches words -1 to 1 of a buffer with 3"),
        ("<[2, 2, 3] by [6, 3, 1]>", "<[2, 2, 2] by [6, 3, 1]>", r"the kernel has shape \[2, 2, 3\], its access"),
        ("<[1, 3, 2] by [0, 2, 1]", "<[1, 2, 2] by [0, 2, 1]", r"the output has shape \[1, 3, 2\], its access"),
        ("<[1, 3, 1] by [0, -1, 0] from 2>", "<[1, 2, 1] by [0, -1, 0] from 2>", "extra operand 0 must broadcast"),
        ('"mul" add', '"pass" add', "main operator 'pass' and a kernel"),
        ('"mul" add', '"relu" add', "'relu' is no main operator"),
        ('"mul" add', '"mul" none', "reduce none needs every ks to be 1"),
        ("post <add[0], relu>", "post <relu>", r"post steps use operands \[\], the layer has 1"),
        ("post <add[0], relu>", "post <add[0], add[1]>", r"post steps use operands \[0, 1\], the layer has 1"),
        ("mid <neg>", "mid <add[0]>", "only post steps may have an operand"),
        ('on "col"', 'on "diagonal"', "unknown axis 'diagonal': expected one of row, col"),
        ("tile 1 on", "tile 0 on", "tile must be at least 1, is 0"),
        ("tile 2 {", "tile 0 {", "tile must be at least 1, is 0"),
        ('"K" in "spad"', '"X" in "spad"', "unknown tensor 'X': expected one of I, K, O"),
        ('"K" in "spad"', '"K" in "dram"', "unknown memory 'dram': expected one of glb, spad"),
        ("at 32 words 6", "at -1 words 6", "address must be at least 0, is -1"),
        ("at 32 words 6", "at 32 words 0", "words must be at least 1, is 0"),
        ('load "K"', 'load "O"', "unknown tensor 'O': expected one of I, K"),
    ],
)
def test_what_no_machine_can_execute_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse_module(changed(old, new), [WORDS]).verify()


def test_an_input_divides_into_its_groups() -> None:
    text = changed(NEST, "<C g 2, H opc 3 ks 2, W opc 2 ks 3>")
    text = text.replace("<[2, 4, 4] by [16, 4, 1]>", "<[1, 4, 4] by [16, 4, 1]>")
    with pytest.raises(VerifyException, match=r"an input of shape \[1, 4, 4\] does not divide into its groups"):
        parse_module(text, [WORDS]).verify()


def test_the_example_of_the_documentation_is_valid() -> None:
    assert spatial.__doc__ is not None
    example = spatial.__doc__.partition("\n\n")[2].partition("Loops split")[0]
    module = parse_module(example.replace("A layer that leaves the accelerator has one op in its body instead:", ""))
    module.verify()
    assert {op.name for op in module.walk()} == {"builtin.module", *(op.name for op in spatial.SPATIAL.operations)}


def test_a_layer_without_kernel_needs_a_main_operator_of_none() -> None:
    text = MODULE.replace(" by %k : tensor<1x2x2x3xf32>", "").replace("#spatial.access<[2, 2, 3] by [6, 3, 1]>, ", "")
    with pytest.raises(VerifyException, match="main operator 'mul' and no kernel"):
        parse_module(text, [WORDS]).verify()
    parse_module(text.replace('"mul" add', '"pass" add'), [WORDS]).verify()

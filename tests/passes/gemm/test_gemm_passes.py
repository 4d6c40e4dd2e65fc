"""Mapping and placing on a machine with im2col units: IR in, IR out, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.target import MachineOp
from dialects.weights import ConstantOp, WeightRef
from passes.map_gemm import MapGemmPass
from passes.place_gemm import PlaceGemmPass
from passes.verification import verify_module
from tests.backends.spots.layers import machine
from tests.filechecking import match_checks, new_ir_context, parse_module, print_module

CHAIN = """
func.func @main(%x : tensor<4x10x8xf32> {onnx.name = "x"}, %w : tensor<20x3x3xf32> {onnx.name = "w"})
    -> (tensor<5x8x6xf32> {onnx.name = "y"}) {
  %y = gconv.link %x : tensor<4x10x8xf32> by %w : tensor<20x3x3xf32>
    <K op 5 ks 4, H opc 8 ks 3, W opc 6 ks 3> "mul" add MAPPED -> tensor<5x8x6xf32> loc("product")
  func.return %y : tensor<5x8x6xf32>
}
"""


def module_of(mapping: str = "", **changes: Any) -> ModuleOp:
    text = CHAIN.replace("MAPPED", f"{{mapping = #schedule.{mapping}}}" if mapping else "")
    module = Parser(new_ir_context(), text).parse_module()
    array = {"rows": 4, "cols": 2, "splits": [1, 2, 4]}
    target = machine(name="m", **{"array": array, **changes})
    module.body.block.insert_op_before(MachineOp.of(target), next(iter(module.ops)))
    return module


def problems(module: ModuleOp, step: Any = None) -> list[Diagnostic]:
    with pytest.raises(CatenaError) as caught:
        (step or MapGemmPass()).apply(Context(), module)
    return list(caught.value.diagnostics)


def test_a_link_gets_a_mapping_and_a_layer_of_transfers_and_passes() -> None:
    module = module_of(sram={"output_words": 120, "input_words": 400})
    MapGemmPass().apply(Context(), module)
    match_checks(
        print_module(module),
        "// CHECK: #schedule.gemm<split 4, ring 2 resumes, for K.op 2, for H.opc 4, store sram [O], for K.ks 2,",
    )
    PlaceGemmPass().apply(Context(), module)
    verify_module(module)
    text = print_module(module)
    assert print_module(parse_module(text)) == text
    match_checks(
        text,
        """
        // CHECK: spatial.layer
        // CHECK: gemm.configure split 4 ring 2 resumes
        // CHECK: gemm.place "I" at 0 words 96
        // CHECK: gemm.place "K" at 0 words 36
        // CHECK: gemm.place "O" at 0 words 48
        // CHECK: spatial.for <K.op> tile 2
        // CHECK: spatial.for <H.opc> tile 4
        // CHECK: spatial.open
        // CHECK: spatial.for <K.ks> tile 2
        // CHECK: spatial.load "I"
        // CHECK: spatial.pass
        // CHECK: spatial.store
        """,
    )


def test_a_mapping_that_is_given_stays() -> None:
    given = "gemm<split 2, stream, store sram [K], for H.opc 2, store sram [O], store sram [I]>"
    module = module_of(given)
    MapGemmPass().apply(Context(), module)
    assert given in print_module(module)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("gemm<split 3, stream, store sram [I, K, O]>", "arrays that it is divided into"),
        ("gemm<split 4, stream, store sram [I, K, O]>", "kernels of a pass, whose results elements keep"),
        ("gemm<split 1, stream, store sram [I, O]>", "tensor K and its storage"),
        ("gemm<split 1, stream, store glb [I, K, O]>", "names a memory that the machine does not have"),
        ("gemm<split 1, stream, store sram [I, K, O], for H.opc 2>", "cuts the tile of O, which is stored above"),
        ("gemm<split 1, stream, for Q.opc 2, store sram [I, K, O]>", "names a loop the link does not have"),
        ("gemm<split 1, stream, for H.opc 4, for H.opc 2, store sram [I, K, O]>", "cuts a loop again"),
        ("gemm<split 1, ring 4000, store sram [I, K, O]>", "words kept for the next row of patches"),
        ("mapping<store sram [I, K, O]>", "this notation is of another kind of machine"),
    ],
)
def test_a_mapping_that_the_machine_cannot_run_is_refused(mapping: str, message: str) -> None:
    found = problems(module_of(mapping))
    assert any(message in each.message for each in found), [each.message for each in found]
    assert all(each.node == "product" for each in found)


def test_the_smallest_memories_hold_something() -> None:
    module = module_of(sram=dict.fromkeys(("input_words", "kernel_words", "output_words"), 2))
    MapGemmPass().apply(Context(), module)
    match_checks(print_module(module), "// CHECK: for K.op 1,")


def test_links_without_a_mapping_are_not_placed() -> None:
    assert [each.hint for each in problems(module_of(), PlaceGemmPass())] == ["run map-gemm"]


@pytest.mark.parametrize(
    "text",
    [
        "gemm<split 0, stream, store sram [I]>",
        "gemm<split 1, ring 1, par K.op 1 on row>",
        "gemm<split 1, stream resumes>",
        "gemm<split 1, ring 1 rewinds>",
        "gemm<split 1>",
        "gemm<stream, split 1>",
    ],
)
def test_notation_that_says_nothing_sound_does_not_parse(text: str) -> None:
    with pytest.raises((ParseError, VerifyException)):
        module_of(text)


def test_rows_that_do_not_divide_are_no_machine() -> None:
    with pytest.raises(CatenaError) as caught:
        machine(array={"rows": 6, "splits": [1, 4]})
    assert "6 rows do not divide into 4 arrays" in str(caught.value)


BLOCKS = """
func.func @main(%x : tensor<4x10x8xf32> {onnx.name = "x"}) -> (tensor<5x8x6xf32> {onnx.name = "y"}) {
  %w = weights.constant <"DIGEST"> : tensor<20x3x3xf32, #encodings.spots<height 2, inner 4>> loc("w")
  %y = gconv.link %x : tensor<4x10x8xf32> by %w : tensor<20x3x3xf32, #encodings.spots<height 2, inner 4>>
    <K op 5 ks 4, H opc 8 ks 3, W opc 6 ks 3> "mul" add MAPPED -> tensor<5x8x6xf32> loc("product")
  func.return %y : tensor<5x8x6xf32>
}
"""


def in_blocks(mapping: str = "", **changes: Any) -> ModuleOp:
    """The chain with a constant kernel in blocks: only three of 36 columns have words, two in the first tile."""
    words = np.zeros((5, 4, 9), np.float32)
    words[0, 1, 2] = words[1, 3, 0] = words[4, 3, 8] = 1
    constant = WeightRef.of(words.reshape(20, 3, 3))
    text = BLOCKS.replace("MAPPED", f"{{mapping = #schedule.{mapping}}}" if mapping else "")
    module = Parser(new_ir_context(), text.replace("DIGEST", constant.data.digest)).parse_module()
    for op in module.walk():
        if isinstance(op, ConstantOp):
            op.properties["value"] = constant
    array = {"rows": 4, "cols": 2, "splits": [1, 2, 4]}
    module.body.block.insert_op_before(MachineOp.of(machine(name="m", array=array, **changes)), next(iter(module.ops)))
    return module


def test_a_kernel_in_blocks_becomes_streams_of_its_tiles() -> None:
    module = in_blocks("gemm<split 2, stream, for K.op 4, store sram [K, O, I]>")
    MapGemmPass().apply(Context(), module)
    PlaceGemmPass().apply(Context(), module)
    verify_module(module)
    text = print_module(module)
    assert print_module(parse_module(text)) == text
    # Two tiles: two columns of two kernels each, then one of one; 5 bytes of M1, a byte of M2, two places.
    match_checks(
        text,
        """
        // CHECK: %{{.*}} = spatial.buffer "constant" at 0 holds {{.*}} : tensor<5xf32>
        // CHECK: %[[BITMAPS:.*]] = spatial.buffer "constant" at 5 holds {{.*}} : tensor<14xui16>
        // CHECK: gemm.place "K" at 0 words 4
        // CHECK: gemm.blocks of 2 from %[[BITMAPS]] : tensor<14xui16> words 3
        // CHECK: spatial.for <K.op> tile 4
        // CHECK: spatial.load "K"
        """,
    )


def test_bitmaps_need_room_even_if_nothing_is_zero() -> None:
    found = problems(in_blocks("gemm<split 2, stream, store sram [K, O, I]>", sram={"bitmap_words": 12}))
    assert [(each.message, each.expected, each.found) for each in found] == [
        ("words of bitmaps of a tile of K, in half of their memory", "at most 6", "10")
    ]
    module = in_blocks(sram={"bitmap_words": 12})
    MapGemmPass().apply(Context(), module)
    PlaceGemmPass().apply(Context(), module)
    verify_module(module)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encodings": {"weights": ["rlc"]}}, "kernels come in blocks, as in spots<height 8>, not as rlc"),
        ({"encodings": {"activations": ["bitmap"]}}, "tensors between links come dense"),
        ({"word_bits": 12}, "needs sram.bitmap_words, and word_bits of 8 or 16 or 32 or 64"),
    ],
)
def test_encodings_that_the_machine_cannot_decode_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CatenaError) as caught:
        machine(**changes)
    assert message in str(caught.value)


def test_sums_in_narrow_accumulators_are_part_of_the_mapping() -> None:
    given = "gemm<split 2, stream, sums 24 shift 9, store sram [K, O, I]>"
    module = module_of(given)
    MapGemmPass().apply(Context(), module)
    assert given in print_module(module)
    PlaceGemmPass().apply(Context(), module)
    match_checks(print_module(module), "// CHECK: gemm.accumulate 24 shift 9")
    found = problems(module_of(given.replace("24", "20")))
    assert [(each.message, each.expected, each.found) for each in found] == [("bits of sums", "24", "20")]
    with pytest.raises((ParseError, VerifyException)):
        module_of(given.replace("24", "1"))

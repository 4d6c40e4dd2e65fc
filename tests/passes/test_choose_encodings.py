"""choose-encodings: kernels and tensors between links in the shortest format of the machine, all else dense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import CatenaError
from dialects.encodings.attributes import encoding_of
from dialects.encodings.names import format_named
from dialects.gconv.interpreter import Interpreter
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from passes.verification import verify_module
from tests.examples import examples
from tests.filechecking import check_ir, parse_module, run_passes
from tests.passes.mapping.machines import machine_like_eyeriss

ALL = {"weights": ["spots<height 2>", "csr<coordinate_bits 8>", "bitmap"], "activations": ["rlc", "bitmap"]}
NO_WORDS = np.zeros(0, np.float32)


def convolutions(machine: str, weights: tuple[np.ndarray, np.ndarray], zeros: str = "") -> str:
    """A convolution of 8 filters on [4, 6, 6], then a matrix product by a matrix [288, 10]."""
    digests = [ConstantOp.of(words).value.data.digest for words in weights]
    return f"""{machine}
    func.func @main(%x: tensor<4x6x6xf32> {{onnx.name = "x"}}) -> (tensor<1x10xf32> {{onnx.name = "y"}}) {{
      %w = weights.constant <"{digests[0]}"> : tensor<8x4x3x3xf32> loc("w")
      %k = gconv.view %w <[9, 3, 1]> : tensor<8x4x3x3xf32> -> tensor<32x3x3xf32> loc("conv")
      %a = gconv.link %x : tensor<4x6x6xf32> by %k : tensor<32x3x3xf32>
        <C op 8 ks 4, H opc 6 ks 3 pad 1, W opc 6 ks 3 pad 1> "mul" add post <relu> {zeros}
        -> tensor<8x6x6xf32> loc("conv")
      %f = gconv.view %a <[1, 0]> : tensor<8x6x6xf32> -> tensor<288x1xf32> loc("product")
      %m = weights.constant <"{digests[1]}"> : tensor<288x10xf32> loc("m")
      %y = gconv.link %f : tensor<288x1xf32> by %m : tensor<288x10xf32> <K ks 288, N op 10> "mul" add
        -> tensor<1x10xf32> loc("product")
      func.return %y : tensor<1x10xf32>
    }}"""


def machine(**encodings: Any) -> str:
    return str(MachineOp.of(machine_like_eyeriss(encodings=encodings)))


def weights(keep: Any = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    pair = [random.integers(1, 9, shape).astype(np.float32) for shape in ((8, 4, 3, 3), (288, 10))]
    return tuple(np.where(random.random(each.shape) < keep, each, 0).astype(np.float32) for each in pair)  # type: ignore[return-value]


def test_filters_are_the_rows_of_blocks() -> None:
    """Pairs of filters are pruned together: dimension 0 of a convolution's kernel, 1 of a product's matrix."""
    conv, matrix = weights()
    conv[:, :, 1:] = 0
    conv[2:4] = 0
    matrix[::3] = 0
    matrix[:, 4:6] = 0
    check_ir(
        convolutions(machine(**ALL), (conv, matrix), "{zeros = #gconv.zeros<input 0.0, output 0.7>}"),
        "choose-encodings",
        """
        CHECK:      %w = weights.constant {{.*}} : tensor<8x4x3x3xf32, #encodings.spots<height 2>>
        CHECK-NEXT: %k = gconv.view %w <[9, 3, 1]> : {{.*}}, #encodings.spots<height 2>> -> tensor<32x3x3xf32>
        CHECK-NEXT: %a = gconv.link %x : {{.*}} -> tensor<8x6x6xf32, #encodings.bitmap>
        CHECK-NEXT: %f = gconv.view %a <[1, 0]> : tensor<8x6x6xf32, #encodings.bitmap> -> tensor<288x1xf32>
        CHECK-NEXT: %m = weights.constant {{.*}} : tensor<288x10xf32, #encodings.spots<height 2, rows 1>>
        CHECK-NEXT: %y = gconv.link %f : tensor<288x1xf32> by %m : {{.*}} -> tensor<1x10xf32> loc
        """,
        [conv, matrix],
        locations=True,
    )


@pytest.mark.parametrize("share", [0.0, 0.02])
def test_what_is_not_shorter_stays_dense(share: float) -> None:
    words = weights(1 - share)
    text = convolutions(machine(**ALL), words, f"{{zeros = #gconv.zeros<input 0.0, output {share}>}}")
    module = parse_module(text, words)
    before = str(module)
    run_passes(module, "choose-encodings")
    assert str(module) == before


@pytest.mark.parametrize("encodings", [{}, {"weights": ["csr<coordinate_bits 8>"]}, {"activations": ["rlc"]}])
def test_only_formats_that_the_machine_declares(encodings: dict[str, list[str]]) -> None:
    words = weights(0.1)
    text = convolutions(machine(**encodings), words, "{zeros = #gconv.zeros<input 0.0, output 0.9>}")
    module = parse_module(text, words)
    run_passes(module, "choose-encodings")
    found = {each.name for op in module.walk() for result in op.results if (each := encoding_of(result.type))}
    assert found == {format_named(text).name for texts in encodings.values() for text in texts}


def test_constants_that_are_read_otherwise_stay_dense() -> None:
    conv, matrix = weights(0.1)
    text = convolutions(machine(**ALL), (conv, matrix)).replace("with", "by")
    biased = text.replace(
        'by %m : tensor<288x10xf32> <K ks 288, N op 10> "mul" add',
        'by %m : tensor<288x10xf32> with %b : tensor<1x10xf32> <K ks 288, N op 10> "mul" add post <add[0]>',
    ).replace(
        "%y = gconv.link",
        '%b = gconv.view %m <[0, 1]> : tensor<288x10xf32> -> tensor<1x10xf32> loc("product")\n%y = gconv.link',
    )
    check_ir(
        biased,
        "choose-encodings",
        "CHECK: %w = weights.constant {{.*}}, #encodings\nCHECK: %m = weights.constant {{.*}} : tensor<288x10xf32>",
        [conv, matrix],
    )


@settings(max_examples=examples(25), derandomize=True, deadline=None)
@given(
    keep=st.sampled_from((0.05, 0.3, 0.8)),
    zeros=st.sampled_from((0.0, 0.3, 0.95)),
    formats=st.lists(
        st.sampled_from(("spots<height 3>", "csr", "csc<position_bits 16>", "bitmap", "rlc")), unique=True
    ),
)
def test_the_meaning_and_the_size_of_streams(keep: float, zeros: float, formats: list[str]) -> None:
    """Encoded constants decode to their words, in fewer bits; the chain computes what it did."""
    words = weights(keep)
    text = convolutions(machine(weights=formats, activations=formats), words)
    module = parse_module(
        text.replace("post <relu>", f"post <relu> {{zeros = #gconv.zeros<input 0.0, output {zeros}>}}"), words
    )
    expected = run(module)
    run_passes(module, "choose-encodings")
    verify_module(module)
    np.testing.assert_array_equal(run(module), expected)
    for op in module.walk():
        if isinstance(op, ConstantOp) and (encoding := encoding_of(op.result.type)) is not None:
            assert encoding.name in {format_named(text).name for text in formats}
            stream = encoding.encode(op.array)
            np.testing.assert_array_equal(encoding.decode(stream, op.array.shape, op.array.dtype), op.array)
            assert encoding.size(op.array, 16).bits < op.array.size * 16


def run(module: ModuleOp) -> np.ndarray:
    inputs = np.random.default_rng(1).integers(-4, 5, (4, 6, 6)).astype(np.float32)
    (result,) = Interpreter(module).run({"x": inputs}).values()
    return result


def test_weights_that_are_not_at_hand_are_an_error() -> None:
    module = parse_module(convolutions(machine(**ALL), weights()))
    with pytest.raises(CatenaError, match="not at hand"):
        run_passes(module, "choose-encodings")


def test_ir_without_a_machine_is_refused() -> None:
    module = parse_module(convolutions("", weights()), weights())
    with pytest.raises(CatenaError) as raised:
        run_passes(module, "choose-encodings")
    assert raised.value.diagnostics[0].code == "CAT-R003"


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("#encodings.spots<height 2, rows 4>", "no dimension 4"),
        ("#encodings.levels<d0 : bitmap>", "of 1 dimensions"),
        ("1 : i64", "no encoding"),
    ],
)
def test_encodings_that_do_not_fit_are_found_by_the_verifier(encoding: str, message: str) -> None:
    kind = f"tensor<4x2xf32, {encoding}>"
    text = f"func.func @main(%x: {kind}) -> {kind} {{ func.return %x : {kind} }}"
    with pytest.raises(CatenaError, match=message) as raised:
        verify_module(parse_module(text))
    assert {problem.code for problem in raised.value.diagnostics} == {"CAT-R002"}

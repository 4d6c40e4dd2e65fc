"""drop-encodings: kernels whose streams are not shorter under their mapping lie dense; all compute the same."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.context import Context

from backends.spots.emit import emit
from backends.spots.emulator import SpotsEmulator
from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.gconv.interpreter import Interpreter
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from passes.drop_encodings import DropEncodingsPass
from passes.map_gemm import MapGemmPass
from passes.place_gemm import PlaceGemmPass
from tests.backends.spots.layers import machine
from tests.filechecking import check_ir, parse_module
from tests.passes.mapping.machines import machine_like_eyeriss

TARGET = machine(im2col={"skips": True})
TILES = "split 1, stream, store sram [O], {cut}store sram [I], store sram [K]"
WHOLE, SINGLE = TILES.format(cut=""), TILES.format(cut="for C.ks 1, ")


def kernel(zeros: float) -> np.ndarray:
    """8 filters of 64 channels, of which a share is zero in all of them."""
    words = np.ones((512, 1), np.float32).reshape(8, 64)
    words[:, : round(64 * zeros)] = 0
    return words.reshape(512, 1)


def chain(words: np.ndarray, mapping: str, target: Accelerator = TARGET) -> str:
    digest = ConstantOp.of(words).value.data.digest
    blocks = "tensor<512x1xf32, #encodings.spots<height 8, rows 0, inner 64>>"
    return f"""{MachineOp.of(target)!s}
    func.func @main(%x: tensor<64x20xf32> {{onnx.name = "x"}}) -> (tensor<8x20xf32> {{onnx.name = "y"}}) {{
      %w = weights.constant <"{digest}"> : {blocks} loc("w")
      %y = gconv.link %x : tensor<64x20xf32> by %w : {blocks} <C op 8 ks 64, W opc 20> "mul" add
        {{mapping = #schedule.gemm<{mapping}>}} -> tensor<8x20xf32> loc("y")
      func.return %y : tensor<8x20xf32>
    }}"""


@pytest.mark.parametrize(
    ("zeros", "mapping", "type"),
    [
        (0.5, WHOLE, "tensor<512x1xf32, #encodings.spots<"),
        (0.1, WHOLE, "tensor<512x1xf32, #encodings.spots<"),
        (0.1, SINGLE, "tensor<512x1xf32>{{$}}"),
        (0.0, WHOLE, "tensor<512x1xf32>{{$}}"),
    ],
)
def test_a_kernel_lies_dense_if_its_stream_is_not_shorter(zeros: float, mapping: str, type: str) -> None:
    words = kernel(zeros)
    check_ir(chain(words, mapping), [DropEncodingsPass()], f"CHECK: weights.constant {{{{.*}}}} : {type}", [words])


def test_another_machine_is_refused() -> None:
    with pytest.raises(CatenaError) as caught:
        DropEncodingsPass().apply(Context(), parse_module(chain(kernel(0.5), WHOLE, machine_like_eyeriss())))
    assert [each.code for each in caught.value.diagnostics] == ["CAT-R003"]


@pytest.mark.parametrize(
    "mapping", [WHOLE, SINGLE, "split 2, stream, for C.op 3, store sram [O], for C.ks 5, store sram [I, K]"]
)
@pytest.mark.parametrize("zeros", [0.0, 0.1, 0.3, 0.9])
def test_kernels_never_take_more_words_than_dense_and_compute_the_same(zeros: float, mapping: str) -> None:
    words, inputs = kernel(zeros), {"x": np.arange(1280, dtype=np.float32).reshape(64, 20)}
    module = parse_module(chain(words, mapping))
    for op in module.walk():
        if isinstance(op, ConstantOp):
            op.properties["value"] = ConstantOp.of(words).value
    expected = Interpreter(module.clone()).run(inputs)["y"]
    for step in (MapGemmPass(), DropEncodingsPass(), PlaceGemmPass()):
        step.apply(Context(), module)
        module.verify()
    emulator = SpotsEmulator(emit(module, "spots"))
    np.testing.assert_array_equal(emulator.run(inputs)["y"], expected)
    counts = emulator.counters["y"]
    assert counts.charged(("dram.kernel.read", "dram.kernel.bitmap")) <= words.size
    assert isinstance(counts, Counts)

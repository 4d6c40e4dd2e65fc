"""measure-zeros: shares of zeros on every link, measured on samples or stated; what cannot be measured is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import Interpreter, main_function
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from passes.measure_zeros import MeasureZerosPass, measured_zeros
from tests.examples import examples
from tests.filechecking import check_ir, parse_module, run_passes
from tests.passes.mapping.machines import machine_like_eyeriss

PLAIN = machine_like_eyeriss()
PADDED = machine_like_eyeriss(
    counting={"dram": ["dram.input.read", "dram.input.padding", "dram.kernel.read", "dram.output.write"]}
)
KERNEL = np.ones((1, 2, 3, 3), np.float32)


def chain(machine: Any = PLAIN, known: str = "") -> str:
    """ReLU of an input [2, 4, 4], a convolution with padding of what it makes, and ReLU of that."""
    digest = ConstantOp.of(KERNEL).value.data.digest
    return f"""{MachineOp.of(machine)!s}
    func.func @main(%x: tensor<2x4x4xf32> {{onnx.name = "x"}}) -> (tensor<1x4x4xf32> {{onnx.name = "y"}}) {{
      %a = gconv.link %x : tensor<2x4x4xf32> <C opc 2, H opc 4, W opc 4> "pass" none post <relu> {known}
        -> tensor<2x4x4xf32> loc("a")
      %w = weights.constant <"{digest}"> : tensor<1x2x3x3xf32> loc("w")
      %k = gconv.view %w <[9, 3, 1]> : tensor<1x2x3x3xf32> -> tensor<2x3x3xf32> loc("y")
      %y = gconv.link %a : tensor<2x4x4xf32> by %k : tensor<2x3x3xf32>
        <C ks 2, H opc 4 ks 3 pad 1, W opc 4 ks 3 pad 1> "mul" add post <relu> -> tensor<1x4x4xf32> loc("y")
      func.return %y : tensor<1x4x4xf32>
    }}"""


def samples() -> np.ndarray:
    """Two inputs: three quarters of the first are negative; a quarter of the second is zero, and none is negative."""
    first, second = np.full((2, 4, 4), -1, np.float32), np.ones((2, 4, 4), np.float32)
    first[:, 0] = 8
    second[:, 1] = 0
    return np.stack([first, second])


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "samples.npz", **arrays)
    return folder / "samples.npz"


def test_zeros_are_measured_over_all_samples(tmp_path: Path) -> None:
    path = saved(tmp_path, x=samples())
    check_ir(
        chain(),
        [MeasureZerosPass(str(path))],
        """
        CHECK: %a = gconv.link {{.*}} {zeros = #gconv.zeros<input 0.125, output 0.5>}
        CHECK: %y = gconv.link {{.*}} {zeros = #gconv.zeros<input 0.5, output 0.25>}
        """,
        [KERNEL],
    )


def test_padding_that_is_fetched_is_zero(tmp_path: Path) -> None:
    """Half of 32 words are zero, and all of the 40 around them."""
    path = saved(tmp_path, x=samples())
    check_ir(
        chain(PADDED),
        [MeasureZerosPass(str(path))],
        "CHECK: %y = gconv.link {{.*}} {zeros = #gconv.zeros<input 0.7778, output 0.25>}",
        [KERNEL],
    )


def test_a_stated_density_is_that_of_tensors_between_links() -> None:
    check_ir(
        chain(),
        "measure-zeros{density=0.3}",
        """
        CHECK: %a = gconv.link {{.*}} {zeros = #gconv.zeros<input 0.0, output 0.7>}
        CHECK: %y = gconv.link {{.*}} {zeros = #gconv.zeros<input 0.7, output 0.0>}
        """,
        [KERNEL],
    )


def test_what_is_known_gives_way_to_measurements_only(tmp_path: Path) -> None:
    known = "{zeros = #gconv.zeros<input 0.1, output 0.2>}"
    check_ir(
        chain(known=known),
        "measure-zeros{density=0.3}",
        "CHECK: %a = gconv.link {{.*}}<input 0.1, output 0.2>",
        [KERNEL],
    )
    measured = [MeasureZerosPass(str(saved(tmp_path, x=samples())))]
    check_ir(chain(known=known), measured, "CHECK: %a = gconv.link {{.*}}<input 0.125, output 0.5>", [KERNEL])


@settings(
    max_examples=examples(40),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_shares_are_those_of_the_words_and_nothing_else_changes(tmp_path: Path, data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    words = random.integers(-2, 3, (data.draw(st.integers(1, 3)), 2, 4, 4)).astype(np.float32)
    module = parse_module(chain(), [KERNEL])
    expected = [Interpreter(module).run({"x": each})["y"] for each in words]
    run_passes(module, [MeasureZerosPass(str(saved(tmp_path, x=words)))])
    relu, conv = (op for op in module.walk() if isinstance(op, LinkOp))
    assert relu.zeros is not None
    assert conv.zeros is not None
    assert relu.zeros.data.input == pytest.approx(np.mean(words == 0), abs=1e-4)
    assert relu.zeros.data.output == conv.zeros.data.input == pytest.approx(np.mean(words <= 0), abs=1e-4)
    assert conv.zeros.data.output == pytest.approx(np.mean(np.array(expected) == 0), abs=1e-4)
    np.testing.assert_array_equal([Interpreter(module).run({"x": each})["y"] for each in words], expected)
    assert measured_zeros(module, [{"x": each} for each in words]).keys() == {relu, conv}
    assert main_function(module) is not None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "input 'x' does not fit"),
        ({"x": np.ones((4, 4))}, "input 'x' does not fit"),
        ({"x": np.ones((2, 2, 2, 4, 4))}, "input 'x' does not fit"),
        ({"x": np.ones((2, 4, 4)), "z": np.ones(1)}, "no input 'z'"),
        ({"x": np.ones((0, 2, 4, 4))}, "or none"),
    ],
)
def test_samples_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(CatenaError, match=message) as raised:
        run_passes(parse_module(chain(), [KERNEL]), [MeasureZerosPass(str(saved(tmp_path, **arrays)))])
    assert raised.value.diagnostics[0].code == "CAT-C005"


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no arrays")
    np.save(tmp_path / "single.npy", np.ones((2, 4, 4)))
    for name in ("missing.npz", "text", "single.npy"):
        with pytest.raises(CatenaError, match="cannot read") as raised:
            run_passes(parse_module(chain(), [KERNEL]), [MeasureZerosPass(str(tmp_path / name))])
        assert raised.value.diagnostics[0].code == "CAT-C002"


@pytest.mark.parametrize("spec", ["measure-zeros", "measure-zeros{density=1.5}", "measure-zeros{density=-0.1}"])
def test_a_density_is_a_share(spec: str) -> None:
    with pytest.raises(CatenaError) as raised:
        run_passes(parse_module(chain(), [KERNEL]), spec)
    assert raised.value.diagnostics[0].code == "CAT-C001"

"""The effect of crossbars on a network: none if they are ideal, and otherwise as large as it is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from backends.rram.accuracy import Effect, effect
from backends.rram.crossbar import Adc, Deviation, Physics
from backends.rram.crossbar.settings import Settings
from compiler.compilation import CompileOptions, compile_source
from dialects.encodings.cells import WeightFormat
from tests.backends.rram.quantized_network import ZERO, bias, quantized_network, weights
from tests.compiler.conftest import Cli, cli
from tests.compiler.small_models import save_model, small_cnn

__all__ = ["cli"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(quantized_network(), tmp_path_factory.mktemp("models") / "quantized.onnx")


@pytest.fixture(scope="module")
def chain(model: Path) -> ModuleOp:
    return compile_source(str(model), CompileOptions(target="generic", stop="encoded")).module


def samples(count: int = 3) -> Iterator[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    for _ in range(count):
        yield {"x": random.integers(-128, 128, (1, 2, 6, 6)).astype(np.int8)}


def test_ideal_crossbars_have_no_effect(chain: ModuleOp) -> None:
    found = effect(chain, samples(), Settings())
    assert [(each.name, each.groups, each.rows, each.columns, each.vectors) for each in found.layers] == [
        ("conv_out", 1, 18, 6, 16),
        ("depthwise_out", 6, 9, 1, 16),
        ("y", 1, 96, 5, 1),
    ]
    assert all(each.own.decibels == each.carried.decibels == math.inf for each in found.layers)
    assert found.outputs["y"].decibels == math.inf
    assert (found.samples, found.same, found.decisions, found.agreement, found.elsewhere) == (3, 3, 3, 1.0, ())


def test_signals_are_sums_without_zero_points(chain: ModuleOp) -> None:
    """Those of the first layer, in its padless windows, from the definition."""
    found = effect(chain, samples(1), Settings())
    x = next(samples(1))["x"][0].astype(int) - ZERO
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    sums = np.einsum("chwij,ocij->ohw", windows, weights()["conv"].astype(int)) + bias()[:, None, None]
    assert found.layers[0].own.signal == pytest.approx(float((sums.astype(float) ** 2).sum()))


def test_errors_are_carried_on_and_grow_with_fewer_bits(chain: ModuleOp) -> None:
    fine, coarse = (effect(chain, samples(), Settings(adc=Adc(bits=bits))) for bits in (8, 6))
    for layers in zip(fine.layers, coarse.layers, strict=True):
        assert layers[0].own.decibels > layers[1].own.decibels
    for found in (fine, coarse):
        assert found.layers[0].carried.decibels == found.layers[0].own.decibels  # nothing comes before
        assert found.layers[1].carried.decibels < found.layers[1].own.decibels
    assert math.isfinite(fine.outputs["y"].decibels)


def test_equal_settings_have_equal_effects(chain: ModuleOp) -> None:
    def found(seed: int) -> Effect:
        noisy = Physics(g_min=0.1, programming=Deviation(magnitude=0.1), read_noise=Deviation(magnitude=0.05))
        return effect(chain, samples(), Settings(physics=noisy, seed=seed))

    first, again, other = (found(seed).outputs["y"].decibels for seed in (0, 0, 1))
    assert first == again != other


def test_what_cells_cannot_hold_stays_exact(chain: ModuleOp) -> None:
    found = effect(chain, samples(1), Settings(weights=WeightFormat(slices=(2, 2))))
    assert (found.layers, found.elsewhere) == ((), ("conv_out", "depthwise_out", "y"))


def test_the_command_prints_layers_and_outputs(cli: Cli, model: Path, tmp_path: Path) -> None:
    physics = tmp_path / "physics.toml"
    physics.write_text("[adc]\nbits = 7\n")
    shown = cli("accuracy", model, "--physics", physics, "--samples", "random:2")
    assert shown.code == 0, shown.err
    assert "conv_out" in shown.out
    assert "top-1 agreement" in shown.out
    np.savez(tmp_path / "x.npz", x=next(samples(1))["x"])
    found = cli("accuracy", model, "--physics", physics, "--samples", tmp_path / "x.npz", "--json")
    result = json.loads(found.out)["result"]
    assert [layer["name"] for layer in result["layers"]] == ["conv_out", "depthwise_out", "y"]
    assert result["settings"]["adc"]["bits"] == 7


def test_a_target_with_crossbars_says_their_shape(cli: Cli, model: Path, tmp_path: Path) -> None:
    physics = tmp_path / "physics.toml"
    physics.write_text("[adc]\nbits = 6\n")
    own = json.loads(cli("accuracy", model, "--physics", physics, "--json").out)["result"]
    chip = ("-t", "rram", "--set", "crossbar.rows=32", "--set", "crossbar.columns=16")
    found = json.loads(cli("accuracy", model, "--physics", physics, *chip, "--json").out)["result"]
    settings = found["settings"]
    assert (settings["rows"], settings["columns"], settings["weights"]["encoding"]) == (32, 16, "offset")
    assert settings["adc"] == own["settings"]["adc"]
    # 96 rows of 5 columns, 4 weights side by side: 3 x 2 crossbars in place of one for each sign.
    assert [layers[-1]["crossbars"] for layers in (own["layers"], found["layers"])] == [2, 6]
    # Bits of converters are the target's unless the file gives some, 0 among them.
    for text, bits in (("", 3), ("[adc]\nbits = 0\n", 0), ("[adc]\nrange = 'column'\n", 3)):
        physics.write_text(text)
        coarse = json.loads(
            cli("accuracy", model, "--physics", physics, *chip, "--set", "crossbar.adc_bits=3", "--json").out
        )
        assert coarse["result"]["settings"]["adc"]["bits"] == bits
        assert all((layer["own_snr_db"] is None) == (bits == 0) for layer in coarse["result"]["layers"])
    physics.write_text("rows = 64\n")
    refused = cli("accuracy", model, "--physics", physics, *chip)
    assert (refused.code, "CAT-C003" in refused.err, "the target says it" in refused.err) == (2, True, True)


def test_the_command_says_what_is_wrong(cli: Cli, model: Path, tmp_path: Path) -> None:
    floats = save_model(small_cnn(), tmp_path / "floats.onnx")
    physics = tmp_path / "physics.toml"
    physics.write_text("")
    refused = cli("accuracy", floats, "--physics", physics)
    assert (refused.code, "CAT-U006" in refused.err, "catena quantize" in refused.err) == (3, True, True)
    physics.write_text("[physics]\ng_min = 2\ng_max = 1\n")
    wrong = cli("accuracy", model, "--physics", physics)
    assert (wrong.code, "g_min must be less than g_max" in wrong.err) == (2, True)
    missing = cli("accuracy", model, "--physics", tmp_path / "none.toml")
    assert (missing.code, "CAT-C002" in missing.err) == (2, True)

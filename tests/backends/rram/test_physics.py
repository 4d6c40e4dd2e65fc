"""Programs on crossbars with physics: exact if ideal, the same for every engine, refused where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compiler.arrays import Array
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.execution import load_program, random_inputs, run_loaded
from dialects.diagnostics import CatenaError
from tests.backends.rram.quantized_network import quantized_network
from tests.compiler.conftest import Cli, cli
from tests.compiler.small_models import save_model, small_cnn

__all__ = ["cli"]

NOISY = """
seed = 3
[adc]
bits = 6
[physics]
g_min = 0.1
programming = { magnitude = 0.1 }
read_noise = { magnitude = 0.05 }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    model = save_model(quantized_network(), folder / "quantized.onnx")
    write_compiled(compile_source(str(model), CompileOptions(target="rram")), folder / "quantized.cat")
    return folder / "quantized.cat"


def ran(program: Path, tmp_path: Path, text: str | None, engine: str = "blocks") -> Array:
    """The output for inputs of one seed, with physics of a file of such text."""
    physics = None
    if text is not None:
        physics = tmp_path / "physics.toml"
        physics.write_text(text)
    loaded, emulator = load_program(program, engine, physics)
    return run_loaded(loaded, emulator, random_inputs(loaded, 0)).outputs["y"]


@pytest.mark.parametrize("text", ["", "[adc]\nbits = 12\n"], ids=["ideal", "lossless"])
def test_ideal_physics_change_nothing(program: Path, tmp_path: Path, text: str) -> None:
    assert (ran(program, tmp_path, text) == ran(program, tmp_path, None)).all()


def test_bits_of_converters_are_the_targets_if_physics_give_none(tmp_path: Path) -> None:
    """Without physics they change nothing."""
    model, found = save_model(quantized_network(), tmp_path / "quantized.onnx"), dict[str, Path]()
    for bits in ("0", "3"):
        found[bits] = tmp_path / f"{bits}.cat"
        options = CompileOptions(target="rram", settings={"crossbar.adc_bits": bits})
        write_compiled(compile_source(str(model), options), found[bits])
    exact = ran(found["0"], tmp_path, None)
    assert (ran(found["3"], tmp_path, None) == exact).all()
    assert (ran(found["3"], tmp_path, "[adc]\nbits = 0\n") == exact).all()
    coarse = ran(found["3"], tmp_path, "")
    assert (coarse != exact).any()
    assert (coarse == ran(found["0"], tmp_path, "[adc]\nbits = 3\n")).all()


def test_engines_agree_with_physics_and_seeds_matter(program: Path, tmp_path: Path) -> None:
    found = ran(program, tmp_path, NOISY)
    assert (found == ran(program, tmp_path, NOISY, "steps")).all()
    assert (found != ran(program, tmp_path, None)).any()
    assert (found != ran(program, tmp_path, NOISY.replace("seed = 3", "seed = 4"))).any()


def test_the_shape_of_crossbars_is_the_programs(program: Path, tmp_path: Path) -> None:
    with pytest.raises(CatenaError, match="shape of their own") as error:
        ran(program, tmp_path, "rows = 64\n[weights]\nslices = [4]\n")
    assert error.value.diagnostics[0].found == "rows, weights"
    with pytest.raises(CatenaError, match="bits"):
        ran(program, tmp_path, "[adc]\nbits = -1\n")


def test_a_broken_file_is_called_what_it_is(program: Path, tmp_path: Path) -> None:
    with pytest.raises(CatenaError, match="the physics file is not TOML") as error:
        ran(program, tmp_path, "[adc]\nbits =\n")
    assert (error.value.diagnostics[0].stage, error.value.diagnostics[0].where[-6:]) == ("emulation", "line 2")
    with pytest.raises(CatenaError) as error:
        ran(program, tmp_path, "[adc]\nbitz = 1\n")
    assert error.value.diagnostics[0].stage == "emulation"


def test_the_command_takes_physics(cli: Cli, program: Path, tmp_path: Path) -> None:
    physics = tmp_path / "physics.toml"
    physics.write_text(NOISY)
    shown = cli("run", program, "--random", "--physics", physics, "-o", tmp_path / "y.npz")
    assert shown.code == 0, shown.err
    assert (np.load(tmp_path / "y.npz")["y"] == ran(program, tmp_path, NOISY)).all()
    other = tmp_path / "floats.cat"
    write_compiled(compile_source(str(save_model(small_cnn(), tmp_path / "floats.onnx")), CompileOptions()), other)
    refused = cli("run", other, "--random", "--physics", physics)
    assert (refused.code, "has no physics" in refused.err) == (2, True)

"""Faults that no layer shows alone: who spoils what another layer reads is named, and the whole program shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from _pytest.mark import ParameterSet

from backends.api import WatchedEmulator
from backends.registry import find_backend
from compiler.compilation import CompileOptions, compile_model
from compiler.execution import random_inputs
from compiler.localising.provenance import first_intrusion
from compiler.targets import select_target
from compiler.verification.programs import verify_source
from compiler.verification.result import Verification
from tests.compiler.conftest import Cli
from tests.compiler.localising.faults import Fault, other_constants, program_for
from tests.compiler.localising.test_planted_faults import planted
from tests.compiler.localising.whole_faults import difference, long_skip, other_place, over, swapped
from tests.compiler.small_models import small_cnn, small_norms
from tests.compiler.verification.test_layers import branching_model

pytest.importorskip("onnxruntime")

ADDED = "conv3 + add1"


def also(*values: object) -> ParameterSet:
    """Parameters of the exhaustive run."""
    return pytest.param(*values, marks=pytest.mark.exhaustive)


def verified(fault: Fault, folder: Path) -> Verification:
    model, path = planted(fault, folder)
    return verify_source(str(path), model, reproducer=folder / "again")


@pytest.mark.parametrize("target", ["eyeriss", also("generic"), also("spots"), "rram"])
def test_a_tensor_in_the_words_of_one_that_is_still_read_is_blamed_on_who_writes_it(
    target: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody but the layer that writes 'a' has 'a' and 's' at once."""
    found = verified(Fault(target, "conv1", "base tensor=output", over("a", "s"), model=long_skip), tmp_path)
    assert all(each.is_equal for each in found.layers)
    assert found.location is not None
    assert found.location.layer == "conv1"
    assert f"writes over [0, 0, 0] of 's' before {ADDED} reads it" in found.location.course
    assert found.location.blame is not None
    assert found.location.blame.text.startswith("base tensor=output")
    if target != "rram":
        assert (found.location.tensor, found.location.seen_in) == ("d", ADDED)
        assert found.location.tile is not None
        assert found.location.tile.is_turn
    assert found.reproducer is not None
    monkeypatch.chdir(tmp_path / "again")
    again = cli(*found.reproducer.command.split()[1:])
    assert again.code == 5
    assert "first wrong layer: conv1 (conv1), in the whole program: writes over" in again.out


@pytest.mark.parametrize("target", [also("generic"), also("rram"), also("spots")])
def test_two_tensors_that_one_layer_reads_may_be_the_same_words(target: str, tmp_path: Path) -> None:
    """That layer is wrong alone as well, but not to blame."""
    found = verified(Fault(target, "conv2", "base tensor=output", over("b", "s"), model=long_skip), tmp_path)
    assert [each.subject for each in found.layers if not each.is_equal] == [f"layer {ADDED!r}"]
    assert found.location is not None
    assert (found.location.layer, found.location.seen_in) == ("conv2", ADDED)
    assert f"of 's' before {ADDED} reads it" in found.location.course
    assert found.location.blame is not None
    assert found.location.blame.text.startswith("base tensor=output")


@pytest.mark.parametrize(
    ("target", "layers", "reader"),
    [("eyeriss", (4, 5), "conv5"), ("generic", (1, 2), "conv2"), also("spots", (4, 5), "conv5")],
    ids=["stale", "unwritten", "stale on spots"],
)
def test_code_that_stands_too_early_is_named(target: str, layers: tuple[int, int], reader: str, tmp_path: Path) -> None:
    """It reads what an earlier layer left in the words of its input, or nothing: then the emulator stops."""
    found = verified(Fault(target, reader, "layer", swapped(*layers), model=long_skip), tmp_path)
    assert all(each.is_equal for each in found.layers)
    assert found.location is not None
    assert found.location.layer == reader
    assert found.location.blame is not None
    assert f"the code of {reader} stands where that of" in found.location.blame.reason
    assert ("before it is made" in found.location.course) == (found.stop is None)


def test_a_table_that_is_wrong_is_not_blamed_on_an_instruction(tmp_path: Path) -> None:
    found = verified(Fault("generic", "conv5", "", other_place("y", "e"), model=long_skip), tmp_path)
    assert found.location is not None
    assert found.location.blame is None
    assert "no instruction is to blame: the program's table of tensors says 'y' at word" in found.location.remark


def test_errors_that_add_up_are_blamed_on_the_layer_that_makes_them(tmp_path: Path) -> None:
    def change(words: np.ndarray) -> None:
        words *= np.float32(1 + 5e-5)

    fault = Fault("eyeriss", "conv1", "load tensor=kernel", other_constants("v", change), model=difference)
    found = verified(fault, tmp_path)
    assert all(each.is_equal for each in found.layers)
    assert found.location is not None
    assert found.location.layer == "conv1"
    assert "errors add up" in found.location.course
    assert (found.location.tensor, found.location.seen_in) == ("y", "conv2 + sub1")
    assert found.location.blame is not None
    assert found.location.blame.text.startswith("load tensor=kernel")


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("eyeriss", branching_model),
        ("rram", long_skip),
        *(
            also(target, model)
            for target in ("eyeriss", "generic", "spots", "rram", "rram-mesh", "systolic")
            for model in (small_cnn, small_norms, branching_model, long_skip)
        ),
    ],
)
def test_in_right_programs_nobody_spoils_anything(target: str, model: Callable[[], onnx.ModelProto]) -> None:
    program = program_for(target, model())
    emulator = find_backend(program.metadata.backend).load(program, None)
    assert isinstance(emulator, WatchedEmulator)
    assert first_intrusion(program, emulator, random_inputs(program, 0)) is None


@pytest.mark.parametrize("target", ["generic", also("eyeriss"), also("spots")])
def test_in_right_groups_nobody_spoils_anything(target: str) -> None:
    program = compile_model(small_cnn(), select_target(target), CompileOptions(fuse=True)).program
    assert program is not None
    assert program.groups
    emulator = find_backend(target).load(program, None)
    assert isinstance(emulator, WatchedEmulator)
    assert first_intrusion(program, emulator, random_inputs(program, 0)) is None

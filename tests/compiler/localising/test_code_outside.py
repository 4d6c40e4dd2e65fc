"""What is wrong in the code of no layer, or where a layer has no code left: neither is said to be another layer's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backends.program import DebugEntry, Program
from backends.registry import find_backend
from compiler.localising.edits import OUTSIDE, edits, repaired
from compiler.localising.missing_layers import first_missing, with_missing_layers
from tests.compiler.conftest import Cli
from tests.compiler.localising.faults import CONV, DENSE, Fault, program_for
from tests.compiler.localising.test_planted_faults import planted
from tests.compiler.small_models import small_cnn

pytest.importorskip("onnxruntime")

Plant = Callable[[Program, Path], Program]


def with_code(program: Program, core: int, change: Callable[[list[object]], None]) -> Program:
    isa = find_backend(program.metadata.backend).isa()
    code = list(isa.decode(program.code[core]))
    change(code)  # pyright: ignore[reportArgumentType]
    codes = list(program.code)
    codes[core] = isa.encode(code)
    return replace(program, code=tuple(codes))


def other_end(core: int) -> Plant:
    """A core ends with the first instruction of the first core that has a layer."""

    def plant(program: Program, folder: Path) -> Program:
        isa = find_backend(program.metadata.backend).isa()
        first = next(iter(isa.decode(program.code[program.debug[0].core])))
        return with_code(program, core, lambda code: code.__setitem__(-1, first))

    return plant


def without_end(program: Program, folder: Path) -> Program:
    return with_code(program, 0, lambda code: code.__delitem__(-1))


def without_layer(layer: str) -> Plant:
    """No code of a layer, and no entry that says where it was."""

    def plant(program: Program, folder: Path) -> Program:
        entry = next(each for each in program.debug if each.layer == layer)
        size = entry.end - entry.start

        def moved(each: DebugEntry) -> DebugEntry:
            is_later = each.core == entry.core and each.start >= entry.end
            return replace(each, start=each.start - size, end=each.end - size) if is_later else each

        debug = tuple(moved(each) for each in program.debug if each is not entry)
        shorter = with_code(program, entry.core, lambda code: code.__delitem__(slice(entry.start, entry.end)))
        return replace(shorter, debug=debug)

    return plant


def copied_behind(program: Program, folder: Path) -> Program:
    """The code of the first layer twice, as the program says."""
    first, *others = program.debug
    size = first.end - first.start
    debug = [replace(first, end=first.end + size)]
    debug += [replace(each, start=each.start + size, end=each.end + size) for each in others]
    longer = with_code(
        program, 0, lambda code: code.__setitem__(slice(first.end, first.end), code[first.start : first.end])
    )
    return replace(longer, debug=tuple(debug))


@pytest.mark.parametrize(
    ("target", "core", "plant"),
    [("eyeriss", 0, other_end(0)), ("spots", 0, without_end)],
    ids=["another end", "no end"],
)
def test_what_is_wrong_in_no_layer_is_said_to_be_outside(
    target: str, core: int, plant: Plant, tmp_path: Path, cli: Cli
) -> None:
    model, path = planted(Fault(target, "", "", plant), tmp_path)
    result = cli("verify", path, "--model", model, "--reproducer", tmp_path / "again", "--json")
    place, right = result.json["result"]["location"], program_for(target, small_cnn())
    assert (result.code, place["layer"], place["remark"]) == (5, "", "")
    assert (place["blame"]["core"], place["blame"]["expected"]) == (core, "halt")
    width = right.metadata.word_bits // 8
    assert place["blame"]["address"] == len(right.code[core]) // width - 1
    text = cli("verify", path, "--model", model).out
    assert "what is wrong belongs to no layer" in text
    assert "first wrong layer:" not in text


@pytest.mark.parametrize(("target", "layer"), [("eyeriss", DENSE), ("generic", CONV)])
def test_a_layer_without_code_is_named(target: str, layer: str, tmp_path: Path, cli: Cli) -> None:
    model, path = planted(Fault(target, layer, "", without_layer(layer)), tmp_path)
    result = cli("verify", path, "--model", model, "--reproducer", tmp_path / "again", "--json")
    place, right = result.json["result"]["location"], program_for(target, small_cnn())
    assert (result.code, place["layer"], place["remark"]) == (5, layer, "")
    start = next(each.start for each in right.debug if each.layer == layer)
    assert place["blame"]["address"] == start
    assert "all code of" in place["blame"]["reason"]


def test_code_in_addition_is_of_the_layer_that_the_program_says(tmp_path: Path, cli: Cli) -> None:
    model, path = planted(Fault("eyeriss", CONV, "", copied_behind), tmp_path)
    place = cli("verify", path, "--model", model, "--json").json["result"]["location"]
    assert place["layer"] == CONV
    assert place["blame"]["reason"] == "it is there in addition"


def test_repairs_make_the_one_program_of_the_other(tmp_path: Path) -> None:
    right = program_for("eyeriss", small_cnn())
    for plant in (other_end(0), without_end):
        wrong = plant(right, tmp_path)
        found = edits(wrong, right, {OUTSIDE})
        assert len(found) == 1
        assert not edits(wrong, right, {layer.name for layer in right.layers})
        assert repaired(wrong, right, found).code == right.code
    for entry in right.debug:
        wrong = without_layer(entry.layer)(right, tmp_path)
        found = first_missing(wrong, right)
        assert found is not None
        assert (found.address, found.layer) == (entry.start, entry.layer)
        mended = with_missing_layers(wrong, right)
        assert (mended.code, mended.debug) == (right.code, right.debug)
    assert first_missing(right, right) is None

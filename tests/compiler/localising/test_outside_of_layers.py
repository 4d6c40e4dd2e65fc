"""Code that belongs to no layer, layers without code, and loops that were changed before code was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from backends.program import Program
from compiler.compilation import CompileOptions, compile_model, compile_source
from compiler.ir_text import print_module, write_module
from compiler.targets import select_target
from compiler.verification.programs import verify_source
from compiler.verification.result import Verification
from tests.compiler.localising.faults import CONV, DENSE, Fault, altered, other_ir
from tests.compiler.localising.test_planted_faults import planted
from tests.compiler.small_models import small_cnn
from tests.end_to_end.networks import NETWORKS

pytest.importorskip("onnxruntime")


def also(*values: object) -> ParameterSet:
    """Parameters of the exhaustive run."""
    return pytest.param(*values, marks=pytest.mark.exhaustive)


def unended(core: int) -> Callable[[Program, Path], Program]:
    """The first instruction of the program in the place of a core's last one."""

    def plant(program: Program, folder: Path) -> Program:
        width = program.metadata.word_bits // 8
        code = [bytes(words) for words in program.code]
        code[core] = code[core][:-width] + code[0][:width]
        return replace(program, code=tuple(code))

    return plant


def without_code(layer: str) -> Callable[[Program, Path], Program]:
    """A layer whose code and place are gone."""

    def plant(program: Program, folder: Path) -> Program:
        width = program.metadata.word_bits // 8
        (code,) = program.code
        (entry,) = (each for each in program.debug if each.layer == layer)
        by = entry.end - entry.start
        others = (each for each in program.debug if each is not entry)
        debug = [
            replace(each, start=each.start - by, end=each.end - by) if each.start >= entry.end else each
            for each in others
        ]
        left = bytes(code[: entry.start * width]) + bytes(code[entry.end * width :])
        return replace(program, code=(left,), debug=tuple(debug))

    return plant


def verified(fault: Fault, folder: Path) -> Verification:
    model, path = planted(fault, folder)
    return verify_source(str(path), model, reproducer=folder / "again")


@pytest.mark.parametrize(("target", "core"), [also("eyeriss", 0), also("generic", 0), also("spots", 0), ("rram", 77)])
def test_an_instruction_that_belongs_to_no_layer_is_blamed_on_none(target: str, core: int, tmp_path: Path) -> None:
    found = verified(Fault(target, "", "layer index=0", unended(core)), tmp_path)
    assert found.location is not None
    assert found.location.layer == ""
    assert found.location.blame is not None
    assert (found.location.blame.core, found.location.blame.expected) == (core, "halt")
    assert found.location.blame.text.startswith("layer index=0")
    assert "what is wrong belongs to no layer" in found.location.lines()


@pytest.mark.parametrize("target", ["eyeriss", also("generic"), also("spots")])
def test_code_that_is_missing_as_a_whole_is_named(target: str, tmp_path: Path) -> None:
    found = verified(Fault(target, "pool1", "layer index=1", without_code("pool1")), tmp_path)
    assert found.location is not None
    assert found.location.layer == "pool1"
    assert found.location.blame is not None
    assert found.location.blame.text.startswith("layer index=1")
    assert "missing" in found.location.blame.reason
    assert found.reproducer is not None
    assert found.reproducer.command


@pytest.mark.parametrize(
    ("target", "before", "after", "instruction"),
    [
        ("eyeriss", "W opc 6 ks 3 pad 1", "W opc 6 ks 3 pad 2", "window dim=2"),
        *(
            also(target, *change)
            for target in ("eyeriss", "generic", "spots", "rram")
            for change in (
                ("W opc 6 ks 3 pad 1", "W opc 6 ks 3 pad 2", "window dim=2"),
                ('"mul" add', '"mul" max', "layer index=0"),
            )
        ),
    ],
)
def test_loops_that_are_others_than_the_models_are_found(
    target: str, before: str, after: str, instruction: str, tmp_path: Path
) -> None:
    """The mapping that the program carries is one for such loops."""
    found = verified(Fault(target, CONV, instruction, other_ir(target, before, after)), tmp_path)
    assert found.location is not None
    assert found.location.layer == CONV
    assert found.location.blame is not None, found.location.lines()
    assert found.location.blame.text.startswith(instruction)


def test_wrong_loops_are_found_under_a_mapping_that_no_search_finds(tmp_path: Path) -> None:
    def plant(program: Program, folder: Path) -> Program:
        before = "H opc 6 ks 3 pad 1, W opc 6 ks 3 pad 1", "for H.ks 1, for W.ks 1, par"
        after = "H opc 6 ks 3 pad 1, W opc 6 ks 3 pad 2", "for W.ks 1, for H.ks 1, par"
        module = compile_model(small_cnn(), select_target("generic"), CompileOptions(stop="placed")).module
        write_module(module, folder / "placed.mlir")
        text = print_module(module)
        for old, new in zip(before, after, strict=True):
            assert old in text
            text = text.replace(old, new, 1)
        (folder / "placed.mlir").write_text(text)
        made = compile_source(str(folder / "placed.mlir"), CompileOptions()).program
        assert made is not None
        assert made.layers[0].mapping != program.layers[0].mapping
        return made

    found = verified(Fault("generic", CONV, "window dim=2", plant), tmp_path).location
    assert found is not None
    assert found.layer == CONV
    assert found.blame is not None, found.lines()
    assert found.blame.text.startswith("window dim=2")


def with_mapping_of(other: str, then: Callable[[Program, Path], Program]) -> Callable[[Program, Path], Program]:
    """The dense layer with the mapping of another one, and one thing more."""

    def plant(program: Program, folder: Path) -> Program:
        mapping = next(each.mapping for each in program.layers if each.name == other)
        layers = [replace(each, mapping=mapping) if each.name == DENSE else each for each in program.layers]
        return then(replace(program, layers=tuple(layers)), folder)

    return plant


@pytest.mark.parametrize("target", ["rram", also("eyeriss"), also("spots"), also("generic")])
def test_a_mapping_that_the_code_does_not_follow_hides_no_instruction(target: str, tmp_path: Path) -> None:
    padded = altered(DENSE, "window", pad=1)
    found = verified(Fault(target, DENSE, "window", with_mapping_of(CONV, padded)), tmp_path)
    assert found.location is not None
    assert found.location.blame is not None
    assert found.location.layer == DENSE
    assert found.location.blame.text.startswith("window")


def test_names_that_are_exchanged_are_no_fault_of_compiler_or_emulator(tmp_path: Path) -> None:
    def plant(program: Program, folder: Path) -> Program:
        names = {"t2": "t5", "t5": "t2"}
        tensors = [replace(each, onnx=names.get(each.onnx, each.onnx)) for each in program.tensors]
        return replace(program, tensors=tuple(tensors))

    found = verified(Fault("eyeriss", "", "", plant, model=NETWORKS["residual"]), tmp_path)
    assert found.location is not None
    assert found.location.blame is None
    assert "table of tensors says" in found.location.remark
    assert "executes them wrong" not in found.location.remark

"""The emulator as a backend offers it: runs, single layers, traces, inputs."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from backends.eyeriss import BACKEND
from backends.program import Program, Role
from backends.spatial.dram import dram_of
from backends.spatial.emulator import MODES, SpatialEmulator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import Counts
from dialects.gconv import Dim, GConv, Reduce, Step
from tests.backends.spatial.handmade import Handmade, X, expected
from tests.backends.spatial.layers import MACHINES, Layer, compile_chain, steps


@pytest.fixture(scope="module")
def program() -> Program:
    """The handmade program."""
    return Handmade().program()


def problems_of(emulator: SpatialEmulator, inputs: dict[str, np.ndarray], layer: str | None = None) -> list[Diagnostic]:
    """What a run, or the run of one layer, is refused for."""
    with pytest.raises(CatenaError) as caught:
        emulator.run(inputs) if layer is None else emulator.run_layer(layer, inputs)
    return list(caught.value.diagnostics)


@pytest.mark.parametrize("mode", MODES)
def test_runs_do_not_depend_on_runs_before(program: Program, mode: str) -> None:
    emulator = SpatialEmulator(program, mode)
    first = emulator.run({"x": X})
    counts = {name: each.flat() for name, each in emulator.counters.items()}
    emulator.run({"x": X + 1})
    second = emulator.run({"x": X})
    np.testing.assert_array_equal(first["z"], second["z"])
    assert {name: each.flat() for name, each in emulator.counters.items()} == counts


def test_every_run_starts_with_empty_memories() -> None:
    # y is read in the first layer, which only a value left over from an earlier run could provide.
    early = Handmade().edited({"base tensor=input, address=12": "base tensor=input, address=20"})
    emulator = SpatialEmulator(early.program())
    for _ in range(2):
        assert [each.code for each in problems_of(emulator, {"x": X})] == ["CAT-E002"]


def test_counters_come_by_layer_in_program_order(program: Program) -> None:
    emulator = SpatialEmulator(program)
    assert emulator.counters == {}
    emulator.run({"x": X})
    assert list(emulator.counters) == ["conv", "relu"]
    conv, relu = (counts.flat() for counts in emulator.counters.values())
    assert conv["operation.mac"] == 2 * 4 * 3 * 2
    assert conv["dram.input.read"] == 15
    assert conv["dram.kernel.read"] == 12
    assert conv["glb.output.first"] == conv["glb.output.read"] == conv["dram.output.write"] == 8
    assert conv["array.passes"] == 2
    assert conv["array.peak_pes"] == 4
    assert relu["operation.other"] == relu["operation.post"] == 8
    assert relu["array.passes"] == 3


@pytest.mark.parametrize("mode", MODES)
def test_outputs_do_not_alias_the_machine(program: Program, mode: str) -> None:
    emulator = SpatialEmulator(program, mode)
    emulator.run({"x": X})["z"][...] = 99
    np.testing.assert_array_equal(emulator.run({"x": X})["z"], expected())


def test_a_trace_has_a_line_for_every_executed_instruction(program: Program) -> None:
    handmade = Handmade()
    lines: list[str] = []
    SpatialEmulator(program).run({"x": X}, trace=lines.append)
    # The loop of conv has 2 rounds of 3 instructions, that of relu 3 rounds of 5.
    assert len(lines) == len(handmade.listing) + 3 + 2 * 5
    addresses = [int(line.split()[0]) for line in lines]
    assert addresses[:3] == [0, 1, 2]
    assert addresses[-1] == len(handmade.listing) - 1
    loads = [line for line in lines if "load tensor=kernel" in line]
    assert [line.partition("; ")[2] for line in loads] == ["layer 0 d0.ks=0", "layer 0 d0.ks=2"]
    passes = [line for line in lines if line.split()[1] == "pass"]
    assert len(passes) == 5
    assert passes[-1].endswith("layer 1 d0.opc=6")


def test_a_trace_changes_nothing(program: Program) -> None:
    emulator = SpatialEmulator(program)
    emulator.run({"x": X})
    silent = {name: each.flat() for name, each in emulator.counters.items()}
    outputs = emulator.run({"x": X}, trace=lambda line: None)
    np.testing.assert_array_equal(outputs["z"], expected())
    assert {name: each.flat() for name, each in emulator.counters.items()} == silent


def test_the_trace_of_a_fault_ends_with_its_instruction() -> None:
    lines: list[str] = []
    faulty = Handmade().edited({"load tensor=input": ""})
    with pytest.raises(CatenaError) as caught:
        SpatialEmulator(faulty.program()).run({"x": X}, trace=lines.append)
    (fault,) = caught.value.diagnostics
    assert f"instruction {int(lines[-1].split()[0])}," in fault.where
    assert lines[-1].split()[1] == "pass"


@pytest.mark.parametrize("mode", MODES)
def test_a_layer_runs_alone(program: Program, mode: str) -> None:
    emulator = SpatialEmulator(program, mode)
    y = np.array([[1, -2, 3, -4], [-5, 6, -7, 8]], np.float32)
    found = emulator.run_layer("relu", {"y": y})
    assert found.keys() == {"z"}
    np.testing.assert_array_equal(found["z"], np.maximum(y, 0))
    assert list(emulator.counters) == ["relu"]
    np.testing.assert_array_equal(np.maximum(emulator.run_layer("conv", {"x": X})["y"], 0), expected())


def test_layers_one_by_one_count_what_they_count_together() -> None:
    layer = Layer.of(GConv((Dim("C", op=3, ks=4), Dim("H", opc=5)), "mul", Reduce.ADD), (4, 5), beside=0)
    program = compile_chain(layer.module(MACHINES["tiny"]))
    emulator = SpatialEmulator(program)
    whole = emulator.run(layer.inputs())
    together = {name: each.flat() for name, each in emulator.counters.items()}
    joined = np.full((5, 5), np.nan, np.float32)
    for entry in program.layers:
        # Each of the two writes a part of the result; the other part is what it was given.
        assert entry.outputs == ("y",)
        joined = emulator.run_layer(entry.name, {"x": layer.inputs()["x"], "y": joined})["y"]
        assert {name: each.flat() for name, each in emulator.counters.items()} == {entry.name: together[entry.name]}
    np.testing.assert_array_equal(joined, whole["y"])


def test_a_part_of_a_tensor_alone_is_no_output() -> None:
    layer = Layer.of(GConv((Dim("C", op=3, ks=4), Dim("H", opc=5)), "mul", Reduce.ADD), (4, 5), beside=0)
    program = compile_chain(layer.module(MACHINES["tiny"]))
    (problem,) = problems_of(SpatialEmulator(program), {"x": layer.inputs()["x"]}, program.layers[0].name)
    assert (problem.code, problem.node) == ("CAT-E002", "")
    assert problem.message.startswith("tensor 'y':")


def test_an_unknown_layer_is_no_key(program: Program) -> None:
    with pytest.raises(KeyError):
        SpatialEmulator(program).run_layer("pool", {})


def test_every_wrong_input_is_reported(program: Program) -> None:
    emulator = SpatialEmulator(program)
    problems = problems_of(emulator, {"y": X, "u": X})
    assert [(each.code, each.message) for each in problems] == [
        ("CAT-C005", "input 'x' is missing"),
        ("CAT-C005", "there is no input 'y'"),
        ("CAT-C005", "there is no input 'u'"),
    ]
    assert problems[0].expected == "shape [3, 5]"
    (problem,) = problems_of(emulator, {"x": X.T})
    assert (problem.code, problem.expected, problem.found) == ("CAT-C005", "shape [3, 5]", "shape [5, 3]")


def test_every_wrong_tensor_of_a_layer_is_reported(program: Program) -> None:
    problems = problems_of(SpatialEmulator(program), {"x": X, "z": X}, "relu")
    assert [each.message for each in problems] == [
        "input 'y' is missing",
        "there is no input 'x'",
        "input 'z' does not fit",
    ]


def test_tensors_have_the_types_of_the_model(program: Program) -> None:
    typed = {"x": "int64", "y": "float32", "w": "float32", "z": "int32"}
    tensors = tuple(replace(each, dtype=typed[each.name], word="float32") for each in program.tensors)
    emulator = SpatialEmulator(replace(program, tensors=tensors))
    found = emulator.run({"x": X.astype(np.int64)})["z"]
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected())


@pytest.mark.parametrize("mode", MODES)
def test_overflow_is_silent_and_infinite(mode: str) -> None:
    spec = GConv((Dim("A", opc=2), Dim("B", ks=3)), "pass", Reduce.ADD, post=(Step("square"), *steps(("sub", 0))))
    program = compile_chain(Layer.of(spec, (2, 3), (2, 1)).module(MACHINES["tiny"]))
    huge = np.full((2, 3), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = SpatialEmulator(program, mode).run({"x": huge, "e0": np.array([[1], [np.inf]], np.float32)})["y"]
    np.testing.assert_array_equal(found, [[np.inf], [np.nan]])


def test_the_backend_loads_programs_and_predicts_layers() -> None:
    layer = Layer.of(GConv((Dim("C", op=3, ks=4), Dim("H", opc=5)), "mul", Reduce.ADD), (4, 5))
    program = compile_chain(layer.module(MACHINES["eyeriss"]))
    emulator = BACKEND.load(program, None)
    emulator.run(layer.inputs())
    assert {name: counts.differences(Counts.of(program.layers[0].predicted)) for name, counts in
            emulator.counters.items()} == {program.layers[0].name: {}}  # fmt: skip
    assert [each.role for each in program.tensors] == [Role.CONSTANT, Role.INPUT, Role.OUTPUT]


def test_a_program_that_claims_too_much_memory_is_refused(program: Program) -> None:
    """Off-chip memory is as large as the program says: its tensors, and all that lies between them."""
    far = [replace(each, address=1 << 33) if each.role is Role.OUTPUT else each for each in program.tensors]
    with pytest.raises(CatenaError) as caught:
        dram_of(replace(program, tensors=tuple(far), constants=()), 1 << 40)
    assert [each.code for each in caught.value.diagnostics] == ["CAT-C007"]

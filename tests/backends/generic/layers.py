"""Single layers on machines of any levels: mapped by hand, placed, emitted, read back, and run by both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from backends.container import parse_program, program_bytes
from backends.generic.emit import emit
from backends.generic.emulator import MODES, NestEmulator
from backends.program import Program
from dialects.events import Counts
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import Interpreter
from dialects.machine_kinds import nest_machine, parse_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import LARGEST_TILE, Mapping, MappingAttr, Node, Operand, Spatial, Storage, Temporal
from passes.mapper.counts import Counts as MappingCounts
from passes.mapper.nest import nest_of
from passes.mapper.problem import Problem
from passes.place_nest import PlaceNestPass
from tests.backends.spatial.layers import Layer


def machine(levels: dict[str, dict[str, Any]], **more: Any) -> NestMachine:
    """A machine of these levels inside of `dram`."""
    whole = {"dram": {"kind": "memory"}, **levels}
    description = {"name": "drawn", "clock_mhz": 100.0, "word_bits": 16, "levels": whole, **more}
    return nest_machine(parse_machine(description), "test")


def compile_chain(module: ModuleOp) -> Program:
    """The program of a mapped chain, as read back from its file."""
    PlaceNestPass().apply(Context(), module)
    module.verify()
    return parse_program(program_bytes(emit(module, "generic")), "test")


def program_of(layer: Layer, mapping: Mapping, target: NestMachine) -> tuple[ModuleOp, Program]:
    """The chain of a layer with a mapping, and its program; other links are not cut."""
    module = layer.module(target)
    for link in module.walk():
        if isinstance(link, LinkOp):
            is_layer = link.tensor is not None and link.tensor.data == "layer"
            link.properties["mapping"] = MappingAttr(mapping if is_layer else Mapping(()))
    return module.clone(), compile_chain(module)


def check_layer(layer: Layer, mapping: Mapping, target: NestMachine) -> None:
    """Run a layer with both engines: exact outputs, counts of both as predicted."""
    module, program = program_of(layer, mapping, target)
    inputs = layer.inputs()
    expected = Interpreter(module).run(inputs)
    for mode in MODES:
        emulator = NestEmulator(program, mode)
        outputs = emulator.run(inputs)
        for name, array in expected.items():
            np.testing.assert_array_equal(outputs[name], array, err_msg=f"{mode}: {name}: {mapping}")
        check_counts(program, emulator, mode)


def check_counts(program: Program, emulator: NestEmulator, mode: str = "") -> None:
    """Every layer counted what is predicted."""
    assert list(emulator.counters) == [entry.name for entry in program.layers]
    for entry in program.layers:
        found, predicted = emulator.counters[entry.name], Counts.of(entry.predicted)
        differences = found.differences(predicted)
        assert not differences, f"{mode}: {entry.mapping}: (counted, predicted) {differences}"


@st.composite
def levels(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """One to five levels of any kind and order."""
    operands = st.lists(st.sampled_from(["I", "K"]), unique=True)
    rates = st.sampled_from([None, 0.5, 1.0, 3.0])
    made: dict[str, dict[str, Any]] = {}
    for name in "abcde"[: draw(st.integers(1, 5))]:
        if draw(st.booleans()):
            made[name] = {"kind": "axis", "size": 1 << 16, "multicast": draw(operands), "reduces": draw(st.booleans())}
        else:
            made[name] = {
                "kind": "memory",
                "bypass": ["I", "K", "O"],
                "slides": draw(st.booleans()),
                "stays": draw(st.booleans()),
                "read": draw(rates),
                "write": draw(rates),
                "buffers": draw(st.integers(1, 2)),
            }
    return made


@st.composite
def mappings(draw: st.DrawFn, layer: Layer, made: dict[str, dict[str, Any]]) -> Mapping:
    """Any legal mapping of a layer onto levels without capacities."""
    problem = Problem.of(layer.spec)
    nodes: list[Node] = []

    def cuts(axis: str | None = None) -> None:
        for _ in range(draw(st.integers(0, 2))):
            if problem.loops:
                loop = draw(st.sampled_from(problem.loops))
                tile = draw(st.integers(1, min(problem.extents[problem.loops.index(loop)] + 1, LARGEST_TILE)))
                nodes.append(Temporal(loop, tile) if axis is None else Spatial(loop, tile, axis))

    cuts()
    for name, level in made.items():
        if level["kind"] == "axis":
            cuts(name)
            cuts()
            continue
        for operand in draw(st.permutations([each for each in Operand if each in problem.operands])):
            if draw(st.integers(0, 2)):
                nodes.append(Storage(name, (operand,)))
                cuts()
    return Mapping(tuple(nodes))


def fitted(layer: Layer, mapping: Mapping, made: dict[str, dict[str, Any]], **more: Any) -> NestMachine:
    """The smallest machine of some levels that a mapping fits."""
    loose = machine(made)
    counts = MappingCounts(Problem.of(layer.spec), loose, *nest_of(Problem.of(layer.spec), mapping))
    tight: dict[str, dict[str, Any]] = {}
    for name, level in made.items():
        if level["kind"] == "axis":
            tight[name] = {**level, "size": int(counts.elements(name)[0])}
        else:
            held = sum(int(words[0]) for words in counts.occupancy.get(name, {}).values())
            tight[name] = {**level, "words": max(held, 1) * level["buffers"]}
    return machine(tight, **more)

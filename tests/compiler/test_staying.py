"""Tensors that stay on the chip from one group to another: networks compute what they did, and those are not moved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.container import program_bytes
from backends.generic.emulator import NestEmulator
from backends.program import Program, Role
from backends.spatial.emulator import SpatialEmulator
from backends.spots.emulator import SpotsEmulator
from compiler.compilation import CompileOptions, compile_source
from compiler.dumps import MappingDump
from compiler.explanation.explaining import explain_program
from compiler.explanation.groups import group_tables
from compiler.report_page.tiles import GroupTiles
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.fused_attribute import FusedAttr
from dialects.gconv.interpreter import main_function
from dialects.schedule import Objective
from passes.fusion.from_ir import group_of
from passes.fusion.grouping import groups_of
from passes.fusion.model import FusedCosts
from passes.searching.options import SearchOptions
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import Graph, inputs_of

MOVED = ("input.read", "kernel.read", "extra.read", "output.update", "output.write")
EMULATORS: dict[str, type[SpatialEmulator | NestEmulator]] = {"generic": NestEmulator, "eyeriss": SpatialEmulator}
STATEMENTS = """
fuse "a", "b" {
    store glb ["a.K", "b.K", stay "b"]
    for H.opc 3
    sequential {}
}
fuse "c", "d" {
    store glb ["c.K", "d.K", stay "b", stay "d"]
    for H.opc 2
    store glb [recompute "c"]
    sequential {}
}
fuse "e" {
    store glb ["e.K", stay "d", stay "e"]
    sequential {}
}
fuse "f" {
    store glb [stay "e", stay "b"]
    for H.opc 4
    sequential {}
}
"""
"""`b` is there for the group behind it, and for the last one, two further on."""
WORDS = {"b": 4 * 8 * 8, "d": 5 * 8 * 8, "e": 4 * 8 * 8}
READERS = {"b": 2, "d": 1, "e": 1}
LESS = sum(words * (1 + READERS[name]) for name, words in WORDS.items())
"""Words that are written, and read by every group, unless they stay."""


def network() -> onnx.ModelProto:
    """Six links in a row: five convolutions, and a pool to which what the second one made is added."""
    graph = Graph(7)
    value, channels, made = graph.input(1, 3, 8, 8), 3, dict[str, str]()
    for name, filters in (("a", 4), ("b", 4), ("c", 6), ("d", 5), ("e", 4)):
        graph.conv(value, channels, filters, 3, 3, pads=[1, 1, 1, 1])
        value = made[name] = graph.rename(name, name)
        channels = filters
    pooled = graph.add("MaxPool", value, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    graph.add("Add", pooled, made["b"])
    return graph.model("staying", [graph.rename("f", "f")])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(network(), tmp_path_factory.mktemp("staying") / "model.onnx")


INPUTS = inputs_of(network())


def compiled(source: Path, target: str, statements: str = "") -> Program:
    mapping = source.with_name("mapping.toml")
    mapping.write_text(f"groups = '''{statements}'''\n" if statements else "", encoding="utf-8")
    program = compile_source(str(source), CompileOptions(target=target, mapping=str(mapping))).program
    assert program is not None
    return program


@dataclass(frozen=True)
class Ran:
    """What a program made, and the words that it moved over the off-chip link."""

    result: np.ndarray
    words: int


def run(program: Program) -> Ran:
    """What every layer counts, and what groups hold, is what was predicted."""
    emulator = EMULATORS[program.metadata.target](program)
    (result,) = emulator.run(INPUTS).values()
    for layer in program.layers:
        assert not emulator.counters[layer.name].differences(Counts.of(layer.predicted)), layer.name
    assert emulator.held == {group.name: group.held for group in program.groups}
    counts = emulator.counters.values()
    return Ran(result, sum(each.events.get(f"dram.{event}", 0) for each in counts for event in MOVED))


@pytest.mark.parametrize("target", EMULATORS)
def test_what_stays_is_neither_sent_nor_fetched(target: str, source: Path) -> None:
    stays = run(program := compiled(source, target, STATEMENTS))
    (group,) = program.groups
    assert group.layers == tuple(layer.name for layer in program.layers)
    goes = run(apart := compiled(source, target, STATEMENTS.replace("stay ", "")))
    assert len(apart.groups) == 4
    np.testing.assert_array_equal(stays.result, goes.result)
    assert goes.words - stays.words == LESS


def test_what_stays_is_read_as_input_on_machines_of_matrix_products(source: Path) -> None:
    kernels = re.sub(r'store glb \[((?:"\w\.K", )+)', r"store kernel [\1] store input [", STATEMENTS)
    statements = kernels.replace(", ]", "]").replace("glb", "input")
    words: list[int] = []
    results: list[np.ndarray] = []
    for said in (statements, statements.replace("stay ", "")):
        program = compiled(source, "spots", said)
        emulator = SpotsEmulator(program)
        results += emulator.run(INPUTS).values()
        assert emulator.held == {group.name: group.held for group in program.groups}
        counts = emulator.counters.values()
        words.append(sum(each.events.get(f"dram.{event}", 0) for each in counts for event in MOVED))
    np.testing.assert_array_equal(results[0], results[1])
    assert words[1] - words[0] == LESS


SMALL = {"levels.glb.words": "900"}


@pytest.fixture(scope="module")
def fused(source: Path) -> Program:
    """The program of `--fuse`, with its mapping file beside the model."""
    options = CompileOptions(target="generic", settings=SMALL, fuse=True)
    program = compile_source(str(source), options, (MappingDump(source.with_name("saved.toml")),)).program
    assert program is not None
    return program


def test_fusing_lets_tensors_stay_and_moves_what_the_model_says(source: Path, fused: Program) -> None:
    saved = str(source.with_name("saved.toml"))
    options = CompileOptions(target="generic", settings=SMALL, mapping=saved, stop="mapped")
    groups = groups_of(main_function(compile_source(str(source), options).module))
    costs: list[FusedCosts] = []
    for op in groups:
        assert isinstance(op.mapping, FusedAttr)
        costs.append(FusedCosts(group_of(op), op.mapping.data))
    assert any(each.resident for cost in costs for each in cost.mapping.retentions)
    assert len(fused.groups) < len(groups)
    ran, alone = run(fused), run(compiled(source, "generic"))
    np.testing.assert_array_equal(ran.result, alone.result)
    assert {layer for group in fused.groups for layer in group.layers} == {layer.name for layer in fused.layers}
    assert ran.words == sum(each.traffic for each in costs)
    assert max(group.held["glb"] for group in fused.groups) <= 900


@pytest.mark.parametrize("banks", [24, pytest.param(16, marks=pytest.mark.exhaustive)])
def test_fusing_for_words_lets_tensors_stay_on_machines_of_rows_and_columns(source: Path, banks: int) -> None:
    settings, search = {"glb.banks": str(banks), "glb.bank_words": "64"}, SearchOptions(Objective.TRAFFIC)
    options = CompileOptions(target="eyeriss", settings=settings, search=search, fuse=True)
    program = compile_source(str(source), options).program
    assert program is not None
    assert any("stay " in group.mapping for group in program.groups)
    found, alone = run(program), run(compiled(source, "eyeriss"))
    np.testing.assert_array_equal(found.result, alone.result)
    least = sum(each.words for each in program.tensors if each.role is not Role.INTERMEDIATE)
    # with more banks the input, kernels, biases and the result, each once
    assert found.words == least if banks == 24 else least < found.words < alone.words


def test_what_is_saved_or_explained_is_read_again(source: Path, fused: Program, tmp_path: Path) -> None:
    saved, explained = source.with_name("saved.toml"), tmp_path / "explained.toml"
    tables = list(group_tables(explain_program(fused)))
    assert any("groups, between which tensors stay; " in table.title for table in tables)
    lines = [line for table in tables for row in table.rows for line in row]
    statements = "\n".join(lines[lines.index(next(line for line in lines if line.startswith("fuse "))) :])
    assert "stay " in statements
    explained.write_text(f"groups = '''\n{statements}\n'''\n", encoding="utf-8")
    for file in (saved, explained):
        again = CompileOptions(target="generic", settings=SMALL, mapping=str(file))
        program = compile_source(str(source), again).program
        assert program is not None
        assert program_bytes(program) == program_bytes(fused)


def test_a_page_counts_what_stays_for_other_groups(source: Path) -> None:
    # the kernels of c and d off-chip, so that memory is fullest while e runs and b only waits for f
    statements = STATEMENTS.replace('store glb ["c.K", "d.K", stay', 'store dram ["c.K", "d.K"]\n    store glb [stay')
    tiles, mapping = GroupTiles(), source.with_name("waiting.toml")
    mapping.write_text(f"groups = '''{statements}'''\n", encoding="utf-8")
    program = compile_source(str(source), CompileOptions(target="generic", mapping=str(mapping)), [tiles]).program
    assert program is not None
    (held,) = (group.held["glb"] for group in program.groups)
    fullest = {name: max(each["held"]["glb"]) for name, each in tiles.groups.items()}
    assert max(fullest.values()) == fullest["e"] == held
    assert {name: each["beside"] for name, each in tiles.groups.items()} == {
        "b": {}, "d": {}, "e": {"glb": WORDS["b"]}, "f": {},
    }  # fmt: skip


def test_what_a_group_does_not_read_of_a_tensor_that_stays_counts(tmp_path: Path) -> None:
    graph = Graph(3)
    graph.conv(graph.input(1, 2, 8, 8), 2, 2, 1, 1)
    graph.conv(graph.rename("a", "a"), 2, 1, 1, 1, strides=[2, 2])
    source = save_model(graph.model("strided", [graph.rename("b", "b")]), tmp_path / "model.onnx")
    tiles, mapping = GroupTiles(), tmp_path / "mapping.toml"
    statements = 'fuse "a" { store glb [stay "a"] sequential {} }\nfuse "b" { store glb [stay "a"] sequential {} }'
    mapping.write_text(f"groups = '''{statements}'''\n", encoding="utf-8")
    compile_source(str(source), CompileOptions(target="generic", mapping=str(mapping), stop="mapped"), [tiles])
    assert tiles.groups["a"]["beside"] == {}
    assert tiles.groups["b"]["beside"] == {"glb": 2 * (8 * 8 - 4 * 4)}


@pytest.mark.parametrize("target", EMULATORS)
def test_what_stays_is_read_as_a_kernel_too(target: str, tmp_path: Path) -> None:
    """Values of attention, which the product behind them reads in another shape than the one that makes them."""
    graph = Graph(5)
    values, scores = graph.input(1, 8, 6, name="x"), graph.input(1, 8, 8, name="s")
    graph.add("MatMul", values, graph.weight(6, 3))
    graph.add("MatMul", scores, graph.rename("v", "v"))
    model = graph.model("attention", [graph.rename("o", "o")])
    source, inputs = save_model(model, tmp_path / "model.onnx"), inputs_of(model)
    statements = 'fuse "v" { store glb [stay "v"] sequential {} }\nfuse "o" { store glb [stay "v"] sequential {} }'
    words: list[int] = []
    results: list[np.ndarray] = []
    for said in (statements, statements.replace("stay ", "")):
        emulator = EMULATORS[target](program := compiled(source, target, said))
        results += emulator.run(inputs).values()
        for layer in program.layers:
            assert not emulator.counters[layer.name].differences(Counts.of(layer.predicted)), layer.name
        counts = emulator.counters.values()
        words.append(sum(each.events.get(f"dram.{event}", 0) for each in counts for event in MOVED))
    np.testing.assert_array_equal(results[0], results[1])
    assert words[1] - words[0] == 2 * 8 * 3


ALONE = 'fuse "e" {\n    store glb ["e.K", stay "d", stay "e"]\n    sequential {}\n}'


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({'"d.K", stay "b"': '"d.K", "b"'}, '"b" stays, and c . d reads it off-chip'),
        ({'"b.K", stay "b"': '"b.K", "b"'}, '"b" stays, and a . b makes it off-chip'),
        ({ALONE: "", 'stay "d"': '"d"', 'stay "e"': '"e"'}, "e runs while a tensor stays on the chip"),
        ({"for H.opc 4": 'for H.opc 4 store glb [stay "f"]'}, '"f" stays .*: its place is outside of all loops'),
        ({'stay "e", stay "b"]': 'stay "e", stay "b", stay "f"]'}, '"f" stays, and is the network\'s result'),
        ({'"b.K", stay "b"': '"b.K", stay "x", stay "b"'}, '"x" stays, and no group makes it'),
        ({'"b.K", stay "b"': '"b.K", stay "a", stay "b"'}, '"a" stays, and nobody reads it behind the group'),
        ({'stay "e", stay "b"]': 'stay "e"] store rf [stay "b"]'}, '"b" stays in rf, and elsewhere in glb'),
    ],
)
def test_what_cannot_stay_is_named(edits: dict[str, str], message: str, source: Path) -> None:
    statements = STATEMENTS
    for before, after in edits.items():
        assert before in statements
        statements = statements.replace(before, after)
    with pytest.raises(CatenaError, match=message) as caught:
        compiled(source, "generic", statements)
    for problem in caught.value.diagnostics:
        assert problem.code == "CAT-C003"
        assert "mapping.toml, line" in problem.where

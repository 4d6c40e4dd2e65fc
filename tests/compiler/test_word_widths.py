"""Memories with words of their own width: capacity, time and energy as computed by hand and counted in a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from compiler import api
from compiler.explanation.json_data import explanations_json
from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.nest_machine import NestMachine
from dialects.target import MachineOp
from tests.onnx_models import onnx_model, onnx_node

DRAM = '"dram.input.read" = 1, "dram.kernel.read" = 1, "dram.output.update" = 1'
BUF = '"buf.input.fill" = 1, "buf.kernel.fill" = 1, "buf.input.read" = 1, "buf.kernel.read" = 1'
MACHINE = f"""\
name = "wide"
clock_mhz = 100
word_bits = 16
[levels.dram]
kind = "memory"
word_bits = 64
read = 2
write = 1
[levels.buf]
kind = "memory"
word_bits = 32
words = 10
read = 3
write = 1
[accesses.dram]
energy = 100
events = {{ {DRAM} }}
[accesses.buf]
energy = 8
events = {{ {BUF} }}
"""
"""A word of the off-chip memory holds four elements, one of the buffer two."""

IN_ELEMENTS = (
    MACHINE.replace("word_bits = 64\nread = 2\nwrite = 1", "read = 8\nwrite = 4")
    .replace("word_bits = 32\nwords = 10\nread = 3\nwrite = 1", "words = 20\nread = 6\nwrite = 2")
    .replace(DRAM, DRAM.replace("= 1", "= 0.25"))
    .replace(BUF, BUF.replace("= 1", "= 0.5"))
)
MAPPING = """\
[layers.y]
mapping = "store buf [I, K, O]"
"""


def machine(text: str, folder: Path, settings: dict[str, str] | None = None) -> NestMachine:
    path = folder / "wide.toml"
    path.write_text(text)
    found = select_target(str(path), settings).machine
    assert isinstance(found, NestMachine)
    return found


def product(folder: Path) -> Path:
    """Four inputs, three outputs: 12 operations on 4 + 12 + 3 elements."""
    path = folder / "product.onnx"
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    onnx.save(onnx_model([onnx_node("MatMul", "x w", "y", name="y")], {"x": (1, 4)}, "y", {"w": weights}), path)
    return path


def test_what_memories_say_is_converted_when_it_is_read(tmp_path: Path) -> None:
    converted = machine(MACHINE, tmp_path)
    in_elements = machine(IN_ELEMENTS, tmp_path).model_dump()
    assert converted.model_dump() == {**in_elements, "widths": {"dram": 64, "buf": 32}}
    assert MachineOp.of(converted).machine == converted
    rooms = converted.memory("buf").words, converted.memory("buf").read, converted.memory("dram").write
    assert rooms == (20, 6.0, 4.0)
    split = machine(MACHINE, tmp_path, {"levels.buf.word_bits": "8", "levels.buf.rooms.K": "4", "levels.buf.bank": "2"})
    narrow = split.memory("buf")
    assert (narrow.words, narrow.bank, narrow.rooms, narrow.read) == (5, 1, {"K": 2}, 1.5)
    assert split.accesses[1].events["buf.input.read"] == 2.0


def test_a_file_says_widths_at_its_memories_only(tmp_path: Path) -> None:
    with pytest.raises(CatenaError) as caught:
        machine(MACHINE.replace("[levels.dram]", "[widths]\nbuf = 32\n[levels.dram]"), tmp_path)
    assert [each.message.partition(":")[0] for each in caught.value.diagnostics] == ["widths"]


def test_capacity_cycles_and_energy_are_those_of_wide_words(tmp_path: Path) -> None:
    machine(MACHINE, tmp_path)
    (tmp_path / "mapping.toml").write_text(MAPPING)
    program = tmp_path / "product.cat"
    target, mapping = tmp_path / "wide.toml", tmp_path / "mapping.toml"
    model = product(tmp_path)
    api.compile(model, output=program, target=target, mapping=mapping, no_cache=True)
    (layer,) = api.report(program).layers
    # 4 + 12 + 3 elements off chip, four in a word. 4 + 12 come into the buffer, 12 + 12 leave it, two in a word.
    assert layer.price.energy == {"dram": 19 / 4 * 100, "buf": 40 / 2 * 8, "operation": 12.0, "host": 0.0}
    # 12 steps, in which 16 elements come at 8 a cycle. Then what a buffer without a second one moves: 28 elements come
    # in, of which 12 are sums, at 2 a cycle; 36 leave at 6 a cycle meanwhile.
    assert layer.price.cycles == 12 + 28 / 2
    x = np.array([[1, 2, 3, 4]], np.float32)
    executed = api.run(program, {"x": x})
    np.testing.assert_array_equal(executed.outputs["y"], x @ np.arange(12, dtype=np.float32).reshape(4, 3))
    (counted,) = executed.report.layers
    assert (counted.price, counted.counts.events) == (layer.price, layer.counts.events)

    machine(MACHINE.replace("words = 10", "words = 9"), tmp_path)
    with pytest.raises(CatenaError) as caught:
        api.compile(model, output=program, target=target, mapping=mapping, no_cache=True)
    (problem,) = caught.value.diagnostics
    assert problem.message == "words of 32 bits in buf (for elements I 4, K 12, O 3)"
    assert (problem.expected, problem.found) == ("at most 9", "10")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("word_bits = 32", "word_bits = 24", 11, "levels.buf.word_bits: a word is a whole number"),
        ("word_bits = 32", "word_bits = 12", 11, "levels.buf.word_bits: a word is a whole number"),
        ("word_bits = 32\nwords = 10", "word_bits = 8\nwords = 9", 12,
         "levels.buf.words: part of an element of 16 bits is left in words of 8"),
        ("words = 10", "words = 281474976710656", 12, "levels.buf.words: these are more than"),
        ("read = 2", "read = 1e12", 7, "levels.dram.read: far from any bandwidth, in words of 16 bits"),
        ("word_bits = 32\nwords = 10\nread = 3", "word_bits = 8\nwords = 10\nread = 1.5e-9", 13,
         "levels.buf.read: far from any bandwidth"),
    ],
)  # fmt: skip
def test_widths_that_do_not_go_together_are_refused(
    old: str, new: str, line: int, message: str, tmp_path: Path
) -> None:
    assert old in MACHINE
    with pytest.raises(CatenaError) as caught:
        machine(MACHINE.replace(old, new), tmp_path)
    (problem,) = caught.value.diagnostics
    assert problem.message.startswith(message)
    assert problem.where == f"{tmp_path / 'wide.toml'}, line {line}"


def test_accesses_that_are_too_many_for_an_element_are_refused_as_the_file_says_them(tmp_path: Path) -> None:
    narrow = MACHINE.replace("word_bits = 32", "word_bits = 8").replace(
        '"buf.kernel.read" = 1', '"buf.kernel.read" = 1e9'
    )
    with pytest.raises(CatenaError) as caught:
        machine(narrow, tmp_path)
    (problem,) = caught.value.diagnostics
    assert problem.message == "accesses.buf.events: too many for each element of 16 bits"
    assert (problem.expected, problem.found) == ("buf.kernel.read at most 5e+08", "buf.kernel.read = 1e+09")
    assert problem.where == f"{tmp_path / 'wide.toml'}, line 20"


def test_accesses_that_never_happen_are_said_as_in_the_file(tmp_path: Path) -> None:
    without_outputs = MACHINE.replace("words = 10", 'words = 10\noperands = ["I", "K"]')
    with pytest.raises(CatenaError) as caught:
        machine(without_outputs.replace('"buf.kernel.read" = 1', '"buf.output.update" = 3'), tmp_path)
    (problem,) = caught.value.diagnostics
    assert problem.found == "buf.output.update = 3"


def test_explanations_have_both_kinds_of_words(tmp_path: Path) -> None:
    (tmp_path / "wide.toml").write_text(MACHINE)
    mapping = tmp_path / "m.toml"
    mapping.write_text(MAPPING)
    program = tmp_path / "y.cat"
    api.compile(product(tmp_path), target=tmp_path / "wide.toml", mapping=mapping, output=program)
    (held,) = explanations_json(api.explain(program))["layers"][0]["memories"]
    assert held["capacity"] == 20
    assert held["described"] == {"word_bits": 32, "taken": -(-held["taken"] // 2), "capacity": 10}

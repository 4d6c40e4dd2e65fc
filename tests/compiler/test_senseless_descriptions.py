"""Descriptions whose keys are all right, and that say what no machine can be or what nobody can mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.targets import select_target
from tests.compiler.descriptions import problems

GOOD = """\
name = "chip"
clock_mhz = 100
word_bits = 16

[levels.dram]
kind = "memory"

[levels.glb]
kind = "memory"
words = 1024
operands = ["I", "O"]

[levels.pe]
kind = "axis"
size = 8
multicast = ["I"]
reduces = true

[accesses.far]
energy = 100
events = { "glb.input.read" = 1 }
"""
NEST = """
[dataflow]
nest = "for filters m, store glb [O] | par filters 1 on pe"
"""


@pytest.mark.parametrize("text", [GOOD, GOOD + NEST, GOOD.replace("words = 1024", "words = 1024\nbank = 256")])
def test_what_makes_sense_is_accepted(text: str, tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(text)
    assert select_target(str(path)).machine.name == "chip"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('["I", "O"]', "[]", 11, "levels.glb.operands: must not be empty"),
        ('[levels.dram]\nkind = "memory"', '[levels.dram]\nkind = "memory"\noperands = ["I"]', 7,
         "levels.dram.operands: the first level holds every operand, also K, O"),
        ("glb.input.read", "glb.kernel.read", 21,
         "accesses.far.events: 'glb.kernel.read' never happens: no K stays in glb"),
        ("reduces = true", "loops = []", 17, "levels.pe.loops: must not be empty"),
        ('multicast = ["I"]', 'multicast = ["I", "O"]', 16,
         "levels.pe.multicast: O comes from the elements, and is not sent to several"),
        ("reduces = true", 'reduces = true\nloops = ["op", "opc"]', 17,
         "levels.pe.reduces: no loop lies along this axis whose results are added"),
        ("words = 1024", "words = 1024\nrooms = { K = 10 }", 11, "levels.glb.rooms: K does not stay in this memory"),
        ("words = 1024", "words = 1024\nrooms = { I = 1025 }", 11,
         "levels.glb.rooms: I may have more words than there are"),
        ("words = 1024", "words = 1024\nbank = 2048", 11,
         "levels.glb.bank: 1024 words are not a whole number of banks of 2048"),
        ("words = 1024", "words = 1024\nbank = 1000", 11,
         "levels.glb.bank: 1024 words are not a whole number of banks of 1000"),
        ("words = 1024", "words = 1\nbuffers = 2", 10, "levels.glb.words: there is no word for each of 2 buffers"),
        ("words = 1024", "words = 1024\nread = 1e-300", 11, "levels.glb.read: must be at least 1e-09"),
        ("words = 1024", "words = 1024\nwrite = 1e300", 11, "levels.glb.write: must be at most 1000000000000"),
        ("energy = 100", "energy = 1e308", 20, "accesses.far.energy: must be at most 1e+15"),
        ("clock_mhz = 100", "clock_mhz = 1e300", 2, "clock_mhz: must be at most 1000000000000"),
        ('"glb.input.read" = 1', '"glb.input.read" = 1e100', 21,
         "accesses.far.events.glb.input.read: must be at most 1000000000"),
        ("words = 1024", 'words = 1024\nreserve = "5"', 11,
         "levels.glb.reserve: words are kept free by a dataflow, and there is none"),
        ("words = 1024", 'words = 1024\nreserve = "a + 1 /"', 11, "levels.glb.reserve: cannot read this"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(old: str, new: str, line: int, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    (problem,) = problems(GOOD.replace(old, new, 1), tmp_path)
    assert (problem.code, problem.message) == ("CAT-C003", message)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"


@pytest.mark.parametrize(("reserve", "found"), [("1024", "1024"), ("2 * 600", "1200"), ("3 - 5", "-2")])
def test_a_dataflow_keeps_some_words_for_operands(reserve: str, found: str, tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("words = 1024", f'words = 1024\nreserve = "{reserve}"') + NEST, tmp_path)
    assert problem.message == "levels.glb.reserve: this leaves no words, or more than there are"
    assert (problem.expected, problem.found) == ("0 to 1023", found)


def test_events_of_another_description_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(GOOD)
    changes = 'extends = "base.toml"\n[levels.glb]\noperands = ["O"]\n'
    (problem,) = problems(changes, tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 1"
    assert problem.hint.endswith(f"it is given in {tmp_path / 'base.toml'}, line 21")
    (tmp_path / "chip.toml").write_text(f'{changes}[accesses.far.events]\n"glb.input.read" = 0\n')
    assert select_target(str(tmp_path / "chip.toml")).machine.name == "chip"


def test_a_list_with_a_wrong_item_is_not_called_empty(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace('["I", "O"]', '["W"]'), tmp_path)
    assert problem.message == "levels.glb.operands.0: must be 'I', 'K' or 'O'"

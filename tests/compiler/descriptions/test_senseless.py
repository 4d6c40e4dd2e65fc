"""Descriptions whose keys are all right, and that say what no machine can be or what nobody can mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.targets import select_target
from tests.compiler.descriptions.problems import problems

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
        ("clock_mhz = 100", "clock_mhz = 1e300", 2, "clock_mhz: must be at most 1000000"),
        ('"glb.input.read" = 1', '"glb.input.read" = 1e100', 21,
         "accesses.far.events.glb.input.read: must be at most 1000000000"),
        ("words = 1024", 'words = 1024\nreserve = "5"', 11,
         "levels.glb.reserve: words are kept free by a dataflow, and there is none"),
        ("words = 1024", 'words = 1024\nreserve = "a + 1 /"', 11, "levels.glb.reserve: cannot read this"),
        ("clock_mhz = 100", "clock_mhz = 0", 2, "clock_mhz: must be at least 0.001"),
        ("clock_mhz = 100", "clock_mhz = -5", 2, "clock_mhz: must be at least 0.001"),
        ("clock_mhz = 100", "clock_mhz = inf", 2, "clock_mhz: must be a finite number"),
        ('["I", "O"]', '["I", "O", "I"]', 11, "levels.glb.operands: has I more than once"),
        ("words = 1024", 'words = 1024\nbypass = ["I", "I"]', 11, "levels.glb.bypass: has I more than once"),
        ('["I"]', '["I", "I"]', 16, "levels.pe.multicast: has I more than once"),
        ("reduces = true", 'loops = ["ks", "op", "ks"]', 17, "levels.pe.loops: has ks more than once"),
        ("word_bits = 16", 'word_bits = 16\narithmetic = ["i8", "i8"]', 4, "arithmetic: has i8 more than once"),
        ('["I", "O"]', '["I", "O"]\n[levels.sums]\nkind = "memory"\noperands = ["O"]\nslides = true', 15,
         "levels.sums.slides: I does not stay in this memory"),
        ('[levels.dram]\nkind = "memory"', '[levels.dram]\nkind = "memory"\nbypass = ["I"]', 7,
         "levels.dram.bypass: nothing goes past the first level"),
        ("energy = 100", 'energy = 100\nevents = { "dram.input.fill" = 1 }\n[accesses.b]\nenergy = 1', 21,
         "accesses.far.events: 'dram.input.fill' never happens: nothing is outside of dram that words could come from"),
        ("glb.input.read", "operation.input.read", 21,
         "accesses.far.events: 'operation.input.read' never happens: operations hold no words"),
        ("word_bits = 16", "word_bits = 16\nnested = false", 4,
         "nested: there is no dataflow whose tiles could be counted so"),
        ('"chip"', '"chip"\nsummary = "' + "c" * 501 + '"', 2, "summary: must not have more than 500 characters"),
        ('"chip"', '"' + "c" * 65 + '"', 1, "name: must not have more than 64 characters"),
        ('"chip"', '"chip"\nsummary = "\\u001b[31mred"', 2, "summary: must have no control characters"),
        ('"chip"', '"chip"\nsources.clock_mhz = "\\u009b31m"', 2, "sources.clock_mhz: must have no control characters"),
        ('"chip"', '"chip"\nsources."a\\u001b" = "x"', 2, "sources.a\\x1b: must have no control characters"),
        ('"chip"', '"chip"\nfigures.a = "\\u202e"', 2, "figures.a: must have no control characters"),
        ('"chip"', '"chip"\nfigures.a = { b = 1 }', 2,
         "figures.a: must be a number, a text or a list of whole numbers"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(old: str, new: str, line: int, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    (problem,) = problems(GOOD.replace(old, new, 1), tmp_path)
    assert (problem.code, problem.message) == ("CAT-C003", message)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.hint
    assert "\x1b" not in str(problem)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("filters m", "groups 0", 24, "dataflow.nest: 'for groups': a tile has one index or more, whatever its"),
        ("filters m", "filters m - m", 24, "dataflow.nest: 'for filters': a tile has one index or more, whatever its"),
        ("filters m", "filters 10 - m", 24, "dataflow.nest: 'for filters': a tile has one index or more, whatever its"),
        ("[dataflow]", '[dataflow]\nweigh = { "glb.kernel.read" = 2 }', 24,
         "dataflow.weigh: 'glb.kernel.read' never happens: no K stays in glb"),
        ("[dataflow]", '[dataflow]\nweigh = { "dram.kernel.fill" = 2 }', 24,
         "dataflow.weigh: 'dram.kernel.fill' never happens: nothing is outside of dram that words could come from"),
        ("[dataflow]", '[dataflow]\neven = ["filters", "filters"]', 24, "dataflow.even: has filters more than once"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_of_a_dataflow(old: str, new: str, line: int, message: str, tmp_path: Path) -> None:
    assert old in NEST
    (problem,) = problems(GOOD + NEST.replace(old, new, 1), tmp_path)
    assert problem.message.startswith(message)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.hint


@pytest.mark.parametrize(("part", "kind"), [
    ("images", "opc"), ("rows_out", "opc"), ("rows_kernel", "ks"), ("slide", "opc"), ("slide_kernel", "ks"),
    ("channels", "ks"), ("filters", "op"), ("groups", "g"),
])  # fmt: skip
def test_an_axis_takes_the_parts_whose_loops_it_takes(part: str, kind: str, tmp_path: Path) -> None:
    other = {"op": "ks", "opc": "ks", "ks": "opc", "g": "op"}[kind]
    nest = NEST.replace("par filters", f"par {part}")
    (problem,) = problems(GOOD.replace("reduces = true", f'loops = ["{other}"]') + nest, tmp_path)
    assert problem.message == f"dataflow.nest: 'par {part}' on pe: the axis does not take this kind of loop"
    assert problem.where.endswith("line 24")
    assert problem.hint.startswith(f'let levels.pe.loops have "{kind}"')
    shared = GOOD if kind != "g" else GOOD.replace('multicast = ["I", "K"]\n', "").replace('multicast = ["I"]\n', "")
    (tmp_path / "chip.toml").write_text(shared.replace("reduces = true", f'loops = ["{kind}"]') + nest)
    assert select_target(str(tmp_path / "chip.toml")).machine.name == "chip"


@pytest.mark.parametrize(
    ("reserve", "found"),
    [("0 - 500*m", "at most -500"), ("1000 + 24*m", "at least 1024"), ("3*m*m - m*m + 2000", "at least 2002")],
)
def test_what_is_reserved_whatever_the_parameters_is_bounded(reserve: str, found: str, tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("words = 1024", f'words = 1024\nreserve = "{reserve}"') + NEST, tmp_path)
    assert problem.message == "levels.glb.reserve: this leaves no words, or more than there are"
    assert (problem.found, problem.where) == (found, f"{tmp_path / 'chip.toml'}, line 11")


def test_nothing_is_reserved_where_there_is_no_end(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("words = 1024", 'reserve = "m"') + NEST, tmp_path)
    assert problem.message == "levels.glb.reserve: nothing is taken of a memory without an end"


@pytest.mark.parametrize(("reserve", "found"), [("1024", "1024"), ("2 * 600", "1200"), ("3 - 5", "-2")])
def test_a_dataflow_keeps_some_words_for_operands(reserve: str, found: str, tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("words = 1024", f'words = 1024\nreserve = "{reserve}"') + NEST, tmp_path)
    assert problem.message == "levels.glb.reserve: this leaves no words, or more than there are"
    assert (problem.expected, problem.found) == ("0 to 1023", found)


def test_events_of_another_description_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(GOOD)
    changes = 'extends = "base.toml"\n[levels.glb]\noperands = ["O"]\n'
    (problem,) = problems(changes, tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 3"
    assert problem.hint.endswith(f"it is given in {tmp_path / 'base.toml'}, line 21")
    (tmp_path / "chip.toml").write_text(f'{changes}[accesses.far.events]\n"glb.input.read" = 0\n')
    assert select_target(str(tmp_path / "chip.toml")).machine.name == "chip"


def test_a_list_with_a_wrong_item_is_not_called_empty(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace('["I", "O"]', '["W"]'), tmp_path)
    assert problem.message == "levels.glb.operands.0: must be 'I', 'K' or 'O'"

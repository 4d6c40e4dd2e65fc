"""Descriptions by levels that are wrong: every message says which key, where, and what to do about it."""

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

[levels.pe]
kind = "axis"
size = 8
multicast = ["I"]

[accesses.dram]
energy = 100
events = { "dram.input.read" = 1 }

[dataflow]
nest = "for filters m, store glb [O] | par filters 1 on pe"
"""


def test_the_good_one_is_good(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(GOOD)
    assert select_target(str(path)).backend.name == "generic"


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("words = 1024", "wrods = 1024", 10, "levels.glb.wrods: there is no such key", "did you mean 'words'?"),
        ("words = 1024", "size = 1024", 10, "levels.glb.size: there is no such key", "did you mean 'words'?"),
        ("clock_mhz = 100", "clok_mhz = 100", 2, "clok_mhz: there is no such key", "did you mean 'clock_mhz'?"),
        ('kind = "axis"\n', "", 12, "levels.pe: must say what kind of level it is",
         'every level has kind = "memory" or kind = "axis"'),
        ('kind = "axis"', 'kind = "axes"', 13, "levels.pe.kind: there is no such kind of level",
         "did you mean 'axis'?"),
        ('kind = "axis"', 'kind = "cache"', 13, "levels.pe.kind: there is no such kind of level",
         'every level has kind = "memory" or kind = "axis"'),
        ("size = 8", "size = 0", 14, "levels.pe.size: must be at least 1", ""),
        ("size = 8\n", "", 12, "levels.pe.size: is missing", "every axis has size"),
        ('["I"]', '["X"]', 15, "levels.pe.multicast.0: must be 'I', 'K' or 'O'",
         "I is the input, K the kernel, O the output"),
        ("dram.input.read", "dram.input.raed", 19, "accesses.dram.events: nothing is counted as 'dram.input.raed'",
         "did you mean dram.input.read"),
        ("[levels.dram]", "[levels.dram]\nwords = 5", 6,
         "levels.dram.words: the first level is a memory without a capacity",
         "describe the off-chip memory first, without words"),
        ("size = 8", "size = 8\nextends = 3", 15, "levels.pe.extends: there is no such key",
         "extends is said of the whole machine: it stands before the first table of the file"),
        ("size = 8", "size = 8\noperation = 3", 15, "levels.pe.operation: there is no such key",
         "operation is said of the whole machine"),
        ('"dram.input.read"', "dram.input.read", 19, "accesses.dram.events.dram: must be a number",
         "a name with dots in it stands in quotes"),
        ("energy = 100", "energy = -1", 18, "accesses.dram.energy: must be at least 0", ""),
        ("store glb", "store gbl", 22, "dataflow.nest: there is no memory 'gbl'", "did you mean glb?"),
        ("on pe", "on", 22, "dataflow.nest: cannot read this", "for PART TILE, par PART TILE on AXIS"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_where_it_is(
    old: str, new: str, line: int, message: str, hint: str, tmp_path: Path
) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1), tmp_path)
    problem = next(each for each in found if each.message.startswith(message))
    assert problem.code == "CAT-C003"
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.hint.startswith(hint)
    assert problem.hint


def test_a_list_that_is_no_figure_is_one_problem(tmp_path: Path) -> None:
    (problem,) = problems(f'{GOOD}\n[figures]\na = [1, "x"]\n', tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {len(GOOD.splitlines()) + 3}"
    assert problem.message == "figures.a: must be a number, a text or a list of whole numbers"
    assert problem.found == '[1, "x"]'


@pytest.mark.parametrize("text", ["a\\nb", "a\\n", "a\\u2028b", "a\\u2029b"])
def test_a_summary_is_one_line(text: str, tmp_path: Path) -> None:
    (problem,) = problems(f'summary = "{text}"\n{GOOD}', tmp_path)
    assert problem.message == "summary: must be one line"
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 1"


def test_changes_are_blamed_on_the_file_that_makes_them(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(GOOD)
    (problem,) = problems('extends = "base.toml"\n\n[levels.glb]\nwodrs = 3\n', tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 4"
    assert problem.message.startswith("levels.glb.wodrs: ")


def test_text_that_is_no_toml(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace('"chip"', "chip"), tmp_path)
    assert problem.message == "the target description is not TOML: Invalid value"
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 1"


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    (problem,) = problems('name = "chip"\nclock_mhz', tmp_path)
    assert problem.where.endswith("chip.toml, line 2")
    assert problem.message.endswith("at the end of the file")


def test_lists_too_deep_to_read(tmp_path: Path) -> None:
    (problem,) = problems(f'name = "chip"\nfigures = {"[" * 5000}', tmp_path)
    assert (problem.code, problem.where) == ("CAT-C003", f"{tmp_path / 'chip.toml'}, line 2")


def test_keys_too_deep_to_show(tmp_path: Path) -> None:
    (problem,) = problems(f"{'a.' * 5000}a = 1\n{GOOD}", tmp_path)
    assert problem.message == "a: there is no such key"
    assert problem.found == "{a = {a = {a = ...}}}"


def test_all_that_does_not_go_together_is_said_at_once(tmp_path: Path) -> None:
    text = GOOD
    for old, new in (
        ("[levels.dram]", "[levels.dram]\nwords = 10"),
        ("words = 1024", 'words = 1024\noperands = ["I", "O"]\nbypass = ["K"]\nrooms = { K = 10 }\nreserve = "1 +"'),
        ('"dram.input.read" = 1', '"dram.input.raed" = 1, "q.input.read" = 1'),
        ("store glb [O] | par filters 1 on pe", "store gbl [O] | par filters 1 on w"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    found = [(each.where.partition("line ")[2], each.message) for each in problems(text, tmp_path)]
    assert sorted(found) == [
        ("13", "levels.glb.bypass: K does not stay in this memory"),
        ("14", "levels.glb.rooms: K does not stay in this memory"),
        ("15", "levels.glb.reserve: cannot read this"),
        ("24", "accesses.dram.events: nothing is counted as 'dram.input.raed'"),
        ("24", "accesses.dram.events: nothing is counted as 'q.input.read'"),
        ("27", "dataflow.nest: there is no axis 'w'"),
        ("27", "dataflow.nest: there is no memory 'gbl'"),
        ("6", "levels.dram.words: the first level is a memory without a capacity"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message", "found"),
    [
        ("words = 1024", "words = true", "levels.glb.words: must be a whole number", "true"),
        ("words = 1024", 'words = "1024"', "levels.glb.words: must be a whole number", '"1024"'),
        ("words = 1024", 'slides = "yes"', "levels.glb.slides: must be true or false", '"yes"'),
        ("words = 1024", 'buffers = "1"', "levels.glb.buffers: must be a whole number", '"1"'),
        ("words = 1024", 'read = "4"', "levels.glb.read: must be a number", '"4"'),
        ("words = 1024", "read = true", "levels.glb.read: must be a number", "true"),
        ("word_bits = 16", 'word_bits = "16"', "word_bits: must be a whole number", '"16"'),
        ("word_bits = 16", 'word_bits = 16\nnested = "no"', "nested: must be true or false", '"no"'),
        ("clock_mhz = 100", 'clock_mhz = "100"', "clock_mhz: must be a number", '"100"'),
        ('multicast = ["I"]', 'multicast = "I"', "levels.pe.multicast: must be a list", '"I"'),
        ('"dram.input.read" = 1', '"dram.input.read" = "1"', "accesses.dram.events.dram.input.read: must be a number",
         '"1"'),
    ],
)  # fmt: skip
def test_values_are_not_converted(old: str, new: str, message: str, found: str, tmp_path: Path) -> None:
    assert old in GOOD
    (problem,) = problems(GOOD.replace(old, new, 1), tmp_path)
    assert (problem.message, problem.found) == (message, found)


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(GOOD.replace("words = 1024", "words = 1024\nread = 4"))
    assert select_target(str(path)).machine.memory("glb").read == 4


def test_levels_are_tables_by_name(tmp_path: Path) -> None:
    (problem,) = problems('name = "chip"\nlevels = [{name = "dram", kind = "memory"}]\n', tmp_path)
    assert problem.message == "levels: must be a table of tables"
    assert problem.where.endswith("line 2")


def test_a_misspelled_table_is_found_where_tables_in_it_begin(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("[levels.pe]", "[level.pe]"), tmp_path)
    assert problem.message.startswith("level: ")
    assert problem.where.endswith(f"line {GOOD.splitlines().index('[levels.pe]') + 1}")
    assert problem.hint == "did you mean 'levels'?"


def test_a_whole_description_needs_a_clock(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("clock_mhz = 100\n", ""), tmp_path)
    assert problem.message == "clock_mhz: is missing"


NINES, HEX = "9" * 5000, "0x" + "F" * 5000


@pytest.mark.parametrize("old", ["words = 1024", "size = 8", "energy = 100"])
def test_numbers_of_too_many_digits(old: str, tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace(old, f"{old.partition(' ')[0]} = {NINES}"), tmp_path)
    assert problem.where.endswith(f"line {GOOD[: GOOD.index(old)].count(chr(10)) + 1}")
    assert problem.message.endswith("too many digits")
    assert problem.hint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("words = 1024", f"words = {HEX}"),
        ("words = 1024", f"wrods = {HEX}"),
        ('kind = "axis"', f"kind = {HEX}"),
        ("word_bits = 16", f"word_bits = 16\nfigures.a = {HEX}"),
        ("word_bits = 16", f"word_bits = 16\nextends = {HEX}"),
        ("word_bits = 16", f"word_bits = 16\nelements = {10**30}"),
        ("word_bits = 16", f"word_bits = 16\nlimits.pre_steps = {10**24}"),
    ],
)
def test_numbers_that_nothing_holds(old: str, new: str, tmp_path: Path) -> None:
    for problem in problems(GOOD.replace(old, new), tmp_path):
        assert ", line " in problem.where
        assert len(str(problem)) < 500


def test_a_file_that_extends_itself_by_another_path(tmp_path: Path) -> None:
    (problem,) = problems(f'extends = "../{tmp_path.name}/chip.toml"', tmp_path)
    assert "the description extends itself" in problem.message
    assert problem.where.endswith("chip.toml, line 1")


def test_a_chain_that_is_too_long(tmp_path: Path) -> None:
    for index in range(100):
        (tmp_path / f"link{index}.toml").write_text(f'extends = "link{index + 1}.toml"')
    (problem,) = problems('extends = "link0.toml"', tmp_path)
    assert problem.message == "extends: more than 32 descriptions extend one another"
    assert problem.where.endswith(", line 1")


def test_a_name_too_long_for_a_file(tmp_path: Path) -> None:
    (problem,) = problems(f'extends = "{"a" * 5000}"', tmp_path)
    assert problem.where.endswith("chip.toml, line 1")
    assert len(problem.message) < 200


@pytest.mark.parametrize("table", ["levels.pe", "accesses.dram"])
def test_a_table_has_no_other_name_than_its_key(table: str, tmp_path: Path) -> None:
    text = GOOD.replace(f"[{table}]", f'[{table}]\nname = "other"')
    (problem,) = problems(text, tmp_path)
    assert problem.message == f"{table}.name: there is no such key"
    assert problem.where.endswith(f"line {text[: text.index('other')].count(chr(10)) + 1}")

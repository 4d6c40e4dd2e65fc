"""Descriptions with keys that cannot be read, and with contradictions elsewhere: all are said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from tests.compiler.descriptions.problems import problems
from tests.compiler.descriptions.test_pointless import CHIP, NEST

BANKS = CHIP.replace("words = 1024", "words = 1024\nbank = 7")
NO_BANKS = "levels.glb.bank: 1024 words are not a whole number of banks of 7"
NO_HOPS = "accesses.far.events: 'rf.output.hop' never happens: no axis inside of rf reduces"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (BANKS.replace("clock_mhz = 100", 'clock_mhz = "fast"'), ["clock_mhz: must be a number", NO_BANKS]),
        (BANKS.replace("size = 8", ""), ["levels.pe.size: is missing", NO_BANKS]),
        (BANKS.replace("reduces = true", "reduce = true"), ["levels.pe.reduce: there is no such key", NO_BANKS]),
        (BANKS.replace("energy = 100", "energy = []"), ["accesses.far.energy: must be a number", NO_BANKS]),
        (BANKS.replace('name = "chip"', "name = 3"), ["name: must be a text", NO_BANKS]),
        (BANKS + NEST + "even = 3\n", ["dataflow.even: must be a list", NO_BANKS]),
        (BANKS.replace("= 16", "= 0").replace("size = 8", "size = -1"),
         ["word_bits: must be at least 1", "levels.pe.size: must be at least 1", NO_BANKS]),
        (CHIP.replace("glb.input.read", "rf.output.hop").replace("reduces = true", "reduces = 1"),
         ["levels.pe.reduces: must be true or false", NO_HOPS]),
        # What could be right once the wrong key is: nothing is said of it.
        (CHIP.replace("glb.input.read", "glb.output.hop").replace("reduces = true", "reduces = 1"),
         ["levels.pe.reduces: must be true or false"]),
        (CHIP.replace("glb.input.read", "glb.output.hop").replace("reduces = true", "reduce = true"),
         ["levels.pe.reduce: there is no such key"]),
        (BANKS.replace("words = 1024", "word = 1024"), ["levels.glb.word: there is no such key"]),
        (BANKS.replace("words = 1024", 'words = "1024"'), ["levels.glb.words: must be a whole number"]),
        (CHIP + NEST.replace("[dataflow]", "[dataflow]\neven = 1") + 'weigh = { "glb.kernel.read" = 2 }\n',
         ["dataflow.even: must be a list"]),
        (BANKS.replace('kind = "axis"', 'kind = "axes"'), ["levels.pe.kind: there is no such kind of level"]),
    ],
)  # fmt: skip
def test_what_is_wrong_in_any_case_is_said_at_once(text: str, messages: list[str], tmp_path: Path) -> None:
    found = problems(text, tmp_path)
    assert [each.message for each in found] == messages
    for problem in found:
        assert problem.where.startswith(f"{tmp_path / 'chip.toml'}, line ")


def test_lines_are_those_of_the_keys(tmp_path: Path) -> None:
    first, second = problems(BANKS.replace("size = 8", "size = 0"), tmp_path)
    assert (first.where, second.where) == tuple(f"{tmp_path / 'chip.toml'}, line {line}" for line in (15, 11))


def test_keys_in_quotes_may_have_colons(tmp_path: Path) -> None:
    text = f'"a: b" = 3\n{CHIP}[levels.rf.rooms]\n"I: J" = 3\n["levels: x"]\n'
    found = {each.message.removesuffix(": there is no such key"): each.where for each in problems(text, tmp_path)}
    path = tmp_path / "chip.toml"
    assert found['"a: b"'] == f"{path}, line 1"
    assert found['"levels: x"'] == f"{path}, line 29"
    assert f"{path}, line 28" in found.values()


@pytest.mark.parametrize(
    ("key", "message", "hint"),
    [
        ("levels.gbl.words", "levels.gbl: there is no such level", "did you mean glb?"),
        ("levels.xyzzy.words", "levels.xyzzy: there is no such level", "known: dram, glb, pe, rf"),
        ("accesses.fra.energy", "accesses.fra: there is no such kind of access", "did you mean far?"),
    ],
)
def test_settings_of_what_is_not_there(key: str, message: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(CHIP)
    with pytest.raises(CatenaError) as caught:
        select_target(str(tmp_path / "chip.toml"), {key: "3"})
    (problem,) = caught.value.diagnostics
    assert (problem.message, problem.hint) == (message, hint)
    assert problem.where == f"set by --set {key}"
    settings = {"levels.more.kind": '"memory"', "levels.more.words": "3"}
    select_target(str(tmp_path / "chip.toml"), settings)


def test_keys_behind_a_table_are_said_with_all_the_rest(tmp_path: Path) -> None:
    found = problems(f'[levels.first]\nkind = "memory"\n{CHIP}', tmp_path)
    assert [each.message for each in found] == [
        "levels.first.name: there is no such key",
        "name: is missing",
        "clock_mhz: is missing",
        "word_bits: is missing",
        "levels.first.clock_mhz: there is no such key",
    ]
    assert found[0].hint == "name is said of the whole machine: it stands before the first table of the file"


@pytest.mark.parametrize(
    ("old", "new", "line", "hint"),
    [
        ("[levels.glb]", "[levels.gl³]", 8, "a line is KEY = VALUE, [TABLE] or a comment"),
        ("[levels.glb]", "[[levels]]", 8, "tables with names have single brackets: [levels.NAME]"),
        ("[levels.glb]", "[levels.glb", 8, "close the brackets: [levels.NAME]"),
        ('"axis"', "“axis”", 13, "texts stand in straight quotes"),
    ],
)
def test_hints_for_text_that_is_no_toml(old: str, new: str, line: int, hint: str, tmp_path: Path) -> None:
    (problem,) = problems(CHIP.replace(old, new), tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.hint.startswith(hint)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ("[levels.gbl]\nwords = 3\n", "did you mean 'glb'? every level has kind"),
        ("[accesses.fra]\nenergy = 3\n", "did you mean 'far'? every access has events"),
    ],
)
def test_changes_of_what_is_not_there(change: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(CHIP)
    (problem,) = problems(f'extends = "base.toml"\nname = "other"\n{change}', tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 3"
    assert problem.hint.startswith(hint)

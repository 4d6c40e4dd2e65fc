"""Descriptions that change others: problems are said of the file and the line that make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.descriptions.causes import Causes
from compiler.descriptions.files import DescribedTarget, described_target
from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic
from tests.compiler.descriptions.problems import problems

BASE = """\
name = "chip"
clock_mhz = 100
word_bits = 16

[levels.dram]
kind = "memory"

[levels.glb]
kind = "memory"
words = 1024
bypass = ["K"]

[levels.pe]
kind = "axis"
size = 8

[accesses.dram]
energy = 100
events = { "dram.input.read" = 1 }

[dataflow]
nest = "for filters m, store glb [O] | par filters 1 on pe"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.toml").write_text(BASE)
    return tmp_path


def place(problem: Diagnostic) -> tuple[str, int]:
    file, _, line = problem.where.partition(", line ")
    return Path(file).name, int(line)


@pytest.mark.parametrize(
    ("extends", "code", "message"),
    [
        ('"none.toml"', "CAT-C002", "extends: cannot read "),
        ('"bsae"', "CAT-C001", "extends: no target is called 'bsae'"),
        ('"."', "CAT-C001", "extends: no target is called '.'"),
        ('""', "CAT-C001", "extends: no target is called ''"),
        ("3", "CAT-C003", "extends: must be a text"),
        ('["base.toml"]', "CAT-C003", "extends: must be a text"),
        ('"chip.toml"', "CAT-C003", "extends: the description extends itself: "),
    ],
)
def test_what_cannot_be_extended(extends: str, code: str, message: str, folder: Path) -> None:
    (problem,) = problems(f'name = "x"\nextends = {extends}\n', folder)
    assert (problem.code, place(problem)) == (code, ("chip.toml", 2))
    assert problem.message.startswith(message)
    assert problem.hint


def test_a_chain_that_breaks_further_in_is_blamed_on_the_file_that_names_what_is_not_there(folder: Path) -> None:
    (folder / "middle.toml").write_text('\n\nextends = "none.toml"\n')
    (problem,) = problems('extends = "middle.toml"\n', folder)
    assert place(problem) == ("middle.toml", 3)


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (b"\x7fELF\x02\x01\x00\xd0", 1, "byte 0xd0: a binary file, or UTF-16 text"),
        (BASE.encode("utf-16"), 1, "byte 0xff, with which UTF-16 text begins"),
        (BASE.encode("utf-16-le"), 1, "byte 0x00: a binary file, or UTF-16 text"),
        (BASE.replace("memory", "m\xe9moire").encode("latin-1"), 6, "byte 0xe9, which is \xe9 in Latin-1"),
    ],
    ids=["binary", "utf-16", "utf-16 without mark", "latin-1"],
)
def test_what_is_extended_is_text(content: bytes, line: int, found: str, folder: Path) -> None:
    (folder / "base.toml").write_bytes(content)
    (folder / "middle.toml").write_text('\n\nextends = "base.toml"\n')
    for text, where in (('name = "x"\nextends = "base.toml"\n', ("chip.toml", 2)),
                        ('extends = "middle.toml"\n', ("middle.toml", 3))):  # fmt: skip
        (problem,) = problems(text, folder)
        assert (problem.code, place(problem)) == ("CAT-C002", where)
        assert problem.message == f"extends: {folder / 'base.toml'} is not a text file"
        assert problem.expected == "a TOML file in UTF-8"
        assert problem.found == f"{found} ({folder / 'base.toml'}, line {line})"
        assert problem.hint
    (folder / "chip.toml").write_bytes(content)
    with pytest.raises(CatenaError) as caught:
        select_target(str(folder / "chip.toml"))
    (alone,) = caught.value.diagnostics
    assert (place(alone), alone.found) == (("chip.toml", line), found)


def test_a_level_stays_of_its_kind(folder: Path) -> None:
    (problem,) = problems('extends = "base.toml"\n\n[levels.glb]\nkind = "axis"\nsize = 3\n', folder)
    assert place(problem) == ("chip.toml", 4)
    assert problem.message == 'levels.glb.kind: in base.toml this level is of kind "memory"'
    assert problem.found == '"axis"'


def test_a_machine_without_levels_gets_none(folder: Path) -> None:
    (problem,) = problems('extends = "eyeriss"\n\n[levels.glb]\nkind = "axis"\nsize = 3\n', folder)
    assert place(problem) == ("chip.toml", 3)
    assert problem.message == "levels: eyeriss is not described by levels, and cannot have any"


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        ('[levels.glb]\noperands = ["I", "O"]', 4, "levels.glb.bypass: K does not stay in this memory"),
        ('[levels.glb]\nwords = 8\noperands = ["I", "K"]', 5, "dataflow.nest: 'store glb [O]': what may not stay"),
        ('[levels]\nglb = { words = 8, operands = ["I", "K"] }', 4, "dataflow.nest: 'store glb [O]': what may not"),
        ('[levels.new]\nkind = "axis"', 3, "levels.new.size: is missing"),
        ('[levels]\nglb.wrods = 8', 4, "levels.glb.wrods: there is no such key"),
        ('accesses = 3', 3, "accesses: must be a table of tables"),
    ],
)  # fmt: skip
def test_changes_that_make_what_is_extended_wrong(changes: str, line: int, message: str, folder: Path) -> None:
    (problem,) = problems(f'extends = "base.toml"\n\n{changes}\n', folder)
    assert place(problem) == ("chip.toml", line)
    assert problem.message.startswith(message)
    key = problem.message.partition(": ")[0]
    origin = {"levels.glb.bypass": 11, "dataflow.nest": 22}.get(key)
    assert origin is None or problem.hint.endswith(f"it is given in {folder / 'base.toml'}, line {origin}")


def test_the_change_of_another_table_that_makes_a_key_wrong_is_found(folder: Path) -> None:
    (folder / "base.toml").write_text(BASE.replace("words = 1024", "words = 1024\nword_bits = 32"))
    (folder / "middle.toml").write_text('extends = "base.toml"\nclock_mhz = 7\n\nword_bits = 12\n')
    for text in ('extends = "middle.toml"\n', 'extends = "middle.toml"\n[levels.glb]\nread = 3\n'):
        (problem,) = problems(text, folder)
        assert problem.message.startswith("levels.glb.word_bits: a word is a whole number of the machine's words")
        assert place(problem) == ("middle.toml", 4)
        assert problem.hint.endswith(f"it is given in {folder / 'base.toml'}, line 11")


@pytest.mark.parametrize(
    ("changes", "wrong", "line"),
    [
        ("clock_mhz = 7\n[levels.pe]\nsize = 4\n[levels.glb]\nwords = 8\n", ("clock", "size"), 4),
        ("[levels.pe]\nsize = 4\n[levels.glb]\nwords = 8\n", ("size", "words"), 5),
        ("clock_mhz = 7\n[levels.pe]\nsize = 4\n", ("clock",), 2),
    ],
    ids=["of the same tables", "of the same table", "the only one"],
)
def test_one_of_several_changes_that_each_make_a_problem(
    changes: str, wrong: tuple[str, ...], line: int, folder: Path
) -> None:
    def messages_of(changed: DescribedTarget) -> set[str]:
        levels = changed.description["levels"]
        assert list(levels) == ["dram", "glb", "pe"]
        now = {
            "clock": changed.description["clock_mhz"] == 7,
            "size": levels["pe"]["size"] == 4,
            "words": levels["glb"]["words"] == 8,
        }
        return {"wrong"} if any(now[each] for each in wrong) else set()

    (folder / "chip.toml").write_text(f'extends = "base.toml"\n{changes}')
    assert Causes(described_target(str(folder / "chip.toml")), messages_of).line("wrong", "levels.glb.bank") == line


def test_what_was_wrong_before_is_blamed_on_the_file_that_was_wrong(folder: Path) -> None:
    (folder / "middle.toml").write_text('extends = "base.toml"\n[levels.glb]\noperands = ["I", "O"]\n')
    (problem,) = problems('extends = "middle.toml"\n[levels.glb]\nread = 3\n', folder)
    assert place(problem) == ("middle.toml", 3)


def test_what_is_missing_is_missing_in_the_file_that_is_read(folder: Path) -> None:
    (folder / "part.toml").write_text(BASE.replace("clock_mhz = 100\n", ""))
    (problem,) = problems('extends = "part.toml"\nname = "whole"\n', folder)
    assert problem.message == "clock_mhz: is missing"
    assert place(problem) == ("chip.toml", 1)


def test_keys_with_dots_and_spaces_have_lines(folder: Path) -> None:
    found = problems(
        'extends = "base.toml"\n[levels."a.b"]\nkind = "memory"\n[levels."a b"]\nkind = "memory"\n', folder
    )
    assert [place(each)[1] for each in found] == [2, 4]

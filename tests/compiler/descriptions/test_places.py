"""Where messages about descriptions say that something is: lines, settings, and what is no TOML at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.nest_machine import NestMachine
from tests.compiler.descriptions.problems import problems

CHIP = """\
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

[dataflow]
nest = \"\"\"
for filters m, store glb [O],
for channels q, store glb [I] |
par filters 1 on pe
\"\"\"
even = ["filters"]
"""


def line(problem: Diagnostic) -> int:
    return int(problem.where.rpartition("line ")[2])


def test_the_chip_is_one(tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(CHIP)
    assert select_target(str(tmp_path / "chip.toml")).machine.name == "chip"


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("[levels.glb]", "[[levels.glb]]", 8, "levels.glb: must be a table"),
        ("[levels.", "[Levels.", 5, "Levels: there is no such key"),
        ("store glb [I]", "store gbl [I]", 19, "dataflow.nest: there is no memory 'gbl'"),
        ("on pe", "on p", 20, "dataflow.nest: there is no axis 'p'"),
        ("for filters m", "for filters 0", 18, "dataflow.nest: 'for filters': a tile has one index or more"),
        ("channels q", "channels q /", 19, "dataflow.nest: cannot read this"),
        ("|\npar filters 1 on pe", "|\nstore dram [O]", 20, "dataflow.nest: there is no memory 'dram'"),
        ('\"\"\"\nfor filters m,', '\"\"\"for filter m,', 17, "dataflow.nest: there is no part 'filter'"),
        ("[O],\n", "[O], \\\n", 17, "dataflow.nest: there is no axis 'q'"),
        ("[dataflow]", "[[dataflow]]", 16, "dataflow: must be a table"),
        ("even = [", "evne = [", 22, "dataflow.evne: there is no such key"),
    ],
)  # fmt: skip
def test_lines(old: str, new: str, at: int, message: str, tmp_path: Path) -> None:
    assert old in CHIP
    text = CHIP.replace(old, new)
    if "no axis 'q'" in message:
        text = text.replace("on pe", "on q")
    (problem,) = problems(text, tmp_path)
    assert problem.message.startswith(message)
    assert (problem.where, bool(problem.hint)) == (f"{tmp_path / 'chip.toml'}, line {at}", True)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ('""', '""'),
        ("''", '""'),
        ('"\\u202eabc"', "\\u202eabc"),
        ('"\u202eabc"', "\\u202eabc"),
        ('"a\\nb"', "a\\nb"),
        ('"word\\u200b_bits"', "word\\u200b_bits"),
        ('"a b=c"', "a b=c"),
        ('"\\u0061"', "a"),
        ('"a\\"b"', 'a"b'),
        ("'a\"b'", 'a"b'),
        ('"it\'s"', "it's"),
    ],
)
@pytest.mark.parametrize(("after", "table", "at"), [("word_bits = 16", "", 4), ('kind = "memory"', "levels.dram.", 7)])
def test_odd_keys_are_found_and_shown_in_one_line(
    key: str, shown: str, after: str, table: str, at: int, tmp_path: Path
) -> None:
    (problem,) = problems(CHIP.replace(after, f"{after}\n{key} = 2", 1), tmp_path)
    assert problem.message == f"{table}{shown}: there is no such key"
    assert line(problem) == at
    assert problem.message in str(problem).splitlines()[0]


def test_odd_tables_are_found(tmp_path: Path) -> None:
    found = problems(f'{CHIP}[levels."a\\nb"]\nkind = "axis"\nsize = 2\n', tmp_path)
    assert [(each.message.partition(": ")[0], line(each)) for each in found] == [("levels.a\\nb", 23)]


def test_keys_in_texts_of_several_lines_are_none(tmp_path: Path) -> None:
    text = CHIP.replace("word_bits = 16", 'figures.note = """\n[levels.pe]\nsize = 8\n"""\nword_bits = 16')
    (problem,) = problems(text.replace("size = 8\n\n", "size = 0\n\n"), tmp_path)
    assert line(problem) == 18


@pytest.mark.parametrize("key", ["extend", "Extends", "extnds", "etxends"])
def test_what_is_nearly_called_extends_is_suggested(key: str, tmp_path: Path) -> None:
    (alone,) = problems(f'name = "x"\n{key} = "eyeriss"\n', tmp_path)
    beside = problems(f'{key} = "eyeriss"\n{CHIP}', tmp_path)
    assert (line(alone), line(beside[0])) == (2, 1)
    assert alone.message == beside[0].message == f"{key}: there is no such key"
    assert alone.hint == beside[0].hint == "did you mean 'extends'?"


@pytest.mark.parametrize(
    ("text", "at", "message", "hint"),
    [
        ("\ufeffa = 1", 1, "byte order mark", "save the file as UTF-8 without one"),
        ("a = 1\nb = 2\na = 3", 3, "a is given twice", "a is first given in line 1"),
        ("[x]\na = 1\n\n[y]\n[x]\nb = 2", 5, "x is given twice", "x is first given in line 1"),
        ("[x.y]\na = 1\n[x]\ny = 3\n[z]", 4, "x.y is given twice", "x.y is first given in line 1"),
        ("a = 1\n[a.b]\nc = 1", 2, "a.b is given twice", "a is first given in line 1"),
        ('a = """\nx\n"""\na = """\ny\n"""\n', 4, "a is given twice", "a is first given in line 1"),
        ("a = yes", 1, "Invalid value", "texts stand in straight quotes"),
        ("a = 100 MHz", 1, "Expected newline", "one key a line"),
        ("a : 1", 1, "Expected '='", "a line is KEY = VALUE"),
        ("// a", 1, "Invalid statement", "a line is KEY = VALUE"),
        ("[x\na = 1", 1, "Expected ']'", "close the brackets"),
        ('a = "x\nb = 1', 1, "Illegal character", "close the quotes in the same line"),
        ('a = """x\n', 1, '""" is not closed', "close the quotes"),
        ("a = 'x\nb = 1", 1, "' is not closed", "close the quotes in the same line"),
        ("a = '''x\nb = 1", 1, "''' is not closed", "close the quotes in the same line"),
        ('a = "\x1b"', 1, "Illegal character", "leave the control character out"),
        ("a = { b = 1,\n}", 1, "Invalid initial character", "a table in braces is written in one line"),
        ('a = "\\q"', 1, "Unescaped", "write two backslashes"),
        ("a = [1,\n2\n", 2, "Unclosed array", "close the brackets of the list"),
        ("a = { b = 1 }\na.c = 2", 2, "a.c is given twice", "a is first given in line 1"),
    ],
)
def test_what_is_no_toml(text: str, at: int, message: str, hint: str, tmp_path: Path) -> None:
    (problem,) = problems(text, tmp_path)
    assert message in problem.message
    assert (problem.code, line(problem)) == ("CAT-C003", at)
    assert problem.hint.startswith(hint)


@pytest.mark.parametrize(
    ("settings", "message", "where"),
    [
        ({"levels.pe.size": "0"}, "levels.pe.size: must be at least 1", "set by --set levels.pe.size"),
        ({"clock_mhz": "1", "levels.glb.bank": "1000"}, "levels.glb.bank: 1024 words are not a whole number",
         "set by --set levels.glb.bank"),
        ({"levels.glb.words": "100", "clock_mhz": "1"}, "levels.glb.reserve: this leaves no words",
         "set by --set levels.glb.words"),
        ({"levels.rf.kind": "axis"}, "levels.rf.size: is missing", "set by --set levels.rf.kind"),
        ({"levels.pe.loops": "['ks']", "clock_mhz": "1"}, "dataflow.nest: 'par filters' on pe",
         "set by --set levels.pe.loops, --set clock_mhz"),
        ({"clock_mhz.x": "1"}, "clock_mhz.x: 'clock_mhz' is a value, not a table", "set by --set clock_mhz.x"),
    ],
)  # fmt: skip
def test_what_settings_make_wrong_is_said_of_them(
    settings: dict[str, str], message: str, where: str, tmp_path: Path
) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(CHIP.replace("words = 1024", 'words = 1024\nreserve = "200"'))
    with pytest.raises(CatenaError) as caught:
        select_target(str(path), settings)
    (problem,) = caught.value.diagnostics
    assert problem.message.startswith(message)
    assert problem.where == where


def test_what_is_wrong_without_settings_keeps_its_line(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(CHIP.replace("size = 8", "size = 0"))
    with pytest.raises(CatenaError) as caught:
        select_target(str(path), {"clock_mhz": "-1"})
    assert [each.where for each in caught.value.diagnostics] == ["set by --set clock_mhz", f"{path}, line 14"]


@pytest.mark.parametrize(
    "first",
    [
        """summary = "'''" """,
        """summary = 'a\"\"\"b'""",
        "summary = \"a\\\\\\\"b'''\"  # '''",
        'summary = ""  # \\"\\"\\" ',
        "# a\u2028b\x85c",
    ],
)
def test_lines_are_those_of_toml(first: str, tmp_path: Path) -> None:
    (problem,) = problems(f"{first}\n{CHIP}".replace("size = 8", "size = 0"), tmp_path)
    assert problem.where.endswith(f"line {CHIP[: CHIP.index('size')].count(chr(10)) + 2}")


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("levels.glb.words", "9" * 5000, "levels.glb.words: the number has too many digits"),
        ("clock_mhz", "5\nfoo = 7", "clock_mhz: more than a value follows"),
        ("extends", '"tpu"', "extends: cannot be set"),
        (".".join("a" * 3000), "1", "there is no such key"),
        ('accesses.far.events."glb.input.read"', "-2", "accesses.far.events.glb.input.read: must be at least 0"),
    ],
)
def test_settings_that_cannot_be(key: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(CHIP + '\n[accesses.far]\nenergy = 1\nevents = { "glb.input.read" = 1 }\n')
    with pytest.raises(CatenaError) as caught:
        select_target(str(tmp_path / "chip.toml"), {key: text})
    (problem,) = caught.value.diagnostics
    assert problem.message.endswith(message)
    assert problem.where.startswith("set by --set ")
    assert problem.hint
    assert len(str(problem)) < 500


def test_a_setting_of_a_key_in_quotes(tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(CHIP + '\n[accesses.far]\nenergy = 1\nevents = { "glb.input.read" = 1 }\n')
    target = select_target(str(tmp_path / "chip.toml"), {'accesses.far.events."glb.input.read"': "2"})
    assert isinstance(target.machine, NestMachine)
    assert target.machine.accesses[0].events == {"glb.input.read": 2}

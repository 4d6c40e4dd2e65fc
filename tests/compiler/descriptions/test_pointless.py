"""Descriptions that say something to no effect: prices of what never happens, limits that limit nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.targets import select_target
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
reduces = true

[levels.rf]
kind = "memory"
operands = ["K", "O"]

[accesses.far]
energy = 100

[accesses.far.events]
"glb.input.read" = 1
"""
NEST = """
[dataflow]
nest = "for filters m, store glb [O] | par channels 1 on pe, store rf [K]"
"""
NO_SUMS = CHIP.replace("words = 1024", 'words = 1024\noperands = ["I", "K"]')


@pytest.mark.parametrize(
    ("text", "event", "line", "reason"),
    [
        (CHIP, "rf.output.hop", 25, "no axis inside of rf reduces"),
        (CHIP.replace("reduces = true", ""), "glb.output.hop", 25, "no axis inside of glb reduces"),
        (CHIP, "dram.output.hop", 25, "those along pe hop to glb, where they have to stay"),
        (CHIP + NEST, "dram.output.hop", 25, "those along pe hop to glb, where they have to stay"),
        (CHIP, "operation.output.hop", 25, "operations hold no words"),
        (CHIP, "rf.output.hold", 25, "there is a rf for every position along pe, and groups hold tensors where"),
        (CHIP, "rf.extra.read", 25, "there is a rf for every position along pe, and groups hold tensors where"),
        (NO_SUMS, "glb.output.update", 26, "no O stays in glb"),
        (CHIP, "host.read", 25, "there is no table host"),
        (CHIP.replace("= 16", "= 16\nlimits.post_operands = 0"), "dram.extra.read", 26, "limits.post_operands is 0"),
        (CHIP.replace("= 16", "= 16\nlimits.post_steps = 0"), "operation.post", 26, "limits.post_steps is 0"),
    ],
)  # fmt: skip
def test_what_never_happens_has_no_price(text: str, event: str, line: int, reason: str, tmp_path: Path) -> None:
    priced = text.replace('"glb.input.read" = 1', f'"{event}" = 2')
    (problem,) = problems(priced, tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.message.startswith(f"accesses.far.events: '{event}' never happens: {reason}")
    assert (problem.code, problem.found) == ("CAT-C003", f"{event} = 2")
    assert problem.expected
    assert "leave it out, or say 0 of" in problem.hint
    if not event.startswith("host"):
        place, counted = problem.hint.partition(";")[0].split(" counts ")
        happening = counted.split(", ")
        assert happening
        assert place == event.partition(".")[0]
        assert event not in [f"{place}.{name}" for name in happening]
        for name in happening:
            (tmp_path / "chip.toml").write_text(priced.replace(event, f"{place}.{name}"))
            select_target(str(tmp_path / "chip.toml"))
    (tmp_path / "chip.toml").write_text(text.replace('"glb.input.read" = 1', f'"{event}" = 0'))
    select_target(str(tmp_path / "chip.toml"))


@pytest.mark.parametrize(
    "text",
    [
        CHIP.replace("words = 1024", 'words = 1024\nbypass = ["O"]'),
        CHIP + NEST.replace("store glb [O]", "store glb [I]"),
        NO_SUMS,
    ],
    ids=["may pass", "not in the nest", "does not stay"],
)
def test_sums_hop_past_what_they_may_pass(text: str, tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(text.replace("glb.input.read", "dram.output.hop"))
    select_target(str(path))


def test_who_takes_what_a_price_is_about_away_takes_back_the_price(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(CHIP.replace("glb.input.read", "glb.output.hop"))
    child = 'extends = "base.toml"\n\n[levels.pe]\nreduces = false\n'
    (problem,) = problems(child, tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line 4"
    assert problem.hint.endswith(f"it is given in {tmp_path / 'base.toml'}, line 25")
    (tmp_path / "chip.toml").write_text(f'{child}[accesses.far.events]\n"glb.output.hop" = 0\n')
    select_target(str(tmp_path / "chip.toml"))


def test_a_setting_that_ends_what_is_priced_is_named(tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(CHIP.replace("glb.input.read", "glb.output.hop"))
    with pytest.raises(Exception, match=r"set by --set levels\.pe\.reduces.*'glb\.output\.hop' never happens"):
        select_target(str(tmp_path / "chip.toml"), {"levels.pe.reduces": "false"})


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "found"),
    [
        ('"memory"\n\n', '"memory"\nrooms = { I = 3 }\n\n', 7, "levels.dram.rooms: this means nothing in the first",
         "{I = 3}"),
        ('"memory"\n\n', '"memory"\nbank = 3\n\n', 7, "levels.dram.bank: this means nothing in the first level", "3"),
        ('"memory"\n\n', '"memory"\nbuffers = 2\n\n', 7, "levels.dram.buffers: this means nothing in the first", "2"),
        ('"memory"\n\n', '"memory"\nslides = true\n\n', 7, "levels.dram.slides: this means nothing in the first",
         "true"),
        ('"memory"\n\n', '"memory"\nstays = false\n\n', 7, "levels.dram.stays: this means nothing in the first",
         "false"),
        ("words = 1024", "bank = 64", 10, "levels.glb.bank: the memory has no words that banks could divide",
         "no words"),
        ("words = 1024", "words = 1024\nbank = 1024", 11,
         "levels.glb.bank: there are too few banks for I and O to stay here", "1, words / bank"),
        ("words = 1024", "words = 6\nbank = 2\nbuffers = 2\nrooms = { O = 1 }", 13,
         "levels.glb.rooms: there is no word of O for each of 2 buffers", "1"),
        ("words = 1024", "words = 2\nbank = 1\nbuffers = 2", 11,
         "levels.glb.bank: there are too few banks for I and O to stay here", "2, words / bank"),
    ],
)  # fmt: skip
def test_what_limits_nothing_or_lets_nothing_in(
    old: str, new: str, line: int, message: str, found: str, tmp_path: Path
) -> None:
    (problem,) = problems(CHIP.replace(old, new, 1), tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.message.startswith(message)
    assert (problem.code, problem.found) == ("CAT-C003", found)
    assert problem.expected
    assert problem.hint


@pytest.mark.parametrize(
    "said",
    [
        "words = 1024\nrooms = { I = 2 }\nbuffers = 2",
        'words = 1024\nbank = 1024\nbypass = ["I"]',
        "words = 1024\nbank = 512",
        "rooms = { I = 2, O = 2 }",
        "words = 1\nword_bits = 64\nbuffers = 2",
    ],
)
def test_limits_that_let_something_in(said: str, tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(CHIP.replace("words = 1024", said))
    select_target(str(tmp_path / "chip.toml"))


def test_all_of_it_is_said_at_once_with_what_is_contradictory(tmp_path: Path) -> None:
    text = CHIP.replace('"memory"\n\n', '"memory"\nslides = true\nbypass = ["K"]\n\n', 1)
    found = problems(text.replace("glb.input.read", "rf.output.hop").replace("words = 1024", "bank = 5"), tmp_path)
    assert sorted(each.message.partition(":")[0] for each in found) == [
        "accesses.far.events",
        "levels.dram.bypass",
        "levels.dram.slides",
        "levels.glb.bank",
    ]


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        ('[counting]\nspad = ["operation.gated"]', 3, "counting.spad: 'operation.gated' never happens: there is no en"),
        ('[counting]\ndram = ["dram.input.compressed"]', 3, "counting.dram: 'dram.input.compressed' never happens: th"),
        ('[dram]\nburst_words = 0\n[counting]\ndram = ["dram.input.burst"]', 5,
         "counting.dram: 'dram.input.burst' never happens: dram.burst_words is 0"),
        ("[dram]\nburst_words = 0\ncharge_bursts = true", 4, "dram.charge_bursts: there are no bursts to charge"),
    ],
)  # fmt: skip
def test_an_array_charges_what_may_happen(changes: str, line: int, message: str, tmp_path: Path) -> None:
    (problem,) = problems(f'extends = "eyeriss"\n{changes}\n', tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.message.startswith(message)
    assert problem.expected
    assert problem.found
    assert problem.hint


@pytest.mark.parametrize(
    ("text", "line", "message", "found"),
    [
        (CHIP.replace("= 16\n", "= 16\nelements = 9\n"), 4, "elements: there are no more positions", "9"),
        (CHIP.replace("size = 8", 'size = 8\nloops = ["op", "ks"]\nmulticast = ["I", "K"]'), 16,
         "levels.pe.multicast: no two positions ever need the same word of K", 'loops = ["op", "ks"]'),
        (CHIP + NEST + 'even = ["filters", "images"]\n', 29,
         "dataflow.even: the nest does not cut images into tiles of more than one index", "images"),
        (CHIP + NEST + 'even = ["channels"]\n', 29, "dataflow.even: the nest does not cut channels", "channels"),
        (CHIP + NEST + 'weigh = { "glb.kernel.read" = 2 }\n', 29,
         "dataflow.weigh: 'glb.kernel.read' is no access whose price could be weighed", "glb.kernel.read = 2"),
        (CHIP + NEST.replace("par channels 1 on pe", "par channels 1 on pe, par channels 1 on pe"), 28,
         "dataflow.nest: 'par channels' on pe lays nothing along it", "a tile that is as large"),
        (CHIP + NEST.replace("par channels 1", "for channels 2*c, store glb [I], par channels 4*c*d"), 28,
         "dataflow.nest: 'par channels' on pe lays nothing along it", "a tile that is as large"),
        (CHIP + NEST.replace("for filters m", "for filters m, for filters m*n"), 28,
         "dataflow.nest: 'for filters' cuts nothing", "a tile that is as large"),
        (CHIP.replace('operands = ["K", "O"]', 'operands = ["K", "O"]\nbuffers = 2'), 20,
         "levels.rf.buffers: the memory has room for everything, and takes no time", "2"),
        (CHIP.replace("words = 1024", 'words = 1024\nreserve = "5*m"') + NEST.replace("store glb [O]", "for images 1"),
         11,
         "levels.glb.reserve: the nest stores nothing there that could leave words free", '"5*m"'),
        (CHIP + NEST.replace("store glb [O]", "for images 1"), 8, "levels.glb: the nest stores nothing there", "none"),
        (CHIP + NEST.replace("par channels 1 on pe", "for channels 1"), 12,
         "levels.pe: the nest lays nothing along it", "none"),
        (CHIP.replace('\n[accesses.far.events]\n"glb.input.read" = 1\n', "events = {}\n"), 23,
         "accesses.far.events: nothing is an access of this kind", "{}"),
        (CHIP + NEST + 'weigh = { "glb.input.read" = 1 }\n', 29,
         "dataflow.weigh: 'glb.input.read' weighs as much anyway", "glb.input.read = 1"),
    ],
)  # fmt: skip
def test_what_is_said_to_no_effect(text: str, line: int, message: str, found: str, tmp_path: Path) -> None:
    (problem,) = problems(text, tmp_path)
    assert problem.where == f"{tmp_path / 'chip.toml'}, line {line}"
    assert problem.message.startswith(message)
    assert problem.found == found
    assert problem.expected
    assert problem.hint


@pytest.mark.parametrize(
    "text",
    [
        CHIP.replace("= 16\n", "= 16\nelements = 8\n"),
        CHIP.replace("reduces = true", 'loops = ["op"]\nmulticast = ["I"]'),
        CHIP.replace("reduces = true", 'loops = ["opc"]\nmulticast = ["I", "K"]'),
        CHIP + NEST + 'even = ["filters"]\n',
        CHIP + NEST + 'weigh = { "glb.input.read" = 2 }\n',
        CHIP.replace("energy = 100", "energy = 0") + NEST + 'weigh = { "glb.input.read" = 2 }\n',
        CHIP + NEST.replace("par channels 1 on pe", "par channels c on pe, for channels 1"),
        CHIP + NEST.replace("par channels 1 on pe", "par channels 2*c on pe, par channels c on pe"),
        CHIP.replace("words = 1024", 'words = 1024\nreserve = "5*m"') + NEST,
    ],
)
def test_what_has_an_effect_may_be_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(text)
    select_target(str(tmp_path / "chip.toml"))


def test_what_another_description_says_may_be_taken_back(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(CHIP + NEST + 'weigh = { "glb.input.read" = 2 }\n')
    (tmp_path / "chip.toml").write_text(
        'extends = "base.toml"\n[accesses.far]\nevents = {}\n[dataflow]\nweigh = { "glb.input.read" = 1 }\n'
        'nest = "for filters m, store glb [O] | for channels 1"\n'
    )
    select_target(str(tmp_path / "chip.toml"))

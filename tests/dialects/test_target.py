"""The target as IR: descriptions are checked key by key, print and parse back to the same machine."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.utils.exceptions import VerifyException

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic, is_control
from dialects.events import EVENTS, LEVELS
from dialects.machine_kinds import parse_machine
from dialects.plain_attributes import from_attribute, to_attribute
from dialects.target import MachineOp, find_machine, require_machine
from tests.examples import examples
from tests.filechecking import parse_module, print_module

EYERISS = Path(__file__).parents[2] / "backends" / "eyeriss" / "target.toml"


def description(**changes: Any) -> dict[str, Any]:
    """The description of Eyeriss with dotted keys (`glb__banks=3`) changed; None takes a key away."""
    found = tomllib.loads(EYERISS.read_text())
    for key, value in changes.items():
        *tables, last = key.split("__")
        place = found
        for table in tables:
            place = place[table]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return found


def problems(data: object) -> list[Diagnostic]:
    with pytest.raises(CatenaError) as caught:
        parse_machine(data, "chip.toml")
    found = list(caught.value.diagnostics)
    assert all((d.code, d.stage, d.where) == ("CAT-C003", "target", "chip.toml") for d in found)
    return found


def test_eyeriss_has_the_figures_of_the_papers() -> None:
    machine = parse_machine(description())
    # Chen et al., JSSC 2017, tables I and II; ISCA 2016, table IV (energies).
    assert (machine.array.rows, machine.array.cols) == (12, 14)
    assert (machine.pe.input_words, machine.pe.kernel_words, machine.pe.output_words) == (12, 224, 24)
    assert (machine.glb.banks, machine.glb.bank_words, machine.glb.words) == (25, 2048, 25 * 2048)
    assert machine.glb.words * machine.word_bits // 8 == 100 * 1024
    assert (machine.clock_mhz, machine.word_bits) == (200, 16)
    # 64 bits at 60 MHz; buses of 16, 64 and 64 bits.
    assert machine.links.dram * machine.word_bits * machine.clock_mhz == pytest.approx(64 * 60)
    links = machine.links
    assert [rate * machine.word_bits for rate in (links.input_bus, links.kernel_bus, links.output_bus)] == [16, 64, 64]
    limits = machine.limits
    assert (limits.channels, limits.filters, limits.kernel_rows, limits.kernel_cols) == (1024, 1024, 12, 32)
    energy = machine.energy
    assert (energy.dram, energy.glb, energy.array, energy.spad, energy.operation) == (200, 6, 2, 1, 1)
    assert set(machine.sources) >= {"array", "pe", "glb", "clock_mhz", "links", "limits", "energy", "counting"}


@pytest.mark.parametrize(
    ("changes", "message", "found", "hint"),
    [
        ({"array__rows": None}, "array.rows: is missing", "nothing", "rows: processing elements in a column"),
        ({"array__rows": 0}, "array.rows: must be at least 1", "0", "rows: processing elements in a column"),
        ({"array__rows": 1025}, "array.rows: must be at most 1024", "1025", "rows: processing elements in a column"),
        ({"array__rows": "12"}, "array.rows: must be a whole number", '"12"', "rows: processing elements in a column"),
        ({"array__rows": True}, "array.rows: must be a whole number", "true", "rows: processing elements in a column"),
        ({"array__rows": 12.0}, "array.rows: must be a whole number", "12.0", "rows: processing elements in a column"),
        ({"glb": 5}, "glb: must be a table", "5", "write [glb] in single brackets, and its keys below"),
        ({"links__dram": 0}, "links.dram: must be at least 1e-09", "0",
         "dram: off-chip link, both directions together"),
        ({"energy__glb": -1}, "energy.glb: must be at least 0", "-1", "glb: an access to the buffer"),
        ({"energy__glb": float("nan")}, "energy.glb: must be a finite number", "nan", "glb: an access to the buffer"),
        ({"arithmetic": "f32"}, "arithmetic: must be a list", '"f32"',
         "arithmetic: element types that words hold and elements compute in"),
        ({"word_bits": 65}, "word_bits: must be at most 64", "65",
         "word_bits: bits of a word, which holds a tensor element"),
        ({"name": "2d"}, "name: a name is made of letters, digits, _ and -, and starts with a letter", '"2d"',
         "name: what mapping files, IR and programs call it"),
        ({"counting__padding_in_buffer": "yes"}, "counting.padding_in_buffer: must be true or false",
         '"yes"', "padding_in_buffer: padding words are written to and read from the buffer"),
        ({"clok_mhz": 7}, "clok_mhz: there is no such key", "7", "did you mean 'clock_mhz'?"),
        ({"glb__bank_word": 7}, "glb.bank_word: there is no such key", "7", "did you mean 'bank_words'?"),
        ({"dram__speed": 7}, "dram.speed: there is no such key", "7",
         "known keys: words, burst_words, charge_bursts, compression"),
        ({"counting__glb": ["glb.input.reed"]}, "counting.glb.0: no event is counted under this name",
         '"glb.input.reed"', "did you mean glb.input.read or glb.output.read or glb.input.fill?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_key(changes: dict[str, Any], message: str, found: str, hint: str) -> None:
    (problem,) = problems(description(**changes))
    assert (problem.message, problem.found, problem.hint) == (message, found, hint)
    assert problem.expected


def test_all_problems_are_reported_at_once() -> None:
    wrong = description(array__rows=0, glb__bank=1, energy__dram="much", summary=None)
    assert sorted(problem.message.split(":")[0] for problem in problems(wrong)) == [
        "array.rows", "energy.dram", "glb.bank", "summary",
    ]  # fmt: skip


@pytest.mark.parametrize("data", [None, 3, "eyeriss", [], ["name"]])
def test_a_description_is_a_table(data: object) -> None:
    assert len(problems(data)) == 1


RATES = st.floats(1e-9, 1e12)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]).filter(lambda each: not is_control(each)), max_size=12)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Valid machines of any size, with any text."""
    changes: dict[str, Any] = {
        "name": draw(st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)),
        "summary": draw(TEXTS.filter(lambda text: text.splitlines() in ([], [text]))),
        "clock_mhz": draw(st.floats(1e-3, 1e6)),
        "array__rows": draw(st.integers(1, 1024)),
        "glb__bank_words": draw(st.integers(1, 1 << 40)),
        "links__dram": draw(RATES),
        "energy__dram": draw(st.floats(0, 1e15)),
        "counting__padding_in_buffer": draw(st.booleans()),
        "sources": draw(st.dictionaries(TEXTS, TEXTS, max_size=3)),
    }
    for level in LEVELS:
        changes[f"counting__{level}"] = draw(st.lists(st.sampled_from(list(EVENTS)), max_size=4))
    return parse_machine(description(**changes))


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(machines())
def test_machines_print_and_parse_back(machine: Machine) -> None:
    module = ModuleOp([MachineOp.of(machine)])
    module.verify()
    text = print_module(module)
    again = parse_module(text)
    again.verify()
    assert print_module(again) == text
    assert find_machine(again) == machine
    assert require_machine(again, "mapped") == machine


def test_a_module_names_one_machine() -> None:
    machine = parse_machine(description())
    with pytest.raises(CatenaError, match=r"has no target\.machine") as caught:
        require_machine(ModuleOp([]), "mapped")
    assert [(d.code, d.stage) for d in caught.value.diagnostics] == [("CAT-R003", "mapped")]
    assert find_machine(ModuleOp([])) is None
    other = machine.model_copy(update={"name": "other"})
    with pytest.raises(CatenaError, match=r"several target\.machine") as caught:
        find_machine(ModuleOp([MachineOp.of(machine), MachineOp.of(other)]))
    assert caught.value.diagnostics[0].found == "@eyeriss, @other"


def test_the_op_checks_its_description() -> None:
    op = MachineOp.of(parse_machine(description()))
    op.properties["description"] = DictionaryAttr({**op.description.data, "banks": to_attribute(3)})
    with pytest.raises(VerifyException, match=r"banks: there is no such key[\s\S]*@eyeriss|@eyeriss"):
        op.verify()
    op = MachineOp.of(parse_machine(description()))
    op.properties["sym_name"] = StringAttr("chip")
    with pytest.raises(VerifyException, match="the machine is called eyeriss, the symbol @chip"):
        op.verify()


PLAIN = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=examples(150), derandomize=True, deadline=None)
@given(PLAIN)
def test_plain_data_survives_as_attributes(value: object) -> None:
    found = from_attribute(to_attribute(value))
    assert found == value
    assert type(found) is type(value)


def test_only_plain_data_becomes_an_attribute() -> None:
    with pytest.raises(TypeError, match="set has no attribute form"):
        to_attribute({1})

"""Descriptions whose keys are all right, but do not make a machine together: refused when they are read, at a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.generic.description import MOST_LEVELS
from backends.generic.isa import ISA, Par, Place
from compiler.targets import select_target
from dialects.diagnostics import Diagnostic
from tests.compiler.descriptions.problems import problems

GOOD = """\
name = "chip"
clock_mhz = 100
word_bits = 16

[levels.host]
kind = "memory"

[levels.glb]
kind = "memory"
words = 1024
operands = ["I", "O"]
bypass = ["I"]

[levels.pe]
kind = "axis"
size = 8
multicast = ["I"]
loops = ["op"]

[levels.rf]
kind = "memory"
words = 4

[accesses.far]
energy = 100
events = { "host.input.read" = 1 }
"""


def lines(found: tuple[Diagnostic, ...]) -> list[int]:
    return [int(each.where.rpartition("line ")[2]) for each in found]


@pytest.mark.parametrize("name", ["host", "operation", "static"])
def test_accesses_cannot_be_called_what_else_is_priced(name: str, tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace("accesses.far", f"accesses.{name}"), tmp_path)
    assert problem.message == f"accesses.{name}: energy of another kind is reported as {name!r}"
    assert problem.hint == f"call the table accesses.{name}_memory, say"
    assert lines((problem,)) == [24]


NEST = "for filters m, store glb [O], for channels q, store glb [I] | par filters 1 on pe, store rf [K, O]"


def test_the_nest_is_one_for_the_levels(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(f'{GOOD}\n[dataflow]\nnest = "{NEST}"\n')
    assert select_target(str(path)).backend.name == "generic"


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("glb [I]", "glb [I, K]", ["'store glb [I, K]': what may not stay in this memory"]),
        ("par filters 1", "par channels 1", ["'par channels' on pe: the axis does not take this kind of loop"]),
        ("store glb [I] | par filters 1 on pe", "par filters 1 on pe | store glb [I]",
         ["'store glb [I]' stands inside an axis that glb is not part of"]),
        ("par filters 1 on pe, store rf [K, O]", "store rf [K, O], store glb [O], par filters 1 on pe",
         ["'store glb [O]' brings O outwards again", "'par filters' lays words of rf over several of them"]),
    ],
)  # fmt: skip
def test_a_nest_that_no_layer_can_have_is_refused(old: str, new: str, messages: list[str], tmp_path: Path) -> None:
    assert old in NEST
    found = problems(f'{GOOD}\n[dataflow]\nnest = "{NEST.replace(old, new)}"\n', tmp_path)
    assert [each.message for each in found] == [f"dataflow.nest: {message}" for message in messages]
    assert {each.code for each in found} == {"CAT-C003"}
    assert lines(found) == [29] * len(messages)


@pytest.mark.parametrize(("kind", "what"), [('"memory"', "memories"), ('"axis"\nsize = 2', "axes")])
def test_instructions_can_name_every_level(kind: str, what: str, tmp_path: Path) -> None:
    levels = "".join(f"[levels.l{number}]\nkind = {kind}\n" for number in range(70))
    (problem,) = problems(GOOD + levels, tmp_path)
    already = 3 if what == "memories" else 1
    assert problem.message == f"levels.l{64 - already}: instructions cannot name so many {what}"
    assert (problem.expected, problem.found) == ("at most 64", str(70 + already))


def test_as_many_levels_are_allowed_as_instructions_have_numbers_for() -> None:
    for instruction, name in ((Par, "axis"), (Place, "memory")):
        (field,) = (each for each in ISA.specs[instruction].fields if each.name == name)
        assert 1 << field.type.bits == MOST_LEVELS


def test_a_machine_is_not_called_like_another_backend(tmp_path: Path) -> None:
    (problem,) = problems(GOOD.replace('"chip"', '"eyeriss"'), tmp_path)
    assert problem.message == "name: eyeriss is another target, which comes with its own backend"
    assert lines((problem,)) == [1]

"""The JSON schema of descriptions and the compiler agree on what is a description, key by key."""

from __future__ import annotations

import tomllib
from itertools import combinations
from pathlib import Path

import jsonschema
import pytest

import backends
from compiler.descriptions.schema import target_schema
from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.machine_kinds import KINDS

WHOLE = """\
name = "chip"
clock_mhz = 100
word_bits = 16

[levels.dram]
kind = "memory"

[levels.glb]
kind = "memory"
words = 1024
rooms = { I = 10 }

[levels.pe]
kind = "axis"
size = 8
multicast = ["I"]

[accesses.far]
energy = 100
events = { "dram.input.read" = 1 }

[limits]
output_path = ["relu"]
"""
CHANGES = """\
extends = "whole.toml"

[levels.glb]
words = 512

[accesses.far]
energy = 3
"""
ARRAY_CHANGES = """\
extends = "eyeriss"

[glb]
banks = 10

[host]
overhead_us = 2
"""


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = target_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def is_accepted(text: str, folder: Path) -> bool:
    (folder / "whole.toml").write_text(WHOLE)
    path = folder / "chip.toml"
    path.write_text(text)
    try:
        select_target(str(path))
    except CatenaError:
        return False
    return True


BACKENDS = Path(backends.__file__).parent
SHIPPED = sorted((*BACKENDS.glob("*/target.toml"), *BACKENDS.glob("*/targets/*.toml")))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_descriptions_follow_the_schema(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(tomllib.loads(path.read_text()))


@pytest.mark.parametrize("text", [WHOLE, CHANGES, ARRAY_CHANGES])
def test_what_is_right_is_accepted_by_both(
    text: str, tmp_path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    assert is_accepted(text, tmp_path)
    assert validator.is_valid(tomllib.loads(text))


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (WHOLE, "words = 1024", "words = true"),
        (WHOLE, "words = 1024", 'words = "1024"'),
        (WHOLE, "words = 1024", "words = 10.5"),
        (WHOLE, "words = 1024", 'slides = "yes"'),
        (WHOLE, "words = 1024", 'read = "4"'),
        (WHOLE, "words = 1024", "wrods = 1"),
        (WHOLE, 'multicast = ["I"]', 'multicast = "I"'),
        (WHOLE, 'multicast = ["I"]', 'multicast = ["X"]'),
        (WHOLE, "rooms = { I = 10 }", "rooms = { X = 10 }"),
        (WHOLE, "size = 8\n", ""),
        (WHOLE, "[levels.glb]", "[levels.Glb]"),
        (WHOLE, "[levels.glb]", '[levels."g.b"]'),
        (WHOLE, "[levels.glb]", "[levels.operation]"),
        (WHOLE, "[accesses.far]", "[accesses.Far]"),
        (WHOLE, "[accesses.far]", "[accesses.static]"),
        (WHOLE, "dram.input.read", "dram.input.raed"),
        (WHOLE, '"dram.input.read" = 1', '"dram.input.read" = "1"'),
        (WHOLE, '"relu"', '"reluu"'),
        (WHOLE, "clock_mhz = 100\n", ""),
        (CHANGES, '"whole.toml"', "3"),
        (CHANGES, "words = 512", "wrods = 512"),
        (CHANGES, "words = 512", 'words = "512"'),
        (CHANGES, "words = 512", "words = 0"),
        (CHANGES, "energy = 3", "energie = 3"),
        (CHANGES, "energy = 3", 'events = { "dram.input.raed" = 1 }'),
        (ARRAY_CHANGES, "banks = 10", "bnaks = 10"),
        (ARRAY_CHANGES, "banks = 10", 'banks = "10"'),
        (ARRAY_CHANGES, "overhead_us = 2", "overhaed_us = 2"),
    ],
)
def test_what_is_wrong_is_refused_by_both(
    text: str, old: str, new: str, tmp_path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    assert old in text
    wrong = text.replace(old, new, 1)
    assert not is_accepted(wrong, tmp_path)
    assert not validator.is_valid(tomllib.loads(wrong))


def test_kinds_of_machines_have_no_different_tables_of_the_same_name() -> None:
    definitions = [kind.model.model_json_schema()["$defs"] for kind in KINDS]
    for one, other in combinations(definitions, 2):
        assert [name for name in one.keys() & other.keys() if one[name] != other[name]] == []

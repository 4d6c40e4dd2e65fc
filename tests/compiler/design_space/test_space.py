"""Space files: what they say, what is wrong with them and where, what points they have."""

from __future__ import annotations

import json
import tomllib
from itertools import product
from pathlib import Path

import pytest

from compiler.design_space.points import points_of
from compiler.design_space.schema import space_schema
from compiler.design_space.space import Space, read_space
from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from tests.compiler.conftest import Cli

WRONG = """\
fuze = [true]
fuse = true
schemes = ["qdg"]
sparsity = [0.5, 1.0]
front = []
[prune]
structure = "grup"
"""
WRONG_KEYS = """\
[targets.eyeriss]
glb.bank = [3]
glb.banks = [20, "x"]
array.rows = []
[targets.generic.levels.glb]
words = [0]
[targets.eyeris]
[targets."none.toml"]
"""


def problems(path: Path, text: str) -> dict[int, str]:
    """What is wrong with a file, by line."""
    path.write_text(text)
    with pytest.raises(CatenaError) as caught:
        read_space(path)
    found = caught.value.diagnostics
    assert {each.stage for each in found} == {"explore"}
    return {int(each.where.removeprefix(f"{path}, line ")): f"{each.message} | {each.hint}" for each in found}


def test_wrong_keys_and_values_are_named_at_their_lines(tmp_path: Path) -> None:
    found = problems(tmp_path / "space.toml", WRONG)
    assert sorted(found) == [1, 2, 3, 4, 5, 7]
    assert "fuze: there is no such key | did you mean 'fuse'?" in found[1]
    assert "fuse: must be a list" in found[2]
    assert "did you mean 'qdq'?" in found[3]
    assert "sparsity.1: must be less than 1" in found[4]
    assert "front: must not be empty" in found[5]
    assert "did you mean 'group'?" in found[7]


def test_keys_of_targets_are_checked_as_their_descriptions_are(tmp_path: Path) -> None:
    found = problems(tmp_path / "space.toml", WRONG_KEYS)
    assert sorted(found) == [2, 3, 4, 6, 7, 8]
    assert found[2] == "glb.bank: there is no such key | did you mean 'banks'?"
    assert "glb.banks: must be a whole number" in found[3]
    assert "array.rows: must not be empty" in found[4]
    assert "levels.glb.words: must be at least 1" in found[6]
    assert "did you mean eyeriss" in found[7]
    assert "none.toml" in found[8]


def test_keys_have_few_values(tmp_path: Path) -> None:
    values = ", ".join(map(str, range(1, 200)))
    found = problems(tmp_path / "space.toml", f"[targets.eyeriss]\nglb.banks = [{values}]\n")
    assert found[2].startswith("glb.banks: has too many values")


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('sparsity = [0.5]\nschemes = ["fixed16"]\n[prune]\ngroup = 4\n[quantize]\nweights = "int8"\n')
    with pytest.raises(CatenaError) as caught:
        read_space(path)
    assert [each.where for each in caught.value.diagnostics] == [str(path), str(path)]


def test_text_that_is_no_toml_is_a_space_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text("fuse = [true\n")
    with pytest.raises(CatenaError, match="the space is not TOML"):
        read_space(tmp_path / "space.toml")


def test_points_are_all_combinations_in_an_order_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "wide.toml").write_text('extends = "generic"\nname = "wide"\n')
    text = 'fuse = [true, false, true]\nsparsity = [0.0, 0.5]\nmapped_for = ["edp"]\n[targets."wide.toml"]\n'
    text += 'levels.glb.words = [10, 20]\nlevels.row.multicast = [["I"], ["I", "K"]]\n[targets.eyeriss]\n'
    (tmp_path / "space.toml").write_text(text)
    space = read_space(tmp_path / "space.toml")
    points = points_of(space)
    wide = str(tmp_path / "wide.toml")
    choices = product(("10", "20"), ('["I"]', '["I", "K"]'), (True, False), (0.0, 0.5))
    expected = {(wide, (("levels.glb.words", w), ("levels.row.multicast", m)), f, s) for w, m, f, s in choices}
    expected |= {("eyeriss", (), f, s) for f, s in product((True, False), (0.0, 0.5))}
    assert len(points) == len(expected) == 20
    assert {(each.target, each.settings, each.fuse, each.variant.sparsity) for each in points} == expected
    assert points == points_of(space)
    assert {each.target for each in points[:10]} == {wide, "eyeriss"}
    other = points_of(space.model_copy(update={"seed": 1}))
    assert other != points
    assert set(other) == set(points)
    some = points_of(space.model_copy(update={"points": 7}))
    assert len(set(some)) == 7
    assert set(some) < set(points)
    first = next(each for each in points if each.target == wide)
    assert select_target(first.target, dict(first.settings)).machine.name == "wide"


def test_too_many_points_are_drawn_or_refused() -> None:
    keys = {f"energy.{level}": list(range(1, 40)) for level in ("dram", "glb", "array")}
    space = Space(targets={"eyeriss": keys})
    with pytest.raises(CatenaError, match="too many points"):
        points_of(space)
    assert len(set(points_of(space.model_copy(update={"points": 50})))) == 50


def test_the_schema_takes_the_example_and_refuses_what_is_wrong(cli: Cli, example: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(cli("explore", "--schema").out)
    assert schema == space_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(tomllib.loads(example))
    for line in WRONG.splitlines()[:5]:
        assert not validator.is_valid(tomllib.loads(line)), line

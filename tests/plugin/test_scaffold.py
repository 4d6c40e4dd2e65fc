"""`catena new-backend`: packages that are found once they are installed, and conform."""

from __future__ import annotations

import json
import re
import shlex

import onnx
import pytest

from compiler.backend_kit.networks import build_network
from compiler.scaffold.project import project_files
from dialects.diagnostics import ExitCode
from tests.docs.commands import GUIDE, LEFT, shown
from tests.plugin.test_plugin import Environment, install

NAMES = {0: "boxes", 1: "lanes"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The command with a package of each level, written by itself and installed."""
    folder, site = tmp_path_factory.mktemp("projects"), tmp_path_factory.mktemp("site")
    without = Environment((), folder)
    for level, name in NAMES.items():
        without.catena("new-backend", name, "--level", level)
        install(folder / f"catena-{name}", site)
    return Environment((site,), folder)


def test_they_are_targets(made: Environment) -> None:
    rows = {row["target"]: row for row in made.json("targets")["result"]["targets"]}  # type: ignore[index]
    for name in NAMES.values():
        assert rows[name]["distribution"] == f"catena-{name}"
        assert rows[name]["array"] == "8"


SOME = ("*/thin", "network/*")
AND_ALL = pytest.mark.parametrize(
    "patterns", [SOME, pytest.param((), marks=pytest.mark.exhaustive)], ids=["some", "all"]
)


def conforming(made: Environment, name: str, patterns: tuple[str, ...]) -> int:
    """How many cases passed, which are all that were run; counts were compared."""
    words = [word for pattern in patterns for word in ("-k", pattern)]
    result = made.json("conformance", name, *words)["result"]
    assert result["conforms"]  # type: ignore[index]
    assert result["counts_compared"]  # type: ignore[index]
    passed = result["totals"]["passed"]  # type: ignore[index]
    assert passed == len(result["cases"])  # type: ignore[index]
    return passed


@AND_ALL
def test_the_backend_with_instructions_of_its_own_conforms(made: Environment, patterns: tuple[str, ...]) -> None:
    assert conforming(made, "lanes", patterns) > (50 if patterns else 150)


def test_a_description_that_is_not_the_machine_fails(made: Environment) -> None:
    words = ("conformance", "lanes", "-k", "Conv/float32/odd", "--set", "levels.lane.multicast=[]")
    done = made.catena(*words, fails=True)
    assert done.returncode == ExitCode.MISMATCH
    assert "pad.kernel.read is" in done.stderr


@AND_ALL
def test_the_described_target_conforms(made: Environment, patterns: tuple[str, ...]) -> None:
    assert conforming(made, "boxes", patterns[1:]) >= (4 if patterns else 150)


@pytest.mark.exhaustive
def test_both_run_the_same_nests_by_other_instructions(made: Environment) -> None:
    model = made.folder / "m.onnx"
    onnx.save(build_network("classifier").model, model)
    counted = {}
    for name in NAMES.values():
        made.catena("compile", model, "-t", name, "-o", f"{name}.cat")
        made.catena("run", f"{name}.cat", "--random", "--stats", f"{name}.json")
        counted[name] = [each["counts"] for each in json.loads((made.folder / f"{name}.json").read_text())["layers"]]
    assert counted["lanes"] == counted["boxes"]
    assert "fullest memory: pad" in made.catena("explain", "lanes.cat", "Conv_0", "--no-search").stdout
    listing = made.catena("disasm", "lanes.cat").stdout
    for mnemonic in ("place", "lanes", "bring", "clear", "work", "send"):
        assert re.search(rf"^[0-9a-f]+: [0-9a-f]+ +{mnemonic}\b", listing, re.MULTILINE), mnemonic


def test_the_commands_of_the_tutorial_work(made: Environment) -> None:
    onnx.save(build_network("classifier").model, made.folder / "model.onnx")
    lines = [line for line in shown(GUIDE / "tutorial-backend.md")["console"] if line not in LEFT]
    assert len(lines) >= 4
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "catena"
        made.catena(*words)
    assert (made.folder / "trace.txt").stat().st_size


def test_a_program_of_a_described_target_needs_no_package(made: Environment) -> None:
    onnx.save(build_network("classifier").model, made.folder / "model.onnx")
    for name in NAMES.values():
        made.catena("compile", "model.onnx", "-t", name, "-o", f"{name}.cat")
    Environment((), made.folder).catena("run", "boxes.cat", "--random")
    done = Environment((), made.folder).catena("run", "lanes.cat", "--random", fails=True)
    assert "CAT-C001" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["Boxes"], ExitCode.USAGE, "CAT-C001"),
        (["a" * 65], ExitCode.USAGE, "CAT-C001"),
        (["../out"], ExitCode.USAGE, "CAT-C001"),
        (["eyeriss"], ExitCode.USAGE, "of catena"),
        (["boxes"], ExitCode.USAGE, "of catena-boxes"),
        (["crates", "-o", "catena-boxes"], ExitCode.USAGE, "CAT-C002"),
    ],
)
def test_what_cannot_be_made_is_refused(made: Environment, words: list[str], code: ExitCode, says: str) -> None:
    before = sorted(made.folder.rglob("*"))
    done = made.catena("new-backend", *words, fails=True)
    assert done.returncode == code
    assert says in done.stderr
    assert sorted(made.folder.rglob("*")) == before


@pytest.mark.parametrize("level", NAMES)
def test_files_are_well_formed(level: int) -> None:
    files = project_files("some-chip", level)
    assert files.keys() >= {"pyproject.toml", "catena_some_chip/__init__.py", "tests/test_catena_some_chip.py"}
    for path, text in files.items():
        assert "$" not in text
        if path.endswith(".py"):
            compile(text, path, "exec")
            assert max(map(len, text.splitlines())) <= 120


def test_the_doctor_sees_them(made: Environment) -> None:
    found = {each["name"]: each for each in made.json("doctor")["result"]["plug_ins"]}  # type: ignore[index]
    assert (found["boxes"]["kind"], found["boxes"]["state"]) == ("target", "ok")
    assert found["lanes"]["kind"] == "backend"
    assert found["lanes"]["state"].startswith("ok, interface ")

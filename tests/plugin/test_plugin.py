"""A backend of a third party, in a distribution of its own: found by entry point, used like a built-in one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

PROJECT = Path(__file__).parent / "catena_toychip"
CATENA = "import sys; from compiler.cli import main; sys.exit(main())"


def install(project: Path, site: Path) -> None:
    """Do what an installer does, without one: copy the packages, and write the metadata beside them."""
    settings = tomllib.loads((project / "pyproject.toml").read_text())
    about = settings["project"]
    for package in settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(project / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    information = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    information.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    (information / "METADATA").write_text(metadata)
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in about["entry-points"].items()
    )
    (information / "entry_points.txt").write_text("\n".join(groups))


@dataclass(frozen=True)
class Environment:
    """The `catena` command in a process that sees some more distributions."""

    sites: tuple[Path, ...]
    folder: Path

    def catena(self, *words: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command line in the folder; it must succeed, or fail."""
        path = os.pathsep.join([*map(str, self.sites), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-c", CATENA, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done

    def json(self, *words: object, fails: bool = False) -> Mapping[str, object]:
        """What a command says with `--json`."""
        return json.loads(self.catena(*words, "--json", fails=fails).stdout)


@pytest.fixture(scope="module")
def toychip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the plug-in is installed."""
    site = tmp_path_factory.mktemp("site")
    install(PROJECT, site)
    return site


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model: convolution, ReLU6, pooling, and with its inputs."""
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(3)

    def tensor(name: str, array: np.ndarray) -> onnx.TensorProto:
        return numpy_helper.from_array(array.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "low", "high"], ["r"], name="relu6"),
        helper.make_node("AveragePool", ["r"], ["y"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "relu6",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 7, 4, 4])],
        [
            tensor("w", random.integers(-3, 4, (7, 3, 3, 3))),
            tensor("b", random.integers(-3, 4, 7)),
            tensor("low", np.array(0)),
            tensor("high", np.array(6)),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "m.onnx")
    np.savez(folder / "x.npz", x=random.integers(-4, 5, (1, 3, 8, 8)).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def plugged(toychip: Path, folder: Path) -> Environment:
    """The command with the plug-in, and the model compiled for it."""
    found = Environment((toychip,), folder)
    found.catena("compile", "m.onnx", "-t", "toychip", "-o", "toy.cat", "--dump-ir", "ir")
    found.catena("compile", "m.onnx", "-o", "eyeriss.cat")
    return found


def test_targets_lists_the_plugin_with_its_distribution(plugged: Environment) -> None:
    rows = {row["target"]: row for row in plugged.json("targets")["result"]["targets"]}  # type: ignore[index]
    assert set(rows) >= {"eyeriss", "toychip"}
    assert rows["toychip"]["array"] == "5 x 3"
    assert rows["toychip"]["buffer"] == "2 kB"
    assert rows["toychip"]["distribution"] == "catena-toychip"


def test_without_the_plugin_there_is_no_such_target(folder: Path) -> None:
    done = Environment((), folder).catena("compile", "m.onnx", "-t", "toychip", fails=True)
    assert done.returncode == 2
    assert "CAT-C001" in done.stderr
    assert not (folder / "m.cat").exists()


def test_it_computes_what_the_built_in_backend_computes(plugged: Environment) -> None:
    for name in ("toy", "eyeriss"):
        plugged.catena("run", f"{name}.cat", "-i", "x.npz", "-o", f"{name}.npz", "--stats", f"{name}.json")
    with np.load(plugged.folder / "toy.npz") as toy, np.load(plugged.folder / "eyeriss.npz") as eyeriss:
        assert float(toy["y"].max()) > 0
        np.testing.assert_array_equal(toy["y"], eyeriss["y"])
    counted = {name: json.loads((plugged.folder / f"{name}.json").read_text()) for name in ("toy", "eyeriss")}
    # The same operations, in more passes on the smaller array.
    macs, passes = (
        {name: [layer["counts"][event] for layer in counts["layers"]] for name, counts in counted.items()}
        for event in ("operation.mac", "array.passes")
    )
    assert macs["toy"] == macs["eyeriss"]
    assert sum(passes["toy"]) > sum(passes["eyeriss"])


def test_what_it_counts_is_what_was_predicted(plugged: Environment) -> None:
    plugged.catena("run", "toy.cat", "-i", "x.npz", "--stats", "counted.json")
    predicted = plugged.json("report", "toy.cat")["result"]
    counted = json.loads((plugged.folder / "counted.json").read_text())
    assert [layer["counts"] for layer in predicted["layers"]] == [  # type: ignore[index]
        layer["counts"] for layer in counted["layers"]
    ]


def test_its_pass_runs_at_its_stage(plugged: Environment) -> None:
    fused, encoded = ((plugged.folder / "ir" / name).read_text() for name in stage_files(plugged, "fused", "encoded"))
    assert "clip(0.0, 6.0)" in fused
    assert "clip(0.0, 6.0)" not in encoded
    clips = {name: plugged.catena("disasm", f"{name}.cat").stdout.count("code=2,") for name in ("toy", "eyeriss")}
    assert clips == {"toy": 2, "eyeriss": 1}


def stage_files(environment: Environment, *stages: str) -> list[str]:
    """The files of the IR after some stages."""
    names = sorted(path.name for path in (environment.folder / "ir").glob("*.mlir"))
    return [name for stage in stages for name in names if name.endswith(f"-{stage}.mlir")]


def test_ir_made_for_it_goes_on_without_naming_it(plugged: Environment) -> None:
    (mapped,) = stage_files(plugged, "mapped")
    plugged.catena("compile", f"ir/{mapped}", "-o", "resumed.cat")
    assert (plugged.folder / "resumed.cat").read_bytes() == (plugged.folder / "toy.cat").read_bytes()


def test_its_programs_disassemble_and_assemble(plugged: Environment) -> None:
    plugged.catena("disasm", "toy.cat", "-o", "toy.s")
    plugged.catena("asm", "toy.s", "-o", "again.cat")
    assert (plugged.folder / "again.cat").read_bytes() == (plugged.folder / "toy.cat").read_bytes()


def test_a_description_may_extend_it(plugged: Environment) -> None:
    (plugged.folder / "wide.toml").write_text('extends = "toychip"\nname = "widechip"\n[array]\ncols = 9\n')
    plugged.catena("compile", "m.onnx", "-t", "wide.toml", "-o", "wide.cat")
    plugged.catena("run", "wide.cat", "-i", "x.npz", "-o", "wide.npz")
    plugged.catena("run", "toy.cat", "-i", "x.npz", "-o", "narrow.npz")
    with np.load(plugged.folder / "wide.npz") as wide, np.load(plugged.folder / "narrow.npz") as narrow:
        np.testing.assert_array_equal(wide["y"], narrow["y"])


def test_its_programs_name_it_where_it_is_missing(plugged: Environment) -> None:
    done = Environment((), plugged.folder).catena("run", "toy.cat", "-i", "x.npz", fails=True)
    assert done.returncode == 2
    assert "CAT-C001" in done.stderr
    assert "toychip" in done.stderr


BROKEN = """
[project]
name = "catena-broken"
version = "1"
[project.entry-points."catena.backends"]
broken = "catena_broken:BACKEND"
[tool.hatch.build.targets.wheel]
packages = ["catena_broken"]
"""


@pytest.fixture(scope="module")
def beside_a_broken_one(plugged: Environment, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The command with two plug-ins, one of which cannot be imported."""
    project, site = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("broken")
    (project / "pyproject.toml").write_text(BROKEN)
    (project / "catena_broken").mkdir()
    (project / "catena_broken" / "__init__.py").write_text("import a_chip_that_nobody_has\n")
    install(project, site)
    return Environment((*plugged.sites, site), plugged.folder)


def test_a_broken_plugin_is_listed_with_the_reason(beside_a_broken_one: Environment) -> None:
    rows = beside_a_broken_one.json("targets")["result"]["targets"]  # type: ignore[index]
    found = {row["target"]: row for row in rows}
    assert set(found) >= {"eyeriss", "toychip", "broken"}
    assert "a_chip_that_nobody_has" in found["broken"]["summary"]
    assert found["toychip"]["array"] == "5 x 3"


def test_the_doctor_names_a_broken_plugin(beside_a_broken_one: Environment) -> None:
    done = beside_a_broken_one.catena("doctor", fails=True)
    assert done.returncode == 2
    assert "cannot be loaded" in done.stdout
    assert "CAT-C006" in done.stderr


def test_a_broken_plugin_cannot_be_used_and_is_named(beside_a_broken_one: Environment) -> None:
    done = beside_a_broken_one.catena("compile", "m.onnx", "-t", "broken", "-o", "broken.cat", fails=True)
    assert done.returncode == 2
    assert "CAT-C006" in done.stderr
    assert "catena-broken" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (beside_a_broken_one.folder / "broken.cat").exists()


def test_a_broken_plugin_is_in_nobodys_way(beside_a_broken_one: Environment) -> None:
    beside_a_broken_one.catena("compile", "m.onnx", "-t", "toychip", "-o", "beside.cat")
    assert (beside_a_broken_one.folder / "beside.cat").read_bytes() == (
        beside_a_broken_one.folder / "toy.cat"
    ).read_bytes()

"""catena explore --space: points cost what they cost compiled alone, and none is tried twice."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

import compiler
from compiler.design_space import Space, explore_space
from compiler.design_space.explored import Explored
from compiler.design_space.exploring import Places, Progress
from compiler.design_space.variants import Network
from passes.off_chip import off_chip_words
from passes.pricing import elements
from tests.compiler.conftest import Cli
from tests.compiler.processes import Command

SPACE = """\
fuse = [false, true]
front = ["latency", "energy", "elements"]
[targets.generic]
levels.glb.words = [2, 4096]
[targets.eyeriss]
array.rows = [6, 12]
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """Three points of the space."""
    (tmp_path / "space.toml").write_text(f"points = 3\n{SPACE}")
    return tmp_path / "space.toml"


@pytest.fixture(scope="module")
def explored(cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A cache with all points of the space, and what was found."""
    folder = tmp_path_factory.mktemp("explored")
    (folder / "space.toml").write_text(SPACE)
    return folder, compiler.explore(cnn, folder / "space.toml", cache_dir=folder).json


def by_name(found: dict[str, object]) -> dict[str, object]:
    """What points cost, or why nothing, whatever their order."""
    points = found["points"]
    assert isinstance(points, list)
    named = {f"{each['target']} {each['settings']} {each['fuse']}": each for each in points}
    return {name: (each["figures"], each["problems"]) for name, each in named.items()}


def test_points_cost_what_they_do_when_compiled_alone(cnn: Path, explored: tuple[Path, dict[str, object]]) -> None:
    found = explored[1]["points"]
    assert isinstance(found, list)
    assert len(found) == 8
    for each in found:
        options = {"target": each["target"], "settings": each["settings"]}
        if each["settings"].get("levels.glb.words") == "2":
            assert not each["figures"]
            assert each["problems"][0]["code"] == "CAT-F001"
            continue
        if not each["fuse"]:
            report = compiler.report(cnn, **options, no_cache=True)
            assert each["figures"]["latency"] == report.milliseconds
            assert each["figures"]["energy"] == report.energy / 1e6
            assert each["figures"]["words"] == off_chip_words(report.counts, report.machine)
            assert each["figures"]["elements"] == elements(report.machine)
        assert each["figures"]["error"] == 0
    costs = {
        each["point"]: [each["figures"][name] for name in explored[1]["objectives"]]
        for each in found
        if each["figures"]
    }
    for each in found:
        mine = costs.get(each["point"])
        is_best = mine is not None and not any(
            other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in costs.values()
        )
        assert each["is_on_front"] == is_best


def test_what_was_tried_is_not_tried_again(
    cnn: Path, explored: tuple[Path, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(evaluations: Sequence[object], *_: object) -> Iterator[object]:
        assert not evaluations
        yield from ()

    monkeypatch.setattr("compiler.design_space.exploring.evaluated", refuse)
    folder, before = explored
    again = compiler.explore(cnn, folder / "space.toml", cache_dir=folder).json
    assert again == {**before, "cached": 8}


@pytest.mark.parametrize("change", ["model", "space"])
def test_what_differs_is_tried(
    cnn: Path, explored: tuple[Path, dict[str, object]], change: str, tmp_path: Path
) -> None:
    folder, _ = explored
    model, space = tmp_path / "cnn.onnx", tmp_path / "space.toml"
    model.write_bytes(cnn.read_bytes() + (b"\x12\x01x" if change == "model" else b""))
    space.write_text(f"points = 1\n{SPACE}" if change == "model" else SPACE.replace("[6, 12]", "[6, 11]"))
    found = compiler.explore(model, space, cache_dir=folder)
    assert found.cached == (0 if change == "model" else 6)


def test_an_interrupt_keeps_what_was_done_and_the_rest_follows(
    cnn: Path, explored: tuple[Path, dict[str, object]], space: Path, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.tried == 1:
            raise KeyboardInterrupt

    places, network = Places(cache_dir=tmp_path / "cache"), Network(cnn, {}, None)
    asked = compiler.design_space.read_space(space)
    some = explore_space(network, asked, places, stop)
    assert (some.is_interrupted, len(some.tried), some.is_partial) == (True, 1, True)
    told: list[Progress] = []
    rest = explore_space(network, asked, places, told.append)
    assert (told[0].cached, rest.cached, rest.is_interrupted) == (1, 1, False)
    assert [each.done for each in told] == [1, 2, 3]
    assert by_name(rest.json).items() <= by_name(explored[1]).items()
    assert len(rest.tried) == 3


def test_a_time_limit_ends_it(cnn: Path, space: Path, tmp_path: Path, cli: Cli) -> None:
    words = ("explore", cnn, "--space", space, "--cache-dir", tmp_path / "cache", "--time-limit", "0.001")
    found = cli(*words)
    assert found.code == 0
    assert "3 points are left: the same command goes on with them" in found.err
    assert "0 of 3 points" in found.out


@pytest.mark.slow
def test_processes_find_the_same(cnn: Path, explored: tuple[Path, dict[str, object]], space: Path) -> None:
    found = by_name(compiler.explore(cnn, space, jobs=2, no_cache=True).json)
    assert len(found) == 3
    assert found.items() <= by_name(explored[1]).items()


@pytest.mark.slow
def test_a_dask_cluster_finds_the_same(cnn: Path, explored: tuple[Path, dict[str, object]], space: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        found = compiler.explore(cnn, space, scheduler=cluster.scheduler_address, no_cache=True)
    assert len(found.tried) == 3
    assert by_name(found.json).items() <= by_name(explored[1]).items()


def test_pruned_and_quantized_networks_lose_something(cnn: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    space = Space(targets={"eyeriss": {}}, sparsity=(0.0, 0.5), schemes=("none", "qdq"), front=("energy", "error"))
    found = compiler.explore(cnn, space, cache_dir=tmp_path)
    errors = {(each.point.variant.sparsity, each.point.variant.scheme): each.figures["error"] for each in found.good}
    assert errors[0.0, "none"] == 0
    assert all(0 < error < 1 for variant, error in errors.items() if variant != (0.0, "none"))
    assert errors[0.0, "qdq"] < errors[0.5, "none"]
    assert compiler.explore(cnn, space, cache_dir=tmp_path).cached == 4


def test_emulated_figures_are_those_of_a_run(cnn: Path, program: Path) -> None:
    found = compiler.explore(cnn, Space(targets={"eyeriss": {}}, emulate=True), no_cache=True)
    (point,) = found.front
    report = compiler.run(program).report
    assert point.figures["latency"] == report.milliseconds
    assert point.figures["energy"] == report.energy / 1e6
    assert "emulated" in found.table().title


@pytest.mark.parametrize(
    ("targets", "title"),
    [
        (("rram",), "shared-memory (words)"),
        (("eyeriss", "rram"), "off-chip or shared-memory (words)"),
        (("generic", "spots"), "off-chip (words)"),
    ],
)
def test_words_are_called_after_the_memory_that_they_come_from(targets: tuple[str, ...], title: str) -> None:
    space = Space(targets={name: {} for name in targets}, front=("words", "energy"))
    assert Explored("m.onnx", space, (), 1, 0, False).table().columns[3].title == title


def test_what_is_written_shows_every_point(
    cnn: Path, explored: tuple[Path, dict[str, object]], cli: Cli, tmp_path: Path
) -> None:
    folder, before = explored
    names = [tmp_path / f"front.{kind}" for kind in ("html", "csv", "svg", "json")]
    outputs = [word for name in names for word in ("-o", name)]
    found = cli("explore", cnn, "--space", folder / "space.toml", "--cache-dir", folder, *outputs)
    assert found.code == 0, found.err
    html, table, svg, data = (name.read_text(encoding="utf-8") for name in names)
    assert json.loads(data)["points"] == before["points"]
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [int(row["point"]) for row in rows] == list(range(1, 9))
    problems = [row["problem"] for row in rows if row["problem"]]
    assert [each.partition(" ")[0] for each in problems] == ["CAT-F001"] * 2
    for each in problems:
        reason, _, nodes = each.removesuffix(")").rpartition(" (")
        assert reason.count("CAT-F001") == 1
        assert len(set(nodes.split(", "))) == len(nodes.split(", ")) > 1
    assert {row["array.rows"] for row in rows} == {"", "6", "12"}
    dots = [each for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}circle") if len(each)]
    assert len(dots) == 6
    assert not re.search(r"(src|href)=|url\(|@import", html)
    assert html.count("<svg") == 2
    for row in rows:
        assert row["problem"] or f'<td style="text-align: right">{row["point"]}</td>' in html
    front = [row for row in rows if row["front"] == "true"]
    assert len(front) == sum(line.split()[:1] in [[row["point"]] for row in front] for line in found.out.splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "5"), "--size is not said beside --space"),
        (("-t", "eyeriss"), "-t is not said beside --space"),
        (("-o", "front.txt"), "the name does not say what to write"),
    ],
)
def test_what_does_not_go_together_is_refused(
    cnn: Path, space: Path, cli: Cli, words: tuple[str, str], message: str
) -> None:
    found = cli("explore", cnn, "--space", space, *words)
    assert found.code == 2
    assert message in found.err
    assert "needs --space" in cli("explore", cnn, "-j", "2").err


def test_ir_is_no_model_to_explore(cnn: Path, space: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("compile", cnn, "--to", "import", "-o", tmp_path / "cnn.mlir").code == 0
    assert "spaces are explored of ONNX models" in cli("explore", tmp_path / "cnn.mlir", "--space", space).err


def test_targets_that_contradict_themselves_are_no_points_of_the_cache(cnn: Path, tmp_path: Path) -> None:
    """What keys say of each other is said of the point; the others go on."""
    space = Space(targets={"spots": {"array": {"rows": [2, 128]}}})
    told: list[Progress] = []
    found = explore_space(Network(cnn, {}, None), space, Places(cache_dir=tmp_path), told.append)
    ((bad, good),) = [sorted(found.tried, key=lambda each: bool(each.figures))]
    assert (bad.problems[0].code, dict(bad.point.settings), found.cached) == ("CAT-C003", {"array.rows": "2"}, 0)
    assert good.figures["elements"] == 512
    assert [(each.refused, each.tried) for each in told] == [(1, 0), (1, 1)]
    assert explore_space(Network(cnn, {}, None), space, Places(cache_dir=tmp_path)).cached == 1


def test_a_space_without_any_figures_says_why(cnn: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "space.toml").write_text("[targets.generic]\nlevels.glb.words = [1, 2]\n")
    found = cli("explore", cnn, "--space", tmp_path / "space.toml", "--no-cache")
    assert found.code == 4
    assert "CAT-F001" in found.err


def test_a_point_that_breaks_the_compiler_is_said_and_not_kept(
    cnn: Path, space: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on; the exit code says that there is a bug."""
    words = ("explore", cnn, "--space", space, "--cache-dir", tmp_path / "cache", "--json")

    def broken(report: object) -> dict[str, float]:
        raise RuntimeError("no such luck")

    with monkeypatch.context() as patched:
        patched.setattr("compiler.design_space.evaluation.figures_of", broken)
        first = cli(*words)
    assert first.code == 1
    assert "CAT-I001" in first.out + first.err
    second = cli(*words)
    assert second.code == 0, second.err
    problems = [each["problems"] for each in second.json["result"]["points"]]
    assert second.json["result"]["cached"] == sum(map(bool, problems))


@pytest.mark.parametrize("count", [4, pytest.param(56, marks=pytest.mark.exhaustive)])
def test_the_example_of_the_guide(cnn: Path, tmp_path: Path, example: str, count: int) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "space.toml").write_text(example if count == 56 else f"points = {count}\n{example}")
    found = compiler.explore(cnn, tmp_path / "space.toml", no_cache=True)
    assert len(found.tried) == found.total == count
    assert not found.failed
    assert found.front
    assert "front" in found._repr_html_()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")
def test_two_at_once_in_one_cache_find_the_same(
    cnn: Path, explored: tuple[Path, dict[str, object]], space: Path, tmp_path: Path
) -> None:
    outputs = [tmp_path / f"{number}.json" for number in range(2)]
    words: list[object] = ["explore", cnn, "--space", space, "--cache-dir", tmp_path / "cache"]
    running = [Command([*words, "-o", output]) for output in outputs]
    assert [command.wait().code for command in running] == [0, 0]
    for output in outputs:
        found = by_name(json.loads(output.read_text()))
        assert len(found) == 3
        assert found.items() <= by_name(explored[1]).items()
    assert not list((tmp_path / "cache").rglob("*.tmp"))

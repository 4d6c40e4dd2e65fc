"""catena explore: words by size of the buffer, layer by layer and fused."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.compiler.conftest import Cli
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import NETWORKS


def test_more_room_moves_less_and_fusing_is_never_worse(tmp_path: Path, cli: Cli) -> None:
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    words = ["--size", "4000", "--size", "500", "--size", "20"]
    found = json.loads(cli("explore", source, "-t", "generic", *words, "--json").out)["result"]
    moved = found["words_by_buffer_words"]
    alone, fused, staying = moved["layer by layer"], moved["fused"], moved["fused, tensors stay"]
    assert list(alone) == ["20", "500", "4000"]
    for size in ("500", "4000"):
        assert found["compulsory_words"] <= staying[size] <= fused[size] < alone[size]
    assert staying["4000"] == found["compulsory_words"]
    assert fused["4000"] <= fused["500"]
    assert found["links_left_out"] == 0


def test_the_fronts_are_drawn(tmp_path: Path, cli: Cli) -> None:
    """A line for each front and for what must be moved, each step of it at its place between the axes' ends."""
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    figure = tmp_path / "front.svg"
    sizes = ["--size", "20", "--size", "500", "--size", "4000"]
    found = cli("explore", source, "-t", "generic", *sizes, "-o", figure)
    assert found.code == 0
    assert str(figure) in found.out.replace("\n", "")
    root = ElementTree.fromstring(figure.read_text(encoding="utf-8"))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"layer by layer", "fused", "fused, tensors stay", "must be moved"} <= {*texts}
    assert "model.onnx: words off-chip by size of glb (estimated)" in texts
    lines = [each.get("d", "") for each in root.iter("{http://www.w3.org/2000/svg}path") if each.get("fill") == "none"]
    assert len(lines) == 4
    # 20 words are too few for any: the fronts have two sizes, what must be moved has three
    assert [line.count("V") for line in lines] == [1, 1, 1, 2]
    alone, fused, _, must = (float(line.rsplit("V", 1)[1].split("H")[0]) for line in lines)
    assert alone < fused < must


def test_a_figure_that_cannot_be_written_is_an_error(tmp_path: Path, cli: Cli) -> None:
    source = save_model(NETWORKS["odd-names"](), tmp_path / "model.onnx")
    found = cli("explore", source, "-t", "generic", "--size", "1000", "-o", tmp_path / "none" / "front.svg")
    assert found.code != 0
    assert "CAT-C002" in found.err


def test_sizes_lie_around_the_buffer_of_the_target(tmp_path: Path, cli: Cli) -> None:
    source = save_model(NETWORKS["odd-names"](), tmp_path / "model.onnx")
    found = cli("explore", source, "-t", "generic", "--set", "levels.glb.words=1600")
    assert found.code == 0
    sizes = [line.split()[0] for line in found.out.splitlines()[3:]]
    assert sizes == ["100", "200", "400", "800", "1,600", "3,200", "6,400", "12,800", "25,600"]


def test_targets_without_levels_are_refused(tmp_path: Path, cli: Cli) -> None:
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    found = cli("explore", source, "-t", "eyeriss")
    assert found.code == 3
    assert "buffers are explored on machines of levels" in found.err
    hint = " ".join(found.err.split())
    assert "use --target with one of" in hint
    assert " generic" in hint
    assert " spots" not in hint.split("use --target")[1]


def test_a_target_that_can_be_explored_is_the_default(tmp_path: Path, cli: Cli) -> None:
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    words = ("explore", source, "--size", "500", "--json")
    unsaid, said = (json.loads(cli(*words, *target).out)["result"] for target in ((), ("-t", "generic")))
    assert unsaid == said
    assert "default: generic" in " ".join(cli("explore", "--help").out.split())


def test_a_model_without_layers_to_fuse_is_refused(tmp_path: Path, cli: Cli) -> None:
    missing = cli("explore", tmp_path / "none.onnx", "-t", "generic")
    assert missing.code != 0
    assert "none.onnx" in missing.err


@pytest.mark.parametrize(("objective", "key", "unit"), [("energy", "energy_pj", "mJ"), ("latency", "cycles", "cycles")])
def test_energy_and_cycles_are_axes_too(tmp_path: Path, cli: Cli, objective: str, key: str, unit: str) -> None:
    source = save_model(NETWORKS["separable"](), tmp_path / "model.onnx")
    figure, words = tmp_path / "front.svg", ["-t", "generic", "--size", "20", "--size", "500", "--size", "4000"]
    found = cli("explore", source, *words, "--objective", objective, "-o", figure, "--json")
    assert found.code == 0, found.err
    least = json.loads(found.out)["result"][f"{key}_by_buffer_words"]
    alone, fused, staying = least["layer by layer"], least["fused"], least["fused, tensors stay"]
    for size in ("500", "4000"):
        assert 0 < staying[size] <= fused[size] < alone[size]
    assert least["fused"]["20"] is None
    root = ElementTree.fromstring(figure.read_text(encoding="utf-8"))
    texts = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.endswith(f"({unit})") for text in texts)
    assert "must be moved" not in texts

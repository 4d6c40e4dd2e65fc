"""Two compilations on a page: the numbers are those of `catena diff`, and a browser draws them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.conftest import Cli
from tests.compiler.report_page.in_browser import CHROMIUM, NARROW, WIDE, data_of, drawn


@pytest.fixture
def page(program: Path, cnn: Path, tmp_path: Path, cli: Cli) -> Path:
    """The small network on two targets."""
    path = tmp_path / "difference.html"
    assert cli("diff", program, cnn, "-t", "generic", "--html", path).code == 0
    return path


def test_numbers_are_those_of_the_command(page: Path, program: Path, cnn: Path, cli: Cli) -> None:
    data = data_of(page.read_text())
    found = cli("diff", program, cnn, "-t", "generic", "--json").json["result"]
    assert data["reports"] == found["reports"]
    assert data["names"][0].startswith("A: cnn.cat")
    assert data["names"][1].startswith("B: cnn.onnx")
    for shown, pair in zip(data["pairs"], found["pairs"], strict=True):
        assert {name: shown[name] for name in pair} == pair
        for side, total in zip(shown["sides"], pair["energy_pj"], strict=True):
            assert sum(side["energy_by_level"].values()) == pytest.approx(total)


def test_what_is_the_same_is_drawn_as_such(program: Path, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "same.html"
    assert cli("diff", program, program, "--html", path).code == 0
    assert all(pair["same"] for pair in data_of(path.read_text())["pairs"])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_browser_draws_both_sides(page: Path, size: str) -> None:
    pairs = data_of(page.read_text())["pairs"]
    shown = drawn(f"file://{page}#pair-1", size)
    assert shown.count('class="part"') == 2 * len(pairs)
    assert shown.count("data-layer=") == len(pairs)
    dialog = shown[shown.index("<dialog") :]
    assert f"1. {' + '.join(pairs[0]['nodes'])}" in dialog
    assert f"{pairs[0]['cycles'][1]:,}" in dialog

"""The benchmark of fused networks: its table of a small network."""

from __future__ import annotations

import re
from pathlib import Path

from tests.benchmarks.scripts import script
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import NETWORKS

PAGE = Path(__file__).parents[2] / "docs" / "fused-networks.md"


def _numbers(row: str) -> list[float]:
    """The first number of every cell."""
    return [float(cell.split()[0].replace(",", "")) for cell in row.strip("|").split("|")]


def test_the_table_of_a_small_network(tmp_path: Path) -> None:
    model = save_model(NETWORKS["separable"](), tmp_path / "separable.onnx")
    table = script("fused_networks").section("separable", model, (4,))
    bound = int(re.findall(r"moves ([\d,]+) words", table)[0].replace(",", ""))
    rows = [_numbers(line) for line in table.splitlines() if re.match(r"\| \d", line)]
    assert [row[0] for row in rows] == [4]
    for _, alone, singles, fused, less, less_than_singles, model_words, *others, groups, _, _ in rows:
        assert bound <= model_words <= fused < singles <= alone
        assert abs(less - 100 * (1 - fused / alone)) <= 0.5
        assert abs(less_than_singles - 100 * (1 - fused / singles)) <= 0.5
        *energies, work, singles_cycles, cycles = others
        assert len(energies) == 3
        assert min(energies) >= 0
        assert singles_cycles > 0
        assert work >= 1
        assert cycles > 0
        assert groups >= 1


def test_nothing_on_the_page_moves_less_than_must_be_moved() -> None:
    bound = 0
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"Every schedule moves ([\d,]+) words", line):
            bound = int(found[1].replace(",", ""))
        if re.match(r"\| \d", line):
            _, alone, singles, fused, _, _, model_words, *_ = _numbers(line)
            # the model knows layers alone as groups only, so it may be above what is fused
            assert bound <= model_words
            assert bound <= fused <= singles <= alone
    assert bound > 0

"""Budgets of CPU time are shares of what a peer takes beside it, and the page shows which were kept."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.benchmarks.scripts import FOLDER, script
from tests.compiler.small_models import save_model
from tests.end_to_end.networks import NETWORKS

PAGE = FOLDER.parent / "docs" / "budgets.md"


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return script("budgets")


def test_every_case_is_measured_between_two_of_the_reference(budgets: ModuleType) -> None:
    reference, ours = iter([10.0, 20.0, 40.0, 20.0, 20.0]), iter([3.0, 6.0, 6.0, 4.0])
    cases = [budgets.Case(name, 3.0, lambda: next(ours)) for name in ("first", "second")]
    first, second = budgets.measure(cases, lambda: next(reference), 2)
    assert (first.seconds, first.beside) == ([3.0, 6.0], [15.0, 30.0])
    assert (second.seconds, second.beside) == ([6.0, 4.0], [30.0, 20.0])
    assert first.shares == second.shares == [0.2, 0.2]


@pytest.mark.parametrize(("slowest", "kept"), [(2.9, True), (3.1, False)])
def test_a_budget_is_kept_if_every_round_keeps_it(budgets: ModuleType, slowest: float, kept: bool) -> None:
    beside = 2 * budgets.REFERENCE
    row = budgets.Row("net", 3.0, [2.0, 2 * slowest, 2.0], [beside, beside, beside])
    assert row.is_kept is kept
    line = next(line for line in budgets.page([row], "1.0", 3).splitlines() if line.startswith("| net"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    shares = f"{2 / beside:.3g} - {2 * slowest / beside:.3g}"
    assert cells[2:] == [f"2 - {2 * slowest:.3g}", "22.6", shares, "0.265", "yes" if kept else "no"]


def test_compilations_are_measured_with_and_without_what_is_kept(budgets: ModuleType, tmp_path: Path) -> None:
    model = save_model(NETWORKS["separable"](), tmp_path / "separable.onnx")
    kept = tmp_path / "kept"
    first, again = (budgets.compiled(model, kept, "-t", budgets.ALONE) for _ in range(2))
    assert 0 < again < first
    assert any(kept.rglob("*"))
    assert budgets.cold(model, "-t", budgets.FUSED, "--fuse") > again


def test_the_page_has_every_budget_and_compilations_kept_theirs(
    budgets: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "compiled", lambda *_: 0.0)
    networks = {name: Path(name) for name in ("ResNet-18", "ResNet-50", "MobileNet-v2")}
    others = script("run").Models(Path("a.onnx"), Path("b.onnx"), Path("c.onnx"), 224)
    titles = [case.title for case in budgets.cases(networks, others, Path())]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| (?!what|---)", line)
    ]
    assert [row[0] for row in rows] == titles
    for title, budget, _, _, shares, most, kept in rows:
        assert float(most) == pytest.approx(float(budget) / budgets.REFERENCE, rel=5e-3)
        assert kept == ("yes" if float(shares.split(" - ")[-1]) <= float(most) else "no")
        assert kept == "yes" or "compile" not in title

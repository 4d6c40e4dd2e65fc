"""The pages of targets say what each was compared with, and lead to the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.target_validations import validations
from compiler.targets import select_target
from dialects.multicore_machine import MulticoreMachine

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", sorted(DOCS.glob("target-*.md")), ids=lambda page: page.stem)
def test_every_target_says_what_it_was_compared_with(page: Path) -> None:
    target = page.stem.removeprefix("target-")
    section = page.read_text(encoding="utf-8").partition("## Validated by")[2]
    found = validations(target)
    assert f"catena conformance {target}" in found[-1].against
    for each in found:
        assert each.compared in section
        if each.page:
            # The page that is named is there, and about this target or the family it is of.
            text = (DOCS / each.page).read_text(encoding="utf-8").lower()
            assert target.split("-")[0] in text or "crossbar" in text, each.page


@pytest.mark.parametrize("page", sorted(DOCS.glob("target-*.md")), ids=lambda page: page.stem)
def test_every_target_says_whether_links_of_groups_work_at_the_same_time(page: Path) -> None:
    machine, text = select_target(page.stem.removeprefix("target-")).machine, page.read_text(encoding="utf-8")
    assert ("take turns on the one array" in text) == (not isinstance(machine, MulticoreMachine))
    assert ("work at the same time" in text) == isinstance(machine, MulticoreMachine)

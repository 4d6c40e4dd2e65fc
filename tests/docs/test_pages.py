"""The pages in docs/ say what the code does today."""

from __future__ import annotations

import re
from pathlib import Path

from compiler.pages import pages

ROOT = Path(__file__).parents[2]
MEASURED = {
    "benchmarks.md",
    "budgets.md",
    "chain-claim.md",
    "crossbar-counts.md",
    "dependencies.md",
    "encodings.md",
    "eyeriss-chip.md",
    "fused-networks.md",
    "fused-peers.md",
    "fusion.md",
    "fuzzing.md",
    "isca16.md",
    "looptree-conclusions.md",
    "looptree-designs.md",
    "rram-grid.md",
    "rram-groups.md",
    "rram-ladder.md",
    "rram-latency.md",
    "rram-mesh.md",
    "rram-networks.md",
    "rram-schedules.md",
    "rram.md",
    "spots-groups.md",
    "spots-networks.md",
    "spots-rivals.md",
    "spots.md",
    "zigzag.md",
}
"""Pages that benchmarks, fuzzing and `tasks.py lock` write; making them takes minutes, or other packages."""


WRITTEN = {"index.md"}
"""Pages that a person writes; others of that kind are in `docs/guide`."""


def test_every_page_is_current() -> None:
    made = pages()
    present = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    assert set(present) - MEASURED - WRITTEN == set(made)
    assert all(present[name].startswith("<!-- Made by") for name in MEASURED)
    stale = [name for name, text in made.items() if present[name] != text]
    assert not stale, "run: python3 tasks.py docs"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"

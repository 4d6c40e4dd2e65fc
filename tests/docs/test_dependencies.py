"""What is pinned keeps to the ranges of the project, and nothing of Catena itself talks to a network."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
PINS = [Requirement(line.removesuffix("\\")) for line in LINES if line and not line.startswith((" ", "#"))]
NETWORK = "socket|ssl|http|urllib|ftplib|smtplib|requests|httpx|aiohttp|asyncio"


def test_every_requirement_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    asked = [each for each in map(Requirement, texts) if each.name != project["name"]]
    assert asked
    for requirement in asked:
        versions = [str(pin.specifier).removeprefix("==") for pin in PINS if pin.name == requirement.name]
        assert versions, f"{requirement} is not pinned: python3 tasks.py lock"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement}: {versions}"


def test_every_pin_has_a_hash_and_names_no_place() -> None:
    for line, following in zip(LINES, [*LINES[1:], ""], strict=True):
        if line and not line.startswith((" ", "#")):
            assert line.endswith("\\")
            assert following.startswith("    --hash=sha256:")
    assert not any("://" in line for line in LINES)


def test_the_page_lists_what_is_pinned() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    missing = [pin.name for pin in PINS if pin.marker is None and f"| `{pin.name}` |" not in page]
    assert not missing, "run: python3 tasks.py lock"


def test_nothing_talks_to_a_network() -> None:
    for package in ("dialects", "passes", "backends", "compiler"):
        for path in (ROOT / package).rglob("*.py"):
            used = re.findall(rf"^ *(?:import|from) +(?:{NETWORK})\b.*", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert not used, f"{path.relative_to(ROOT)}: {used}"

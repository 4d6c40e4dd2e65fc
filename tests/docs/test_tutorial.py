"""The tutorial builds what `catena new-backend` writes; `tests/plugin/test_scaffold.py` executes that."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

from backends.api import API_VERSION
from backends.registry import GROUP, TARGETS
from compiler.cli.main import VERBS
from compiler.scaffold.project import project_files

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "tutorial-backend.md").read_text(encoding="utf-8")
PAGE_OF_API = Path(__file__).parents[2] / "docs" / "guide" / "backend-api.md"
BESIDES = ("README.md", "tests/")
"""Files that are no part of the machine."""


def shown() -> dict[str, str]:
    """The files that the page shows, piece by piece, put together."""
    found: dict[str, list[str]] = {}
    for path, text in re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        found.setdefault(path, []).append(text)
    return {path: "\n\n".join(parts) for path, parts in found.items()}


def test_the_page_shows_all_of_the_machine() -> None:
    made = {path: text for path, text in project_files("lanes", 1).items() if not path.startswith(BESIDES)}
    page = shown()
    assert page.keys() == made.keys()
    for path, text in made.items():
        assert re.sub(r"\n+", "\n", page[path]) == re.sub(r"\n+", "\n", text), path


def test_it_is_short_and_says_how_short() -> None:
    files = project_files("lanes", 1)
    lines = sum(text.count("\n") for path, text in files.items() if not path.startswith(BESIDES))
    assert lines < 200
    assert f"It takes {lines} lines" in PAGE.replace("\n", " ")


def test_its_commands_are_there() -> None:
    assert set(re.findall(r"^catena ([\w-]+)", PAGE, re.MULTILINE)) <= set(VERBS)


def test_the_interface_is_as_its_page_says() -> None:
    text = PAGE_OF_API.read_text(encoding="utf-8")
    assert f"version **{API_VERSION[0]}.{API_VERSION[1]}**" in text
    assert f"api=({API_VERSION[0]}, {API_VERSION[1]})" in text
    assert f"`{GROUP}`" in text
    assert f"`{TARGETS}`" in text
    names = re.findall(r"^\| `((?:backends|dialects|compiler)[\w.]+)` \|", text, re.MULTILINE)
    assert len(names) >= 15
    for name in names:
        assert pkgutil.resolve_name(name) is not None

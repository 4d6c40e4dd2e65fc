"""The page of dependencies and their licences, of what `requirements.lock` pins: `python3 tasks.py lock` calls this.

    python docs/dependencies.py docs/dependencies.md

Licences are read from the metadata of the installed packages, so all extras have to be installed.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LONGEST = 40
"""Characters of a licence's name; some packages have the whole text there."""

_INTRODUCTION = """\
Catena itself needs the packages of the first table, which may come in any version of the range. `requirements.lock`
pins one version of each of them, of everything that the extras add, and of what those need, with the hashes of the
files:

    python3 -m pip install --require-hashes -r requirements.lock
    python3 -m pip install --no-deps --editable .

`python3 tasks.py lock` makes it anew. Catena itself is under the Apache License 2.0 and sends nothing to anybody: no
command opens a network connection but for `--scheduler ADDRESS`, which connects to that address.
"""


def licence(package: Distribution) -> str:
    """The licence that a package's metadata name: an SPDX expression, a classifier, or a short text."""
    metadata = package.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return expression
    classifiers = [each for each in metadata.get_all("Classifier") or [] if each.startswith("License ::")]
    names = [each.rpartition(" :: ")[2] for each in classifiers if each != "License :: OSI Approved"]
    if names:
        return ", ".join(names)
    text = (metadata.get("License") or "").strip().partition("\n")[0]
    return text if 0 < len(text) <= LONGEST else "see the package"


def pinned() -> dict[str, str]:
    """Versions of `requirements.lock` for this interpreter and system, by package."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line.removesuffix("\\")) for line in lines if line and not line.startswith((" ", "#"))]
    return {
        pin.name: str(pin.specifier).removeprefix("==") for pin in pins if pin.marker is None or pin.marker.evaluate()
    }


def _row(name: str, version: str) -> str:
    try:
        found = licence(distribution(name))
    except PackageNotFoundError:
        found = "not installed where this page was made"
    return f"| `{name}` | {version} | {found} |"


def page() -> str:
    """The page, in Markdown."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = sorted(map(Requirement, project["dependencies"]), key=lambda each: each.name)
    pins = pinned()
    here = f"{sys.version_info.major}.{sys.version_info.minor} on {sys.platform}"
    own = [f"| `{each.name}` | `{each.specifier}` | {pins[each.name]} |" for each in needed]
    return "\n".join(
        [
            "<!-- Made by `python3 tasks.py lock`; do not edit. -->\n",
            "# Dependencies and licences\n",
            _INTRODUCTION,
            "| package | range | pinned |\n| --- | --- | --- |",
            *own,
            f"\nEverything that is pinned for Python {here}, with the licence that the package states:\n",
            "| package | version | licence |\n| --- | --- | --- |",
            *(_row(name, version) for name, version in sorted(pins.items())),
            "",
        ]
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")

"""Backends as installed distributions: found, loaded, and named when they are broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends.api import API_VERSION
from backends.registry import GROUP, TARGETS, find_backend, installed_backends, installed_targets
from dialects.diagnostics import CatenaError

GOOD = """
from pathlib import Path
from backends.api import Backend
from backends.isa import Isa

def fail(*_):
    raise NotImplementedError

BACKEND = Backend(
    name="{name}", summary="", isa=lambda: Isa(name="x", version=1, word_bits=32, summary=""),
    description=lambda: Path("x.toml"), emit=fail, load=fail, predict=fail,
)
"""


def install_plugin(folder: Path, distribution: str, name: str, source: str, group: str = GROUP) -> None:
    """Put a distribution with one module and one entry point into a folder of the import path."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:BACKEND\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def refused(name: str) -> tuple[str, str]:
    """Code and text of the error that `find_backend` ends with."""
    with pytest.raises(CatenaError) as error:
        find_backend(name)
    return error.value.diagnostics[0].code, str(error.value)


def test_a_plugin_is_found_by_name(site: Path) -> None:
    install_plugin(site, "good-chip", "goodchip", GOOD.format(name="goodchip"))
    assert "good_chip" not in sys.modules
    (found,) = (each for each in installed_backends() if each.name == "goodchip")
    assert (found.distribution, found.reference) == ("good-chip", "good_chip:BACKEND")
    assert "good_chip" not in sys.modules
    backend = find_backend("goodchip")
    assert backend.name == "goodchip"
    assert backend.passes == {}
    assert backend is find_backend("goodchip")


def test_a_plugin_is_found_that_is_installed_later(site: Path) -> None:
    os.utime(site, ns=(0, 0))  # so that the clock need not tick for the folder to have changed
    assert "laterchip" not in {each.name for each in installed_backends()}
    install_plugin(site, "later-chip", "laterchip", GOOD.format(name="laterchip"))
    assert find_backend("laterchip").name == "laterchip"


def test_an_unknown_name_gets_a_hint(site: Path) -> None:
    install_plugin(site, "near-chip", "nearchip", GOOD.format(name="nearchip"))
    code, text = refused("neerchip")
    assert code == "CAT-C001"
    assert "did you mean nearchip?" in text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_module_that_is_not_there", "a_module_that_is_not_there"),
        ("BACKEND = (", "SyntaxError"),
        ("", "AttributeError"),
        ("1 / 0", "ZeroDivisionError"),
        ("BACKEND = 7", "is a int, not a Backend"),
        (GOOD.format(name="other"), "calls itself 'other'"),
    ],
    ids=["import", "syntax", "attribute", "arithmetic", "type", "name"],
)
def test_a_broken_plugin_is_named(site: Path, request: pytest.FixtureRequest, source: str, reason: str) -> None:
    distribution = f"bad-chip-{request.node.callspec.id}"
    install_plugin(site, distribution, "badchip", source)
    code, text = refused("badchip")
    assert code == "CAT-C006"
    assert repr(distribution) in text
    assert reason in text
    # It does not keep others from being found.
    assert "badchip" in [each.name for each in installed_backends()]


def test_two_distributions_with_one_name_are_refused(site: Path) -> None:
    install_plugin(site, "chip-a", "twice", GOOD.format(name="twice"))
    install_plugin(site, "chip-b", "twice", GOOD.format(name="twice"))
    code, text = refused("twice")
    assert code == "CAT-C006"
    assert "chip-a" in text
    assert "chip-b" in text


def test_the_registry_imports_nothing_heavy() -> None:
    script = (
        "import sys, backends.registry, backends.container, backends.listing, backends.disassembly;"
        "print([name for name in ('xdsl', 'lark', 'pydantic', 'onnx', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("version", "is_right"),
    [
        (API_VERSION, True),
        ((API_VERSION[0], 0), True),
        ((API_VERSION[0], API_VERSION[1] + 1), False),
        ((API_VERSION[0] + 1, 0), False),
        ((API_VERSION[0] - 1, 9), False),
    ],
)
def test_a_backend_for_another_version_of_the_interface_is_refused(
    site: Path, version: tuple[int, int], is_right: bool
) -> None:
    name = f"version{version[0]}{version[1]}"
    install_plugin(site, f"{name}-chip", name, GOOD.format(name=name).rstrip().rstrip(")") + f"api={version})\n")
    if is_right:
        assert find_backend(name).api == version
        return
    code, text = refused(name)
    assert code == "CAT-C006"
    assert "another version of the backend API" in text
    assert ".".join(map(str, version)) in text
    assert f"{API_VERSION[0]}.0 to {API_VERSION[0]}.{API_VERSION[1]}" in text


@pytest.mark.parametrize("version", ["'1.0'", "1", "(1,)", "None"])
def test_what_is_no_version_is_refused(site: Path, version: str) -> None:
    name = f"odd{version.encode().hex()}"
    install_plugin(site, f"{name}-chip", name, GOOD.format(name=name).rstrip().rstrip(")") + f"api={version})\n")
    code, text = refused(name)
    assert code == "CAT-C006"
    assert version in text


def test_a_described_target_is_a_path(site: Path) -> None:
    install_plugin(site, "told-chip", "toldchip", "from pathlib import Path\nBACKEND = Path('there.toml')\n", TARGETS)
    install_plugin(site, "lost-chip", "lostchip", "BACKEND = 'there.toml'\n", TARGETS)
    told, lost = (next(each for each in installed_targets() if each.name == name) for name in ("toldchip", "lostchip"))
    assert told.load() == Path("there.toml")
    with pytest.raises(CatenaError, match="lost_chip:BACKEND is a str, not a Path"):
        lost.load()

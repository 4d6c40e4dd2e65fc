"""Whether everything is here that Catena needs: packages, plug-ins that can be loaded, a cache that can be written."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from backends.api import API_VERSION, Backend
from backends.registry import InstalledBackend, InstalledTarget, installed_backends, installed_targets
from compiler.cache_folder import cache_folder
from compiler.displaying import Displayed, Part
from compiler.tables import Table, table
from dialects.diagnostics import CatenaError, Diagnostic

MISSING = "missing"
OPTIONAL = {
    "onnxruntime": "catena verify, catena quantize (pip install 'catena[verify]')",
    "distributed": "catena compile --scheduler (pip install 'catena[dist]')",
    "sphinx": "python3 tasks.py site (pip install 'catena[docs]')",
}
"""What is done without, and what it is for."""


@dataclass(frozen=True)
class Package:
    """A package: its version or `MISSING`, and what asks for it; `is_optional` if little is lost without."""

    name: str
    version: str
    needed: str
    is_optional: bool = False


@dataclass(frozen=True)
class PlugIn:
    """A backend or a described target, who offers it, and why it cannot be loaded, if so."""

    name: str
    kind: str
    distribution: str
    state: str
    problems: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Health(Displayed):
    """What was found."""

    packages: tuple[Package, ...]
    plug_ins: tuple[PlugIn, ...]
    cache: str
    machine: str

    def tables(self) -> tuple[Table, Table]:
        """Packages, and plug-ins."""
        packages = ((each.name, each.version, each.needed) for each in self.packages)
        plug_ins = ((each.name, each.kind, each.distribution, each.state) for each in self.plug_ins)
        return (
            table(("package", "version", "needed"), packages),
            table(("plug-in", "kind", "distribution", "state"), plug_ins),
        )

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [*self.tables(), f"machine: {self.machine}", f"cache: {self.cache}"]

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """What has to be mended."""
        missing = [
            Diagnostic("CAT-C004", f"{each.name} is not installed", expected=each.needed, found=MISSING)
            for each in self.packages
            if each.version == MISSING and not each.is_optional
        ]
        return (*missing, *(problem for each in self.plug_ins for problem in each.problems))


def examine() -> Health:
    """Look at everything; all plug-ins are imported."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()} at {sys.executable}"
    return Health(tuple(_packages()), tuple(_plug_ins()), _cache(), machine)


def _packages() -> Iterator[Package]:
    yield Package("catena", version("catena"), f"backend interface {'.'.join(map(str, API_VERSION))}")
    for requirement in requires("catena") or []:
        if "extra ==" not in requirement:
            name = _bare(requirement)
            yield Package(name, _version(name), requirement)
    for name, use in OPTIONAL.items():
        yield Package(name, _version(name), f"optional: {use}", is_optional=True)


def _bare(requirement: str) -> str:
    """`numpy` of `numpy<3,>=1.26`."""
    end = next((index for index, each in enumerate(requirement) if each in "<>=!~ [;"), len(requirement))
    return requirement[:end].strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return MISSING


def _plug_ins() -> Iterator[PlugIn]:
    for offer in (*installed_backends(), *installed_targets()):
        kind = "backend" if isinstance(offer, InstalledBackend) else "target"
        try:
            found = _loaded(offer)
        except CatenaError as error:
            yield PlugIn(offer.name, kind, offer.distribution, "cannot be loaded", error.diagnostics)
            continue
        interface = f", interface {'.'.join(map(str, found.api))}" if isinstance(found, Backend) else ""
        yield PlugIn(offer.name, kind, offer.distribution, f"ok{interface}")


def _loaded(offer: InstalledBackend | InstalledTarget) -> Backend | Path:
    return offer.load()


def _cache() -> str:
    """Where things are kept, and whether they can be."""
    folder = cache_folder()
    if folder is None:
        return "nowhere"
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return str(folder) if os.access(there, os.W_OK) else f"{folder}, which cannot be written: nothing is kept"

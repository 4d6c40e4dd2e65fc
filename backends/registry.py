"""Backends and described targets by name, through entry points of installed distributions, imported when asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import TypeVar

from backends.api import API_VERSION, Backend
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

GROUP = "catena.backends"
TARGETS = "catena.targets"
"""The entry points that are paths of descriptions, of machines that are described by levels or extend others."""
OWN_DISTRIBUTION = "catena"

# What running the top level of somebody else's module can be expected to raise.
_IMPORT_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    CatenaError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Offer:
    """What some distribution offers; `reference` is where it is, as `module:attribute`."""

    name: str
    distribution: str
    reference: str
    entry_point: EntryPoint

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with Catena itself."""
        return self.distribution == OWN_DISTRIBUTION

    def _imported(self, what: str) -> object:
        try:
            return self.entry_point.load()
        except _IMPORT_FAILURES as error:
            raise self._broken(what, f"{type(error).__name__}: {error}") from error

    def _broken(self, what: str, reason: str, expected: str = "", found: str = "") -> CatenaError:
        return CatenaError(
            Diagnostic(
                "CAT-C006",
                f"{what} {self.name!r} of distribution {self.distribution!r} cannot be loaded: {reason}",
                expected=expected,
                found=found,
                hint=f"update or uninstall {self.distribution}",
            )
        )


@dataclass(frozen=True)
class InstalledBackend(Offer):
    """A backend that some distribution offers."""

    def load(self) -> Backend:
        """Import the backend.

        Raises `CatenaError` (CAT-C006) naming the distribution if that fails or gives something else, or a backend for
        another version of the interface.
        """
        found = self._imported("backend")
        if not isinstance(found, Backend):
            raise self._broken("backend", f"{self.reference} is a {type(found).__name__}, not a Backend")
        if not _can_use(found.api):
            expected = f"{API_VERSION[0]}.0 to {_version(API_VERSION)}"
            message = "it was written for another version of the backend API"
            raise self._broken("backend", message, expected, _version(found.api))
        if found.name != self.name:
            raise self._broken("backend", f"{self.reference} calls itself {found.name!r}")
        return found


@dataclass(frozen=True)
class InstalledTarget(Offer):
    """A target that some distribution describes, for a backend that another one has."""

    def load(self) -> Path:
        """Where its description is. Raises `CatenaError` (CAT-C006) if that cannot be found out, or is no path."""
        found = self._imported("target")
        if not isinstance(found, Path):
            raise self._broken("target", f"{self.reference} is a {type(found).__name__}, not a Path")
        return found


OfferT = TypeVar("OfferT", bound=Offer)


def _can_use(version: object) -> bool:
    """Whether this interface is the one of a version, or one to which things were added since."""
    match version:
        case (int(first), int(second)):
            return first == API_VERSION[0] and second <= API_VERSION[1]
        case _:
            return False


def _version(version: object) -> str:
    match version:
        case (int(first), int(second)):
            return f"{first}.{second}"
        case _:
            return repr(version)


def installed_backends() -> tuple[InstalledBackend, ...]:
    """All backends that are installed, sorted by name; none is imported."""
    return _offers(GROUP, InstalledBackend)


def installed_targets() -> tuple[InstalledTarget, ...]:
    """All targets that distributions describe without a backend of their own, sorted by name; none is imported."""
    return _offers(TARGETS, InstalledTarget)


def _offers(group: str, kind: Callable[[str, str, str, EntryPoint], OfferT]) -> tuple[OfferT, ...]:
    # The same distribution may be on the path twice, as a wheel and as a checkout.
    found = {
        (entry.name, entry.dist.name if entry.dist else "", entry.value): entry
        for entry in _entry_points(tuple((place, _changed(place)) for place in sys.path))[group]
    }
    return tuple(
        kind(name, distribution or "(unknown)", value, entry)
        for (name, distribution, value), entry in sorted(found.items(), key=lambda item: item[0])
    )


@lru_cache(maxsize=2)
def _entry_points(places: tuple[tuple[str, int], ...]) -> Mapping[str, EntryPoints]:
    """What all distributions offer, read once while none of the places where they are has changed."""
    found = entry_points()
    return {group: found.select(group=group) for group in (GROUP, TARGETS)}


def _changed(place: str) -> int:
    """When a folder has last changed, in ns; 0 if it is none."""
    try:
        return os.stat(place or ".").st_mtime_ns
    except OSError:
        return 0


def bundled_backends() -> tuple[InstalledBackend, ...]:
    """The backends that come with Catena itself, sorted by name; none is imported."""
    return tuple(backend for backend in installed_backends() if backend.is_bundled)


def find_backend(name: str) -> Backend:
    """The backend of that name.

    Raises `CatenaError`: CAT-C001 if there is none, CAT-C006 if two distributions offer it or it cannot be imported.
    """
    return find_installed(name, installed_backends()).load()


def find_installed(name: str, backends: Sequence[OfferT]) -> OfferT:
    """The one of what is installed that has that name, not imported. Raises `CatenaError` as `find_backend`."""
    matches = [backend for backend in backends if backend.name == name]
    if not matches:
        hint = did_you_mean(name, (backend.name for backend in backends))
        raise CatenaError(Diagnostic("CAT-C001", f"no backend is called {name!r}", hint=hint))
    if len(matches) > 1:
        offers = " and ".join(f"{match.distribution} ({match.reference})" for match in matches)
        message = f"{name!r} is offered twice: {offers}"
        raise CatenaError(Diagnostic("CAT-C006", message, hint="uninstall one of them"))
    return matches[0]

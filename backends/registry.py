"""Backends by name, found through the entry points of installed distributions and imported only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from backends.api import Backend
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

GROUP = "catena.backends"
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
class InstalledBackend:
    """A backend that some distribution offers; `reference` is where it is, as `module:attribute`."""

    name: str
    distribution: str
    reference: str
    entry_point: EntryPoint

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with Catena itself."""
        return self.distribution == OWN_DISTRIBUTION

    def load(self) -> Backend:
        """Import the backend.

        Raises `CatenaError` (CAT-C006) naming the distribution if that fails or gives something else.
        """
        try:
            found: object = self.entry_point.load()
        except _IMPORT_FAILURES as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error
        if not isinstance(found, Backend):
            raise self._broken(f"{self.reference} is a {type(found).__name__}, not a Backend")
        if found.name != self.name:
            raise self._broken(f"{self.reference} calls itself {found.name!r}")
        return found

    def _broken(self, reason: str) -> CatenaError:
        return CatenaError(
            Diagnostic(
                "CAT-C006",
                f"backend {self.name!r} of distribution {self.distribution!r} cannot be loaded: {reason}",
                hint=f"update or uninstall {self.distribution}",
            )
        )


def installed_backends() -> tuple[InstalledBackend, ...]:
    """All backends that are installed, sorted by name; none is imported."""
    # The same distribution may be on the path twice, as a wheel and as a checkout.
    found = {
        (entry.name, entry.dist.name if entry.dist else "", entry.value): entry for entry in entry_points(group=GROUP)
    }
    return tuple(
        InstalledBackend(name, distribution or "(unknown)", value, entry)
        for (name, distribution, value), entry in sorted(found.items(), key=lambda item: item[0])
    )


def bundled_backends() -> tuple[InstalledBackend, ...]:
    """The backends that come with Catena itself, sorted by name; none is imported."""
    return tuple(backend for backend in installed_backends() if backend.is_bundled)


def find_backend(name: str) -> Backend:
    """The backend of that name.

    Raises `CatenaError`: CAT-C001 if there is none, CAT-C006 if two distributions offer it or it cannot be imported.
    """
    return find_installed(name, installed_backends()).load()


def find_installed(name: str, backends: Sequence[InstalledBackend]) -> InstalledBackend:
    """The one of some installed backends that has that name, not imported. Raises `CatenaError` as `find_backend`."""
    matches = [backend for backend in backends if backend.name == name]
    if not matches:
        hint = did_you_mean(name, (backend.name for backend in backends))
        raise CatenaError(Diagnostic("CAT-C001", f"no backend is called {name!r}", hint=hint))
    if len(matches) > 1:
        offers = " and ".join(f"{match.distribution} ({match.reference})" for match in matches)
        raise CatenaError(
            Diagnostic("CAT-C006", f"backend {name!r} is offered twice: {offers}", hint="uninstall one of them")
        )
    return matches[0]

"""The two ways to use an accelerator: the whole network on it, or convolutions on it and the rest on a host core."""

from __future__ import annotations

from enum import StrEnum

from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from passes.assign_host import AssignHostPass


class Mode(StrEnum):
    """`chain`: every link runs on the accelerator. `offload`: only convolutions and matrix products do."""

    CHAIN = "chain"
    OFFLOAD = "offload"

    @property
    def passes(self) -> tuple[ModulePass, ...]:
        """The passes that decide where links run, before the mapper."""
        return (AssignHostPass(),) if self is Mode.OFFLOAD else ()


def mode_named(name: str) -> Mode:
    """The mode of that name. Raises `CatenaError` (CAT-C001) if there is none."""
    known = [mode.value for mode in Mode]
    if name not in known:
        raise CatenaError(Diagnostic("CAT-C001", f"no mode is called {name!r}", hint=did_you_mean(name, known)))
    return Mode(name)

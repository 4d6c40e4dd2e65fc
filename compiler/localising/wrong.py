"""An effect that is not what it has to be."""

from __future__ import annotations

from backends.effects import Effect


class WrongEffectError(Exception):
    """The first effect that is wrong: the run need not go on. `what` the emulator does, and at which loops first."""

    def __init__(self, effect: Effect, what: str, place: str, expected: str, found: str) -> None:
        super().__init__(what)
        self.effect, self.what, self.place, self.expected, self.found = effect, what, place, expected, found

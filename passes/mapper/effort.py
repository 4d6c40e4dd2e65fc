"""How long a search may look: in parts of mappings, so that its result does not depend on how fast it runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

GROUP = 300
"""What it takes to look at some parts together costs as much as these, each on its own."""


USUAL = 450_000
"""Parts of mappings that are looked at for one link, at most, unless its time is limited: about a second."""


class SpentError(Exception):
    """No more effort is to be made."""


@dataclass
class Effort:
    """How many parts of mappings may still be looked at, whether somebody asks to stop before; how many were."""

    parts: float = math.inf
    should_stop: Callable[[], bool] = field(default=lambda: False)
    spent: int = 0

    def spend(self, parts: int) -> None:
        """Look at some more, or raise `SpentError`."""
        self.parts -= parts
        self.spent += parts
        if self.parts < 0 or self.should_stop():
            raise SpentError

    def share(self, part: float) -> Effort:
        """A part of what is left, to be spent apart."""
        return Effort(self.parts * part, self.should_stop)

"""What the cost models need to know of computed addresses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lookups:
    """What a link addresses by index tensors.

    `read` and `written` are the shapes of the index tensors of input and output, None for operands that are in place:
    in each dimension 1 or more, by whether addresses vary along it, and last the number of components. `combines`
    says whether the words at the output's addresses are read first.
    """

    read: tuple[int, ...] | None = None
    written: tuple[int, ...] | None = None
    combines: bool = False


IN_PLACE = Lookups()
"""Of links without computed addresses."""

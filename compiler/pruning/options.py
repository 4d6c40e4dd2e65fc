"""Which weights are pruned together, and how many: every choice, checked together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean


class Structure(StrEnum):
    """What is pruned as a whole, of a layer's weights as a matrix of filters by positions.

    `UNSTRUCTURED`: single weights. `GROUP`: one position throughout a group of filters, as SPOTS needs it. `BLOCK`: as
    many filters by as many positions. `CHANNEL`: an input channel throughout all filters.
    """

    GROUP = "group"
    BLOCK = "block"
    CHANNEL = "channel"
    UNSTRUCTURED = "unstructured"


DEFAULT_GROUP = 8
DEFAULT_BLOCK = (4, 4)


@dataclass(frozen=True)
class PruneOptions:
    """`sparsity` is the share of a layer's weights that become zero, as near as whole units allow.

    `group` is how many filters are a group (default 8), `block` how many filters by positions a block (4 x 4); they
    belong to these structures. `exclude` names nodes whose weights stay.
    """

    structure: Structure
    sparsity: float
    group: int | None = None
    block: tuple[int, int] | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises `CatenaError` (CAT-C001) with everything that is wrong."""
        if problems := tuple(self._problems()):
            raise CatenaError(problems)

    @property
    def unit(self) -> tuple[int, int]:
        """Filters by positions of what is pruned as a whole; of channels, those within one."""
        if self.structure is Structure.GROUP:
            return self.group or DEFAULT_GROUP, 1
        if self.structure is Structure.BLOCK:
            return self.block or DEFAULT_BLOCK
        return 1, 1

    def _problems(self) -> Iterator[Diagnostic]:
        if not 0 <= self.sparsity < 1:
            expected = "at least 0 and less than 1, as in 0.7"
            yield Diagnostic("CAT-C001", "no share of weights", expected=expected, found=str(self.sparsity))
        given = {"group": self.group, "block": self.block}
        for name, value in given.items():
            if value is None:
                continue
            if name != self.structure:
                message = f"--{name} is of no use with --structure {self.structure}"
                yield Diagnostic("CAT-C001", message, hint=f"--structure {name}")
            sizes = value if isinstance(value, tuple) else (value,)
            if min(sizes) < 1:
                found = "x".join(map(str, sizes))
                yield Diagnostic("CAT-C001", f"--{name}: sizes are at least 1", found=found)


def structure_named(name: str) -> Structure:
    """The structure of that name. Raises `CatenaError` (CAT-C001) for a name that is none."""
    known = tuple(Structure)
    if name not in known:
        hint, expected = did_you_mean(name, known), " or ".join(known)
        raise CatenaError(Diagnostic("CAT-C001", f"unknown --structure {name!r}", expected=expected, hint=hint))
    return Structure(name)


def parse_block(text: str | None) -> tuple[int, int] | None:
    """`4x8` as filters by positions. Raises `CatenaError` (CAT-C001) for anything else."""
    if text is None:
        return None
    filters, times, positions = text.partition("x")
    if not times or not all(each.isascii() and each.isdigit() and len(each) < 10 for each in (filters, positions)):
        raise CatenaError(Diagnostic("CAT-C001", "--block: this is no size", expected="as in 4x8", found=text))
    return int(filters), int(positions)

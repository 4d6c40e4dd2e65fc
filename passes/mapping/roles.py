"""Which loop of a link plays which part in a row-stationary mapping.

Row-stationary processing (Chen et al., ISCA 2016) spreads kernel rows and output rows over the array, slides one
kernel row along one input row inside each element, interleaves filters and channels there, and spreads further
channels and filters over sets of elements. A general convolution has up to four loops in each of many dimensions; here
each part is given to one loop. Loops without a part run one index at a time; those that only repeat a result have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import takewhile

from dialects.gconv import PASS, Dim, GConv, LoopKind
from dialects.schedule import Loop


@dataclass(frozen=True)
class Roles:
    """The loop of each part, or None; `rest` are the loops with several indices and no part.

    Letters follow the paper where it has them. `rows_out` E and `rows_kernel` R are spread over the array; `slide` F
    and `slide_kernel` S stay in an element; `images` N stream through it; `channels` C and `filters` M are both
    interleaved in an element and spread over sets; `groups` G likewise, and output positions where there is no
    kernel. `rows_out` and `slide` may be the same loop: it is then spread in chunks.
    """

    images: Loop | None = None
    rows_out: Loop | None = None
    rows_kernel: Loop | None = None
    slide: Loop | None = None
    slide_kernel: Loop | None = None
    channels: Loop | None = None
    filters: Loop | None = None
    groups: Loop | None = None
    rest: tuple[Loop, ...] = field(default=())


PARTS = tuple(each.name for each in fields(Roles) if each.name != "rest")
KINDS: Mapping[str, tuple[LoopKind, ...]] = {
    "images": (LoopKind.OPC,),
    "rows_out": (LoopKind.OPC,),
    "rows_kernel": (LoopKind.KS,),
    "slide": (LoopKind.OPC,),
    "slide_kernel": (LoopKind.KS,),
    "channels": (LoopKind.KS,),
    "filters": (LoopKind.OP,),
    "groups": (LoopKind.G, LoopKind.OPC),
}
"""The kinds of loops that `assign_roles` gives each part to."""


def roles_in_nest(spec: GConv) -> Roles:
    """As `assign_roles`, for nests: loops without a part run index by index around all of it.

    The last two position loops behind the channels become rows and sliding positions without a window, too, where they
    are not one dimension: a kernel of one element crosses them in strides, say.
    """
    behind = list(takewhile(lambda dim: dim.g * dim.op * dim.ks == 1, reversed(spec.dims)))
    positions = [Loop(dim.name, LoopKind.OPC) for dim in reversed(behind) if dim.opc > 1]
    if len(positions) < 2 or spec.main == PASS or any(dim.is_window for dim in spec.dims):
        return assign_roles(spec)
    return _completed(spec, dict(zip(("rows_out", "slide"), positions[-2:], strict=True)))


def assign_roles(spec: GConv) -> Roles:
    """Give every part to the loop that suits it best.

    Two window dimensions become rows and sliding positions, as in a 2-D convolution; one becomes rows. Without a
    window the longest output-position loop is spread in chunks. The longest remaining loop of each kind plays
    channels, filters, groups and images.
    """
    windows = [dim for dim in spec.dims if dim.is_window]
    taken: dict[str, Loop] = {}
    if windows:
        _take_windows(windows, taken)
    return _completed(spec, taken)


def _completed(spec: GConv, taken: dict[str, Loop]) -> Roles:
    """The roles with some that are taken: the longest loop of its kind for every other."""
    free = _Free(spec, set(taken.values()))
    if "rows_out" not in taken:
        _take(taken, free, "rows_out", LoopKind.OPC)
        if "rows_out" in taken:
            taken["slide"] = taken["rows_out"]
    elif "slide" not in taken:
        _take(taken, free, "slide", LoopKind.OPC)
    _take(taken, free, "channels", LoopKind.KS)
    if "rows_kernel" not in taken:
        _take(taken, free, "rows_kernel", LoopKind.KS)
    if "slide_kernel" not in taken:
        _take(taken, free, "slide_kernel", LoopKind.KS)
    _take(taken, free, "groups", LoopKind.G)
    if spec.main == PASS and "groups" not in taken:
        _take(taken, free, "groups", LoopKind.OPC)
    _take(taken, free, "images", LoopKind.OPC)
    _take(taken, free, "filters", LoopKind.OP)
    return Roles(**taken, rest=tuple(free.remaining()))


def _take_windows(windows: list[Dim], taken: dict[str, Loop]) -> None:
    rows = windows[-2] if len(windows) > 1 else windows[-1]
    taken["rows_out"] = Loop(rows.name, LoopKind.OPC)
    taken["rows_kernel"] = Loop(rows.name, LoopKind.KS)
    if len(windows) > 1:
        taken["slide"] = Loop(windows[-1].name, LoopKind.OPC)
        taken["slide_kernel"] = Loop(windows[-1].name, LoopKind.KS)


class _Free:
    """Loops with more than one index that have no part yet, longest first within a kind."""

    def __init__(self, spec: GConv, taken: set[Loop]):
        self._counts = {
            Loop(dim.name, kind): count
            for dim in spec.dims
            for kind in LoopKind
            if (count := spec.worked(dim, kind)) > 1
        }
        for loop in taken:
            self._counts.pop(loop, None)

    def pop(self, kind: LoopKind) -> Loop | None:
        """The longest free loop of a kind, no longer free; the first of equals."""
        longest = max((n for loop, n in self._counts.items() if loop.kind is kind), default=0)
        found = next((loop for loop, n in self._counts.items() if loop.kind is kind and n == longest), None)
        if found is not None:
            del self._counts[found]
        return found

    def remaining(self) -> list[Loop]:
        """The free loops in the order of the dimensions."""
        return list(self._counts)


def _take(taken: dict[str, Loop], free: _Free, part: str, kind: LoopKind) -> None:
    loop = free.pop(kind)
    if loop is not None:
        taken[part] = loop

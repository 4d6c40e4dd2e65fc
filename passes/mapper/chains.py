"""Which parameters of a dataflow need not be tried with every value, and which had better be as large as they can.

Let the tiles of a loop be monomials each of which divides the one around it, and let a parameter be in the outer ones
of them only. Then there are ceil(extent / tile) tiles of each, which depends on the parameter only by the number of
tiles that it cuts the loop into: the smallest value for each number does as well as any, and takes the least room.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from passes.mapper.dataflow import BoundFlow
from passes.mapper.nest import Par, Store
from passes.mapper.notation import Expression

ONE_INDEX = ((1, ()),)
"""The terms of a tile of one index."""


def cut_by(flow: BoundFlow, names: frozenset[str]) -> tuple[int, ...]:
    """The nodes whose tiles some of the parameters decide."""
    return flow.cut_by(names)


def nodes_of(flow: BoundFlow, loop: int) -> list[int]:
    """The nodes that cut a loop, from the outside in."""
    return [place for place, _ in flow.nest.cuts(loop)]


def counts_tiles(flow: BoundFlow, name: str, before: frozenset[str]) -> bool:
    """Whether only the number of tiles matters into which a parameter cuts its loop, given those decided `before`.

    Nothing is said of elements side by side, or of what is reserved.
    """
    places = cut_by(flow, frozenset({name}))
    loops = {flow.loop(place) for place in places}
    if len(loops) != 1:
        return not loops
    (loop,) = loops
    window = flow.problem.window_of(loop)
    if window is not None and (window.across if loop == window.outputs else window.along) > 1:
        # a last tile that is small meets fewer positions of the input more than once
        return False
    nodes = nodes_of(flow, loop)
    inmost = flow.expressions[places[-1]]
    return (
        nodes[: len(places)] == list(places)
        and flow.flow.factors_of(name) & before <= inmost.names
        and all(_power(flow.expressions[place], name) == 1 for place in places)
        and all(
            divides(flow.expressions[inner], flow.expressions[outer])
            for outer, inner in pairwise(nodes[: len(places) + 1])
        )
    )


def moves_inwards(flow: BoundFlow, name: str, *, timed_only: bool = False, slides: bool = False) -> bool:
    """Whether a larger value may make loops run further in, where what others leave alone comes more often.

    They run past other loops, or lie along an axis, each of whose elements gets what one alone would have kept. Where
    a memory `slides` over windows, it keeps what they share within a tile only, if that is cut again right away. For a
    parameter that `counts_tiles` that is so only where nothing runs there with 1, but with larger values. With
    `timed_only` loops that are laid along axes further in do not count.
    """
    for place in cut_by(flow, frozenset({name})):
        loop = flow.loop(place)
        further = [each for each in nodes_of(flow, loop) if each > place]
        laid = [each for each in further if isinstance(flow.nest.nodes[each], Par)]
        if timed_only:
            further = [each for each in further if each not in laid]
        elif any(name not in flow.expressions[each].names for each in laid):
            return True
        others = [
            each
            for each in range(place + 1, max(further, default=place))
            if not isinstance(flow.nest.nodes[each], Store) and flow.loop(each) != loop
        ]
        strips = slides and flow.problem.window_of(loop) is not None
        if (others or strips) and any(name not in flow.expressions[each].names for each in further):
            return True
    return False


def tiles_within(flow: BoundFlow, name: str, *, timed: bool) -> tuple[int, ...] | None:
    """The nodes further in of a loop that one node cuts into tiles of just this parameter; None if there is more to it.

    Their tiles T divide one another. Then only few values m are worth trying: the largest m that fits, the largest
    multiple of each T below, and each T. Let m' be smaller than the largest m. If it is not above the largest multiple
    of T, that cuts the loop into no more tiles, and those into as few of T as there can be; otherwise no multiple of T
    lies in between, so that the tiles of m' have as many of T in them, and there are no fewer of m'. It is worse only
    where a T runs past other loops which one tile of it, or less, does not, or a window slides within every m alone.
    Steps are as many as tiles if loops are laid along axes index by index.
    """
    places = cut_by(flow, frozenset({name}))
    if len(places) != 1 or flow.expressions[places[0]].terms != ((1, (name,)),):
        return None
    (place,) = places
    loop = flow.loop(place)
    window = flow.problem.window_of(loop)
    if window is not None and (window.across if loop == window.outputs else window.along) > 1:
        return None
    further = tuple(each for each in nodes_of(flow, loop) if each > place)
    if not all(divides(flow.expressions[inner], flow.expressions[outer]) for outer, inner in pairwise(further)):
        return None
    laid = (flow.expressions[each] for each in further if isinstance(flow.nest.nodes[each], Par))
    return None if timed and any(tile.terms != ((1, ()),) for tile in laid) else further


def _power(tile: Expression, name: str) -> int:
    """How often a parameter is in a product; 0 if the tile is a sum."""
    return tile.terms[0][1].count(name) if len(tile.terms) == 1 else 0


def divides(inner: Expression, outer: Expression) -> bool:
    """Whether an outer tile is a whole number of inner ones, whatever the parameters are."""
    if len(inner.terms) != 1 or len(outer.terms) != 1:
        return False
    (few, some), (more, all_of_them) = inner.terms[0], outer.terms[0]
    return more % few == 0 and Counter(some) <= Counter(all_of_them)

"""What carries words between cores and the shared memory: one bus, or the links of a mesh, crossed in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from backends.rram.streams import Action, Do
from dialects.mesh import Place
from dialects.multicore_machine import MulticoreMachine

BUS = "bus"
Link = tuple[str, str]
"""From where to where a link leads."""


@dataclass(frozen=True)
class Route:
    """The links that a transfer crosses, by their numbers: it takes each for the cycles of its bytes.

    What follows on a link goes over it `hop` cycles later. Before the first link a request takes `before` cycles, and
    behind the last one an answer takes `after`; these go over wires of their own.
    """

    links: tuple[int, ...]
    hop: int = 0
    before: int = 0
    after: int = 0

    @property
    def latency(self) -> int:
        """Cycles besides those of the bytes, if nobody else has the links."""
        return self.before + self.hop * len(self.links) + self.after


class Network:
    """The links of a machine, and the routes over them."""

    def __init__(self, machine: MulticoreMachine):
        self._mesh, self._hop = machine.bus.mesh, machine.bus.latency
        self._width = machine.bus.width_bytes
        self._numbers: dict[Link, int] = {}
        self._routes: dict[tuple[int, int | None, bool], Route] = {}
        if self._mesh is None:
            self._numbers[BUS, BUS] = 0

    @property
    def names(self) -> list[str]:
        """The links that anything was sent over, by number."""
        return [one if one == other else f"{one} -> {other}" for one, other in self._numbers]

    @property
    def is_mesh(self) -> bool:
        """Whether there are several links."""
        return self._mesh is not None

    def cycles(self, size: int) -> int:
        """Cycles for which a transfer of so many bytes takes a link."""
        whole, rest = divmod(size, self._width)
        return whole + bool(rest) + (0 if self.is_mesh else self._hop)

    def route_of(self, core: int, action: Action) -> Route:
        """The way of what an action of a core moves."""
        if action.do is Do.SIGNAL:
            return self.route(core, action.given[0])
        return self.route(core, None, stores=action.do is Do.STORE)

    def route(self, core: int, other: int | None, *, stores: bool = False) -> Route:
        """The way from a core to another one or, without one, between it and the shared memory."""
        key = core, other, stores
        if key not in self._routes:
            self._routes[key] = self._found(*key)
        return self._routes[key]

    def _found(self, core: int, other: int | None, stores: bool) -> Route:
        mesh = self._mesh
        if mesh is None:
            return Route((0,))
        if other is not None:
            links = _walk(f"core {core}", mesh.place(core), mesh.place(other), f"core {other}")
            return Route(self._known(links), self._hop)
        port, place = f"port {mesh.port(core)}", mesh.ports[mesh.port(core)]
        if stores:
            links = self._known(_walk(f"core {core}", mesh.place(core), place, port))
            return Route(links, self._hop, after=self._hop * len(links))
        links = self._known(_walk(port, place, mesh.place(core), f"core {core}"))
        return Route(links, self._hop, before=self._hop * len(links))

    def _known(self, links: Iterator[Link]) -> tuple[int, ...]:
        return tuple(self._numbers.setdefault(link, len(self._numbers)) for link in links)


def _walk(source: str, begin: Place, end: Place, sink: str) -> Iterator[Link]:
    """The links from what is attached to a router to what is attached to another: router by router, rows first."""
    at = begin
    yield source, _named(at)
    while at != end:
        row, column = at
        if column != end[1]:
            after = row, column + (1 if end[1] > column else -1)
        else:
            after = row + (1 if end[0] > row else -1), column
        yield _named(at), _named(after)
        at = after
    yield _named(at), sink


def _named(place: Place) -> str:
    return f"router {place[0]},{place[1]}"

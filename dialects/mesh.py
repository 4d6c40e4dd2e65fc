"""A mesh of routers, one for each core, with the shared memory at some of them.

Words go along rows first, then along columns (XY routing). Core c is at router (c div columns, c mod columns). A link
leads from a router to each neighbour, and from and to all that is attached to it: its core, and a port of the memory.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Side = Annotated[int, Field(ge=1, le=1 << 6)]
Place = tuple[int, int]
"""Row and column of a router."""


class Mesh(BaseModel):
    """Routers in rows and columns."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    rows: Annotated[Side, Field(description="rows of routers")]
    columns: Annotated[Side, Field(description="columns of routers")]
    ports: Annotated[
        tuple[Annotated[Place, Field(strict=False)], ...],
        Field(
            min_length=1,
            strict=False,
            description="routers, by row and column, that the shared memory is attached to; a core uses the nearest",
        ),
    ]

    @model_validator(mode="after")
    def _check_ports(self) -> Mesh:
        for row, column in self.ports:
            if not (0 <= row < self.rows and 0 <= column < self.columns):
                context = {"row": row, "column": column}
                raise PydanticCustomError("no_router", "there is no router at row {row}, column {column}", context)
        if len(set(self.ports)) < len(self.ports):
            raise PydanticCustomError("repeated", "ports stand at routers of their own")
        return self

    def place(self, core: int) -> Place:
        """The router of a core."""
        return divmod(core, self.columns)

    @cached_property
    def _nearest(self) -> tuple[int, ...]:
        places = [self.place(core) for core in range(self.rows * self.columns)]
        return tuple(
            min(range(len(self.ports)), key=lambda port: (_apart(place, self.ports[port]), port)) for place in places
        )

    def port(self, core: int) -> int:
        """The number of the port that a core uses: of the nearest ones, the first."""
        return self._nearest[core]

    def links_to_memory(self, core: int) -> int:
        """Links between a core and its port, those of both to their routers among them."""
        return _apart(self.place(core), self.ports[self.port(core)]) + 2

    @cached_property
    def links_on_average(self) -> int:
        """Links between a router's core and its port, rounded."""
        routers = self.rows * self.columns
        return round(sum(self.links_to_memory(core) for core in range(routers)) / routers)

    def links_between(self, core: int, other: int) -> int:
        """Links from one core to another."""
        return _apart(self.place(core), self.place(other)) + 2


def _apart(place: Place, other: Place) -> int:
    return abs(place[0] - other[0]) + abs(place[1] - other[1])

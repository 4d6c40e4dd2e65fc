"""The row-stationary mapper: the best mapping of a link in the row-stationary space of a machine.

Where there are few combinations of sizes (`passes.mapping.legal_space`) all are looked at: what is found is the best of
all row-stationary mappings. Where there are more it is the best of the *stated space* (`passes.mapping.stated_space`),
or better: mappings are led to better ones beside them (`passes.mapping.neighbours`), the first that is found at once
and the last one at the end. Combinations are priced as NumPy columns (`passes.mapping.column_costs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv
from dialects.schedule import Mapping, Objective
from passes.mapping.best_of_row import best_of_row
from passes.mapping.column_costs import DENSE, ColumnCosts
from passes.mapping.data_events import Sparsity
from passes.mapping.legal_rows import fits_elements, most_filters
from passes.mapping.legal_space import is_small, legal_space
from passes.mapping.lookups import IN_PLACE, Lookups
from passes.mapping.neighbours import Neighbourhood
from passes.mapping.ranking import Priced, columns_of, ranked
from passes.mapping.roles import Roles, assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, extent
from passes.mapping.stated_space import StatedSpace, as_it_is, never

_LEAST_BANKS = 2
"""A word of input and one of output lie in banks of their own."""


@dataclass(frozen=True)
class Best:
    """The best mapping found, its value, and what none has a value below: of all, or of those of the stated space."""

    mapping: Mapping
    value: float
    bound: float


def best_mapping(
    spec: GConv,
    input_shape: tuple[int, ...],
    machine: Machine,
    objective: Objective = Objective.EDP,
    node: str = "",
    data: Sparsity = DENSE,
    extras: Sequence[tuple[int, ...]] = (),
    lookups: Lookups = IN_PLACE,
) -> Mapping:
    """The best row-stationary mapping of a link; ties go to more active elements, then to fewer passes.

    Of what is still equal the first candidate is taken, whatever the order in which the search comes to them. What is
    best is so by the prices of `ColumnCosts`. `data` is what zeros save; `extras` are the shapes of the post operands,
    `lookups` what is read or written at computed addresses.

    Raises `CatenaError` (CAT-F001) if no mapping of the space fits the machine.
    """
    return search(spec, input_shape, machine, objective, node, data, extras=extras, lookups=lookups).mapping


def search(
    spec: GConv,
    input_shape: tuple[int, ...],
    machine: Machine,
    objective: Objective,
    node: str = "",
    data: Sparsity = DENSE,
    should_stop: Callable[[], bool] = never,
    extras: Sequence[tuple[int, ...]] = (),
    lookups: Lookups = IN_PLACE,
) -> Best:
    """As `best_mapping`, or the best mapping found when `should_stop` says so, which is asked once there is one."""
    link = Link(spec, input_shape, assign_roles(spec), machine, data, extras, lookups)
    found, bound = link.several(objective, 1, should_stop)
    for (value, *_), parameters in found:
        return Best(build_mapping(spec, link.roles, parameters, machine), value, bound)
    raise CatenaError(
        Diagnostic(
            "CAT-F001",
            "glb.banks: no row-stationary mapping of this link fits, the buffer is too small for the smallest tiles",
            "mapped",
            node,
            expected=f"at least {_LEAST_BANKS} banks of {machine.glb.bank_words} words",
            found=str(machine.glb.banks),
            hint="give it more banks, or larger ones: glb.bank_words",
        )
    )


def looks_at_all(spec: GConv, input_shape: tuple[int, ...], machine: Machine) -> bool:
    """Whether a search for a link looks at all row-stationary mappings, not only at the stated space and beside it."""
    return is_small(ColumnCosts(spec, input_shape, assign_roles(spec), machine))


def best_mappings(
    spec: GConv,
    input_shape: tuple[int, ...],
    machine: Machine,
    count: int,
    objective: Objective = Objective.EDP,
    data: Sparsity = DENSE,
    should_stop: Callable[[], bool] = never,
    extras: Sequence[tuple[int, ...]] = (),
    lookups: Lookups = IN_PLACE,
) -> list[Mapping]:
    """The best row-stationary mappings of a link, best first, at most `count`; none if none fits.

    Where there are many, those are left out that hold smaller tiles in the buffer than fit, but for what was led to be
    the best one. `should_stop` is as for `search`.
    """
    link = Link(spec, input_shape, assign_roles(spec), machine, data, extras, lookups)
    found, _ = link.several(objective, count, should_stop)
    return list(dict.fromkeys(build_mapping(spec, link.roles, each, machine) for _, each in found))


@dataclass(frozen=True)
class Link:
    """A link that mappings are searched for, and what they depend on."""

    spec: GConv
    input_shape: tuple[int, ...]
    roles: Roles
    machine: Machine
    data: Sparsity
    extras: Sequence[tuple[int, ...]]
    lookups: Lookups

    def costs(self, whole_passes: bool) -> ColumnCosts:
        """What candidates cost, with whole passes of filters in the buffer or any number of them."""
        return ColumnCosts(
            self.spec, self.input_shape, self.roles, self.machine, self.data, self.extras, self.lookups, whole_passes
        )

    def several(self, objective: Objective, count: int, should_stop: Callable[[], bool]) -> tuple[list[Priced], float]:
        """The best parameters, at most `count`, best first; none of the space has a value below the bound."""
        costs = self.costs(whole_passes=False)
        if is_small(costs):
            return best_of_row(costs, objective, *legal_space(costs), count, should_stop)
        near = Neighbourhood(costs)

        def improved(priced: Priced) -> Priced:
            return near.improved(objective, priced, should_stop)

        found, bound = self.stated(objective, count, should_stop, improved)
        if not found:
            # Where nothing of the stated space fits, smaller tiles may; nothing is known of how good they are.
            found, bound = self.smallest(objective), 0.0
        if found and (better := improved(found[0])) is not found[0]:
            found = [better, *found][:count]
            bound = min(bound, better[0][0])
        return found, bound

    def stated(
        self,
        objective: Objective,
        count: int,
        should_stop: Callable[[], bool],
        improved: Callable[[Priced], Priced] = as_it_is,
    ) -> tuple[list[Priced], float]:
        """As `several`, of the stated space, and what is made of the first that is found."""
        for tried in self._searches():
            found, bound = tried.several(objective, count, should_stop, improved)
            if found:
                return found, bound
        return [], np.inf

    def smallest(self, objective: Objective) -> list[Priced]:
        """One index of every loop at a time, if the machine takes that."""
        columns, m = columns_of([Parameters()])
        costs = self.costs(whole_passes=False)
        if not fits_elements(costs, columns)[0] or most_filters(costs, columns)[0] < 1:
            return []
        return ranked(costs, objective, columns, m, np.zeros(1, np.intp), 1)

    def _searches(self) -> Iterator[StatedSpace]:
        """Those of the stated space: the next is of interest where the ones before find nothing."""
        costs = self.costs(whole_passes=True)
        for whole_windows in (True, False) if _keeps_windows(self.machine) else (False,):
            for slide in _strips(self.spec, self.roles):
                yield StatedSpace(costs, slide, whole_windows)


def _strips(spec: GConv, roles: Roles) -> Iterator[int]:
    """The whole sliding loop, if it is not spread over the array, and halvings of it."""
    slide = extent(spec, roles.slide) if roles.slide != roles.rows_out else 1
    yield slide
    while slide > 1:
        slide = -(-slide // 2)
        yield slide


def _keeps_windows(machine: Machine) -> bool:
    """Whether input tiles had better stay in the buffer for all kernel positions: elements keep no windows."""
    return machine.pe.input_words == 1

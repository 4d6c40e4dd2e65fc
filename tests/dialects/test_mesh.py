"""Meshes: where cores and ports are, how far apart, and what descriptions may say of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.rram.network import Network
from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.machine_kinds import of_kind, parse_machine
from dialects.mesh import Mesh
from dialects.multicore_machine import MulticoreMachine
from tests.examples import examples

SETTINGS = {"cores.count": "6", "bus.mesh.rows": "2", "bus.mesh.columns": "3", "bus.mesh.ports": "[[0, 0], [1, 2]]"}


@st.composite
def _meshes(draw: st.DrawFn) -> Mesh:
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    places = st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))
    ports = draw(st.lists(places, min_size=1, max_size=4, unique=True))
    return Mesh(rows=rows, columns=columns, ports=tuple(ports))


def _machine(mesh: Mesh) -> MulticoreMachine:
    description = select_target("rram", {"cores.count": str(mesh.rows * mesh.columns)}).machine.model_dump(mode="json")
    description["bus"]["mesh"] = mesh.model_dump(mode="json")
    return of_kind(MulticoreMachine, parse_machine(description), "test")


@given(mesh=_meshes(), data=st.data())
@settings(max_examples=examples(60), deadline=None)
def test_routes_are_as_long_as_closed_forms_say(mesh: Mesh, data: st.DataObject) -> None:
    """Routers walk; distances are sums of differences. Every link begins where the one before ends, rows first."""
    network = Network(_machine(mesh))
    cores = st.integers(0, mesh.rows * mesh.columns - 1)
    core, other = data.draw(cores), data.draw(cores)
    nearest = min(abs(row - mesh.place(core)[0]) + abs(column - mesh.place(core)[1]) for row, column in mesh.ports)
    assert mesh.links_to_memory(core) == nearest + 2
    for length, route in (
        (mesh.links_to_memory(core), network.route(core, None)),
        (mesh.links_to_memory(core), network.route(core, None, stores=True)),
        (mesh.links_between(core, other), network.route(core, other)),
    ):
        assert len(route.links) == len(set(route.links)) == length
        ends = [network.names[link].split(" -> ") for link in route.links]
        assert all(before[1] == after[0] for before, after in pairwise(ends))
        routers = [tuple(map(int, end.removeprefix("router ").split(","))) for _, end in ends[:-1]]
        rows_change = [before[0] != after[0] for before, after in pairwise(routers)]
        assert rows_change == sorted(rows_change)


def test_a_mesh_is_read_from_a_description_and_back() -> None:
    machine = of_kind(MulticoreMachine, select_target("rram", SETTINGS).machine, "test")
    assert machine.bus.mesh == Mesh(rows=2, columns=3, ports=((0, 0), (1, 2)))
    assert [machine.bus.mesh.port(core) for core in range(6)] == [0, 0, 1, 0, 1, 1]
    again = parse_machine(machine.model_dump(mode="json", exclude_none=True))
    assert again == machine


@pytest.mark.parametrize(
    ("changes", "message", "expected"),
    [
        ({"cores.count": "7"}, "cores.count: the mesh has routers for 6 cores", "at most 6"),
        ({"bus.mesh.ports": "[[2, 0]]"}, "bus.mesh: there is no router at row 2, column 0", ""),
        ({"bus.mesh.ports": "[[1, 0], [1, 0]]"}, "bus.mesh: ports stand at routers of their own", ""),
        ({"bus.mesh.ports": "[]"}, "bus.mesh.ports: must not be empty", "one or more"),
    ],
)
def test_meshes_that_cannot_be(changes: dict[str, str], message: str, expected: str) -> None:
    with pytest.raises(CatenaError) as error:
        select_target("rram", {**SETTINGS, **changes})
    (problem,) = error.value.diagnostics
    assert problem.message == message
    assert not expected or problem.expected == expected


def test_a_bus_has_no_links_to_pay_for() -> None:
    with pytest.raises(CatenaError, match=r"energies\.hop_byte: there is no mesh with links"):
        select_target("rram", {"energies.hop_byte": "1.0"})

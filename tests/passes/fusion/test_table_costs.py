"""What tables say that mappings cost is what a walk of their turns says."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dialects.fused_mapping import FusedMapping
from dialects.schedule import Temporal
from passes.fusion import factors
from passes.fusion.factors import GroupTables
from passes.fusion.group import Group
from passes.fusion.model import FusedCosts
from passes.fusion.search import GroupSearch
from passes.fusion.space import Space
from passes.fusion.table_costs import TableCosts
from passes.mapper.effort import Effort
from tests.passes.fusion.groups import conv_pair, everything_at, random_case

MEMORY = "glb"


def _walked(group: Group, mapping: FusedMapping) -> tuple[int, int, int]:
    costs = FusedCosts(group, mapping)
    return costs.capacity(MEMORY), costs.traffic, sum(work.operations for work in costs.work.values())


def _other_tiles(tables: GroupTables, mapping: FusedMapping, source: random.Random) -> FusedMapping:
    """A mapping with tiles of other sizes that the space has."""
    dims = {dim.name: dim for dim in tables.group.head.spec.dims}

    def other(node: Temporal) -> Temporal:
        return replace(node, tile=source.choice(tables.space.tiles(dims[node.loop.dim].count(node.loop.kind))))

    return replace(mapping, loops=tuple(other(node) for node in mapping.loops))


@pytest.mark.parametrize("seed", range(24))
def test_tables_say_what_a_walk_says(seed: int) -> None:
    source = random.Random(seed)
    group, _ = random_case(source)
    space = Space(most_loops=2, every_up_to=4, all_joins=False)
    tables = GroupTables(group, space)
    resident = [group.head.result] if seed % 3 == 0 else []
    search = GroupSearch(group, MEMORY, space, effort=Effort(2000), resident=resident, tables=tables)
    front = search.run().front
    costs = TableCosts(tables, MEMORY)
    for point in source.sample(front, min(len(front), 8)):
        assert costs.of(point.mapping) == (point.capacity, point.traffic, point.operations)
        other = _other_tiles(tables, point.mapping, source)
        assert costs.of(other) == _walked(group, other)


def test_what_no_table_has_is_unknown() -> None:
    group = conv_pair(24, 2)
    tables = GroupTables(group, Space())
    costs = TableCosts(tables, MEMORY)
    (loop, *_) = tables.loops
    dims = {dim.name: dim for dim in group.head.spec.dims}
    count = dims[loop.dim].count(loop.kind)
    mapping = everything_at(group, 1, (Temporal(loop, 1),))
    assert costs.of(mapping) == _walked(group, mapping)
    assert costs.of(replace(mapping, loops=(Temporal(loop, count),))) is None
    elsewhere = (replace(mapping.retentions[0], memory="spad"), *mapping.retentions[1:])
    assert costs.of(replace(mapping, retentions=elsewhere)) is None
    assert TableCosts(GroupTables(group, Space(pieces=True)), MEMORY).of(mapping) is None


@pytest.mark.parametrize("seed", range(40))
def test_loops_of_single_links_that_cannot_meet_are_known_without_a_walk(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    several, _ = random_case(random.Random(seed))
    for link in several.links:
        names = {link.result, *(operand.tensor for operand in link.operands)}
        group = Group((link,), tuple(tensor for tensor in several.tensors if tensor.name in names))
        found = [placed.loops for placed in GroupTables(group, Space()).factors]
        with monkeypatch.context() as patched:
            patched.setattr(factors, "_may_meet", lambda *_: True)
            assert found == [placed.loops for placed in GroupTables(group, Space()).factors]

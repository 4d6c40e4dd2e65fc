"""Descriptions of memory hierarchies: what is refused, and why."""

from __future__ import annotations

from typing import Any

import pytest

from dialects.diagnostics import CatenaError
from dialects.soundness import parse_hierarchy


def description(**changes: Any) -> dict[str, Any]:
    levels = {"dram": {"kind": "memory"}, "pe": {"kind": "axis", "size": 4}, "rf": {"kind": "memory", "words": 8}}
    return {"name": "m", "summary": "", "levels": levels, **changes}


def test_levels_are_in_the_order_in_which_they_are_written() -> None:
    machine = parse_hierarchy(description())
    assert [level.name for level in machine.levels] == ["dram", "pe", "rf"]
    assert [memory.name for memory in machine.memories] == ["dram", "rf"]
    assert machine.axis("pe").size == 4
    assert machine.memory("rf").words == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": {}}, "must not be empty"),
        ({"levels": {"pe": {"kind": "axis", "size": 4}}}, "the first level is a memory without a capacity"),
        ({"levels": {"dram": {"kind": "memory", "words": 4}}}, "the first level is a memory without a capacity"),
        ({"levels": {"dram": {"kind": "memory"}, "rf": {"kind": "memory", "words": 0}}}, "must be at least 1"),
        ({"levels": {"dram": {"kind": "memory"}, "rf": {"kind": "register"}}}, "register"),
        ({"element": 3}, "there is no such key"),
        ({"accesses": {"rf": {"energy": 1, "events": {"rf.kernel.reed": 1}}}}, "rf.kernel.read"),
        ({"accesses": {"rf": {"energy": -1, "events": {}}}}, "must be at least 0"),
        ({"accesses": {"rf": {"energy": float("inf"), "events": {}}}}, "finite number"),
        ({"accesses": {"rf": {"energy": 1, "events": {"rf.kernel.read": -1}}}}, "must be at least 0"),
        ({"levels": {"dram": {"kind": "memory", "read": float("inf")}}}, "finite number"),
        ({"accesses": {"host": {"energy": 1, "events": {}}}}, "energy of another kind is reported as 'host'"),
        ({"accesses": {"operation": {"energy": 1, "events": {}}}}, "reported as 'operation'"),
        ({"accesses": {"static": {"energy": 1, "events": {}}}}, "reported as 'static'"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CatenaError) as caught:
        parse_hierarchy(description(**changes), "chip.toml")
    assert message in str(caught.value)
    assert all((each.code, each.where) == ("CAT-C003", "chip.toml") for each in caught.value.diagnostics)

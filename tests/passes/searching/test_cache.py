"""Mappings on disk: found again only if nothing they depend on differs, never trusted when damaged, bounded."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import passes.searching.sealed_files
from dialects.array_machine import Machine
from dialects.schedule import Mapping, Objective
from passes.mapping.data_events import Sparsity
from passes.searching.cache import Entry, MappingCache, key_of
from passes.searching.service import description_of
from passes.searching.task import Deadline, Found, Task
from tests.passes.mapping.machines import TINY, machine_like_eyeriss
from tests.passes.searching.small import nest, row_stationary

KEY = "ab" * 32
FOUND = Found(row_stationary().look(Deadline()).mapping, 12.5, 10.0, True)


def key(task: Task, machine: Machine = TINY, version: str = "1") -> str:
    return key_of(task, description_of(machine), version)


@pytest.mark.parametrize("entry", [Entry(FOUND, 0.25), Entry(replace(FOUND, bound=12.5, is_cut=False))])
def test_what_is_put_is_got(tmp_path: Path, entry: Entry) -> None:
    MappingCache(tmp_path).put(KEY, entry)
    assert MappingCache(tmp_path).get(KEY) == entry
    assert MappingCache(tmp_path).get("cd" * 32) is None


@pytest.mark.parametrize(
    "other",
    [
        key(row_stationary(9)),
        key(row_stationary(objective=Objective.ENERGY)),
        key(row_stationary(data=Sparsity(input=0.5))),
        key(replace(row_stationary(), input_shape=(2, 6, 7))),
        key(row_stationary(), version="2"),
        key(row_stationary(), machine_like_eyeriss(glb={"banks": 24})),
        key(row_stationary(), machine_like_eyeriss(energy={"dram": 100.0})),
        key(row_stationary(), machine_like_eyeriss(clock_mhz=100.0)),
        key(nest(), TINY),
    ],
)
def test_another_search_has_another_key(other: str) -> None:
    assert other != key(row_stationary())


def test_what_no_search_reads_leaves_the_key_as_it_is() -> None:
    other = TINY.model_copy(update={"name": "other", "summary": "another text", "sources": {}})
    assert key(replace(row_stationary(), node="elsewhere"), other) == key(row_stationary())


def test_a_limited_effort_is_part_of_the_key_and_so_is_an_unlimited_one() -> None:
    assert len({key(nest(1000)), key(nest(2000)), key(nest(float("inf")))}) == 3


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": damaged(lambda _: b""),
    "cut short": damaged(lambda content: content[:-40]),
    "another number": damaged(lambda content: content.replace(b"12.5", b"11.5")),
    "foreign": damaged(lambda _: b"\x00\xff something else\n"),
    "of another search": lambda path: (
        MappingCache(path.parents[2]).put("ab" * 31 + "cd", Entry(FOUND))
        or os.replace(path.parent / f"{'ab' * 30}cd.json", path)
    ),
    "a folder": lambda path: path.unlink() or path.mkdir(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_ignored_with_a_warning_and_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache = MappingCache(tmp_path)
    cache.put(KEY, Entry(FOUND))
    (path,) = tmp_path.rglob("*.json")
    DAMAGE[damage](path)
    with caplog.at_level(logging.WARNING):
        assert cache.get(KEY) is None
    assert str(path) in caplog.text
    if damage != "a folder":
        cache.put(KEY, Entry(FOUND))
        assert cache.get(KEY) is not None


def test_a_checksum_alone_does_not_make_a_mapping(tmp_path: Path) -> None:
    cache = MappingCache(tmp_path)
    cache.put(KEY, Entry(replace(FOUND, mapping=Mapping(()))))
    assert cache.get(KEY) is not None
    (path,) = tmp_path.rglob("*.json")
    text = path.read_bytes().partition(b"\n")[2].removesuffix(b"\n").replace(b'"mapping": ""', b'"mapping": "for C"')
    path.write_bytes(passes.searching.sealed_files.sealed(text))
    assert cache.get(KEY) is None


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = MappingCache(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        cache.put(KEY, Entry(FOUND))
        cache.put(KEY, Entry(FOUND))
    assert caplog.text.count("not kept") == 1


def test_the_files_that_were_not_used_for_the_longest_time_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes.searching.sealed_files, "MOST_IN_FOLDER", 3)
    cache = MappingCache(tmp_path)
    keys = [f"ab{number:062x}" for number in range(5)]
    for age, each in enumerate(keys[:3]):
        cache.put(each, Entry(FOUND))
        os.utime(next(tmp_path.rglob(f"{each[2:]}.json")), (age, age))
    assert cache.get(keys[0]) is not None
    cache.put(keys[3], Entry(FOUND))
    cache.put(keys[4], Entry(FOUND))
    assert [cache.get(each) is not None for each in keys] == [True, False, False, True, True]


def test_what_interrupted_writers_left_goes_after_an_hour(tmp_path: Path) -> None:
    cache = MappingCache(tmp_path)
    cache.put(KEY, Entry(FOUND))
    old, new = tmp_path / "mappings/ab/old.tmp", tmp_path / "mappings/ab/new.tmp"
    for path in (old, new):
        path.write_text("")
    os.utime(old, (time.time() - 3700,) * 2)
    cache.put(KEY, Entry(FOUND))
    assert (old.exists(), new.exists()) == (False, True)


def test_a_description_says_what_searches_read() -> None:
    assert '"banks": 6' in description_of(TINY)
    assert "JSSC" not in description_of(TINY)

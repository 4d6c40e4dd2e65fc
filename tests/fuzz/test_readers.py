"""Everything that reads files: seeds are accepted, mutations read or refused, and what was found stays mended."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from dialects.diagnostics import CatenaError
from tests.fuzz import campaign
from tests.fuzz.__main__ import SHARES
from tests.fuzz.campaign import execute, run
from tests.fuzz.minimising import minimised
from tests.fuzz.readers import HERE, READERS, Reader

MENDED = sorted((HERE / "mended").glob("*/*"))
"""Inputs that once were findings, by reader."""
SLOW = ("onnx", "ir", "listing", "target", "mapping", "program")
EXHAUSTIVE = pytest.mark.exhaustive


@pytest.mark.parametrize("name", [pytest.param(each, marks=EXHAUSTIVE) if each in SLOW else each for each in READERS])
def test_seeds_are_accepted(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    reader.prepare(tmp_path)
    assert reader.seeds()
    for data in reader.seeds().values():
        reader.read(data, tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_mutations_are_read_or_refused(name: str) -> None:
    result = run(name, len(READERS[name].corpus()) + (8 if name in SLOW else 200), 0)
    assert result.findings == []
    assert len(READERS[name].seeds()) <= result.accepted < result.executions


@EXHAUSTIVE
@pytest.mark.parametrize("name", READERS)
def test_many_mutations_are_read_or_refused(name: str) -> None:
    assert run(name, SHARES[name] * 20, 1).findings == []


@pytest.mark.parametrize("path", MENDED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_is_refused(path: Path, tmp_path: Path) -> None:
    reader = READERS[path.parent.name]
    reader.prepare(tmp_path)
    _, _, finding = execute(reader, path.read_bytes(), tmp_path)
    assert finding is None


def test_every_reader_has_a_share() -> None:
    assert set(SHARES) == set(READERS)
    assert sum(SHARES.values()) == 1000


def test_a_campaign_is_always_the_same() -> None:
    first, second = (run("stream", 300, 7) for _ in range(2))
    assert (first.accepted, first.ways, first.kept) == (second.accepted, second.ways, second.kept)
    assert run("stream", 300, 8).kept != first.kept


def broken(read: Callable[[bytes, Path], None]) -> Reader:
    """A reader of texts in braces that does not do what it should with some of them."""
    return Reader("stream", read, lambda: {"one": b"{1}"}, READERS["physics"].mutate)


def divide(data: bytes, folder: Path) -> None:
    if b"{" in data and b"}" in data:
        raise ZeroDivisionError
    raise CatenaError([])


def loop(data: bytes, folder: Path) -> None:
    while True:
        pass


def exhaust(data: bytes, folder: Path) -> None:
    bytearray(1 << 50)


@pytest.mark.parametrize(("read", "kind"), [(divide, "ZeroDivisionError"), (loop, "hang"), (exhaust, "memory")])
def test_what_should_not_happen_is_found(read: object, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "SECONDS", 0.05)
    with tempfile.TemporaryDirectory() as folder:
        _, _, finding = execute(broken(read), b"{1}", Path(folder))
    assert finding is not None
    assert finding.kind == kind


def test_findings_are_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "stream", broken(divide))
    with tempfile.TemporaryDirectory() as folder:
        noise = b"a" * 50 + b"{" + b"b" * 50 + b"}" + b"c" * 50
        _, _, finding = execute(READERS["stream"], noise, Path(folder))
    assert finding is not None
    assert minimised(finding).data == b"{}"


def test_mutations_follow_from_the_generator_alone() -> None:
    for reader in READERS.values():
        corpus = [*reader.seeds().values()]
        first, second = (
            [reader.mutate(random, random.choice(corpus), corpus) for _ in range(5)]
            for random in (Random(3), Random(3))
        )
        assert first == second

"""The comparison with other tools: what its page says of what was measured, and of what was not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks.scripts import FOLDER, script

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> str:
    """The page of a made-up run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    peers = script("peers")
    bench = peers.Bench(Path(), 1, missing={"Vela": "pip does not install it: no such thing"})
    bench.rows += [
        peers.Row("net", "compile", "Catena (eyeriss)", 2.0, 100.0),
        peers.Row("net", "compile", "Fast", 1.0, 50.0),
        peers.Row("net", "compile", "Slow", 5.0, 50.0),
        peers.Row("net", "compile", "Broken", reason="error: no"),
        peers.Row("net", "run", "Fast", 0.5, 50.0, 0.01, 0.0),
        peers.Row("net", "run", "Catena's emulator (eyeriss)", 2.0, 100.0, 1.0, 1e-6),
    ]
    bench.mappings.append(peers.MappingRow("net", "energy", 1.25, 2.0, 1.0, 30.0))
    return script("peers_page").page(bench, peers.PEERS, 2)


def test_every_row_is_there_with_its_ratio_or_the_reason(page: str) -> None:
    lines = page.splitlines()
    assert "| net | Slow | 5.00 | 2.5 | 50 |  |" in lines
    assert "| net | Broken |  |  |  | error: no |" in lines
    assert "| net | Fast | 0.50 | 0.25 | 50 | 0.010 | 0.01 | 0.0e+00 |  |" in lines
    assert any(line.startswith("| Vela |") and "no such thing" in line for line in lines)
    assert "| net | energy | 1.250 | 2.000 | 1.00 | 30.0 | 30.0 |" in lines


def test_every_loss_is_said(page: str) -> None:
    losses = [line for line in page.partition("## Where Catena loses")[2].splitlines() if line.startswith("- ")]
    assert losses == [
        "- net, compile, the whole process: Fast takes 1 CPU s, Catena 2.",
        "- net, run, the whole process: Fast takes 0.5 CPU s, Catena 2.",
        "- net, run, a second run: Fast takes 0.01 CPU s, Catena 1.",
        "- net: mappings for least energy cost 1.250 of ZigZag's.",
    ]


def test_why_a_command_failed_is_what_it_complains_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    peers = script("peers")
    assert peers.complaint("begin\nx.mlir:3: error: 'op' does not fit\nnote: see it\n}\n") == "error: 'op' does not fit"
    assert peers.complaint("Traceback\nValueError: no\n\n[notice] update pip\n") == "ValueError: no"
    assert len(peers.complaint("x" * 1000)) == peers.REASON
    with pytest.raises(RuntimeError, match="ValueError: 7"):
        peers.measured([sys.executable, "-c", "raise ValueError(7)"], 1)
    seconds, memory, printed = peers.measured([sys.executable, "-c", "print(3)"], 2)
    assert (seconds > 0, memory > 1, printed) == (True, True, ["3\n", "3\n"])


def test_the_page_has_every_tool_and_says_what_it_does_not_measure() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ("ONNX Runtime", "ReferenceEvaluator", "IREE", "TVM", "Vela", "ZigZag", "Where Catena loses"):
        assert name in text
    for line in text.partition("## Compiling")[2].partition("## Mappings")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] not in ("network", "---"):
            assert cells[2] or cells[-1], line


@pytest.mark.parametrize("path", sorted((FOLDER / "peers").glob("*.py")), ids=lambda path: path.stem)
def test_scripts_for_other_interpreters_are_python(path: Path) -> None:
    compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_a_file_that_vela_cannot_read_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    peers = script("peers")
    assert "no ONNX" in peers.explained("RuntimeError: Compilation failed: No networks defined via GraphAPI")
    assert peers.explained("error: no") == "error: no"

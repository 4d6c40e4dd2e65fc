"""Words on the chip, counted by hand, and words that go off it, as explanations of layers have them."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler
from compiler.targets import select_target
from passes.capacity import on_chip_words
from passes.off_chip import off_chip_words

SPOTS = {"sram.input_words": 100, "sram.kernel_words": 200, "sram.output_words": 300, "sram.bitmap_words": 40}
SPOTS |= {"im2col.reserve_words": 7, "array.rows": 2, "array.cols": 3, "array.accumulators": 4}


@pytest.mark.parametrize(
    ("target", "settings", "words"),
    [
        ("eyeriss", {"glb.banks": 3, "glb.bank_words": 100, "array.rows": 2, "array.cols": 5}, 300 + 2 * 5 * 260),
        ("generic", {"levels.glb.words": 5000, "levels.row.size": 2, "levels.rf.words": 10}, 5000 + 2 * 16 * 10),
        ("isca16-rs", {"elements": 16, "levels.pe.size": 64}, 65536 + 16 * 256),
        ("rram", {"cores.count": 3, "cores.buffer_bytes": 1000, "word_bits": 16}, 3 * 500),
        ("spots", {**SPOTS, "array.splits": [1]}, 640 + 7 + 2 * 3 * 4),
    ],
)
def test_memories_are_added_up(target: str, settings: dict[str, object], words: int) -> None:
    machine = select_target(target, {key: str(value) for key, value in settings.items()}).machine
    assert on_chip_words(machine) == words


@pytest.mark.parametrize("target", ["eyeriss", "generic", "spots"])
def test_words_off_chip_are_those_of_explanations(target: str, cnn: Path) -> None:
    report = compiler.report(cnn, target=target)
    explained = compiler.explain(cnn, target=target)
    facts = [each.facts for each in explained.layers if each.facts is not None]
    assert len(facts) == len(explained.layers)
    assert off_chip_words(report.counts, report.machine) == sum(each.words for each in facts) > 0

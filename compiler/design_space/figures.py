"""What a point of a space is judged by: every figure once, with its unit and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compiler.reports import Report
from passes.capacity import on_chip_words
from passes.off_chip import OFF_CHIP, off_chip_words
from passes.pricing import elements

Values = Mapping[str, float | int | None]
"""Figures by name; None where a figure is not known."""


@dataclass(frozen=True)
class Figure:
    """A figure, which is better the smaller it is: its title with the unit, what it means, and how it is written."""

    title: str
    meaning: str
    of_report: Callable[[Report], float | int] | None
    form: str = ",.4g"

    def titled(self, outer: str) -> str:
        """The title for machines whose words from and to the outermost memory are called `outer`."""
        return self.title.replace(OFF_CHIP, outer)

    def shown(self, value: float | int | None) -> str:
        """A value for people."""
        return "" if value is None else format(value, self.form)


def _bytes(words: int, report: Report) -> float:
    return words * report.machine.word_bits / 8


FIGURES: dict[str, Figure] = {
    "latency": Figure(
        "latency (ms)", "time from start to end at the target's clock", lambda report: report.milliseconds
    ),
    "energy": Figure(
        "energy (uJ)", "energy of all layers, as the target prices it", lambda report: report.energy / 1e6
    ),
    "words": Figure(
        "off-chip (words)",
        "words over the off-chip link; on cores with crossbars, from and to the memory that they share",
        lambda report: off_chip_words(report.counts, report.machine),
        ",d",
    ),
    "bytes": Figure(
        "off-chip (kB)",
        "the same in 1,000 bytes, to compare targets whose words differ in width",
        lambda report: _bytes(off_chip_words(report.counts, report.machine), report) / 1e3,
    ),
    "elements": Figure(
        "elements",
        "processing elements; of crossbars, products that all of them make in a cycle",
        lambda report: elements(report.machine),
        ",d",
    ),
    "buffer_words": Figure(
        "on chip (words)",
        "words that all memories on the chip hold, those of every element and core among them",
        lambda report: on_chip_words(report.machine),
        ",d",
    ),
    "buffer_bytes": Figure(
        "on chip (kB)",
        "the same in 1,000 bytes",
        lambda report: _bytes(on_chip_words(report.machine), report) / 1e3,
    ),
    "error": Figure(
        "error",
        "what outputs lose by pruning and quantizing: Euclidean length as a share of theirs, by ONNX Runtime",
        None,
        ".3g",
    ),
}
"""All figures, in the order in which tables have them."""


def figures_of(report: Report) -> dict[str, float | int]:
    """The figures of a compiled network, all but its error."""
    return {name: each.of_report(report) for name, each in FIGURES.items() if each.of_report is not None}

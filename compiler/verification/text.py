"""A verification as a table: every layer and output, its error and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from compiler.layer_names import told
from compiler.tables import Table, number, shortened, table
from compiler.verification.comparison import Comparison

if TYPE_CHECKING:
    from compiler.verification.result import NotCompared


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """A row for each; relative errors are to the largest value of the tensor."""
    rows = (
        (
            shortened(told(each.subject, each.nodes)),
            shortened(each.tensor, 32),
            "no reference" if each.error is None else "stops" if each.stopped else _amount(each.error),
            "" if each.error is None or each.stopped else each.unit.value,
            "" if each.error is None else "ok" if each.is_equal else "WRONG",
        )
        for each in comparisons
    )
    return table(("what", "tensor", number("error"), "unit", "verdict"), rows)


def uncompared_lines(layers: Sequence[NotCompared]) -> Iterator[str]:
    """Which layers were not compared by themselves, a line for every reason."""
    for reason in dict.fromkeys(each.reason for each in layers):
        alike = [told(each.subject, each.nodes) for each in layers if each.reason == reason]
        yield f"not compared by itself: {', '.join(alike)} ({reason})"


def _amount(error: float) -> str:
    """Whole numbers, as most errors in LSB are, or two digits."""
    return f"{error:.0f}" if error == round(error, 0) and error < 1e6 else f"{error:.2e}"

"""An exploration as one HTML file: charts and tables that sort by a click, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from compiler.tables import Table

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
div { overflow-x: auto } svg { max-width: 100%; height: auto } caption { text-align: left; padding: .3rem 0 }
table { border-collapse: collapse; font-size: 13px } th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd }
th { cursor: pointer; white-space: nowrap } th:hover { text-decoration: underline }
@media print { body { max-width: none } th { cursor: auto } }
"""
_SCRIPT = """
for (const head of document.querySelectorAll("th")) head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex, rows = [...body.rows];
  const value = row => row.cells[column].textContent;
  const number = row => parseFloat(value(row).replaceAll(",", ""));
  const isNumber = rows.every(row => !value(row) || !isNaN(number(row)));
  const order = isNumber ? (a, b) => number(a) - number(b) : (a, b) => value(a).localeCompare(value(b));
  const wasRising = head.dataset.rising === "1";
  rows.sort(order);
  if (wasRising) rows.reverse();
  head.dataset.rising = wasRising ? "0" : "1";
  body.append(...rows);
});
"""


@dataclass(frozen=True)
class Section:
    """A table or a chart under a heading."""

    heading: str
    table: Table | None = None
    svg: str = ""


def page(title: str, summary: str, parts: Iterable[Section]) -> str:
    """The whole file."""
    shown: list[str] = []
    for part in parts:
        shown += [f"<h2>{escape(part.heading)}</h2>"] if part.heading else []
        shown.append(f"<div>{part.svg}{'' if part.table is None else part.table.html()}</div>")
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
    )
    body = f"<body><h1>{escape(title)}</h1><p>{escape(summary)}</p>{''.join(shown)}<script>{_SCRIPT}</script></body>"
    return f"{head}{body}</html>\n"

"""Tables as data: drawn by rich on a terminal, as plain aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dialects.diagnostics import escaped


@dataclass(frozen=True)
class Column:
    """A column: its title (with the unit, if any) and whether it holds numbers."""

    title: str
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text under columns; `footer` is a last row that sums up."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    footer: tuple[str, ...] = ()

    def plain(self) -> str:
        """The table as aligned text, one line a row, without trailing blanks."""
        lines: list[Sequence[str]] = [[column.title for column in self.columns], *self.rows]
        lines += [self.footer] if self.footer else []
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        rule = ["-" * width for width in widths]
        shown = [lines[0], rule, *self.rows, *([rule, self.footer] if self.footer else [])]
        text = "\n".join(self._line(line, widths) for line in shown)
        return f"{self.title}\n{text}" if self.title else text

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        aligned = (
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, column, width in zip(cells, self.columns, widths, strict=True)
        )
        return "  ".join(aligned).rstrip()

    def markdown(self) -> str:
        """The table as GitHub Markdown."""
        head = [_escaped(column.title) for column in self.columns]
        rule = ["---:" if column.is_number else "---" for column in self.columns]
        body = [[_escaped(cell) for cell in row] for row in (*self.rows, *([self.footer] if self.footer else []))]
        return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *body])

    def html(self) -> str:
        """The table as HTML, as notebooks show it."""
        kinds = [' style="text-align: right"' if column.is_number else "" for column in self.columns]
        head = _cells("th", [column.title for column in self.columns], kinds)
        body = "".join(_cells("td", row, kinds) for row in self.rows)
        foot = f"<tfoot>{_cells('th', self.footer, kinds)}</tfoot>" if self.footer else ""
        from html import escape

        title = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        return f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody>{foot}</table>"

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.plain()}


def _cells(tag: str, cells: Sequence[str], kinds: Sequence[str]) -> str:
    from html import escape

    made = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return f"<tr>{''.join(made)}</tr>"


def table(columns: Sequence[str | Column], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A table whose cells are made with `str`, each in one line; a plain string is a column of text."""
    made = tuple(Column(column) if isinstance(column, str) else column for column in columns)
    return Table(made, tuple(tuple(escaped(str(cell)) for cell in row) for row in rows), title)


def number(title: str) -> Column:
    """A column of numbers."""
    return Column(title, is_number=True)


def shortened(text: str, width: int = 48) -> str:
    """Text of at most `width` characters; what is left out of the middle is shown as `...`."""
    if len(text) <= width:
        return text
    head = (width - 3) // 2
    return f"{text[:head]}...{text[len(text) - (width - 3 - head) :]}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")

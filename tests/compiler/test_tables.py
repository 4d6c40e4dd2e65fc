"""Tables as plain text and Markdown."""

from __future__ import annotations

from dataclasses import replace

from compiler.tables import number, table

EXAMPLE = table(("name", number("count")), [("a|b", 7), ("long name", 1234)], "Title")


def test_plain_text_is_aligned() -> None:
    assert EXAMPLE.plain() == "Title\nname       count\n---------  -----\na|b            7\nlong name   1234"


def test_a_footer_follows_a_rule() -> None:
    text = replace(EXAMPLE, footer=("total", "1241")).plain()
    assert text.endswith("long name   1234\n---------  -----\ntotal       1241")


def test_markdown_escapes_bars() -> None:
    assert EXAMPLE.markdown() == "| name | count |\n| --- | ---: |\n| a\\|b | 7 |\n| long name | 1234 |"


def test_empty_tables_have_a_head() -> None:
    assert table(("a", "b"), []).plain() == "a  b\n-  -"


def test_a_cell_is_one_line_and_shows_what_a_terminal_would_obey() -> None:
    found = table(["name"], [["a\n\u202eb\x1b[31m\tc é"]])
    assert found.rows == (("a\\n\\u202eb\\x1b[31m\\tc é",),)

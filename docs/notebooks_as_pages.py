"""Notebooks as pages of the site: what stands in them, as MyST has it, for the parser of all other pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from myst_parser.sphinx_ import Parser
from sphinx.application import Sphinx

_KINDS = ("text/html", "image/svg+xml", "text/plain")
"""What is shown of an output: the first of these that it has."""


class NotebookParser(Parser):
    """Reads a notebook with its recorded outputs; nothing is executed."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Put what a notebook says into a document."""
        super().parse("\n\n".join(_blocks(json.loads(inputstring))), document)


def _blocks(notebook: dict[str, Any]) -> Iterator[str]:
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield source
            continue
        yield _fenced("python", source)
        for output in cell["outputs"]:
            yield _shown(output)


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {"text/plain": output.get("text", "")})
    kind = next(each for each in _KINDS if each in data)
    text = "".join(data[kind]).rstrip()
    if kind == "text/plain":
        return _fenced("text", text)
    # wide tables and pictures scroll by themselves
    return _fenced("{raw} html", f'<div style="overflow-x: auto; border-spacing: 0.8em 0.1em">{text}</div>')


def _fenced(info: str, text: str) -> str:
    return f"`````{info}\n{text}\n`````"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the parser."""
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True}

"""Notebooks, executed as Jupyter does but without it.

    python -m tests.docs.notebooks docs/notebooks

executes every notebook of a folder and writes into it what its cells show.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler.cache_folder import VARIABLE
from compiler.files import write_text

Notebook = dict[str, Any]
Cell = dict[str, Any]


def read(path: Path) -> Notebook:
    """A notebook of format 4."""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["nbformat"] == 4
    return found


def executed(notebook: Notebook, folder: Path) -> Notebook:
    """The notebook with the outputs that its cells have now; `folder` is where modules beside it are."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with _beside(folder):
        cells = [_executed(cell, names, number) for number, cell in _numbered(notebook["cells"])]
    return {**notebook, "cells": cells}


def _numbered(cells: list[Cell]) -> Iterator[tuple[int, Cell]]:
    number = 0
    for cell in cells:
        number += cell["cell_type"] == "code"
        yield number, cell


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """As a notebook of the folder is executed: its modules are found, and nothing is left of it."""
    before, cache = [*sys.path], os.environ.get(VARIABLE)
    sys.path.insert(0, str(folder))
    with tempfile.TemporaryDirectory() as empty:
        os.environ[VARIABLE] = tempfile.tempdir = empty
        try:
            yield
        finally:
            sys.path[:], tempfile.tempdir = before, None
            sys.modules.pop("network", None)
            os.environ.pop(VARIABLE)
            os.environ.update({} if cache is None else {VARIABLE: cache})


def _executed(cell: Cell, names: dict[str, Any], number: int) -> Cell:
    if cell["cell_type"] != "code":
        return cell
    tree = ast.parse("".join(cell["source"]), f"cell {number}")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if value is not None:
        data = {kind: _lines(text) for kind, text in shown(value).items()}
        outputs.append({"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data})
    return {**cell, "execution_count": number, "outputs": outputs}


def shown(value: object) -> dict[str, str]:
    """What Jupyter shows of a value, by kind of content."""
    bundle = getattr(value, "_repr_mimebundle_", None)
    found: dict[str, str] = {} if bundle is None else dict(bundle())
    for kind, name in (("text/html", "_repr_html_"), ("image/svg+xml", "_repr_svg_")):
        if kind not in found and hasattr(value, name):
            found[kind] = getattr(value, name)()
    return {"text/plain": type(value).__name__ if found else repr(value), **found}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> int:
    """Execute the notebooks of the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tests.docs.notebooks FOLDER\n")
        return 2
    folder = Path(sys.argv[1])
    for path in sorted(folder.glob("*.ipynb")):
        write_text(path, json.dumps(executed(read(path), folder), indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

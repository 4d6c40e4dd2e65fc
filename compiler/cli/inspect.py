"""`catena inspect`: a summary of any file, and what passes make of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compiler.cli.console import Console
from compiler.cli.options import (
    compile_options,
    fuse_option,
    mode_option,
    model_options,
    parse_input_shapes,
    reproducer_option,
    search_options,
    target_options,
)
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb

if TYPE_CHECKING:
    from compiler.compilation import CompileOptions


@verb("inspect")
@click.argument("source", metavar="MODEL|IR|PROGRAM")
@click.option("--passes", is_flag=True, help="Compile it, and print what every pass did to the IR.")
@click.option("--changes", metavar="PASS|STAGE|all", help="Compile it, and print what passes changed, op by op.")
@click.option(
    "--node", metavar="NAME", help="Print only what became of this ONNX node; without --changes, in all passes."
)
@click.option("--to", "stop", default="placed", metavar="STAGE", help="Last stage to compile. [default: placed]")
@target_options
@mode_option
@fuse_option
@search_options
@model_options
@reproducer_option
def inspect(
    session: Session,
    source: str,
    passes: bool,
    changes: str | None,
    node: str | None,
    stop: str,
    target: str | None,
    settings: tuple[str, ...],
    mode: str,
    fuse: bool,
    input_shapes: tuple[str, ...],
    batch: int | None,
    reproducer: Path | None,
    **search: Any,
) -> Outcome:
    """Summarise an ONNX model, an IR file or a program; or say what passes make of a model or IR.

    Of a model that is not supported its nodes are shown as they stand in the file, and what stands in the way.

    `--passes` prints a line for every pass: how many ops it added, removed, changed and moved, and what there is after
    it. `--changes fuse-elementwise` prints the ops that it changed, before and after, under the ONNX nodes that they
    came from; `--node NAME` follows a node through all passes. Ops are the same before and after a pass if they name
    the same nodes.
    """
    if passes or changes is not None or node is not None:
        which = changes if changes is not None else "all" if node is not None else None
        options = compile_options(
            target, settings, mode, fuse, None, input_shapes, batch, None, search, reproducer=reproducer
        )
        return _compiled(source, options, stop, which, node, passes)
    return _summary(source, input_shapes, batch)


def _compiled(
    source: str, options: CompileOptions, stop: str, which: str | None, node: str | None, passes: bool
) -> Outcome:
    from dataclasses import replace

    from compiler.cli.changes import print_changes
    from compiler.compilation import compile_source
    from compiler.ir_history import IrHistory
    from compiler.ir_history.text import changes_json, of_node, passes_table, selected, steps_json

    history = IrHistory()
    compile_source(source, replace(options, stop=stop), [history])
    steps = [] if which is None else selected(history.steps, which)
    if node is not None:
        steps = of_node(steps, node)

    def show(console: Console) -> None:
        if passes:
            console.table(passes_table(history.steps))
        print_changes(console, steps, node)

    result = {"steps": steps_json(history.steps), "changes": changes_json(steps, node)}
    return Outcome(result, show)


def _summary(source: str, input_shapes: tuple[str, ...], batch: int | None) -> Outcome:
    from compiler.inspection import inspect_source
    from compiler.sources import ImportOptions
    from compiler.tables import table

    found = inspect_source(source, ImportOptions(parse_input_shapes(input_shapes), batch))

    def show(console: Console) -> None:
        console.table(table((found.kind.value, source), found.facts.items()))
        for each in found.tables:
            console.out("")
            console.table(each)

    tables = {
        each.title: [dict(zip((column.title for column in each.columns), row, strict=True)) for row in each.rows]
        for each in found.tables
    }
    return Outcome({"kind": found.kind.value, "facts": found.facts, **tables}, show)

"""`catena targets`, `passes`, `ops`, `errors`: lists of what there is, as tables, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from compiler.cli.console import Console
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from compiler.tables import Table

_markdown = click.option("--markdown", is_flag=True, help="Print Markdown, as in the documentation.")


def _outcome(name: str, tables: Sequence[Table], markdown: bool) -> Outcome:
    def show(console: Console) -> None:
        for index, each in enumerate(tables):
            if index:
                console.out("")
            if markdown:
                console.out(f"**{each.title}**\n\n{each.markdown()}" if each.title else each.markdown())
            else:
                console.table(each)

    def rows(each: Table) -> list[dict[str, str]]:
        titles = [column.title for column in each.columns]
        return [dict(zip(titles, row, strict=True)) for row in each.rows]

    return Outcome({each.title or name: rows(each) for each in tables}, show)


def _drawn(name: str) -> Outcome:
    """One target: its machine as a tree."""
    from compiler.machine_drawing import drawing
    from compiler.targets import select_target

    machine = select_target(name).machine
    drawn = drawing(machine)

    def show(console: Console) -> None:
        console.out(
            f"{machine.name}: {machine.summary}; {machine.clock_mhz:g} MHz, words of {machine.word_bits} bits\n"
        )
        console.out(drawn)

    return Outcome({"target": machine.name, "drawing": drawn.splitlines()}, show)


@verb("targets")
@click.argument("name", metavar="[TARGET]", required=False)
@_markdown
@click.option("--schema", is_flag=True, help="Print the JSON schema of target descriptions instead.")
def targets(session: Session, name: str | None, markdown: bool, schema: bool) -> Outcome:
    """List the targets that are installed, draw one (or that of a TOML file), or say what a description may hold."""
    if name is not None:
        return _drawn(name)
    from compiler.listings import target_table

    if schema:
        from compiler.descriptions.schema import target_schema

        found = target_schema()
        return Outcome(found, lambda console: console.out(json.dumps(found, indent=1)))
    return _outcome("targets", [target_table()], markdown)


@verb("passes")
@_markdown
def passes(session: Session, markdown: bool) -> Outcome:
    """List the stages of the compilation with their passes, then every pass with its options."""
    from compiler.listings import pass_table, stage_table

    return _outcome("passes", [stage_table(), pass_table()], markdown)


@verb("ops")
@_markdown
def operators(session: Session, markdown: bool) -> Outcome:
    """List the ONNX operators that can be compiled."""
    from compiler.listings import operator_table

    return _outcome("operators", [operator_table()], markdown)


@verb("errors")
@_markdown
def errors(session: Session, markdown: bool) -> Outcome:
    """List the codes of all error messages and the exit codes they lead to."""
    from compiler.listings import error_table, exit_code_table

    return _outcome("errors", [error_table(), exit_code_table()], markdown)

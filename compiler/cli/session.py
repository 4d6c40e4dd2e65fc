"""What every verb shares: its common options, its last line, its JSON, its exit code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import click

from compiler.cli.console import Color, Console
from compiler.cli.outcome import Outcome, envelope
from compiler.memory_limit import bytes_of, memory_limit
from dialects.diagnostics import ExitCode

_COLORS = tuple(each.value for each in Color)


@dataclass(frozen=True)
class Session:
    """One call of one verb."""

    verb: str
    console: Console
    as_json: bool


def verb(name: str) -> Callable[[Callable[..., Outcome]], click.Command]:
    """Make a click command of a function that takes a `Session` and its options and gives back an `Outcome`."""

    def decorate(function: Callable[..., Outcome]) -> click.Command:
        @functools.wraps(function)
        def command(
            *,
            as_json: bool,
            verbose: bool,
            quiet: bool,
            color: str,
            no_progress: bool,
            debug: bool,
            max_memory: int | None,
            **options: Any,
        ) -> int:
            console = Console(Color(color), -1 if quiet else int(verbose), not (no_progress or as_json))
            session = Session(name, console, as_json)
            start = perf_counter()
            with memory_limit(max_memory):
                outcome = function(session, **options)
            _finish(session, outcome, perf_counter() - start)
            return int(outcome.exit_code)

        return click.command(name)(_common_options(command))

    return decorate


def _finish(session: Session, outcome: Outcome, seconds: float) -> None:
    console = session.console
    if session.as_json:
        console.out(envelope(session.verb, outcome.exit_code, seconds, outcome.result, outcome.diagnostics))
        return
    outcome.show(console)
    console.errors(outcome.diagnostics)
    console.verdict(outcome.exit_code == ExitCode.OK, seconds, outcome.subject)


def _bytes(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    try:
        return None if not text else bytes_of(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is {error}: give it as in 512M or 4G") from error


def _common_options(command: Callable[..., int]) -> Callable[..., int]:
    options = (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object, errors included."),
        click.option("-v", "--verbose", is_flag=True, help="Print details, such as the time of every pass."),
        click.option("-q", "--quiet", is_flag=True, help="Print results and errors only."),
        click.option("--color", type=click.Choice(_COLORS), default="auto", help="When to colour. [default: auto]"),
        click.option("--no-progress", is_flag=True, help="Do not print progress."),
        click.option(
            "--max-memory",
            envvar="CATENA_MAX_MEMORY",
            metavar="SIZE",
            callback=_bytes,
            help="Take at most so much memory for data, as in 4G, in every process. [env: CATENA_MAX_MEMORY]",
        ),
        click.option("--debug", is_flag=True, help="Print the traceback of an unexpected error."),
    )
    for option in reversed(options):
        command = option(command)
    return command

"""`catena conformance`: whether a target computes, counts and refuses as it should."""

from __future__ import annotations

import click

from compiler.cli.console import Console
from compiler.cli.options import Amount, bug_option, parse_settings
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("conformance")
@click.argument("target", metavar="TARGET")
@click.option("-k", "patterns", multiple=True, metavar="PATTERN", help="Run only cases of such names: 'Conv*/int8/*'.")
@click.option(
    "--time-limit",
    type=Amount(min=0),
    metavar="SECONDS",
    help="Run no further cases after so many seconds; the exit code is then 6.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key of the description.")
@bug_option
def conformance(
    session: Session, target: str, patterns: tuple[str, ...], time_limit: float | None, settings: tuple[str, ...]
) -> Outcome:
    """Run the conformance kit on a target: an installed one, or a TOML file.

    Operators in several types and shapes and a few small networks are compiled. Every engine of the emulator has to
    compute what the interpreter of the chain does, to count what was predicted, and to make the same tensors when it
    runs layer by layer; programs have to survive being written, read, disassembled and assembled. What a target refuses
    as not supported or too large is in the table with its code, and is no failure. Ctrl-C ends with the table so far.
    """
    from compiler.backend_kit.running import Status, run_kit
    from compiler.cli.progress import activity
    from compiler.targets import select_target

    chosen = select_target(target, parse_settings(settings))
    with activity(session.console, f"conformance of {target}") as shown:
        report = run_kit(chosen, patterns, time_limit, shown.show)

    def show(console: Console) -> None:
        console.table(report.table())
        console.out(", ".join(f"{len(report.having(status))} {status}" for status in Status))
        if not report.counts_compared:
            console.out("counts were not compared: zeros in the data save words or operations on this machine")

    return Outcome(report.json, show, target, report.diagnostics, report.exit_code)

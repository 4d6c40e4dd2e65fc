"""`catena doctor`: is everything here that Catena needs?"""

from __future__ import annotations

from compiler.cli.console import Console
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb
from dialects.diagnostics import ExitCode


@verb("doctor")
def doctor(session: Session) -> Outcome:
    """Show the versions of Python, Catena and what it needs, which optional parts are missing, and all plug-ins.

    Ends with exit code 2 if something needed is missing, or a plug-in cannot be loaded.
    """
    from compiler.health import examine

    found = examine()

    def show(console: Console) -> None:
        for each in found.tables():
            console.table(each)
        console.out(f"machine: {found.machine}")
        console.out(f"cache: {found.cache}")

    result = {
        "packages": {each.name: each.version for each in found.packages},
        "plug_ins": [
            {"name": each.name, "kind": each.kind, "distribution": each.distribution, "state": each.state}
            for each in found.plug_ins
        ],
        "machine": found.machine,
        "cache": found.cache,
    }
    return Outcome(result, show, "", found.problems, ExitCode.USAGE if found.problems else ExitCode.OK)

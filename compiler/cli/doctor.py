"""`catena doctor`: is everything here that Catena needs?"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from compiler.cli.console import Console
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb

OPTIONAL = {
    "onnxruntime": "catena verify, catena quantize (pip install 'catena[verify]')",
    "distributed": "catena compile --scheduler (pip install 'catena[dist]')",
}


@verb("doctor")
def doctor(session: Session) -> Outcome:
    """Show the versions of Python, Catena and what it needs, and which optional parts are missing."""
    from backends.registry import installed_backends
    from compiler.tables import table

    rows = [("catena", version("catena"), ""), ("python", platform.python_version(), sys.executable)]
    for requirement in requires("catena") or []:
        if "extra ==" not in requirement:
            name = _bare(requirement)
            rows.append((name, _version(name), requirement))
    rows += [(name, _version(name), f"optional: {use}") for name, use in OPTIONAL.items()]
    backends = ", ".join(backend.name for backend in installed_backends())
    machine = f"{platform.machine()}, {os.cpu_count()} cores"

    def show(console: Console) -> None:
        console.table(table(("package", "version", "needed"), rows))
        console.out(f"machine: {machine}; targets: {backends}")

    return Outcome({"packages": {name: found for name, found, _ in rows}, "machine": machine}, show)


def _bare(requirement: str) -> str:
    """`numpy` of `numpy<3,>=1.26`."""
    end = next((index for index, each in enumerate(requirement) if each in "<>=!~ [;"), len(requirement))
    return requirement[:end].strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"

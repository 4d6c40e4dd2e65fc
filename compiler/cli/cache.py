"""`catena cache`: what Catena has kept of earlier compilations."""

from __future__ import annotations

import click

from compiler.cli.console import Console
from compiler.cli.outcome import Outcome
from compiler.cli.session import Session, verb


@verb("cache")
@click.option("--clear", "is_cleared", is_flag=True, help="Remove it all.")
@click.option("--cache-dir", metavar="DIR", help="The folder. [default: the user's cache; env: CATENA_CACHE_DIR]")
def cache(session: Session, is_cleared: bool, cache_dir: str | None) -> Outcome:
    """Show where mappings and programs are kept and how much there is, or remove it.

    The cache is safe to remove at any time, and bounds its own size. Programs and their notes are two files each.
    """
    from dataclasses import asdict

    from compiler.cache_contents import clear, contents
    from compiler.cache_folder import cache_folder
    from compiler.tables import number, table

    folder = cache_folder(cache_dir)
    if folder is not None and is_cleared:
        clear(folder)
    kept = () if folder is None else contents(folder)

    def show(console: Console) -> None:
        if folder is None:
            console.out("nothing is kept: CATENA_CACHE_DIR is empty")
            return
        rows = [(each.kind, f"{each.files:,}", f"{each.size / 1e6:,.1f}") for each in kept]
        console.table(table(("what", number("files"), number("MB")), rows, str(folder)))

    return Outcome({"folder": None if folder is None else str(folder), "kept": [asdict(each) for each in kept]}, show)

"""The `catena` command. Nothing heavy is imported before a verb runs."""

from compiler.cli.main import main

__all__ = ["main"]

"""The `catena` group: verbs that are imported when they are used, and suggestions for misspelt ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click

from dialects.diagnostics import did_you_mean


@dataclass(frozen=True)
class Verb:
    """A subcommand: where it is defined (`module:attribute`) and its line in the list."""

    path: str
    doc: str


class LazyGroup(click.Group):
    """A group whose help needs none of its verbs' modules."""

    def __init__(self, verbs: Mapping[str, Verb], **attributes: object):
        super().__init__(**attributes)  # type: ignore[arg-type]
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the table."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        verb = self._verbs.get(cmd_name)
        if verb is None:
            return None
        module, _, attribute = verb.path.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the arguments name. Raises `click.UsageError` with the likely verb if there is none."""
        if args and args[0] not in self._verbs:
            hint = did_you_mean(args[0], self._verbs)
            raise click.UsageError(f"no command is called {args[0]!r}" + (f"; {hint}" if hint else ""), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.doc) for name, verb in self._verbs.items()])

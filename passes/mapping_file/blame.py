"""Which statement of a mapping file made a group with which something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import Diagnostic
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.locations import describe
from passes.mapping_file.names import named_links
from passes.mapping_file.reading import read_mapping_file


def at_its_statement(problem: Diagnostic, module: ModuleOp, path: Path, context: Context) -> Diagnostic:
    """A problem of a group, or of a link in it, with the place of its statement; as it is if of none, or located.

    Raises `CatenaError` (CAT-C002) if the file cannot be read.
    """
    if problem.where or not problem.node:
        return problem
    known = named_links([op for op in module.walk() if isinstance(op, LinkOp)])
    file = read_mapping_file(path, context)
    for statement in file.groups:
        links = [known[name.text] for name in statement.links if name.text in known]
        if problem.node in _nodes(links):
            # what is illegal in the IR of a group is a contradiction of the statements that made it
            code = "CAT-C003" if problem.code == "CAT-R003" else problem.code
            return replace(problem, code=code, where=file.problem_of(statement.spot, "").where)
    return problem


def _nodes(links: Sequence[LinkOp]) -> Iterator[str]:
    """What problems call links, and the group that they are in, which is none any more once it is placed."""
    for link in links:
        yield describe(link)
        if isinstance(group := link.parent_op(), FusedOp):
            yield describe(group)

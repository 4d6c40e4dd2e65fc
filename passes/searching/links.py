"""Mappings for the links of a chain: which links need a search, which searches are the same, and what they found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from xdsl.ir import Block

from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp
from dialects.locations import describe
from dialects.schedule import MappingAttr, SearchAttr
from passes.searching.options import SearchOptions
from passes.searching.service import search_all
from passes.searching.task import Found, Task


def map_links(
    block: Block,
    settled: Callable[[LinkOp], bool],
    task: Callable[[LinkOp], Task],
    machine: Accelerator,
    options: SearchOptions,
) -> None:
    """Give every link of a block that is not `settled` the mapping that its `task` finds, and note how good it is.

    Raises `CatenaError` with the problems of all links.
    """
    links = [op for op in block.ops if isinstance(op, LinkOp)]
    problems: dict[LinkOp, Sequence[Diagnostic]] = {}
    tasks: dict[str, Task] = {}
    searched: dict[LinkOp, str] = {}
    for link in links:
        try:
            if not settled(link):
                made = task(link)
                searched[link] = repr(made.signature)
                tasks.setdefault(searched[link], made)
        except CatenaError as error:
            problems[link] = error.diagnostics
    results = dict(zip(tasks, search_all(list(tasks.values()), machine, options), strict=True))
    marks = {
        signature: SearchAttr(tasks[signature].mark(found))
        for signature, found in results.items()
        if isinstance(found, Found)
    }
    for link, signature in searched.items():
        match results[signature]:
            case Found() as found:
                link.properties["mapping"] = MappingAttr(found.mapping)
                link.properties["search"] = marks[signature]
            case diagnostics:
                problems[link] = [replace(each, node=describe(link)) for each in diagnostics]
    if problems:
        raise CatenaError([each for link in links for each in problems.get(link, ())])

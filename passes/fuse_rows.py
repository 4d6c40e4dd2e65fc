"""Pass `fuse-rows`: links that run as a pipeline become groups, so that few rows of what they hand on lie in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv import LinkOp, ViewOp, shape_of
from dialects.gconv.interpreter import main_function
from dialects.multicore_mapping import CrossbarsAttr, Scheme, VectorAttr
from dialects.schedule import Loop, Temporal
from dialects.target import require_multicore
from dialects.weights import ConstantOp
from passes.chain_views import readers_of, source_of
from passes.fusion.grouping import group_links, group_problems
from passes.fusion.names import chain_names
from passes.multicore.rows import SHARED, rows_of
from passes.multicore.tiles import row_loop
from passes.storage import Storage


@dataclass(frozen=True)
class FuseRowsPass(ModulePass):
    """Make a `gconv.fused` of links in a row that hand on tensors row by row, each on cores of its own.

    The links of a group, `longest` at most, run side by side, row by row, and may be `rows` rows ahead of those that
    read. What lies between them is kept only as long as it is needed: its place is below the loop over these. Links in
    a row are cut into groups so that the largest share of the tensors lies within one. A group has one head; its links
    have rows, no two of them a core in common, and cores that add to the same sums follow one another (`linear`). The
    mappings of links become those of the group.

    Raises `CatenaError` (CAT-U006) on a machine whose layers do not run as a pipeline.
    """

    name = "fuse-rows"

    rows: int = 1
    longest: int = 255

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "mapped")
        if not machine.pipelines_layers:
            message = "fused groups of cores run as pipelines, and layers of this machine one after another"
            hint = "set schedule.pipelined to true, or do without --fuse"
            raise CatenaError(Diagnostic("CAT-U006", message, "mapped", found=machine.name, hint=hint))
        function = main_function(op)
        for run in list(_runs(function)):
            for links in _Cut(run, self.longest).groups():
                _form(function, links, self.rows)


def _runs(function: FuncOp) -> Iterator[list[LinkOp]]:
    """Links one after another that may be in a group, with nothing but views and constants between them."""
    storage = Storage(function.body.block)
    run: list[LinkOp] = []
    for op in function.body.block.ops:
        if isinstance(op, LinkOp) and _may_join(op, storage):
            run.append(op)
        elif not isinstance(op, ViewOp | ConstantOp):
            yield run
            run = []
    yield run


def _may_join(link: LinkOp, storage: Storage) -> bool:
    if row_loop(link.spec) is None or storage.lookups(link):
        return False
    match link.mapping:
        case CrossbarsAttr(data=mapping):
            has_ring = mapping.tile[0] * mapping.span[0] < mapping.matrix[0]
            is_in_order = mapping.scheme is Scheme.LINEAR or not has_ring
            return is_in_order and len(set(mapping.cores)) == len(mapping.cores) and bool(mapping.cores)
        case VectorAttr(data=mapping):
            return bool(mapping.cores)
        case _:
            return False


@dataclass(frozen=True)
class _Cut:
    """How a run of links is cut into groups of `longest` links at most."""

    links: Sequence[LinkOp]
    longest: int

    def groups(self) -> list[list[LinkOp]]:
        """The groups that keep the largest share of the tensors to themselves, of two links at least."""
        best: list[tuple[int, int]] = [(0, 0)]
        """Of the first so many links: the words that lie within groups, and where the last one begins."""
        saved = [self._saved(start) for start in range(len(self.links))]
        for end in range(1, len(self.links) + 1):
            found = [(best[end - 1][0], end - 1)]
            found += [(best[start][0] + saved[start].get(end, 0), start) for start in range(end - 1)]
            # Of equal ones the last group is the shortest.
            best.append(max(found, key=lambda each: (each[0], each[1])))
        end, groups = len(self.links), list[list[LinkOp]]()
        while end:
            start = best[end][1]
            if end - start > 1:
                groups.append(list(self.links[start:end]))
            end = start
        return groups[::-1]

    def _saved(self, start: int) -> dict[int, int]:
        """By the end of a group that begins here, the words of what it keeps to itself; none where it is no group."""
        found: dict[int, int] = {}
        cores: set[int] = set()
        unread: dict[LinkOp, None] = {}
        for end in range(start + 1, min(start + self.longest, len(self.links)) + 1):
            link = self.links[end - 1]
            assert isinstance(link.mapping, CrossbarsAttr | VectorAttr)
            if cores & set(link.mapping.data.cores):
                break
            cores |= set(link.mapping.data.cores)
            for value in link.operands:
                maker = source_of(value).base.owner
                if isinstance(maker, LinkOp):
                    unread.pop(maker, None)
            unread[link] = None
            members = self.links[start:end]
            if len(unread) == 1 and len(members) > 1:
                found[end] = sum(_words_within(each, members) for each in members)
        return found


def _words_within(link: LinkOp, members: Sequence[LinkOp]) -> int:
    assert isinstance(link.mapping, CrossbarsAttr | VectorAttr)
    return math.prod(shape_of(link.result)) if _stays_within(link, link.mapping, members) else 0


def _stays_within(link: LinkOp, mapping: CrossbarsAttr | VectorAttr, members: Sequence[LinkOp]) -> bool:
    """Whether only other links of a group read what a link makes, and its rows may lie one after another."""
    readers = set(readers_of(link.result))
    return bool(readers) and readers <= set(members) and rows_of(link, mapping.data) is not None


def _form(function: FuncOp, links: Sequence[LinkOp], rows: int) -> None:
    """Make a group of links with the mappings that they have, if they can be one."""
    mappings: dict[LinkOp, CrossbarsAttr | VectorAttr] = {}
    for link in links:
        assert isinstance(link.mapping, CrossbarsAttr | VectorAttr)
        mappings[link] = link.mapping
        del link.properties["mapping"]
    if group_problems(links):
        for link, mapping in mappings.items():
            link.properties["mapping"] = mapping
        return
    kept = {link for link in links if _stays_within(link, mappings[link], links)}
    group = group_links(links, known=chain_names(function))
    inside = {name for name, link in zip(group.link_names, group.links, strict=True) if link in kept}
    row = row_loop(group.head.spec)
    assert row is not None
    loop = Temporal(row, min(rows, _extent(group.head, row)))
    places = (Retention(name, SHARED, int(name in inside)) for name in (*group.read_names, *group.link_names))
    branches = tuple((name, mappings[link].data) for name, link in zip(group.link_names, group.links, strict=True))
    group.properties["mapping"] = FusedAttr.of(FusedMapping((loop,), tuple(places), Stages.PIPELINE, branches))


def _extent(link: LinkOp, loop: Loop) -> int:
    return next(dim.count(loop.kind) for dim in link.spec.dims if dim.name == loop.dim)

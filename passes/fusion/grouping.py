"""Groups made of links of a chain, and dissolved again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_mapping import FusedMapping
from dialects.gconv import IndexedOp, LinkOp, View, ViewOp
from dialects.gconv.fused import FusedOp, YieldOp
from dialects.host_segment import needs, segment_inputs, segment_makers
from dialects.locations import describe, fuse_locations
from passes.chain_views import Source, readers_of, source_of
from passes.fusion.names import chain_names, group_names
from passes.rewriting import erase_dead


def group_links(
    links: Sequence[LinkOp], mapping: FusedMapping | None = None, known: Mapping[SSAValue, str] | None = None
) -> FusedOp:
    """Replace links of a function by a group of them, at the place of the last; `known` are its `chain_names`.

    What stands between them goes behind the group if it depends on one of them. Views between links become the
    group's; others may see the same through views of its results.
    Raises `CatenaError` (CAT-R003) if the links are no group, with nothing changed.
    """
    block = links[0].parent
    assert block is not None
    function = block.parent_op()
    assert isinstance(function, FuncOp)
    members = [op for op in block.ops if isinstance(op, LinkOp) and op in links]
    assert len(members) == len(links), "links of one block, each once"
    if problems := group_problems(links):
        raise CatenaError(problems)
    behind = _depending(function, members)
    (head,) = heads_of(links)
    names = group_names(members, chain_names(function) if known is None else known)
    outside = [value for value in names if value.owner not in members]
    anchor = _successor(members[-1], members)
    body = Block(arg_types=[value.type for value in outside])
    left = _fill(body, members, dict(zip(outside, body.args, strict=True)))
    exported = [link.result for link in members if link is not head and _is_used_outside(link.result, body)]
    yielded = [head.result, *exported]
    body.add_op(YieldOp(operands=[yielded]))
    group = FusedOp.of(
        outside, [names[each] for each in outside], [names[each.result] for each in members], body, mapping
    )
    group.location = fuse_locations(link.location for link in members)
    block.insert_op_before(group, anchor)
    for op in behind:
        op.detach()
        block.insert_op_before(op, anchor)
    for inner, result in zip(yielded, group.made, strict=True):
        result.name_hint = inner.name_hint
        inner.replace_uses_with_if(result, lambda use: use.operation.parent is not body)
    for view in left:
        erase_dead(view)
    for link in members:
        _erase_dead_views(link.result, body)
    return group


def inline(group: FusedOp) -> list[LinkOp]:
    """Put the links of a group into its place, without mappings."""
    block = group.parent
    assert block is not None
    links = group.links
    for argument, value in zip(group.body.block.args, group.inputs, strict=True):
        argument.replace_all_uses_with(value)
    for inner, result in zip(group.yielded, group.made, strict=True):
        result.replace_all_uses_with(inner)
    for op in list(group.body.block.ops):
        op.detach()
        if isinstance(op, YieldOp):
            op.erase()
        else:
            block.insert_op_before(op, group)
    block.erase_op(group)
    return links


def heads_of(links: Sequence[LinkOp]) -> list[LinkOp]:
    """The links whose results no other of them reads."""
    return [link for link in links if not any(reader in links for reader in readers_of(link.result))]


def group_problems(links: Sequence[LinkOp]) -> list[Diagnostic]:
    """Why links of a function are no group."""
    function = links[0].parent_op()
    assert isinstance(function, FuncOp)
    behind = _depending(function, [op for op in function.body.block.ops if op in links])
    makers = segment_makers(function)
    problems: dict[object, Diagnostic] = {}
    for link in links:
        if link.mapping is not None:
            message = "a link of a group has no mapping of its own"
            problems[link] = _problem(link, message, hint="say what it does within a turn in the mapping of the group")
        for value in link.operands:
            base = source_of(value).base
            maker = makers.get(base, base.owner)
            if isinstance(maker, IndexedOp):
                problems[link] = _problem(link, "a link that reads at computed addresses takes part in no group")
            elif isinstance(maker, ViewOp):
                problems[link] = _problem(link, "a link of a group reads a tensor through a view that needs a copy")
            elif maker in behind:
                assert isinstance(maker, Operation)
                what = "a link" if isinstance(maker, LinkOp) else maker.name
                message = f"{what} lies between links of the group: it reads one and makes what another reads"
                hint = "put it into the group too" if isinstance(maker, LinkOp) else "end the group before it"
                problems[maker] = _problem(maker, message, hint=hint)
    heads = heads_of(links)
    if len(heads) > 1 and not problems:
        found = ", ".join(describe(head) for head in heads)
        message = "a group has one head, a link whose result no other of its links reads"
        problems[heads[0]] = _problem(heads[0], message, found=found, hint="name the links between them as well")
    return list(problems.values())


def _problem(op: Operation, message: str, **more: str) -> Diagnostic:
    return Diagnostic("CAT-R003", message, "mapped", describe(op), **more)


def _depending(function: FuncOp, members: Sequence[Operation]) -> list[Operation]:
    """What stands between the first and the last of some ops, is none of them and depends on one of them."""
    inputs, makers = segment_inputs(function), segment_makers(function)
    found: dict[Operation, None] = {}
    op: Operation | None = members[0]
    while op is not None and op is not members[-1]:
        if op not in members and any(each in found or each in members for each in needs(op, inputs, makers)):
            found[op] = None
        op = op.next_op
    return list(found)


def _successor(op: Operation, members: Sequence[Operation]) -> Operation:
    """The first op behind one that is none of `members`."""
    following = op.next_op
    while following is not None and following in members:
        following = following.next_op
    assert following is not None, "a function ends in a terminator"
    return following


def _is_used_outside(value: SSAValue, body: Block) -> bool:
    """Whether anything outside a block reads a value, directly or through views; dead views do not."""
    return any(reader.parent is not body for reader in readers_of(value))


def _erase_dead_views(value: SSAValue, body: Block) -> None:
    """Erase the views outside a block of a value that nothing outside reads."""
    for use in list(value.uses):
        view = use.operation
        if isinstance(view, ViewOp) and view.parent is not body and view.parent is not None:
            _erase_dead_views(view.result, body)
            view.parent.erase_op(view)


def _fill(body: Block, members: Sequence[LinkOp], inside: dict[SSAValue, SSAValue]) -> list[ViewOp]:
    """Move links into a block, with views of their own; `inside` are the arguments that stand for what is outside.

    Returns the views outside that they read.
    """
    views: dict[tuple[SSAValue, View], SSAValue] = {}
    left: dict[ViewOp, None] = {}
    for link in members:
        moved: list[SSAValue] = []
        for value in link.operands:
            source = source_of(value)
            base = inside.get(source.base, source.base)
            if (base, source.view) not in views:
                ops, views[base, source.view] = Source(base, source.view).materialise()
                for op in ops:
                    op.location = value.owner.location if isinstance(value.owner, Operation) else link.location
                    body.add_op(op)
            moved.append(views[base, source.view])
            if isinstance(value.owner, ViewOp):
                left[value.owner] = None
        link.detach()
        body.add_op(link)
        link.operands = moved
    return list(left)


def groups_of(function: FuncOp) -> list[FusedOp]:
    """The groups of a function, in order."""
    return [op for op in function.body.block.ops if isinstance(op, FusedOp)]

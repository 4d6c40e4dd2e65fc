"""Groups as data, from links: which index of a tensor each operand reads.

An operand is a strided view of a tensor. Where every dimension of the view steps along one axis of the tensor, the
index of each axis is a sum of steps: identity, broadcasts, transposes, slices, every n-th index, several dimensions on
one axis. A dimension that runs over the end of one axis into the next, as after a reshape, is refused, unless it is a
kernel from off-chip that all read in one and the same shape: then that is its shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.gconv import IndexedOp, LinkOp, View, ViewOp, row_major, shape_of
from dialects.gconv.fused import FusedOp
from dialects.locations import describe
from passes.chain_views import source_of
from passes.fusion.group import AxisIndex, Group, GroupLink, GroupTensor, Operand, Role
from passes.fusion.names import chain_names, group_names, operands_of


def group_of(op: FusedOp) -> Group:
    """The group of an op. Raises `CatenaError` (CAT-R003) for operands that are no sums of steps along axes."""
    names = op.names
    retentions = op.mapping.data.retentions if isinstance(op.mapping, FusedAttr) else ()
    staying = frozenset(each.tensor for each in retentions if each.resident)
    return _group(op.links, names, frozenset(names[value] for value in op.yielded[1:]), staying)


def group_of_links(links: Sequence[LinkOp], known: Mapping[SSAValue, str] | None = None) -> Group:
    """The group that links of a block would make, in the block's order; `known` are its `chain_names`, if at hand.

    It may have several heads. Raises `CatenaError` (CAT-R003) for operands that are no sums of steps along axes.
    """
    if known is None:
        function = links[0].parent_op()
        assert isinstance(function, FuncOp)
        known = chain_names(function)
    names = group_names(links, known)
    members = set(links)
    exported = {names[link.result] for link in links if _is_read_outside(link.result, members)}
    group = _group(links, names, frozenset())
    heads = {head.result for head in group.heads}
    return Group(group.links, group.tensors, frozenset(exported - heads))


def _is_read_outside(value: SSAValue, members: set[LinkOp]) -> bool:
    return any(
        _is_read_outside(use.operation.result, members)
        if isinstance(use.operation, ViewOp)
        else use.operation not in members
        for use in value.uses
    )


def _group(
    links: Sequence[LinkOp],
    names: Mapping[SSAValue, str],
    exported: frozenset[str],
    staying: frozenset[str] = frozenset(),
) -> Group:
    tensors: dict[SSAValue, GroupTensor] = {}
    # What stays on the chip lies there in the shape in which another group made it.
    shapes = {base: shape for base, shape in _reshaped(links).items() if names[base] not in staying}
    made: list[GroupLink] = []
    problems: list[Diagnostic] = []
    for link in links:
        if not link.spec.dims:
            problems.append(_without_loops(link))
            continue
        operands: list[Operand] = []
        for role, value in operands_of(link):
            source = source_of(value)
            # What is in one piece has an axis of one index all the same.
            shape = shapes.get(source.base, shape_of(source.base)) or (1,)
            axes = None if isinstance(source.base.owner, IndexedOp | ViewOp) else axes_of(source.view, shape)
            if axes is None:
                problems.append(_not_axes(link, role, value))
                continue
            tensors.setdefault(source.base, GroupTensor(names[source.base], shape))
            operands.append(Operand(Role(role[0]), names[source.base], shape_of(value), axes))
        tensors.setdefault(link.result, GroupTensor(names[link.result], shape_of(link.result)))
        name = names[link.result]
        made.append(GroupLink(name, link.spec, tuple(operands), name))
    if problems:
        raise CatenaError(problems)
    return Group(tuple(made), tuple(tensors.values()), exported)


def _reshaped(links: Sequence[LinkOp]) -> dict[SSAValue, tuple[int, ...]]:
    """The shapes of kernels from off-chip that are read in another shape than their own, everywhere in the same.

    The dimension of a convolution's that has filters and channels goes over two axes of its kernel.
    """
    made = {link.result for link in links}
    seen: dict[SSAValue, set[tuple[int, ...] | None]] = {}
    for link in links:
        for role, value in operands_of(link):
            source = source_of(value)
            if source.base not in made:
                is_kernel = role == Role.KERNEL and source.is_whole
                seen.setdefault(source.base, set()).add(shape_of(value) if is_kernel else None)
    return {base: shape for base, shapes in seen.items() if len(shapes) == 1 and (shape := next(iter(shapes)))}


def axes_of(view: View, shape: Sequence[int]) -> tuple[AxisIndex, ...] | None:
    """The index of each axis of a tensor as a function of a view's indices; None if a dimension moves several axes."""
    steps = row_major(shape)
    offsets: list[int] = []
    rest = view.offset
    for step in steps:
        offsets.append(rest // step)
        rest %= step
    terms: list[list[tuple[int, int]]] = [[] for _ in shape]
    low, high = list(offsets), list(offsets)
    for dim, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        if extent == 1 or stride == 0:
            continue
        # At most one axis is long enough: on one further in, steps would be as long as the axis at least.
        axis = next(
            (
                axis
                for axis, step in enumerate(steps)
                if stride % step == 0 and abs(stride // step) * (extent - 1) < shape[axis]
            ),
            None,
        )
        if axis is None:
            return None
        step = stride // steps[axis]
        terms[axis].append((dim, step))
        (high if step > 0 else low)[axis] += step * (extent - 1)
    if any(first < 0 or last >= size for first, last, size in zip(low, high, shape, strict=True)):
        return None
    return tuple(AxisIndex(offset, tuple(each)) for offset, each in zip(offsets, terms, strict=True))


def _without_loops(link: LinkOp) -> Diagnostic:
    message = "the link has no loops: it takes part in no group"
    return Diagnostic("CAT-R003", message, "mapped", describe(link), expected="a link with dimensions", found="none")


def _not_axes(link: LinkOp, role: str, value: SSAValue) -> Diagnostic:
    base = source_of(value).base
    if isinstance(base.owner, IndexedOp):
        message = f"operand {role} is read at computed addresses: such a link takes part in no group"
    else:
        message = f"operand {role} is a reshape of another tensor's axes into one another: no tile of it is one of them"
    found = f"{list(shape_of(value))} of {list(shape_of(base))}"
    return Diagnostic("CAT-R003", message, "mapped", describe(link), found=found)

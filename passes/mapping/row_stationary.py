"""Row-stationary mappings: from parameters to mapping nodes.

The parameters are those of the ISCA 2016 paper (m, n, e, p, q, r, t), extended by what general convolutions need:
output rows per element, strips of the sliding loop, split kernels, groups per element and groups over sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import PASS, GConv, LoopKind
from dialects.schedule import Axis, Loop, Mapping, Node, Operand, RowStationary, Spatial, Storage, Temporal
from passes.mapping.fit import RELEVANT
from passes.mapping.roles import Roles, assign_roles


@dataclass(frozen=True)
class Parameters:
    """The size of every part of a row-stationary mapping.

    m, n, e, p, q, r, t as in the paper; `rows` output rows that an element does one after another; `slide` sliding
    positions in a strip; `kernel_rows`, `kernel_cols` of a pass; `groups` in an element and `group_sets` over sets.
    With `whole_windows` the input tile in the buffer serves all kernel positions, not only those of a pass.
    """

    m: int = 1
    n: int = 1
    e: int = 1
    p: int = 1
    q: int = 1
    r: int = 1
    t: int = 1
    rows: int = 1
    slide: int = 1
    kernel_rows: int = 1
    kernel_cols: int = 1
    groups: int = 1
    group_sets: int = 1
    whole_windows: bool = False


def even_tile(extent: int, limit: int) -> int:
    """The smallest tile that cuts a loop into as few pieces as tiles of `limit` would."""
    pieces = -(-extent // min(extent, limit))
    return -(-extent // pieces)


def even_tiles(extent: int, limit: int) -> list[int]:
    """The tiles up to `limit` that cut a loop into a distinct number of pieces, each as even as possible."""
    limit = min(extent, limit)
    tiles: list[int] = []
    pieces = -(-extent // limit)
    while True:
        tile = -(-extent // pieces)
        tiles.append(tile)
        if tile == 1:
            return tiles
        pieces = -(-extent // (tile - 1))


def build_mapping(spec: GConv, roles: Roles, parameters: Parameters, machine: Machine) -> Mapping:
    """The mapping nodes of a set of parameters.

    Order as on the chip (JSSC 2017): filters outermost, then images and strips, whose partial sums stay in the
    buffer while the passes run over channels and, innermost, over the filters that share an input tile.
    """
    x = parameters
    nodes: list[Node] = []

    def temporal(loop: Loop | None, tile: int) -> None:
        if loop is not None and tile < _piece(spec, loop, nodes):
            nodes.append(Temporal(loop, tile))

    for kind in (LoopKind.OPC, LoopKind.G, LoopKind.OP):
        for loop in roles.rest:
            if loop.kind is kind:
                temporal(loop, 1)
    temporal(roles.groups, x.groups * x.group_sets)
    temporal(roles.filters, x.m)
    temporal(roles.images, x.n)
    temporal(roles.rows_out, x.e * x.rows)
    if roles.slide != roles.rows_out:
        temporal(roles.slide, x.slide)
    nodes.append(Storage("glb", (Operand.OUTPUT,)))
    for loop in roles.rest:
        if loop.kind is LoopKind.KS:
            temporal(loop, 1)
    windows = ((roles.rows_kernel, x.kernel_rows), (roles.slide_kernel, x.kernel_cols))
    above, below = ((), windows) if x.whole_windows else (windows, ())
    for loop, tile in above:
        temporal(loop, tile)
    temporal(roles.channels, x.q * x.r)
    nodes.append(Storage("glb", (Operand.INPUT,)))
    for loop, tile in below:
        temporal(loop, tile)
    temporal(roles.filters, x.p * x.t)
    if spec.main != PASS:
        nodes.append(Storage("spad", (Operand.KERNEL,)))
    nodes += _spatial(spec, roles, x, machine, nodes)
    return _hoist(Mapping(tuple(nodes)))


def _piece(spec: GConv, loop: Loop, nodes: list[Node]) -> int:
    """The largest piece of a loop below `nodes`."""
    tiles = [node.tile for node in nodes if not isinstance(node, Storage) and node.loop == loop]
    return min([extent(spec, loop), *tiles])


def _spatial(spec: GConv, roles: Roles, x: Parameters, machine: Machine, above: list[Node]) -> list[Node]:
    """Where the sets lie: kernel rows and channel sets up a column, output rows across, other sets in the space left.

    Output rows that do not fit across are folded into further rows, as the chip does for AlexNet's second layer.
    """
    nodes: list[Node] = []
    place = fold(x.e, x.kernel_rows * x.r, x.t, x.group_sets, machine)

    def spread(loop: Loop | None, tile: int, axis: Axis) -> None:
        if loop is not None and tile < _piece(spec, loop, [*above, *nodes]):
            nodes.append(Spatial(loop, tile, axis))

    if place.segments > 1:
        spread(roles.rows_out, place.across * x.rows, Axis.ROW)
    spread(roles.filters, x.p * place.filters_across, Axis.ROW)
    spread(roles.groups, x.groups * place.groups_across, Axis.ROW)
    spread(roles.channels, x.q, Axis.ROW)
    spread(roles.rows_kernel, 1, Axis.ROW)
    spread(roles.filters, x.p, Axis.COL)
    spread(roles.groups, x.groups, Axis.COL)
    spread(roles.rows_out, x.rows, Axis.COL)
    return nodes


@dataclass(frozen=True)
class Fold:
    """How sets fold onto the array: columns of a set, segments it is cut into, sets side by side; whether it fits."""

    across: int
    segments: int
    filters_across: int
    groups_across: int
    fits: bool


def fold(e: int, chain: int, t: int, group_sets: int, machine: Machine) -> Fold:
    """Lay `t * group_sets` sets of `chain` rows and `e` columns onto the array."""
    across, segments, beside, stacked = _room(e, chain, machine)
    filters_across = min(t, beside)
    filter_rows = -(-t // filters_across)
    groups_across = max(1, min(group_sets, beside // filters_across))
    group_rows = -(-group_sets // groups_across)
    return Fold(across, segments, filters_across, groups_across, filter_rows * group_rows <= stacked)


def most_sets(e: int, chain: int, machine: Machine) -> int:
    """How many sets of `chain` rows and `e` columns the array holds."""
    _, _, beside, stacked = _room(e, chain, machine)
    return beside * stacked


def _room(e: int, chain: int, machine: Machine) -> tuple[int, int, int, int]:
    """Columns of a set, segments it is cut into, sets side by side and above each other."""
    across = min(e, machine.array.cols)
    segments = -(-e // across)
    beside = machine.array.cols // across if segments == 1 else 1
    return across, segments, beside, min(machine.array.rows // chain, machine.limits.chains_per_column) // segments


def _hoist(mapping: Mapping) -> Mapping:
    """Move the storage of I and K above loops that do not change its tile, so that it is filled less often."""
    nodes = list(mapping.nodes)
    for operand in (Operand.INPUT, Operand.KERNEL):
        position = Mapping(tuple(nodes)).position(operand)
        if position is None:
            continue
        target = position
        for index in range(position - 1, -1, -1):
            node = nodes[index]
            if isinstance(node, Temporal):
                if node.loop.kind in RELEVANT[operand]:
                    break
                target = index
        nodes.insert(target, nodes.pop(position))
    return Mapping(tuple(nodes))


def expand(spec: GConv, notation: RowStationary, machine: Machine, node: str = "") -> Mapping:
    """The mapping that the paper's notation stands for, on a link with rows, sliding positions and channels.

    Raises `CatenaError` (CAT-F002) with every constraint of the notation that the numbers break: a parameter is at
    most its loop, p*t <= m, q*r <= C, and the r*t sets of R x e elements fit the array (ISCA 2016).
    """
    roles = assign_roles(spec)
    slide, rows, cols = (extent(spec, loop) for loop in (roles.slide, roles.rows_kernel, roles.slide_kernel))
    kernel_rows = even_tile(rows, machine.limits.kernel_rows)
    problems = [
        Diagnostic("CAT-F002", what, "mapped", node, expected=expected, found=str(value))
        for what, expected, value in _broken(spec, roles, notation, kernel_rows, machine)
    ]
    if problems:
        raise CatenaError(problems)
    parameters = Parameters(
        m=notation.m, n=notation.n, e=notation.e, p=notation.p, q=notation.q, r=notation.r, t=notation.t,
        slide=slide, kernel_rows=kernel_rows, kernel_cols=cols,
    )  # fmt: skip
    return build_mapping(spec, roles, parameters, machine)


def _broken(
    spec: GConv, roles: Roles, x: RowStationary, kernel_rows: int, machine: Machine
) -> Iterator[tuple[str, str, int]]:
    """What, the range it must be in, and its value, for every constraint that a notation breaks."""
    parts = [
        ("m", roles.filters), ("n", roles.images), ("e", roles.rows_out), ("p", roles.filters),
        ("q", roles.channels), ("r", roles.channels), ("t", roles.filters),
    ]  # fmt: skip
    alone = [
        (f"{name} has no loop to act on", "1", value)
        if loop is None
        else (f"{name} is larger than its loop", f"at most {extent(spec, loop)}", value)
        for name, loop in parts
        if (value := getattr(x, name)) > extent(spec, loop)
    ]
    if alone:
        yield from alone
        return
    channels = extent(spec, roles.channels)
    if x.p * x.t > x.m:
        yield "p*t, the filters of a pass, is larger than m", f"at most m = {x.m}", x.p * x.t
    if x.q * x.r > channels:
        yield "q*r, the channels of a pass, is larger than C", f"at most C = {channels}", x.q * x.r
    chain = kernel_rows * x.r
    if chain > machine.array.rows or not fold(x.e, chain, x.t, 1, machine).fits:
        elements = f"{machine.array.rows} x {machine.array.cols} elements"
        yield f"{x.r} x {x.t} sets of {kernel_rows} x {x.e} elements do not fit the array", elements, chain * x.e * x.t


def extent(spec: GConv, loop: Loop | None) -> int:
    """The number of indices of a loop; 1 if there is none."""
    return 1 if loop is None else next(dim for dim in spec.dims if dim.name == loop.dim).count(loop.kind)

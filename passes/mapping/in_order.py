"""Mappings that make outputs in row-major order: what updates at computed addresses need where addresses repeat."""

from __future__ import annotations

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv, LoopKind
from dialects.schedule import Axis, Loop, Mapping, Node, Operand, Spatial, Storage, Temporal
from passes.mapping.fit import violations
from passes.mapping.row_stationary import even_tile


def in_order_mapping(spec: GConv, machine: Machine, node: str = "") -> Mapping:
    """The mapping with the largest output tiles that leave the chip in row-major order, for a link without a kernel.

    A tile is a range of one dimension and all of the dimensions inside it, its words spread over the whole array.
    Raises `CatenaError` (CAT-F001) if none fits the machine.
    """
    for axis, dim in enumerate(spec.dims):
        tile = dim.opc
        while tile:
            mapping = _mapping(spec, axis, tile, machine)
            if not violations(spec, mapping, machine, in_order=True):
                return mapping
            tile //= 2
    raise CatenaError(
        Diagnostic(
            "CAT-F001",
            "glb.banks: no mapping of this link that keeps the order of updates fits, the buffer is too small",
            "mapped",
            node,
            expected="room for a tile of one output, inputs and outputs in banks of their own",
            found=str(machine.glb.banks),
            hint="give it more banks, or larger ones: glb.bank_words",
        )
    )


def _mapping(spec: GConv, axis: int, tile: int, machine: Machine) -> Mapping:
    """Tiles of `tile` indices of one dimension, of 1 of the dimensions before it, of all of those after it."""
    sizes = {dim.name: 1 if a < axis else tile if a == axis else dim.opc for a, dim in enumerate(spec.dims)}
    nodes: list[Node] = [
        Temporal(Loop(dim.name, LoopKind.OPC), sizes[dim.name]) for dim in spec.dims if sizes[dim.name] < dim.opc
    ]
    nodes.append(Storage("glb", (Operand.OUTPUT, Operand.INPUT)))
    longest = max(spec.dims, key=lambda dim: sizes[dim.name])
    size = sizes[longest.name]
    for elements, side in ((machine.array.rows, Axis.ROW), (machine.array.cols, Axis.COL)):
        share = even_tile(size, -(-size // elements))
        if share < size:
            nodes.append(Spatial(Loop(longest.name, LoopKind.OPC), share, side))
            size = share
    return Mapping(tuple(nodes))

"""Whether what a file says of how good a mapping is still holds: nothing it rests on has changed since."""

from __future__ import annotations

import hashlib

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.gconv import LinkOp, shape_of
from dialects.gemm_mapping import GemmAttr
from dialects.schedule import MappingAttr, SearchAttr
from passes.chain_views import extra_shapes
from passes.map_row_stationary import lookups_of, sparsity_of
from passes.mapper.problem import read_after

_DIGITS = 16


def checksum(link: LinkOp, mapping: MappingAttr | GemmAttr, search: SearchAttr, machine: Accelerator) -> str:
    """Hex digits that change with the machine, all that a search reads of a link, its mapping, or `search`."""
    read = (shape_of(link.input), read_after(link.spec, extra_shapes(link)), lookups_of(link))
    data = sparsity_of(link, machine) if isinstance(machine, Machine) else None
    parts = (
        machine.model_dump_json(exclude_none=True),
        *map(str, (link.nest, link.main, link.reduce, read, data, mapping, search)),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]

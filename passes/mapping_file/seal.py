"""Whether what a file says of how good a mapping is still holds: nothing it rests on has changed since."""

from __future__ import annotations

import hashlib

from dialects.accelerator import Accelerator
from dialects.gconv import LinkOp
from dialects.gemm_mapping import GemmAttr
from dialects.schedule import MappingAttr, SearchAttr
from passes.chain_views import extra_shapes
from passes.mapper.problem import read_after

_DIGITS = 16


def checksum(link: LinkOp, mapping: MappingAttr | GemmAttr, search: SearchAttr, machine: Accelerator) -> str:
    """Hex digits that change with the machine, a link's loops, its biases and residuals, its mapping, or `search`."""
    read = read_after(link.spec, extra_shapes(link))
    parts = (
        machine.model_dump_json(exclude_none=True),
        *map(str, (link.nest, link.main, link.reduce, read, mapping, search)),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]

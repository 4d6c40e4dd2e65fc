"""fold-pad: links that only pad become the padding of the links that read them."""

from __future__ import annotations

from dataclasses import replace as replaced

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation
from xdsl.passes import ModulePass

from dialects.element_types import numpy_dtype_of
from dialects.gconv import PASS, Dim, GConv, IndexedOp, LinkOp, Step, element_type_of_value, shape_of
from dialects.gconv.scalar import apply, scalar_of
from passes.rewriting import chain_blocks, replace


class FoldPadPass(ModulePass):
    """Turn links that only pad or crop into window padding of their readers.

    Such a link P copies its input, with positions added or left out at the ends of dimensions. A reader B reads P's
    input instead, its padding raised (or lowered, where P crops) by P's. That is right if

    - what P adds is the value that B, after its pre steps, reads outside of P; where B reads nothing outside, that
      value becomes B's padding value;
    - where P crops, B reads nothing outside of P on that side.

    All readers of P must be links for which this holds and read it as input, without a view between; else P stays.
    So does a P that reads at computed addresses for several readers: its words are looked up once.
    """

    name = "fold-pad"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        for block in chain_blocks(op, self.name):
            _fold_block(block)


def _fold_block(block: Block) -> None:
    # Backwards: in a row of padding links the later goes into its reader first, then the one before it.
    for link in reversed(list(block.ops)):
        if not isinstance(link, LinkOp) or not _only_pads(link):
            continue
        readers = [(use.operation, use.index) for use in link.result.uses]
        if isinstance(link.input.owner, IndexedOp) and len(readers) > 1:
            continue
        specs: list[tuple[LinkOp, GConv]] = []
        for reader, operand in readers:
            spec = _padded_reader(link, reader) if operand == 0 else None
            if spec is None or not isinstance(reader, LinkOp):
                break
            specs.append((reader, spec))
        if len(specs) == len(readers):
            for reader, spec in specs:
                _rebuild(link, reader, spec)


def _only_pads(link: LinkOp) -> bool:
    """Whether a link copies its input but for positions added or left out at the ends of dimensions."""
    spec = link.spec
    copies = spec.main == PASS and not (spec.pre or spec.mid or spec.post) and link.mapping is None
    same_type = element_type_of_value(link.input) == element_type_of_value(link.result)
    extents = zip(spec.dims, shape_of(link.input), strict=True)
    return copies and same_type and all(_copies(dim) and (dim.g == 1 or not _moves(dim, e)) for dim, e in extents)


def _copies(dim: Dim) -> bool:
    return dim.op == dim.ks == dim.up == 1 and (dim.stride == 1 or dim.opc == 1)


def _moves(dim: Dim, extent: int) -> bool:
    """Whether a dimension of a copying link has other positions in its result than in its input."""
    return dim.pad != 0 or dim.g * dim.opc != extent


def _padded_reader(link: LinkOp, reader: Operation) -> GConv | None:
    """The reader's general convolution on the padding link's input; None if there is none."""
    if not isinstance(reader, LinkOp) or reader.mapping is not None:
        return None
    pads, reads = link.spec, reader.spec
    added = _read_value(pads, reads.pre, link)
    dims: list[Dim] = []
    adds = reaches_out = False
    for pad, dim, extent in zip(pads.dims, reads.dims, shape_of(link.input), strict=True):
        low, high = dim.window
        last = (pad.output_extent // dim.g - 1) * dim.up
        reaches_out |= low < 0 or high > last or dim.up > 1
        if not _moves(pad, extent):
            dims.append(dim)
            continue
        before, after = pad.pad, pad.opc - extent - pad.pad
        if dim.g > 1 or (before < 0 and low < 0) or (after < 0 and high > last):
            return None
        adds |= before > 0 or after > 0
        dims.append(replaced(dim, pad=dim.pad + before * dim.up))
    if not adds:
        return replaced(reads, dims=tuple(dims))
    outside = float(scalar_of(reads.padding, numpy_dtype_of(element_type_of_value(link.input))))
    if reaches_out and added != outside:
        return None
    return replaced(reads, dims=tuple(dims), pad_value=reads.pad_value if added == outside else added)


def _read_value(pads: GConv, pre: tuple[Step, ...], link: LinkOp) -> float:
    """What a reader with `pre` steps makes of the padding value."""
    value = scalar_of(pads.padding, numpy_dtype_of(element_type_of_value(link.result))).reshape(1)
    for step in pre:
        value = apply(step.function, value, parameters=step.parameters)
    return float(np.asarray(value)[0])


def _rebuild(link: LinkOp, reader: LinkOp, spec: GConv) -> None:
    padded = LinkOp.of(
        spec,
        link.input,
        reader.kernel,
        list(reader.extras),
        tensor=reader.tensor.data if reader.tensor else None,
        element_type=element_type_of_value(reader.result),
    )
    replace(reader, [padded], padded.result, [link])

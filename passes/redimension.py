"""The same link over other dimensions: merged, split or dropped ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace as replaced

from xdsl.ir import Operation

from dialects.gconv import Dim, LinkOp, View, element_type_of_value, shape_of
from passes.chain_views import Source, source_of
from passes.computed_addresses import Lookup
from passes.elementwise import compact_in_shape, extra_in_result_shape
from passes.rewriting import replace


def redimension(
    link: LinkOp, dims: Sequence[Dim], input: Source | Lookup, sources: Iterable[Operation] = ()
) -> LinkOp | None:
    """Replace a link by one with `dims`, whose kernel, extra operands and result hold the same elements in order.

    `input` is what it reads, in the shape that `dims` want. Users see the result through a view in its old shape.
    Returns the new link; None, with nothing changed, if an operand would have to be copied.
    """
    spec = replaced(link.spec, dims=tuple(dims))
    kernel = None if link.kernel is None else source_of(link.kernel).reshape(spec.kernel_shape)
    shape = shape_of(link.result)
    extras = [compact_in_shape(extra_in_result_shape(extra, shape), spec.output_shape) for extra in link.extras]
    if (link.kernel is not None and kernel is None) or None in extras:
        return None
    made = [operand.materialise() for operand in (input, kernel, *extras) if operand is not None]
    views = [op for ops, _ in made for op in ops]
    values = [value for _, value in made]
    new = LinkOp.of(
        spec,
        values[0],
        None if kernel is None else values[1],
        values[1 if kernel is None else 2 :],
        tensor=link.tensor.data if link.tensor else None,
        element_type=element_type_of_value(link.result),
    )
    back, result = Source(new.result, View.dense(shape)).materialise()
    replace(link, [*views, new, *back], result, sources)
    return new


def distinctly_named(dims: Sequence[Dim]) -> list[Dim]:
    """The same dimensions with a number after every name that stood before."""
    taken: set[str] = set()
    named: list[Dim] = []
    for dim in dims:
        name, count = dim.name, 1
        while name in taken:
            count += 1
            name = f"{dim.name}{count}"
        taken.add(name)
        named.append(replaced(dim, name=name))
    return named

"""match-activations: products of a tensor with a function of itself become one function."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation
from xdsl.passes import ModulePass

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, LinkOp, Step, element_type_of_value, shape_of
from passes.chain_views import Source
from passes.elementwise import elementwise, unary_steps
from passes.rewriting import chain_blocks, replace

_SCALED_SIGMOID = ("affine", "sigmoid")
_PATTERNS: tuple[tuple[tuple[Step, ...], tuple[Step, ...]], ...] = (
    # f, then what x * f(x) is
    ((), (Step("square"),)),
    ((Step("sigmoid"),), (Step("swish", (1.0,)),)),
    ((Step("hard_sigmoid", (1 / 6, 0.5)),), (Step("hard_swish"),)),
    ((Step("affine", (1.0, 3.0)), Step("clip", (0.0, 6.0))), (Step("hard_swish"), Step("affine", (6.0, 0.0)))),
    ((Step("affine", (1.0, 3.0)), Step("clip", (0.0, 6.0)), Step("affine", (1 / 6, 0.0))), (Step("hard_swish"),)),
    ((Step("softplus"), Step("tanh")), (Step("mish"),)),
    *(
        ((scaled, Step("erf"), Step("affine", (1.0, 1.0))), (Step("gelu"), Step("affine", (2.0, 0.0))))
        for scaled in (Step("affine", (math.sqrt(0.5), 0.0)), Step("over", (math.sqrt(2),)))
    ),
)
_LONGEST = max(len(steps) for steps, _ in _PATTERNS)


class MatchActivationsPass(ModulePass):
    """Recognise swish, hard swish, mish, gelu and squares spelt as a product x * f(x) of several links.

    A link that multiplies x by f(x), where f is a row of unary links, becomes a link of one function that reads x
    once and can then be a step of the link that makes x. Parameters may differ from the function's own by a
    relative 1e-6. Run it before fuse-elementwise.
    """

    name = "match-activations"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-R003) for functions of several blocks."""
        for block in chain_blocks(op, self.name):
            _match_block(block)


@dataclass(frozen=True)
class _Row:
    """A row of unary links that ends in a factor: their steps, what they read, the links."""

    steps: tuple[Step, ...]
    source: Source
    links: tuple[Operation, ...] = ()


def _match_block(block: Block) -> None:
    for op in list(block.ops):
        if isinstance(op, LinkOp) and op.main.data == "mul" and op.mapping is None and not op.pre:
            _match_product(op)


def _match_product(link: LinkOp) -> None:
    kinds = {element_type_of_value(value) for value in (*link.operands, link.result)}
    form = elementwise(link)
    if form is None or form.kernel is None or len(kinds) > 1 or numpy_dtype_of(kinds.pop()).kind != "f":
        return
    for x, factor in ((form.input, form.kernel), (form.kernel, form.input)):
        for row in _rows(factor):
            function = _product_with(row.steps) if row.source == x else None
            if function is not None:
                _rewrite(link, x, function, row.links)
                return


def _rows(factor: Source) -> Iterator[_Row]:
    """The unary links before a factor, none of them first, then ever more."""
    row = _Row((), factor)
    while True:
        yield row
        owner = row.source.base.owner
        steps = unary_steps(owner) if isinstance(owner, LinkOp) else None
        form = elementwise(owner) if isinstance(owner, LinkOp) and steps is not None else None
        source = None if form is None else form.input.through(row.source.view)
        if source is None or steps is None or len(steps) + len(row.steps) > _LONGEST:
            return
        assert isinstance(owner, LinkOp)
        row = _Row((*steps, *row.steps), source, (owner, *row.links))


def _product_with(steps: tuple[Step, ...]) -> tuple[Step, ...] | None:
    """x * f(x) for the function f of `steps`."""
    for pattern, product in _PATTERNS:
        if len(pattern) == len(steps) and all(map(_is_close, pattern, steps)):
            return product
    if tuple(step.function for step in steps) == _SCALED_SIGMOID and steps[0].parameters[1] == 0:
        return (Step("swish", (steps[0].parameters[0],)),)
    return None


def _is_close(pattern: Step, step: Step) -> bool:
    return pattern.function == step.function and all(
        math.isclose(a, b, rel_tol=1e-6) for a, b in zip(pattern.parameters, step.parameters, strict=True)
    )


def _rewrite(link: LinkOp, x: Source, function: tuple[Step, ...], links: tuple[Operation, ...]) -> None:
    spec = link.spec
    dims = tuple(Dim(dim.name, opc=size) for dim, size in zip(spec.dims, shape_of(link.result), strict=True))
    views, value = x.materialise()
    new = LinkOp.of(
        GConv(dims, post=(*function, *spec.mid, *spec.post)),
        value,
        extras=list(link.extras),
        tensor=link.tensor.data if link.tensor else None,
    )
    replace(link, [*views, new], new.result, links)

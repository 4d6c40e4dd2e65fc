"""assign-host: what a convolution accelerator cannot do becomes work of the host core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from dialects.accelerator import Accelerator
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.gconv import Dim, GConv, LinkOp, Step, element_type_of_value, shape_of
from dialects.schedule import HostAttr
from dialects.target import require_machine
from passes.chain_views import is_constant
from passes.rewriting import chain_blocks, replace


class AssignHostPass(ModulePass):
    """Give every link but convolutions and matrix products to the host core (`#schedule.host`).

    This is how an accelerator without GCONV Chain is used. A convolution or matrix product multiplies, adds, and pads
    with zeros. Of its post steps it keeps the first ones that the target's `limits.output_path` names, with no operand
    but a constant of one word per output channel: a bias. What follows becomes a link of the host's behind it, and its
    pre steps one before it. Links that carry a mapping stay as they are.

    Run it after the rewrites of the chain: both ways of using the accelerator start from the same links.
    """

    name = "assign-host"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function. Raises `CatenaError` (CAT-U006) if the target has no host core."""
        machine = require_machine(op, "mapped")
        require_host(machine)
        for block in chain_blocks(op, self.name):
            for link in list(block.ops):
                if isinstance(link, LinkOp) and link.mapping is None:
                    _assign(link, machine)


def require_host(machine: Accelerator, stage: str = "mapped", node: str = "") -> None:
    """Check that a machine has a host core. Raises `CatenaError` (CAT-U006) if not."""
    if machine.host is None:
        raise CatenaError(
            Diagnostic(
                "CAT-U006",
                f"nothing can leave the accelerator: target {machine.name} has no host",
                stage,
                node,
                hint="describe one in the table [host] of the target",
            )
        )


def is_convolution(spec: GConv) -> bool:
    """Whether an accelerator for convolutions computes what a link does between its pre and post steps."""
    return spec.is_multiply_accumulate and not spec.mid and spec.padding == 0


def _assign(link: LinkOp, machine: Accelerator) -> None:
    spec = link.spec
    if not is_convolution(spec):
        link.properties["mapping"] = HostAttr()
        return
    kept = _kept_steps(link, machine.limits.output_path)
    if not spec.pre and kept == len(spec.post):
        return
    before = [_elementwise(spec.pre, link.input, (), element_type_of_value(link.input))] if spec.pre else []
    steps, extras = _of_steps(spec.post[:kept], link.extras)
    rest, others = _of_steps(spec.post[kept:], link.extras)
    result_type = element_type_of_value(link.result)
    tensor = link.tensor.data if link.tensor else None
    kept_spec = replaced(spec, pre=(), post=steps)
    # Between the two parts lies what flows there, sums of integers unrounded; the last part makes the result's type.
    flowing = element_type_of(kept_spec.flow(numpy_dtype_of(element_type_of_value(link.input)).name))
    conv = LinkOp.of(
        kept_spec,
        before[0].result if before else link.input,
        link.kernel,
        extras,
        tensor=None if rest else tensor,
        element_type=flowing if rest else result_type,
    )
    after = [_elementwise(rest, conv.result, others, result_type, tensor)] if rest else []
    made = [*before, conv, *after]
    replace(link, made, made[-1].result)


def _kept_steps(link: LinkOp, output_path: Sequence[str]) -> int:
    """How many post steps of a convolution the chip's output path does."""
    dims = link.nest.data
    for index, step in enumerate(link.spec.post):
        is_known = step.function in output_path
        if not is_known or (step.operand is not None and not _is_bias(link.extras[step.operand], dims)):
            return index
    return len(link.spec.post)


def _is_bias(operand: SSAValue, dims: Sequence[Dim]) -> bool:
    """Whether an operand is a constant that is the same for all positions that share a kernel."""
    extents = shape_of(operand)
    return is_constant(operand) and all(n == 1 or dim.opc == 1 for n, dim in zip(extents, dims, strict=True))


def _of_steps(steps: Sequence[Step], operands: Sequence[SSAValue]) -> tuple[tuple[Step, ...], list[SSAValue]]:
    """Steps with the operands that they read, numbered anew."""
    used = [step.operand for step in steps if step.operand is not None]
    order = {operand: index for index, operand in enumerate(dict.fromkeys(used))}
    renumbered = (step if step.operand is None else replaced(step, operand=order[step.operand]) for step in steps)
    return tuple(renumbered), [operands[operand] for operand in order]


def _elementwise(
    steps: Sequence[Step],
    input: SSAValue,
    extras: Sequence[SSAValue],
    element_type: Attribute,
    tensor: str | None = None,
) -> LinkOp:
    """A link of the host's that does nothing but steps."""
    dims = tuple(Dim(f"d{axis}", opc=extent) for axis, extent in enumerate(shape_of(input)))
    spec = GConv(dims, post=tuple(steps))
    return LinkOp.of(spec, input, None, extras, tensor=tensor, element_type=element_type, mapping=HostAttr())

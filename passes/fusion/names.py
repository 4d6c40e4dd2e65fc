"""What the tensors of a fused group are called.

The result of a link bears the name that mapping files give the link: its ONNX tensor, else its node. Arguments of the
function have their ONNX names. A constant is called after the link that reads it first: `conv1.K` is its kernel,
`conv1.P0` the first operand of its post steps, `conv1.I` its input. Where two names are alike, `#2`, `#3` ... is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from xdsl.dialects.builtin import StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import argument_names
from dialects.locations import node_names
from dialects.weights import ConstantOp
from passes.chain_views import source_of
from passes.fusion.group import Role


def chain_names(function: FuncOp) -> dict[SSAValue, str]:
    """The names of what a function's arguments, links and groups hold; those of links differ from one another."""
    # most chains have no groups, and no mapping file
    from passes.mapping_file.names import primary_names

    links = [op for op in function.walk() if isinstance(op, LinkOp)]
    names: dict[SSAValue, str] = dict(zip(function.args, argument_names(function), strict=True))
    names |= {link.result: name for link, name in zip(links, primary_names(links), strict=True)}
    for op in function.body.block.ops:
        if isinstance(op, FusedOp):
            made = op.names
            names |= made
            names |= {result: made[value] for result, value in zip(op.made, op.yielded, strict=True)}
    return names


def group_names(links: Sequence[LinkOp], known: Mapping[SSAValue, str]) -> dict[SSAValue, str]:
    """The names of all tensors of a group of links, none twice; first what links make, then what they read, in order.

    `known` are the `chain_names`.
    """
    names: dict[SSAValue, str] = {link.result: known[link.result] for link in links}
    taken = set(names.values())
    for link in links:
        for role, value in operands_of(link):
            base = source_of(value).base
            if base in names:
                continue
            wanted = name = _outside_name(base, f"{names[link.result]}.{role}", known)
            count = 1
            while name in taken:
                count += 1
                name = f"{wanted}#{count}"
            taken.add(name)
            names[base] = name
    return names


def operands_of(link: LinkOp) -> Iterator[tuple[str, SSAValue]]:
    """The operands of a link and what they are to it: `I`, `K`, `P0`, `P1` ..."""
    yield Role.INPUT, link.input
    if link.kernel is not None:
        yield Role.KERNEL, link.kernel
    for index, extra in enumerate(link.extras):
        yield f"{Role.POST}{index}", extra


def _outside_name(value: SSAValue, otherwise: str, known: Mapping[SSAValue, str]) -> str:
    """The name of a tensor that no link of the group makes."""
    owner = value.owner
    if value in known or not isinstance(owner, Operation) or isinstance(owner, ConstantOp):
        return known.get(value, otherwise)
    tensor = owner.properties.get("tensor")
    if isinstance(tensor, StringAttr):
        return tensor.data
    return next(iter(node_names(owner.location)), otherwise)

"""A fused group: links that take turns on tiles, so that what they hand on need not leave the chip.

    %y = gconv.fused %x, %k1, %k2 reads ["x", "conv1.K", "conv2.K"] makes ["conv1", "conv2"]
         {mapping = #schedule.fused<store glb ["conv1.K", "conv2.K"], for H.opc 4, store glb ["x", "conv1", "conv2"],
                                    sequential {}>}
         : tensor<...>, tensor<...>, tensor<...> -> tensor<...> {
    ^bb0(%0: tensor<...>, %1: tensor<...>, %2: tensor<...>):
      %a = gconv.link %0 : tensor<...> by %1 : tensor<...> ...
      %b = gconv.link %a : tensor<...> by %2 : tensor<...> ...
      gconv.yield %b : tensor<...>
    }

The region is isolated: what its links read from outside are operands of the op and arguments of its block, so that
every analysis of a chain that looks at operands and uses sees what a group needs without looking into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from xdsl.dialects.builtin import ArrayAttr, StringAttr, TensorType, UnitAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import IsolatedFromAbove, IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping, quoted
from dialects.fused_rules import GroupNames, mapping_problems
from dialects.gconv.ops import LinkOp, ViewOp
from dialects.schedule import SearchAttr


@irdl_op_definition
class YieldOp(IRDLOperation):
    """The results of a fused group: the head's, then those of other links that are wanted outside as well."""

    name = "gconv.yield"

    values = var_operand_def(TensorType)

    traits = traits_def(IsTerminator(), Pure())

    assembly_format = "attr-dict $values `:` type($values)"


@irdl_op_definition
class FusedOp(IRDLOperation):
    """Links with one head, the link whose result no other of them reads, and the views between them.

    `reads` names what the group reads, `makes` its links in their order; a link's result bears the link's name. So
    every tensor of the group has a name, and no other has the same. `mapping` is a `#schedule.fused`: it says what the
    links do, which have no mappings of their own. `search` says how good a mapping is that was searched for. A mapping
    file asked for a group that is `pinned`: nobody takes it apart.
    """

    name = "gconv.fused"

    inputs = var_operand_def(TensorType)
    reads = prop_def(ArrayAttr[StringAttr])
    makes = prop_def(ArrayAttr[StringAttr])
    mapping = opt_prop_def(Attribute)
    search = opt_prop_def(Attribute)
    pinned = opt_prop_def(UnitAttr)
    made = var_result_def(TensorType)
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(Pure(), IsolatedFromAbove())

    assembly_format = "$inputs `reads` $reads `makes` $makes attr-dict `:` type($inputs) `->` type($made) $body"

    @classmethod
    def of(
        cls,
        inputs: Sequence[SSAValue],
        reads: Sequence[str],
        makes: Sequence[str],
        body: Block,
        mapping: FusedMapping | None = None,
    ) -> FusedOp:
        """A group of the ops of a block, which ends in `gconv.yield` and whose arguments stand for `inputs`."""
        last = body.last_op
        assert isinstance(last, YieldOp)
        return cls(
            operands=[list(inputs)],
            result_types=[[value.type for value in last.values]],
            properties={
                "reads": ArrayAttr(StringAttr(name) for name in reads),
                "makes": ArrayAttr(StringAttr(name) for name in makes),
                "mapping": None if mapping is None else FusedAttr.of(mapping),
            },
            regions=[Region(body)],
        )

    @property
    def links(self) -> list[LinkOp]:
        """The links of the group, in their order."""
        return [op for op in self.body.block.ops if isinstance(op, LinkOp)]

    @property
    def link_names(self) -> list[str]:
        """The names of the links, and of their results."""
        return [name.data for name in self.makes]

    @property
    def read_names(self) -> list[str]:
        """The names of what the group reads."""
        return [name.data for name in self.reads]

    @property
    def names(self) -> dict[SSAValue, str]:
        """The name of every tensor: of arguments of the block and results of links."""
        arguments = zip(self.body.block.args, self.read_names, strict=True)
        return dict(chain(arguments, zip((link.result for link in self.links), self.link_names, strict=True)))

    @property
    def yielded(self) -> tuple[SSAValue, ...]:
        """What the group makes for the outside: the results of links."""
        last = self.body.block.last_op
        assert isinstance(last, YieldOp)
        return tuple(last.values)

    @property
    def head(self) -> LinkOp:
        """The link whose result no other link reads."""
        owner = self.yielded[0].owner
        assert isinstance(owner, LinkOp)
        return owner

    @property
    def named(self) -> GroupNames:
        """What a mapping names of the group; a link and its result bear the same name."""
        dims = {name: tuple(link.nest.data) for name, link in zip(self.link_names, self.links, strict=True)}
        return GroupNames(dims, {name: name for name in dims}, tuple(self.read_names), head_name(self))

    def verify_(self) -> None:
        _verify_body(self)
        _verify_names(self)
        _verify_results(self)
        if self.mapping is not None:
            if not isinstance(self.mapping, FusedAttr):
                raise VerifyException(f"the mapping of a group is #schedule.fused, found {self.mapping}")
            for problem in mapping_problems(self.named, self.mapping.data):
                raise VerifyException(problem.message)
        if self.search is not None and not isinstance(self.search, SearchAttr):
            raise VerifyException(f"what is known of a search is #schedule.search, found {self.search}")


def head_name(group: FusedOp) -> str:
    """The name of the head and of its result."""
    return group.link_names[group.links.index(group.head)]


def _verify_body(group: FusedOp) -> None:
    block = group.body.block
    if not isinstance(block.last_op, YieldOp):
        raise VerifyException("a group ends in gconv.yield")
    for op in block.ops:
        if isinstance(op, LinkOp):
            if op.mapping is not None or op.search is not None:
                raise VerifyException("a link of a group has no mapping of its own: it stands in that of the group")
        elif not isinstance(op, ViewOp) and op is not block.last_op:
            raise VerifyException(f"a group is made of links and views, found {op.name}")
    if [value.type for value in group.inputs] != [value.type for value in block.args]:
        raise VerifyException("the operands have other types than the arguments of the block")
    for argument, name in zip(block.args, group.reads, strict=False):
        if argument.first_use is None:
            raise VerifyException(f"nothing in the group reads {quoted(name.data)}")


def has_groups(function: FuncOp) -> bool:
    """Whether links of a function are fused to groups: what only groups need is loaded where there are any."""
    return any(isinstance(op, FusedOp) for op in function.body.ops)


def _verify_names(group: FusedOp) -> None:
    for what, names, count in (
        ("operands", group.read_names, len(group.inputs)),
        ("links", group.link_names, len(group.links)),
    ):
        if len(names) != count:
            raise VerifyException(f"{len(names)} names for {count} {what}")
    names = [*group.read_names, *group.link_names]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise VerifyException(f"two tensors of the group are called {quoted(name)}")


def _verify_results(group: FusedOp) -> None:
    yielded = group.yielded
    heads = [link for link in group.links if not any(_links_that_read(link.result))]
    if len(heads) != 1:
        names = dict(zip(group.links, group.link_names, strict=True))
        found = ", ".join(quoted(names[head]) for head in heads) or "none"
        raise VerifyException(f"a group has one head, a link whose result no other of its links reads; found {found}")
    if not yielded or yielded[0] is not heads[0].result:
        raise VerifyException("the first result of a group is that of its head")
    if len(set(yielded)) < len(yielded) or not all(isinstance(value.owner, LinkOp) for value in yielded):
        raise VerifyException("the results of a group are results of its links, each once")
    if [value.type for value in yielded] != [value.type for value in group.made]:
        raise VerifyException("the results have other types than what the group yields")


def _links_that_read(value: SSAValue) -> Iterator[Operation]:
    """The links that read a value, directly or through views."""
    for use in value.uses:
        if isinstance(use.operation, ViewOp):
            yield from _links_that_read(use.operation.result)
        elif isinstance(use.operation, LinkOp):
            yield use.operation

"""The mapping of a fused group as IR, in the spirit of LoopTree's tree.

    #schedule.fused<store glb ["conv1.K", "conv2.K"], for H.opc 4, store glb ["x", anew "conv1"], for W.opc 4,
                    store glb ["conv2"], sequential {"conv1": <for C.op 4>, "conv2": <for C.op 8>}>

* `for D.k T` cuts a loop of the head, the last link of the group: all links take turns within one turn of it.
* `store M ["a", "b"]` between these loops is where tensors of the group lie in memory `M`: what the loops below need of
  them stays there, and of what the next turn of the loops above needs as well. `anew "b"` says that nothing stays for
  the next turn: it is fetched again, or computed again where a link of the group makes it. `stay "b"`, outside of all
  loops, says that all of it is there when the group begins, or stays when it ends: another group makes it, or reads it.
* `sequential {...}` or `pipeline {...}` says how links take turns, and within a turn what each does, as the nodes of a
  `#schedule.mapping`, or all that a `#schedule.gemm` says. A `store` in these braces is within the links that use a
  tensor, theirs for their own turn. Where a link stores such a tensor there below loops of its own mapping, it brings
  it in pieces.
* On cores what a link does is an attribute, `#multicore.crossbars` or `#multicore.vector`. Links of such a pipeline go
  row by row, each at its own pace: the one loop says how many rows, of its own, a link may be ahead of those that read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from xdsl.ir import Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from dialects.fused_mapping import Branch, FusedMapping, Retention, Stages, quoted
from dialects.fused_rules import contradictions
from dialects.gemm_mapping import GemmMapping, parse_nest, verify_nest
from dialects.multicore_mapping import CrossbarMapping, CrossbarsAttr, VectorAttr, VectorMapping
from dialects.schedule import Mapping, Temporal, parse_temporal, verify_tile

ANEW = "anew"
"""The mark of a tensor of which nothing stays for the next turn."""
STAY = "stay"
"""The mark of a tensor that is on the chip from one group to another."""


@irdl_attr_definition
class FusedAttr(Data[FusedMapping]):
    """The mapping of a group of links: loops around them, where tensors lie, and what each link does in a turn."""

    name = "schedule.fused"

    @staticmethod
    def of(mapping: FusedMapping) -> FusedAttr:
        """A mapping as IR: retentions in the order in which they are written."""
        return FusedAttr(mapping.in_order)

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> FusedMapping:
        loops: list[Temporal] = []
        retentions: list[Retention] = []
        expected = ": for, store, sequential or pipeline"
        with parser.in_angle_brackets():
            while (keyword := parser.parse_identifier(expected)) not in tuple(Stages):
                if keyword == "for":
                    loops.append(parse_temporal(parser))
                elif keyword == "store":
                    retentions += _parse_store(parser, len(loops))
                else:
                    parser.raise_error(f"expected for, store, sequential or pipeline, found {keyword!r}")
                parser.parse_punctuation(",")
            within, branches = _parse_branches(parser)
        return FusedMapping(tuple(loops), (*retentions, *within), Stages(keyword), branches)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join([*statements(self.data), _stages(self.data)]))

    def verify(self) -> None:
        mapping = self.data
        for loop in mapping.loops:
            verify_tile(loop)
        for problem in contradictions(mapping):
            raise VerifyException(problem.message)
        for each in mapping.retentions:
            if each.level is None and not each.reuse:
                raise VerifyException(f"{quoted(each.tensor)}: within links, everything is fetched anew")
        levels = [len(mapping.loops) + 1 if each.level is None else each.level for each in mapping.retentions]
        if levels != sorted(levels):
            raise VerifyException("tensors stand in the order of their levels")
        for _, branch in mapping.branches:
            if isinstance(branch, Mapping | GemmMapping):
                verify_nest(branch)
            else:
                on_cores(branch)


def statements(mapping: FusedMapping) -> Iterator[str]:
    """The loops around the links and the places of tensors between them, outermost first."""
    for level in range(len(mapping.loops) + 1):
        if level:
            yield str(mapping.loops[level - 1])
        yield from stores(mapping, level)


def stores(mapping: FusedMapping, level: int | None) -> Iterator[str]:
    """The places of tensors below so many loops, or within links."""
    here = (each for each in mapping.retentions if each.level == level)
    for memory, tensors in groupby(here, lambda each: each.memory):
        yield f"store {memory} [{', '.join(map(_marked, tensors))}]"


def _marked(retention: Retention) -> str:
    mark = f"{STAY} " if retention.resident else "" if retention.reuse else f"{ANEW} "
    return mark + quoted(retention.tensor)


def _stages(mapping: FusedMapping) -> str:
    branches = (f"{quoted(link)}: {branch_text(branch)}" for link, branch in mapping.branches)
    return f"{mapping.stages} {{{', '.join([*stores(mapping, None), *branches])}}}"


def branch_text(branch: Branch) -> str:
    """What a link does, as IR text."""
    return f"<{branch}>" if isinstance(branch, Mapping | GemmMapping) else str(on_cores(branch))


def on_cores(branch: CrossbarMapping | VectorMapping) -> CrossbarsAttr | VectorAttr:
    """How a link is laid over cores as the mapping of the link. Raises `VerifyException` if that says nothing sound."""
    return CrossbarsAttr(branch) if isinstance(branch, CrossbarMapping) else VectorAttr(branch)


def _parse_branch(parser: AttrParser) -> Branch:
    attribute = parser.parse_optional_attribute()
    if attribute is None:
        return parse_nest(parser)
    if not isinstance(attribute, CrossbarsAttr | VectorAttr):
        parser.raise_error(f"expected nodes of a nest, or how a link is laid over cores, found {attribute}")
    return attribute.data


def _parse_store(parser: AttrParser, level: int | None) -> list[Retention]:
    memory = parser.parse_identifier(": memory name")

    def tensor() -> Retention:
        anew = parser.parse_optional_keyword(ANEW) is not None
        resident = not anew and parser.parse_optional_keyword(STAY) is not None
        return Retention(parser.parse_str_literal(": tensor name"), memory, level, not anew, resident)

    return list(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, tensor))


def _parse_branches(parser: AttrParser) -> tuple[list[Retention], tuple[tuple[str, Branch], ...]]:
    """What stands in the braces: places within links, and what each link does."""
    retentions: list[Retention] = []
    branches: list[tuple[str, Branch]] = []

    def item() -> None:
        if parser.parse_optional_keyword("store") is not None:
            retentions.extend(_parse_store(parser, None))
            return
        link = parser.parse_str_literal(": store or link name")
        parser.parse_punctuation(":")
        branches.append((link, _parse_branch(parser)))

    parser.parse_comma_separated_list(parser.Delimiter.BRACES, item)
    return retentions, tuple(branches)

"""Groups made of links: the same results, sound IR, and back again; what is no group is refused and left as it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from compiler.stages import stage_named
from dialects.diagnostics import CatenaError
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.target import MachineOp
from passes.fusion.grouping import group_links, group_problems, inline
from passes.verification import verify_module
from tests.examples import examples
from tests.filechecking import check_ir, parse_module, print_module, run_passes
from tests.passes.chains import check_pass, links_of, random_chains
from tests.passes.fusion.random_links import random_links
from tests.passes.mapping.machines import EYERISS


class GroupSome(ModulePass):
    """Groups given links."""

    name = "group-some"

    def __init__(self, links: list[LinkOp]):
        self.links = links

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        group_links(self.links)


class DissolveAll(ModulePass):
    """Dissolves every group."""

    name = "dissolve-all"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for group in groups_of(op):
            inline(group)


def groups_of(module: ModuleOp) -> list[FusedOp]:
    return [op for op in module.walk() if isinstance(op, FusedOp)]


@settings(max_examples=examples(150), derandomize=True, deadline=None)
@given(random_chains(), st.data())
def test_groups_compute_what_their_links_do(module: ModuleOp, data: st.DataObject) -> None:
    links = random_links(data, module)
    if not links:
        return
    before = print_module(module)
    try:
        check_pass(module, [GroupSome(links)])
    except CatenaError:
        assert print_module(module) == before
        return
    (group,) = groups_of(module)
    assert set(group.links) == set(links)
    check_pass(module, [DissolveAll()])
    assert not groups_of(module)
    assert set(links) <= set(links_of(module))


def test_most_random_links_make_a_group() -> None:
    grouped: list[int] = []

    @settings(max_examples=100, derandomize=True, deadline=None)
    @given(random_chains(), st.data())
    def count(module: ModuleOp, data: st.DataObject) -> None:
        links = random_links(data, module)
        if len(links) > 1 and not group_problems(links):
            grouped.append(len(group_links(links).links))

    count()
    assert len(grouped) > 20


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(random_chains(), st.data())
def test_rewrites_of_the_chain_go_around_groups(module: ModuleOp, data: st.DataObject) -> None:
    links = random_links(data, module)
    if links and not group_problems(links):
        group_links(links)
        check_pass(module, ",".join(stage_named("fused").passes), 1e-12)
        assert len(groups_of(module)) == 1


def test_words_within_a_group_are_legalized() -> None:
    module = parse_module(DIAMOND, [np.zeros((6, 4))])
    GroupNamed("first", "second").apply(Context(), module)
    module.body.block.add_op(MachineOp.of(EYERISS))
    run_passes(module, "legalize-words")
    verify_module(module)
    assert "xf64" not in print_module(module)


DIAMOND = """
func.func @main(%x: tensor<4x6xf64> {onnx.name = "x"}) -> (tensor<6x4xf64>, tensor<4x6xf64>) {
  %a = gconv.link %x : tensor<4x6xf64> <H opc 4, W opc 6> "pass" none post <relu> {tensor = "a"} -> tensor<4x6xf64>
    loc("first")
  %other = gconv.link %a : tensor<4x6xf64> <H opc 4, W opc 6> "pass" none post <neg> {tensor = "other"}
    -> tensor<4x6xf64> loc("other")
  %k = weights.constant <"512512f62194420532c931bb8ab97b18a078308ddef719c7edecdf4bcee7fe7b"> : tensor<6x4xf64>
    loc("k")
  %turned = gconv.view %a <[1, 6]> : tensor<4x6xf64> -> tensor<6x4xf64> loc("turn")
  %b = gconv.link %turned : tensor<6x4xf64> by %k : tensor<6x4xf64> <W g 6, H g 4> "mul" none -> tensor<6x4xf64>
    loc("second")
  func.return %b, %other : tensor<6x4xf64>, tensor<4x6xf64>
}
"""


class GroupNamed(ModulePass):
    """Groups the links of given nodes."""

    name = "group-named"

    def __init__(self, *nodes: str):
        self.nodes = nodes

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        group_links([link for link in links_of(op) if any(f'"{node}"' in str(link.location) for node in self.nodes)])


def test_what_depends_on_a_group_goes_behind_it() -> None:
    check_ir(
        DIAMOND,
        [GroupNamed("first", "second")],
        """
// CHECK: %k = weights.constant
// CHECK-NEXT: %b, %a = gconv.fused %x, %k reads ["x", "second.K"] makes ["a", "second"] : {{.*}} {
// CHECK-NEXT: ^bb0(%0: tensor<4x6xf64>, %1: tensor<6x4xf64>):
// CHECK-NEXT:   %a{{.*}} = gconv.link %0
// CHECK-NEXT:   %{{.*}} = gconv.view %a{{.*}} <[1, 6]>
// CHECK-NEXT:   %b{{.*}} = gconv.link
// CHECK-NEXT:   gconv.yield %b{{.*}}, %a{{.*}} : tensor<6x4xf64>, tensor<4x6xf64>
// CHECK-NEXT: }
// CHECK-NEXT: %other = gconv.link %a
// CHECK-NEXT: func.return %b, %other
""",
    )


def refused(text: str, *nodes: str) -> Iterator[tuple[str, str]]:
    module = parse_module(text)
    before = print_module(module)
    with pytest.raises(CatenaError) as caught:
        GroupNamed(*nodes).apply(Context(), module)
    assert print_module(module) == before
    return ((each.node, each.message) for each in caught.value.diagnostics)


def test_links_with_others_between_them_are_no_group() -> None:
    between = DIAMOND.replace("%turned = gconv.view %a", "%turned = gconv.view %other")
    assert list(refused(between, "first", "second")) == [
        ("other", "a link lies between links of the group: it reads one and makes what another reads")
    ]


def test_a_group_has_one_head() -> None:
    assert list(refused(DIAMOND, "other", "second")) == [
        ("other", "a group has one head, a link whose result no other of its links reads")
    ]


def test_a_link_with_a_mapping_joins_no_group() -> None:
    mapped = DIAMOND.replace('{tensor = "a"}', '{tensor = "a", mapping = #schedule.host}')
    assert list(refused(mapped, "first", "second")) == [("first", "a link of a group has no mapping of its own")]


SEGMENT = """
func.func @main(%x: tensor<4xf64> {onnx.name = "x"}, %s: tensor<4xf64> {onnx.name = "s", onnx.host})
    -> (tensor<4xf64> {onnx.name = "m", onnx.host}, tensor<4xf64> {onnx.name = "c"}, tensor<4xf64> {onnx.name = "d"}) {
  %a = gconv.link %x : tensor<4xf64> <C opc 4> "pass" none post <relu> {tensor = "a"} -> tensor<4xf64> loc("a")
  %m = gconv.link %a : tensor<4xf64> <C opc 4> "pass" none post <neg> {tensor = "m"} -> tensor<4xf64> loc("m")
  host.segment 0 holds <"512512f62194420532c931bb8ab97b18a078308ddef719c7edecdf4bcee7fe7b"> reads ["m"] makes ["s"]
    loc("host")
  %c = gconv.link %a : tensor<4xf64> <C opc 4> "pass" none post <abs> {tensor = "c"} -> tensor<4xf64> loc("c")
  %d = gconv.link %c : tensor<4xf64> with %s : tensor<4xf64> <C opc 4> "pass" none post <add[0]> -> tensor<4xf64>
    loc("d")
  func.return %m, %c, %d : tensor<4xf64>, tensor<4xf64>, tensor<4xf64>
}
"""


def test_host_segments_depend_on_groups_by_their_ports() -> None:
    check_ir(
        SEGMENT,
        [GroupNamed("a", "c")],
        """
// CHECK: gconv.fused %x
// CHECK: %m = gconv.link
// CHECK-NEXT: host.segment
// CHECK-NEXT: %d = gconv.link
""",
    )
    assert list(refused(SEGMENT, "a", "c", "d")) == [
        ("host", "host.segment lies between links of the group: it reads one and makes what another reads")
    ]

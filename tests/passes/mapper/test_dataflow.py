"""The notation of dataflows: what it says, and what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from dialects.soundness import parse_hierarchy
from passes.mapper.counts import Counts
from passes.mapper.dataflow import parse_dataflow
from passes.mapper.nest import For, Par, Store, mapping_of, nest_of
from passes.mapper.notation import Expression, OpenNode, parse_expression, parse_nodes
from passes.mapping.roles import roles_in_nest

CONV = GConv((Dim("C", op=6, ks=4), Dim("H", opc=5, ks=3, stride=2)), main="mul", reduce=Reduce.ADD)
LARGE = GConv((Dim("C", op=4000, ks=4),), main="mul", reduce=Reduce.ADD)


def machine(nest: str, reserve: str = "0") -> Hierarchy:
    levels = {
        "dram": {"kind": "memory"},
        "glb": {"kind": "memory", "words": 100, "reserve": reserve},
        "pe": {"kind": "axis", "size": 8},
        "rf": {"kind": "memory"},
    }
    return parse_hierarchy({"name": "m", "summary": "", "levels": levels, "dataflow": {"nest": nest}})


def test_tiles_are_products_of_parameters() -> None:
    text = "for filters m*p, store glb [I, O] | for filters p, par filters 1 on pe, store rf [K], for rows_out 1"
    hierarchy = machine(text, "p * stride * (rows_kernel - 1)")
    flow = parse_dataflow(hierarchy).on(CONV, roles_in_nest(CONV))
    assert (flow.flow.inner, flow.flow.outer) == (("p",), ("m",))
    assert flow.flow.laid == {"p"}
    assert flow.flow.factors_of("m") == {"p"}
    filters = flow.nest.nodes[0]
    assert isinstance(filters, For)
    rest = (For(filters.loop), Par(filters.loop, "pe"), Store("rf", Operand.KERNEL))
    assert flow.nest.nodes[:3] == (filters, Store("glb", Operand.INPUT), Store("glb", Operand.OUTPUT))
    assert flow.nest.nodes[3:6] == rest
    columns = {"p": np.array([1, 2]), "m": np.array([3, 2])}
    assert flow.tiles(columns, 2)[0].tolist() == [3, 4]
    assert [each.tolist() for each in flow.reserved("glb", columns)] == [[4, 8], [4, 8]]


def test_a_candidate_is_a_mapping_and_back() -> None:
    hierarchy = machine("for filters m*p, store glb [I, O] | for filters p, par filters 1 on pe, store rf [K]")
    flow = parse_dataflow(hierarchy).on(CONV, roles_in_nest(CONV))
    tiles = flow.tiles({"p": np.array([2]), "m": np.array([2])}, 1)
    mapping = mapping_of(flow.problem, flow.nest, tiles, 0)
    assert str(mapping) == ("for C.op 4, store glb [I, O], for C.op 2, par C.op 1 on pe, store rf [K]")
    again, columns = nest_of(flow.problem, mapping)
    here = Counts(flow.problem, hierarchy, flow.nest, tiles).events
    there = Counts(flow.problem, hierarchy, again, columns).events
    assert {k: v.tolist() for k, v in here.items()} == {k: v.tolist() for k, v in there.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("for filters", "cannot read this"),
        ("for filters m, store glb [X]", "cannot read this"),
        ("for filters m | | store rf [K]", "cannot read this"),
        ("for filter m", "there is no part 'filter'"),
        ("store gbl [K]", "there is no memory 'gbl'"),
        ("par filters 1 on pes", "there is no axis 'pes'"),
        ("for filters channels*p", "channels is a size of the layer"),
        ("for rows_out stride*p", "stride is a size of the layer"),
        ("for filters p+9223372036854775807", "cannot read this"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(CatenaError) as caught:
        parse_dataflow(machine(text))
    assert message in str(caught.value)
    assert {each.code for each in caught.value.diagnostics} == {"CAT-C003"}


def test_unknown_names_in_a_reserve_are_found_all_at_once() -> None:
    with pytest.raises(CatenaError) as caught:
        parse_dataflow(machine("for filter m", "z + y"))
    assert len(caught.value.diagnostics) == 3


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("for a m, for b\n p q", "line 2 of the text", "character 4: q"),
        ("for a m, par b p onpe", "line 1 of the text", "character 18: onpe"),
        ("forfilters m", "line 1 of the text", "character 1: forfilters m"),
        ("for a (m + p, for b q", "line 1 of the text", "character 13: , for b q"),
        ("for a m,\n store rf [K, \n", "line 2 of the text", "character 14: the end"),
        ("for a m)", "line 1 of the text", "character 8: )"),
        (" ", "line 1 of the text", "character 1: the end"),
    ],
)
def test_where_a_text_cannot_be_read_is_said(text: str, place: str, found: str) -> None:
    with pytest.raises(CatenaError) as caught:
        parse_nodes(text, "here")
    (diagnostic,) = caught.value.diagnostics
    assert (str(diagnostic.where), diagnostic.found) == (place, found)


def test_nodes_say_their_lines_and_names_may_be_words_of_the_notation() -> None:
    left, right = parse_nodes("for on on,\npar for (on)*\tstore on par |\r\n store\n on [K,I]", "here")
    assert left == (
        OpenNode("for", "on", Expression(((1, ("on",)),))),
        OpenNode("par", "for", Expression(((1, ("on", "store")),)), "par"),
    )
    assert right == (OpenNode("store", memory="on", operands=(Operand.KERNEL, Operand.INPUT)),)
    assert [node.line for node in (*left, *right)] == [1, 2, 4]
    assert parse_nodes("for a m |", "here")[1] == ()


def test_expressions() -> None:
    assert parse_expression("(a + 2) * b - 3", "here")({"a": 4, "b": 5}) == 27
    assert parse_expression("7 - (a - (b - 2)) * (3 + a) - b", "here")({"a": 4, "b": 5}) == 7 - (4 - 3) * 7 - 5
    assert parse_expression(f"{'(' * 20_000}a{')' * 20_000}", "here")({"a": 4}) == 4


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        ("a * b - b", 0, None),
        ("(a - 1) * (b - 1)", 0, None),
        ("0 - 500 * a", None, -500),
        ("10 - a * a", None, 9),
        ("a - b", None, None),
        ("a * b - a - b", -1, None),
    ],
)
def test_what_an_expression_is_whatever_its_parameters(text: str, least: int | None, most: int | None) -> None:
    assert parse_expression(text, "here").ever == (least, most)


def test_bounds_of_an_expression_with_open_names_hold_and_are_reached() -> None:
    expression = parse_expression("a * b - 3 * b + a * a - 2 * c", "here")
    a, reach = np.array([1, 2, 5]), {"b": 4, "c": 3}
    least, most = expression.bounds({"a": a}, reach)
    values = np.array([expression({"a": a, "b": b, "c": c}) for b in range(1, 5) for c in range(1, 4)])
    assert (least.tolist(), most.tolist()) == (values.min(0).tolist(), values.max(0).tolist())


@pytest.mark.parametrize("text", ["*".join(["(a + b)"] * 40), "*".join(["a"] * 13), "*".join(["999999999"] * 3)])
def test_expressions_that_explode_are_refused(text: str) -> None:
    with pytest.raises(CatenaError) as caught:
        parse_expression(text, "here")
    assert caught.value.diagnostics[0].message == "here: an expression is too large"


def test_tiles_beyond_words_are_whole_loops() -> None:
    hierarchy = machine(f"for filters {'*'.join(['m'] * 12)}, store glb [I, K, O]")
    flow = parse_dataflow(hierarchy).on(LARGE, roles_in_nest(LARGE))
    (tiles,) = flow.tiles({"m": np.array([1, 2, 4000])}, 3)[:1]
    assert tiles.tolist() == [1, 1 << 12, 1 << 53]

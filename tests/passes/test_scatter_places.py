"""Where the data and updates of a scatter are written: in place where nothing is lost, else through copies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.ir import SSAValue

from dialects.diagnostics import CatenaError
from dialects.gconv import GConv, IndexedView, Reduce, ScatterOp, Step, View
from dialects.gconv.interpreter import main_function
from passes.dram import Storages, lifetimes
from passes.storage import UPDATES, Storage
from tests.examples import examples
from tests.filechecking import check_ir
from tests.passes.chains import Chain, ChainBuilder, links_of, plain
from tests.passes.test_copy_concat import check_places, made

SHAPE = (5, 3)
ROWS = IndexedView.of_terms(View((4, 3), (0, 1)), [(3, 5)])


def index(builder: ChainBuilder) -> SSAValue:
    return builder.indices(np.array([3, 0, 3, -1]).reshape(4, 1, 1))


def updates(builder: ChainBuilder, base: SSAValue | None = None) -> SSAValue:
    """The first rows of an argument, or of `base`, negated by a link of their own."""
    rows = builder.view(builder.values[0] if base is None else base, View.dense(SHAPE).slice(0, 0, 4))
    return builder.link(GConv(plain((4, 3)), post=(Step("neg"),)), rows)


def scattered(
    builder: ChainBuilder, data: SSAValue, source: SSAValue | None = None, reduce: Reduce = Reduce.ADD
) -> SSAValue:
    return builder.scatter(updates(builder, source), index(builder), ROWS, data, reduce)


def test_what_a_link_makes_for_a_scatter_alone_is_written_once() -> None:
    builder = ChainBuilder(SHAPE)
    assert check_places(builder.module([scattered(builder, made(builder))])) == 0


def test_data_that_others_read_before_are_in_place() -> None:
    builder = ChainBuilder(SHAPE)
    data = made(builder)
    other = builder.link(GConv(plain(SHAPE), post=(Step("abs"),)), data)
    assert check_places(builder.module([scattered(builder, data), other])) == 0


def test_data_that_are_read_after_are_copied() -> None:
    builder = ChainBuilder(SHAPE)
    data = made(builder)
    result = scattered(builder, data)
    other = builder.link(GConv(plain(SHAPE), post=(Step("abs"),)), data)
    assert check_places(builder.module([result, other])) == 1


def test_data_that_a_view_shows_after_are_copied() -> None:
    builder = ChainBuilder(SHAPE)
    data = made(builder)
    view = builder.view(data, View.dense(SHAPE).permute((1, 0)))
    result = scattered(builder, data)
    other = builder.link(GConv(plain((3, 5)), post=(Step("abs"),)), view)
    assert check_places(builder.module([result, other])) == 1


def test_data_that_the_updates_are_made_of_are_copied() -> None:
    builder = ChainBuilder(SHAPE)
    data = made(builder)
    assert check_places(builder.module([scattered(builder, data, source=data)])) == 1


def test_arguments_constants_and_results_are_copied() -> None:
    builder = ChainBuilder(SHAPE)
    constant, returned = builder.constant(np.ones(SHAPE)), made(builder)
    results = [scattered(builder, data) for data in (builder.values[0], constant, returned)]
    assert check_places(builder.module([*results, returned])) == 3


def test_scatters_follow_one_another_in_one_place() -> None:
    builder = ChainBuilder(SHAPE)
    first = scattered(builder, made(builder))
    assert check_places(builder.module([scattered(builder, first, reduce=Reduce.MUL)])) == 0


def test_updates_that_others_read_or_that_no_plain_link_makes_are_copied() -> None:
    builder = ChainBuilder(SHAPE)
    shared = updates(builder)
    one = builder.scatter(shared, index(builder), ROWS, made(builder), Reduce.NONE)
    two = builder.scatter(shared, index(builder), ROWS, made(builder), Reduce.NONE)
    sums = builder.link(GConv(plain((4, 3), "g"), main="add"), shared, builder.constant(np.ones((4, 3))))
    three = builder.scatter(sums, index(builder), ROWS, made(builder), Reduce.NONE)
    assert check_places(builder.module([one, two, three])) == 3


def test_data_that_are_put_side_by_side_first() -> None:
    builder = ChainBuilder((2, 3), (3, 3))
    data = builder.concat([made(builder), made(builder, index=1)], 0)
    rows = builder.constant(np.arange(12).reshape(4, 3))
    result = builder.scatter(rows, index(builder), ROWS, data, Reduce.MAX)
    assert check_places(builder.module([result])) == 1  # the constant


def test_a_scatter_inside_a_concatenation_is_copied() -> None:
    builder = ChainBuilder(SHAPE)
    result = builder.concat([scattered(builder, made(builder)), made(builder)], 1)
    assert check_places(builder.module([result])) == 1


@st.composite
def scatters(draw: st.DrawFn) -> Chain:
    """Several scatters into, from and beside one another's operands, read before and after."""
    builder = ChainBuilder(SHAPE)
    builder.values.append(made(builder))
    for _ in range(draw(st.integers(1, 6))):
        data, source = draw(st.sampled_from(builder.values[-3:])), draw(st.sampled_from(builder.values))
        if draw(st.integers(0, 2)):
            builder.values.append(scattered(builder, data, source, draw(st.sampled_from(list(Reduce)))))
        else:
            builder.values.append(builder.link(GConv(plain(SHAPE, "g"), main="sub"), data, source))
    return builder.module(draw(st.lists(st.sampled_from(builder.values[1:]), min_size=1, max_size=3)))


@settings(derandomize=True, deadline=None, max_examples=examples(80))
@given(scatters())
def test_nothing_is_overwritten_before_it_is_read(module: Chain) -> None:
    check_places(module, "merge-dims,copy-concat")
    lifetimes(main_function(module), Storages(main_function(module)))


def test_updates_that_run_before_the_data_are_made_are_not_in_place() -> None:
    builder = ChainBuilder(SHAPE)
    rows = updates(builder)
    result = builder.scatter(rows, index(builder), ROWS, made(builder), Reduce.ADD)
    module = builder.module([result])
    assert isinstance(result.owner, ScatterOp)
    storage = Storage(main_function(module).body.block)
    assert not storage.is_in_place(result.owner, UPDATES)
    assert check_places(module) == 0  # moving the link is enough


def test_storages_of_operands_that_are_not_in_place_are_refused() -> None:
    builder = ChainBuilder(SHAPE)
    module = builder.module([scattered(builder, builder.values[0])])
    with pytest.raises(CatenaError, match=r"an operand of gconv.scatter is not written in place"):
        Storages(main_function(module))


def test_dimensions_merge_where_addresses_step_evenly() -> None:
    """Rows that an index names merge with nothing; the dimensions inside of them merge with one another."""
    builder = ChainBuilder((5, 2, 3))
    view = IndexedView.of_terms(View((4, 2, 3), (0, 3, 1)), [(6, 5)])
    words = builder.gather(builder.values[0], builder.indices(np.zeros((4, 1, 1, 1))), view)
    module = builder.module([words])
    check_places(module, "merge-dims,copy-concat")
    assert [dim.opc for dim in links_of(module)[0].spec.dims] == [4, 6]


def test_an_indexed_view_of_a_view_is_one_of_its_base() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4x6xf32>, %i: tensor<3x1xi64>) -> tensor<3xf32> {
          %t = gconv.view %x <[1, 6], offset 2> : tensor<4x6xf32> -> tensor<3x4xf32> loc("t")
          %v = gconv.indexed %t : tensor<3x4xf32> at %i : tensor<3x1xi64> <[4], 1 of 4> -> tensor<3xf32> loc("g")
          %y = gconv.link %v : tensor<3xf32> <N opc 3> "pass" none -> tensor<3xf32> loc("g")
          func.return %y : tensor<3xf32>
        }
        """,
        "fold-views",
        """
        CHECK:      [[V:%.*]] = gconv.indexed %x {{.*}} at %i {{.*}} <[1], 6 of 4, offset 2> -> tensor<3xf32>
        CHECK-SAME: loc(fused["t", "g"])
        CHECK-NEXT: gconv.link [[V]]
        """,
        locations=True,
    )

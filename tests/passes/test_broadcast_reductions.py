"""broadcast-reductions: what is done with a repeated reduction becomes its post steps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce, Step, View
from dialects.target import MachineOp
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains
from tests.passes.mapping.machines import machine_like_eyeriss

SUM = GConv((Dim("A", opc=4), Dim("B", ks=6)), reduce=Reduce.ADD)
TIMES = GConv((Dim("A", g=4), Dim("B", g=6)), "mul")


def repeated(builder: ChainBuilder, value: object, axis: int = 1) -> object:
    """A result of [4, 1], or [1, 6], as [4, 6]."""
    return builder.view(value, View((4, 6), (1, 0) if axis else (0, 1)))  # pyright: ignore[reportArgumentType]


def scaled_by_sum(*extra_readers: GConv) -> Chain:
    """x * sum(x) along the rows of [4, 6]; `extra_readers` read the sum too."""
    builder = ChainBuilder((4, 6))
    (x,) = builder.block.args
    total = builder.link(SUM, x)
    results = [builder.link(TIMES, x, repeated(builder, total))]
    results += [builder.link(spec, total) for spec in extra_readers]
    return builder.module(results)


def test_what_reads_a_repeated_reduction_goes_into_its_post() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4x6xf32>, %b: tensor<6xf32>) -> tensor<4x6xf32> {
          %m = gconv.link %x : tensor<4x6xf32> <A opc 4, B ks 6> "pass" add post <affine(0.5, 0.0)> {tensor = "m"}
            -> tensor<4x1xf32> loc("mean")
          %r = gconv.view %m <[1, 0]> : tensor<4x1xf32> -> tensor<4x6xf32> loc("mean")
          %c = gconv.view %b <[0, 1]> : tensor<6xf32> -> tensor<1x6xf32> loc("y")
          %y = gconv.link %x : tensor<4x6xf32> by %r : tensor<4x6xf32> with %c : tensor<1x6xf32>
            <A g 4, B g 6> "sub" none post <relu, add[0]> {tensor = "y"} -> tensor<4x6xf32> loc("y")
          func.return %y : tensor<4x6xf32>
        }
        """,
        "broadcast-reductions",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[C:%.*]] = gconv.view %b <[0, 1]>
        CHECK-NEXT: gconv.link %x : tensor<4x6xf32> with %x, [[C]] : tensor<4x6xf32>, tensor<1x6xf32>
        CHECK-SAME: <A opc 4, B op 6 ks 6> "pass" add post <affine(0.5, 0.0), rsub[0], relu, add[1]>
        CHECK-SAME: {tensor = "y"} -> tensor<4x6xf32> loc(fused["mean", "y"])
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


def test_keeps_the_meaning_and_saves_the_operations() -> None:
    module = check_pass(scaled_by_sum(), "broadcast-reductions")
    (link,) = links_of(module)
    assert (link.spec.trips, link.spec.post) == (24, (Step("mul", operand=0),))


def test_reads_a_reduction_as_an_extra_operand() -> None:
    """The first step after no main operator is as good as a main operator."""
    builder = ChainBuilder((4, 6))
    (x,) = builder.block.args
    total = builder.link(SUM, x)
    post = (Step("sub", operand=0), Step("abs"))
    y = builder.link(GConv(plain((4, 6)), post=post), x, None, [total])
    module = check_pass(builder.module([y]), "broadcast-reductions")
    assert [link.spec.post for link in links_of(module)] == [(Step("rsub", operand=0), Step("abs"))]


@pytest.mark.parametrize(
    "reader",
    [
        GConv((Dim("A", opc=4), Dim("B", opc=1)), post=(Step("neg"),)),
        GConv((Dim("A", ks=4), Dim("B")), reduce=Reduce.MAX),
    ],
)
def test_a_reduction_that_others_read_stays(reader: GConv) -> None:
    module = check_pass(scaled_by_sum(reader), "broadcast-reductions")
    assert len(links_of(module)) == 3


def test_a_reduction_with_a_kernel_would_repeat_its_operations_and_stays() -> None:
    builder = ChainBuilder((4, 6), (4, 6))
    x, k = builder.block.args
    total = builder.link(GConv((Dim("A", g=4), Dim("B", ks=6)), "mul", Reduce.ADD), x, k)
    module = check_pass(builder.module([builder.link(TIMES, x, repeated(builder, total))]), "broadcast-reductions")
    assert len(links_of(module)) == 2


def test_another_order_of_the_sums_stays() -> None:
    """The sums along rows, read along columns: no repetition of the result says that."""
    builder = ChainBuilder((4, 4))
    (x,) = builder.block.args
    total = builder.link(GConv((Dim("A", opc=4), Dim("B", ks=4)), reduce=Reduce.ADD), x)
    turned = builder.view(total, View((4, 4), (0, 1)))
    y = builder.link(GConv((Dim("A", g=4), Dim("B", g=4)), "mul"), x, turned)
    module = check_pass(builder.module([y]), "broadcast-reductions")
    assert len(links_of(module)) == 2


def test_a_reduction_of_another_size_than_the_reader_stays() -> None:
    """x of [2, 3] times the mean of five other elements: nothing repeats the mean over those five."""
    builder = ChainBuilder((5,), (2, 3))
    v, x = builder.block.args
    total = builder.link(GConv((Dim("A", ks=5),), reduce=Reduce.ADD), v)
    y = builder.link(GConv(plain((2, 3), "g"), "mul"), x, builder.view(total, View((2, 3), (0, 0))))
    module = check_pass(builder.module([y]), "broadcast-reductions")
    assert len(links_of(module)) == 2


def test_reads_through_a_reshape() -> None:
    """Sums over the rows of each of two images, where the reader sees the images flattened."""
    builder = ChainBuilder((2, 3, 4))
    (x,) = builder.block.args
    total = builder.link(GConv((Dim("N", opc=2), Dim("H", ks=3), Dim("W", ks=4)), reduce=Reduce.ADD), x)
    flat = builder.view(x, View.dense((2, 12)))
    y = builder.link(GConv((Dim("N", g=2), Dim("P", g=12)), "sub"), flat, builder.view(total, View((2, 12), (1, 0))))
    module = check_pass(builder.module([y]), "broadcast-reductions")
    (link,) = links_of(module)
    assert [dim.op for dim in link.spec.dims] == [1, 3, 4]


@pytest.mark.parametrize(("limits", "links"), [({}, 1), ({"post_steps": 0}, 2), ({"post_operands": 0}, 2)])
def test_keeps_to_what_the_machine_has(limits: dict[str, int], links: int) -> None:
    module = scaled_by_sum()
    machine = MachineOp.of(machine_like_eyeriss(limits=limits))
    module.body.block.insert_op_before(machine, module.body.block.first_op)  # pyright: ignore[reportArgumentType]
    check_pass(module, "broadcast-reductions")
    assert len(links_of(module)) == links


@st.composite
def normalizations(draw: st.DrawFn) -> Chain:
    """Element-wise functions of x and of a reduction of it, over any dimensions of up to three."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    builder = ChainBuilder(tuple(shape))
    (x,) = builder.block.args
    over = draw(st.sets(st.integers(0, len(shape) - 1)))
    dims = tuple(Dim(f"d{i}", ks=n) if i in over else Dim(f"d{i}", opc=n) for i, n in enumerate(shape))
    total = builder.link(GConv(dims, reduce=draw(st.sampled_from((Reduce.ADD, Reduce.MAX)))), x)
    kept = tuple(1 if i in over else n for i, n in enumerate(shape))
    other = builder.view(total, View.dense(kept).expand(shape))
    if draw(st.booleans()):
        x, other = other, x
    spec = GConv(plain(tuple(shape), "g"), draw(st.sampled_from(("sub", "mul", "rsub", "lt"))))
    return builder.module([builder.link(spec, x, other)])


@settings(derandomize=True, deadline=None, max_examples=examples(80))
@given(normalizations() | random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    before = len(links_of(module))
    check_pass(module, "broadcast-reductions")
    assert len(links_of(module)) <= before


def test_refuses_control_flow() -> None:
    with pytest.raises(CatenaError, match="broadcast-reductions rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "broadcast-reductions")

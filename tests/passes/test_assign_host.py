"""assign-host: what stays on a convolution accelerator, what leaves it, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import TensorType

from dialects.diagnostics import CatenaError
from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.gconv import Dim, GConv, LinkOp, Reduce, Step, element_type_of_value
from dialects.gconv.interpreter import Interpreter
from dialects.schedule import HostAttr
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains
from tests.passes.mapping.machines import EYERISS, TINY, machine_like_eyeriss

HOSTLESS = machine_like_eyeriss(name="hostless")
HOSTLESS = HOSTLESS.model_copy(update={"host": None})
CONV = GConv((Dim("C", op=3, ks=2), Dim("H", opc=4, ks=3), Dim("W", opc=5)), "mul", Reduce.ADD)


def on(module: Chain, machine: object = EYERISS) -> Chain:
    """The module on a machine."""
    module.body.block.insert_op_before(MachineOp.of(machine), module.body.block.first_op)
    return module


def convolution(spec: GConv, *extras: np.ndarray | None) -> Chain:
    """A convolution of an argument; each extra is a constant, or an argument for None."""
    builder = ChainBuilder((2, 6, 5), spec.output_shape)
    x, live = builder.block.args
    kernel = builder.constant(np.arange(18.0).reshape(spec.kernel_shape) - 8)
    others = [live if words is None else builder.constant(words) for words in extras]
    return on(builder.module([builder.link(spec, x, kernel, others)]))


def split(module: Chain) -> list[tuple[bool, list[str], list[str]]]:
    """Per link: whether it is the host's, its pre steps and its post steps."""
    return [
        (
            isinstance(link.mapping, HostAttr),
            [step.function for step in link.spec.pre],
            [step.function for step in link.spec.post],
        )
        for link in links_of(module)
    ]


def steps(*functions: str) -> tuple[Step, ...]:
    return tuple(Step(function) for function in functions)


def test_a_convolution_keeps_bias_and_relu_and_the_rest_goes_to_the_host() -> None:
    check_ir(
        f"""{MachineOp.of(EYERISS)!s}
        func.func @main(%x: tensor<2x6xf32>, %r: tensor<3x6xf32>) -> tensor<3x3xf32> {{
          %k = weights.constant <"{"0" * 64}"> : tensor<6x1xf32>
          %b = weights.constant <"{"0" * 64}"> : tensor<3x1xf32>
          %c = gconv.link %x : tensor<2x6xf32> by %k : tensor<6x1xf32> with %b, %r : tensor<3x1xf32>, tensor<3x6xf32>
            <C op 3 ks 2, H opc 6> "mul" add post <add[0], relu, add[1]> {{tensor = "c"}} -> tensor<3x6xf32> loc("conv")
          %y = gconv.link %c : tensor<3x6xf32> <C opc 3, H opc 3 ks 2 stride 2> "pass" max -> tensor<3x3xf32>
            loc("pool")
          func.return %y : tensor<3x3xf32>
        }}
        """,
        "assign-host",
        """
        CHECK:      %[[C:.+]] = gconv.link %x : tensor<2x6xf32> by %k : tensor<6x1xf32> with %b : tensor<3x1xf32>
        CHECK-SAME: <C op 3 ks 2, H opc 6> "mul" add post <add[0], relu> -> tensor<3x6xf32> loc("conv")
        CHECK-NEXT: %[[A:.+]] = gconv.link %[[C]] : tensor<3x6xf32> with %r : tensor<3x6xf32>
        CHECK-SAME: <d0 opc 3, d1 opc 6> "pass" none post <add[0]> {tensor = "c", mapping = #schedule.host}
        CHECK-SAME: -> tensor<3x6xf32> loc("conv")
        CHECK-NEXT: gconv.link %[[A]] : tensor<3x6xf32> <C opc 3, H opc 3 ks 2 stride 2> "pass" max
        CHECK-SAME: {mapping = #schedule.host} -> tensor<3x3xf32> loc("pool")
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


@pytest.mark.parametrize(
    ("spec", "extras", "expected"),
    [
        (CONV, (), [(False, [], [])]),
        # A bias differs from channel to channel, not from position to position, and is no tensor of the network.
        (GConv(CONV.dims, "mul", Reduce.ADD, post=(Step("add", operand=0),)), (np.ones((3, 1, 1)),),
         [(False, [], ["add"])]),
        (GConv(CONV.dims, "mul", Reduce.ADD, post=(Step("add", operand=0),)), (np.ones((3, 4, 1)),),
         [(False, [], []), (True, [], ["add"])]),
        (GConv(CONV.dims, "mul", Reduce.ADD, post=(Step("add", operand=0),)), (None,),
         [(False, [], []), (True, [], ["add"])]),
        # What the chip cannot do takes what follows with it.
        (GConv(CONV.dims, "mul", Reduce.ADD, post=steps("relu", "neg", "relu")), (),
         [(False, [], ["relu"]), (True, [], ["neg", "relu"])]),
        (GConv(CONV.dims, "mul", Reduce.ADD, pre=steps("abs", "relu")), (),
         [(True, [], ["abs", "relu"]), (False, [], [])]),
        (GConv(CONV.dims, "mul", Reduce.ADD, pre=steps("abs"), post=steps("neg")), (),
         [(True, [], ["abs"]), (False, [], []), (True, [], ["neg"])]),
        # No convolutions: another main function, another reduction, functions inside, padding with ones.
        (GConv(CONV.dims, "sub", Reduce.ADD), (), [(True, [], [])]),
        (GConv(CONV.dims, "mul", Reduce.MAX), (), [(True, [], [])]),
        (GConv(CONV.dims, "mul", Reduce.ADD, mid=steps("abs")), (), [(True, [], [])]),
        (GConv(CONV.dims, "mul", Reduce.ADD, pad_value=1.0), (), [(True, [], [])]),
    ],
)  # fmt: skip
def test_what_stays_and_what_leaves(spec: GConv, extras: tuple[np.ndarray | None, ...], expected: object) -> None:
    assert split(check_pass(convolution(spec, *extras), "assign-host")) == expected


def test_the_target_says_what_its_output_path_does() -> None:
    spec = GConv(CONV.dims, "mul", Reduce.ADD, post=steps("neg", "relu"))
    plain_chip = machine_like_eyeriss(name="m", limits={"output_path": []})
    negating = machine_like_eyeriss(name="m", limits={"output_path": ["neg"]})
    for machine, kept in ((plain_chip, []), (negating, ["neg"])):
        builder = ChainBuilder((2, 6, 5))
        kernel = builder.constant(np.ones(spec.kernel_shape))
        module = on(builder.module([builder.link(spec, builder.values[0], kernel)]), machine)
        assert split(check_pass(module, "assign-host"))[0] == (False, [], kept)


def test_operands_go_with_their_steps() -> None:
    post = (Step("add", operand=0), Step("mul", operand=1), Step("relu"), Step("sub", operand=0))
    spec = GConv(CONV.dims, "mul", Reduce.ADD, post=post)
    module = check_pass(convolution(spec, np.array([1.0, 2, 3]).reshape(3, 1, 1), None), "assign-host")
    conv, rest = links_of(module)
    assert [step.operand for step in conv.spec.post] == [0]
    assert [step.operand for step in rest.spec.post] == [0, None, 1]
    assert [operand.type.get_shape() for operand in rest.extras] == [(3, 4, 5), (3, 1, 1)]


def test_a_mapping_that_is_there_stays() -> None:
    module = convolution(GConv(CONV.dims, "mul", Reduce.ADD, post=steps("neg")))
    (link,) = links_of(module)
    link.properties["mapping"] = HostAttr()
    assert split(check_pass(module, "assign-host")) == [(True, [], ["neg"])]


def test_a_target_without_a_host_and_control_flow_are_refused() -> None:
    builder = ChainBuilder((2,))
    module = on(builder.module([builder.link(GConv(plain((2,))), builder.values[0])]), HOSTLESS)
    with pytest.raises(CatenaError, match="target hostless has no host") as caught:
        run_passes(module, "assign-host")
    assert [(each.code, each.stage) for each in caught.value.diagnostics] == [("CAT-U006", "mapped")]
    with pytest.raises(CatenaError, match=r"no target\.machine"):
        run_passes(parse_module("func.func @main() { func.return }"), "assign-host")
    with pytest.raises(CatenaError, match="assign-host rewrites functions of one block"):
        run_passes(parse_module(f"{MachineOp.of(EYERISS)!s}\n{CONTROL_FLOW}"), "assign-host")


def test_the_mapper_leaves_hosts_alone_but_not_without_a_host() -> None:
    for machine in (EYERISS, HOSTLESS):
        builder = ChainBuilder((2,))
        module = on(builder.module([builder.link(GConv(plain((2,))), builder.values[0])]), machine)
        (link,) = links_of(module)
        link.properties["mapping"] = HostAttr()
        if machine is EYERISS:
            run_passes(module, "map-row-stationary")
            assert isinstance(link.mapping, HostAttr)
            continue
        with pytest.raises(CatenaError) as caught:
            run_passes(module, "map-row-stationary")
        assert [(each.code, each.node) for each in caught.value.diagnostics] == [("CAT-U006", "n0")]


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning_and_places_every_link_once(module: Chain) -> None:
    check_pass(on(module, TINY), "assign-host")
    for link in (each for each in module.walk() if isinstance(each, LinkOp)):
        stays = link.spec.is_multiply_accumulate and not link.spec.pre
        assert isinstance(link.mapping, HostAttr) != stays
        assert not stays or {step.function for step in link.spec.post} <= {"add", "relu", "clip"}


INTEGERS = ("int8", "uint8", "int16", "uint16")
REQUANTIZING = (
    (),
    ("to_float32", "affine"),
    ("to_float32", "affine", "relu", "round", "affine", "clip"),
    ("relu", "to_float32", "affine"),
)
PARAMETERS = {"affine": (0.037, 3.0), "clip": (-128.0, 127.0)}


@st.composite
def quantized_convolutions(draw: st.DrawFn) -> tuple[Chain, np.ndarray]:
    """A convolution that accumulates integers, with or without a bias and what requantizes its sums; its input."""
    input, kernel = draw(st.sampled_from(INTEGERS)), draw(st.sampled_from(INTEGERS))
    acc = "int32" if "16" not in input + kernel else "int64"
    functions = draw(st.sampled_from(REQUANTIZING))
    biased = draw(st.booleans())
    post = (Step("add", operand=0),) if biased else ()
    spec = GConv(
        CONV.dims, "mul", Reduce.ADD, acc=acc, post=(*post, *(Step(f, PARAMETERS.get(f, ())) for f in functions))
    )
    result = draw(st.sampled_from(("int8", "uint8"))) if "clip" in functions else spec.flow(input)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    builder = ChainBuilder()
    x = builder.block.insert_arg(TensorType(element_type_of(input), (2, 6, 5)), 0)
    words = random.integers(np.iinfo(kernel).min, np.iinfo(kernel).max, spec.kernel_shape, kernel, endpoint=True)
    weights = builder.add(ConstantOp.of(words))
    biases = [builder.add(ConstantOp.of(random.integers(-2000, 2000, (3, 1, 1)).astype(acc)))] if biased else []
    link = LinkOp.of(spec, x, weights, biases, element_type=element_type_of(result))
    array = random.integers(np.iinfo(input).min, np.iinfo(input).max, (2, 6, 5), input, endpoint=True)
    return on(builder.module([builder.add(link)])), array


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(quantized_convolutions())
def test_sums_of_integers_cross_to_the_host_whole(case: tuple[Chain, np.ndarray]) -> None:
    module, array = case
    expected = Interpreter(module).run({"x0": array})["y0"]
    run_passes(module, "assign-host")
    found = Interpreter(module).run({"x0": array})["y0"]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    first, *rest = links_of(module)
    assert not isinstance(first.mapping, HostAttr)
    assert not rest or numpy_dtype_of(element_type_of_value(first.result)).name == first.spec.acc

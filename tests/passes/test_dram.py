"""Where tensors live in DRAM: shared storage, lifetimes, first fit; random chains compiled and run in what they got."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.ir import Block, SSAValue

from backends.container import parse_program, program_bytes
from backends.spatial.emit import emit
from backends.spatial.emulator import SpatialEmulator
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.gconv import Reduce, View, shape_of
from dialects.gconv.interpreter import main_function
from dialects.spatial import BufferOp, LayerOp, Role, integer
from dialects.target import MachineOp
from passes.dram import Lifetime, Storages, first_fit, lifetimes
from passes.verification import verify_module
from tests.examples import examples
from tests.filechecking import parse_module, run_passes
from tests.passes.chains import Chain, assert_close, random_chains, run_chain
from tests.passes.mapping.machines import EYERISS, TINY

FUSED = (
    "fold-views,evaluate-constants,fold-pad,fuse-elementwise,fold-weights,split-steps,fuse-pre,merge-dims,copy-concat"
)


@st.composite
def demands(draw: st.DrawFn) -> tuple[dict[SSAValue, int], dict[SSAValue, Lifetime], int]:
    """Sizes and lives of some storages, and where they may begin."""
    count = draw(st.integers(1, 12))
    values = list(Block(arg_types=[TensorType(f32, [1])] * count).args)
    sizes = {value: draw(st.integers(1, 20)) for value in values}
    starts = [draw(st.integers(-1, 8)) for _ in values]
    lives = {
        value: Lifetime(start, start + draw(st.integers(0, 5))) for value, start in zip(values, starts, strict=True)
    }
    return sizes, lives, draw(st.integers(0, 100))


def alive_together(one: Lifetime, other: Lifetime) -> bool:
    return bool(set(range(one.first, one.last + 1)) & set(range(other.first, other.last + 1)))


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(demands())
def test_first_fit_gives_words_to_one_storage_at_a_time(
    demand: tuple[dict[SSAValue, int], dict[SSAValue, Lifetime], int],
) -> None:
    sizes, lives, base = demand
    found = first_fit(sizes, lives, base)
    assert set(found) == set(sizes)
    words = {value: set(range(address, address + sizes[value])) for value, address in found.items()}
    assert min(map(min, words.values())) == base
    for one, other in itertools.combinations(sizes, 2):
        assert not alive_together(lives[one], lives[other]) or words[one].isdisjoint(words[other])
    # No storage could lie lower: every lower place meets a storage that is placed before it, the larger ones.
    order = sorted(sizes, key=lambda value: -sizes[value])
    for index, value in enumerate(order):
        busy = set().union(*(words[other] for other in order[:index] if alive_together(lives[value], lives[other])))
        for address in range(base, found[value]):
            assert busy & set(range(address, address + sizes[value]))


def test_storages_that_take_turns_share_their_words() -> None:
    values = list(Block(arg_types=[TensorType(f32, [1])] * 4).args)
    sizes = dict(zip(values, (10, 4, 7, 4), strict=True))
    lives = dict(zip(values, (Lifetime(0, 1), Lifetime(1, 2), Lifetime(2, 3), Lifetime(3, 4)), strict=True))
    assert list(first_fit(sizes, lives, 100).values()) == [100, 100, 110, 107]


CONCAT = """
func.func @main(%x: tensor<2x3xf32>, %unused: tensor<5xf32>) -> (tensor<4x3xf32>, tensor<6xf32>) {
  %k = weights.constant <"DIGEST"> : tensor<2x3xf32> loc("k")
  %a = gconv.link %x : tensor<2x3xf32> <M opc 2, N opc 3> "pass" none post <neg> -> tensor<2x3xf32> loc("a")
  %v = gconv.view %a <[1, 3]> : tensor<2x3xf32> -> tensor<3x2xf32> loc("v")
  %b = gconv.link %v : tensor<3x2xf32> <M opc 3, N opc 2> "pass" none -> tensor<3x2xf32> loc("b")
  %w = gconv.view %b <[3, 1]> : tensor<3x2xf32> -> tensor<2x3xf32> loc("w")
  %c = gconv.link %w : tensor<2x3xf32> by %k : tensor<2x3xf32> <M g 2, N g 3> "mul" none -> tensor<2x3xf32> loc("c")
  %y = gconv.concat %c, %a axis 0 : tensor<2x3xf32>, tensor<2x3xf32> -> tensor<4x3xf32> loc("y")
  %d = gconv.link %b : tensor<3x2xf32> <M opc 3, N opc 2> "pass" none -> tensor<3x2xf32> loc("d")
  %z = gconv.view %d <[1]> : tensor<3x2xf32> -> tensor<6xf32> loc("z")
  func.return %y, %z : tensor<4x3xf32>, tensor<6xf32>
}
""".replace("DIGEST", "0" * 64)


def test_parts_lie_in_their_concatenation_and_views_in_their_base() -> None:
    function = main_function(parse_module(CONCAT))
    values = named(function.body.block)
    storages = Storages(function)
    places = {name: storages.place(value) for name, value in values.items()}
    bases = {name: next(other for other, value in values.items() if value is p.base) for name, p in places.items()}
    assert bases == {
        "x": "x", "unused": "unused", "k": "k", "a": "y", "v": "y", "b": "b", "w": "b", "c": "y", "y": "y", "d": "d",
        "z": "d",
    }  # fmt: skip
    assert places["c"].view == View((2, 3), (3, 1), 0)
    assert places["a"].view == View((2, 3), (3, 1), 6)
    assert places["v"].view == View((3, 2), (1, 3), 6)


def named(block: Block) -> dict[str, SSAValue]:
    found = {arg.name_hint or "": arg for arg in block.args}
    return found | {result.name_hint or "": result for op in block.ops for result in op.results}


def test_lives_reach_from_the_first_to_the_last_op_that_touches_the_words() -> None:
    function = main_function(parse_module(CONCAT))
    values = named(function.body.block)
    found = lifetimes(function, Storages(function))
    lives = {name: (found[value].first, found[value].last) for name, value in values.items() if value in found}
    # Ops: k 0, a 1, v 2, b 3, w 4, c 5, y 6, d 7, z 8, return 9. Arguments are there before, results after all ops.
    assert lives == {"x": (-1, 1), "unused": (-1, -1), "y": (1, 10), "b": (3, 7), "d": (7, 10)}


def test_parts_that_are_not_in_place_are_all_named() -> None:
    text = CONCAT.replace("%c, %a axis 0", "%c, %x axis 0").replace(
        '-> tensor<4x3xf32> loc("y")', '-> tensor<4x3xf32> loc("join")'
    )
    with pytest.raises(CatenaError, match="not written in place") as caught:
        Storages(main_function(parse_module(text)))
    assert [(d.code, d.stage, d.node, d.hint) for d in caught.value.diagnostics] == [
        ("CAT-R003", "placed", "join", "run copy-concat first")
    ]


def compiled(chain: ModuleOp, machine: Machine) -> ModuleOp:
    chain.body.block.insert_op_before(MachineOp.of(machine), chain.body.block.first_op)
    run_passes(chain, f"{FUSED},legalize-words,map-row-stationary,place-spatial")
    verify_module(chain)
    return chain


def words_of(buffer: BufferOp) -> set[int]:
    return set(range(integer(buffer.address), integer(buffer.address) + buffer.words))


def check_allocation(module: ModuleOp) -> None:
    """Play the layers: what is still to be read, and what is an input not yet used or a result, keeps its words."""
    ops = list(main_function(module).body.block.ops)
    buffers = [op for op in ops if isinstance(op, BufferOp)]
    layers = [op for op in ops if isinstance(op, LayerOp)]
    constants = [op for op in buffers if op.role.data == Role.CONSTANT]
    others = [op for op in buffers if op.role.data != Role.CONSTANT]
    for one, other in itertools.combinations(constants, 2):
        assert words_of(one).isdisjoint(words_of(other))
    end = max((max(words_of(op)) for op in constants), default=-1)
    assert all(integer(op.address) > end for op in others)
    last_read = {op: max((i for i, layer in enumerate(layers) if reads(layer, op)), default=-1) for op in others}
    owners: dict[int, BufferOp] = {word: op for op in others if op.role.data == Role.INPUT for word in words_of(op)}
    for index, layer in enumerate(layers):
        for buffer in {operand.owner for operand in read_by(layer)}:
            assert isinstance(buffer, BufferOp)
            assert buffer in constants or all(owners[word] is buffer for word in words_of(buffer))
        written = layer.output.owner
        assert isinstance(written, BufferOp)
        for word in words_of(written):
            owner = owners.get(word)
            # Words may be taken from a tensor that nobody reads any more, not even this layer.
            assert owner is None or owner is written or last_read[owner] < index
            assert owner is None or owner is written or owner.role.data != Role.OUTPUT
            owners[word] = written
    for op in others:
        assert op.role.data != Role.OUTPUT or all(owners[word] is op for word in words_of(op))


def read_by(layer: LayerOp) -> list[SSAValue]:
    """What a layer reads, and what its updates are combined with."""
    combined = [] if layer.update is None or layer.update.data is Reduce.NONE else [layer.output]
    indices = [index for index in (layer.read_index, layer.write_index) if index is not None]
    return [*layer.tensors[:-1], *indices, *combined]


def reads(layer: LayerOp, buffer: BufferOp) -> bool:
    return any(operand.owner is buffer for operand in read_by(layer))


def with_many_steps(machine: Machine) -> Machine:
    """The machine with room for all the scalar functions that random chains have."""
    return machine.model_copy(update={"limits": machine.limits.model_copy(update={"pre_steps": 9, "mid_steps": 9})})


@pytest.mark.parametrize("machine", [with_many_steps(EYERISS), with_many_steps(TINY)], ids=lambda machine: machine.name)
@settings(max_examples=examples(35), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(chain=random_chains())
def test_random_chains_run_in_the_words_they_were_given(machine: Machine, chain: Chain) -> None:
    expected, _ = run_chain(chain)
    function = main_function(chain)
    generator = np.random.default_rng(7)
    inputs = {
        f"x{i}": generator.integers(-3, 4, shape_of(arg)).astype(np.float32) for i, arg in enumerate(function.args)
    }
    module = compiled(chain, machine)
    check_allocation(module)
    program = parse_program(program_bytes(emit(module, "eyeriss")), "test")
    outputs = SpatialEmulator(program).run(inputs)
    assert outputs.keys() == expected.keys()
    for name, array in expected.items():
        assert_close(outputs[name].astype(np.float64), array, 1e-5)

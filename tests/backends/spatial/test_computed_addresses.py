"""Layers that address by index tensors, on every machine and engine: exact results, counts as predicted, faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import FunctionType, ModuleOp, TensorType, f32, i32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from backends.spatial.addresses import Walk, computed_addresses
from backends.spatial.emit import emit
from backends.spatial.emulator import MODES, SpatialEmulator
from backends.spatial.layer import TermConfig
from backends.spatial.memory import Fault, MemoryBank, Segment
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.gconv import PASS, Dim, GConv, IndexedOp, IndexedView, LinkOp, LoopKind, Reduce, ScatterOp, View
from dialects.gconv.interpreter import Interpreter
from dialects.locations import node_location
from dialects.schedule import Loop, Mapping, MappingAttr, Operand, Storage, Temporal
from dialects.spatial import LayerOp
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from passes.copy_concat import CopyConcatPass
from passes.mapping.fit import violations
from passes.mapping.in_order import in_order_mapping
from tests.backends.spatial.layers import (
    MACHINES,
    Shape,
    check_counts,
    compile_chain,
    integers,
    lowered,
    names,
    window,
)
from tests.examples import examples
from tests.filechecking import new_ir_context, parse_module, print_module


@dataclass(frozen=True)
class Lookup:
    """An indexed view of a tensor of `words` elements, with an index tensor for it."""

    view: IndexedView
    words: int
    index: np.ndarray


def module_of(machine: Machine, ops: list[Operation], block: Block, *inputs: str) -> ModuleOp:
    """A function of the ops, each at a node of its own; the last one is its result."""
    for position, op in enumerate(ops):
        op.location = node_location(f"node{position}")
    block.add_ops([*ops, ReturnOp(ops[-1].results[0])])
    function = FuncOp(
        "main",
        FunctionType.from_lists([arg.type for arg in block.args], [ops[-1].results[0].type]),
        Region(block),
        arg_attrs=names(*inputs),
        res_attrs=names("y"),
    )
    return ModuleOp([MachineOp.of(machine), function])


def reading(machine: Machine, spec: GConv, lookup: Lookup, mapping: Mapping | None = None) -> ModuleOp:
    """A layer whose input is looked up in `x` at `i`."""
    block = Block(arg_types=[TensorType(f32, (lookup.words,)), TensorType(i32, lookup.index.shape)])
    indexed = IndexedOp.of(*block.args, lookup.view)
    kernel = [] if spec.main == PASS else [ConstantOp.of(integers(spec.kernel_shape, 1))]
    link = LinkOp.of(
        spec,
        indexed.result,
        kernel[0].result if kernel else None,
        tensor="y",
        mapping=None if mapping is None else MappingAttr(mapping),
    )
    return module_of(machine, [indexed, *kernel, link], block, "x", "i")


def updating(machine: Machine, lookup: Lookup, reduce: Reduce, mapping: Mapping | None = None) -> ModuleOp:
    """Updates `u` of the data `x` at `i`."""
    shape = lookup.view.shape
    block = Block(
        arg_types=[
            TensorType(f32, (lookup.words,)),
            TensorType(i32, lookup.index.shape),
            TensorType(f32, shape),
        ]
    )
    x, i, u = block.args
    data = LinkOp.of(GConv((Dim("X", opc=lookup.words),)), x)
    dims = tuple(Dim(f"D{axis}", opc=n) for axis, n in enumerate(shape))
    made = LinkOp.of(GConv(dims), u, mapping=None if mapping is None else MappingAttr(mapping))
    scatter = ScatterOp.of(made.result, i, lookup.view, (lookup.words,), data.result, reduce, "y")
    module = module_of(machine, [data, made, scatter], block, "x", "i", "u")
    CopyConcatPass().apply(Context(), module)
    return module


def check(module: ModuleOp, inputs: dict[str, np.ndarray]) -> dict[str, Counts]:
    """Run a chain in every mode: exact results, counts as predicted; returns the counts by layer."""
    expected = Interpreter(module).run(inputs)
    program = compile_chain(module)
    counters: dict[str, Counts] = {}
    for mode in MODES:
        emulator = SpatialEmulator(program, mode)
        for name, array in emulator.run(inputs).items():
            np.testing.assert_array_equal(array, expected[name], err_msg=mode)
        for entry in program.layers:
            check_counts(emulator.counters[entry.name], entry, mode)
        counters = dict(emulator.counters)
    return counters


def rows(count: int, row: int, table: int, varies: tuple[bool, bool] = (True, False)) -> Lookup:
    """`count` rows of `row` words of a table."""
    view = IndexedView.of_terms(View((count, row), (0, 1)), [(row, table)])
    shape = (*(n if v else 1 for n, v in zip((count, row), varies, strict=True)), 1)
    return Lookup(view, row * table, np.random.default_rng(3).integers(-table, table, shape).astype(np.int32))


@st.composite
def lookups(draw: st.DrawFn, shape: Shape | None = None, distinct: bool = False) -> Lookup:
    """Rows, planes or words of a tensor, by one or two components."""
    if shape is None:
        shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    strides = tuple(draw(st.integers(0, 4)) for _ in shape)
    terms = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=2))
    view = IndexedView.of_terms(View(shape, strides), terms)
    extents = [n if draw(st.booleans()) else 1 for n in shape]
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    index = np.stack([generator.integers(-extent, extent, extents) for _, extent in terms], axis=-1)
    return Lookup(view, view.reach.bounds()[1] + 1 + draw(st.integers(0, 3)), index.astype(np.int32))


QUIET = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.parametrize("name", MACHINES)
def test_random_copies(name: str) -> None:
    @settings(max_examples=examples(30), **QUIET)
    @given(lookups())
    def check_copy(lookup: Lookup) -> None:
        dims = tuple(Dim(f"D{axis}", opc=n) for axis, n in enumerate(lookup.view.shape))
        inputs = {"x": integers((lookup.words,), 2), "i": lookup.index}
        check(reading(MACHINES[name], GConv(dims), lookup), inputs)

    check_copy()


@pytest.mark.parametrize("name", MACHINES)
def test_random_convolutions_of_looked_up_words(name: str) -> None:
    """Padding, strides and windows that overlap: index words are read for existing positions only, once per tile."""

    @settings(max_examples=examples(20), **QUIET)
    @given(st.data(), st.integers(1, 3), st.integers(1, 2), st.integers(0, 3), st.integers(1, 2))
    def check_convolution(data: st.DataObject, channels: int, filters: int, pad: int, stride: int) -> None:
        rows_dim, height = window("H", 4, 3, pad=pad, stride=stride)
        cols_dim, width = window("W", 5, 2, up=stride)
        spec = GConv((Dim("C", op=filters, ks=channels), rows_dim, cols_dim), "mul", Reduce.ADD)
        lookup = data.draw(lookups((channels, height, width)))
        check(reading(MACHINES[name], spec, lookup), {"x": integers((lookup.words,), 2), "i": lookup.index})

    check_convolution()


@pytest.mark.parametrize("name", MACHINES)
def test_random_updates(name: str) -> None:
    """Places that repeat, in sums that f32 rounds: the order of the updates shows."""

    @settings(max_examples=examples(30), **QUIET)
    @given(lookups(), st.sampled_from(list(Reduce)))
    def check_updates(lookup: Lookup, reduce: Reduce) -> None:
        generator = np.random.default_rng(5)
        u = (generator.standard_normal(lookup.view.shape) * 10.0 ** generator.integers(-3, 4)).astype(np.float32)
        inputs = {"x": integers((lookup.words,), 2), "i": lookup.index, "u": u}
        check(updating(MACHINES[name], lookup, reduce), inputs)

    check_updates()


def test_counts_of_a_lookup() -> None:
    lookup = rows(6, 8, 100)
    dims = (Dim("N", opc=6), Dim("C", opc=8))
    (counts,) = check(
        reading(MACHINES["eyeriss"], GConv(dims), lookup), {"x": integers((800,), 2), "i": lookup.index}
    ).values()
    events = counts.events
    assert (events["dram.input.read"], events["dram.input.lookup"], events["dram.index.read"]) == (48, 48, 6)
    assert (events["dram.output.write"], events["dram.output.lookup"], events["dram.output.read"]) == (48, 0, 0)


@pytest.mark.parametrize(("reduce", "read"), [(Reduce.NONE, 0), (Reduce.ADD, 48)])
def test_counts_of_updates(reduce: Reduce, read: int) -> None:
    lookup = rows(6, 8, 100)
    inputs = {"x": integers((800,), 2), "i": lookup.index, "u": integers((6, 8), 3)}
    counts = list(check(updating(MACHINES["eyeriss"], lookup, reduce), inputs).values())[-1]
    events = counts.events
    assert (events["dram.output.write"], events["dram.output.lookup"]) == (48, 48)
    assert (events["dram.output.read"], events["dram.index.read"]) == (read, 6)


SPLIT = Mapping(
    (
        Temporal(Loop("D1", LoopKind.OPC), 2),
        Temporal(Loop("D0", LoopKind.OPC), 1),
        Storage("glb", (Operand.OUTPUT, Operand.INPUT)),
    )
)


def test_a_mapping_that_takes_updates_out_of_order_is_refused() -> None:
    with pytest.raises(CatenaError, match="out of order") as caught:
        lowered(updating(MACHINES["eyeriss"], rows(3, 4, 5), Reduce.ADD, SPLIT))
    assert {each.code for each in caught.value.diagnostics} == {"CAT-F002"}


@pytest.mark.parametrize(
    ("tiles", "legal"),
    [
        ([("A", 1), ("B", 2)], True),
        ([("A", 2), ("A", 1), ("B", 3)], True),
        ([("A", 3)], True),
        ([("B", 2)], False),
        ([("A", 2), ("B", 2)], False),
        ([("B", 1), ("A", 1)], False),
        ([("A", 1), ("C", 1)], False),
    ],
)
def test_the_order_of_output_tiles(tiles: list[tuple[str, int]], legal: bool) -> None:
    spec = GConv((Dim("A", opc=4), Dim("B", opc=5), Dim("C", opc=3)))
    cuts = (Temporal(Loop(dim, LoopKind.OPC), tile) for dim, tile in tiles)
    mapping = Mapping((*cuts, Storage("glb", (Operand.OUTPUT, Operand.INPUT))))
    assert not violations(spec, mapping, MACHINES["eyeriss"])
    assert (not violations(spec, mapping, MACHINES["eyeriss"], in_order=True)) == legal


@settings(max_examples=examples(60), **QUIET)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.sampled_from(sorted(MACHINES)))
def test_mappings_in_order_are_legal(shape: list[int], name: str) -> None:
    spec = GConv(tuple(Dim(f"D{axis}", opc=n) for axis, n in enumerate(shape)))
    mapping = in_order_mapping(spec, MACHINES[name])
    assert not violations(spec, mapping, MACHINES[name], in_order=True)


@pytest.mark.parametrize("index", [5, -6])
@pytest.mark.parametrize("updates", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_an_index_out_of_range_is_a_fault(mode: str, updates: bool, index: int) -> None:
    lookup = rows(3, 4, 5)
    inputs = {"x": integers((20,), 2), "i": np.array([0, index, 1], np.int32).reshape(3, 1, 1)}
    if updates:
        module = updating(MACHINES["eyeriss"], lookup, Reduce.NONE)
        inputs["u"] = integers((3, 4), 3)
    else:
        module = reading(MACHINES["eyeriss"], GConv((Dim("N", opc=3), Dim("C", opc=4))), lookup)
    with pytest.raises(CatenaError) as caught:
        SpatialEmulator(compile_chain(module), mode).run(inputs)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.found) == (
        "CAT-E001",
        "an index is out of range",
        str(index),
    )
    assert diagnostic.expected == "-5 to 4"


def memory(written: bool = True, dtype: type = np.float32) -> MemoryBank:
    """Words 0 to 9, then indices 0, 1, 2 at 10; of the words, 4 was perhaps never written."""
    valid = np.ones(10, np.bool_)
    valid[4] = written
    return MemoryBank(
        "DRAM",
        13,
        [Segment(np.arange(10, dtype=dtype), 0, valid), Segment(np.arange(3, dtype=np.int32), 10, None)],
    )


def addresses(dram: MemoryBank, index_type: type = np.int32, place: int = 0) -> np.ndarray:
    """The words 0, 4 and 8."""
    here, there = Walk(0, [0], np.dtype(np.float32)), Walk(10, [1], np.dtype(index_type))
    return computed_addresses(dram, [3], here, there, [TermConfig(place, 4, 3)])[0]


def test_words_at_computed_addresses() -> None:
    dram = memory()
    found = addresses(dram)
    np.testing.assert_array_equal(dram.gather(found, np.dtype(np.float32)), [0, 4, 8])
    dram.scatter(found, np.array([7, 8, 9], np.float32), None)
    dram.scatter(found, np.array([1, 1, 1], np.float32), np.add)
    np.testing.assert_array_equal(dram.read(0, (10,), (1,)), [8, 1, 2, 3, 9, 5, 6, 7, 10, 9])


@pytest.mark.parametrize(
    ("act", "code", "message"),
    [
        (lambda: memory(written=False).gather(np.array([3, 4]), np.dtype(np.float32)), "CAT-E002", "never written"),
        (lambda: memory(written=False).scatter(np.array([4]), np.ones(1, np.float32), np.add), "CAT-E002", "never"),
        (lambda: memory().gather(np.array([3, 20]), np.dtype(np.float32)), "CAT-E001", "outside of DRAM"),
        (lambda: memory().gather(np.array([3]), np.dtype(np.int32)), "CAT-E003", "another type"),
        (lambda: memory().scatter(np.array([11]), np.ones(1, np.int32), None), "CAT-E003", "constants of DRAM"),
        (lambda: addresses(memory(), place=2), "CAT-E001", "outside of DRAM"),
        (lambda: addresses(memory(), np.float32), "CAT-E003", "another type"),
    ],
)
def test_faults_of_memories(act, code: str, message: str) -> None:
    with pytest.raises(Fault, match=message) as caught:
        act()
    assert caught.value.code == code


def test_words_that_no_update_wrote_are_not_read() -> None:
    """Without data, a place that the indices leave out holds nothing."""
    block = Block(arg_types=[TensorType(i32, (3, 1)), TensorType(f32, (3,))])
    view = IndexedView.of_terms(View((3,), (0,)), [(1, 3)])
    made = LinkOp.of(GConv((Dim("N", opc=3),)), block.args[1])
    scatter = ScatterOp.of(made.result, block.args[0], view, (3,), tensor="y")
    module = module_of(MACHINES["eyeriss"], [made, scatter], block, "i", "u")
    CopyConcatPass().apply(Context(), module)
    program = compile_chain(module)
    u = np.array([5, 6, 7], np.float32)
    full, partial = (np.array(index, np.int32).reshape(3, 1) for index in ([2, 0, 1], [2, 0, 0]))
    np.testing.assert_array_equal(SpatialEmulator(program).run({"i": full, "u": u})["y"], [6, 7, 5])
    with pytest.raises(CatenaError) as caught:
        SpatialEmulator(program).run({"i": partial, "u": u})
    assert caught.value.diagnostics[0].code == "CAT-E002"


def placed() -> LayerOp:
    """The layer of a lookup after placing."""
    module = lowered(reading(MACHINES["eyeriss"], GConv((Dim("N", opc=6), Dim("C", opc=8))), rows(6, 8, 100)))
    (layer,) = (op for op in module.walk() if isinstance(op, LayerOp))
    return layer


def test_placed_lookups_read_back_as_the_same_program() -> None:
    module = lowered(updating(MACHINES["eyeriss"], rows(3, 4, 5), Reduce.ADD))
    text = print_module(module)
    assert "writes at" in text
    again = parse_module(text)
    again.verify()
    assert print_module(again) == text
    assert emit(again, "eyeriss").code == emit(module, "eyeriss").code


LOOKUP = "#spatial.lookup"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"read_lookup": None}, "belong together"),
        (
            {"read_lookup": "#spatial.lookup<[6, 8] by [1, 0], [0: 8 of 101]>"},
            "a computed address reaches words 0 to 807",
        ),
        ({"read_lookup": "#spatial.lookup<[6, 8] by [1, 0], [1: 8 of 100]>"}, "an index reaches words 1 to 6"),
        ({"read_lookup": "#spatial.lookup<[6, 4] by [1, 0], [0: 8 of 100]>"}, "an index of shape"),
        ({"update": "#gconv<reduce add>"}, "updates have an index tensor"),
    ],
)
def test_placed_lookups_are_verified(properties: dict[str, str | None], message: str) -> None:
    layer = placed()
    for name, text in properties.items():
        if text is None:
            del layer.properties[name]
        else:
            layer.properties[name] = Parser(new_ir_context(), text).parse_attribute()
    with pytest.raises(VerifyException, match=message):
        layer.verify()

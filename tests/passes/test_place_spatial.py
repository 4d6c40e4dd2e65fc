"""Placing: addresses, what lives when, loops of a layer, and what cannot be placed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.parser import Parser

from backends.eyeriss import BACKEND
from compiler.compilation import CompileOptions, compile_source
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv.interpreter import main_function
from dialects.machine_kinds import parse_machine
from dialects.schedule import MappingAttr
from dialects.spatial import BufferOp, ForOp, LayerOp, PlaceOp, Role, integer
from dialects.target import MachineOp, require_machine
from passes.map_row_stationary import MapRowStationaryPass
from passes.place_spatial import PlaceSpatialPass
from passes.verification import verify_module
from tests.end_to_end.networks import NETWORKS
from tests.filechecking import new_ir_context, print_module

MACHINE = {
    "name": "m", "summary": "", "clock_mhz": 1.0, "word_bits": 16,
    "array": {"rows": 4, "cols": 3}, "pe": {"input_words": 4, "kernel_words": 12, "output_words": 3},
    "glb": {"banks": 6, "bank_words": 16}, "dram": {"words": 4000},
    "links": {"dram": 1.0, "input_bus": 1.0, "kernel_bus": 1.0, "output_bus": 1.0},
    "limits": {"channels": 9, "filters": 9, "kernel_rows": 3, "kernel_cols": 4, "post_steps": 4, "post_operands": 2},
    "energy": {"picojoules": 1, "dram": 9, "glb": 3, "array": 2, "spad": 1, "operation": 1},
    "counting": {"padding_in_buffer": True, "dram": [], "glb": [], "array": [], "spad": []}, "sources": {},
}  # fmt: skip

CHAIN = """
func.func @main(%x : tensor<4x6xf32> {onnx.name = "x"}) -> (tensor<3x5xf32> {onnx.name = "y"}) {
  %a = gconv.link %x : tensor<4x6xf32> <H opc 4, W opc 6> "pass" none post <relu> {tensor = "a"} -> tensor<4x6xf32>
    loc("relu")
  %b = gconv.link %a : tensor<4x6xf32> <H opc 3 ks 2, W opc 5 ks 2> "pass" add MAPPED -> tensor<3x5xf32> loc("pool")
  func.return %b : tensor<3x5xf32>
}
"""


def module_of(text: str, **tables: dict[str, object]) -> ModuleOp:
    """IR text on a small machine with some values changed."""
    module = Parser(new_ir_context(), text).parse_module()
    machine = parse_machine({**MACHINE, **{name: {**MACHINE[name], **values} for name, values in tables.items()}})
    module.body.block.insert_op_before(MachineOp.of(machine), next(iter(module.ops)))
    return module


def placed(module: ModuleOp) -> ModuleOp:
    """The module after mapping and placing."""
    for step in (MapRowStationaryPass(), PlaceSpatialPass()):
        step.apply(Context(), module)
    verify_module(module)
    return module


def problems_of(module: ModuleOp) -> list[Diagnostic]:
    """What placing is refused for."""
    with pytest.raises(CatenaError) as caught:
        PlaceSpatialPass().apply(Context(), module)
    return list(caught.value.diagnostics)


def buffers_of(module: ModuleOp) -> list[BufferOp]:
    return [op for op in main_function(module).body.block.ops if isinstance(op, BufferOp)]


def layers_of(module: ModuleOp) -> list[LayerOp]:
    return [op for op in main_function(module).body.block.ops if isinstance(op, LayerOp)]


@dataclass
class Life:
    """When a buffer holds something that is still wanted: from before layer `first` until after layer `last`."""

    first: int
    last: int


def lives_of(module: ModuleOp) -> dict[BufferOp, Life]:
    """Lives, by looking at who reads and writes: constants always, inputs from the start, outputs to the end."""
    layers = layers_of(module)
    lives: dict[BufferOp, Life] = {}
    for buffer in buffers_of(module):
        used = [index for index, layer in enumerate(layers) if buffer.result in layer.operands]
        first, last = min(used, default=0), max(used, default=0)
        match buffer.role.data:
            case Role.CONSTANT:
                first, last = 0, len(layers)
            case Role.INPUT:
                first = 0
            case Role.OUTPUT:
                last = len(layers)
            case _:
                assert used
        lives[buffer] = Life(first, last)
    return lives


@pytest.mark.parametrize("name", NETWORKS)
def test_what_lives_at_the_same_time_does_not_overlap(name: str, tmp_path: Path) -> None:
    module = compiled(name, tmp_path)
    lives = lives_of(module)
    for one, other in itertools.combinations(lives, 2):
        if lives[one].first <= lives[other].last and lives[other].first <= lives[one].last:
            assert words_of(one).isdisjoint(words_of(other)), (one, other)
    end = max(max(words_of(buffer)) for buffer in lives)
    assert end < require_machine(module, "placed").dram.words


def compiled(name: str, folder: Path) -> ModuleOp:
    """A network after the stage `placed`."""
    source = folder / "model.onnx"
    onnx.save(NETWORKS[name](), source)
    return compile_source(str(source), CompileOptions(stop="placed")).module


def words_of(buffer: BufferOp) -> set[int]:
    start = integer(buffer.address)
    return set(range(start, start + buffer.words))


@pytest.mark.parametrize("name", ["classifier", "residual", "attention"])
def test_words_are_used_again(name: str, tmp_path: Path) -> None:
    tensors = [buffer for buffer in buffers_of(compiled(name, tmp_path)) if buffer.role.data != Role.CONSTANT]
    used = set().union(*map(words_of, tensors))
    assert len(used) < 0.85 * sum(buffer.words for buffer in tensors)


def test_constants_come_first_in_order_of_use(tmp_path: Path) -> None:
    module = compiled("residual", tmp_path)
    constants = [buffer for buffer in buffers_of(module) if buffer.role.data == Role.CONSTANT]
    read = [operand.owner for layer in layers_of(module) for operand in layer.operands]
    order = list(dict.fromkeys(owner for owner in read if owner in constants))
    address = 0
    for buffer in order:
        assert integer(buffer.address) == address
        address += buffer.words
    assert len(order) == len(constants)


def test_a_layer_has_places_then_the_loops_of_its_mapping() -> None:
    mapping = "#schedule.mapping<for W.opc 3, store glb [O], for H.ks 1, store glb [I], par W.opc 1 on col>"
    module = placed(module_of(CHAIN.replace("MAPPED", f"{{mapping = {mapping}}}")))
    layer = layers_of(module)[1]
    assert [text_of(op) for op in nested(layer)] == [
        'spatial.spread <W.opc> tile 1 on "col"',
        'spatial.place "I" in "glb" at 0 words 12',
        'spatial.place "O" in "glb" at 16 words 9',
        "spatial.for <W.opc> tile 3",
        "spatial.open",
        "spatial.for <H.ks> tile 1",
        'spatial.load "I"',
        "spatial.pass",
        "spatial.store",
    ]
    assert isinstance(layer.mapping, MappingAttr)
    assert str(layer.mapping) == mapping


def nested(layer: LayerOp) -> Iterator[Operation]:
    yield from (op for op in layer.walk() if op is not layer)


def text_of(op: Operation) -> str:
    """The first line of an op as it is printed, without an opening brace."""
    return str(op).splitlines()[0].removesuffix(" {")


def test_places_of_inputs_and_sums_are_in_banks_of_their_own(tmp_path: Path) -> None:
    for name in ("classifier", "residual", "attention"):
        module = compiled(name, tmp_path)
        bank = require_machine(module, "placed").glb.bank_words
        for layer in layers_of(module):
            banks = [
                {word // bank for word in range(integer(op.address), integer(op.address) + integer(op.words))}
                for op in layer.body.block.ops
                if isinstance(op, PlaceOp) and op.memory.data == "glb"
            ]
            assert len(banks) == 2
            assert banks[0].isdisjoint(banks[1])


def test_every_op_has_the_node_of_its_link(tmp_path: Path) -> None:
    for layer in layers_of(compiled("separable", tmp_path)):
        assert all(op.location == layer.location for op in layer.walk())
        assert any(isinstance(op, ForOp) for op in layer.walk()) or layer.mapping is not None


def test_the_text_of_a_placed_module_is_complete(tmp_path: Path) -> None:
    text = print_module(compiled("joins", tmp_path))
    assert print_module(Parser(new_ir_context(), text).parse_module()) == text


def test_links_without_mapping_are_all_named() -> None:
    problems = problems_of(module_of(CHAIN.replace("MAPPED", "")))
    assert [(each.code, each.node, each.hint) for each in problems] == [
        ("CAT-R003", "relu", "run map-row-stationary"),
        ("CAT-R003", "pool", "run map-row-stationary"),
    ]


def test_mappings_that_do_not_fit_are_refused() -> None:
    mapping = "#schedule.mapping<store glb [O], store glb [I], par W.opc 1 on col>"
    module = module_of(CHAIN.replace("MAPPED", f"{{mapping = {mapping}}}"))
    relu = next(op for op in main_function(module).body.block.ops)
    relu.properties["mapping"] = Parser(new_ir_context(), "#schedule.mapping<store glb [O, I]>").parse_attribute()
    problems = problems_of(module)
    assert {each.code for each in problems} == {"CAT-F002"}
    assert "columns of the array" in "".join(each.message for each in problems if each.node == "pool")


def test_a_network_that_does_not_fit_the_memory_is_refused() -> None:
    text = CHAIN.replace("MAPPED", "")
    module = module_of(text, dram={"words": 47})
    MapRowStationaryPass().apply(Context(), module)
    (problem,) = problems_of(module)
    assert (problem.code, problem.expected, problem.found) == ("CAT-F003", "at most 47 words", "48 words")
    assert len(buffers_of(placed(module_of(text, dram={"words": 48})))) == 3


@pytest.mark.parametrize("returned", ["%x", "%a, %a", "%c"])
def test_results_that_are_no_tensors_of_their_own_are_refused(returned: str) -> None:
    count = returned.count("%")
    kinds = ", ".join(["tensor<4x6xf32>"] * count)
    names = ", ".join(f'tensor<4x6xf32> {{onnx.name = "y{index}"}}' for index in range(count))
    module = module_of(f"""
func.func @main(%x : tensor<4x6xf32> {{onnx.name = "x"}}) -> ({names}) {{
  %a = gconv.link %x : tensor<4x6xf32> <H opc 4, W opc 6> "pass" none -> tensor<4x6xf32> loc("copy")
  %c = weights.constant <"{"0" * 64}"> : tensor<4x6xf32> loc("weights")
  func.return {returned} : {kinds}
}}
""")
    MapRowStationaryPass().apply(Context(), module)
    problems = problems_of(module)
    assert {(each.code, each.hint) for each in problems} == {("CAT-R003", "run copy-concat")}


def test_the_description_of_eyeriss_is_a_machine() -> None:
    import tomllib

    machine = parse_machine(tomllib.loads(BACKEND.description().read_text()))
    assert machine.name == BACKEND.name
    assert set(machine.sources) <= set(type(machine).model_fields)

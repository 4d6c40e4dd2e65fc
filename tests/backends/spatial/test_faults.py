"""Everything that the machine cannot do stops the emulator, which says at which instruction of which layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from backends.program import ConstantImage, Role
from backends.spatial.emulator import MODES, SpatialEmulator
from dialects.diagnostics import CODES, CatenaError, ExitCode
from tests.backends.spatial.handmade import KERNEL, Handmade, X, expected

NODES = {"conv": "Conv_0", "relu": "Relu_1 + Relu_2"}


@dataclass(frozen=True)
class Case:
    """Changed lines, and how the program then ends: error code, part of the message, the line, its layer."""

    changes: dict[str, str]
    code: str
    message: str
    at: str
    layer: str = "conv"


INPUT_PLACE = "place tensor=input, memory=glb, address=0, words=15"
KERNEL_PLACE = "place tensor=kernel, memory=spad, address=0, words=8"
FAR_KERNEL_PLACE = "place tensor=kernel, memory=spad, address=0, words=9999999"
OUTPUT_PLACE = "place tensor=output, memory=glb, address=16, words=8"
INPUT_BASE = "base tensor=input, address=12"
OUTPUT_BASE = "base tensor=output, address=27"
LAYER = "layer index=0, main=103, fold=add, padding=0.0"
OPEN, LOAD_INPUT, LOAD_KERNEL = "open", "load tensor=input", "load tensor=kernel"
LOOP = "loop dim=0, kind=ks, tile=2"
COLUMNS = "spread dim=1, kind=opc, tile=2, axis=col"
ROWS = "spread dim=0, kind=ks, tile=1, axis=row"


def function(text: str) -> dict[str, str]:
    """One more function, before the input's address."""
    return {INPUT_BASE: f"function {text}\n{INPUT_BASE}"}


CASES = {
    "compressed-without-code": Case(
        {INPUT_BASE: f"compress tensor=input\n{INPUT_BASE}"},
        "CAT-E003",
        "INPUT is compressed on a machine without a code for it",
        "compress tensor=input",
    ),
    # Places in the buffer and the scratchpads.
    "place-outside-buffer": Case(
        {INPUT_PLACE: "place tensor=input, memory=glb, address=82, words=15"},
        "CAT-E001",
        "outside of the buffer",
        "place tensor=input, memory=glb, address=82, words=15",
    ),
    "input-overruns-place": Case(
        {INPUT_PLACE: "place tensor=input, memory=glb, address=0, words=14"},
        "CAT-E001",
        "an input tile overruns its place",
        LOAD_INPUT,
    ),
    "kernel-overruns-place": Case(
        {KERNEL_PLACE: "place tensor=kernel, memory=spad, address=0, words=7"},
        "CAT-E001",
        "a kernel tile overruns its place",
        LOAD_KERNEL,
    ),
    "output-overruns-place": Case(
        {OUTPUT_PLACE: "place tensor=output, memory=glb, address=16, words=7"},
        "CAT-E001",
        "an output tile overruns its place",
        OPEN,
    ),
    "tensors-share-a-bank": Case(
        {OUTPUT_PLACE: "place tensor=output, memory=glb, address=15, words=8"},
        "CAT-E003",
        "OUTPUT and INPUT share bank 0",
        "place tensor=output, memory=glb, address=15, words=8",
    ),
    "input-without-place": Case({INPUT_PLACE: ""}, "CAT-E003", "INPUT has no place in GLB", LOAD_INPUT),
    "input-in-scratchpad": Case(
        {INPUT_PLACE: "place tensor=input, memory=spad, address=0, words=15"},
        "CAT-E003",
        "INPUT has no place in GLB",
        LOAD_INPUT,
    ),
    "kernel-without-place": Case({KERNEL_PLACE: ""}, "CAT-E003", "KERNEL has no place in SPAD", LOAD_KERNEL),
    "output-without-place": Case({OUTPUT_PLACE: ""}, "CAT-E003", "OUTPUT has no place in GLB", OPEN),
    # DRAM.
    "input-behind-dram": Case(
        {INPUT_BASE: "base tensor=input, address=29"}, "CAT-E001", "access outside of DRAM", LOAD_INPUT
    ),
    "input-before-dram": Case(
        {
            INPUT_BASE: "base tensor=input, address=3",
            "stride tensor=input, dim=0, stride=5": "stride tensor=input, dim=0, stride=-2",
        },
        "CAT-E001",
        "access outside of DRAM",
        LOAD_INPUT,
    ),
    "input-half-constant": Case(
        {INPUT_BASE: "base tensor=input, address=11"}, "CAT-E001", "access outside of DRAM", LOAD_INPUT
    ),
    "kernel-outside-dram": Case(
        {"base tensor=kernel, address=0": "base tensor=kernel, address=99"},
        "CAT-E001",
        "access outside of DRAM",
        LOAD_KERNEL,
    ),
    "output-outside-dram": Case(
        {OUTPUT_BASE: "base tensor=output, address=36"}, "CAT-E001", "access outside of DRAM", "store"
    ),
    "input-never-written": Case(
        {INPUT_BASE: "base tensor=input, address=13"},
        "CAT-E002",
        "a word of DRAM is read that was never written",
        LOAD_INPUT,
    ),
    "constants-written": Case(
        {OUTPUT_BASE: "base tensor=output, address=4"}, "CAT-E003", "constants of DRAM are written", "store"
    ),
    "input-without-address": Case(
        {INPUT_BASE: ""}, "CAT-E003", "INPUT has no address", "stride tensor=input, dim=0, stride=5"
    ),
    "input-never-addressed": Case(
        {
            INPUT_BASE: "",
            "stride tensor=input, dim=0, stride=5": "",
            "stride tensor=input, dim=1, stride=1": "",
        },
        "CAT-E003",
        "INPUT has no address",
        LOAD_INPUT,
    ),
    "extra-without-address": Case(
        function("slot=post, code=100, operand=extra0"), "CAT-E003", "EXTRA0 has no address", "store"
    ),
    "extra-outside-dram": Case(
        {INPUT_BASE: f"function slot=post, code=100, operand=extra3\nbase tensor=extra3, address=90\n{INPUT_BASE}"},
        "CAT-E001",
        "access outside of DRAM",
        "store",
    ),
    # The order of transfers and passes.
    "pass-before-input": Case({LOAD_INPUT: ""}, "CAT-E002", "before its input and output tiles are there", "pass"),
    "pass-before-open": Case({OPEN: ""}, "CAT-E002", "before its input and output tiles are there", "pass"),
    "pass-before-kernel": Case(
        {LOAD_KERNEL: ""}, "CAT-E002", "the elements do not hold the kernel words that a pass needs", "pass"
    ),
    "kernel-for-fewer-elements": Case(
        {LOAD_KERNEL: f"loop dim=1, kind=opc, tile=2\n{LOAD_KERNEL}\npass\nend"},
        "CAT-E002",
        "deliver",
        "pass",
    ),
    "kernel-outside-scratchpads": Case(
        {KERNEL_PLACE: FAR_KERNEL_PLACE},
        "CAT-E001",
        "outside of the scratchpads",
        FAR_KERNEL_PLACE,
    ),
    "other-kernel-tile": Case(
        {
            LOAD_INPUT: f"{LOAD_INPUT}\n{LOAD_KERNEL}",
            LOAD_KERNEL: "",
            KERNEL_PLACE: "place tensor=kernel, memory=spad, address=0, words=12",
        },
        "CAT-E002",
        "the elements do not hold the kernel words that a pass needs",
        "pass",
    ),
    "kernel-tile-of-another-round": Case(
        {LOOP: f"loop dim=0, kind=ks, tile=1\n{LOAD_KERNEL}\nend\nloop dim=0, kind=ks, tile=1", LOAD_KERNEL: ""},
        "CAT-E002",
        "the elements do not hold the kernel words that a pass needs",
        "pass",
    ),
    "input-tile-too-small": Case(
        {LOAD_INPUT: f"loop dim=1, kind=opc, tile=2\n{LOAD_INPUT}\nend"},
        "CAT-E002",
        "a pass needs input positions that the tile in the buffer does not have",
        "pass",
    ),
    "input-groups-too-few": Case(
        {
            "dim dim=0, g=1, op=1, opc=8, ks=1": "dim dim=0, g=8, op=1, opc=1, ks=1",
            "window dim=0, stride=1, dilation=1, pad=0, up=1, extent=8": "",
            "loop dim=0, kind=opc, tile=3": "loop dim=0, kind=g, tile=3",
            "load tensor=input  ; of z": "loop dim=0, kind=g, tile=2\nload tensor=input\nend",
        },
        "CAT-E002",
        "a pass needs groups that the tile in the buffer does not have",
        "pass  ; of z",
        "relu",
    ),
    "output-tile-too-small": Case(
        {OPEN: f"loop dim=0, kind=op, tile=1\n{OPEN}\nend"},
        "CAT-E002",
        "a pass needs outputs that the tile in the buffer does not have",
        "pass",
    ),
    "sum-was-forgotten": Case(
        {OPEN: "", LOAD_KERNEL: f"{OPEN}\n{LOAD_KERNEL}"},
        "CAT-E002",
        "a word of the buffer is read that was never written",
        "pass",
    ),
    "store-before-reduction-ends": Case(
        {OPEN: "", LOOP: f"{LOOP}\n{OPEN}", "pass": "pass\nstore", "store": ""},
        "CAT-E003",
        "a tile is stored before its kernel loops have ended",
        "store",
    ),
    "store-before-open": Case(
        {OPEN: "", LOAD_INPUT: "store"}, "CAT-E003", "the stored tile is not the one that was opened", "store"
    ),
    "store-before-pass": Case({"pass": ""}, "CAT-E002", "a word of the buffer is read that was never written", "store"),
    "output-cannot-be-loaded": Case(
        {LOAD_INPUT: "load tensor=output"}, "CAT-E003", "OUTPUT cannot be loaded", "load tensor=output"
    ),
    "kernel-of-a-layer-without-one": Case(
        {"load tensor=input  ; of z": "load tensor=kernel"},
        "CAT-E003",
        "a kernel is loaded in a layer without one",
        "load tensor=kernel",
        "relu",
    ),
    "folding-nothing": Case(
        {LAYER: "layer index=0, main=103, fold=none, padding=0.0"}, "CAT-E003", "kernel loops need a reduction", "pass"
    ),
    # Loops and layers.
    "end-without-loop": Case({LOAD_INPUT: f"{LOAD_INPUT}\nend"}, "CAT-E003", "an end without a loop", "end"),
    "store-in-loop": Case({"end": ""}, "CAT-E003", "the stored tile is not the one that was opened", "store"),
    "layer-in-loop": Case(
        {"end": "", "store": ""},
        "CAT-E003",
        "a layer begins inside a loop",
        "layer index=1, main=0, fold=none, padding=0.0",
        "relu",
    ),
    "halt-in-loop": Case({"end  ; of z": ""}, "CAT-E003", "the program stops inside a loop", "halt", ""),
    "loop-over-missing-dimension": Case(
        {LOOP: "loop dim=2, kind=ks, tile=2"}, "CAT-E003", "a loop runs over dimension 2", "loop dim=2, kind=ks, tile=2"
    ),
    "off-the-end": Case({"halt": ""}, "CAT-E001", "execution ran past the end of the code", "", ""),
    "layer-twice": Case(
        {"layer index=1, main=0, fold=none, padding=0.0": "layer index=0, main=0, fold=none, padding=0.0"},
        "CAT-E003",
        "layer 0 runs twice",
        "layer index=0, main=0, fold=none, padding=0.0",
        "relu",
    ),
    "no-layer": Case({LAYER: ""}, "CAT-E003", "no layer has begun", "dim dim=0, g=1, op=2, opc=1, ks=3"),
    # Functions.
    "unknown-function": Case(
        function("slot=post, code=250"),
        "CAT-E003",
        "there is no scalar function number 250",
        "function slot=post, code=250",
    ),
    "binary-without-operand": Case(
        function("slot=post, code=100"), "CAT-E003", "function add with operand INPUT", "function slot=post, code=100"
    ),
    "unary-with-operand": Case(
        function("slot=post, code=40, operand=extra0"),
        "CAT-E003",
        "function relu with operand EXTRA0",
        "function slot=post, code=40, operand=extra0",
    ),
    "operand-on-the-way-in": Case(
        function("slot=pre, code=100, operand=extra0"),
        "CAT-E003",
        "function add with operand EXTRA0 in PRE",
        "function slot=pre, code=100, operand=extra0",
    ),
    "main-is-unknown": Case(
        {LAYER: "layer index=0, main=251, fold=add, padding=0.0"},
        "CAT-E003",
        "there is no main function number 251",
        "layer index=0, main=251, fold=add, padding=0.0",
    ),
    "main-is-unary": Case(
        {LAYER: "layer index=0, main=40, fold=add, padding=0.0"},
        "CAT-E003",
        "there is no main function number 40",
        "layer index=0, main=40, fold=add, padding=0.0",
    ),
    # The array.
    "too-few-columns": Case(
        {COLUMNS: "spread dim=1, kind=opc, tile=1, axis=col"}, "CAT-E001", "columns of the array", "pass"
    ),
    "too-few-rows": Case(
        {COLUMNS: "spread dim=1, kind=opc, tile=1, axis=row"}, "CAT-E001", "rows of the array", "pass"
    ),
    "too-few-rows-of-nested-spreads": Case(
        {COLUMNS: "spread dim=1, kind=opc, tile=2, axis=row\nspread dim=1, kind=opc, tile=1, axis=row"},
        "CAT-E001",
        "rows of the array",
        "pass",
    ),
    "input-scratchpad-overruns": Case(
        {
            ROWS: "",
            LOOP: "loop dim=0, kind=ks, tile=3",
            KERNEL_PLACE: "place tensor=kernel, memory=spad, address=0, words=12",
        },
        "CAT-E001",
        "words of the input scratchpad",
        "pass",
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_program_itself_runs(mode: str) -> None:
    np.testing.assert_array_equal(Handmade().run(mode), expected())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_fault_names_instruction_and_layer(case: Case, mode: str) -> None:
    handmade = Handmade().edited(case.changes)
    fault = handmade.fault(mode)
    assert fault.code == case.code
    assert CODES[fault.code].exit_code is ExitCode.MISMATCH
    assert case.message in fault.message
    assert fault.stage == "emulation"
    assert fault.node == NODES.get(case.layer, "")
    place, _, layer = fault.where.partition(", layer ")
    assert layer == case.layer
    address = int(place.removeprefix("instruction "))
    assert [*handmade.listing, ""][address] == case.at


@pytest.mark.parametrize(
    "line",
    [
        "dim dim=0, g=1, op=2, opc=1, ks=3",
        "window dim=0, stride=1, dilation=1, pad=0, up=1, extent=3",
        "function slot=post, code=40",
        INPUT_BASE,
        "stride tensor=input, dim=0, stride=5",
        INPUT_PLACE,
        ROWS,
    ],
    ids=lambda line: line.split()[0],
)
def test_a_running_layer_is_not_configured(line: str) -> None:
    fault = Handmade().edited({LOAD_INPUT: f"{line}\n{LOAD_INPUT}"}).fault()
    assert (fault.code, fault.message) == ("CAT-E003", "a layer is configured while it runs")
    assert fault.where == "instruction 20, layer conv"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"pe": {"input_words": 1}}, "words of the input scratchpad"),
        ({"pe": {"kernel_words": 3}}, "words of the kernel scratchpad"),
        ({"pe": {"output_words": 1}}, "words of the output scratchpad"),
        ({"array": {"rows": 1}}, "rows of the array"),
        ({"array": {"cols": 1}}, "columns of the array"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_every_limit_of_the_array_holds(table: dict[str, Any], message: str, mode: str) -> None:
    fault = Handmade().on(**table).fault(mode)
    assert fault.code == "CAT-E001"
    assert message in fault.message


def test_limits_are_exact() -> None:
    just_enough = Handmade().on(
        array={"rows": 2, "cols": 2},
        pe={"input_words": 2, "kernel_words": 4, "output_words": 2},
        glb={"banks": 3, "bank_words": 16},
    )
    for mode in MODES:
        np.testing.assert_array_equal(just_enough.run(mode), expected())


def test_an_element_works_only_on_kernel_words_it_was_given() -> None:
    changes = {
        LOAD_INPUT: f"{LOAD_INPUT}\nloop dim=1, kind=opc, tile=2\n{LOAD_KERNEL}\npass\nend",
        LOOP: "",
        LOAD_KERNEL: "",
        "end": "",
        KERNEL_PLACE: "place tensor=kernel, memory=spad, address=0, words=12",
        ROWS: "spread dim=0, kind=ks, tile=1, axis=row\nspread dim=1, kind=opc, tile=2, axis=col",
        COLUMNS: "",
    }
    fault = Handmade().edited(changes).fault("elements")
    assert (fault.code, fault.message) == ("CAT-E002", "an element works on kernel words that were not delivered to it")


def test_faults_of_a_single_layer_name_its_place_in_the_program() -> None:
    handmade = Handmade().edited({"load tensor=input  ; of z": "load tensor=kernel"})
    emulator = SpatialEmulator(handmade.program())
    with pytest.raises(CatenaError) as caught:
        emulator.run_layer("relu", {"y": X[:2, :4]})
    (fault,) = caught.value.diagnostics
    address = handmade.listing.index("load tensor=kernel", 30)
    assert fault.where == f"instruction {address}, layer relu"


def test_an_output_that_was_never_written_is_named() -> None:
    handmade = Handmade()
    fault = replace(handmade, code={**handmade.code, "relu": []}).fault()
    assert fault.code == "CAT-E002"
    assert fault.message.startswith("tensor 'z': a word of DRAM is read that was never written")
    assert not fault.node  # z is a tensor


def test_an_input_among_the_constants_is_named() -> None:
    handmade = Handmade()
    tensors = tuple(replace(each, address=0, shape=(2, 5)) if each.name == "x" else each for each in handmade.tensors)
    with pytest.raises(CatenaError) as caught:
        SpatialEmulator(replace(handmade, tensors=tensors).program()).run({"x": X[:2]})
    (fault,) = caught.value.diagnostics
    assert fault.code == "CAT-P001"
    assert fault.message == "words of two types, or tensors and constants, overlap in DRAM"


def test_code_for_layers_that_are_not_listed_is_refused() -> None:
    line = "layer index=1, main=0, fold=none, padding=0.0"
    handmade = Handmade().edited({line: line.replace("index=1", "index=2")})
    fault = handmade.fault()
    assert fault.code == "CAT-P001"
    assert "does not list" in fault.message
    assert fault.where == f"instruction {handmade.listing.index(line.replace('index=1', 'index=2'))}"


@pytest.mark.parametrize("cores", [0, 2])
def test_programs_for_other_numbers_of_cores_are_refused(cores: int) -> None:
    program = Handmade().program()
    with pytest.raises(CatenaError) as caught:
        SpatialEmulator(replace(program, code=program.code * cores, debug=()))
    assert [each.code for each in caught.value.diagnostics] == ["CAT-P001"]


def test_a_machine_without_room_for_the_tensors_is_refused() -> None:
    fault = Handmade().on(dram={"words": 42}).fault()
    assert (fault.code, fault.expected, fault.found) == ("CAT-F003", "42 words", "43 words")
    np.testing.assert_array_equal(Handmade().on(dram={"words": 43}).run(), expected())


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (ConstantImage("sram", 0, 12, "float32", ((0, KERNEL),)), "CAT-P001"),
        (ConstantImage("dram", 0, 12, "float64", ((0, KERNEL.astype(np.float64)),)), "CAT-E003"),
        (ConstantImage("dram", 0, 13, "float32", ((0, KERNEL),)), "CAT-P001"),
    ],
    ids=["memory", "type", "overlap"],
)
def test_constants_of_another_machine_are_refused(image: ConstantImage, code: str) -> None:
    handmade = Handmade()
    tensors = tuple(each for each in handmade.tensors if each.role is not Role.CONSTANT)
    program = replace(handmade, constants=(image,), tensors=tensors).program()
    layers = (replace(program.layers[0], inputs=("x",)), program.layers[1])
    with pytest.raises(CatenaError) as caught:
        SpatialEmulator(replace(program, layers=layers)).run({"x": X})
    assert [each.code for each in caught.value.diagnostics] == [code]


def test_programs_of_another_instruction_set_are_refused() -> None:
    program = Handmade().program()
    other = replace(program, metadata=replace(program.metadata, isa_version=program.metadata.isa_version + 1))
    with pytest.raises(CatenaError) as caught:
        SpatialEmulator(other)
    assert [each.code for each in caught.value.diagnostics] == ["CAT-P004"]


def test_kernels_that_are_not_multicast_and_chains_that_share_a_column() -> None:
    found = Handmade().on(limits={"kernel_copies": 1}).fault()
    assert (found.code, found.expected, found.found) == ("CAT-E001", "at most 1", "2")
    assert "elements with the same kernel word" in found.message
    stacked = {ROWS: f"{ROWS}\nspread dim=0, kind=op, tile=1, axis=row"}
    assert Handmade().edited(stacked).run().shape == Handmade().run().shape
    found = Handmade().edited(stacked).on(limits={"chains_per_column": 1}).fault()
    assert "chains of sums in a column" in found.message

"""The row-stationary notation: the mappings it stands for, and what the chip measured with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.gconv import PASS, Dim, GConv, LoopKind, Reduce
from dialects.schedule import Loop, RowStationary
from passes.mapping.cost import predict, price
from passes.mapping.fit import violations
from passes.mapping.roles import assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, even_tile, expand, extent, fold
from passes.mapping.tiling import Tiling
from tests.examples import examples
from tests.passes.mapping.drawing import Shape, links
from tests.passes.mapping.machines import EYERISS, MACHINES, ROOMY, machine_like_eyeriss


@dataclass(frozen=True)
class ChipLayer:
    """A convolution of AlexNet on the chip, batch 4, input padded.

    Shape: Chen et al., JSSC 2017, table II. `mapping`: table III (m of CONV1, which is not printed, is what its 288
    passes imply). MMAC (printed cut or rounded), active elements, processing time in ms and buffer traffic in 10^6
    bytes: table V. `macs`, `passes`, `dram_mb` (input, kernel and output words, uncompressed), `compute_ms` (passes
    times multiplications of an element) follow from mapping and shape by hand; `time_error` is the known distance, in
    percent, of a model that adds the loading of kernels to the computing from the chip's processing time.
    """

    groups: int
    size: int
    kernel: int
    stride: int
    channels: int
    filters: int
    rows: int
    mapping: RowStationary
    macs: int
    mmac: float
    elements: int
    processing_ms: float
    glb_mb: float
    passes: int
    dram_mb: tuple[float, float, float]
    compute_ms: float
    time_error: float

    @property
    def spec(self) -> GConv:
        window = {"opc": self.rows, "ks": self.kernel, "stride": self.stride}
        channels = Dim("C", g=self.groups, op=self.filters, ks=self.channels)
        return GConv((Dim("N", opc=4), channels, Dim("H", **window), Dim("W", **window)), "mul", Reduce.ADD)

    @property
    def shape(self) -> Shape:
        return 4, self.groups * self.channels, self.size, self.size


def rs(m: int, n: int, e: int, p: int, q: int, r: int, t: int) -> RowStationary:
    return RowStationary(m, n, e, p, q, r, t)


# fmt: off
CHIP = {
    "CONV1": ChipLayer(1, 227, 11, 4, 3, 96, 55, rs(96, 1, 7, 16, 1, 1, 2),
                       421_660_800, 421.6, 154, 16.5, 18.5, 288, (1.504, 2.230, 2.323), 13.94, -7.1),
    "CONV2": ChipLayer(2, 31, 5, 1, 48, 128, 27, rs(64, 1, 27, 16, 2, 1, 1),
                       895_795_200, 895.7, 135, 39.2, 77.6, 1536, (1.476, 2.458, 1.493), 33.18, -11.4),
    "CONV3": ChipLayer(1, 15, 3, 1, 256, 384, 13, rs(64, 4, 13, 16, 4, 1, 4),
                       598_081_536, 598.1, 156, 21.8, 50.2, 384, (2.765, 1.769, 0.519), 19.17, 0.3),
    "CONV4": ChipLayer(2, 15, 3, 1, 192, 192, 13, rs(64, 4, 13, 16, 3, 2, 2),
                       448_561_152, 448.6, 156, 16.0, 37.4, 384, (2.074, 1.327, 0.519), 14.38, -5.0),
    "CONV5": ChipLayer(2, 15, 3, 1, 192, 128, 13, rs(64, 4, 13, 16, 3, 2, 2),
                       299_040_768, 299.0, 156, 10.0, 24.9, 256, (1.382, 0.885, 0.346), 9.58, 1.4),
}
# fmt: on
CONV3_IMPLIED = rs(64, 4, 13, 16, 3, 2, 2)
"""The mapping that gives CONV3's published buffer traffic: that of CONV4 and CONV5, not the one printed for it."""
each_layer = pytest.mark.parametrize("layer", CHIP.values(), ids=CHIP.keys())
FAST_BUSES = machine_like_eyeriss(links={"input_bus": 1e12, "kernel_bus": 1e12, "output_bus": 1e12})


def counted(layer: ChipLayer, notation: RowStationary | None = None, machine: Machine = EYERISS) -> Counts:
    mapping = expand(layer.spec, notation or layer.mapping, machine)
    assert violations(layer.spec, mapping, machine) == []
    return predict(layer.spec, layer.shape, mapping, machine)


def glb_mb(counts: Counts) -> float:
    """The buffer traffic that the chip's table counts, in 10^6 bytes of 16-bit words."""
    return counts.charged(EYERISS.counting.glb) * 2 / 1e6


@each_layer
def test_operations_elements_and_passes_are_the_chips(layer: ChipLayer) -> None:
    counts = counted(layer)
    assert counts.events["operation.mac"] == layer.macs
    assert layer.macs / 1e6 == pytest.approx(layer.mmac, abs=0.1)
    assert counts.peak_pes == layer.elements
    assert counts.passes == layer.passes


@pytest.mark.parametrize("name", ["CONV1", "CONV2", "CONV4", "CONV5"])
def test_buffer_traffic_is_within_a_percent_of_the_chips(name: str) -> None:
    assert glb_mb(counted(CHIP[name])) == pytest.approx(CHIP[name].glb_mb, rel=0.01)


def test_the_printed_mapping_of_conv3_contradicts_its_published_buffer_traffic() -> None:
    layer = CHIP["CONV3"]
    assert glb_mb(counted(layer)) == pytest.approx(69.2, abs=0.05)
    implied = counted(layer, CONV3_IMPLIED)
    assert glb_mb(implied) == pytest.approx(layer.glb_mb, rel=0.001)
    assert implied.peak_pes == layer.elements


@each_layer
def test_off_chip_words_are_those_of_the_shapes_and_tiles(layer: ChipLayer) -> None:
    events = counted(layer).events
    words = (events["dram.input.read"], events["dram.kernel.read"], events["dram.output.write"])
    assert [round(n * 2 / 1e6, 3) for n in words] == list(layer.dram_mb)
    assert events["dram.input.padding"] == 0


@each_layer
def test_processing_time_is_near_the_chips(layer: ChipLayer) -> None:
    counts = counted(layer)
    error = 100 * (counts.array_cycles / 200e3 / layer.processing_ms - 1)
    assert error == pytest.approx(layer.time_error, abs=0.1)
    kernel_loads = counts.passes  # one cycle each on a bus without limits
    compute = counted(layer, machine=FAST_BUSES).array_cycles - kernel_loads
    assert compute / 200e3 == pytest.approx(layer.compute_ms, abs=0.006)


def test_total_latency_adds_feature_map_transfers() -> None:
    total = sum(price(counted(layer), EYERISS).cycles for layer in CHIP.values()) / 200e3
    # The chip took 115.3 ms with compressed feature maps; raw ones are 1.2 to 1.9 times as large.
    assert 115.3 < total < 1.25 * 115.3


def test_the_mapping_of_the_chips_first_and_second_layer() -> None:
    assert str(expand(CHIP["CONV1"].spec, CHIP["CONV1"].mapping, EYERISS)) == (
        "for N.opc 1, for H.opc 7, store glb [O], for C.ks 1, store glb [I], for C.op 32, store spad [K], "
        "par H.ks 1 on row, par C.op 16 on col, par H.opc 1 on col"
    )
    # 27 output rows are folded into segments of 14 and 13 columns, one above the other.
    assert str(expand(CHIP["CONV2"].spec, CHIP["CONV2"].mapping, EYERISS)) == (
        "for C.g 1, for C.op 64, for N.opc 1, store glb [O], for C.ks 2, store glb [I], for C.op 16, store spad [K], "
        "par H.opc 14 on row, par H.ks 1 on row, par H.opc 1 on col"
    )


def test_storage_is_hoisted_above_loops_that_do_not_change_its_tile() -> None:
    window = {"opc": 4, "ks": 3}
    spec = GConv((Dim("C", op=8, ks=2), Dim("H", **window), Dim("W", **window)), "mul", Reduce.ADD)
    # All filters of a pass and all channels at once: kernels stay while the strips pass.
    assert str(expand(spec, rs(4, 1, 2, 4, 2, 1, 1), EYERISS)) == (
        "for C.op 4, store spad [K], for H.opc 2, store glb [O], store glb [I], par H.ks 1 on row, par H.opc 1 on col"
    )
    # One strip and all channels: inputs stay while the filters change.
    assert str(expand(spec, rs(4, 1, 4, 4, 2, 1, 1), EYERISS)) == (
        "store glb [I], for C.op 4, store glb [O], store spad [K], par H.ks 1 on row, par H.opc 1 on col"
    )
    # Channels one after another change both tiles.
    assert str(expand(spec, rs(8, 1, 4, 4, 1, 1, 1), EYERISS)) == (
        "store glb [O], for C.ks 1, store glb [I], for C.op 4, store spad [K], par H.ks 1 on row, par H.opc 1 on col"
    )


def test_the_notation_needs_a_loop_for_every_parameter() -> None:
    pool = GConv((Dim("H", opc=4, ks=3), Dim("W", opc=4, ks=3)))
    with pytest.raises(CatenaError) as caught:
        expand(pool, rs(2, 3, 4, 5, 6, 7, 8), EYERISS, "pool1")
    assert [(d.code, d.node, d.message, d.found) for d in caught.value.diagnostics] == [
        ("CAT-F002", "pool1", f"{name} has no loop to act on", value)
        for name, value in (("m", "2"), ("n", "3"), ("p", "5"), ("q", "6"), ("r", "7"), ("t", "8"))
    ]
    assert violations(pool, expand(pool, rs(1, 1, 4, 1, 1, 1, 1), EYERISS), EYERISS) == []


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_an_even_tile_is_the_smallest_with_as_few_pieces(whole: int, limit: int) -> None:
    tile = even_tile(whole, limit)
    pieces = math.ceil(whole / min(limit, whole))
    assert tile == min(t for t in range(1, limit + 1) if math.ceil(whole / t) == pieces)


SHAPES = [(12, 14), (4, 3), (1, 5), (7, 2), (5, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(data=st.data())
def test_sets_fold_onto_the_array_exactly_when_their_mapping_fits(shape: tuple[int, int], data: st.DataObject) -> None:
    sizes = {"array": {"rows": shape[0], "cols": shape[1]}}
    machine = machine_like_eyeriss(**{**ROOMY_TABLES, **sizes})
    draw = data.draw
    rows_kernel, r = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    t, group_sets, e = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 2 * shape[1] + 1))
    channels = Dim("C", g=group_sets, op=t, ks=r)
    spec = GConv((channels, Dim("H", opc=max(e, 2), ks=max(rows_kernel, 2)), Dim("W", opc=2, ks=2)), "mul", Reduce.ADD)
    x = Parameters(
        m=t, e=e, r=r, t=t, slide=2, kernel_rows=rows_kernel, kernel_cols=2, groups=1, group_sets=group_sets
    )  # fmt: skip
    mapping = build_mapping(spec, assign_roles(spec), x, machine)
    too_large = [d.message for d in violations(spec, mapping, machine)]
    assert set(too_large) <= {"rows of the array", "columns of the array"}
    if fold(e, rows_kernel * r, t, group_sets, machine).fits:
        assert too_large == []
        wanted = min(rows_kernel, max(rows_kernel, 2)) * r * t * group_sets * min(e, max(e, 2))
        assert Tiling(spec, mapping).elements(Loop("C", LoopKind.OP), t) == t
        assert predict(spec, (group_sets * r, 99, 99), mapping, machine).peak_pes == wanted
    elif rows_kernel * r * t * group_sets * e > shape[0] * shape[1]:
        assert too_large


ROOMY_TABLES = {table: getattr(ROOMY, table).model_dump() for table in ("pe", "glb", "limits")}


@settings(max_examples=examples(150), derandomize=True, deadline=None)
@given(data=st.data())
def test_every_choice_of_parameters_gives_a_sound_mapping(data: st.DataObject) -> None:
    spec, _, _ = data.draw(links(most_trips=4000, largest=9))
    roles = assign_roles(spec)
    drawn = {name: data.draw(st.integers(1, 9)) for name in vars(Parameters())}
    machine = data.draw(st.sampled_from(list(MACHINES.values())))
    # Only sizes can be wrong, never the structure.
    structural = ("stands below", "would spill", "needs other kernels", "travel along rows", "and its storage")
    broken = violations(spec, build_mapping(spec, roles, Parameters(**drawn), machine), machine)
    assert not [d for d in broken if any(text in d.message for text in structural)]
    assert all(d.expected.startswith("at most") for d in broken)


def test_extent_of_no_loop_is_one() -> None:
    spec = GConv((Dim("C", g=2, op=3, opc=4, ks=5),), PASS)
    assert [extent(spec, Loop("C", kind)) for kind in LoopKind] == [2, 3, 4, 5]
    assert extent(spec, None) == 1


@pytest.mark.parametrize(
    ("mapping", "message", "expected", "found"),
    [
        (RowStationary(m=9999, n=1, e=7, p=16, q=1, r=1, t=2), "m is larger than its loop", "at most 96", "9999"),
        (RowStationary(m=96, n=5, e=7, p=16, q=1, r=1, t=2), "n is larger than its loop", "at most 4", "5"),
        (RowStationary(m=96, n=1, e=56, p=16, q=1, r=1, t=2), "e is larger than its loop", "at most 55", "56"),
        (RowStationary(m=24, n=1, e=7, p=16, q=1, r=1, t=2), "p*t, the filters of a pass", "at most m = 24", "32"),
        (RowStationary(m=96, n=1, e=7, p=16, q=2, r=2, t=2), "q*r, the channels of a pass", "at most C = 3", "4"),
        (RowStationary(m=96, n=1, e=7, p=16, q=1, r=1, t=3), "do not fit the array", "12 x 14 elements", "231"),
    ],
)
def test_the_constraints_of_the_notation(mapping: RowStationary, message: str, expected: str, found: str) -> None:
    layer = next(iter(CHIP.values()))
    with pytest.raises(CatenaError) as caught:
        expand(layer.spec, mapping, EYERISS)
    broken = [(d.message, d.expected, d.found) for d in caught.value.diagnostics if message in d.message]
    assert [entry[1:] for entry in broken] == [(expected, found)]

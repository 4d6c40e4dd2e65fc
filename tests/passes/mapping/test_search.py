"""The row-stationary search: prices that equal the cost model's, optima that equal an enumeration, the chip's table."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.gconv import PASS, Dim, GConv, LoopKind, Reduce
from dialects.schedule import Loop, Mapping, Objective, Operand, Spatial, Storage, Temporal
from passes.mapping.cost import predict, price
from passes.mapping.fit import violations
from passes.mapping.roles import assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, expand, fold
from passes.mapping.search import best_mapping, even_tiles
from passes.mapping.search import search as search_until
from tests.examples import examples
from tests.passes.mapping.drawing import Shape, links, window_links
from tests.passes.mapping.latency import latency_of
from tests.passes.mapping.machines import EYERISS, FLAT, MACHINES, ODD, machine_like_eyeriss
from tests.passes.mapping.test_row_stationary import CHIP

UNLIMITED = machine_like_eyeriss(links=dict.fromkeys(("dram", "input_bus", "kernel_bus", "output_bus"), 1e12))
PADDING_CHARGED = UNLIMITED.model_copy(
    update={
        "counting": UNLIMITED.counting.model_copy(
            update={"dram": (*UNLIMITED.counting.dram, "dram.input.padding")},
        )
    }
)
Problem = tuple[GConv, Shape, Machine, Objective]
ALL_CHECKS = list(HealthCheck)


def compute_cycles(spec: GConv, mapping: Mapping) -> int:
    """Operations of the busiest element, summed over all passes: a product over loops of a sum over pieces."""
    total = 1
    for dim, kind in itertools.product(spec.dims, LoopKind):
        pieces, spread = [dim.count(kind)], []
        for node in mapping.nodes:
            if not isinstance(node, Storage) and node.loop == Loop(dim.name, kind):
                if isinstance(node, Spatial):
                    spread.append(node.tile)
                else:
                    pieces = [min(node.tile, n - i) for n in pieces for i in range(0, n, node.tile)]
        total *= sum(min([piece, *spread]) for piece in pieces)
    return total


def value_of(spec: GConv, shape: Shape, mapping: Mapping, machine: Machine, objective: Objective) -> float:
    """What the search should have computed: the cost model's energy, the latency, both multiplied, or words moved."""
    counts = predict(spec, shape, mapping, machine)
    latency = latency_of(counts, compute_cycles(spec, mapping), machine)
    energy = price(counts, machine).total_energy
    return {
        Objective.ENERGY: energy,
        Objective.LATENCY: latency,
        Objective.EDP: energy * latency,
        Objective.TRAFFIC: traffic_of(counts, machine),
    }[objective]


def traffic_of(counts: Counts, machine: Machine) -> int:
    """Words on the off-chip link, padding among them where it lies in DRAM."""
    words = sum(counts.events[f"dram.{name}"] for name in ("input.read", "kernel.read", "output.write"))
    return words + (counts.events["dram.input.padding"] if machine.counting.padding_in_dram else 0)


def even_shares(extent: int, limit: int) -> list[int]:
    """All tiles up to `limit` that are the even share of some number of pieces."""
    return sorted({-(-extent // pieces) for pieces in range(1, extent + 1)} & set(range(1, limit + 1)))


def floors(whole: int) -> list[int]:
    """All, a half, a third ... of a number, rounded down."""
    return sorted({whole // parts for parts in range(1, whole + 1)})


def halves(extent: int) -> list[int]:
    return sorted({-(-extent // (1 << power)) for power in range(extent.bit_length() + 1)})


class Space:
    """Every mapping of the stated space, by plain loops: legality is asked of `violations`, nothing is pruned."""

    def __init__(self, spec: GConv, machine: Machine):
        self.spec, self.machine, self.roles = spec, machine, assign_roles(spec)

    def extent(self, part: str) -> int:
        loop = getattr(self.roles, part)
        return 1 if loop is None else next(d for d in self.spec.dims if d.name == loop.dim).count(loop.kind)

    def mappings(self) -> list[Mapping]:
        """All legal mappings of the longest strip that has any."""
        slide = self.extent("slide") if self.roles.slide != self.roles.rows_out else 1
        while True:
            found = list(self._with_strip(slide))
            if found or slide == 1:
                return found
            slide = -(-slide // 2)

    def _with_strip(self, slide: int) -> Iterator[Mapping]:
        rows, cols = self._kernel_part()
        images = halves(self.extent("images"))
        for (p, q, groups), (e, chunk, r, group_sets, most), n in itertools.product(
            self._elements(cols), self._arrays(rows), images
        ):
            limits = self.machine.limits
            sets = -(-self.extent("filters") // p)
            most = max(1, min(most, sets, limits.filters // p))
            full = -(-sets // -(-sets // most))
            if q * r > limits.channels or r > -(-self.extent("channels") // q):
                continue
            if group_sets > -(-self.extent("groups") // groups):
                continue
            for t in {full, -(-full // 2)}:
                base = Parameters(1, n, e, p, q, r, t, chunk, slide, rows, cols, groups, group_sets)
                yield from self._most_filters(base)

    def _most_filters(self, x: Parameters) -> Iterator[Mapping]:
        """The mapping with most filters in the buffer: all of them, or whole passes of p * t."""
        filters, unit = self.extent("filters"), x.p * x.t
        for m in (filters, *range((filters - 1) // unit * unit, 0, -unit)):
            parameters = Parameters(**{**vars(x), "m": m})
            mapping = build_mapping(self.spec, self.roles, parameters, self.machine)
            if not violations(self.spec, mapping, self.machine):
                yield mapping
                return

    def _kernel_part(self) -> tuple[int, int]:
        machine, dims = self.machine, {dim.name: dim for dim in self.spec.dims}
        limit = min(machine.limits.kernel_rows, machine.array.rows)
        extent = self.extent("rows_kernel")
        rows = -(-extent // -(-extent // min(extent, limit)))
        limit = min(machine.limits.kernel_cols, machine.pe.input_words, machine.pe.kernel_words)
        dim = dims.get(self.roles.slide_kernel.dim) if self.roles.slide_kernel else None
        spread = dim.dilation if dim is not None and dim.opc > 1 else 1
        fitting = [
            tile
            for tile in even_shares(self.extent("slide_kernel"), limit)
            if (tile - 1) * spread + 1 <= machine.pe.input_words
        ]
        return rows, max(fitting, default=1)

    def _elements(self, cols: int) -> list[tuple[int, int, int]]:
        pe = self.machine.pe
        return [
            (p, q, groups)
            for q in even_shares(self.extent("channels"), max(1, pe.input_words // cols))
            for p in even_shares(self.extent("filters"), pe.output_words)
            for groups in halves(self.extent("groups"))
            if self.spec.main == PASS or p * q * cols * groups <= pe.kernel_words
        ]

    def _arrays(self, rows: int) -> Iterator[tuple[int, int, int, int, int]]:
        array = self.machine.array
        for (e, chunk), r in itertools.product(
            self._strips(rows), floors(min(self.extent("channels"), array.rows // rows))
        ):
            sizes = range(1, array.rows * array.cols + 1)
            fitting = [sets for sets in sizes if fold(e, rows * r, sets, 1, self.machine).fits]
            for group_sets in even_shares(self.extent("groups"), max(fitting, default=0)):
                filters = max(fitting) // group_sets
                while not fold(e, rows * r, filters, group_sets, self.machine).fits:
                    filters -= 1
                yield e, chunk, r, group_sets, filters

    def _strips(self, rows: int) -> list[tuple[int, int]]:
        """Elements across, and output rows in each."""
        array, roles = self.machine.array, self.roles
        count, most = self.extent("rows_out"), array.cols * (array.rows // rows)
        if roles.slide is not None and roles.slide != roles.rows_out:
            return [(e, 1) for e in even_shares(count, most)]
        found: list[tuple[int, int]] = []
        for chunk in halves(count):
            limit = min(-(-count // chunk), most)
            across = {limit, *floors(array.cols), *(array.cols * full for full in range(1, array.rows + 1))}
            found += [(e, chunk) for e in across if e <= limit]
        return found


def search(spec: GConv, shape: Shape, machine: Machine, objective: Objective) -> Mapping | None:
    """The best mapping, or None if the search says that none fits."""
    try:
        return best_mapping(spec, shape, machine, objective)
    except CatenaError as error:
        if {each.code for each in error.diagnostics} != {"CAT-F001"}:
            raise
        return None


@st.composite
def problems(draw: st.DrawFn, most_trips: int = 3000, largest: int = 9) -> Problem:
    if draw(st.booleans()):
        spec, shape = draw(window_links())
    else:
        spec, shape, _ = draw(links(most_trips, largest))
    return spec, shape, draw(st.sampled_from(list(MACHINES.values()))), draw(st.sampled_from(Objective))


def convolution(filters: int, size: int, taps: int, stride: int, machine: Machine) -> Problem:
    """One channel, an image of `size` outputs a side, padded."""
    window = {"opc": size, "ks": taps, "stride": stride, "pad": taps // 2}
    spec = GConv((Dim("C", op=filters), Dim("H", **window), Dim("W", **window)), "mul", Reduce.ADD)
    return spec, (1, size * stride, size * stride), machine, Objective.ENERGY


# On these, half of the sets of filters that the array holds are better than all of them.
@example(convolution(128, 4, 5, 1, ODD))
@example(convolution(12, 27, 5, 2, FLAT))
@settings(max_examples=examples(50), derandomize=True, deadline=None, suppress_health_check=ALL_CHECKS)
@given(problems(most_trips=800, largest=6))
def test_the_best_mapping_is_the_best_of_an_enumeration(problem: Problem) -> None:
    spec, shape, machine, objective = problem
    space = Space(spec, machine).mappings()
    found = search(spec, shape, machine, objective)
    assert (found is None) == (not space)
    if found is None:
        return
    best = min(value_of(spec, shape, mapping, machine, objective) for mapping in space)
    assert value_of(spec, shape, found, machine, objective) == pytest.approx(best, rel=1e-9)
    whole = search_until(spec, shape, machine, objective)
    assert whole.mapping == found
    assert whole.bound == whole.value
    # Stopped as early as possible, it still has a legal mapping, and a bound that holds.
    stopped = search_until(spec, shape, machine, objective, should_stop=lambda: True)
    assert violations(spec, stopped.mapping, machine) == []
    assert stopped.bound <= whole.value <= stopped.value


@settings(max_examples=examples(90), derandomize=True, deadline=None, suppress_health_check=ALL_CHECKS)
@given(problems())
def test_what_is_found_is_legal_and_of_the_stated_value(problem: Problem) -> None:
    spec, shape, machine, objective = problem
    found = search(spec, shape, machine, objective)
    if found is None:
        assert machine is not EYERISS
        return
    assert violations(spec, found, machine) == []
    assert best_mapping(spec, shape, machine, objective) == found
    # A mapping that is best for one thing is not beaten at it by the others.
    value = value_of(spec, shape, found, machine, objective)
    for other in Objective:
        rival = best_mapping(spec, shape, machine, other)
        assert value <= value_of(spec, shape, rival, machine, objective) * (1 + 1e-9)


@pytest.mark.parametrize("layer", ["CONV1", "CONV4", "CONV5"])
@pytest.mark.parametrize("padded", [True, False], ids=["padding in the tensor", "padding in the link"])
def test_the_chips_mappings_are_the_best_by_the_papers_measure(layer: str, padded: bool) -> None:
    """Energy times delay as in ISCA 2016, where delay is computing alone: no bus and no link limits the array."""
    chip = CHIP[layer]
    spec, shape = chip.spec, chip.shape
    # The paper fetches padding like other words.
    machine = UNLIMITED if padded else PADDING_CHARGED
    if not padded and layer != "CONV1":
        dims = tuple(replace(dim, pad=1) if dim.ks == 3 and dim.opc == 13 else dim for dim in spec.dims)
        spec, shape = replace(spec, dims=dims), (*shape[:2], 13, 13)
    assert best_mapping(spec, shape, machine, Objective.EDP) == expand(spec, chip.mapping, EYERISS)


def test_with_its_real_links_the_first_layer_still_has_the_chips_mapping() -> None:
    chip = CHIP["CONV1"]
    assert best_mapping(chip.spec, chip.shape, EYERISS) == expand(chip.spec, chip.mapping, EYERISS)


@pytest.mark.parametrize("layer", CHIP)
def test_no_printed_mapping_beats_the_search(layer: str) -> None:
    chip = CHIP[layer]
    for objective in Objective:
        found = best_mapping(chip.spec, chip.shape, EYERISS, objective)
        printed = expand(chip.spec, chip.mapping, EYERISS)
        values = [value_of(chip.spec, chip.shape, mapping, EYERISS, objective) for mapping in (found, printed)]
        assert values[0] <= values[1]


def test_strips_are_halved_until_they_fit() -> None:
    spec = GConv((Dim("C", ks=2), Dim("H", opc=6, ks=3), Dim("W", opc=40, ks=3)), "mul", Reduce.ADD)
    shape = (2, 8, 42)

    def strip(banks: int) -> int:
        machine = machine_like_eyeriss(name="m", glb={"banks": banks, "bank_words": 16})
        tiles = [
            node.tile
            for node in best_mapping(spec, shape, machine).nodes
            if isinstance(node, Temporal) and node.loop == Loop("W", LoopKind.OPC)
        ]
        return min(tiles, default=40)

    # One row of 3 x 42 words and a strip of sums take 8 + 3 banks, half a strip 5 + 2, a quarter 3 + 1.
    assert [strip(banks) for banks in (11, 10, 7, 6, 4, 3)] == [40, 20, 20, 10, 10, 5]
    assert strip(2) == 3
    with pytest.raises(CatenaError, match="no row-stationary mapping") as caught:
        strip(1)
    assert caught.value.diagnostics[0].expected == "at least 2 banks of 16 words"


def test_windows_that_do_not_fit_the_buffer_come_a_position_at_a_time() -> None:
    """For elements that keep nothing: one window of 11 words takes 2 banks, one of its taps 1, the sum 1."""
    spec = GConv((Dim("H", opc=4, ks=3, dilation=5), Dim("W", opc=8)), "pass", Reduce.MAX)
    shape = (14, 8)

    def found(banks: int) -> Mapping:
        pe = {"input_words": 1, "kernel_words": 1, "output_words": 1}
        glb = {"banks": banks, "bank_words": 8}
        machine = machine_like_eyeriss(name="m", pe=pe, glb=glb, limits={"kernel_rows": 1})
        mapping = best_mapping(spec, shape, machine)
        assert violations(spec, mapping, machine) == []
        return mapping

    def takes_positions_before(mapping: Mapping) -> bool:
        position = mapping.position(Operand.INPUT)
        assert position is not None
        return any(node.loop.kind is LoopKind.KS for node in mapping.temporal_before(position))

    assert [takes_positions_before(found(banks)) for banks in (4, 3, 2)] == [False, False, True]


def test_equal_searches_in_another_process_find_the_same() -> None:
    code = (
        "from tests.passes.mapping.test_search import CHIP, EYERISS, Objective, best_mapping\n"
        "print([str(best_mapping(c.spec, c.shape, EYERISS, o)) for c in CHIP.values() for o in Objective])"
    )
    root = Path(__file__).parents[3]
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert found[0].count("store glb [I]") == len(CHIP) * len(Objective)


@pytest.mark.parametrize(("extent", "limit"), [(1, 1), (10, 10), (10, 4), (13, 100), (55, 14), (7, 1)])
def test_even_tiles(extent: int, limit: int) -> None:
    assert sorted(even_tiles(extent, limit)) == even_shares(extent, limit)

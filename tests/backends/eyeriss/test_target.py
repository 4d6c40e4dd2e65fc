"""The description of the chip: the figures of the papers, and what follows from them."""

from __future__ import annotations

import tomllib

import pytest

from backends.eyeriss import BACKEND
from backends.registry import find_backend
from backends.spatial.isa import ISA
from dialects.array_machine import Machine
from dialects.events import GROUPED
from dialects.machine_kinds import parse_machine


@pytest.fixture(scope="module")
def chip() -> Machine:
    return parse_machine(tomllib.loads(BACKEND.description().read_text()))


def test_it_is_found_by_its_entry_point() -> None:
    assert find_backend("eyeriss") is BACKEND
    assert BACKEND.isa() is ISA


def test_the_array(chip: Machine) -> None:
    # JSSC 2017, table I: 168 elements; scratchpads of 12, 224 and 24 16-bit words.
    assert (chip.array.rows, chip.array.cols, chip.array.rows * chip.array.cols) == (12, 14, 168)
    assert (chip.pe.input_words, chip.pe.kernel_words, chip.pe.output_words) == (12, 224, 24)
    assert chip.word_bits == 16


def test_the_buffer(chip: Machine) -> None:
    # 108 kB in 27 banks, 25 of them for feature maps and partial sums.
    assert chip.glb.banks == 25
    assert chip.glb.bank_words * chip.word_bits // 8 * 27 == 108 * 1024
    assert chip.glb.words * chip.word_bits // 8 == 100 * 1024


def test_clock_and_links(chip: Machine) -> None:
    assert chip.clock_mhz == 200
    # 64 bits at 60 MHz, in words of 16 bits per core cycle.
    assert chip.links.dram == pytest.approx(64 / 16 * 60 / 200)
    assert (chip.links.input_bus, chip.links.kernel_bus, chip.links.output_bus) == (16 / 16, 64 / 16, 64 / 16)


def test_energies_relative_to_a_multiplication(chip: Machine) -> None:
    # ISCA 2016, table IV.
    energy = chip.energy
    assert (energy.dram, energy.glb, energy.array, energy.spad, energy.operation) == (200, 6, 2, 1, 1)


def test_the_limits_of_a_layer(chip: Machine) -> None:
    limits = chip.limits
    assert (limits.channels, limits.filters, limits.kernel_rows, limits.kernel_cols) == (1024, 1024, 12, 32)
    # What GCONV Chain adds: enough for requantization and layer normalisation (tests/passes/test_chain_pipeline.py).
    assert (limits.pre_steps, limits.mid_steps, limits.post_steps, limits.post_operands) == (2, 2, 8, 3)


def test_padding_is_counted_in_the_buffer_and_kernels_bypass_it(chip: Machine) -> None:
    assert chip.counting.padding_in_buffer
    # What a fused group keeps there is no part of the chip.
    assert not any("kernel" in event for event in chip.counting.glb if event not in GROUPED)


def test_the_output_path_without_gconv_chain_and_the_host(chip: Machine) -> None:
    assert chip.limits.output_path == ("add", "relu", "clip")
    assert chip.host is not None
    # The host reads what the chip hands out on its own link, and nothing is added to what DRAM costs.
    assert chip.host.link_gbs * 1e9 == pytest.approx(64 / 8 * 60e6)
    assert (chip.host.link_pj, chip.host.overhead_us) == (0, 0)
    assert chip.host.simple_gops == pytest.approx(128 / 16 * 2.3)


def test_every_table_has_a_source(chip: Machine) -> None:
    without = {"name", "summary", "word_bits", "arithmetic", "encodings", "pipeline", "sources"}
    assert set(chip.sources) == set(Machine.model_fields) - without

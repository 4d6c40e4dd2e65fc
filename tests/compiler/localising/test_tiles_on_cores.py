"""The tile of a wrong result on cores: that of the core which was seen to store it, with the results of its turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from backends.program import LayerEntry, Program, TensorEntry
from backends.rram.emulator import MulticoreEmulator
from compiler.arrays import Array
from compiler.execution import random_inputs
from compiler.explanation.layers import explained_layers
from compiler.localising.tiles import Tile
from compiler.localising.tiles_on_cores import first_wrong_tile_on_cores
from dialects.multicore_mapping import CrossbarMapping
from tests.backends.rram.quantized import SMALL, ready, residual
from tests.backends.rram.quantized_network import quantized_network
from tests.compiler.localising.faults import program_for
from tests.compiler.localising.whole_faults import long_skip

CYCLIC = {**SMALL, "schedule.scheme": "cyclic"}
COPIES = {**SMALL, "cores.count": "144", "schedule.duplicate": "true"}


def writers(program: Program) -> dict[tuple[int, str], int]:
    """By word of the shared memory and layer, the core that wrote it for the layer."""
    found: dict[int, dict[str, int]] = {}
    layers = {(entry.core, at): entry.layer for entry in program.debug for at in range(entry.start, entry.end)}

    def accessed(core: int, address: int, words: Array, writes: bool) -> None:
        for word in words.reshape(-1).tolist() if writes else ():
            found.setdefault(word, {})[layers[core, address]] = core

    MulticoreEmulator(program).watch_run(random_inputs(program, 0), accessed)
    owners = {tensor.produced_by for tensor in program.tensors}
    return {(word, layer): core for word, by in found.items() for layer, core in by.items() if layer in owners}


def tiles(program: Program, every: int) -> Iterator[tuple[LayerEntry, TensorEntry, tuple[int, ...], Tile | None]]:
    """Of every so manieth result of all layers, the tile if it alone is wrong."""
    tensors = {tensor.name: tensor for tensor in program.tensors}
    machine = MulticoreEmulator(program).machine
    for layer in explained_layers(program):
        (name,) = layer.entry.outputs
        tensor = tensors[name]
        for flat in range(0, int(np.prod(tensor.shape)), every):
            index = tuple(int(each) for each in np.unravel_index(flat, tensor.shape))
            wrong = np.zeros(tensor.shape, np.bool_)
            wrong[index] = True
            yield layer.entry, tensor, index, first_wrong_tile_on_cores(wrong, tensor, layer, machine)


def range_of(tile: Tile, name: str) -> tuple[int, int]:
    return next((first, last) for each, first, last in tile.ranges if each == name)


def check(program: Program, every: int = 1) -> None:
    by_word = writers(program)
    for layer, tensor, index, tile in tiles(program, every):
        assert tile is not None
        assert tile.is_turn
        assert tile.wrong == 1
        word = tensor.address + int(np.dot(index, tensor.strides))
        core = by_word[word, layer.name]
        assert range_of(tile, "core") == (core, core), (layer.name, index, str(tile))


def test_the_core_is_the_one_that_stores_the_result() -> None:
    check(ready(quantized_network(), SMALL).program, 3)


@pytest.mark.exhaustive
@pytest.mark.parametrize("settings", [SMALL, CYCLIC, COPIES, {**COPIES, "cores.overlap": "true"}])
def test_so_it_is_with_every_scheme_and_with_copies(settings: Mapping[str, Any]) -> None:
    check(ready(quantized_network(), settings).program)
    check(ready(residual(5, 9), {**settings, "cores.count": "144"}).program)


def test_on_vector_units_too() -> None:
    check(program_for("rram", long_skip()), 7)


def test_a_turn_is_columns_of_a_matrix_and_output_vectors() -> None:
    program = ready(quantized_network(), SMALL).program
    layer = explained_layers(program)[0]
    assert isinstance(layer.on_cores, CrossbarMapping)
    (tensor,) = (each for each in program.tensors if each.name in layer.entry.outputs)
    wrong = np.zeros((6, 4, 4), np.bool_)
    wrong[5, 1:, 2] = wrong[4, 2, 1] = True
    tile = first_wrong_tile_on_cores(wrong, tensor, layer, MulticoreEmulator(program).machine)
    assert tile is not None
    assert tile.ranges == (("core", 3, 3), ("column", 4, 5), ("vector", 6, 6))
    assert (tile.wrong, tile.elements) == (1, 2)
    assert str(tile) == "core 3, column 4 to 5, vector 6: 1 of 2 results wrong"

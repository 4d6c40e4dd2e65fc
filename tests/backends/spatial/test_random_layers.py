"""Random layers of all kinds: outputs exact, counts of both execution modes as predicted, event by event."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from tests.backends.spatial.drawing import layers, mapped_layers
from tests.backends.spatial.layers import MACHINES, Layer, check_layer, fractions, machine
from tests.examples import examples


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())
@settings(max_examples=examples(50), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=layers())
def test_a_layer_computes_and_counts_what_it_should(machine: Machine, layer: Layer) -> None:
    try:
        check_layer(layer, machine)
    except CatenaError as error:
        # Only the small machines have no room for some windows.
        if machine is MACHINES["eyeriss"] or {each.code for each in error.diagnostics} != {"CAT-F001"}:
            raise
        assume(False)


ROOMY = machine(
    array={"rows": 256, "cols": 256},
    pe={"input_words": 4096, "kernel_words": 4096, "output_words": 4096},
    glb={"banks": 100, "bank_words": 1024},
    counting={"padding_in_buffer": False},
)


@settings(max_examples=examples(80), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=mapped_layers())
def test_any_mapping_computes_and_counts_what_it_should(layer: Layer) -> None:
    check_layer(layer, ROOMY)


@settings(max_examples=examples(80), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=mapped_layers())
def test_no_mapping_changes_how_sums_of_floats_are_rounded(layer: Layer) -> None:
    check_layer(replace(layer, words=fractions), ROOMY)

"""Random layers, machines and mappings: outputs exact, counts of both engines as predicted, event by event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.backends.generic.layers import check_layer, fitted, levels, mappings
from tests.backends.spatial.drawing import layers
from tests.backends.spatial.layers import Layer, fractions
from tests.examples import examples

OPERATIONS = 400
"""The literal engine visits every operation, so layers are small."""


@settings(max_examples=examples(150), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=layers(), made=levels(), data=st.data())
def test_any_mapping_computes_and_counts_what_it_should(
    layer: Layer, made: dict[str, dict[str, Any]], data: st.DataObject
) -> None:
    assume(layer.spec.trips <= OPERATIONS)
    mapping = data.draw(mappings(layer, made))
    check_layer(layer, mapping, fitted(layer, mapping, made))


@settings(max_examples=examples(60), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=layers(), made=levels(), data=st.data())
def test_no_mapping_changes_how_sums_of_floats_are_rounded(
    layer: Layer, made: dict[str, dict[str, Any]], data: st.DataObject
) -> None:
    assume(layer.spec.trips <= OPERATIONS)
    mapping = data.draw(mappings(layer, made))
    check_layer(replace(layer, words=fractions), mapping, fitted(layer, mapping, made))

"""How much of ONNX's conformance suite of operators must pass at least, of all cases that count."""

from __future__ import annotations

import pytest

from compiler.conformance.results import NODE, read_results
from compiler.operators import shares


@pytest.mark.parametrize(("engine", "least"), [("interpreter", 0.97), ("eyeriss", 0.90)])
def test_shares_of_node_cases(engine: str, least: float) -> None:
    counted = {name: (passed, count) for name, passed, count in shares(read_results().rows, NODE)}
    passed, count = counted[engine]
    assert passed >= least * count

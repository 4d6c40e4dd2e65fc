"""How much of ONNX's conformance suite of operators must pass at least, of all cases that count."""

from __future__ import annotations

import pytest

from compiler.conformance.results import INTERPRETER, NODE, read_results, recorded_engines
from compiler.operators import shares


@pytest.mark.parametrize("engine", recorded_engines())
def test_shares_of_node_cases(engine: str) -> None:
    counted = {name: (passed, count) for name, passed, count in shares(read_results().rows, NODE)}
    passed, count = counted[engine]
    assert passed >= (0.97 if engine == INTERPRETER else 0.90) * count

"""The cycles of a layer as docs/targets.md says that they are computed, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from compiler import api
from tests.onnx_models import onnx_model, onnx_node

MACHINE = """\
name = "two"
clock_mhz = 100
word_bits = 16
[levels.dram]
kind = "memory"
read = 2
[levels.pe]
kind = "axis"
size = 2
multicast = ["I"]
[levels.rf]
kind = "memory"
read = 1
write = 1
buffers = 2
"""
MAPPING = '[layers.y]\nmapping = """\npar N.op 1 on pe\nstore rf [I, K, O]\n"""\n'


@pytest.mark.parametrize(
    ("old", "new", "cycles"),
    [
        # Two elements make four operations each, one after another. Off-chip memory sends 4 inputs, once for both
        # elements, and 8 kernel words, at 2 a cycle: 6. A register file takes 4 + 4 words and as many sums as there are
        # operations, 4, and sends as many: 12, of which it is the slowest. Its first tiles come in 4 + 4 cycles, the
        # last sum leaves in 1.
        ("", "", 12 + 4 + 4 + 1),
        # Now off-chip memory is the slowest.
        ("read = 2", "read = 0.5", 24 + 4 + 4 + 1),
        # What a register file moves that has no second tile comes after what off-chip memory moves meanwhile.
        ("buffers = 2", "buffers = 1", 6 + 12),
        # Register files without limits take no time, and a faster link less than the steps.
        ("read = 1\nwrite = 1\nbuffers = 2\n", "", 6),
        ("read = 2\n[levels.pe]", "read = 8\n[levels.pe]", 12 + 4 + 4 + 1),
        ("read = 2", "", 12 + 4 + 4 + 1),
    ],
)
def test_cycles(old: str, new: str, cycles: int, tmp_path: Path) -> None:
    target, mapping, model, program = (tmp_path / name for name in ("two.toml", "map.toml", "m.onnx", "m.cat"))
    target.write_text(MACHINE.replace(old, new, 1) if old else MACHINE)
    words = np.ones((4, 2), np.float32)
    onnx.save(onnx_model([onnx_node("MatMul", "x w", "y", name="y")], {"x": (1, 4)}, "y", {"w": words}), model)
    mapping.write_text(MAPPING)
    api.compile(model, output=program, target=target, mapping=mapping, no_cache=True)
    (predicted,) = api.report(program).layers
    (counted,) = api.run(program).report.layers
    assert (predicted.price.cycles, counted.price.cycles) == (cycles, cycles)

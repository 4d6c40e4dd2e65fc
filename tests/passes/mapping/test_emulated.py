"""Random mappings, not only those that the mapper makes, on the emulator: outputs exact, counts as predicted."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from backends.spatial.emulator import MODES, SpatialEmulator
from dialects.events import Counts
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import Interpreter
from dialects.schedule import MappingAttr
from passes.mapping.fit import violations
from tests.backends.spatial.drawing import layers
from tests.backends.spatial.layers import compile_chain
from tests.examples import examples
from tests.passes.mapping.drawing import mappings
from tests.passes.mapping.machines import machine_like_eyeriss

WIDE = machine_like_eyeriss(
    name="wide",
    array={"rows": 1024, "cols": 1024},
    pe={"input_words": 4096, "kernel_words": 4096, "output_words": 4096},
    glb={"banks": 8, "bank_words": 1 << 14},
    limits={"channels": 4096, "filters": 4096, "kernel_rows": 4096, "kernel_cols": 4096},
)


@settings(max_examples=examples(40), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_legal_mapping_computes_the_same_and_counts_what_is_predicted(data: st.DataObject) -> None:
    layer = data.draw(layers())
    assume(layer.spec.trips <= 300)
    mapping = data.draw(mappings(layer.spec))
    assume(not violations(layer.spec, mapping, WIDE))
    module = layer.module(WIDE)
    (link,) = (op for op in module.walk() if isinstance(op, LinkOp) and op.tensor and op.tensor.data == "layer")
    link.properties["mapping"] = MappingAttr(mapping)
    expected = Interpreter(module).run(layer.inputs())
    program = compile_chain(module)
    for mode in MODES:
        emulator = SpatialEmulator(program, mode)
        outputs = emulator.run(layer.inputs())
        for name, array in expected.items():
            np.testing.assert_array_equal(outputs[name], array, err_msg=mode)
        for entry in program.layers:
            assert not emulator.counters[entry.name].differences(Counts.of(entry.predicted)), (mode, str(mapping))

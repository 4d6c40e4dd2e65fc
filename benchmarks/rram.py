"""Cores with crossbars: speed-up of the schemes and traffic of signals by layer.

    python benchmarks/rram.py [--output docs/rram.md]

Every figure is counted by the emulator on programs whose results are those of the interpreter, to the bit.
`rram_latency.py` has whole networks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from backends.rram.emulator import MulticoreEmulator
from compiler.compilation import CompileOptions, compile_model
from compiler.execution import random_inputs
from compiler.tables import number, table
from compiler.targets import select_target
from dialects.gconv.interpreter import Interpreter

NOTICE = "<!-- Made by `python benchmarks/rram.py --output docs/rram.md`; do not edit. -->\n"
MVM_CYCLES = 1400
INTRODUCTION = f"""\
# Cores with crossbars

Pelke et al. (VLSI-SoC 2023) let the cores that add to the same sums follow one another, at most P_V times as fast as
one after the other, P_V being their number. Neither the latency of a product nor the layers of their figures are known:
this is no reproduction of these. A product takes {MVM_CYCLES} cycles here, transfers take those of their bytes.
[Whole networks](rram-latency.md) have a page of their own.
"""


@dataclass(frozen=True)
class Layer:
    """A convolution of 1 x 1 as a matrix of channels by filters, and the width of its square output."""

    title: str
    channels: int
    filters: int
    width: int


@dataclass(frozen=True)
class Case:
    """A layer on crossbars of some rows and columns of weights, a bus and partial sums of some bytes."""

    layer: Layer
    side: int
    bus: int
    sum_bytes: int = 1

    @property
    def ring(self) -> int:
        """P_V, the cores that add to the same sums."""
        return -(-self.layer.channels // self.side)

    @property
    def cores(self) -> int:
        """Cores that hold a tile each."""
        return self.ring * -(-self.layer.filters // self.side)


MOBILENET, RESNET = Layer("MobileNet 512 x 512", 512, 512, 14), Layer("ResNet-18 1152 x 128", 1152, 128, 28)
CASES = (
    Case(MOBILENET, 32, 32),
    *(Case(MOBILENET, 64, 32, sum_bytes) for sum_bytes in (1, 4)),
    Case(MOBILENET, 128, 32),
    *(Case(RESNET, 64, bus) for bus in (16, 4)),
)


@dataclass(frozen=True)
class Found:
    """What a run counted."""

    cycles: int
    bytes: int
    signals: int
    bus: int
    registers: int
    """Sequence registers of all cores that are written."""


def product_layer(layer: Layer) -> onnx.ModelProto:
    """The layer alone, 8 bits in and out, with random weights."""
    random = np.random.default_rng(0)
    constants = {
        "scale": np.float32(0.02),
        "zero": np.uint8(3),
        "weights": random.integers(-127, 128, (layer.filters, layer.channels, 1, 1)).astype(np.int8),
        "weight_scale": np.float32(0.01),
        "weight_zero": np.int8(0),
    }
    inputs = ["x", "scale", "zero", "weights", "weight_scale", "weight_zero", "scale", "zero"]
    shape = (1, layer.channels, layer.width, layer.width)
    graph = helper.make_graph(
        [helper.make_node("QLinearConv", inputs, ["y"], name="layer")],
        "layer",
        [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto, settings: Mapping[str, str]) -> Found:
    """Compile and emulate a model; results must be those of the interpreter, and counts those predicted."""
    target = select_target("rram", settings)
    program = compile_model(model, target).program
    assert program is not None
    inputs = random_inputs(program, 0)
    emulator = MulticoreEmulator(program)
    results = emulator.run(inputs)
    chain = compile_model(model, target, CompileOptions(stop="encoded")).module
    for name, expected in Interpreter(chain).run(inputs).items():
        np.testing.assert_array_equal(results[name], expected)
    for layer in program.layers:
        counted = emulator.counters[layer.name].flat()
        assert all(counted[name] == layer.predicted[name] for name in counted), layer.name
    events = [counts.events for counts in emulator.counters.values()]
    return Found(
        emulator.timeline.end,
        sum(each["bus.bytes"] for each in events),
        sum(each["bus.signal.bytes"] for each in events),
        emulator.timeline.bus,
        emulator.registers,
    )


def settings_of(case: Case) -> dict[str, str]:
    """The chip of a case: a crossbar to a core, which holds a weight in a cell of 8 bits."""
    return {
        "cores.count": str(case.cores),
        "cores.crossbars": "1",
        "crossbar.rows": str(case.side),
        "crossbar.columns": str(4 * case.side),
        "crossbar.mvm_cycles": str(MVM_CYCLES),
        "bus.width_bytes": str(case.bus),
        "shared.sum_bytes": str(case.sum_bytes),
    }


LAYER_COLUMNS = (
    *("layer", number("crossbar"), number("cores"), number("P_V"), number("bus B"), number("sum B"), "schedule"),
    *(number("cycles"), number("speed-up"), number("% of P_V"), number("signals %"), number("bus busy %")),
    number("registers B"),
)
SCHEDULES = {
    "linear": {"schedule.scheme": "linear"},
    "cyclic": {"schedule.scheme": "cyclic"},
    "cyclic, a signal for 12 vectors": {"schedule.scheme": "cyclic", "schedule.signal_every": "12"},
}


def layer_rows(case: Case) -> Iterator[tuple[str, ...]]:
    """The schedules of a case beside the sequential one."""
    model = product_layer(case.layer)
    chip = settings_of(case)
    alone = run(model, {**chip, "schedule.scheme": "sequential"})
    for title, schedule in SCHEDULES.items():
        found = run(model, {**chip, **schedule})
        faster = alone.cycles / found.cycles
        sizes = case.side, case.cores, case.ring, case.bus, case.sum_bytes
        yield (
            *(case.layer.title, *map(str, sizes)),
            *(title, f"{found.cycles:,}", f"{faster:.2f}", f"{100 * faster / case.ring:.1f}"),
            f"{100 * found.signals / (found.bytes - found.signals):.2f}",
            f"{100 * found.bus / found.cycles:.0f}",
            f"{4 * found.registers}",
        )


LAYERS = """\
## Layers

Signals are counted as their share of all other traffic, with 4 bytes a signal. Partial sums are 32 bits, which moves
four times as much as the 1 byte that the paper's accounting takes; both are timed, results are exact in either case.
A signal for several vectors costs a linear ring a start-up of as many turns for each of its cores. The cores of a
cyclic ring have a region of their own to begin with, so that it costs them nothing: a fraction of the traffic is left,
at the same speed.
"""


def main() -> int:
    """Make the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--output", type=Path, help="the file to write; standard output if none")
    arguments = parser.parse_args()
    rows = [row for case in CASES for row in _shown(layer_rows(case))]
    parts = [NOTICE, INTRODUCTION, LAYERS, table(LAYER_COLUMNS, rows).markdown(), ""]
    text = "\n".join(parts)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def _shown(rows: Iterator[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        print(" | ".join(row), file=sys.stderr)
        yield row


if __name__ == "__main__":
    sys.exit(main())

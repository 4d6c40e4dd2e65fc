"""Fused groups on cores with crossbars: shared memory, bus and latency, fused and not.

    python benchmarks/rram_groups.py [--only NAME ...] [--models FOLDER] [--output docs/rram-groups.md]

Networks are generated and quantized (`rram_pages.py`), compiled and emulated. Outputs have to be equal to the
bit, counts and words of the memory those that are predicted.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from rram_pages import Network, make_page, shown
from xdsl.context import Context

from backends.program import Program
from backends.rram.emulator import MulticoreEmulator
from backends.rram.footprint import memory_words
from compiler.compilation import CompileOptions, compile_model, compile_source
from compiler.execution import random_inputs
from compiler.ir_text import write_module
from compiler.tables import number, table
from compiler.targets import select_target
from passes.fuse_rows import FuseRowsPass

NOTICE = "<!-- Made by `python benchmarks/rram_groups.py --output docs/rram-groups.md`; do not edit. -->\n"
INTRODUCTION = """\
# What fused groups save on cores with crossbars

The target `rram`, one image, weights resident. On cores a group is a pipeline whose tensors keep few rows: those of the
largest window that reads them, what paths that join again need for longer, and as many rows as makers may be *ahead*
of that. One row takes the place of another when tokens say that nobody reads it any more.

Words of memory are those of all tensors but constants, a word for an element whatever its type: predicted from the
program, and equal to those that the emulator found used. Outputs are equal to the bit, all counts, cycles
among them, those predicted. Layers in a pipeline without groups share no words, so that nothing waits for room; layer
by layer, tensors share words by lifetime.

- The bus moves the same words, as there is one memory, which all cores see. What is more are signals that there is room
  again.
- Groups save memory, not time: a maker that is far ahead has to wait. With more rows ahead it waits less.
"""
NETWORKS = (
    Network("ResNet-18", "resnet.py", ("--depth", "18")),
    Network("MobileNet-v2", "mobilenet_v2.py"),
)
PIPELINED, COPIES = {"schedule.pipelined": "true"}, {"schedule.duplicate": "true"}


@dataclass(frozen=True)
class Way:
    """How a network runs: settings of the target, and the rows that makers are ahead, None without groups."""

    title: str
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    rows: int | None = None


WAYS = (
    Way("layer by layer"),
    Way("pipelined", PIPELINED),
    Way("fused, 1 row ahead", PIPELINED, 1),
    Way("fused, 4 rows ahead", PIPELINED, 4),
    Way("pipelined, copies", {**PIPELINED, **COPIES}),
    Way("fused, copies, 1 row ahead", {**PIPELINED, **COPIES}, 1),
    Way("fused, copies, 4 rows ahead", {**PIPELINED, **COPIES}, 4),
)
COLUMNS = (
    *("network", "schedule", number("layers in groups"), number("words of memory"), number("of pipelined")),
    *(number("of them in holds"), number("bus bytes"), number("of them signals"), number("cycles")),
    number("of pipelined"),
)


@dataclass(frozen=True)
class Found:
    """What a run counted, and its outputs."""

    layers: int
    words: int
    held: int
    bus: int
    signals: int
    cycles: int
    outputs: Mapping[str, np.ndarray]


def compiled(model: onnx.ModelProto, way: Way) -> Program:
    """The program of a model; groups are made of the mapped chain."""
    target = select_target("rram", way.settings)
    if way.rows is None:
        program = compile_model(model, target).program
    else:
        module = compile_model(model, target, CompileOptions(stop="mapped")).module
        FuseRowsPass(way.rows).apply(Context(), module)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mapped.mlir"
            write_module(module, path)
            program = compile_source(str(path)).program
    assert program is not None
    return program


def run(model: onnx.ModelProto, way: Way) -> Found:
    """Compile and emulate a model; counts and words of memory must be those predicted."""
    program = compiled(model, way)
    emulator = MulticoreEmulator(program)
    outputs = emulator.run(random_inputs(program, 0))
    for layer in program.layers:
        counted = emulator.counters[layer.name].flat()
        assert all(counted[name] == layer.predicted[name] for name in counted), layer.name
    assert emulator.shared_words == memory_words(program)
    events = [counts.events for counts in emulator.counters.values()]
    return Found(
        sum(len(group.layers) for group in program.groups),
        emulator.shared_words,
        sum(sum(group.held.values()) for group in program.groups),
        sum(each["bus.bytes"] for each in events),
        sum(each["bus.signal.bytes"] for each in events),
        emulator.timeline.end,
        outputs,
    )


def rows(network: Network, folder: Path) -> Iterator[tuple[str, ...]]:
    """The ways to run a network; each fused one beside the same without groups."""
    model = network.model(folder)
    alone: Found | None = None
    first: Mapping[str, np.ndarray] | None = None
    for way in WAYS:
        found = run(model, way)
        first = first or found.outputs
        assert all((found.outputs[name] == array).all() for name, array in first.items()), way.title
        if way.rows is None:
            alone = found
        assert alone is not None
        words, cycles = found.words / alone.words, found.cycles / alone.cycles
        shares = (f"{words:.3f}", f"{cycles:.3f}") if way.rows is not None else ("", "")
        yield (
            *(network.title, way.title, str(found.layers or ""), f"{found.words:,}", shares[0]),
            *(f"{found.held:,}" if found.held else "", f"{found.bus:,}", f"{found.signals:,}"),
            *(f"{found.cycles:,}", shares[1]),
        )


def page(made: Sequence[Sequence[str]]) -> str:
    """The page, given the rows of its table."""
    return "\n".join([NOTICE, INTRODUCTION, table(COLUMNS, made).markdown(), ""])


def main() -> int:
    """Make the page."""
    return make_page(
        str(__doc__),
        NETWORKS,
        lambda chosen, folder: page([row for each in chosen for row in shown(rows(each, folder))]),
    )


if __name__ == "__main__":
    sys.exit(main())

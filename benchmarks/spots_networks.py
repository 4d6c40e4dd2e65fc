"""Pruned networks on the target `spots`: verified, and counted as predicted with the zeros that their data have.

    python benchmarks/spots_networks.py [--network AlexNet ...] [--output docs/spots-networks.md]

Networks are generated with seeded weights and pruned group-wise. Each is calibrated on a random image (`--calibrate`)
and emulated on it, so that zeros of activations are those of ReLUs; every layer is compared with its prediction.
Outputs are compared with ONNX Runtime's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
NOTICE = "<!-- Made by `python benchmarks/spots_networks.py --output docs/spots-networks.md`; do not edit. -->\n"
NETWORKS = ("AlexNet", "ResNet-50", "GoogLeNet", "VGG-16")
SPARSITY = 0.7
GROUPS = (8, 128)
"""Filters in which the same positions are pruned: a block of the target's encoding, and a pass of one round of rows."""


@dataclass(frozen=True)
class Row:
    """A network: layers, those whose counts differ from the prediction in any event, and what they count together."""

    network: str
    group: int
    layers: int
    differing: int
    cycles: int
    predicted: int
    dense: int
    words: int
    dense_words: int
    operations: int
    skipped: int
    gated: int
    error: float
    seconds: float


def measured(network: str, source: Path, pruned: Path, group: int) -> Row:
    """Compile, verify and count a pruned network; `source` is the one that it was made of."""
    import numpy as np
    import onnxruntime

    from backends.spots.emulator import SpotsEmulator
    from compiler.compilation import CompileOptions, compile_source
    from compiler.execution import random_inputs
    from dialects.events import Counts

    begin = time.process_time()
    before = compile_source(str(source), CompileOptions(target="spots", settings={"im2col.skips": "false"})).program
    assert before is not None
    inputs, samples = random_inputs(before, 0), pruned.with_suffix(".npz")
    with samples.open("wb") as file:
        np.savez(file, **inputs)
    program = compile_source(str(pruned), CompileOptions(target="spots", calibrate=str(samples))).program
    assert program is not None
    emulated, predicted, differing, layers = Counts(), Counts(), 0, 0
    emulator = SpotsEmulator(program)
    outputs = emulator.run(inputs)
    for layer in program.layers:
        found, expected = emulator.counters[layer.name], Counts.of(layer.predicted)
        emulated.add(found)
        predicted.add(expected)
        differing += bool(found.differences(expected))
        layers += 1
    seconds = time.process_time() - begin
    session = onnxruntime.InferenceSession(str(pruned), providers=["CPUExecutionProvider"])
    expected = session.run(None, dict(inputs))
    errors = [
        float(np.abs(outputs[output.name] - array).max() / max(float(np.abs(array).max()), 1e-30))
        for output, array in zip(session.get_outputs(), expected, strict=True)
    ]
    dense = [Counts.of(layer.predicted) for layer in before.layers]
    kernels = ("dram.kernel.read", "dram.kernel.bitmap")
    return Row(
        network,
        group,
        layers,
        differing,
        emulated.cycles or 0,
        predicted.cycles or 0,
        sum(each.cycles or 0 for each in dense),
        emulated.charged(kernels),
        sum(each.charged(kernels) for each in dense),
        emulated.events["operation.mac"],
        emulated.events["operation.skipped"],
        emulated.events["operation.gated"],
        max(errors),
        seconds,
    )


def rows(names: Sequence[str]) -> list[Row]:
    """All networks, pruned in every way."""
    import onnx

    sys.path.insert(0, str(HERE))
    from spots import networks

    from compiler.pruning.options import PruneOptions, Structure
    from compiler.pruning.pruning import prune_model

    found: list[Row] = []
    with TemporaryDirectory() as folder:
        for name in names:
            whole, pruned = Path(folder) / "whole.onnx", Path(folder) / "pruned.onnx"
            onnx.save(networks([name])[name], whole)
            for group in GROUPS:
                prune_model(whole, pruned, PruneOptions(Structure.GROUP, SPARSITY, group=group))
                found.append(measured(name, whole, pruned, group))
                print(found[-1], file=sys.stderr, flush=True)
    return found


_INTRODUCTION = f"""\
Networks with seeded weights, of which `catena prune --structure group` set {100 * SPARSITY:.0f} % of a layer to zero
in groups of filters, on a random image: zeros of activations are those of ReLUs. Every layer is emulated on what the
layers before it made, and compared event by event with closed forms that are given the zeros of its kernel, tile by
tile, and those of its input. `differ` are the layers in which any count, cycles among them, is another. `error` is the
largest difference from ONNX Runtime's outputs, relative to the largest output.

Kernels come in blocks of 8 filters with bitmaps; `kernel words` are those on the link with their bitmaps, beside those
of the network before it was pruned, as `dense` are the cycles of that if nothing is left out. Groups of 8 filters leave
few columns empty, so that blocks save words and energy (`gated`: operations on blocks that are not kept); groups of 128
save time as well (`skipped`: operations at indices that are left out).

Kernels without zeros would be longer in blocks, and stay dense: every layer then costs what it costs on a machine
without blocks. Put in blocks all the same they take the same cycles of the array, and on the link their bitmaps
besides: a bit for eight weights, one for every column, and 64 for every tile.
"""


def page(found: Sequence[Row]) -> str:
    """The whole page."""
    from compiler.tables import number, table

    columns = (
        *("group", "layers", "differ", "cycles, emulated", "predicted", "dense", "kernel words", "dense"),
        *("skipped %", "gated %", "error"),
    )
    lines = [
        (
            each.network,
            *map(str, (each.group, each.layers, each.differing)),
            *(f"{count:,}" for count in (each.cycles, each.predicted, each.dense, each.words, each.dense_words)),
            f"{100 * each.skipped / each.operations:.1f}",
            f"{100 * each.gated / each.operations:.1f}",
            f"{each.error:.1e}",
        )
        for each in found
    ]
    return "\n".join(
        (
            NOTICE,
            "# Pruned networks on SPOTS\n",
            _INTRODUCTION,
            table(("network", *map(number, columns)), lines).markdown() + "\n",
        )
    )


def main() -> None:
    """Run the networks and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--network", action="append", help="this network, as VGG-16; may be given several times")
    parser.add_argument("--output", type=Path, help="write the page here instead of printing it")
    arguments = parser.parse_args()
    text = page(rows(arguments.network or NETWORKS))
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()

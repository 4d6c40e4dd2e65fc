"""GCONV Chain's claim, measured: whole networks on the accelerator against convolutions there, the rest on a host.

    python benchmarks/chain_claim.py [--output docs/chain-claim.md] [--jobs 2]

Compiles seven networks for three accelerators in both compile modes, prices what the cost model predicts (which tests
hold equal to what the emulator counts; some networks are emulated here as well), asks how the result depends on what
is assumed of the host, and writes the page.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODELS = HERE / "models"
TARGETS = ("eyeriss", "systolic", "nlr")
MODES = ("chain", "offload")
EMULATED = ("alexnet", "capsnet")
FUSION = frozenset(
    ("fuse-elementwise", "fuse-pre", "fold-weights", "match-activations", "share-terms", "broadcast-reductions")
)
"""The passes that are left out of an unfused chain."""


@dataclass(frozen=True)
class Network:
    """A network by name, and how it is generated: a script of `benchmarks/models` and its arguments."""

    name: str
    title: str
    script: str
    arguments: tuple[str, ...] = ()

    def generate(self, folder: Path) -> Path:
        """The model file."""
        path = folder / f"{self.name}.onnx"
        command = [sys.executable, str(MODELS / self.script), *self.arguments, "--output", str(path)]
        subprocess.run(command, check=True)
        return path


NETWORKS = (
    Network("alexnet", "AlexNet", "light.py", ("--network", "alexnet")),
    Network("googlenet", "GoogLeNet", "light.py", ("--network", "googlenet")),
    Network("densenet121", "DenseNet-121", "light.py", ("--network", "densenet121")),
    Network("mobilenet", "MobileNet-v1", "mobilenet.py"),
    Network("faster_rcnn_zf", "Faster R-CNN (ZF)", "faster_rcnn_zf.py"),
    Network("c3d", "C3D", "c3d.py"),
    Network("capsnet", "CapsNet", "capsnet.py"),
)


@dataclass(frozen=True)
class LayerCounts:
    """A layer of a program: its kind and all its counts."""

    kind: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Compilation:
    """What one compilation gave: the layers as predicted, the machine, bytes of instructions, functions by place."""

    layers: tuple[LayerCounts, ...]
    machine: dict[str, Any]
    code_bytes: int
    functions: Mapping[str, tuple[str, ...]]
    most_steps: Mapping[str, int]


@dataclass(frozen=True)
class Measured:
    """A network: operators, compilations by target and mode, unfused and without output path, emulated equal."""

    network: Network
    operators: frozenset[str]
    compilations: Mapping[tuple[str, str], Compilation]
    unfused: Compilation
    bare: Mapping[str, Compilation]
    emulated: Mapping[str, bool] = field(default_factory=dict[str, bool])


def compilation(
    model: Path, target: str, mode: str, without: frozenset[str] = frozenset(), **settings: str
) -> Compilation:
    """Compile a model and keep what the page needs."""
    from compiler.compilation import CompileOptions, compile_source
    from compiler.modes import Mode
    from dialects.spatial import LayerOp

    keys = {key.replace("__", "."): value for key, value in settings.items()}
    compiled = compile_source(str(model), CompileOptions(target, keys, mode=Mode(mode), without=without))
    program = compiled.program
    assert program is not None
    functions: dict[str, set[str]] = {}
    most: dict[str, int] = {}
    for op in compiled.module.walk():
        if not isinstance(op, LayerOp):
            continue
        spec = op.spec
        functions.setdefault("main", set()).add(spec.main)
        functions.setdefault("reduce", set()).add(spec.reduce.value)
        for place, steps in (("pre", spec.pre), ("mid", spec.mid), ("post", spec.post)):
            functions.setdefault(place, set()).update(step.function for step in steps)
            most[place] = max(most.get(place, 0), len(steps))
        most["operands"] = max(most.get("operands", 0), len(op.extras))
        most["dimensions"] = max(most.get("dimensions", 0), len(spec.dims))
    return Compilation(
        tuple(LayerCounts(layer.kind, layer.predicted) for layer in program.layers),
        dict(program.metadata.description),
        sum(len(code) for code in program.code),
        {place: tuple(sorted(names)) for place, names in functions.items()},
        most,
    )


def emulates_as_predicted(model: Path, target: str, mode: str) -> bool:
    """Whether an emulation of the program file counts what was predicted, event by event."""
    import compiler

    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "program.cat"
        compiler.compile(model, target=target, mode=mode, output=program)
        counted, predicted = compiler.run(program).report, compiler.report(program)
        return all(
            not mine.counts.differences(theirs.counts)
            for mine, theirs in zip(counted.layers, predicted.layers, strict=True)
        )


def measure(network: Network, targets: Sequence[str], emulate: bool) -> Measured:
    """Everything about one network."""
    import onnx

    with tempfile.TemporaryDirectory() as name:
        model = network.generate(Path(name))
        operators = frozenset(node.op_type for node in onnx.load(model, load_external_data=False).graph.node)
        found = {(target, mode): compilation(model, target, mode) for target in targets for mode in MODES}
        unfused = compilation(model, targets[0], "chain", FUSION)
        bare = {target: compilation(model, target, "offload", limits__output_path="[]") for target in targets}
        emulated = {mode: emulates_as_predicted(model, targets[0], mode) for mode in MODES} if emulate else {}
    return Measured(network, operators, found, unfused, bare, emulated)


def main() -> int:
    """Measure and write the page; the exit code is 1 if an emulation does not count what was predicted."""
    from chain_claim_page import page

    parser = argparse.ArgumentParser(description="Measure GCONV Chain's claim.")
    names = [network.name for network in NETWORKS]
    parser.add_argument("--network", action="append", choices=names, help="only this network; may be repeated")
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this target; may be repeated")
    parser.add_argument("--emulate", action="append", choices=names, help="networks to emulate [default: two]")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the page [default: print it]")
    arguments = parser.parse_args()
    chosen = [network for network in NETWORKS if network.name in (arguments.network or names)]
    targets = arguments.target or list(TARGETS)
    emulated = arguments.emulate or EMULATED
    with ProcessPoolExecutor(arguments.jobs) as pool:
        jobs = [pool.submit(measure, network, targets, network.name in emulated) for network in chosen]
        found = [job.result() for job in jobs]
    text = page(found, targets)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0 if all(all(each.emulated.values()) for each in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())

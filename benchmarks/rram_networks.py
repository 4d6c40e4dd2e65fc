"""Quantized networks on cores with crossbars: to the bit as the interpreter, and how far from ONNX Runtime.

    python benchmarks/rram_networks.py [--only NAME ...] [--output docs/rram-networks.md]

Networks are generated and quantized with `catena quantize`, or come from a folder of reference models beside the
checkout (`../shared/models`); where that is absent these are left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from rram_pages import SCHEDULES, generate, quantize

from backends.program import Program
from backends.rram.emulator import MulticoreEmulator
from compiler.compilation import CompileOptions, compile_model
from compiler.execution import random_inputs
from compiler.sources import ImportOptions
from compiler.tables import number, table
from compiler.targets import select_target
from compiler.verification.comparison import Unit
from compiler.verification.programs import verify_source
from dialects.gconv.interpreter import Interpreter

HERE = Path(__file__).resolve().parent
REFERENCE = HERE.parents[1] / "shared" / "models"
NOTICE = "<!-- Made by `python benchmarks/rram_networks.py --output docs/rram-networks.md`; do not edit. -->\n"
INTRODUCTION = """\
# Quantized networks on cores with crossbars

Every network is compiled for the target `rram` in three ways: layer by layer, pipelined, and pipelined with copies of
weights. The outputs of all three programs on the emulator are those of the interpreter, to the bit, and all counts are
those predicted, cycles among them, or this page is not made. `catena verify` then sets every layer of the pipelined
program beside ONNX Runtime, with the inputs that ONNX Runtime has for it: the largest difference, in last places of
quantized tensors (LSB), and relative to the largest value of others. What ONNX Runtime has no tensor for is not
compared.

CPU time is that of one core, for the whole of compiling from the ONNX model in memory to the program, and of emulating
one image.
"""
AFTERWARDS = """\
The `dory_` networks carry integers in tensors of floats: crossbars hold no floats, so that all of their layers run on
vector units. `zz_resnet8` comes in floats and is quantized as generated networks are.
"""


@dataclass(frozen=True)
class Network:
    """A generated network, or a reference model: a file without arguments."""

    title: str
    source: str
    arguments: tuple[str, ...] = ()
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    is_float: bool = False
    """Whether a reference model is still to be quantized."""

    @property
    def is_generated(self) -> bool:
        """Whether a script makes it."""
        return self.source.endswith(".py")

    @property
    def is_there(self) -> bool:
        """Whether it can be had."""
        return self.is_generated or (REFERENCE / self.source).exists()

    @property
    def importing(self) -> ImportOptions:
        """How it is read: with its shapes."""
        return ImportOptions(dict(self.shapes))

    def file(self, folder: Path) -> Path:
        """The quantized network as a file, made in the folder unless it comes quantized."""
        if not self.is_generated and not self.is_float:
            return REFERENCE / self.source
        plain, small = REFERENCE / self.source, folder / f"{self.title}.onnx"
        if self.is_generated:
            plain = folder / "plain.onnx"
            generate(self.source, self.arguments, plain)
        quantize(plain, small, samples=2)
        return small


NETWORKS = (
    Network("ResNet-18", "resnet.py", ("--depth", "18")),
    Network("ResNet-50", "resnet.py", ("--depth", "50")),
    Network("MobileNet-v1", "mobilenet.py"),
    Network("MobileNet-v2", "mobilenet_v2.py"),
    Network("SqueezeNet", "light.py", ("--network", "squeezenet")),
    Network("GoogLeNet", "googlenet.py"),
    Network("of_kws", "of_kws.onnx"),
    Network("qat_mnv4s", "qat_mnv4s.onnx", (), (("input_u8", (1, 3, 224, 224)),)),
    Network("ort_qdq_multi", "ort_qdq_multi.onnx"),
    Network("mnist_quantized", "mnist_quantized.onnx"),
    Network("dory_penguinet", "dory_penguinet.onnx"),
    Network("dory_tcn", "dory_tcn.onnx"),
    Network("dory_dronet2", "dory_dronet2.onnx"),
    Network("zz_resnet8", "zz_resnet8.onnx", is_float=True),
)
COLUMNS = (
    *(
        "network",
        number("layers"),
        number("on crossbars"),
        number("compared"),
        number("largest LSB"),
        number("relative"),
    ),
    *(number("instructions kB"), number("compiling s"), number("pipelined s"), number("copies s")),
    number("emulating s"),
)


@dataclass(frozen=True)
class Way:
    """A program, and the CPU time of making it and of emulating it."""

    program: Program
    seconds: tuple[float, float]
    on_crossbars: int


def compiled(model: onnx.ModelProto, network: Network, settings: Mapping[str, str]) -> Way:
    """A program whose results are those of the interpreter, to the bit, and whose counts are those predicted."""
    target = select_target("rram", settings)
    start = time.process_time()
    program = compile_model(model, target, CompileOptions(importing=network.importing)).program
    compiling = time.process_time() - start
    assert program is not None
    inputs = random_inputs(program, 0)
    emulator = MulticoreEmulator(program)
    start = time.process_time()
    results = emulator.run(inputs)
    emulating = time.process_time() - start
    chain = compile_model(model, target, CompileOptions(importing=network.importing, stop="encoded")).module
    for name, expected in Interpreter(chain).run(inputs).items():
        np.testing.assert_array_equal(results[name], expected)
    for layer in program.layers:
        counted = emulator.counters[layer.name].flat()
        assert all(counted[name] == layer.predicted[name] for name in counted), layer.name
    products = sum(counts.events["crossbar.mvm"] > 0 for counts in emulator.counters.values())
    return Way(program, (compiling, emulating), products)


def row(network: Network, folder: Path) -> tuple[str, ...]:
    """The row of a network. Raises `AssertionError` for results, counts or a layer that are wrong."""
    file = network.file(folder)
    ways = [compiled(onnx.load(file), network, settings) for settings in SCHEDULES.values()]
    options = CompileOptions("rram", SCHEDULES["pipelined"], importing=network.importing)
    found = verify_source(str(file), options=options)
    assert found.is_equal, found.first_wrong
    measured = [each for each in found.layers if each.error is not None]
    places = [each.error or 0.0 for each in measured if each.unit is Unit.LSB]
    others = [each.error or 0.0 for each in measured if each.unit is not Unit.LSB]
    chosen = ways[1]
    return (
        *(network.title, str(len(chosen.program.layers)), str(chosen.on_crossbars), str(len(measured))),
        f"{max(places):.0f}" if places else "-",
        f"{max(others):.0e}" if others else "-",
        str(sum(map(len, chosen.program.code)) // 1024),
        *(f"{way.seconds[0]:.1f}" for way in ways),
        f"{chosen.seconds[1]:.1f}",
    )


def rows(networks: Sequence[Network]) -> Iterator[tuple[str, ...]]:
    """The rows of networks that can be had."""
    for network in networks:
        if network.is_there:
            with tempfile.TemporaryDirectory() as folder:
                made = row(network, Path(folder))
            print(" | ".join(made), file=sys.stderr)
            yield made


def page(made: Sequence[tuple[str, ...]]) -> str:
    """The page of some rows; it says which networks are not among them."""
    titles = {each[0] for each in made}
    absent = [each.title for each in NETWORKS if each.title not in titles]
    left = [f"Left out when this was made: {', '.join(absent)}.\n"] if absent else []
    return "\n".join([NOTICE, INTRODUCTION, table(COLUMNS, list(made)).markdown(), "", AFTERWARDS, *left])


def main() -> int:
    """Make the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only networks of these titles")
    parser.add_argument("--output", type=Path, help="the file to write; standard output if none")
    arguments = parser.parse_args()
    chosen = [each for each in NETWORKS if arguments.only is None or each.title in arguments.only]
    text = page(list(rows(chosen)))
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

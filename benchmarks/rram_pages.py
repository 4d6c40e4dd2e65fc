"""What pages of whole networks on cores with crossbars share: networks, schedules, and the command that makes a page.

A module of `rram_latency.py`, `rram_groups.py`, `rram_mesh.py` and `rram_networks.py`, no command of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

HERE = Path(__file__).resolve().parent
SCHEDULES: Mapping[str, Mapping[str, str]] = {
    "layer by layer": {},
    "pipelined": {"schedule.pipelined": "true"},
    "pipelined, copies": {"schedule.pipelined": "true", "schedule.duplicate": "true"},
}
_CATENA = "import sys; from compiler.cli import main; sys.exit(main())"


def generate(script: str, arguments: Sequence[str], output: Path) -> None:
    """A network with seeded weights, by a script of `benchmarks/models`."""
    words = [sys.executable, HERE / "models" / script, *arguments, "--output", output]
    subprocess.run(words, check=True, capture_output=True)


def quantize(model: Path, output: Path, samples: int) -> None:
    """A model of floats in 8 bits, calibrated with so many random samples."""
    words = ["quantize", model, "-o", output, "--calibrate", f"random:{samples}"]
    subprocess.run([sys.executable, "-c", _CATENA, *words], check=True, capture_output=True)


@dataclass(frozen=True)
class Network:
    """A generated network; `peer` are PIMCOMP's ns in element mode: balance and GA at 800 ns, balance at 4000 ns."""

    title: str
    script: str
    arguments: tuple[str, ...] = ()
    peer: tuple[int, int, int | None] | None = None

    def model(self, folder: Path) -> onnx.ModelProto:
        """The network with weights of 8 bits, from the folder if it was made before."""
        plain, small = folder / f"{self.title}.plain.onnx", folder / f"{self.title}.onnx"
        if not small.exists():
            generate(self.script, self.arguments, plain)
            quantize(plain, small, samples=1)
            plain.unlink()
        return onnx.load(small)


def make_page(about: str, networks: Sequence[Network], page: Callable[[Sequence[Network], Path], str]) -> int:
    """The command: `page` makes the text of the networks that are asked for, given the folder where they are kept."""
    parser = argparse.ArgumentParser(description=about.split("\n\n", 1)[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only networks of these titles")
    parser.add_argument("--models", type=Path, help="a folder to keep generated networks in")
    parser.add_argument("--output", type=Path, help="the file to write; standard output if none")
    arguments = parser.parse_args()
    chosen = [each for each in networks if arguments.only is None or each.title in arguments.only]
    with tempfile.TemporaryDirectory() as temporary:
        text = page(chosen, arguments.models or Path(temporary))
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


def shown(made: Iterator[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Rows as they are made, printed on standard error."""
    for row in made:
        print(" | ".join(row), file=sys.stderr, flush=True)
        yield row


if __name__ == "__main__":
    raise SystemExit("this is a module of other benchmarks/rram_*.py: run these")

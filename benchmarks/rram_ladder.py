"""Errors of products on crossbars by the resolution of converters, beside those measured of two simulators.

    python benchmarks/rram_ladder.py [--seed 0] [--output docs/rram-ladder.md]

Each simulator's encoding, range rule and cells are set up on our crossbar; matrix and inputs are the same for both.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backends.rram.crossbar import Adc, AdcRange, Crossbar, Deviation, Format, Physics
from dialects.encodings.cells import MAPPINGS, InputEncoding, InputFormat, WeightEncoding, WeightFormat

SIZE = 128
VECTORS = 100
COVERED = 0.999
"""The output range is the magnitude that so many of the exact products do not exceed."""
MAGNITUDE = 127
"""Weights and inputs are drawn uniformly from all integers up to this magnitude."""
TOLERANCE = 1.3

_INPUTS, _WEIGHTS = MAPPINGS["I_TC_W_DIFF"]


@dataclass(frozen=True)
class Rung:
    """One setting: bits of converters, 0 for ideal ones, and what was measured of the simulator in percent."""

    bits: int
    measured: float
    programming: float = 0.0
    """Standard deviation of conductances, as a share of them."""

    @property
    def name(self) -> str:
        if self.programming:
            return f"ideal converters, conductances off by {self.programming:.0%}"
        return f"{self.bits} bits" if self.bits else "ideal converters"


@dataclass(frozen=True)
class Peer:
    """A simulator: its encodings, the rule of its converters' range, and its cells (conductances in any unit)."""

    name: str
    format: Format
    range: AdcRange
    g_min: float
    g_max: float
    rungs: tuple[Rung, ...]

    def crossbar(self, weights: npt.NDArray[np.int64], rung: Rung, seed: int) -> Crossbar:
        """The matrix on a crossbar with a rung's converters and cells."""
        error = Deviation(magnitude=rung.programming) if rung.programming else None
        physics = Physics(g_min=self.g_min, g_max=self.g_max, programming=error)
        return Crossbar(weights, self.format, Adc(bits=rung.bits, range=self.range), physics, seed)


PEERS = (
    Peer(
        "analog-cim-sim",
        Format(weights=WeightFormat(slices=(1, 3, 4), encoding=_WEIGHTS), inputs=InputFormat(bits=8, encoding=_INPUTS)),
        AdcRange.MAX,
        5,
        30,
        (Rung(6, 11.9), Rung(8, 2.8), Rung(9, 1.5), Rung(10, 0.74)),
    ),
    Peer(
        "CrossSim",
        Format(
            weights=WeightFormat(slices=(7,), encoding=WeightEncoding.DIFFERENTIAL_2XB),
            inputs=InputFormat(bits=8, encoding=InputEncoding.SIGN_MAGNITUDE),
        ),
        AdcRange.COLUMN,
        0.1,
        1,
        (Rung(6, 5.8), Rung(8, 1.2), Rung(10, 0.37), Rung(0, 1.7, programming=0.05)),
    ),
)


def data(seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The matrix, and inputs (vectors, rows)."""
    random = np.random.default_rng(seed)
    return tuple(random.integers(-MAGNITUDE, MAGNITUDE + 1, (rows, SIZE)) for rows in (SIZE, VECTORS))


def output_range(exact: npt.NDArray[np.int64]) -> float:
    """What errors are shares of."""
    return float(np.quantile(np.abs(exact), COVERED))


def error(peer: Peer, rung: Rung, seed: int) -> float:
    """Root mean square of the errors of all products, in percent of the output range."""
    weights, inputs = data(seed)
    exact = inputs @ weights
    found = peer.crossbar(weights, rung, seed).multiply(inputs)
    return float(100 * np.sqrt(np.mean((found - exact) ** 2)) / output_range(exact))


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description="Errors by the resolution of converters beside two simulators.")
    parser.add_argument("--seed", type=int, default=0, help="of the matrix, the inputs and the cells")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the page here instead of printing it")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from rram_ladder_page import page

    text = page(arguments.seed)
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()

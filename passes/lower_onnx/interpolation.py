"""Resampling one dimension: which input words an output word mixes, as a matrix (ONNX Resize)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from passes.lower_onnx.arithmetic import Value

Floats = npt.NDArray[np.floating]


Numbers = TypeVar("Numbers", Floats, Value)


@dataclass(frozen=True)
class Resampling:
    """From `input` to `output` words. Modes and options as in ONNX Resize; `start` and `end` are the region of
    interest of `tf_crop_and_resize`."""

    input: int
    output: int
    scale: float
    mode: str
    transformation: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
    cubic_coefficient: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    start: float = 0.0
    end: float = 1.0

    @property
    def positions(self) -> Floats:
        """Where every output word lies among the input words, in f32 as ONNX Runtime rounds it."""
        scale, start, end = (np.full(1, number, np.float32) for number in (self.scale, self.start, self.end))
        return positions(np.arange(self.output, dtype=np.float32), scale, start, end, self)

    @property
    def outside(self) -> npt.NDArray[np.bool_]:
        """Which output words lie outside the input; only cropping leaves it."""
        if self.transformation != "tf_crop_and_resize":
            return np.zeros(self.output, np.bool_)
        return (self.positions < 0) | (self.positions > self.input - 1)

    @property
    def nearest(self) -> npt.NDArray[np.int64]:
        """The input word that every output word copies in mode `nearest`."""
        positions = self.positions
        match self.nearest_mode:
            case "round_prefer_floor":
                chosen = np.ceil(positions - 0.5)
            case "round_prefer_ceil":
                chosen = np.floor(positions + 0.5)
            case "floor":
                chosen = np.floor(positions)
            case _:
                chosen = np.ceil(positions)
        return np.clip(chosen, 0, self.input - 1).astype(np.int64)

    def matrix(self) -> Floats:
        """The weight of every input word (column) in every output word (row)."""
        result = np.zeros((self.output, self.input))
        if self.mode == "nearest":
            result[np.arange(self.output), self.nearest] = 1
        else:
            for row, position in enumerate(self.positions):
                self._mix(result[row], float(position))
        result[self.outside] = 0
        return result

    def _mix(self, row: Floats, position: float) -> None:
        """Add the weights of the words around `position`; beyond the border stands the border's word."""
        base = math.floor(position)
        offsets, weights = self._kernel(position - base)
        places = base + offsets
        if self.exclude_outside:
            weights = np.where((places < 0) | (places >= self.input), 0, weights)
            weights = weights / weights.sum()
        np.add.at(row, np.clip(places, 0, self.input - 1), weights)

    def _kernel(self, ratio: float) -> tuple[npt.NDArray[Any], Floats]:
        """Offsets from the word before the position, and their weights; stretched when shrinking with antialias."""
        support = 2 if self.mode == "cubic" else 1
        stretch = min(self.scale, 1.0) if self.antialias else 1.0
        first = math.floor(-support / stretch) + 1
        offsets = np.arange(first, 2 - first)
        distance = np.abs(offsets - ratio) * stretch
        weights = self._cubic(distance) if self.mode == "cubic" else np.clip(1 - distance, 0, 1)
        return offsets, weights / weights.sum()

    def _cubic(self, distance: Floats) -> Floats:
        a = self.cubic_coefficient
        near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
        far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def positions(at: Numbers, scale: Numbers, start: Numbers, end: Numbers, change: Resampling) -> Numbers:
    """Where the output words `at` lie among the input words, for a scale and a region.

    All are f32 vectors, the last three of one number. The extents and the transformation are those of `change`, whose
    own scale and region do not count.
    """
    last, steps = float(change.input - 1), float(change.output - 1)
    match change.transformation:
        case "align_corners":
            # As in ONNX Runtime and PyTorch; the reference evaluator takes the extent before rounding.
            return at * last / steps if change.output > 1 else at * 0.0
        case "asymmetric":
            return at / scale
        case "tf_half_pixel_for_nn":
            return (at + 0.5) / scale
        case "tf_crop_and_resize" if change.output == 1:
            return (start + end) * 0.5 * last
        case "tf_crop_and_resize":
            return at * (end - start) * last / steps + start * last
        case "pytorch_half_pixel" if change.output == 1:
            return at * 0.0 - 0.5
        case "half_pixel_symmetric":
            middle = (1.0 - change.output / (scale * float(change.input))) * (change.input / 2)
            return (at + 0.5) / scale + middle - 0.5
        case _:
            return (at + 0.5) / scale - 0.5

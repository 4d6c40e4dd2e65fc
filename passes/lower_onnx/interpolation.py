"""Resampling one dimension: which input words an output word mixes, as a matrix (ONNX Resize)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


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
        x, scale, half = np.arange(self.output, dtype=np.float32), np.float32(self.scale), np.float32(0.5)
        last = np.float32(self.input - 1)
        steps = np.float32(self.output - 1)
        match self.transformation:
            case "align_corners":
                # As in ONNX Runtime and PyTorch; the reference evaluator takes the extent before rounding.
                return x * last / steps if self.output > 1 else np.zeros(1, np.float32)
            case "asymmetric":
                return x / scale
            case "tf_half_pixel_for_nn":
                return (x + half) / scale
            case "tf_crop_and_resize":
                start, end = np.float32(self.start), np.float32(self.end)
                if self.output == 1:
                    return np.full(1, half * (start + end) * last)
                return start * last + x * (end - start) * last / steps
            case "pytorch_half_pixel" if self.output == 1:
                return np.full(1, -half)
            case "half_pixel_symmetric":
                middle = np.float32(self.input) / 2
                return middle * (1 - np.float32(self.output) / (scale * self.input)) + (x + half) / scale - half
            case _:
                return (x + half) / scale - half

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

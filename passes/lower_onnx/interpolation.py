"""Resampling one dimension: which input words an output word mixes, as a matrix (ONNX Resize)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


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
        """Where every output word lies among the input words."""
        x = np.arange(self.output, dtype=np.float64)
        last = self.input - 1
        match self.transformation:
            case "align_corners":
                # The resized extent is the exact one, before it is rounded to whole words.
                return x * (last / (self.scale * self.input - 1)) if self.output > 1 else np.zeros(1)
            case "asymmetric":
                return x / self.scale
            case "tf_half_pixel_for_nn":
                return (x + 0.5) / self.scale
            case "tf_crop_and_resize":
                if self.output == 1:
                    return np.full(1, 0.5 * (self.start + self.end) * last)
                return self.start * last + x * ((self.end - self.start) * last / (self.output - 1))
            case "pytorch_half_pixel" if self.output == 1:
                return np.full(1, -0.5)
            case "half_pixel_symmetric":
                adjustment = self.output / (self.scale * self.input)
                return self.input / 2 * (1 - adjustment) + (x + 0.5) / self.scale - 0.5
            case _:
                return (x + 0.5) / self.scale - 0.5

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

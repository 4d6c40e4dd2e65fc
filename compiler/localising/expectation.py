"""What words of a layer have to be, worked out of its definition for any part of its loops, by no emulator's code.

Sums of some terms alone are what a machine has to have after the instructions that worked on these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.effects import Cut, Ints
from compiler.arrays import Array
from dialects.dtypes import dtype_named
from dialects.gconv import PASS, GConv, LoopKind, Reduce
from dialects.gconv.interpreter import evaluate
from dialects.gconv.scalar import apply, scalar_of
from dialects.gconv.spec import Step

_FOLDS = {Reduce.ADD: np.add, Reduce.MAX: np.maximum, Reduce.MIN: np.minimum, Reduce.MUL: np.multiply}
_BLOCK = 1 << 22
"""Words of windows at a time."""
_KEPT = 1 << 24
"""Words of windows that are kept for whoever asks for the same."""
_EXACT = 1 << 53
"""Magnitude up to which float64 holds every integer."""


class Expectation:
    """A layer with its operands; `made` is all that it has to make, in the extents of its output."""

    def __init__(
        self, spec: GConv, input: Array, kernel: Array | None, extras: Sequence[Array], dtype: np.dtype[Any]
    ) -> None:
        self.spec = spec
        self._kernel, self._extras = kernel, extras
        self._made_windows: dict[tuple[bytes, bytes, bytes], Array] = {}
        self._kept = 0
        self.words = 0
        """Words of windows that were put together so far."""
        self._input = _through(spec.pre, input)
        acc = self._input.dtype if spec.acc is None else dtype_named(spec.acc)
        self.partial = dtype_named(spec.partial_type(acc.name))
        self.made = evaluate(spec, input, kernel, extras, dtype)
        self.largest = _largest(self.made)

    def count(self, kind: LoopKind) -> int:
        """How many indices the loops of a kind have, all dimensions together."""
        return math.prod(dim.count(kind) for dim in self.spec.dims)

    def has(self, cut: Cut) -> bool:
        """Whether the loops have all of these indices."""
        flat = (
            (LoopKind.G, cut.groups),
            (LoopKind.OP, cut.kernels),
            (LoopKind.OPC, cut.outputs),
            (LoopKind.KS, cut.terms),
        )
        return all(not each.size or (each.min() >= 0 and each.max() < self.count(kind)) for kind, each in flat)

    # Operands ---------------------------------------------------------------------------------------------------------

    def windows(self, groups: Ints, terms: Ints, outputs: Ints) -> Array:
        """Input words after `pre`, padding in place, as (groups, terms, outputs); cores often ask for the same."""
        key = groups.tobytes(), terms.tobytes(), outputs.tobytes()
        if key not in self._made_windows:
            size = len(groups) * len(terms) * len(outputs)
            self.words += size
            self._kept += size
            if self._kept > _KEPT:
                self._made_windows.clear()
                self._kept = size
            self._made_windows[key] = self._windows(groups, terms, outputs)
        return self._made_windows[key]

    def _windows(self, groups: Ints, terms: Ints, outputs: Ints) -> Array:
        of_group, of_term, of_output = (
            self._by_dim(flat, kind)
            for flat, kind in ((groups, LoopKind.G), (terms, LoopKind.KS), (outputs, LoopKind.OPC))
        )
        positions = (
            opc[None, :] * dim.stride + ks[:, None] * dim.dilation - dim.pad
            for dim, ks, opc in zip(self.spec.dims, of_term, of_output, strict=True)
        )
        return self._words(of_group, list(positions))

    def _words(self, groups: Sequence[Ints], positions: Sequence[Ints]) -> Array:
        """Input words by group, and by position, padding included, of every dimension: (groups, *positions)."""
        shape = positions[0].shape
        address = np.zeros((len(groups[0]), *shape), np.int64)
        exist = np.ones(shape, np.bool_)
        step = 1
        for dim, extent, group, place in reversed(
            list(zip(self.spec.dims, self._input.shape, groups, positions, strict=True))
        ):
            size = extent // dim.g
            exist &= (place % dim.up == 0) & (place >= 0) & (place < size * dim.up)
            address += (group.reshape(-1, *[1] * len(shape)) * size + place // dim.up) * step
            step *= extent
        found = np.full(address.shape, scalar_of(self.spec.padding, self._input.dtype), self._input.dtype)
        found[:, exist] = self._input.reshape(-1)[address[:, exist]]
        return found

    def kernel(self, groups: Ints, kernels: Ints, terms: Ints) -> Array:
        """Kernel words, as (groups, kernels, terms)."""
        assert self._kernel is not None
        return self._indexed(self._kernel, groups, kernels, terms, LoopKind.KS)

    def extra(self, number: int, cut: Cut) -> Array:
        """Words of an operand of `post`, as (groups, kernels, outputs)."""
        whole = np.broadcast_to(self._extras[number], self.spec.output_shape)
        return self._indexed(whole, cut.groups, cut.kernels, cut.outputs, LoopKind.OPC)

    def results(self, cut: Cut, made: Array | None = None) -> Array:
        """What the layer makes, or what else was made in its place, as (groups, kernels, outputs)."""
        array = self.made if made is None else made
        return np.ascontiguousarray(array).reshape(-1)[self.places(cut)]

    def places(self, cut: Cut) -> Ints:
        """Where results lie in the extents of the output, as (groups, kernels, outputs)."""
        return self._places(cut.groups, cut.kernels, cut.outputs, LoopKind.OPC)

    def windows_of_tile(self, cut: Cut, tile: Array, firsts: Sequence[int]) -> Array | None:
        """As `windows`, of words by group and padded position of every dimension, from `firsts` on; None if not all
        are there. Groups are those of the cut.
        """
        of_group, of_term, of_output = (
            self._by_dim(flat, kind)
            for flat, kind in ((cut.groups, LoopKind.G), (cut.terms, LoopKind.KS), (cut.outputs, LoopKind.OPC))
        )
        address = np.zeros((len(cut.groups), len(cut.terms), len(cut.outputs)), np.int64)
        for d, (dim, ks, opc) in enumerate(zip(self.spec.dims, of_term, of_output, strict=True)):
            group = of_group[d] - of_group[d].min()
            position = opc[None, :] * dim.stride + ks[:, None] * dim.dilation - dim.pad - firsts[d]
            groups, positions = tile.shape[2 * d : 2 * d + 2]
            if group.max() >= groups or position.min() < 0 or position.max() >= positions:
                return None
            address = (address * groups + group[:, None, None]) * positions + position
        return np.ascontiguousarray(tile).reshape(-1)[address]

    def _indexed(self, array: Array, groups: Ints, kernels: Ints, last: Ints, kind: LoopKind) -> Array:
        return np.ascontiguousarray(array).reshape(-1)[self._places(groups, kernels, last, kind)]

    def _places(self, groups: Ints, kernels: Ints, last: Ints, kind: LoopKind) -> Ints:
        address = np.zeros((len(groups), len(kernels), len(last)), np.int64)
        for dim, g, op, index in zip(
            self.spec.dims,
            self._by_dim(groups, LoopKind.G),
            self._by_dim(kernels, LoopKind.OP),
            self._by_dim(last, kind),
            strict=True,
        ):
            extent = dim.g * dim.op * dim.count(kind)
            place = (g[:, None, None] * dim.op + op[None, :, None]) * dim.count(kind) + index[None, None, :]
            address = address * extent + place
        return address

    def _by_dim(self, flat: Ints, kind: LoopKind) -> list[Ints]:
        counts = [dim.count(kind) for dim in self.spec.dims]
        return [each.astype(np.int64) for each in np.unravel_index(flat, counts)]

    # As text ----------------------------------------------------------------------------------------------------------

    def place(self, flat: Mapping[LoopKind, int]) -> str:
        """Indices of loops, those of which there is one only left out."""
        return ", ".join(self._named({kind: (index, index) for kind, index in flat.items()})) or "the only word"

    def place_of_result(self, index: Sequence[int]) -> str:
        """A result by its indices in the extents of the output."""
        parts: list[str] = []
        for dim, place in zip(self.spec.dims, index, strict=True):
            of_dim = {"g": place // (dim.op * dim.opc), "op": place // dim.opc % dim.op, "opc": place % dim.opc}
            parts += [f"{dim.name}.{kind} {at}" for kind, at in of_dim.items() if dim.count(LoopKind(kind)) > 1]
        return ", ".join(parts) or "the only word"

    def ranges(self, cut: Cut) -> str:
        """The loops that a cut does not have whole."""
        kinds = _by_kind(cut).items()
        ends = {kind: (int(each[0]), int(each[-1])) for kind, each in kinds if 0 < len(each) < self.count(kind)}
        return ", ".join(self._named(ends))

    def moved(self, expected: Cut, found: Cut, kind: LoopKind) -> frozenset[int]:
        """The dimensions whose loops of a kind stand at other indices in one cut than in another."""
        pair = _by_kind(expected)[kind], _by_kind(found)[kind]
        if not all(map(len, pair)):
            return frozenset()
        ends = (np.stack(self._by_dim(each[[0, -1]], kind)) for each in pair)
        return frozenset(np.flatnonzero(np.any(np.not_equal(*ends), axis=1)).tolist())

    def _named(self, ends: Mapping[LoopKind, tuple[int, int]]) -> Iterator[str]:
        for kind, each in ends.items():
            low, high = (self._by_dim(np.array([end]), kind) for end in each)
            for dim, first, last in zip(self.spec.dims, low, high, strict=True):
                if dim.count(kind) > 1:
                    text = f"{dim.name}.{kind} {int(first[0])}"
                    yield text if first[0] == last[0] else f"{text} to {int(last[0])}"

    # Sums -------------------------------------------------------------------------------------------------------------

    def sums(self, cut: Cut) -> tuple[Array, float]:
        """What comes of the terms of a cut, as (groups, kernels, outputs), and how large what is added up may be."""
        width = max(1, _BLOCK // max(1, len(cut.groups) * len(cut.terms)))
        kernel = None if self._kernel is None else self.kernel(cut.groups, cut.kernels, cut.terms)
        parts: list[Array] = []
        largest = 0.0
        for start in range(0, len(cut.outputs), width):
            windows = self.windows(cut.groups, cut.terms, cut.outputs[start : start + width])
            part, size = self._folded(windows, kernel, len(cut.kernels))
            parts.append(part)
            largest = max(largest, size)
        return np.concatenate(parts, axis=2), largest

    def added(self, before: Array, values: Array) -> Array:
        """Sums after some more have been folded into them."""
        with np.errstate(all="ignore"):
            return _FOLDS[self.spec.reduce](before, values)

    def _folded(self, windows: Array, kernel: Array | None, kernels: int) -> tuple[Array, float]:
        spec = self.spec
        if spec.is_multiply_accumulate and not spec.mid:
            assert kernel is not None
            return _products(kernel, windows, self.partial)
        wide = np.broadcast_to(windows[:, None], (len(windows), kernels, *windows.shape[1:])).astype(self.partial)
        with np.errstate(all="ignore"):
            if spec.main != PASS:
                assert kernel is not None
                wide = apply(spec.main, wide, kernel[..., None].astype(self.partial))
            values = _through(spec.mid, wide)
            if spec.reduce is Reduce.NONE:
                return values[:, :, 0], _largest(values)
            folded = _FOLDS[spec.reduce].reduce(values, axis=2, dtype=self.partial)
        return folded, _largest(values) * windows.shape[1]


def _by_kind(cut: Cut) -> dict[LoopKind, Ints]:
    return {LoopKind.G: cut.groups, LoopKind.OP: cut.kernels, LoopKind.OPC: cut.outputs, LoopKind.KS: cut.terms}


def _products(kernel: Array, windows: Array, partial: np.dtype[Any]) -> tuple[Array, float]:
    """Sums of products: exact for integers, which wrap around, and in float64 for floats."""
    bound = _largest(kernel) * _largest(windows) * windows.shape[1]
    wide: npt.DTypeLike = np.float64 if partial.kind == "f" or bound < _EXACT else np.int64
    with np.errstate(all="ignore"):
        found = np.matmul(kernel.astype(wide), windows.astype(wide))
        return (found if partial.kind == "f" else found.astype(np.int64)).astype(partial), bound


def _largest(values: Array) -> float:
    wide = values.astype(np.float64)
    return float(np.max(np.abs(wide), initial=0.0, where=np.isfinite(wide)))


def _through(steps: Sequence[Step], value: Array) -> Array:
    for step in steps:
        value = apply(step.function, value, parameters=step.parameters)
    return value

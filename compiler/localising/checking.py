"""Effects held against the definition of their layers, one by one as an emulator shows them."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from backends.effects import NO_LAYER, NO_WORDS, Effect, Shown
from compiler.arrays import Array
from compiler.localising.by_code import ByCode
from compiler.localising.defined import DefinedLayers
from compiler.localising.expectation import Expectation
from compiler.localising.wrong import WrongEffectError
from dialects.gconv import LoopKind
from dialects.gconv.interpreter import take_view

MOST_TERMS = 1 << 31
"""Terms of sums that are worked out again; those that go through scalar functions count `_DEAR` times."""
_DEAR = 32
_OF_A_WORD = 4
"""Terms that take about as long as putting a word of windows together."""
_RELATIVE = 1e-4
"""What floats may differ by, relative to the largest of their kind: far less than what results show as wrong."""
_ROUNDING = 1e-9
"""What sums may differ by, relative to all that is added up, because that is done in another order."""


class TooManyTermsError(Exception):
    """More would have to be worked out again than takes moderate time."""


class CheckedEffects:
    """An observer that raises `WrongEffectError`; with `keeps_all` also if results are lost that were right before."""

    def __init__(self, defined: DefinedLayers, code: ByCode | None = None, *, keeps_all: bool = False) -> None:
        self._defined, self._keeps_all = defined, keeps_all
        self._code = code or ByCode()
        self._left: dict[int, Array] = {}
        """By layer, what sums have to be that were left to be gone on with."""
        self._written: dict[int, Array] = {}
        """By layer, which results there are."""
        self._last: dict[int, Effect] = {}
        self._terms = 0
        self.seen: set[int] = set()
        """Layers that did anything."""

    def __call__(self, effect: Effect) -> None:
        self._code.check(effect)
        if effect.shown in (Shown.CONFIGURED, Shown.OPENED, Shown.DONE):
            return
        if effect.shown is Shown.STOP:
            raise WrongEffectError(effect, "stops at it", "", "", "")
        if effect.shown is Shown.MOVED:
            self._check_moved(effect)
            return
        if effect.layer not in self._defined.expectations:
            raise WrongEffectError(replace(effect, layer=NO_LAYER), "does work of another layer with it", "", "", "")
        self.seen.add(effect.layer)
        layer = self._defined.expectations[effect.layer]
        if not layer.has(effect.cut):
            raise WrongEffectError(effect, "goes beyond the loops of the layer with it", "", "", "")
        match effect.shown:
            case Shown.TILE:
                self._check_tile(effect, layer)
            case Shown.WINDOWS:
                cut = effect.cut
                expected = layer.windows(cut.groups, cut.terms, cut.outputs)
                self._check(effect, expected, effect.values, (LoopKind.G, LoopKind.KS, LoopKind.OPC))
            case Shown.KERNEL:
                cut = effect.cut
                expected = layer.kernel(cut.groups, cut.kernels, cut.terms)
                self._check(effect, expected, effect.values, (LoopKind.G, LoopKind.OP, LoopKind.KS))
            case Shown.EXTRA:
                self._check(effect, layer.extra(effect.extra, effect.cut), effect.values, _OF_RESULTS)
            case Shown.TERMS:
                expected, size = self._sums(effect, layer)
                self._check(effect, expected, effect.values, _OF_RESULTS, size)
            case Shown.SUMS:
                self._check_sums(effect, layer)
            case Shown.ADDED:
                *given, after = effect.values
                self._check(effect, reduce(layer.added, given), after, _OF_RESULTS, sum(map(abs, given)))
            case Shown.FLOW:
                values = _cast(effect.values, layer.made.dtype)
                self._check(effect, layer.results(effect.cut), values, _OF_RESULTS, largest=layer.largest)
            case Shown.RESULT:
                self._check_results(effect, layer)

    def end(self) -> None:
        """Raise `WrongEffectError` if something should have come that did not, or no instruction made some results."""
        self._code.end()
        for number, effect in self._last.items():
            layer = self._defined.expectations[number]
            absent = ~self._written[number]
            if absent.any():
                place = layer.place_of_result(tuple(int(each) for each in np.argwhere(absent)[0]))
                raise WrongEffectError(effect, f"never makes {int(absent.sum())} results", place, "a result", "none")

    def _check_moved(self, effect: Effect) -> None:
        """Words that come to a hold or leave it are those of a tensor of the layers."""
        expected = self._defined.words_at(effect.cut.outputs)
        if expected is None:
            return
        wrong = np.flatnonzero(~_close(expected, effect.values, 0.0, _largest(expected)))
        if wrong.size:
            first = int(wrong[0])
            values = str(expected[first]), str(effect.values[first])
            what, place = _WRONG.format(effect.shown), f"word {int(effect.cut.outputs[first])} off-chip"
            raise WrongEffectError(replace(effect, cut=NO_WORDS), what, place, *values)

    # Operands ---------------------------------------------------------------------------------------------------------

    def _check_tile(self, effect: Effect, layer: Expectation) -> None:
        """Only words that windows of the cut touch are the layer's: a tile may have others between them."""
        found = layer.windows_of_tile(effect.cut, effect.values, effect.firsts)
        expected = layer.windows(effect.cut.groups, effect.cut.terms, effect.cut.outputs)
        if found is None:
            raise WrongEffectError(
                effect, _WRONG.format(effect.shown), layer.ranges(effect.cut), "its windows", "others"
            )
        self._check(effect, expected, found, (LoopKind.G, LoopKind.KS, LoopKind.OPC))

    # Sums -------------------------------------------------------------------------------------------------------------

    def _sums(self, effect: Effect, layer: Expectation) -> tuple[Array, float]:
        cut, spec = effect.cut, layer.spec
        terms = len(cut.groups) * len(cut.kernels) * len(cut.outputs) * len(cut.terms)
        self._terms += terms if spec.is_multiply_accumulate and not spec.mid else _DEAR * terms
        if self._terms + _OF_A_WORD * layer.words > MOST_TERMS:
            raise TooManyTermsError(f"more than {MOST_TERMS} terms of sums would be worked out again")
        return layer.sums(cut)

    def _check_sums(self, effect: Effect, layer: Expectation) -> None:
        expected, size = self._sums(effect, layer)
        shape = tuple(map(layer.count, _OF_RESULTS))
        left = self._left.setdefault(effect.layer, np.zeros(shape, layer.partial))
        cut = np.ix_(effect.cut.groups, effect.cut.kernels, effect.cut.outputs)
        if effect.goes_on:
            size += float(np.max(np.abs(_numbers(left[cut])), initial=0.0))
            expected = layer.added(left[cut], expected)
        if not effect.passes:
            left[cut] = expected
        self._check(effect, expected, effect.values, _OF_RESULTS, size)

    # Results ----------------------------------------------------------------------------------------------------------

    def _check_results(self, effect: Effect, layer: Expectation) -> None:
        found = take_view(self._defined.results[effect.layer], effect.values)
        written = self._written.setdefault(effect.layer, np.zeros(layer.spec.output_shape, np.bool_))
        self._last[effect.layer] = effect
        self._check(
            effect, layer.results(effect.cut), layer.results(effect.cut, found), _OF_RESULTS, largest=layer.largest
        )
        if self._keeps_all:
            lost = written & ~_close(layer.made, found, 0.0, layer.largest)
            if lost.any():
                place = tuple(int(each) for each in np.argwhere(lost)[0])
                values = str(layer.made[place]), str(found[place])
                raise WrongEffectError(effect, "lets it overwrite results", layer.place_of_result(place), *values)
        written.reshape(-1)[layer.places(effect.cut)] = True

    def _check(
        self,
        effect: Effect,
        expected: Array,
        found: Array,
        kinds: tuple[LoopKind, ...],
        size: Array | float = 0.0,
        largest: float | None = None,
    ) -> None:
        if not _is_part_of(expected.shape, found.shape):
            shapes = f"words of shape {list(expected.shape)}", f"words of shape {list(found.shape)}"
            raise WrongEffectError(effect, _WRONG.format(effect.shown), "", *shapes)
        expected, found = np.broadcast_arrays(expected, found)
        if largest is None:
            largest = _largest(expected)
        wrong = ~_close(expected, found, size, largest)
        if not wrong.any():
            return
        first = tuple(int(each) for each in np.argwhere(wrong)[0])
        layer, cut = self._defined.expectations[effect.layer], effect.cut
        of_kind = {
            LoopKind.G: cut.groups, LoopKind.OP: cut.kernels, LoopKind.OPC: cut.outputs, LoopKind.KS: cut.terms
        }  # fmt: skip
        flat = {kind: int(of_kind[kind][index]) for kind, index in zip(kinds, first, strict=True)}
        what = _WRONG.format(effect.shown)
        raise WrongEffectError(effect, what, layer.place(flat), str(expected[first]), str(found[first]))


_OF_RESULTS = (LoopKind.G, LoopKind.OP, LoopKind.OPC)
_WRONG = "executes it wrong: {} are not those that the layer is defined to have"


def _is_part_of(expected: tuple[int, ...], found: tuple[int, ...]) -> bool:
    """Whether words of two shapes can be held against each other: an axis of one word stands for all."""
    pairs = [(1, 0)] if len(expected) != len(found) else zip(expected, found, strict=True)
    return all(one == other or (1 in (one, other) and 0 not in (one, other)) for one, other in pairs)


def _cast(values: Array, dtype: np.dtype[Any]) -> Array:
    with np.errstate(all="ignore"):
        return values.astype(dtype, copy=False)


def _numbers(values: Array) -> Array:
    """As float64, in which all words can be told apart that matter; what is no number as zero."""
    wide = values.astype(np.float64)
    return np.where(np.isfinite(wide), wide, 0.0)


def _largest(values: Array) -> float:
    return float(np.max(np.abs(_numbers(values)), initial=0.0))


def _close(expected: Array, found: Array, size: Array | float, largest: float) -> Array:
    """Which words are as expected: all bits of integers, floats as closely as orders of summation leave them."""
    if expected.dtype.kind in "iub" and found.dtype.kind in "iub":
        return expected == found
    wide, others = expected.astype(np.float64), found.astype(np.float64)
    with np.errstate(all="ignore"):
        near = np.abs(wide - others) <= _RELATIVE * largest + _ROUNDING * size
    return (wide == others) | near | (np.isnan(wide) & np.isnan(others))

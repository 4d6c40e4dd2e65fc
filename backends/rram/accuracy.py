"""What converters, cells and wires of crossbars do to the results of a network.

The chain is run by its interpreter, twice: as it is defined, and with the sums of products of every link that crossbars
can do made by `TiledMatrix`. Everything else is exact in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from backends.rram.crossbar.settings import Settings
from backends.rram.crossbar.tiles import TiledMatrix
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import Interpreter, take_view
from dialects.gconv.scalar import Array
from dialects.weights import ConstantOp
from passes.chain_views import source_of
from passes.mapping_file.names import primary_names
from passes.multicore.matrix import product_words
from passes.placing import links_of


@dataclass
class Ratio:
    """Powers of a signal and of what is wrong with it."""

    signal: float = 0.0
    error: float = 0.0

    def add(self, exact: Array, found: Array) -> None:
        """Count values."""
        whole = exact.astype(np.float64)
        self.signal += float(np.square(whole).sum())
        self.error += float(np.square(found.astype(np.float64) - whole).sum())

    @property
    def decibels(self) -> float:
        """The signal-to-noise ratio in dB, infinite if nothing is wrong."""
        if self.error == 0:
            return math.inf
        return -math.inf if self.signal == 0 else 10 * math.log10(self.signal / self.error)


@dataclass
class LayerEffect:
    """A link that crossbars do: its matrix, its crossbars, and the ratios of its sums.

    `own` compares with exact sums of the same inputs, `carried` with the sums of the exact run: errors of layers before
    are in it. Sums are those with the constant that is added to them, which has the share of zero points; without it
    they would be signals that say nothing.
    """

    name: str
    groups: int
    rows: int
    columns: int
    vectors: int
    crossbars: int
    own: Ratio = field(default_factory=Ratio)
    carried: Ratio = field(default_factory=Ratio)


@dataclass
class Effect:
    """Of a network: its layers, its outputs' ratios by name, and how often the class is the same.

    `elsewhere` names links that multiply and add, but not on crossbars. `same` of `decisions` largest values along axis
    1 of the first output are where they were; where that axis has one value, there are no decisions.
    """

    layers: tuple[LayerEffect, ...]
    elsewhere: tuple[str, ...]
    samples: int
    outputs: Mapping[str, Ratio]
    same: int
    decisions: int

    @property
    def agreement(self) -> float | None:
        """The share of decisions that are the same (top-1 agreement)."""
        return self.same / self.decisions if self.decisions else None


def is_product(link: LinkOp, settings: Settings) -> bool:
    """Whether crossbars can do a link: sums of products of integers that fit pulses, and constants that fit cells."""
    words = product_words(link, settings.inputs.bits)
    if words is None:
        return False
    low, high = settings.weights.range
    return low <= int(words.min()) and int(words.max()) <= high


class _Products:
    """Sums of products of a chain's links, exact ones and those of crossbars."""

    def __init__(self, module: ModuleOp, settings: Settings):
        self._settings = settings
        links = links_of(module)
        self._names = dict(zip(links, primary_names(links), strict=True))
        self._matrices: dict[LinkOp, TiledMatrix | None] = {}
        self._exact: dict[LinkOp, Array] = {}
        self._added: dict[LinkOp, Array] = {}
        self.effects: dict[LinkOp, LayerEffect] = {}

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Links that crossbars cannot do."""
        return tuple(self._names[link] for link, matrix in self._matrices.items() if matrix is None)

    def exact(self, link: LinkOp, windows: Array, kernel: Array) -> Array | None:
        """Exact sums, which are kept for the other run."""
        if self._matrix(link, windows, kernel) is None:
            return None
        self._exact[link] = _multiplied(windows, kernel)
        return self._exact[link]

    def on_crossbars(self, link: LinkOp, windows: Array, kernel: Array) -> Array | None:
        """The sums of crossbars; the link's ratios are brought up to date."""
        matrix = self._matrix(link, windows, kernel)
        if matrix is None:
            return None
        found = np.swapaxes(matrix.multiply(windows), 1, 2)
        effect, added = self.effects[link], self._added[link]
        effect.own.add(_multiplied(windows, kernel) + added, found + added)
        effect.carried.add(self._exact.pop(link) + added, found + added)
        return found

    def _matrix(self, link: LinkOp, windows: Array, kernel: Array) -> TiledMatrix | None:
        if link not in self._matrices:
            self._matrices[link] = None
            if is_product(link, self._settings):
                weights = np.swapaxes(kernel, 1, 2)
                number, is_signed = len(self._matrices), windows.dtype.kind == "i"
                made = TiledMatrix(weights, self._settings, (number,), is_signed=is_signed)
                self._matrices[link], self._added[link] = made, _added_constant(link)
                groups, rows, columns = weights.shape
                shape = groups, rows, columns, windows.shape[1]
                self.effects[link] = LayerEffect(self._names[link], *shape, made.crossbars)
        return self._matrices[link]


def _added_constant(link: LinkOp) -> Array:
    """What the first step behind the sums adds to them, as they are: (groups, columns, vectors)."""
    spec = link.spec
    first = spec.post[0] if spec.post else None
    if first is None or first.function != "add" or first.operand is None:
        return np.zeros((1, 1, 1), np.int64)
    source = source_of(link.extras[first.operand])
    if not isinstance(source.base.owner, ConstantOp):
        return np.zeros((1, 1, 1), np.int64)
    whole = np.broadcast_to(take_view(source.view, source.base.owner.array), spec.output_shape)
    rank = len(spec.dims)
    split = whole.reshape([extent for dim in spec.dims for extent in (dim.g, dim.op, dim.opc)])
    ordered = split.transpose([3 * d + kind for kind in range(3) for d in range(rank)])
    sizes = [math.prod(each) for each in zip(*((d.g, d.op, d.opc) for d in spec.dims), strict=True)]
    return ordered.reshape(sizes).astype(np.int64)


def _multiplied(windows: Array, kernel: Array) -> Array:
    """Exact sums (groups, columns, vectors), in float64, which holds them."""
    return np.matmul(kernel.astype(np.float64), np.swapaxes(windows, 1, 2).astype(np.float64)).astype(np.int64)


def effect(module: ModuleOp, samples: Iterable[Mapping[str, Array]], settings: Settings) -> Effect:
    """What crossbars do to the results of a chain, for one sample of inputs after the other.

    Raises `CatenaError`: CAT-C005 and CAT-R003 as the interpreter, CAT-U006 for inputs that pulses cannot hold.
    """
    products = _Products(module, settings)
    outputs: dict[str, Ratio] = {}
    count = same = decisions = 0
    for inputs in samples:
        count += 1
        exact = Interpreter(module, products.exact).run(inputs)
        found = Interpreter(module, products.on_crossbars).run(inputs)
        for name, array in exact.items():
            outputs.setdefault(name, Ratio()).add(array, found[name])
        first = next(iter(exact), None)
        if first is not None and exact[first].ndim > 1 and exact[first].shape[1] > 1:
            chosen = np.argmax(exact[first], axis=1) == np.argmax(found[first], axis=1)
            same, decisions = same + int(chosen.sum()), decisions + chosen.size
    layers = tuple(products.effects.values())
    return Effect(layers, products.elsewhere, count, outputs, same, decisions)

"""The layers of a program as they are defined, with the operands that they ran with: what each has to make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from backends.effects import Ints
from backends.program import HELD, LayerEntry, Program, Role, TensorEntry
from compiler.arrays import Array
from compiler.explanation.groups import fused_mappings
from compiler.explanation.layers import ExplainedLayer
from compiler.localising.constants import words_of
from compiler.localising.expectation import Expectation
from dialects.dtypes import dtype_named
from dialects.gconv import View
from dialects.gconv.interpreter import take_view
from dialects.gemm_mapping import GemmMapping


class UndefinedLayerError(Exception):
    """Why it cannot be said what a layer has to make: in words, after "because"."""


class DefinedLayers:
    """Layers that run together, in order, each on what those before have to make unless that is `given`."""

    def __init__(self, program: Program, layers: Sequence[ExplainedLayer], given: Mapping[str, Array]) -> None:
        self._program = program
        self._tensors = {tensor.name: tensor for tensor in program.tensors}
        self._words = {name: self._as_words(self._tensors[name], array) for name, array in given.items()}
        numbers = {entry.name: number for number, entry in enumerate(program.layers)}
        self.expectations: dict[int, Expectation] = {}
        """By the number of the layer in the program's table."""
        self.results: dict[int, View] = {}
        """Where the results of a layer lie in the words of their tensor."""
        for layer in layers:
            number = numbers[layer.entry.name]
            self.expectations[number], self.results[number] = self._defined(layer)

    def made(self, tensor: TensorEntry) -> Array:
        """A tensor that one of the layers makes, in its shape."""
        return take_view(View(tensor.shape, tensor.strides), self._words[tensor.name])

    def words_at(self, addresses: Ints) -> Array | None:
        """What words off-chip have to be after all layers, of one tensor; None if it is none, or one of several."""
        low, high = int(addresses.min()), int(addresses.max())
        found: list[Array] = []
        for name, words in self._words.items():
            tensor = self._tensors[name]
            if tensor.memory != HELD and tensor.address <= low and high < tensor.address + words.size:
                found.append(words[addresses - tensor.address])
        return found[0] if len(found) == 1 else None

    def _defined(self, layer: ExplainedLayer) -> tuple[Expectation, View]:
        entry, work = layer.entry, layer.work
        if work is None or entry.work is None:
            raise UndefinedLayerError(f"{entry.name} does not say what it computes")
        if work.lookups.read is not None or work.lookups.written is not None:
            raise UndefinedLayerError(f"{entry.name} has computed addresses")
        if _adds_narrowly(self._program, layer):
            raise UndefinedLayerError(f"{entry.name} is added up in narrow accumulators")
        *names, output = entry.work.tensors
        arrays = [self._seen(entry, name, view) for name, view in zip(names, work.views[:-1], strict=True)]
        input, rest = arrays[0], arrays[1:]
        kernel = rest.pop(0) if work.has_kernel else None
        made, view = self._tensors[output], work.views[-1]
        expectation = Expectation(work.spec, input, kernel, rest, dtype_named(made.word_type))
        words = self._words.get(output)
        words = np.zeros(made.words, dtype_named(made.word_type)) if words is None else words.copy()
        if output not in self._words or made.memory != HELD:
            _write(words, view, expectation.made)
            self._words[output] = words
        return expectation, view

    def _seen(self, layer: LayerEntry, name: str, view: View) -> Array:
        """A tensor as a layer reads it."""
        tensor = self._tensors[name]
        if name not in self._words and tensor.role is Role.CONSTANT:
            words = words_of(self._program, tensor)
            if words is not None:
                self._words[name] = words
        words = self._words.get(name)
        low, high = view.bounds() if view.size else (0, -1)
        if words is None or low < 0 or high >= words.size:
            raise UndefinedLayerError(f"{name}, which {layer.name} reads, is not stored word by word")
        return take_view(view, words)

    @staticmethod
    def _as_words(tensor: TensorEntry, array: Array) -> Array:
        words = np.zeros(tensor.words, dtype_named(tensor.word_type))
        _write(words, View(tensor.shape, tensor.strides), array)
        return words


def _write(words: Array, view: View, array: Array) -> None:
    """Put elements into the words that a view names."""
    places = np.full(view.shape, view.offset, np.int64)
    for axis, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        places += (np.arange(extent) * stride).reshape([-1 if each == axis else 1 for each in range(len(view.shape))])
    words[places] = array


def _adds_narrowly(program: Program, layer: ExplainedLayer) -> bool:
    """Whether a mapping makes the sums of a layer other ones than its definition."""
    group = next((each for each in program.groups if each.name == layer.entry.group), None)
    nests: list[object] = [layer.mapping]
    if group is not None:
        nests += [nest for mapping in fused_mappings(group) for _, nest in mapping.branches]
    return any(isinstance(nest, GemmMapping) and nest.sums is not None for nest in nests)

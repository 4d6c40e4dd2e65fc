"""Pruning of a model from file to file, and what its outputs lose by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compiler.arrays import Array
from compiler.displaying import Displayed, Part
from compiler.files import write_bytes
from compiler.importer.graph import prepare_graph
from compiler.importer.inputs import declared_inputs
from compiler.importer.loading import read_model, with_external_data
from compiler.importer.local_functions import inline_functions
from compiler.onnx_runtime import Level, Session, require_onnx_runtime
from compiler.pruning.layers import Layer, prunable_layers
from compiler.pruning.masks import kept_weights
from compiler.pruning.options import PruneOptions
from compiler.quantization.calibration import Sample, Source, read_samples
from compiler.tables import Table, number, table
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

if TYPE_CHECKING:
    import onnx

PURPOSE = "pruning"


@dataclass(frozen=True)
class PrunedLayer:
    """A layer's weights: how many there are, and the shares of zeros before, asked and reached."""

    node: str
    operator: str
    weights: int
    before: float
    asked: float
    reached: float


@dataclass(frozen=True)
class OutputLoss:
    """An output of the pruned model beside the model as it was, over all samples.

    `relative` is the Euclidean length of the difference as a share of the output's, `cosine` the cosine similarity.
    """

    name: str
    relative: float
    cosine: float


@dataclass(frozen=True)
class Pruned(Displayed):
    """A pruned model that has been written."""

    output: Path
    samples: int
    layers: tuple[PrunedLayer, ...]
    losses: tuple[OutputLoss, ...]

    def tables(self) -> tuple[Table, Table]:
        """The layers, and what the outputs lose."""
        layers = (
            (row.node, row.operator, row.weights, *(f"{share:.2%}" for share in (row.before, row.asked, row.reached)))
            for row in self.layers
        )
        losses = ((each.name, f"{each.relative:.4g}", f"{each.cosine:.4f}") for each in self.losses)
        columns = (number("weights"), number("zeros before"), number("asked"), number("reached"))
        return (
            table(("layer", "operator", *columns), layers),
            table(("output", number("relative error"), number("cosine similarity")), losses),
        )

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return self.tables()

    @property
    def zeros(self) -> float:
        """The share of zeros in the weights of all layers together."""
        return sum(layer.reached * layer.weights for layer in self.layers) / sum(layer.weights for layer in self.layers)


def prune_model(
    model: Path,
    output: Path,
    options: PruneOptions,
    calibrate: Sequence[Source] = ("random:1",),
    *,
    seed: int = 0,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Pruned:
    """Set the smallest weights of the float model in a file to zero; equal arguments give equal files.

    `calibrate`, `seed`, `input_shapes` and `batch` are those of `compiler.quantization.calibration.read_samples`: the
    inputs on which outputs are compared. Raises `CatenaError` as `read_samples` does; CAT-Q002 if there are no weights
    to prune, CAT-C001 for excluded nodes that have none, CAT-C002 for files, CAT-C004 and CAT-V002 from ONNX Runtime.
    """
    require_onnx_runtime(PURPOSE)
    original = inline_functions(with_external_data(read_model(model).model, model))
    graph = prepare_graph(original)
    layers = [*prunable_layers(graph.nodes, original.graph)]
    chosen = _chosen(layers, options)
    samples = read_samples(calibrate, declared_inputs(graph.inputs), seed=seed, input_shapes=input_shapes, batch=batch)
    pruned = type(original)()
    pruned.CopyFrom(original)
    rows = _prune(pruned, chosen, options)
    say("pruned; comparing with the model as it was")
    losses = output_losses(original, pruned, samples)
    write_bytes(output, pruned.SerializeToString(deterministic=True))
    return Pruned(output, len(samples), rows, losses)


def _chosen(layers: Sequence[Layer], options: PruneOptions) -> list[Layer]:
    names = [layer.node for layer in layers]
    problems = [
        Diagnostic("CAT-C001", f"no node {name!r} has weights to prune", PURPOSE, hint=did_you_mean(name, names))
        for name in options.exclude
        if name not in names
    ]
    chosen = [layer for layer in layers if layer.node not in options.exclude]
    if not problems and not chosen:
        expected = "Conv, Gemm or MatMul by float initializers that nothing else reads"
        problems.append(Diagnostic("CAT-Q002", "the model has no weights to prune", PURPOSE, expected=expected))
    if problems:
        raise CatenaError(problems)
    return chosen


def _prune(model: onnx.ModelProto, layers: Sequence[Layer], options: PruneOptions) -> tuple[PrunedLayer, ...]:
    """Prune the weights of layers in a model, in place."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    rows: list[PrunedLayer] = []
    for layer in layers:
        tensor = tensors[layer.weights]
        weights: Array = numpy_helper.to_array(tensor)
        kept = layer.restored(kept_weights(layer.arranged(weights), options), weights.shape)
        # Not a product with the mask: that would make negative zeros.
        pruned = np.where(kept, weights, np.zeros((), weights.dtype))
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(pruned), tensor.name))
        before, reached = (float(np.mean(each == 0)) for each in (weights, pruned))
        rows.append(PrunedLayer(layer.node, layer.operator, weights.size, before, options.sparsity, reached))
    return tuple(rows)


def output_losses(before: onnx.ModelProto, after: onnx.ModelProto, samples: Sequence[Sample]) -> tuple[OutputLoss, ...]:
    """Every float output of two models on the same inputs, run by ONNX Runtime without optimizations.

    Raises `CatenaError` (CAT-V002) if it cannot run one of them.
    """
    sessions = [Session(model.SerializeToString(), Level.NONE, PURPOSE) for model in (before, after)]
    sums: dict[str, list[float]] = {}
    for sample in samples:
        expected, found = (session.run(sample) for session in sessions)
        for name, array in expected.items():
            if array.dtype.kind != "f":
                continue
            a, b = (each.astype(np.float64).reshape(-1) for each in (array, found[name]))
            products = (float(a @ a), float(b @ b), float(a @ b), float((a - b) @ (a - b)))
            sums[name] = [old + new for old, new in zip(sums.get(name, [0.0] * 4), products, strict=True)]
    return tuple(OutputLoss(name, *_loss(*each)) for name, each in sums.items())


def _loss(before: float, after: float, product: float, difference: float) -> tuple[float, float]:
    """Relative difference and cosine similarity; outputs that are zero in both are equal, in one of them apart."""
    if not before:
        return (0.0, 1.0) if not after else (math.inf, 0.0)
    return math.sqrt(difference / before), product / math.sqrt(before * after) if after else 0.0

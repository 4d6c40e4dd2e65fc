"""The network pruned and quantized as points ask for it, and what its outputs lose by that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.design_space.points import Variant
from compiler.design_space.space import AS_IT_IS, Space
from compiler.importer.graph import prepare_graph
from compiler.importer.inputs import declared_inputs
from compiler.importer.loading import read_model, with_external_data
from compiler.importer.local_functions import inline_functions
from compiler.pruning import prune_model
from compiler.pruning.pruning import output_losses
from compiler.quantization import quantize_model
from compiler.quantization.calibration import read_samples

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Network:
    """The model that is explored: its file, and what makes its dynamic inputs static."""

    path: Path
    input_shapes: Mapping[str, Sequence[int]]
    batch: int | None


@dataclass(frozen=True)
class Prepared:
    """The file of a variant, with all weights in it, and the error of its outputs; None if none of them are floats."""

    path: Path
    error: float | None


def prepared(network: Network, variant: Variant, space: Space, folder: Path) -> Prepared:
    """Prune and quantize a network, in a folder of its own.

    Raises `CatenaError` as `prune_model` and `quantize_model` do.
    """
    if variant.is_plain:
        return Prepared(network.path, 0.0)
    path, samples = network.path, [space.calibrate]
    inputs = {"seed": space.seed, "input_shapes": network.input_shapes, "batch": network.batch}
    if variant.sparsity:
        path = prune_model(
            path, folder / "pruned.onnx", space.prune.options(variant.sparsity), samples, **inputs
        ).output
    if variant.scheme != AS_IT_IS:
        options = space.quantize.options(variant.scheme)
        path = quantize_model(path, folder / "quantized.onnx", samples, options, **inputs).output
    return Prepared(path, _error(network, path, space))


def _error(network: Network, path: Path, space: Space) -> float | None:
    """The largest relative error of an output against the network as it was."""
    original = inline_functions(whole_model(network.path))
    shapes, batch = network.input_shapes, network.batch
    declared = declared_inputs(prepare_graph(original).inputs)
    samples = read_samples([space.calibrate], declared, seed=space.seed, input_shapes=shapes, batch=batch)
    losses = [each.relative for each in output_losses(original, whole_model(path), samples)]
    found = max(losses, default=None)
    return None if found is None or not math.isfinite(found) else found


def whole_model(path: Path) -> onnx.ModelProto:
    """A model with all its weights in the message. Raises `CatenaError` if it cannot be read."""
    return with_external_data(read_model(path).model, path)

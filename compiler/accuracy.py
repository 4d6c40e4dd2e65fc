"""What crossbars with converters and physics do to the results of a quantized network, on samples of its inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from backends.rram.accuracy import Effect, LayerEffect, effect
from backends.rram.crossbar.settings import Settings, settings_for
from compiler.compilation import CompileOptions, compile_source
from compiler.descriptions.data import read_physics
from compiler.displaying import Displayed, Part
from compiler.importer.inputs import DeclaredInput
from compiler.quantization.calibration import Source, read_samples
from compiler.tables import Table, number, shortened, table
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value
from dialects.gconv.interpreter import argument_names, main_function
from dialects.gconv.ops import shape_of
from dialects.multicore_machine import MulticoreMachine
from dialects.target import find_machine
from dialects.validation import validated


@dataclass(frozen=True)
class Accuracy(Displayed):
    """The effect on a network."""

    source: str
    settings: Settings
    effect: Effect

    def table(self) -> Table:
        """Layer by layer. Decibels are of sums of products, whose error layers before have no part in, or have."""
        titles = ("groups", "rows", "columns", "vectors", "crossbars", "own SNR (dB)", "SNR (dB)")
        rows = [
            (
                shortened(each.name), each.groups, each.rows, each.columns, each.vectors, each.crossbars,
                _shown(each.own.decibels), _shown(each.carried.decibels),
            )
            for each in self.effect.layers
        ]  # fmt: skip
        return table(["layer", *map(number, titles)], rows)

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [self.table(), *self.summary()]

    def summary(self) -> Iterable[str]:
        """Lines about the outputs, and about what is not on crossbars."""
        found = self.effect
        for name, ratio in found.outputs.items():
            yield f"output {name!r}: SNR {_shown(ratio.decibels)} dB against the exact run"
        if found.agreement is not None:
            yield f"top-1 agreement: {found.same} of {found.decisions} ({found.agreement:.1%}), {found.samples} samples"
        if found.elsewhere:
            yield f"exact, because crossbars cannot do them: {', '.join(found.elsewhere)}"

    @property
    def json(self) -> dict[str, Any]:
        """All of it as plain data; infinite ratios are null."""
        found = self.effect
        return {
            "source": self.source,
            "settings": self.settings.model_dump(mode="json"),
            "samples": found.samples,
            "layers": [_layer(each) for each in found.layers],
            "elsewhere": list(found.elsewhere),
            "outputs": {name: {"snr_db": _finite(ratio.decibels)} for name, ratio in found.outputs.items()},
            "top1": {"same": found.same, "decisions": found.decisions},
        }


def accuracy(
    source: str, physics: Path, samples: Sequence[Source], options: CompileOptions, *, seed: int = 0
) -> Accuracy:
    """Run a quantized network on crossbars that a TOML file describes, beside the exact run.

    Where the target has crossbars they have its shape, cells and pulses, and the file says the rest. `samples` are as
    for `compiler.quantization`. Raises `CatenaError` as `compile_source` and `read_samples` do; for the file, CAT-C002
    and CAT-C003; CAT-U006 if crossbars can do no link.
    """
    description = read_physics(physics)
    settings = validated(Settings, description, str(physics), "emulation")
    module = compile_source(source, replace(options, stop="encoded")).module
    machine = find_machine(module)
    if isinstance(machine, MulticoreMachine):
        settings = settings_for(machine, description, str(physics))
    arrays = read_samples(samples, _inputs(module), seed=seed)
    found = effect(module, arrays, settings)
    if not found.layers:
        raise CatenaError(
            Diagnostic(
                "CAT-U006",
                "crossbars can do no link of this network",
                expected=f"products of integers of {settings.inputs.bits} bits with constants",
                hint="quantize it first: catena quantize",
            )
        )
    return Accuracy(source, settings, found)


def _inputs(module: ModuleOp) -> list[DeclaredInput]:
    from onnx import helper

    function = main_function(module)
    return [
        DeclaredInput(
            name, helper.np_dtype_to_tensor_dtype(numpy_dtype_of(element_type_of_value(value))), shape_of(value)
        )
        for name, value in zip(argument_names(function), function.args, strict=True)
    ]


def _layer(layer: LayerEffect) -> dict[str, Any]:
    own, carried = _finite(layer.own.decibels), _finite(layer.carried.decibels)
    shape = {"groups": layer.groups, "rows": layer.rows, "columns": layer.columns, "vectors": layer.vectors}
    return {"name": layer.name, **shape, "crossbars": layer.crossbars, "own_snr_db": own, "snr_db": carried}


def _finite(decibels: float) -> float | None:
    return decibels if math.isfinite(decibels) else None


def _shown(decibels: float) -> str:
    return f"{decibels:.1f}" if math.isfinite(decibels) else "exact" if decibels > 0 else "no signal"

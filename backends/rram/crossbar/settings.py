"""All that the numerics of crossbars depend on, as a file gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backends.rram.crossbar.converters import Adc
from backends.rram.crossbar.crossbar import Format
from backends.rram.crossbar.physics import Physics
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.encodings.cells import InputEncoding, InputFormat, WeightEncoding, WeightFormat, too_narrow
from dialects.multicore_machine import MulticoreMachine
from dialects.validation import validated

Extent = Annotated[int, Field(ge=1, le=1 << 12)]


class Settings(BaseModel, frozen=True):
    """Crossbars, how integers lie in them, their converters and their physics."""

    model_config = ConfigDict(extra="forbid")

    rows: Annotated[Extent, Field(description="rows of a crossbar")] = 128
    columns: Annotated[Extent, Field(description="columns of cells of a crossbar")] = 128
    weights: Annotated[WeightFormat, Field(description="how weights lie in cells")] = WeightFormat(
        slices=(2, 2, 2, 2), encoding=WeightEncoding.DIFFERENTIAL_2XB
    )
    inputs: Annotated[
        InputFormat, Field(description="how signed inputs drive rows; unsigned ones are driven as such")
    ] = InputFormat()
    adc: Annotated[Adc, Field(description="converters")] = Adc()
    physics: Annotated[Physics, Field(description="cells and wires")] = Physics()
    seed: Annotated[int, Field(ge=0, description="of all random numbers")] = 0

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if self.weights.columns > self.columns:
            raise too_narrow("columns", "columns", self.weights.columns)
        return self

    @property
    def format(self) -> Format:
        """Weights and signed inputs."""
        return Format(weights=self.weights, inputs=self.inputs)

    def with_inputs(self, encoding: InputEncoding) -> Format:
        """Weights, and inputs in another encoding."""
        inputs = InputFormat(bits=self.inputs.bits, dac_bits=self.inputs.dac_bits, encoding=encoding)
        return Format(weights=self.weights, inputs=inputs)

    @property
    def weight_columns(self) -> int:
        """Weights side by side in a crossbar."""
        return self.columns // self.weights.columns


def settings_for(machine: MulticoreMachine, description: Mapping[str, Any], where: str) -> Settings:
    """Converters and physics of a description, on the crossbars of a machine.

    The machine's `adc_bits` are the resolution of converters unless the description gives one.

    Raises `CatenaError` (CAT-C003) for settings that are not valid, or that the machine has.
    """
    given, crossbar = validated(Settings, description, where, "emulation"), machine.crossbar
    own = sorted({"rows", "columns", "weights"} & given.model_fields_set)
    if own or given.inputs.dac_bits not in (1, crossbar.dac_bits):
        found = ", ".join(own) or "inputs.dac_bits"
        message = "the target has crossbars of a shape of their own"
        hint = "leave it out: the target says it"
        raise CatenaError(Diagnostic("CAT-C003", message, "emulation", "", where, "", found, hint))
    bits = crossbar.adc_bits
    inputs = InputFormat(bits=given.inputs.bits, dac_bits=crossbar.dac_bits, encoding=given.inputs.encoding)
    return Settings(
        rows=crossbar.rows,
        columns=crossbar.columns,
        weights=crossbar.weights,
        inputs=inputs,
        adc=given.adc if "bits" in given.adc.model_fields_set else given.adc.model_copy(update={"bits": bits}),
        physics=given.physics,
        seed=given.seed,
    )

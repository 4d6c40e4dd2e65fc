"""All that the numerics of crossbars depend on, as a file gives it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from backends.rram.crossbar.converters import Adc
from backends.rram.crossbar.crossbar import Format
from backends.rram.crossbar.physics import Physics
from dialects.encodings.cells import InputEncoding, InputFormat, WeightEncoding, WeightFormat

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
            raise PydanticCustomError("wide_weight", "a weight takes {wide} columns", {"wide": self.weights.columns})
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

"""The host core beside an accelerator: what it costs to execute there what the accelerator cannot.

The table `host` of a target description. Every figure names its source, in the table's own `sources`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dialects.value_kinds import Line, Text

Rate = Annotated[float, Field(ge=1e-9, le=1e12, allow_inf_nan=False)]
"""A speed: far from what floats hold, so that times stay finite."""
Clock = Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False, description="clock of the array in MHz")]
Cost = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
"""A time or an energy: so that sums of many stay finite."""


class Host(BaseModel):
    """A host core that executes whole layers on tensors in the accelerator's DRAM.

    Operations are of two classes (`dialects.gconv.function_classes`); words are those of the target. An offloaded
    layer takes `overhead_us`, then as long as the slowest of computing, memory and link: they overlap perfectly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    name: Annotated[Line, Field(description="which core it is")]
    simple_gops: Annotated[Rate, Field(description="simple operations in 1e9 per second")]
    special_gops: Annotated[Rate, Field(description="special operations in 1e9 per second")]
    simple_pj: Annotated[Cost, Field(description="energy of a simple operation in pJ")]
    special_pj: Annotated[Cost, Field(description="energy of a special operation in pJ")]
    memory_gbs: Annotated[Rate, Field(description="bandwidth of the host's own memory in 1e9 bytes per second")]
    memory_pj: Annotated[Cost, Field(description="energy of a word on its way through the host's memories in pJ")]
    link_gbs: Annotated[Rate, Field(description="bandwidth between host and DRAM in 1e9 bytes per second")]
    link_pj: Annotated[Cost, Field(description="energy of a word on the link in pJ, besides the DRAM access")]
    overhead_us: Annotated[Cost, Field(description="fixed time of an offloaded layer in microseconds")] = 0.0
    sources: Annotated[dict[Text, Text], Field(description="where each figure comes from")]

    @model_validator(mode="after")
    def _every_figure_has_a_source(self) -> Host:
        figures = set(Host.model_fields) - {"sources"}
        if figures != set(self.sources):
            missing = ", ".join(sorted(figures - set(self.sources))) or "none"
            unknown = ", ".join(sorted(set(self.sources) - figures)) or "none"
            raise PydanticCustomError(
                "host_sources",
                "every figure of the host needs a source: without {missing}; of no figure {unknown}",
                {"missing": missing, "unknown": unknown},
            )
        return self

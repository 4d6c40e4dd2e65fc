"""The discardable attributes that Catena puts on a module, declared once; any other one is a mistake."""

from __future__ import annotations

import re
from dataclasses import dataclass

STAGE = "catena.stage"
BACKEND = "catena.backend"
MODEL_NAME = "catena.model"
MODEL_HASH = "catena.model_sha256"


@dataclass(frozen=True)
class ModuleAttribute:
    """A string attribute of a module: what it says, and the pattern that all of it matches."""

    doc: str
    pattern: str

    def allows(self, value: str) -> bool:
        """Whether the attribute may have this value."""
        return re.fullmatch(self.pattern, value, re.DOTALL) is not None


MODULE_ATTRIBUTES: dict[str, ModuleAttribute] = {
    STAGE: ModuleAttribute("the last stage the module has passed", "[a-z]+"),
    BACKEND: ModuleAttribute("the backend that compiles the module for its `target.machine`", ".+"),
    MODEL_NAME: ModuleAttribute("the name of the ONNX file, without its ending", ".*"),
    MODEL_HASH: ModuleAttribute("SHA-256 of the ONNX file, as hex digits", "[0-9a-f]{64}"),
}

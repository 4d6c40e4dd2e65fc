"""The discardable attributes that Catena puts on a module, declared once; any other one is a mistake."""

from __future__ import annotations

STAGE = "catena.stage"
BACKEND = "catena.backend"
MODEL_NAME = "catena.model"
MODEL_HASH = "catena.model_sha256"

MODULE_ATTRIBUTES: dict[str, str] = {
    STAGE: "the last stage the module has passed",
    BACKEND: "the backend that compiles the module for its `target.machine`",
    MODEL_NAME: "the name of the ONNX file, without its ending",
    MODEL_HASH: "SHA-256 of the ONNX file, as hex digits",
}

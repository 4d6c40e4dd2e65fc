"""The discardable attributes that Catena puts on a module, declared once; any other one is a mistake."""

from __future__ import annotations

STAGE = "catena.stage"
MODEL_NAME = "catena.model_name"
MODEL_HASH = "catena.model_hash"

MODULE_ATTRIBUTES: dict[str, str] = {
    STAGE: "the last stage the module has passed",
    MODEL_NAME: "the name of the ONNX graph the module was imported from",
    MODEL_HASH: "SHA-256 of the ONNX file, as hex digits",
}

"""ONNX's own conformance suite (`onnx.backend.test`) on Catena, and what came out of it."""

"""The exceptions that ONNX's C++ code raises through its Python bindings for input it does not take."""

from __future__ import annotations

NATIVE_ERRORS = (IndexError, MemoryError, OverflowError, RuntimeError, ValueError)
"""What the bindings make of `std::exception` and its subclasses, beside ONNX's own exception types."""


def reason_of(error: Exception) -> str:
    """A native error as one line for people: what ONNX says, or that its code ran into a wall of the language."""
    if isinstance(error, IndexError | MemoryError | OverflowError):
        return "ONNX's own code does not take these inputs and attributes"
    return str(error).strip().partition("\n")[0]

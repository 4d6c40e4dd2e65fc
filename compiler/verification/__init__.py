"""Verification of programs against ONNX Runtime: which tensor, in which unit, and how close it is."""

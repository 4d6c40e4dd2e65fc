"""What a person touches: command line, stage table, ONNX import, verification, reports."""

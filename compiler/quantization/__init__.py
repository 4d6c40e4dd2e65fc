"""Float models to quantized ones, through ONNX Runtime's quantizer, for targets that compute in integers."""

from compiler.quantization.options import QuantizeOptions
from compiler.quantization.quantizing import Quantized, quantize_model

__all__ = ["Quantized", "QuantizeOptions", "quantize_model"]

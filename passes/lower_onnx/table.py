"""Every operator that can be lowered, by ONNX operator type; the file that does it is loaded only when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType

from passes.lower_onnx.lowering import Lowering

_FILES: Mapping[str, Mapping[str, str]] = {
    # family -> "file:lowerings" -> the operators that these lower
    "Convolution": {
        "convolution:conv": "Conv",
        "transposed_convolution:conv_transpose": "ConvTranspose",
        "deformable_convolution:DEFORMABLE_CONVOLUTION": "DeformConv",
    },
    "Matrix product": {
        "matmul:MATMUL": "MatMul Gemm",
        "einsum:EINSUM": "Einsum",
        "determinant:DETERMINANT": "Det",
    },
    "Pooling": {
        "pooling:POOLING": "MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool",
        "pool_indices:POOL_INDICES": "MaxUnpool",
        "region_pooling:REGION_POOLING": "MaxRoiPool",
        "region_sampling:REGION_SAMPLING": "RoiAlign",
    },
    "Normalization": {
        "normalization:NORMALIZATION": "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization "
        "RMSNormalization MeanVarianceNormalization LpNormalization LRN",
        "softmax:SOFTMAX": "Softmax LogSoftmax Hardmax",
    },
    "Activation": {
        "activation:ACTIVATION": "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor HardSwish IsNaN Log "
        "Mish Neg Not Reciprocal Relu Round Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh Celu Elu HardSigmoid "
        "IsInf LeakyRelu Selu Shrink Swish ThresholdedRelu Gelu Clip",
    },
    "Element-wise": {
        "elementwise:ELEMENTWISE": "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Mul Or Sub Xor Pow Mod "
        "Max Min Sum Mean PRelu Where Trilu SwiGLU",
        "casting:CASTING": "Cast CastLike BitCast",
        "bitwise:BITWISE": "BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitShift",
    },
    "Quantization": {
        "quantization:QUANTIZATION": "QuantizeLinear DequantizeLinear DynamicQuantizeLinear",
        "integer_products:INTEGER_PRODUCTS": "QLinearConv ConvInteger QLinearMatMul MatMulInteger",
    },
    "Reduction": {
        "reduction:REDUCTION": "ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare "
        "ReduceLogSum ReduceMean ReduceLogSumExp ArgMax ArgMin CumSum CumProd",
    },
    "Signal": {
        "signal:SIGNAL": "DFT STFT",
        "ranges:WINDOWS": "HannWindow HammingWindow BlackmanWindow",
        "mel_filters:MEL_FILTERS": "MelWeightMatrix",
        "ngrams:NGRAMS": "TfIdfVectorizer",
    },
    "Loss": {
        "losses:LOSSES": "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    },
    "Attention": {
        "attention:ATTENTION": "Attention",
        "linear_attention:LINEAR_ATTENTION": "LinearAttention CausalConvWithState",
        "rotary:ROTARY": "RotaryEmbedding",
    },
    "Recurrence": {
        "recurrent:RECURRENT": "RNN GRU LSTM",
    },
    "Resampling": {
        "resize:RESIZE": "Resize Upsample",
        "grid_sampling:GRID_SAMPLING": "AffineGrid GridSample",
        "columns:COLUMNS": "Col2Im",
    },
    "Data movement": {
        "layout:LAYOUT": "Reshape Flatten Identity Squeeze Unsqueeze Dropout Transpose Expand Split Concat "
        "DepthToSpace SpaceToDepth Tile",
        "slicing:SLICING": "Slice",
        "ranges:RANGES": "Range",
        "padding:PADDING": "Pad CenterCropPad",
        "gathering:GATHERING": "Gather GatherElements GatherND ReverseSequence Compress OneHot",
        "scattering:SCATTERING": "Scatter ScatterElements ScatterND TensorScatter",
        "sorting:top_k": "TopK",
    },
}

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {family: tuple(" ".join(files.values()).split()) for family, files in _FILES.items()}
)
"""The operators in the order of the documentation."""


class _Lowerings(Mapping[str, Lowering]):
    """Lowerings by operator."""

    def __init__(self) -> None:
        self._places = {
            op_type: place
            for files in _FILES.values()
            for place, op_types in files.items()
            for op_type in op_types.split()
        }
        self._loaded: dict[str, Lowering] = {}

    def __getitem__(self, op_type: str) -> Lowering:
        if op_type not in self._loaded:
            file, name = self._places[op_type].split(":")
            lowerings: tuple[Lowering, ...] = getattr(import_module(f"passes.lower_onnx.{file}"), name)
            self._loaded.update({each.op_type: each for each in lowerings})
        return self._loaded[op_type]

    def __contains__(self, op_type: object) -> bool:
        return op_type in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


LOWERINGS: Mapping[str, Lowering] = _Lowerings()

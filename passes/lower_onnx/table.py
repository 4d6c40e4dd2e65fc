"""Every operator that can be lowered, by ONNX operator type."""

from __future__ import annotations

from types import MappingProxyType

from passes.lower_onnx.activation import ACTIVATION
from passes.lower_onnx.attention import ATTENTION
from passes.lower_onnx.bitwise import BITWISE
from passes.lower_onnx.casting import CASTING
from passes.lower_onnx.columns import COLUMNS
from passes.lower_onnx.convolution import conv
from passes.lower_onnx.deformable_convolution import DEFORMABLE_CONVOLUTION
from passes.lower_onnx.determinant import DETERMINANT
from passes.lower_onnx.einsum import EINSUM
from passes.lower_onnx.elementwise import ELEMENTWISE
from passes.lower_onnx.gathering import GATHERING
from passes.lower_onnx.grid_sampling import GRID_SAMPLING
from passes.lower_onnx.integer_products import INTEGER_PRODUCTS
from passes.lower_onnx.layout import LAYOUT
from passes.lower_onnx.linear_attention import LINEAR_ATTENTION
from passes.lower_onnx.losses import LOSSES
from passes.lower_onnx.lowering import Lowering
from passes.lower_onnx.matmul import MATMUL
from passes.lower_onnx.ngrams import NGRAMS
from passes.lower_onnx.normalization import NORMALIZATION
from passes.lower_onnx.padding import PADDING
from passes.lower_onnx.pool_indices import POOL_INDICES
from passes.lower_onnx.pooling import POOLING
from passes.lower_onnx.quantization import QUANTIZATION
from passes.lower_onnx.recurrent import RECURRENT
from passes.lower_onnx.reduction import REDUCTION
from passes.lower_onnx.region_pooling import REGION_POOLING
from passes.lower_onnx.region_sampling import REGION_SAMPLING
from passes.lower_onnx.resize import RESIZE
from passes.lower_onnx.rotary import ROTARY
from passes.lower_onnx.scattering import SCATTERING
from passes.lower_onnx.signal import SIGNAL
from passes.lower_onnx.softmax import SOFTMAX
from passes.lower_onnx.sorting import top_k
from passes.lower_onnx.transposed_convolution import conv_transpose

FAMILIES: MappingProxyType[str, tuple[Lowering, ...]] = MappingProxyType(
    {
        "Convolution": (*conv, *conv_transpose, *DEFORMABLE_CONVOLUTION),
        "Matrix product": (*MATMUL, *EINSUM, *DETERMINANT),
        "Pooling": (*POOLING, *POOL_INDICES, *REGION_POOLING, *REGION_SAMPLING),
        "Normalization": (*NORMALIZATION, *SOFTMAX),
        "Activation": ACTIVATION,
        "Element-wise": (*ELEMENTWISE, *CASTING, *BITWISE),
        "Quantization": (*QUANTIZATION, *INTEGER_PRODUCTS),
        "Reduction": REDUCTION,
        "Signal": (*SIGNAL, *NGRAMS),
        "Loss": LOSSES,
        "Attention": (*ATTENTION, *LINEAR_ATTENTION, *ROTARY),
        "Recurrence": RECURRENT,
        "Resampling": (*RESIZE, *GRID_SAMPLING, *COLUMNS),
        "Data movement": (*LAYOUT, *PADDING, *GATHERING, *SCATTERING, *top_k),
    }
)
"""The lowerings in the order of the documentation."""

LOWERINGS: MappingProxyType[str, Lowering] = MappingProxyType(
    {lowering.op_type: lowering for family in FAMILIES.values() for lowering in family}
)

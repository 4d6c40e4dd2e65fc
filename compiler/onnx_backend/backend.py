"""The backend: what ONNX's tools call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import helper, shape_inference
from onnx.backend.base import Backend, Device, DeviceType

from compiler.arrays import Array
from compiler.descriptions.files import DEFAULT_TARGET
from compiler.onnx_backend.engines import Engine, engine_named
from compiler.onnx_backend.representation import CatenaRep, Inputs, arrays_of
from dialects.diagnostics import CatenaError, Diagnostic


class CatenaBackend(Backend):
    """Compiles for the default target and runs the binary on its emulator.

    Every method raises `CatenaError` for a model that cannot be compiled; nothing is run elsewhere.
    """

    engine: ClassVar[Engine | None] = None
    """Where models run; None for the default target's emulator."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> CatenaRep:
        """Compile a model, at once or, if some of its inputs must be known for that, when it is first run."""
        if not cls.supports_device(device):
            raise CatenaError(Diagnostic("CAT-C001", "the emulators run on the CPU", expected="CPU", found=device))
        return CatenaRep(model, cls.engine or engine_named(DEFAULT_TARGET))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Inputs, device: str = "CPU", **kwargs: Any) -> tuple[Array, ...]:
        """The outputs of a model."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Inputs,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Array, ...]:
        """The outputs of one node.

        `inputs` are those that the node names, in order. `outputs_info` gives dtype and shape of each output; without
        it they are inferred. The keyword `opset_version` is that of the default domain (None: the newest one).
        """
        opset_version: int | None = kwargs.pop("opset_version", None)
        names = [name for name in dict.fromkeys(node.input) if name]
        arrays = arrays_of(inputs, names)
        declared = [_declared(name, array.dtype, array.shape) for name, array in arrays.items()]
        outputs = [name for name in node.output if name]
        if outputs_info is None:
            results = [onnx.ValueInfoProto(name=name) for name in outputs]
        else:
            results = [_declared(name, *info) for name, info in zip(outputs, outputs_info, strict=True)]
        graph = helper.make_graph([node], node.op_type, declared, results)
        opsets = None if opset_version is None else [helper.make_opsetid("", opset_version)]
        model = helper.make_model(graph, opset_imports=opsets)
        return cls.run_model(shape_inference.infer_shapes(model), arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models can run there: on the CPU only."""
        try:
            return Device(device).type == DeviceType.CPU
        except (AttributeError, ValueError):
            return False


def backend_on(chosen: Engine) -> type[CatenaBackend]:
    """The backend on another engine than the default target's emulator."""

    class BackendOnEngine(CatenaBackend):
        engine = chosen

    return BackendOnEngine


def _declared(name: str, dtype: np.dtype[Any], shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

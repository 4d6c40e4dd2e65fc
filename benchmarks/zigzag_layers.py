"""The layers of a network that multiply and add, as ZigZag describes them and as links; equal ones once.

A module of `benchmarks/zigzag.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compiler.driver import run_passes
from compiler.ir_text import new_context
from compiler.optimization import load_module
from compiler.pipelines import parse_passes
from compiler.sources import ImportOptions
from compiler.stages import stage_named
from dialects.gconv import Dim, GConv, LinkOp, LoopKind, Reduce
from dialects.locations import node_names
from dialects.schedule import Loop

LOOPS = {
    "B": Loop("N", LoopKind.OPC),
    "G": Loop("C", LoopKind.G),
    "K": Loop("C", LoopKind.OP),
    "C": Loop("C", LoopKind.KS),
    "OY": Loop("H", LoopKind.OPC),
    "OX": Loop("W", LoopKind.OPC),
    "FY": Loop("H", LoopKind.KS),
    "FX": Loop("W", LoopKind.KS),
}
"""ZigZag's loop dimensions as loops of a link."""
_PRODUCT = {"M": "N", "K": "C", "N": "C"}
"""The dimensions of a matrix product as those of a convolution of one position."""


@dataclass(frozen=True)
class Layer:
    """A layer: the first ONNX node of its shape, how many there are, sizes of ZigZag's loops, steps of x and y."""

    name: str
    times: int
    sizes: Mapping[str, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]

    @classmethod
    def of(cls, name: str, times: int, spec: GConv) -> Layer:
        """A link as a layer. Words of padding count like others; steps of dimensions without a window say nothing."""
        sizes = dict.fromkeys(LOOPS, 1)
        steps = {"W": (1, 1), "H": (1, 1)}
        for dim in spec.dims:
            place = _PRODUCT.get(dim.name, dim.name) if not _is_convolution(spec) else dim.name
            for size, loop in LOOPS.items():
                if loop.dim == place:
                    sizes[size] *= spec.worked(dim, loop.kind)
            if dim.opc > 1 and dim.ks > 1:
                steps[place] = (dim.stride, dim.dilation)
        strides, dilations = zip(steps["W"], steps["H"], strict=True)
        return cls(name, times, sizes, strides, dilations)

    @classmethod
    def read(cls, name: str, content: Mapping[str, Any]) -> Layer:
        """A layer from what `written` gave."""
        return cls(name, content["times"], content["sizes"], tuple(content["strides"]), tuple(content["dilations"]))

    def written(self) -> dict[str, Any]:
        """The layer without its name, as JSON and `zigzag/search.py` have it."""
        return {key: value for key, value in asdict(self).items() if key != "name"}

    @property
    def spec(self) -> GConv:
        """The layer as a link."""
        counts = {(loop.dim, loop.kind.value): self.sizes[size] for size, loop in LOOPS.items()}
        steps = dict(zip("WH", zip(self.strides, self.dilations, strict=True), strict=True))

        def dim(name: str) -> Dim:
            stride, dilation = steps.get(name, (1, 1))
            kinds = {kind: count for (place, kind), count in counts.items() if place == name}
            return Dim(name, **kinds, stride=stride, dilation=dilation)

        return GConv(tuple(map(dim, "NCHW")), main="mul", reduce=Reduce.ADD)


def layers_of(model: Path) -> list[Layer]:
    """The convolutions and matrix products of an ONNX model, in order, each shape once."""
    module = load_module(str(model), ImportOptions())
    passes = [step for text in stage_named("gconv").passes for step in parse_passes(text)]
    run_passes(module, passes, new_context())
    links = [op for op in module.walk() if isinstance(op, LinkOp)]
    nodes: dict[tuple[Any, ...], list[str]] = {}
    for op in links:
        if op.spec.main == "mul" and op.spec.reduce is Reduce.ADD:
            layer = Layer.of("", 1, op.spec)
            nodes.setdefault((tuple(layer.sizes.items()), layer.strides, layer.dilations), []).append(
                node_names(op.location)[0]
            )
    return [
        Layer(names[0], len(names), dict(sizes), strides, dilations)
        for (sizes, strides, dilations), names in nodes.items()
    ]


def _is_convolution(spec: GConv) -> bool:
    return {"C", "H", "W"} <= {dim.name for dim in spec.dims}


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/zigzag.py: run that one")

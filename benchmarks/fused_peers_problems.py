"""The problems that our search and its peers get: layers as data, written for each side in its own form.

A module of `benchmarks/fused_peers.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dialects.gconv.spec import Dim, GConv, LoopKind, Reduce
from dialects.schedule import Loop
from passes.fusion.group import Group, GroupLink, GroupTensor, Operand, Role

Shape = tuple[int, int, int]
"""Channels, rows, columns; words of one byte."""
INPUT = "input"


@dataclass(frozen=True)
class Layer:
    """A convolution, or the sum of two tensors (`window` 0); its result has the layer's name.

    As many groups as channels on both sides: depthwise. A matrix product is a convolution of windows of one element.
    """

    name: str
    inputs: tuple[str, ...]
    channels: int
    window: int = 1
    stride: int = 1
    pad: int = 0
    depthwise: bool = False

    @property
    def kernel(self) -> str:
        """The name of its kernel."""
        return f"{self.name}_weight"


@dataclass(frozen=True)
class Problem:
    """Layers in order, from one input to the last layer's result."""

    name: str
    title: str
    input: Shape
    layers: tuple[Layer, ...]

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shapes of the input and all results."""
        found = {INPUT: self.input}
        for layer in self.layers:
            _, rows, columns = found[layer.inputs[0]]
            if layer.window:
                rows, columns = (
                    (extent + 2 * layer.pad - layer.window) // layer.stride + 1 for extent in (rows, columns)
                )
            found[layer.name] = (layer.channels, rows, columns)
        return found

    @property
    def result(self) -> str:
        """What the last layer makes."""
        return self.layers[-1].name

    def words(self, name: str) -> int:
        """Words of the input or of a result."""
        channels, rows, columns = self.shapes[name]
        return channels * rows * columns

    def kernel_words(self, layer: Layer) -> int:
        """Words of a layer's kernel."""
        read = 1 if layer.depthwise else self.shapes[layer.inputs[0]][0]
        return layer.channels * read * layer.window**2

    @property
    def compulsory(self) -> int:
        """Words that any mapping moves: the input, all kernels and the last result once."""
        return self.words(INPUT) + sum(map(self.kernel_words, self.layers)) + self.words(self.result)

    def group(self, names: Sequence[str] | None = None) -> Group:
        """Layers, in order, as a group; all of them without names. What others read of them is wanted off-chip too."""
        layers = [layer for layer in self.layers if names is None or layer.name in names]
        made = {layer.name for layer in layers}
        outside = {name for layer in self.layers if layer not in layers for name in layer.inputs}
        tensors: dict[str, GroupTensor] = {}
        links: list[GroupLink] = []
        for layer in layers:
            for name in layer.inputs:
                tensors.setdefault(name, GroupTensor(name, self.shapes[name]))
            link = self._link(layer)
            if layer.window:
                tensors[layer.kernel] = GroupTensor(layer.kernel, link.spec.kernel_shape)
            tensors[layer.name] = GroupTensor(layer.name, link.spec.output_shape)
            links.append(link)
        return Group(tuple(links), tuple(tensors.values()), frozenset(made & outside - {layers[-1].name}))

    def _link(self, layer: Layer) -> GroupLink:
        shape = self.shapes[layer.inputs[0]]
        _, rows, columns = self.shapes[layer.name]
        source = Operand.whole(Role.INPUT, layer.inputs[0], shape)
        if not layer.window:
            spec = GConv(tuple(Dim(name, g=extent) for name, extent in zip("CHW", shape, strict=True)), "add")
            return GroupLink(layer.name, spec, (source, Operand.whole(Role.KERNEL, layer.inputs[1], shape)), layer.name)
        channels = Dim("C", g=layer.channels) if layer.depthwise else Dim("C", op=layer.channels, ks=shape[0])
        windows = [
            Dim(name, opc=extent, ks=layer.window, stride=layer.stride, pad=layer.pad)
            for name, extent in (("H", rows), ("W", columns))
        ]
        spec = GConv((channels, *windows), "mul", Reduce.ADD)
        return GroupLink(
            layer.name, spec, (source, Operand.whole(Role.KERNEL, layer.kernel, spec.kernel_shape)), layer.name
        )

    def loops(self, layer: Layer) -> dict[Loop, str]:
        """The rank variables of a layer's Einsum, by the loop of its link that they are."""
        number = self.layers.index(layer)
        made, read = self._variables[layer.name], self._variables[layer.inputs[0]]
        if not layer.window:
            return {Loop(dim, LoopKind.G): name for dim, name in zip("CHW", made, strict=True)}
        found = {Loop("H", LoopKind.OPC): made[1], Loop("W", LoopKind.OPC): made[2]}
        if layer.depthwise:
            found[Loop("C", LoopKind.G)] = made[0]
        else:
            found |= {Loop("C", LoopKind.OP): made[0], Loop("C", LoopKind.KS): read[0]}
        if layer.window > 1:
            found |= {Loop("H", LoopKind.KS): f"r{number}", Loop("W", LoopKind.KS): f"s{number}"}
        return found

    @cached_property
    def _variables(self) -> dict[str, tuple[str, ...]]:
        """Rank variables of the input's and results' channels, rows and columns; a rank of one element has none.

        A layer that does nothing along a rank shares the variable of what it reads.
        """
        found = {INPUT: self._named(INPUT, ("c", "h", "w"))}
        for number, layer in enumerate(self.layers):
            read = found[layer.inputs[0]]
            own = self._named(layer.name, (f"c{number}", f"h{number}", f"w{number}"))
            channels = own[0] if layer.window and not layer.depthwise else read[0]
            found[layer.name] = (channels, *(own[1:] if max(layer.window, layer.stride) > 1 else read[1:]))
        return found

    def _named(self, tensor: str, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name if size > 1 else "" for name, size in zip(names, self.shapes[tensor], strict=True))

    def einsums(self) -> dict[str, Any]:
        """AccelForge's form: Einsums, and sizes of ranks, whose names are the variables' in capitals.

        Where windows reach over the border, AccelForge takes the rank's size for the end of what is read: a window is
        cut there, and it reads and works a little less than it should.
        """
        ranks = {
            name.upper(): size
            for tensor, names in self._variables.items()
            for name, size in zip(names, self.shapes[tensor], strict=True)
            if name
        }
        return {"ranks": ranks, "einsums": [self._einsum(number, layer) for number, layer in enumerate(self.layers)]}

    def _einsum(self, number: int, layer: Layer) -> dict[str, Any]:
        made, read = self._variables[layer.name], self._variables[layer.inputs[0]]
        window = [f"r{number}", f"s{number}"] if layer.window > 1 else []
        step = f"{layer.stride}*" if layer.stride > 1 else ""
        seen = list(read)
        if window or step:
            places = [f" + {place}" for place in window] or ["", ""]
            seen[1:] = [f"{step}{own}{place}" for own, place in zip(made[1:], places, strict=True)]
        second = layer.kernel if layer.window else layer.inputs[1]
        if layer.window:
            channels = made[:1] if layer.depthwise else (made[0], read[0])
            projection: Any = [name for name in (*channels, *window) if name]
        else:
            projection = _ranks(self._variables[second], made)
        accesses = [
            {"name": layer.inputs[0], "projection": _ranks(read, seen)},
            {"name": second, "projection": projection},
            {"name": layer.name, "projection": _ranks(made, made), "output": True},
        ]
        return {
            "name": layer.name,
            "tensor_accesses": accesses,
            "renames": {"weight": second, "input": layer.inputs[0], "output": layer.name},
            "iteration_space_shape": [f"0 <= {place} < {layer.window}" for place in window],
        }


def _ranks(loops: Sequence[str], indices: Sequence[str]) -> dict[str, str]:
    """Ranks of a tensor, which its maker's loops name, and their indices; one element is no rank."""
    return {name.upper(): index for name, index in zip(loops, indices, strict=True) if name}


def _valid(name: str, title: str, result: tuple[int, int], *layers: Layer) -> Problem:
    """A chain without padding: the input is as large as `result` rows and columns need, of the first `channels`."""
    channels, extent = result
    for layer in reversed(layers):
        extent = (extent - 1) * layer.stride + layer.window
    return Problem(name, title, (channels, extent, extent), layers)


PAIRS = (
    _valid(
        "resnet18_layer1",
        "ResNet-18 layer1: 3x3, 3x3, 64 channels, 60 to 56",
        (64, 56),
        Layer("conv1", (INPUT,), 64, 3),
        Layer("conv2", ("conv1",), 64, 3),
    ),
    _valid(
        "resnet18_layer2",
        "ResNet-18 layer2: 3x3 of stride 2, 3x3, 64 to 128 channels, 61 to 28",
        (64, 28),
        Layer("conv1", (INPUT,), 128, 3, 2),
        Layer("conv2", ("conv1",), 128, 3),
    ),
    _valid(
        "mobilenet_expand",
        "MobileNet-v2 block3: point-wise, depthwise 3x3, 24 to 144 channels, 58 to 56",
        (24, 56),
        Layer("expand", (INPUT,), 144),
        Layer("depthwise", ("expand",), 144, 3, depthwise=True),
    ),
    _valid(
        "mobilenet_project",
        "MobileNet-v2 block2: depthwise 3x3 of stride 2, point-wise, 96 to 24 channels, 113 to 56",
        (96, 56),
        Layer("depthwise", (INPUT,), 96, 3, 2, depthwise=True),
        Layer("project", ("depthwise",), 24),
    ),
    Problem(
        "bert_ffn",
        "BERT's feed-forward pair: 128 rows, 768 to 3072 to 768",
        (768, 128, 1),
        (Layer("fc1", (INPUT,), 3072), Layer("fc2", ("fc1",), 768)),
    ),
)
"""Two layers each."""

PADDED = (
    Problem(
        "resnet18_layer1_padded",
        "ResNet-18 layer1 as it is: 3x3, 3x3, padded, 64 channels, 56 to 56",
        (64, 56, 56),
        (Layer("conv1", (INPUT,), 64, 3, pad=1), Layer("conv2", ("conv1",), 64, 3, pad=1)),
    ),
    Problem(
        "resnet18_layer2_padded",
        "ResNet-18 layer2 as it is: 3x3 of stride 2, 3x3, padded, 64 to 128 channels, 56 to 28",
        (64, 56, 56),
        (Layer("conv1", (INPUT,), 128, 3, 2, 1), Layer("conv2", ("conv1",), 128, 3, pad=1)),
    ),
    Problem(
        "mobilenet_expand_padded",
        "MobileNet-v2 block3 as it is: point-wise, depthwise 3x3, 24 to 144 channels, 56 to 56",
        (24, 56, 56),
        (Layer("expand", (INPUT,), 144), Layer("depthwise", ("expand",), 144, 3, pad=1, depthwise=True)),
    ),
)
"""Pairs with padding, for peers that know it."""


def _resnet18() -> Problem:
    """The eight blocks of ResNet-18: what is between the pooling after its first layer and that before its last."""
    layers: list[Layer] = []
    source, made = INPUT, 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"layer{stage}_{block}"
            layers.append(Layer(f"{name}_conv1", (source,), channels, 3, stride, 1))
            layers.append(Layer(f"{name}_conv2", (f"{name}_conv1",), channels, 3, pad=1))
            if channels != made or stride > 1:
                layers.append(Layer(f"{name}_downsample", (source,), channels, 1, stride))
                source = f"{name}_downsample"
            layers.append(Layer(f"{name}_sum", (f"{name}_conv2", source), channels, 0))
            source, made = f"{name}_sum", channels
    return Problem("resnet18", "ResNet-18: its eight blocks", (64, 56, 56), tuple(layers))


def _mobilenet_v2() -> Problem:
    """MobileNet-v2 without what follows its last block's convolution."""
    layers = [Layer("conv1", (INPUT,), 32, 3, 2, 1)]
    source, made, number = "conv1", 32, 0
    for factor, channels, times, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for repeat in range(times):
            number += 1
            name, stride, before = f"block{number}", first if repeat == 0 else 1, source
            if factor > 1:
                layers.append(Layer(f"{name}_expand", (source,), made * factor))
                source = f"{name}_expand"
            layers.append(Layer(f"{name}_depthwise", (source,), made * factor, 3, stride, 1, depthwise=True))
            layers.append(Layer(f"{name}_project", (f"{name}_depthwise",), channels))
            source = f"{name}_project"
            if stride == 1 and channels == made:
                layers.append(Layer(f"{name}_sum", (source, before), channels, 0))
                source = f"{name}_sum"
            made = channels
    layers.append(Layer("conv2", (source,), 1280))
    return Problem("mobilenet_v2", "MobileNet-v2: all convolutions", (3, 224, 224), tuple(layers))


_SUPER_RESOLUTION = Problem(
    "super_resolution",
    "ONNX's super-resolution network: all convolutions, 1 to 64, 64, 32, 9 channels, 224 to 224",
    (1, 224, 224),
    (
        Layer("conv1", (INPUT,), 64, 5, pad=2),
        Layer("conv2", ("conv1",), 64, 3, pad=1),
        Layer("conv3", ("conv2",), 32, 3, pad=1),
        Layer("conv4", ("conv3",), 9, 3, pad=1),
    ),
)

NETWORKS = (_SUPER_RESOLUTION, _resnet18(), _mobilenet_v2())


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/fused_peers.py")

"""The layers that LoopTree's validation designs run, as groups: chains of convolutions, attention, perceptrons.

A module of `benchmarks/looptree_designs.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dialects.gconv.spec import PASS, Dim, GConv, Reduce
from passes.fusion.group import Group, GroupLink, GroupTensor, Operand, Role

IMAGE = "image"
Size = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True)
class Layer:
    """A link of a chain: it reads the result of the one before, and a kernel of its own if it has one."""

    name: str
    spec: GConv

    @property
    def kernel(self) -> str | None:
        """The name of its kernel."""
        return None if self.spec.main == PASS else f"{self.name}.kernel"


def chain(shape: tuple[int, ...], layers: Sequence[Layer]) -> Group:
    """Layers one after another on an input of this shape, named `image`; results are named as their layers."""
    links: list[GroupLink] = []
    tensors = [GroupTensor(IMAGE, shape)]
    for layer in layers:
        before = tensors[-1] if not links else next(each for each in tensors if each.name == links[-1].result)
        operands = [Operand.whole(Role.INPUT, before.name, before.shape)]
        if layer.kernel is not None:
            operands.append(Operand.whole(Role.KERNEL, layer.kernel, layer.spec.kernel_shape))
            tensors.append(GroupTensor(layer.kernel, layer.spec.kernel_shape))
        links.append(GroupLink(layer.name, layer.spec, tuple(operands), layer.name))
        tensors.append(GroupTensor(layer.name, layer.spec.output_shape))
    return Group(tuple(links), tuple(tensors))


def conv(name: str, channels: int, filters: int, size: Size, kernel: int, stride: int = 1, pad: int = 0) -> Layer:
    """A convolution with results of this size."""
    window = {"ks": kernel, "stride": stride, "pad": pad}
    dims = (Dim("C", op=filters, ks=channels), Dim("H", opc=size[0], **window), Dim("W", opc=size[1], **window))
    return Layer(name, GConv(dims, main="mul", reduce=Reduce.ADD))


def upsampling(name: str, channels: int, filters: int, size: Size, kernel: int, factor: int) -> Layer:
    """A transposed convolution with results of this size, `factor` times as large as its input."""
    window = {"ks": kernel, "pad": kernel // 2, "up": factor}
    dims = (Dim("C", op=filters, ks=channels), Dim("H", opc=size[0], **window), Dim("W", opc=size[1], **window))
    return Layer(name, GConv(dims, main="mul", reduce=Reduce.ADD))


def pool(name: str, channels: int, size: Size, kernel: int, stride: int) -> Layer:
    """A pooling with results of this size."""
    window = {"ks": kernel, "stride": stride}
    dims = (Dim("C", opc=channels), Dim("H", opc=size[0], **window), Dim("W", opc=size[1], **window))
    return Layer(name, GConv(dims, reduce=Reduce.MAX))


def padded(name: str, channels: int, size: Size, pad: int) -> Layer:
    """A feature map of this size with its border written around it, for designs that store padding."""
    rows, columns = (extent + 2 * pad for extent in size)
    dims = (Dim("C", opc=channels), Dim("H", opc=rows, pad=pad), Dim("W", opc=columns, pad=pad))
    return Layer(name, GConv(dims, pad_value=0.0))


def _same(name: str, channels: int, filters: int, size: Size, kernel: int, stored: bool) -> list[Layer]:
    """A convolution with results as large as its input, whose padding is either stored or not."""
    pad = kernel // 2
    if not stored:
        return [conv(name, channels, filters, size, kernel, pad=pad)]
    return [padded(f"{name}.input", channels, size, pad), conv(name, channels, filters, size, kernel)]


def vgg_e(stored_padding: bool = False) -> Group:
    """The first five convolutions of VGG-E, with the two poolings between them (Simonyan and Zisserman, ICLR 2015).

    The image comes without padding in any case.
    """
    full, half, quarter = (224, 224), (112, 112), (56, 56)
    layers = [
        *_same("conv1_1", 3, 64, full, 3, stored=False),
        *_same("conv1_2", 64, 64, full, 3, stored_padding),
        pool("pool1", 64, half, 2, 2),
        *_same("conv2_1", 64, 128, half, 3, stored_padding),
        *_same("conv2_2", 128, 128, half, 3, stored_padding),
        pool("pool2", 128, quarter, 2, 2),
        *_same("conv3_1", 128, 256, quarter, 3, stored_padding),
    ]
    return chain((3, *full), layers)


def alexnet_tower(stored_padding: bool = False) -> Group:
    """The first two layers of AlexNet with their poolings, one of the two towers (Krizhevsky et al., NIPS 2012)."""
    layers = [
        conv("conv1", 3, 48, (55, 55), 11, 4),
        pool("pool1", 48, (27, 27), 3, 2),
        *_same("conv2", 48, 128, (27, 27), 5, stored_padding),
        pool("pool2", 128, (13, 13), 3, 2),
    ]
    return chain((3, 227, 227), layers)


def fsrcnn(size: Size, scale: int = 2) -> Group:
    """FSRCNN with d = 56, s = 12, m = 4 on a luma image of this size (Dong et al., ECCV 2016)."""
    layers = [
        conv("extract", 1, 56, size, 5, pad=2),
        conv("shrink", 56, 12, size, 1),
        *(conv(f"map{index}", 12, 12, size, 3, pad=1) for index in range(4)),
        conv("expand", 12, 56, size, 1),
        upsampling("deconv", 56, 1, (size[0] * scale, size[1] * scale), 9, scale),
    ]
    return chain((1, *size), layers)


def stage(channels: int, kernel: int, extent: int) -> Group:
    """A layer whose windows slide, unpadded, over square feature maps that the layer before it makes."""
    edge = extent - kernel + 1
    maker = Layer("before", GConv((Dim("C", opc=channels), Dim("H", opc=extent), Dim("W", opc=extent))))
    return chain((channels, extent, extent), [maker, conv("layer", channels, 1, (edge, edge), kernel)])


def single_conv(channels: int, filters: int, edge: int, kernel: int) -> Group:
    """One convolution, unpadded, with square results."""
    extent = edge + kernel - 1
    return chain((channels, extent, extent), [conv("layer", channels, filters, (edge, edge), kernel)])


def perceptron(widths: Sequence[int], images: int) -> Group:
    """Fully connected layers on a batch of images."""
    return chain((images, widths[0]), _dense("forward", widths, images))


def training(widths: Sequence[int], images: int) -> Group:
    """What a batch goes through before weights are updated: all layers, the error, and all layers backwards."""
    error = Layer("error", GConv((Dim("N", opc=images), Dim("C", opc=widths[-1]))))
    backward = _dense("backward", [*reversed(widths)], images)
    return chain((images, widths[0]), [*_dense("forward", widths, images), error, *backward])


def _dense(name: str, widths: Sequence[int], images: int) -> list[Layer]:
    specs = (
        GConv((Dim("N", opc=images), Dim("C", op=after, ks=before)), main="mul", reduce=Reduce.ADD)
        for before, after in pairwise(widths)
    )
    return [Layer(f"{name}{index}", spec) for index, spec in enumerate(specs)]


@dataclass(frozen=True)
class Attention:
    """Extents of attention: batch, heads, sequence, and size of a head."""

    batch: int
    heads: int
    sequence: int
    size: int

    @property
    def logits(self) -> GConv:
        """L = Q K^T."""
        keys, features = Dim("M", op=self.sequence), Dim("D", ks=self.size)
        return GConv((*self._rows, keys, features), main="mul", reduce=Reduce.ADD)

    @property
    def attend(self) -> GConv:
        """A = L V."""
        keys, features = Dim("M", ks=self.sequence), Dim("D", op=self.size)
        return GConv((*self._rows, keys, features), main="mul", reduce=Reduce.ADD)

    @property
    def _rows(self) -> tuple[Dim, ...]:
        return Dim("B", g=self.batch), Dim("H", g=self.heads), Dim("N", opc=self.sequence)

    def _whole(self, role: Role, tensor: str, rows: bool, keys: bool, features: bool) -> tuple[Operand, GroupTensor]:
        extents = (self.sequence if rows else 1, self.sequence if keys else 1, self.size if features else 1)
        shape = (self.batch, self.heads, *extents)
        return Operand.whole(role, tensor, shape), GroupTensor(tensor, shape)

    def group(self) -> Group:
        """Logits and attend; what is between them changes no sizes and is left out, as in FLAT's formulas."""
        query, queries = self._whole(Role.INPUT, "Q", True, False, True)
        key, keys = self._whole(Role.KERNEL, "K", False, True, True)
        weight, logits = self._whole(Role.INPUT, "L", True, True, False)
        value, values = self._whole(Role.KERNEL, "V", False, True, True)
        _, result = self._whole(Role.INPUT, "A", True, False, True)
        links = (
            GroupLink("logits", self.logits, (query, key), "L"),
            GroupLink("attend", self.attend, (weight, value), "A"),
        )
        return Group(links, (queries, keys, logits, values, result))

    def with_softmax(self) -> Group:
        """Logits, the maximum of each row, exponentials, their sums, and attend, which divides by them."""
        plain = self.group()
        logits, attend = plain.links
        reduced = (*self._rows, Dim("M", ks=self.sequence), Dim("D"))
        every = (*self._rows, Dim("M", opc=self.sequence), Dim("D"))
        read, _ = self._whole(Role.INPUT, "L", True, True, False)
        weight, weights = self._whole(Role.INPUT, "E", True, True, False)
        largest, largests = self._whole(Role.POST, "largest", True, False, False)
        total, totals = self._whole(Role.POST, "total", True, False, False)
        links = (
            logits,
            GroupLink("maximum", GConv(reduced, reduce=Reduce.MAX), (read,), "largest"),
            GroupLink("exponential", GConv(every), (read, largest), "E"),
            GroupLink("sum", GConv(reduced, reduce=Reduce.ADD), (weight,), "total"),
            GroupLink("attend", attend.spec, (weight, attend.operands[1], total), "A"),
        )
        return Group(links, (*plain.tensors, largests, weights, totals))


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/looptree_designs.py: run that one")

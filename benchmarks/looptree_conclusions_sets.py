"""The fusion sets of `looptree_conclusions`: layers of common networks, in the kinds of the paper's case studies.

A module of `benchmarks/looptree_conclusions.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise

from fused_peers_problems import INPUT, PADDED, Layer, Problem, Shape

Stage = tuple[int, int, int]
"""Channels of the result, window, stride."""
GROWING = (
    "conv+conv ResNet-18 56",
    "conv+conv U-Net 572",
    "conv+conv ESPCN 540",
    "conv+conv FSRCNN 1080",
    "pw+dw+pw MobileNet-v2 56",
    "pw+dw+pw MobileNet-v2/2 224",
    "conv+conv+conv FSRCNN 540",
)
"""Sets whose factors are followed as their images grow."""
EDGES = (28, 56, 112, 224, 448, 896)
"""Rows, and columns, of these images."""


def _convolutions(name: str, shape: Shape, *stages: Stage, padded: bool = True) -> Problem:
    names = [INPUT, *(f"conv{number + 1}" for number in range(len(stages)))]
    layers = [
        Layer(made, (read,), channels, window, stride, window // 2 if padded else 0)
        for (read, made), (channels, window, stride) in zip(pairwise(names), stages, strict=True)
    ]
    kind = "+".join(["conv"] * len(stages))
    title = ", ".join(f"{window}x{window}{_of(stride)} to {channels}" for channels, window, stride in stages)
    return Problem(f"{kind} {name}", f"{title}{'' if padded else ', not padded'}", shape, tuple(layers))


def _inverted(name: str, shape: Shape, wide: int, stage: Stage) -> Problem:
    """A point-wise layer to `wide` channels, a depthwise one, and a point-wise one."""
    channels, window, stride = stage
    layers = (
        Layer("expand", (INPUT,), wide),
        Layer("depthwise", ("expand",), wide, window, stride, window // 2, depthwise=True),
        Layer("project", ("depthwise",), channels),
    )
    title = f"1x1 to {wide}, depthwise {window}x{window}{_of(stride)}, 1x1 to {channels}"
    return Problem(f"pw+dw+pw {name}", title, shape, layers)


def _perceptron(name: str, rows: int, read: int, wide: int) -> Problem:
    layers = (Layer("fc1", (INPUT,), wide), Layer("fc2", ("fc1",), read))
    return Problem(f"fc+fc {name}", f"{read} to {wide} to {read}", (read, rows, 1), layers)


def _of(stride: int) -> str:
    return f" of stride {stride}" if stride > 1 else ""


def _convs(channels: int, count: int) -> tuple[Stage, ...]:
    return ((channels, 3, 1),) * count


def _every() -> Iterator[Problem]:
    yield _convolutions("ResNet-18 56", (64, 56, 56), *_convs(64, 2))
    yield _convolutions("ResNet-18 28", (128, 28, 28), *_convs(128, 2))
    yield _convolutions("ResNet-D 112", (32, 112, 112), (32, 3, 1), (64, 3, 1))
    yield _convolutions("VGG-16 224", (3, 224, 224), *_convs(64, 2))
    yield _convolutions("U-Net 572", (1, 572, 572), *_convs(64, 2), padded=False)
    yield _convolutions("ESPCN 540", (1, 540, 960), (64, 5, 1), (32, 3, 1))
    yield _convolutions("FSRCNN 1080", (1, 1080, 1920), (56, 5, 1), (12, 1, 1))
    yield _inverted("MobileNet-v2 56", (24, 56, 56), 144, (24, 3, 1))
    yield _inverted("MobileNet-v2 14", (64, 14, 14), 384, (64, 3, 1))
    yield _inverted("MobileNet-v2 112", (16, 112, 112), 96, (24, 3, 2))
    yield _inverted("MobileNet-v2/2 224", (8, 224, 224), 48, (16, 3, 2))
    yield _inverted("EfficientNet-B0 56", (24, 56, 56), 144, (40, 5, 2))
    for rows in (128, 1, 16, 512):
        yield _perceptron(f"BERT {rows}", rows, 768, 3072)
    yield _convolutions("ResNet-18 56", (64, 56, 56), *_convs(64, 3))
    yield _convolutions("VGG-16 56", (128, 56, 56), *_convs(256, 3))
    yield _convolutions("ResNet-D 224", (3, 224, 224), (32, 3, 2), (32, 3, 1), (64, 3, 1))
    yield _convolutions("ESPCN 540", (1, 540, 960), (64, 5, 1), (32, 3, 1), (9, 3, 1))
    yield _convolutions("FSRCNN 540", (1, 540, 960), (56, 5, 1), (12, 1, 1), (12, 3, 1))


@cache
def sets() -> Mapping[str, Problem]:
    """The fusion sets by name: kind, network, rows of the input."""
    found = {each.name: each for each in _every()}
    assert found["conv+conv ResNet-18 56"].compulsory == PADDED[0].compulsory
    return found


def grown(name: str, edge: int) -> Problem:
    """A set with an image of so many rows and columns."""
    problem = sets()[name]
    return replace(problem, name=f"{name} of {edge}", input=(problem.input[0], edge, edge))


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/looptree_conclusions.py")

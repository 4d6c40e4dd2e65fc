"""Resize and Upsample: repeats and strides where the words allow, else one matrix for every resized dimension."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv
from passes.lower_onnx.arithmetic import Value
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.computed_resize import Computed, checked, resized
from passes.lower_onnx.constraints import MOST_TABLE_WORDS, attribute_is, table_within_limit
from passes.lower_onnx.interpolation import Floats, Resampling
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import along, contracted
from passes.lower_onnx.tensor import Tensor

_REGION, _SCALES, _SIZES = range(1, 4)
_OLD_SCALES = 1


@constraint(hint="cast it to float first")
def interpolates_floats(node: Node) -> str | None:
    """the input is of a floating-point type unless `mode` is nearest"""
    return None if _mode(node) == "nearest" or node.dtype(0).kind == "f" else str(node.dtype(0))


def _mode(node: Node) -> str:
    return {"bilinear": "linear"}.get(mode := node.text("mode", "nearest"), mode)


@constraint()
def known_sizes(node: Node) -> str | None:
    """`sizes` is a constant"""
    given = not _is_old(node) and node.input(_SIZES) is not None
    return "sizes computed at run time" if given and node.constant(_SIZES) is None else None


@constraint()
def one_scale_for_each_axis(node: Node) -> str | None:
    """computed `scales` have a number for each resized dimension, and a computed `roi` two"""
    axes = len(_axes(node))
    for index, count in ((_computed_scales(node), axes), (_computed_region(node), 2 * axes)):
        if index is not None and math.prod(node.shape(index)) != count:
            return f"{math.prod(node.shape(index))} numbers for {axes} dimensions"
    return None


def _matrix_words(node: Node) -> int:
    """Words of the largest matrix that one dimension is resized by, or of the positions along it."""
    words = max(node.result_shape(), default=0)
    if words > MOST_TABLE_WORDS or _computed_scales(node) is not None or _computed_region(node) is not None:
        return words
    return max(words, *(each.input * each.output for each in _resamplings(node) if _needs_matrix(each)), 0)


def _is_old(node: Node) -> bool:
    """Whether the version has only modes nearest and linear, with the scales as input 1 or an attribute."""
    return node.op_type == "Upsample" or node.version == 10


@lowering(
    "Resize",
    "Upsample",
    constraints=(
        attribute_is("mode", "nearest", "linear", "bilinear", "cubic"),
        known_sizes,
        one_scale_for_each_axis,
        interpolates_floats,
        table_within_limit("the matrix that resizes a dimension", _matrix_words),
    ),
    declared_extents=True,
)
def resize(node: Node, chain: Chain) -> Tensor:
    """views and one link for nearest words that repeat evenly; else one link for every resized dimension, and some for
    its positions and weights where scales or the region are computed"""
    x = chain.input(node, 0)
    changes = dict(enumerate(_resamplings(node)))
    value = node.number("extrapolation_value", 0.0)
    if _computed_scales(node) is not None or _computed_region(node) is not None:
        return _computed(node, chain, x, changes, value)
    changes = {axis: change for axis, change in changes.items() if not _changes_nothing(change)}
    if _mode(node) == "nearest":
        x = _nearest(chain, x, changes)
    else:
        # Shrinking first leaves fewer words for the others.
        for axis in sorted(changes, key=lambda a: changes[a].output / changes[a].input):
            x = mixed(chain, x, axis, changes[axis].matrix())
    outside = [change for change in changes.values() if change.outside.any()]
    return _extrapolated(chain, x, changes, value) if outside and value else x


def _computed_scales(node: Node) -> int | None:
    """The input of scales, if only a run has them."""
    index = _OLD_SCALES if _is_old(node) else _SCALES
    given = not node.has("scales") and node.input(index) is not None
    return index if given and node.constant(index) is None else None


def _computed_region(node: Node) -> int | None:
    """The input of the region of interest, if only a run has it and it counts."""
    crops = not _is_old(node) and node.text("coordinate_transformation_mode") == "tf_crop_and_resize"
    return _REGION if crops and node.input(_REGION) is not None and node.constant(_REGION) is None else None


def _computed(node: Node, chain: Chain, x: Tensor, changes: Mapping[int, Resampling], value: float) -> Tensor:
    """The resized tensor of a node whose scales or region are computed."""
    axes = _axes(node)
    scales, region = (
        None if index is None else Value.input(chain, node, index).as_type(np.float32)
        for index in (_computed_scales(node), _computed_region(node))
    )
    if scales is not None:
        x = checked(chain, x, scales, *([each[axis] for axis in axes] for each in (x.shape, node.result_shape())))
    computed: dict[int, Computed] = {}
    for axis, change in changes.items():
        known = [Value(chain, np.full(1, number, np.float32)) for number in (change.scale, change.start, change.end)]
        if axis in axes:
            place = axes.index(axis)
            if scales is not None:
                known[0] = scales[place : place + 1]
            if region is not None:
                known[1:] = (region[at : at + 1] for at in (place, len(axes) + place))
        computed[axis] = Computed(*known)
    return resized(chain, x, {axis: changes[axis] for axis in axes}, computed, value)


def _axes(node: Node) -> list[int]:
    """The resized dimensions, in the order of scales, sizes and region."""
    rank = len(node.shape(0))
    return [axis % rank for axis in node.integers("axes")] or list(range(rank))


def _changes_nothing(change: Resampling) -> bool:
    if change.input != change.output:
        return False
    return _stays_in_place(change) or bool((change.matrix() == np.eye(change.input)).all())


def _stays_in_place(change: Resampling) -> bool:
    """Whether every output word lies on the input word of the same number; others may still have all its weight."""
    is_stretched = change.antialias and change.scale < 1
    at_words = change.input == change.output and (change.positions == np.arange(change.output)).all()
    return bool(at_words) and not is_stretched and not change.outside.any()


def _needs_matrix(change: Resampling) -> bool:
    if _stays_in_place(change):
        return False
    is_copy = change.mode == "nearest" and not change.outside.any()
    return not is_copy or (_even_step(change) is None and _even_repeats(change) is None)


def _even_step(change: Resampling) -> int | None:
    """The distance from each copied input word to the next, if that is always the same."""
    steps = np.unique(np.diff(change.nearest))
    if len(steps) > 1 or (len(steps) and steps[0] <= 0):
        return None
    return int(steps[0]) if len(steps) else 1


def _even_repeats(change: Resampling) -> int | None:
    """How often every input word is copied in a row, if that is always the same."""
    times, rest = divmod(change.output, change.input)
    return times if not rest and (change.nearest == np.arange(change.output) // times).all() else None


def _resamplings(node: Node) -> list[Resampling]:
    """What happens to every dimension of the input."""
    shape, output = node.shape(0), node.result_shape()
    axes = _axes(node)
    scales = dict(zip(axes, _scales(node, [shape[a] for a in axes], [output[a] for a in axes]), strict=True))
    region = _region(node, len(axes))
    starts, ends = (dict(zip(axes, values, strict=True)) for values in region)
    common = Resampling(
        1,
        1,
        1.0,
        _mode(node),
        "asymmetric" if _is_old(node) else node.text("coordinate_transformation_mode", "half_pixel"),
        node.text("nearest_mode", "round_prefer_floor"),
        node.number("cubic_coeff_a", -0.75),
        bool(node.integer("exclude_outside")),
        bool(node.integer("antialias")),
    )
    result: list[Resampling] = []
    for axis, (n, m) in enumerate(zip(shape, output, strict=True)):
        scale = scales.get(axis, 1.0)
        change = replace(common, input=n, output=m, scale=scale, start=starts.get(axis, 0.0), end=ends.get(axis, 1.0))
        if _is_old(node):
            # ONNX leaves the rounding of these versions open; this is what ONNX Runtime does.
            by_scale = "" if _computed_scales(node) is not None else "ceil" if scale < 1 else "floor"
            change = replace(change, nearest_mode=by_scale)
        result.append(change)
    return result


def _scales(node: Node, inputs: Sequence[int], outputs: Sequence[int]) -> list[float]:
    """The scale of every resized dimension: as given, or from the sizes."""
    if node.has("scales"):
        return list(node.numbers("scales"))
    given = node.constant(_OLD_SCALES if _is_old(node) else _SCALES)
    if given is not None and given.size:
        return [float(scale) for scale in given]
    ratios = [m / n for n, m in zip(inputs, outputs, strict=True)]
    sizes = node.constant(_SIZES)
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch" or sizes is None:
        return ratios
    wanted = [int(size) / n for size, n in zip(sizes, inputs, strict=True)]
    return [min(wanted) if policy == "not_larger" else max(wanted)] * len(ratios)


def _region(node: Node, rank: int) -> tuple[list[float], list[float]]:
    """Start and end of the region of interest for every resized dimension, between 0 and 1."""
    roi = None if _is_old(node) else node.constant(_REGION)
    if roi is None or roi.size != 2 * rank:
        return [0.0] * rank, [1.0] * rank
    values = [float(value) for value in roi]
    return values[:rank], values[rank:]


def _nearest(chain: Chain, x: Tensor, changes: dict[int, Resampling]) -> Tensor:
    """Even steps are views, even repeats one link together, anything else a selecting matrix."""
    repeats: dict[int, int] = {}
    for axis, change in changes.items():
        step, times = _even_step(change), _even_repeats(change)
        if change.outside.any():
            x = mixed(chain, x, axis, change.matrix())
        elif step is not None:
            x = x.slice(axis, int(change.nearest[0]), change.output, step)
        elif times is not None:
            repeats[axis] = times
        else:
            x = mixed(chain, x, axis, change.matrix())
    return repeated(chain, x, repeats) if repeats else x


def repeated(chain: Chain, x: Tensor, repeats: dict[int, int]) -> Tensor:
    """Every word along the axes of `repeats` that many times in a row."""
    dims = tuple(
        Dim(name, g=n, op=repeats[axis]) if axis in repeats else Dim(name, opc=n)
        for axis, (name, n) in enumerate(zip(dimension_names(x.rank), x.shape, strict=True))
    )
    return chain.link(GConv(dims), x)


def mixed(chain: Chain, x: Tensor, axis: int, matrix: Floats) -> Tensor:
    """The product of a constant matrix (outputs, inputs) with `x` along `axis`."""
    kernel = chain.constant(matrix.astype(numpy_dtype_of(x.element_type)))
    return contracted(chain, x, axis, kernel, matrix.shape[0])


def _extrapolated(chain: Chain, x: Tensor, changes: dict[int, Resampling], value: float) -> Tensor:
    """`value` added where an output word lies outside the input, where `x` is 0."""
    outside = np.zeros((1,) * x.rank, np.bool_)
    for axis, change in changes.items():
        outside = outside | along(x.rank, axis, change.outside)
    return binary(chain, "add", x, chain.constant((outside * value).astype(numpy_dtype_of(x.element_type))))


RESIZE = (*resize,)

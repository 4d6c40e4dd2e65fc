"""The topologies that the onnx package bundles without weights, with seeded ones.

python benchmarks/models/light.py --network densenet121 --output out/densenet121.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from building import save
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NETWORKS = {
    "alexnet": "bvlc_alexnet",
    "densenet121": "densenet121",
    "googlenet": "inception_v1",
    "squeezenet": "squeezenet",
}

WEIGHTS_ALONE = 4
"""The first version of the format whose initializers need not be inputs as well."""


def light(network: str, seed: int = 0, ceil: bool = False, hollow: bool = False) -> onnx.ModelProto:
    """A bundled network: an initializer in place of every weight, or, if `hollow`, an input.

    With `ceil`, strided pools take a border that they would leave out, as Caffe does, for which the networks were made.
    Raises `KeyError` for another name.
    """
    model = onnx.load(FOLDER / f"light_{NETWORKS[network]}.onnx")
    model.ir_version = max(model.ir_version, WEIGHTS_ALONE)
    graph = model.graph
    random = np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            shape = tuple(int(extent) for extent in shapes[node.input[0]])
            if hollow:
                graph.input.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, shape))
            else:
                graph.initializer.append(numpy_helper.from_array(_words(shape, random), node.output[0]))
        else:
            nodes.append(node)
    if ceil:
        _round_up(nodes)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    inputs = [value for value in graph.input if value.name in used - {tensor.name for tensor in kept}]
    for field, content in ((graph.initializer, kept), (graph.input, inputs)):
        copies = [type(each).FromString(each.SerializeToString()) for each in content]
        del field[:]
        field.extend(copies)
    return model


def _round_up(nodes: list[onnx.NodeProto]) -> None:
    """Pad strided pools at the end, where elements are no maxima; so the average of all needs no padding any more."""
    for node in nodes:
        attributes = {each.name: each for each in node.attribute}
        if node.op_type == "AveragePool":
            attributes["pads"].ints[:] = [0, 0, 0, 0]
        if node.op_type == "MaxPool" and list(attributes["strides"].ints) == [2, 2]:
            attributes["pads"].ints[:] = [0, 0, 1, 1]


def _words(shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Kernels that keep the variance of their input; vectors, which scale, shift or are variances, near 1."""
    drawn = random.random(shape, dtype=np.float32)
    if len(shape) < 2:
        return drawn + np.float32(0.5)
    bound = np.float32((6.0 / float(np.prod(shape[1:]))) ** 0.5)
    return (drawn * 2 - 1) * bound


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="A topology of the onnx package with seeded weights.")
    parser.add_argument("--network", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ceil", action="store_true", help="pools take their borders, as in Caffe")
    parser.add_argument("--hollow", action="store_true", help="weights are inputs: the network's shapes only")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(light(arguments.network, arguments.seed, arguments.ceil, arguments.hollow), arguments.output)


if __name__ == "__main__":
    main()

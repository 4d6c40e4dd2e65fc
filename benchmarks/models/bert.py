"""A BERT encoder (Devlin et al., NAACL 2019) with seeded weights, in the operators of a PyTorch export to opset 17.

python benchmarks/models/bert.py --layers 12 --output out/bert.onnx
python benchmarks/models/bert.py --inputs ids --output out/bert_ids.onnx

With `--inputs embeddings` the network begins behind the embeddings, with `ids` it looks up the words of `input_ids`
and leaves out the positions where `attention_mask` is 0.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from building import GraphBuilder, save
from onnx import TensorProto

EPSILON = 1e-12


@dataclass(frozen=True)
class Size:
    """The sizes of BERT-base unless others are given."""

    layers: int = 12
    hidden: int = 768
    heads: int = 12
    intermediate: int = 3072
    sequence: int = 128
    batch: int = 1
    vocabulary: int = 30522

    @property
    def head(self) -> int:
        return self.hidden // self.heads


class Bert:
    """Builds the network from embeddings or word numbers to the last hidden states."""

    def __init__(self, size: Size, inputs: str, seed: int):
        self._size = size
        self._from_ids = inputs == "ids"
        if self._from_ids:
            shape = (size.batch, size.sequence)
            self._graph = GraphBuilder("bert", "input_ids", shape, seed, TensorProto.INT64)
        else:
            self._graph = GraphBuilder("bert", "embeddings", (size.batch, size.sequence, size.hidden), seed)

    def build(self) -> onnx.ModelProto:
        """The network."""
        size, mask = self._size, None
        x = "embeddings"
        if self._from_ids:
            x, mask = self._embedded("embeddings"), self._mask("mask")
        self._shapes()
        for layer in range(size.layers):
            x = self._layer(f"layer.{layer}", x, mask)
        return self._graph.model(x, (size.batch, size.sequence, size.hidden))

    def _shapes(self) -> None:
        size = self._size
        split = np.array([size.batch, size.sequence, size.heads, size.head], np.int64)
        self._graph.weight("split_heads", split)
        self._graph.weight("join_heads", np.array([size.batch, size.sequence, size.hidden], np.int64))
        for name, value in (
            ("root_of_head", math.sqrt(size.head)),
            ("root_of_2", math.sqrt(2)),
            ("1", 1),
            ("half", 0.5),
        ):
            self._graph.weight(name, np.array(value, np.float32))

    def _embedded(self, name: str) -> str:
        """Words, positions and the first kind of token, normalized."""
        graph, size = self._graph, self._size
        words = graph.weight(f"{name}.word", graph.uniform((size.vocabulary, size.hidden), -0.5, 0.5))
        positions = graph.weight(f"{name}.position", graph.uniform((1, size.sequence, size.hidden), -0.5, 0.5))
        kinds = graph.weight(f"{name}.token_type", graph.uniform((1, 1, size.hidden), -0.5, 0.5))
        x = graph.apply("Gather", [words, "input_ids"], f"{name}.lookup", axis=0)
        x = graph.apply("Add", [x, kinds], f"{name}.add_type")
        x = graph.apply("Add", [x, positions], f"{name}.add_position")
        return self._normalized(f"{name}.norm", x)

    def _mask(self, name: str) -> str:
        """0 where a position counts, the smallest number elsewhere: (batch, 1, 1, position)."""
        graph = self._graph
        mask = graph.input("attention_mask", (self._size.batch, self._size.sequence), TensorProto.INT64)
        axes = graph.weight(f"{name}.axes", np.array([1, 2], np.int64))
        one = graph.weight(f"{name}.one", np.array(1, np.float32))
        lowest = graph.weight(f"{name}.lowest", np.array(np.finfo(np.float32).min, np.float32))
        mask = graph.apply("Unsqueeze", [mask, axes], f"{name}.unsqueeze")
        mask = graph.apply("Cast", [mask], f"{name}.cast", to=TensorProto.FLOAT)
        mask = graph.apply("Sub", [one, mask], f"{name}.invert")
        return graph.apply("Mul", [mask, lowest], f"{name}.scale")

    def _layer(self, name: str, x: str, mask: str | None) -> str:
        """Attention and a feed-forward network, each added to its input and normalized."""
        graph, size = self._graph, self._size
        y = self._linear(f"{name}.attention.output", self._attention(f"{name}.attention", x, mask), size.hidden)
        x = self._normalized(f"{name}.attention.norm", graph.apply("Add", [y, x], f"{name}.attention.residual"))
        y = self._gelu(f"{name}.gelu", self._linear(f"{name}.intermediate", x, size.hidden, size.intermediate))
        y = self._linear(f"{name}.output", y, size.intermediate, size.hidden)
        return self._normalized(f"{name}.norm", graph.apply("Add", [y, x], f"{name}.residual"))

    def _attention(self, name: str, x: str, mask: str | None) -> str:
        graph = self._graph
        query, key, value = (self._heads(f"{name}.{part}", x, part == "key") for part in ("query", "key", "value"))
        scores = graph.apply("MatMul", [query, key], f"{name}.scores")
        scores = graph.apply("Div", [scores, "root_of_head"], f"{name}.scale")
        if mask is not None:
            scores = graph.apply("Add", [scores, mask], f"{name}.mask")
        weights = graph.apply("Softmax", [scores], f"{name}.softmax", axis=-1)
        context = graph.apply("MatMul", [weights, value], f"{name}.context")
        context = graph.apply("Transpose", [context], f"{name}.context.transpose", perm=[0, 2, 1, 3])
        return graph.apply("Reshape", [context, "join_heads"], f"{name}.context.join")

    def _heads(self, name: str, x: str, transposed: bool) -> str:
        """A linear layer split into heads: (batch, head, position, size), keys (batch, head, size, position)."""
        y = self._linear(name, x, self._size.hidden)
        y = self._graph.apply("Reshape", [y, "split_heads"], f"{name}.split")
        perm = [0, 2, 3, 1] if transposed else [0, 2, 1, 3]
        return self._graph.apply("Transpose", [y], f"{name}.transpose", perm=perm)

    def _linear(self, name: str, x: str, inputs: int, outputs: int | None = None) -> str:
        graph, outputs = self._graph, outputs or inputs
        bound = math.sqrt(3 / inputs)
        weight = graph.weight(f"{name}.weight", graph.uniform((inputs, outputs), -bound, bound))
        bias = graph.weight(f"{name}.bias", graph.uniform((outputs,), -0.1, 0.1))
        return graph.apply("Add", [bias, graph.apply("MatMul", [x, weight], f"{name}.matmul")], f"{name}.add")

    def _normalized(self, name: str, x: str) -> str:
        graph, shape = self._graph, (self._size.hidden,)
        scale = graph.weight(f"{name}.weight", graph.uniform(shape, 0.8, 1.2))
        shift = graph.weight(f"{name}.bias", graph.uniform(shape, -0.1, 0.1))
        return graph.apply("LayerNormalization", [x, scale, shift], name, axis=-1, epsilon=EPSILON)

    def _gelu(self, name: str, x: str) -> str:
        """x * (1 + erf(x / sqrt 2)) / 2, as it was exported before opset 20."""
        graph = self._graph
        y = graph.apply("Erf", [graph.apply("Div", [x, "root_of_2"], f"{name}.div")], f"{name}.erf")
        y = graph.apply("Mul", [x, graph.apply("Add", [y, "1"], f"{name}.add")], f"{name}.mul")
        return graph.apply("Mul", [y, "half"], f"{name}.half")


def bert(size: Size, inputs: str = "embeddings", seed: int = 0) -> onnx.ModelProto:
    """The encoder of a size, from `inputs`: embeddings or ids."""
    return Bert(size, inputs, seed).build()


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate a BERT encoder with seeded weights.")
    defaults = Size()
    for name in ("layers", "hidden", "heads", "intermediate", "sequence", "batch", "vocabulary"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--inputs", choices=("embeddings", "ids"), default="embeddings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = vars(parser.parse_args())
    inputs, seed, output = (arguments.pop(name) for name in ("inputs", "seed", "output"))
    save(bert(Size(**arguments), inputs, seed), output)


if __name__ == "__main__":
    main()

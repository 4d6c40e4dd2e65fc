"""Emulators with one thing wrong, most of it in code that their engines share, and the instruction that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest

from backends.generic import offchip, values, words
from backends.generic.offchip import OffChip
from backends.generic.words import Walk
from backends.rram import products
from backends.rram.products import MatrixPart
from backends.spatial import blocks
from backends.spatial.addresses import Walk as OfTensor
from backends.spatial.blocks import BlockEngine
from backends.spatial.codes import Fold, Kind, Tensor
from backends.spatial.groups import TurnsNode
from backends.spatial.groups import _Run as Run  # pyright: ignore[reportPrivateUsage]
from backends.spatial.layer import FOLDS, LayerState
from backends.spatial.loops import LoopSequencer
from backends.spatial.machine import SpatialCore
from backends.spatial.memory import MemoryBank
from backends.spots import engine as spots
from tests.backends.rram.quantized import SMALL
from tests.backends.rram.quantized_network import quantized_network
from tests.compiler.localising.faults import CONV, DENSE
from tests.compiler.small_models import small_cnn

Patch = pytest.MonkeyPatch
SMALL_BUFFER = {"glb.banks": "7", "glb.bank_words": "64"}
"""Settings of machines of rows and columns, with which a small group takes turns."""


def dense() -> onnx.ModelProto:
    """A matrix product alone."""
    random = np.random.default_rng(3)
    weights = onnx.numpy_helper.from_array(random.standard_normal((4, 3)).astype(np.float32), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], name=DENSE)
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [2, 4]), ("y", [2, 3]))
    ]
    graph = onnx.helper.make_graph([node], "dense", ports[:1], ports[1:], [weights])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def deep() -> onnx.ModelProto:
    """A convolution of so many channels that arrays of a few elements go through them in loops."""
    random = np.random.default_rng(5)
    weights = onnx.numpy_helper.from_array(random.standard_normal((48, 40, 3, 3)).astype(np.float32), "w")
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2])
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 40, 21, 21]), ("y", [1, 48, 11, 11]))
    ]
    graph = onnx.helper.make_graph([node], "deep", ports[:1], ports[1:], [weights])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


@dataclass(frozen=True)
class Mutant:
    """What is wrong in an emulator of a target; `layer` and `instruction`, how its text begins, have to be found."""

    target: str
    layer: str
    instruction: str
    mutate: Callable[[Patch], None]
    engine: str | None = None
    model: Callable[[], onnx.ModelProto] = small_cnn
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    fuse: bool = False


def _after(owner: Any, name: str, change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """What a function returns is changed."""

    def mutate(patch: Patch) -> None:
        right = getattr(owner, name)
        patch.setattr(owner, name, lambda *given, **named: change(right(*given, **named)))

    return mutate


def _no_post(owner: Any) -> Callable[[Patch], None]:
    """The functions behind a sum are left out."""

    def mutate(patch: Patch) -> None:
        right = owner.run_steps

        def wrong(steps: Any, value: Any, operand: Any = None) -> Any:
            return value if operand is not None else right(steps, value)

        patch.setattr(owner, "run_steps", wrong)

    return mutate


def _one_before(walk: OfTensor) -> OfTensor:
    return OfTensor(walk.address - 1, walk.strides, walk.dtype)


def _one_further(place: Any) -> Any:
    return place[0] + 1, place[1]


def _rolled(words: Any) -> Any:
    return np.roll(words, 1, axis=-1)


def _larger(words: Any) -> Any:
    return words * 1.5


def _ones(words: Any) -> Any:
    return np.ones_like(words)


def _smallest(patch: Patch) -> None:
    """The largest of some values is the smallest."""
    patch.setitem(FOLDS, Fold.MAX, np.minimum)


def _forgetful(patch: Patch) -> None:
    """Every pass is taken for the first."""
    patch.setattr(LayerState, "is_first_pass", lambda self: True)


def _other_kernels(patch: Patch) -> None:
    """Kernels come from a word further on."""
    right = BlockEngine.load_kernel

    def load_kernel(self: Any) -> None:
        entry = self.layer.tensors[Tensor.KERNEL]
        entry.address += 1
        right(self)
        entry.address -= 1

    patch.setattr(BlockEngine, "load_kernel", load_kernel)


def _no_last_turn(patch: Patch) -> None:
    """Loops over kernels end a turn too early."""
    right = LoopSequencer.end_loop

    def end_loop(self: Any) -> None:
        frame, layer = self._frames[-1], self.layer
        if frame.kind is Kind.OP:
            frame.size -= frame.tile
        right(self)
        if frame.kind is Kind.OP:
            frame.size += frame.tile
            layer.sizes[frame.dim][frame.kind] = frame.size

    patch.setattr(LoopSequencer, "end_loop", end_loop)


def _no_pass(patch: Patch) -> None:
    """Passes on the second part of the input are left out."""
    right = SpatialCore.process

    def process(self: Any) -> None:
        if not self.layer.starts[0][Kind.KS]:
            right(self)

    patch.setattr(SpatialCore, "process", process)


def _other_sent(patch: Patch) -> None:
    """Results leave holds in the other order."""
    right = MemoryBank.scatter
    patch.setattr(MemoryBank, "scatter", lambda self, to, words, how: right(self, to, words[..., ::-1], how))


def _other_fetched(patch: Patch) -> None:
    """Holds get words from a word further on."""
    right = MemoryBank.gather
    patch.setattr(MemoryBank, "gather", lambda self, places, dtype: right(self, np.roll(places, 1, -1), dtype))


def _nothing_sent(patch: Patch) -> None:
    """Results stay in holds."""
    patch.setattr(Run, "_send", lambda self, member, hold, box: None)


def _shorter_runs(patch: Patch) -> None:
    """Runs of the first layer leave out the last results of a dimension."""
    right = Run._work  # pyright: ignore[reportPrivateUsage]

    def work(self: Any, member: Any, box: tuple[range, ...]) -> None:
        ranges = list(box)
        cut = next(i for i, each in enumerate(ranges) if i % len(Kind) == Kind.OPC and (len(each) > 2 or i > 8))
        if not member.layer.index:
            ranges[cut] = ranges[cut][:-1]
        right(self, member, tuple(ranges))

    patch.setattr(Run, "_work", work)


def _no_run(patch: Patch) -> None:
    """Runs of the second layer do nothing."""
    right = Run._work  # pyright: ignore[reportPrivateUsage]
    patch.setattr(Run, "_work", lambda self, member, box: None if member.layer.index else right(self, member, box))


def _no_step(patch: Patch) -> None:
    """What a group does for its second layer is left out."""
    right = Run._do  # pyright: ignore[reportPrivateUsage]
    patch.setattr(Run, "_do", lambda self, node, box: None if node.layer else right(self, node, box))


def _no_later_turn(patch: Patch) -> None:
    """Loops around a group end after one turn."""
    right = TurnsNode.__init__
    patch.setattr(TurnsNode, "__init__", lambda self, turns: right(self, 1))


def _half_fetched(patch: Patch) -> None:
    """Kernels are half as large once they lie in holds."""
    right = Run._fetch  # pyright: ignore[reportPrivateUsage]

    def fetch(self: Any, member: Any, hold: Any, box: Any) -> None:
        right(self, member, hold, box)
        if member.keeps.get(Tensor.KERNEL) is hold:
            hold._values *= 0.5

    patch.setattr(Run, "_fetch", fetch)


def _other_biases(patch: Patch) -> None:
    """Operands of `post` are those of the next column."""
    right = MatrixPart.output_addresses

    def output_addresses(self: Any, tensor: Tensor, vectors: Any) -> Any:
        found = right(self, tensor, vectors)
        return found if tensor is Tensor.OUTPUT else np.roll(found, 1, axis=1)

    patch.setattr(MatrixPart, "output_addresses", output_addresses)


def _other_sums(patch: Patch) -> None:
    """Partial sums are stored a word further on than they are fetched from."""
    right = MatrixPart.store

    def store(self: Any, made: Any, vectors: Any) -> Any:
        place = self._task.sums
        self._task.sums = None if place is None else (place[0] + 1, place[1])
        cycles = right(self, made, vectors)
        self._task.sums = place
        return cycles

    patch.setattr(MatrixPart, "store", store)


def _no_sums(patch: Patch) -> None:
    """Partial sums that are fetched are not added."""

    def fetch(self: Any, vectors: Any) -> Any:
        self._counters.add("memory.sums.read", 1)
        return self._ways.load.moved(np.full(len(vectors), self.results))

    patch.setattr(MatrixPart, "fetch", fetch)


def _upside_down(words: Any) -> Any:
    return words[::-1]


def _three_times(words: Any) -> Any:
    return words * 3


def _reversed(places: Any) -> Any:
    """Windows of vectors in the other order."""
    addresses, exist = places
    return addresses[..., ::-1], exist


def on_crossbars(instruction: str, layer: str, mutate: Callable[[Patch], None]) -> Mutant:
    return Mutant("rram", layer, instruction, mutate, model=quantized_network, settings=SMALL)


_PRODUCT = _after(values, "product", _larger)
_ARRAY = _after(blocks, "product", _larger)

MUTANTS = {
    "generic: address of inputs": Mutant("generic", CONV, "fill tensor=input", _after(OffChip, "input", _rolled)),
    "generic: padding": Mutant("generic", CONV, "fill tensor=input", _after(offchip, "scalar_of", _ones)),
    "generic: address of kernels": Mutant("generic", CONV, "fill tensor=kernel", _after(OffChip, "kernel", _rolled)),
    "generic: multiply": Mutant("generic", CONV, "compute", _PRODUCT),
    "generic: accumulate": Mutant("generic", "pool1", "compute", _smallest),
    "generic: activation": Mutant("generic", CONV, "drain", _no_post(offchip)),
    "generic: address of results": Mutant("generic", CONV, "drain", _after(OffChip, "_output_walk", _one_before)),
    "generic, words: multiply": Mutant("generic", DENSE, "compute", _after(words, "apply", _larger), "words", dense),
    "generic, words: accumulate": Mutant(
        "generic", DENSE, "compute", _after(Walk, "_combined", _larger), "words", dense
    ),
    "generic, words: load": Mutant(
        "generic", DENSE, "fill tensor=input", _after(OffChip, "input_words", _larger), "words", dense
    ),
    "generic, fused: multiply": Mutant("generic", CONV, "compute", _PRODUCT, fuse=True),
    "generic, fused: activation": Mutant("generic", CONV, "drain", _no_post(offchip), fuse=True),
    "generic, fused: accumulate": Mutant("generic", "pool1", "compute", _smallest, fuse=True),
    "systolic: address of inputs": Mutant(
        "systolic", CONV, "load tensor=input", _after(BlockEngine, "_read_input", _rolled)
    ),
    "systolic: padding": Mutant("systolic", CONV, "load tensor=input", _after(blocks, "scalar_of", _ones)),
    "systolic: address of kernels": Mutant("systolic", CONV, "load tensor=kernel", _other_kernels),
    "systolic: multiply": Mutant("systolic", CONV, "pass", _ARRAY),
    "systolic: accumulate": Mutant("systolic", CONV, "pass", _forgetful),
    "systolic: reduction": Mutant("systolic", "pool1", "pass", _smallest),
    "systolic: activation": Mutant("systolic", CONV, "store", _no_post(blocks)),
    "systolic: address of results": Mutant(
        "systolic", CONV, "store", _after(BlockEngine, "output_address", _one_further)
    ),
    "eyeriss: address in the buffer": Mutant("eyeriss", CONV, "pass", _after(BlockEngine, "input_block", _rolled)),
    "eyeriss: padding": Mutant("eyeriss", CONV, "load tensor=input", _after(blocks, "scalar_of", _ones)),
    "eyeriss, elements: address of inputs": Mutant(
        "eyeriss", CONV, "load tensor=input", _after(BlockEngine, "_read_input", _rolled), "elements"
    ),
    "eyeriss, fused: multiply": Mutant("eyeriss", CONV, "pass", _ARRAY, fuse=True),
    "eyeriss, fused: address of what is sent": Mutant("eyeriss", "pool1", "send", _other_sent, fuse=True),
    "eyeriss, fused: shorter runs": Mutant("eyeriss", CONV, "run", _shorter_runs, fuse=True),
    "generic, fused: shorter runs": Mutant("generic", CONV, "run", _shorter_runs, fuse=True),
    "spots, fused: a run left out": Mutant("spots", "pool1", "run", _no_run, fuse=True),
    "systolic, fused: a layer left out": Mutant("systolic", "pool1", "run", _no_step, fuse=True),
    "eyeriss, fused: turns left out": Mutant(
        "eyeriss", CONV, "turns", _no_later_turn, settings=SMALL_BUFFER, fuse=True
    ),
    "spots, fused: nothing is sent": Mutant("spots", "pool1", "send", _nothing_sent, fuse=True),
    "systolic, fused: kernels that are fetched": Mutant("systolic", CONV, "fetch", _half_fetched, fuse=True),
    "generic, fused: words that are fetched": Mutant("generic", CONV, "fetch", _other_fetched, fuse=True),
    "eyeriss, fused: activation": Mutant("eyeriss", CONV, "store", _no_post(blocks), fuse=True),
    "nlr: activation": Mutant("nlr", CONV, "store", _no_post(blocks)),
    "nlr: end of a loop": Mutant("nlr", "conv", "end", _no_last_turn, model=deep),
    "nlr: a pass left out": Mutant("nlr", "conv", "pass", _no_pass, model=deep),
    "spots: end of a loop": Mutant("spots", "conv", "end", _no_last_turn, model=deep),
    "spots: address of inputs": Mutant("spots", CONV, "load tensor=input", _after(OffChip, "input", _rolled)),
    "spots: patches": Mutant("spots", CONV, "load tensor=input", _after(spots, "unrolled", _rolled)),
    "spots: address of kernels": Mutant("spots", CONV, "load tensor=kernel", _after(OffChip, "kernel", _rolled)),
    "spots: multiply": Mutant("spots", CONV, "multiply", _after(spots, "reduced", _larger)),
    "spots: order of results": Mutant("spots", CONV, "store", _after(spots, "as_results", _rolled)),
    "spots: activation": Mutant("spots", CONV, "store", _no_post(offchip)),
    "spots, fused: activation": Mutant("spots", CONV, "store", _no_post(offchip), fuse=True),
    "rram: program": on_crossbars("program", "conv", _after(MatrixPart, "kernel_addresses", _rolled)),
    "rram: address of inputs": on_crossbars(
        "load what=input", "conv", _after(MatrixPart, "input_addresses", _reversed)
    ),
    "rram: padding": on_crossbars("load what=input", "depthwise", _after(products, "scalar_of", _ones)),
    "rram: biases": on_crossbars("load what=fixed", "conv", _other_biases),
    "rram: multiply": on_crossbars("mvm", "conv", _after(products, "product", _three_times)),
    "rram: address of sums": on_crossbars("store made=sums", "conv", _other_sums),
    "rram: accumulate": on_crossbars("fetch", "conv", _no_sums),
    "rram: activation": on_crossbars("activate", "conv", _no_post(products)),
    "rram: address of results": on_crossbars(
        "store made=output", "conv", _after(MatrixPart, "output_addresses", _upside_down)
    ),
    "rram, vectors: address of inputs": Mutant("rram", CONV, "load what=input", _after(OffChip, "input", _rolled)),
    "rram, vectors: multiply": Mutant("rram", CONV, "compute", _PRODUCT),
    "rram, vectors: reduction": Mutant("rram", "pool1", "compute", _smallest),
    "rram, vectors: activation": Mutant("rram", CONV, "store", _no_post(offchip)),
}
"""By target and what is wrong."""

"""Single layers on small machines: built, mapped, placed, emitted, read back from bytes and run in every mode."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue

from backends.container import parse_program, program_bytes
from backends.eyeriss import BACKEND
from backends.program import LayerEntry, Program
from backends.spatial.emit import emit
from backends.spatial.emulator import MODES, SpatialEmulator
from dialects.array_machine import Machine
from dialects.events import GROUPED, OPTIONAL, Counts
from dialects.gconv import PASS, ConcatOp, Dim, GConv, LinkOp, Reduce, Step, View, ViewOp
from dialects.gconv.interpreter import Interpreter
from dialects.locations import node_location
from dialects.machine_kinds import parse_machine
from dialects.schedule import Mapping, MappingAttr
from dialects.target import MachineOp
from dialects.weights import ConstantOp
from passes.map_row_stationary import MapRowStationaryPass
from passes.place_spatial import PlaceSpatialPass

Shape = tuple[int, ...]


def machine(**changes: Any) -> Machine:
    """The Eyeriss machine with some tables or values changed."""
    description = tomllib.loads(BACKEND.description().read_text())
    for key, value in changes.items():
        if isinstance(value, dict):
            description.setdefault(key, {}).update(value)
        else:
            description[key] = value
    return parse_machine(description)


MACHINES: dict[str, Machine] = {
    "eyeriss": machine(),
    # Everything is split, most of it unevenly.
    "tiny": machine(
        name="tiny",
        array={"rows": 4, "cols": 3},
        pe={"input_words": 4, "kernel_words": 12, "output_words": 3},
        glb={"banks": 6, "bank_words": 16},
        limits={"kernel_rows": 3},
    ),
    # One row of elements with next to no memory; buses that are no whole numbers of words.
    "flat": machine(
        name="flat",
        array={"rows": 1, "cols": 5},
        pe={"input_words": 7, "kernel_words": 7, "output_words": 2},
        glb={"banks": 5, "bank_words": 32},
        limits={"channels": 4, "filters": 2, "kernel_rows": 2, "kernel_cols": 4},
        links={"input_bus": 0.5, "kernel_bus": 1.5, "output_bus": 0.75},
    ),
    # The buffer holds no padding, so that every count of inputs differs.
    "unpadded": machine(
        name="unpadded",
        array={"rows": 7, "cols": 2},
        pe={"input_words": 6, "kernel_words": 20, "output_words": 5},
        glb={"banks": 4, "bank_words": 40},
        limits={"kernel_rows": 4},
        counting={"padding_in_buffer": False},
    ),
    # Passes do not overlap; padding lies in DRAM.
    "pipelined": machine(
        name="pipelined",
        array={"rows": 4, "cols": 3},
        pe={"input_words": 4, "kernel_words": 12, "output_words": 3},
        glb={"banks": 6, "bank_words": 16},
        limits={"kernel_rows": 3},
        links={"input_bus": 0.75},
        pipeline={"stages": 3},
        counting={"dram": ["dram.input.read", "dram.input.padding"]},
    ),
    # Outputs are compressed, and operations on zeros gated.
    "compressing": machine(
        name="compressing",
        dram={"compression": {"run_bits": 2, "pairs": 3, "link_bits": 64}},
        energy={"gating": 0.45},
    ),
}


@dataclass(frozen=True)
class Access:
    """How a layer reads a tensor: a view of a base."""

    base: Shape
    view: View

    @classmethod
    def dense(cls, shape: Shape) -> Access:
        """The whole of a tensor of this shape."""
        return cls(shape, View.dense(shape))


def integers(shape: Shape, seed: int, reduce: Reduce = Reduce.ADD) -> np.ndarray:
    """Small integers, powers of two for products: arithmetic on them is exact."""
    choices = (-2, -1, 1, 2) if reduce is Reduce.MUL else range(-4, 5)
    return np.random.default_rng(seed).choice(np.array(choices, np.float32), shape)


def fractions(shape: Shape, seed: int, reduce: Reduce = Reduce.ADD) -> np.ndarray:
    """Numbers of 24 bits: arithmetic on them is rounded."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


Words = Callable[[Shape, int, Reduce], np.ndarray]


@dataclass(frozen=True)
class Layer:
    """A general convolution with its tensors.

    The input and the extras are arguments `x`, `e0`, `e1`, ..., the kernel is a constant. `beside` is the axis along
    which the result is written into a concatenation, behind copies of the first word of `x`. Without `mapping` the
    mapper makes one. `words` draws the words of constants and inputs.
    """

    spec: GConv
    input: Access
    kernel: Access | None = None
    extras: tuple[Access, ...] = ()
    beside: int | None = None
    mapping: Mapping | None = None
    words: Words = integers

    @classmethod
    def of(cls, spec: GConv, input: Shape, *extras: Shape, beside: int | None = None) -> Layer:
        """A layer on dense tensors."""
        kernel = None if spec.main == PASS else Access.dense(spec.kernel_shape)
        return cls(spec, Access.dense(input), kernel, tuple(map(Access.dense, extras)), beside)

    def module(self, machine: Machine) -> ModuleOp:
        """The chain that computes it, on a machine; a location and a name on every op."""
        arguments = {"x": self.input.base} | {f"e{i}": extra.base for i, extra in enumerate(self.extras)}
        block = Block(arg_types=[TensorType(f32, shape) for shape in arguments.values()])
        ops: list[Operation] = []

        def add(op: Operation) -> SSAValue:
            op.location = node_location(f"node{len(ops)}")
            ops.append(op)
            return op.results[0]

        def read(base: SSAValue, access: Access) -> SSAValue:
            return base if access == Access.dense(access.base) else add(ViewOp.of(base, access.view))

        kernel = None
        if self.kernel is not None:
            kernel = read(add(ConstantOp.of(self.words(self.kernel.base, 1, self.spec.reduce))), self.kernel)
        extras = [read(arg, access) for arg, access in zip(block.args[1:], self.extras, strict=True)]
        mapping = None if self.mapping is None else MappingAttr(self.mapping)
        result = add(
            LinkOp.of(self.spec, read(block.args[0], self.input), kernel, extras, tensor="layer", mapping=mapping)
        )
        if self.beside is not None:
            shape = [2 if d == self.beside else n for d, n in enumerate(self.spec.output_shape)]
            copy = GConv(tuple(Dim(dim.name, opc=n) for dim, n in zip(self.spec.dims, shape, strict=True)))
            first = Access(self.input.base, View(tuple(shape), (0,) * len(shape)))
            other = add(LinkOp.of(copy, read(block.args[0], first), tensor="copy"))
            result = add(ConcatOp.of([other, result], self.beside, "joined"))
        block.add_ops([*ops, ReturnOp(result)])
        function = FuncOp(
            "main",
            FunctionType.from_lists([arg.type for arg in block.args], [result.type]),
            Region(block),
            arg_attrs=names(*arguments),
            res_attrs=names("y"),
        )
        return ModuleOp([MachineOp.of(machine), function])

    def inputs(self) -> dict[str, np.ndarray]:
        """Words for every argument."""
        tensors = {"x": self.input.base} | {f"e{i}": extra.base for i, extra in enumerate(self.extras)}
        return {name: self.words(shape, 2 + i, self.spec.reduce) for i, (name, shape) in enumerate(tensors.items())}


def names(*onnx: str) -> ArrayAttr[DictionaryAttr]:
    """Argument or result attributes that name ONNX tensors."""
    return ArrayAttr([DictionaryAttr({"onnx.name": StringAttr(name)}) for name in onnx])


def lowered(module: ModuleOp) -> ModuleOp:
    """The module after mapping and placing, verified after each."""
    for step in (MapRowStationaryPass(), PlaceSpatialPass()):
        step.apply(Context(), module)
        module.verify()
    return module


def compile_chain(module: ModuleOp) -> Program:
    """The program of a chain, as read back from its file."""
    return parse_program(program_bytes(emit(lowered(module), "eyeriss")), "test")


def check_counts(counts: Counts, entry: LayerEntry, mode: str) -> None:
    """Counts as predicted; those that depend on the data are predicted as if no word were zero."""
    differences = dict(counts.differences(Counts.of(entry.predicted)))
    gated, _ = differences.pop("operation.gated", (0, 0))
    assert gated <= counts.operations
    shown = f"{mode}: {entry.mapping}: (counted, predicted) {differences}"
    assert differences.keys() <= OPTIONAL.difference(GROUPED), shown
    assert all(count <= most for count, most in differences.values()), shown


def check_layer(layer: Layer, machine: Machine) -> None:
    """Compile and run a layer in every mode: exact outputs, counts of all modes equal and equal to the predicted ones.

    What depends on the data is predicted as if no word were zero.

    Raises `CatenaError` if the machine has no mapping for it.
    """
    module = layer.module(machine)
    module.verify()
    inputs = layer.inputs()
    expected = Interpreter(module).run(inputs)
    program = compile_chain(module)
    counted: list[dict[str, Counts]] = []
    for mode in MODES:
        emulator = SpatialEmulator(program, mode)
        outputs = emulator.run(inputs)
        assert outputs.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(outputs[name], array, err_msg=f"{mode}: {name}")
        assert list(emulator.counters) == [entry.name for entry in program.layers]
        for entry in program.layers:
            check_counts(emulator.counters[entry.name], entry, mode)
        counted.append(dict(emulator.counters))
    assert all(counts == counted[0] for counts in counted)


def window(name: str, outputs: int, taps: int, **addressing: int) -> tuple[Dim, int]:
    """A window dimension and the input extent that its outputs read up to, padding on both sides."""
    dim = Dim(name, opc=outputs, ks=taps, **addressing)
    low, high = dim.window
    return dim, max(1, (high + low) // dim.up + 1)


def steps(*functions: str | tuple[str, int] | Step) -> tuple[Step, ...]:
    """`relu` is a unary step, `("add", 0)` one that reads extra operand 0."""
    made: list[Step] = []
    for function in functions:
        match function:
            case Step():
                made.append(function)
            case str():
                made.append(Step(function))
            case (name, operand):
                made.append(Step(name, operand=operand))
    return tuple(made)

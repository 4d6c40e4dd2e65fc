"""Pass `measure-zeros`: what share of every link's data is zero, measured on samples or stated."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp, Zeros, ZerosAttr, shape_of
from dialects.gconv.interpreter import Interpreter, argument_names, main_function
from dialects.gconv.scalar import Array
from dialects.target import require_machine
from dialects.weights import ConstantOp
from passes.chain_views import source_of
from passes.mapping.tiling import span

_DIGITS = 4
"""Decimals of shares: links whose data differ in less keep one search."""

Samples = Sequence[Mapping[str, Array]]


@dataclass(frozen=True)
class MeasureZerosPass(ModulePass):
    """Note on every link what shares of its input and of its output are zero, which predictions and encodings go by.

    `file` is an .npz file of the network's inputs by name, each one sample, or several with one dimension more in
    front: the chain is interpreted on them. Without a file, `density` states what share of the tensors between links is
    not zero; inputs and outputs of the network are taken to have no zeros then. Links whose `zeros`
    are known keep them unless something is measured.

    Raises `CatenaError`: CAT-C001 for a density outside of 0 to 1, for both or neither; CAT-C002 for a file that cannot
    be read; CAT-C005 for arrays that do not fit; CAT-R003 for a network with segments on the host.
    """

    name = "measure-zeros"

    file: str | None = None
    density: float | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Set `zeros` of the links of @main."""
        machine = require_machine(op, "encoded")
        function = main_function(op)
        links = [link for link in function.walk() if isinstance(link, LinkOp)]
        if (self.file is None) == (self.density is None):
            expected = "a file of samples, or a density"
            raise CatenaError(Diagnostic("CAT-C001", "zeros are measured or stated", "encoded", expected=expected))
        if self.file is not None:
            tallies = measured_zeros(op, read_samples(Path(self.file), function))
            for link in links:
                _note(link, tallies[link], machine)
            return
        density = cast("float", self.density)
        if not 0 <= density <= 1:
            found = str(density)
            raise CatenaError(Diagnostic("CAT-C001", "a density is from 0 to 1", "encoded", found=found))
        for link in links:
            if link.zeros is None:
                input, output = (0.0 if is_outside else 1 - density for is_outside in _outside(link))
                _note(link, Zeros(input, output), machine)


def measured_zeros(module: ModuleOp, samples: Samples) -> dict[LinkOp, Zeros]:
    """The shares of zeros among the words that each link's input and output have, over all samples together.

    Raises `CatenaError` as `Interpreter.run` does.
    """
    counting = _Counting(module)
    for sample in samples:
        counting.run(sample)
    return {link: Zeros(*(each.zeros / max(each.words, 1) for each in pair)) for link, pair in counting.found.items()}


@dataclass
class _Tally:
    zeros: int = 0
    words: int = 0

    def add(self, words: Array) -> None:
        self.zeros += words.size - int(np.count_nonzero(words))
        self.words += words.size


class _Counting(Interpreter):
    """Runs a chain and counts zeros in what links read and make."""

    def __init__(self, module: ModuleOp):
        super().__init__(module)
        self.found: dict[LinkOp, tuple[_Tally, _Tally]] = {}

    def _execute(self, op: Operation, values: dict[SSAValue, Array]) -> None:
        super()._execute(op, values)
        if isinstance(op, LinkOp):
            read, made = self.found.setdefault(op, (_Tally(), _Tally()))
            read.add(values[op.input])
            made.add(values[op.result])


def _note(link: LinkOp, zeros: Zeros, machine: Accelerator) -> None:
    """Put shares of zeros on a link; that of its input with the padding that is fetched with it."""
    share = zeros.input
    if isinstance(machine, Machine) and machine.counting.padding_in_dram and link.spec.padding == 0:
        spanned = math.prod(dim.g * span(dim.opc, dim.ks, dim) for dim in link.spec.dims)
        share = 1 - (1 - share) * min(1.0, math.prod(shape_of(link.input)) / spanned)
    link.properties["zeros"] = ZerosAttr(Zeros(round(share, _DIGITS), round(zeros.output, _DIGITS)))


def _outside(link: LinkOp) -> tuple[bool, bool]:
    """Whether a link's input comes from outside of the network, or is a constant, and whether its output leaves it."""
    source = source_of(link.input).base.owner
    comes = isinstance(source, ConstantOp) or not isinstance(source, Operation)
    leaves = any(isinstance(use.operation, ReturnOp) for use in link.result.uses)
    return comes, leaves


def read_samples(path: Path, function: FuncOp) -> list[Mapping[str, Array]]:
    """The samples of a function's inputs in a .npz file.

    Raises `CatenaError`: CAT-C002 for a file that cannot be read, CAT-C005 with every array that is missing, unknown,
    or of another shape, and if there are different numbers of samples.
    """
    try:
        with np.load(path, allow_pickle=False) as loaded:
            arrays: dict[str, Array] = {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise CatenaError(_unreadable(path, error.strerror or str(error))) from error
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        # NumPy takes what begins otherwise for a pickled object, and a single array has no names.
        raise CatenaError(_unreadable(path, "it is no file of arrays by name")) from error
    problems: list[Diagnostic] = []
    samples: dict[str, Array] = {}
    for name, argument in zip(argument_names(function), function.args, strict=True):
        shape, array = shape_of(argument), arrays.pop(name, None)
        if array is not None and array.shape[-len(shape) or array.ndim :] == shape and array.ndim <= len(shape) + 1:
            samples[name] = array.reshape(-1, *shape)
        else:
            found = "nothing" if array is None else f"shape {list(array.shape)}"
            expected = f"shape {list(shape)}, or several of them"
            problems.append(_unfit(f"input {name!r} does not fit", expected, found))
    problems += [_unfit(f"the network has no input {name!r}") for name in arrays]
    if len({len(array) for array in samples.values()} - {0}) > 1 or not all(map(len, samples.values())):
        counts = ", ".join(f"{len(array)} of {name!r}" for name, array in samples.items())
        problems.append(_unfit("inputs have different numbers of samples, or none", found=counts))
    if problems:
        raise CatenaError(problems)
    count = len(next(iter(samples.values()))) if samples else 1
    return [{name: array[number] for name, array in samples.items()} for number in range(count)]


def _unreadable(path: Path, reason: str) -> Diagnostic:
    return Diagnostic("CAT-C002", f"cannot read {path}: {reason}", "encoded", expected="an .npz file")


def _unfit(message: str, expected: str = "", found: str = "") -> Diagnostic:
    return Diagnostic("CAT-C005", message, "encoded", expected=expected, found=found)

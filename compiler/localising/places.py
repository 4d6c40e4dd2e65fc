"""Where tensors lie: the table of a program beside that of the program compiled again."""

from __future__ import annotations

from dataclasses import replace

from backends.program import Program, TensorEntry
from compiler.localising.blame import Mends


def other_places(program: Program, again: Program) -> list[str]:
    """The tensors that the two programs have in different places."""
    theirs = {each.name: _place(each) for each in again.tensors}
    return [each.name for each in program.tensors if theirs.get(each.name) != _place(each)]


def blamed_table(program: Program, again: Program, mends: Mends) -> str:
    """What is wrong in the table of tensors, if the result is right with the compiler's; empty if it is not."""
    if not other_places(program, again) or not mends(replace(program, tensors=again.tensors)):
        return ""
    return f"no instruction is to blame: {differences(program, again)}"


def differences(program: Program, again: Program) -> str:
    """What the table of tensors says otherwise than the compiler's; empty if nothing."""
    table = {each.name: each for each in program.tensors}, {each.name: each for each in again.tensors}
    found = other_places(program, again)
    places = [f"{_text(table[0][name])} where the compiler has {_text(table[1].get(name))}" for name in found]
    return f"the program's table of tensors says {'; '.join(places)}" if found else ""


def _place(tensor: TensorEntry) -> tuple[object, ...]:
    return (tensor.memory, tensor.address, tensor.words, tensor.shape, tensor.strides, tensor.onnx, tensor.role)


def _text(tensor: TensorEntry | None) -> str:
    if tensor is None:
        return "none"
    shape, strides = ("x".join(map(str, each)) for each in (tensor.shape, tensor.strides))
    name = f"{tensor.name!r}" + (f" ({tensor.onnx})" if tensor.onnx not in ("", tensor.name) else "")
    return f"{name} at word {tensor.address} of {tensor.memory}, {shape} by {strides}"

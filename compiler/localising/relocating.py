"""The code of a program compiled again as it is where tensors lie as in another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from backends.isa import Instruction, Isa
from backends.program import LayerEntry, Program, TensorEntry

_SAYING = ("base", "blocks")
"""Instructions that say where words off chip lie."""


def relocated(again: Program, program: Program, isa: Isa) -> Program:
    """A program with the addresses of another one that has tensors of the same names; itself if it has them.

    A layer that was cut out of a program finds its tensors where that had them, which the compiler lays anew.
    """
    here, there = ({each.name: each for each in one.tensors} for one in (program, again))
    moved = {
        name for name in here.keys() & there.keys() if here[name].address != there[name].address and here[name].words
    }
    if not moved:
        return again
    layers = {layer.name: layer for layer in again.layers}
    codes = [list(isa.decode(code)) for code in again.code]
    for entry in again.debug:
        touched = [there[name] for name in _touched(layers[entry.layer]) if name in moved]
        for place in range(entry.start, entry.end) if touched else ():
            codes[entry.core][place] = _moved(codes[entry.core][place], layers[entry.layer], touched, here, isa)
    return replace(again, code=tuple(isa.encode(code) for code in codes))


def _touched(layer: LayerEntry) -> Iterator[str]:
    yield from dict.fromkeys((*layer.inputs, *layer.outputs))


def _moved(
    instruction: Instruction, layer: LayerEntry, touched: list[TensorEntry], here: dict[str, TensorEntry], isa: Isa
) -> Instruction:
    """An instruction with the other address of the tensor that it is about."""
    mnemonic, *operands = isa.format(instruction).split()
    if mnemonic not in _SAYING:
        return instruction
    names = layer.outputs if "tensor=output," in operands else layer.inputs
    given = {each.name: getattr(instruction, each.name) for each in isa.specs[type(instruction)].fields}
    for tensor in touched:
        if tensor.name in names and tensor.address <= given["address"] < tensor.address + tensor.words:
            address = given["address"] - tensor.address + here[tensor.name].address
            return type(instruction)(**{**given, "address": address})
    return instruction

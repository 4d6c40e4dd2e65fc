"""Machines for tests of mappings: the Eyeriss chip, and smaller ones on which everything is split."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from dialects.array_machine import Machine
from dialects.machine_kinds import parse_machine

_TARGET = Path(__file__).parents[3] / "backends" / "eyeriss" / "target.toml"


def machine_like_eyeriss(**changes: Any) -> Machine:
    """The Eyeriss machine with some tables or values changed."""
    description = tomllib.loads(_TARGET.read_text())
    for key, value in changes.items():
        if isinstance(value, dict):
            description.setdefault(key, {}).update(value)
        else:
            description[key] = value
    return parse_machine(description)


EYERISS = machine_like_eyeriss()

TINY = machine_like_eyeriss(
    name="tiny",
    array={"rows": 4, "cols": 3},
    pe={"input_words": 4, "kernel_words": 12, "output_words": 3},
    glb={"banks": 6, "bank_words": 16},
    limits={"kernel_rows": 3},
)

FLAT = machine_like_eyeriss(
    name="flat",
    array={"rows": 1, "cols": 5},
    pe={"input_words": 7, "kernel_words": 7, "output_words": 2},
    glb={"banks": 5, "bank_words": 32},
    limits={"channels": 4, "filters": 2, "kernel_rows": 1, "kernel_cols": 4},
    links={"input_bus": 0.5, "kernel_bus": 1.5, "output_bus": 0.75},
)

ODD = machine_like_eyeriss(
    name="odd",
    array={"rows": 7, "cols": 2},
    pe={"input_words": 6, "kernel_words": 20, "output_words": 5},
    glb={"banks": 4, "bank_words": 40},
    limits={"kernel_rows": 4},
    energy={"dram": 31.5, "glb": 2.25, "array": 0.75, "spad": 0.5, "operation": 1.25},
    counting={
        "padding_in_buffer": False,
        "dram": ["dram.input.read", "dram.output.write"],
        "glb": ["glb.input.fill", "glb.input.read", "glb.output.read", "glb.output.write", "glb.output.drain"],
        "array": ["array.input.deliver", "array.kernel.deliver", "array.output.hop", "array.output.in"],
        "spad": ["spad.input.read", "spad.input.write", "spad.kernel.write", "spad.output.write"],
    },
)
"""Energies, charges and padding policy unlike those of Eyeriss."""

ROOMY = machine_like_eyeriss(
    name="roomy",
    array={"rows": 1024, "cols": 1024},
    pe={"input_words": 1 << 30, "kernel_words": 1 << 30, "output_words": 1 << 30},
    glb={"banks": 1 << 20, "bank_words": 1 << 20},
    limits={"channels": 1 << 30, "filters": 1 << 30, "kernel_rows": 1 << 30, "kernel_cols": 1 << 30},
)
"""A machine on which every mapping of sound structure is legal."""

MACHINES = {machine.name: machine for machine in (EYERISS, TINY, FLAT, ODD)}

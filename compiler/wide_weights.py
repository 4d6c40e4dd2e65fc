"""What is said of layers that vector units do, because no cells of crossbars hold their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp

from dialects.gconv.interpreter import main_function
from dialects.target import find_machine

if TYPE_CHECKING:
    from dialects.multicore_machine import MulticoreMachine


def wide_weights_note(module: ModuleOp) -> str:
    """A line about such layers of a placed module; empty if there are none."""
    machine = find_machine(module)
    if machine is None or not machine.runs_on_cores:
        return ""
    # other machines need nothing of cores
    from dialects.multicore_machine import MulticoreMachine
    from dialects.multicore_mapping import VectorAttr
    from passes.multicore.accesses import placed_layers

    assert isinstance(machine, MulticoreMachine)
    mappings = [layer.mapping for layer in placed_layers(main_function(module))]
    return describe_wide_weights(sum(isinstance(each, VectorAttr) and each.data.is_wide for each in mappings), machine)


def describe_wide_weights(layers: int, machine: MulticoreMachine) -> str:
    """A line about so many layers; empty if there are none."""
    if not layers:
        return ""
    low, high = machine.crossbar.weights.range
    which = "a layer has" if layers == 1 else f"{layers} layers have"
    return f"{which} weights that cells do not hold ({low} to {high}, however they are shifted): vector units multiply"

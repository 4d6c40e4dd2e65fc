"""What searches for mappings of a machine of levels make least."""

from __future__ import annotations

from dialects.nest_machine import NestMachine
from dialects.schedule import Objective


def objective_on(machine: NestMachine, objective: Objective | None = None) -> Objective:
    """What is asked for, or energy if nothing is.

    Where no access has a price all mappings take the same energy: then the fastest is looked for.
    """
    asked = objective or Objective.ENERGY
    is_priced = any(access.energy * times for access in machine.accesses for times in access.events.values())
    return Objective.LATENCY if asked is Objective.ENERGY and not is_priced else asked

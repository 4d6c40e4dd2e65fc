"""How many examples property tests take: a tenth, unless `CATENA_EXAMPLES=all` asks for all of them.

Examples do not change from run to run, so that those that are left out here say nothing new most of the time; `python3
tasks.py exhaustive` takes all of them.
"""

from __future__ import annotations

import os

VARIABLE = "CATENA_EXAMPLES"
SHARE = 10


def examples(count: int) -> int:
    """The number of examples to take of so many."""
    return count if os.environ.get(VARIABLE) == "all" else -(-count // SHARE)

"""The page of `rram_ladder`: what was measured of two simulators, what our crossbar gives, and what is not known.

A module of `benchmarks/rram_ladder.py`, no command of its own.
"""

from __future__ import annotations

import numpy as np
from rram_ladder import COVERED, MAGNITUDE, PEERS, SIZE, TOLERANCE, VECTORS, Peer, data, error, output_range

from compiler.tables import number, table

NOTICE = "<!-- Made by `python benchmarks/rram_ladder.py --output docs/rram-ladder.md`; do not edit. -->\n"
SEEDS = 20
"""Other matrices and inputs that the spread is of."""

_INTRODUCTION = f"""\
A converter that tells too few currents apart rounds every partial sum of a product. Two simulators of crossbars were
run with a {SIZE} x {SIZE} matrix of 8-bit integers, at several resolutions; here `backends/rram/crossbar` has their
encodings, range rules and cells. With ideal converters it gives exactly the integer product, for either.

Matrix and inputs are the same for both: uniform integers from -{MAGNITUDE} to {MAGNITUDE}, {VECTORS} input vectors,
`numpy.random.default_rng(SEED)`. An error is the root mean square over all {VECTORS} x {SIZE} products, in percent of
the output range: the magnitude that {COVERED:.1%} of the exact products do not exceed. What inputs the simulators were
given, and what their errors are shares of, is not recorded with their figures, and ratios depend on it: {COVERED:.1%}
of such products are within 3.3 standard deviations, but the largest of {SIZE} is at 2.8 on average, that of 2048 at
3.4. With the former as the range, all ratios would be a sixth higher. The last column has our errors in percent of that
standard deviation, which depends on no such choice.
"""

_RULES = """\
- **analog-cim-sim** (Pelke et al.), mapping `I_TC_W_DIFF`, `SPLIT` 1, 3, 4, HRS / LRS 5 / 30: inputs bit by bit in
  two's complement, magnitudes of weights in slices of 1, 3 and 4 bits, positive and negative ones in columns of their
  own, subtracted in front of the converter. Range rule `MAX`: plus or minus rows times (LRS - HRS), symmetric codes.
- **CrossSim** (Sandia), balanced core, one-sided: a weight is the difference of two analog cells, one of which is at
  its lowest conductance; inputs bit by bit in sign and magnitude, 7 pulses of either sign; a conversion for each pulse.
  Range rule `MAX`: plus or minus rows times the highest conductance. Cells from 1 to 10 kOhm, its defaults; the error
  of programming is proportional to the conductance.
"""


def page(seed: int) -> str:
    """The whole page."""
    parts = [NOTICE, "# Resolution of converters: the errors of two simulators\n", _INTRODUCTION]
    parts += ["## Rules\n", _RULES, "## Errors\n", *(_ladder(peer, seed) for peer in PEERS), _spread()]
    return "\n".join(parts)


def _ladder(peer: Peer, seed: int) -> str:
    weights, inputs = data(seed)
    exact = inputs @ weights
    in_deviations = output_range(exact) / float(exact.std())
    rows = [
        (
            rung.name,
            f"{rung.measured:.3g}",
            f"{found:.3g}",
            f"{found / rung.measured:.2f}",
            f"{found * in_deviations:.3g}",
        )
        for rung in peer.rungs
        for found in (error(peer, rung, seed),)
    ]
    titles = ("measured (%)", "ours (%)", "ours / measured", "ours (% of a standard deviation)")
    return f"### {peer.name}\n\n{table(['converters', *map(number, titles)], rows).markdown()}\n"


def _spread() -> str:
    """How much the choice of matrix and inputs matters."""
    rows = []
    for peer in PEERS:
        for rung in peer.rungs:
            ratios = [error(peer, rung, seed) / rung.measured for seed in range(SEEDS)]
            inside = sum(1 / TOLERANCE <= ratio <= TOLERANCE for ratio in ratios)
            rows.append(
                (peer.name, rung.name, f"{min(ratios):.2f}", f"{np.median(ratios):.2f}", f"{max(ratios):.2f}", inside)
            )
    columns = [number(title) for title in ("least", "median", "most", f"within a factor {TOLERANCE}")]
    shown = table(["simulator", "converters", *columns], rows).markdown()
    return f"## Other matrices and inputs\n\nOurs / measured for seeds 0 to {SEEDS - 1}:\n\n{shown}\n"


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/rram_ladder.py: run that one")

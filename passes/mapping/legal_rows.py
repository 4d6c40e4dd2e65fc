"""Which row-stationary candidates a machine takes, and how many filters these may have in the buffer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dialects.array_machine import Machine
from dialects.gconv import PASS
from passes.mapping.column_costs import ColumnCosts
from passes.mapping.columns import Column, Columns

Flags = npt.NDArray[np.bool_]


def fits_elements(costs: ColumnCosts, c: Columns) -> Flags:
    """Where scratchpads, limits and array have room for what a pass has of each loop: all but the buffer."""
    machine, counts, is_pass = costs.machine, costs.counts, costs.spec.main == PASS
    pe, limits = machine.pe, machine.limits
    channels = np.minimum(c.q * c.r, counts["channels"])
    fits = (c.p <= pe.output_words) & (channels <= limits.channels) & _fits_array(c, machine)
    fits = fits & (c.kernel_rows <= min(limits.kernel_rows, limits.channels))
    fits = fits & (c.kernel_cols <= min(limits.kernel_cols, limits.channels))
    if not is_pass:
        # Elements of full rows are taken, also where the last row is not full.
        cols = machine.array.cols
        fits = fits & (np.where(c.e > cols, -(-c.e // cols) * cols, c.e) <= limits.kernel_copies)
        fits = fits & (c.p * c.q * c.groups * c.kernel_cols <= pe.kernel_words)
    return np.broadcast_to(fits & (costs.input_scratchpad(c) <= pe.input_words), c.shape)


def _fits_array(c: Columns, machine: Machine) -> Flags:
    """Where the sets of a pass fit the array, as `fold` lays them."""
    rows, cols = machine.array.rows, machine.array.cols
    across = np.minimum(c.e, cols)
    segments = -(-c.e // across)
    beside = np.where(segments == 1, cols // across, 1)
    stacked = np.minimum(rows // (c.kernel_rows * c.r), machine.limits.chains_per_column) // segments
    filters = np.minimum(c.t, beside)
    groups = np.maximum(np.minimum(c.group_sets, beside // filters), 1)
    return -(-c.t // filters) * -(-c.group_sets // groups) <= stacked


def most_filters(costs: ColumnCosts, c: Columns) -> Column:
    """The largest number of filters in the buffer, whole passes or not; 0 where not a single one fits."""
    machine, filters = costs.machine, costs.counts["filters"]
    inputs, outputs = costs.buffer_words(c)
    words = (machine.glb.banks - -(-inputs // machine.glb.bank_words)) * machine.glb.bank_words
    most = np.minimum(np.maximum(words, 0) // outputs, filters)
    limit = machine.limits.filters
    return np.where(c.p * c.t > limit, np.minimum(most, limit), most)

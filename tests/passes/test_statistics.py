"""chain_statistics: the figures of a small chain, counted by hand."""

from __future__ import annotations

import numpy as np

from dialects.gconv import Dim, GConv, Reduce, Step, View
from passes.statistics import ChainStatistics, chain_statistics
from tests.passes.chains import ChainBuilder


def test_counts_links_trips_and_words() -> None:
    builder = ChainBuilder((1, 4, 5))
    conv = GConv((Dim("N"), Dim("C", op=3, ks=4), Dim("W", opc=5, ks=3, pad=1)), "mul", Reduce.ADD)
    kernel = builder.constant(np.ones((1, 12, 3)))
    made = builder.link(conv, builder.values[0], kernel)
    repeated = builder.view(builder.constant(np.ones(3)), View((1, 3, 5), (0, 1, 0)))
    scale = GConv((Dim("N"), Dim("C", g=3), Dim("W", g=5)), "mul", post=(Step("relu"),))
    module = builder.module([builder.link(scale, made, repeated)])
    assert chain_statistics(module) == ChainStatistics(
        links=2,
        mac_links=1,
        mac_trips=3 * 4 * 5 * 3,
        other_trips=15,
        words_read=20 + 36 + 15 + 3,
        words_written=15 + 15,
        mac_words=20 + 36 + 15,
    )
    assert chain_statistics(module).words == 104
    assert chain_statistics(module).other_words == 33

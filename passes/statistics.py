"""Figures of a gconv chain: links, loop trips and words, before any mapping."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from dialects.gconv import LinkOp
from passes.chain_views import compacted, source_of


@dataclass(frozen=True)
class ChainStatistics:
    """Totals over a module's links.

    `words_read` counts every operand of every link once (elements a view repeats count once), `words_written` every
    result: the traffic of a chain whose links keep nothing on the chip between them. MAC links multiply and add.
    """

    links: int
    mac_links: int
    mac_trips: int
    other_trips: int
    words_read: int
    words_written: int
    mac_words: int

    @property
    def words(self) -> int:
        """Words read and written."""
        return self.words_read + self.words_written

    @property
    def other_words(self) -> int:
        """Words read and written by links that are no multiply-accumulations."""
        return self.words - self.mac_words


def chain_statistics(module: ModuleOp) -> ChainStatistics:
    """The totals of all links of a module."""
    links = [op for op in module.walk() if isinstance(op, LinkOp)]
    macs = [link for link in links if link.spec.is_multiply_accumulate]
    others = [link for link in links if not link.spec.is_multiply_accumulate]
    return ChainStatistics(
        links=len(links),
        mac_links=len(macs),
        mac_trips=sum(link.spec.trips for link in macs),
        other_trips=sum(link.spec.trips for link in others),
        words_read=sum(_words_read(link) for link in links),
        words_written=sum(_words_written(link) for link in links),
        mac_words=sum(_words_read(link) + _words_written(link) for link in macs),
    )


def _words_written(link: LinkOp) -> int:
    return math.prod(link.spec.output_shape)


def _words_read(link: LinkOp) -> int:
    return sum(_distinct_words(operand) for operand in link.operands)


def _distinct_words(value: SSAValue) -> int:
    return math.prod(compacted(source_of(value).view).shape)

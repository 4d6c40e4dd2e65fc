"""Random groups of links of random chains."""

from __future__ import annotations

from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from dialects.gconv import IndexedOp, LinkOp
from passes.chain_views import source_of
from passes.rewriting import chain_blocks, erase_all_dead
from tests.passes.chains import links_of


def random_links(data: st.DataObject, module: ModuleOp) -> list[LinkOp]:
    """A link of a chain and some of those before it that it depends on, most often without gaps; in any order."""
    for block in chain_blocks(module, "test"):
        erase_all_dead(block)
    links = links_of(module)
    if data.draw(st.integers(0, 9)) < 9:
        links = [link for link in links if not isinstance(link.input.owner, IndexedOp)]
    wanted = [links[-1 - data.draw(st.integers(0, len(links) - 1))]] if links else []
    found: list[LinkOp] = []
    while wanted:
        link = wanted.pop()
        found.append(link)
        for value in link.operands:
            maker = source_of(value).base.owner
            if (
                isinstance(maker, LinkOp)
                and maker in links
                and maker not in (*found, *wanted)
                and data.draw(st.integers(0, 4)) < 4
            ):
                wanted.append(maker)
    return found[::-1] if data.draw(st.booleans()) else found

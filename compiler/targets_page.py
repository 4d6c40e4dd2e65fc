"""The reference page of targets: their keys, what their words, events and cycles are, and what a search looks for."""

from __future__ import annotations

import inspect
import json

from compiler.descriptions.schema import key_tables, target_schema
from compiler.listings import target_table
from compiler.tables import table
from dialects import widths
from dialects.events import HELD_EVENTS, HIERARCHY_EVENTS, NEST_EVENTS
from passes.mapper.effort import USUAL
from passes.mapping.legal_space import FEW

INTRODUCTION = (
    "A target is a machine that a TOML file describes. `catena compile -t NAME` takes one that comes with Catena or "
    "with an installed backend, `-t FILE.toml` any other. A file that gives `levels` is a whole machine, for which no "
    "code is needed: memories and array axes, one inside the other in the order in which they are written, the "
    "outermost first. A file that starts with `extends` gives only what differs."
)
_EVENTS = (
    "What memories of a description by levels count, as `MEMORY.EVENT`, and the outermost one besides. To price what a "
    "machine never counts is an error; 0 takes back what the description it changes says of an event."
)

_WORDS = """\
An access of a table `accesses.NAME` is one word of the memory, as wide as that says: with `word_bits = 64` at a
memory of a machine with `word_bits = 16`, `energy` is that of four elements. Events and occupancies count elements
all the same, the accesses of a report words of the memory. So does `reserve` count elements, as its parameters do.
Sums that hop to neighbours (`output.hop`) are no words of a memory."""

_TIME = """\
The cycles of a layer on a machine that is described by its levels are

    max(S, moved(M) for every overlapped memory M)
        + sum of ramp(M) for every overlapped memory M
        + sum of moved(M) for every other memory M with `read` or `write`

rounded up, and those of the host core, if it works on the layer, on top.

- **Steps**: S is the number of steps until the slowest element is done. In a step, a cycle, every element in use
  makes one operation (a MAC, say); where a loop is not cut evenly, the others wait for the element with the largest
  tiles.
- **Overlapped** are the outermost memory and those with `buffers = 2`, which move words while the array works on
  others: the slowest of all these memories and of the array says how long it takes. What a memory with `buffers = 1`
  moves comes after that, memory by memory: nobody works meanwhile. A memory with neither `read` nor `write` takes no
  time.
- **Ports**: a memory reads and writes at the same time, `moved(M) = max(out(M) / read, in(M) / write)`, where a port
  without a limit takes no time. Out go `input.read + kernel.read + output.update`, in come `input.fill + kernel.fill
  + output.update`, in the events of M below: a sum that arrives is written, and read once more, to be added to or to
  leave. In the outermost memory the last one stays: out go `input.read + kernel.read + extra.read + output.add`, in
  comes `output.update`. Biases and residuals (`extra.read`) are read for every tile of finished results that needs
  them: searches count these words, in traffic, in the time of the memory, and in energy where the description prices
  `extra.read`. Words of indices take no time, and searches do not count them.
- **Copies**: of a memory inside axes there are many, which all move words at the same time, and events count the
  words of all. `moved(M)` is then multiplied by the share of the copy with the most to do, `min(1, S * E /
  operations)`, where E is the number of elements in use inside one copy (the product over the axes further in than M)
  and `operations` are those of the layer. If all copies have as much to do this is 1 / copies.
- **Ramp**: before the first step the first tiles have to come, after the last one the last results have to leave. For
  an overlapped memory other than the outermost, `ramp(M)` is the words of the largest tiles of inputs and kernels in
  M, counted once, over `write`, and of outputs over `read`; in one copy.

A word that is multicast is read once and fills many copies; one that goes past a memory is none of its events. Rates
are averages over a layer: no memory runs full or empty in between.

`multicast` and `reduces` say what an axis can do, for any mapping, not what a nest makes of it. Of a `dataflow` whose
nest never lays a loop along the axis that would make use of them, they change nothing, and are no error: mapping files
may lay other loops, and targets that extend the description may have other nests."""

_ROW_STATIONARY = """\
On a machine of rows and columns the mappings are row-stationary: each loop has a part, and sizes say what elements, the
array and the buffer take of it. Where there are at most {few:,} combinations of sizes, those that do not fit among
them, all are searched, and what is said to be `optimal` is the best of all row-stationary mappings (`row_stationary`).
Where there are more, it is at least as good as all of a smaller space (`even_row_stationary`): tiles that are even
shares of their loops, sets that fill the array or an even share of it, and as many filters in the buffer as fit.
From its best mapping the search goes on to better ones that differ in the sizes of one part or two, until there is
none; such steps may end at one that is not the best of all."""

_SEARCH = """\
Without a table `dataflow`, mappings are searched among these: operands lie in the memories that take them or, where
`bypass` lets them, pass by; they get their places in any order in which each goes from the outside in, also in several
memories without an axis in between, with loops cut between them; any loops are laid along any axis that takes them,
each once, along axes without a memory in between in any order; every tile is a whole number of those inside it, and
only the last one of a loop is smaller. With a `dataflow`, it is the mappings that its nest has for any values of its
parameters, each from 1 to the size of the largest loop that it helps to cut, whatever is reserved with more. What is
said to be `optimal` is that among these. Mappings with tiles that do not nest, such as tiles of 4 in tiles of 6, are
not searched, though a mapping file may give them; one of them may be better.

An operand that a memory takes goes past it only if `bypass` has it or, on a machine with a `dataflow`, if the nest does
not store it there: this holds for mapping files, too.

The search among all mappings ends after {effort:,} parts of mappings for each layer, which does not depend on how
fast a computer is (`USUAL` in `passes/mapper/effort.py`), unless `--time-limit SECONDS` says how long it may take. If
something is left then, the gap says how much: with `gap 0.021`, no mapping of the space is more than 2.1 % better
than the one found (a gap of 1 says nothing). The more memories lie inside one another, and the more axes there are, the
more is left: with five memories gaps of 5 to 40 % are usual even for small layers, with three memories and three axes
they may be larger still. Often what was found is then within a few percent of the best all the same, for it is the
bound that takes time; but where neighbouring memories share an operand, it was seen twice as dear as the best.
`--time-limit` narrows gaps. A search in a dataflow has no such limit but `--time-limit`, which it looks at
between some hundred candidates and the next.

Where `output.add` of a memory costs more than `output.update` and `output.add` of one further out together, the search
of all mappings also lets sums leave early, but bounds what it finds by prices on which that never pays: such mappings
may have a gap though they are the best.

Where no access has a price all mappings take the same energy: then the fastest is searched."""


def targets_page() -> str:
    """The page, without the notice that it is generated."""
    parts = ["# Targets\n", f"{INTRODUCTION}\n", target_table().markdown() + "\n"]
    for heading, content in key_tables().items():
        parts += [f"## {heading}\n", content.markdown() + "\n"]
    parts += ["## Words\n", inspect.cleandoc(widths.__doc__ or "") + "\n", f"{_WORDS}\n"]
    parts += [
        "## Time\n",
        f"{_TIME}\n",
        "## Searches\n",
        _ROW_STATIONARY.format(few=FEW) + "\n",
        _SEARCH.format(effort=USUAL) + "\n",
    ]
    events = {**HIERARCHY_EVENTS, **HELD_EVENTS, **NEST_EVENTS}
    rows = ((f"`{name}`", text) for name, text in events.items())
    parts += ["## Events\n", f"{_EVENTS}\n", table(("event", "meaning"), rows).markdown() + "\n"]
    parts += ["## JSON schema\n", "As `catena targets --schema` prints it:\n"]
    parts.append(f"```json\n{json.dumps(target_schema(), indent=1)}\n```\n")
    return "\n".join(parts)

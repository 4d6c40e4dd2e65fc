"""What depends on the data: words of compressed feature maps on the off-chip link, operations that are gated.

The shares of zeros are given (`#gconv.zeros`); where nothing is known, no zeros are assumed and the counts are the
largest possible ones, exactly those of data without zeros. Zeros are taken to lie anywhere with the same probability.
Under that assumption counts are expectations, rounded; in trained networks zeros lie together, and an emulator counts
what the actual data take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dialects.array_machine import Machine
from dialects.encodings.run_length import RunLengthCode
from dialects.events import COMPRESSED
from dialects.gconv import PASS, GConv, LoopKind, View, Zeros
from dialects.schedule import Mapping, Operand
from passes.mapping.bursts import Axis, Transfers, operand_transfers
from passes.mapping.tiling import Pieces, Tiling, real_positions, span


@dataclass(frozen=True)
class Sparsity:
    """What the search takes from the data: words on the link for each of input and output, share of gated operations.

    `extras` has an entry for every post operand, or none where these go as they are. The ends of transfers, and padding
    in what is gated, are left out of account.
    """

    input: float = 1.0
    output: float = 1.0
    gated: float = 0.0
    extras: tuple[float, ...] = ()


def sparsity(machine: Machine, zeros: Zeros, input_is_compressed: bool, extras: Sequence[bool] = ()) -> Sparsity:
    """What zeros save on a machine; `extras` says which post operands are compressed: as if they had none."""
    gated = 0.0 if machine.energy.gating is None else zeros.input
    if machine.dram.compression is None:
        return Sparsity(gated=gated)
    code = machine.dram.compression.code(machine.word_bits)
    read, written, other = (
        code.link_bits / (code.word_bits * code.pairs_per_word * _covered(code, share))
        for share in (zeros.input, zeros.output, 0.0)
    )
    after = tuple(other if is_compressed else 1.0 for is_compressed in extras)
    return Sparsity(read if input_is_compressed else 1.0, written, gated, after)


def _covered(code: RunLengthCode, zeros: float) -> float:
    """Words that a pair stands for on average."""
    return sum(zeros**n for n in range(code.longest_run + 1))


def data_events(
    spec: GConv,
    views: Sequence[View],
    mapping: Mapping,
    machine: Machine,
    compressed: Sequence[bool],
    zeros: Zeros,
) -> dict[str, int]:
    """The events of a link that depend on its data; none on machines that neither compress nor gate.

    `views` and `compressed` have an entry for every tensor: input, kernel if there is one, post operands, output.
    """
    compression, gates = machine.dram.compression, machine.energy.gating is not None and spec.main != PASS
    if compression is None and not gates:
        return {}
    found: dict[str, int] = {}
    moved = operand_transfers(spec, views, mapping)
    existing = _raw(moved[0])
    if machine.counting.padding_in_dram:
        moved[0] = _padded(moved[0], spec, mapping)
    if gates:
        others = min(1.0, (1 - zeros.input) * _raw(moved[0]) / existing) if existing else 0.0
        found["operation.gated"] = _gated(spec, views[0].shape, others)
    if compression is None:
        return found
    code = compression.code(machine.word_bits)
    first_extra = 1 if spec.main == PASS else 2
    words = [
        _words(each, code, share) if is_compressed else _raw(each)
        for each, is_compressed, share in zip(
            moved, compressed, [zeros.input, *[0.0] * (len(moved) - 2), zeros.output], strict=True
        )
    ]
    found[COMPRESSED["dram.input.read"]] = words[0]
    found[COMPRESSED["dram.extra.read"]] = sum(words[first_extra:-1])
    found[COMPRESSED["dram.output.write"]] = words[-1]
    return found


def _gated(spec: GConv, input_shape: Sequence[int], others: float) -> int:
    """Operations on an input of zero: on padding, and on words of which a share of `others` is not zero."""
    existing = 1
    for dim, extent in zip(spec.dims, input_shape, strict=True):
        outputs, taps = ([(index, 1) for index in range(count)] for count in (dim.opc, dim.ks))
        existing *= dim.g * dim.op * real_positions(dim, extent // dim.g, outputs, taps)
    padding = spec.trips - existing if spec.padding == 0 else 0
    return padding + round(existing * (1 - others))


def _padded(tiles: Transfers, spec: GConv, mapping: Mapping) -> Transfers:
    """The transfers of an input with the padding around it: whole spans of positions."""
    position = mapping.position(Operand.INPUT)
    assert position is not None, "mapping without storage of I"
    depth = Tiling(spec, mapping).at(position)
    axes: list[Axis] = []
    for index, dim in enumerate(spec.dims):
        outputs, kernels = depth.of(dim, LoopKind.OPC), depth.of(dim, LoopKind.KS)
        sizes: Counter[int] = Counter()
        for a, n in outputs.items():
            for b, m in kernels.items():
                sizes[span(a, b, dim)] += n * m
        axes += [Axis(index, 0, depth.of(dim, LoopKind.G)), Axis(index, 1, dict(sizes))]
    return Transfers(tuple(axes), tiles.times)


def _sizes(tiles: Transfers) -> Pieces:
    """How many transfers there are of every number of words."""
    sizes: Counter[int] = Counter({1: tiles.times})
    for axis in tiles.axes:
        product: Counter[int] = Counter()
        for words, count in sizes.items():
            for size, times in axis.pieces.items():
                product[words * size] += count * times
        sizes = product
    return sizes


def _raw(tiles: Transfers) -> int:
    return sum(words * count for words, count in _sizes(tiles).items())


def _words(tiles: Transfers, code: RunLengthCode, zeros: float) -> int:
    """Words of the machine that all transfers take on the link, each a stream of its own."""
    link = sum(count * expected_link_words(words, code, zeros) for words, count in _sizes(tiles).items() if words)
    return round(link * code.link_bits / code.word_bits)


def expected_link_words(words: int, code: RunLengthCode, zeros: float) -> float:
    """Words of the link that a stream takes in which words are zero with some probability, independently.

    A pair covers 1 + z + z^2 + ... words on average, as far as a run can go; the number of pairs is that of renewals in
    a discrete renewal process (Feller, vol. 1, ch. XIII), and what is left over at the end takes another pair. Pairs
    fill the last word of the link as often to each extent. Without zeros, and without anything else, all is exact.
    """
    longest = code.longest_run + 1
    if zeros in (0, 1):
        return -(-(words if zeros == 0 else -(-words // longest)) // code.pairs_per_word)
    mean = _covered(code, zeros)
    square = sum((2 * n + 1) * zeros**n for n in range(longest))
    pairs = (words - 1) / mean + (square + mean) / (2 * mean**2)
    return max(1.0, pairs / code.pairs_per_word + (code.pairs_per_word - 1) / (2 * code.pairs_per_word))

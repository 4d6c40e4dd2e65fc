"""Pass `measure-skips`: what zeros leave of the matrix products of mapped links, measured on samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.gconv import LinkOp, shape_of
from dialects.gconv.interpreter import Interpreter, main_function
from dialects.gconv.scalar import Array, apply
from dialects.gemm_live import Live, LiveAttr, mean_of
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr
from dialects.target import require_gemm_machine
from passes.gemm.streams import TileBlocks, blocks_of_tiles, kernel_boxes, kernel_streams
from passes.gemm.tiles import GemmTiles
from passes.gemm.zeros import leaves_out, measure
from passes.measure_zeros import read_samples
from passes.placing import links_of


@dataclass(frozen=True)
class MeasureSkipsPass(ModulePass):
    """Note on every mapped link what the machine works on if its input has the zeros that it has on samples.

    Indices of a reduction are left out where all patches have zeros that arrays take at a time: that depends on the
    mapping, so that shares of zeros do not tell. `file` is one of samples as `measure-zeros` reads it; the chain is
    interpreted on them, and of several the mean is noted. Links in groups are left as they are.

    Raises `CatenaError` as `measure-zeros`, and CAT-R003 on a machine of another kind.
    """

    name = "measure-skips"

    file: str

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Set `live` of the links of @main that have a mapping to matrix products."""
        machine = require_gemm_machine(op, "mapped")
        samples = read_samples(Path(self.file), main_function(op))
        mapped = [link for link in links_of(op) if isinstance(link.mapping, GemmAttr)]
        measuring = _Measuring(op, [link for link in mapped if leaves_out(link.spec, machine)], machine)
        for sample in samples:
            measuring.run(sample)
        for link, found in measuring.found.items():
            link.properties["live"] = LiveAttr(mean_of(found))


class _Measuring(Interpreter):
    """Runs a chain and measures on every link's input what is left of it."""

    def __init__(self, module: ModuleOp, links: Sequence[LinkOp], machine: GemmMachine):
        super().__init__(module)
        self._machine = machine
        self._tiles: dict[LinkOp, tuple[GemmTiles, list[TileBlocks] | None]] = {}
        self.found: dict[LinkOp, list[Live]] = {link: [] for link in links}
        streams = kernel_streams(links, machine)
        for link in links:
            assert isinstance(link.mapping, GemmAttr)
            tiles, stream = GemmTiles(link.spec, link.mapping.data, shape_of(link.input)), streams.get(link)
            blocks = None if stream is None else blocks_of_tiles(stream.bitmaps, kernel_boxes(tiles), stream.height)
            self._tiles[link] = tiles, blocks

    def _execute(self, op: Operation, values: dict[SSAValue, Array]) -> None:
        super()._execute(op, values)
        if isinstance(op, LinkOp) and op in self.found:
            words = values[op.input]
            for step in op.spec.pre:
                words = apply(step.function, words, parameters=step.parameters)
            tiles, blocks = self._tiles[op]
            self.found[op].append(measure(tiles, self._machine, words, blocks))

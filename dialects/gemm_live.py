"""What zeros leave of a link's matrix products under its mapping, as IR.

#schedule.live<cycles 96, columns 2048, kernels 512, operations 8192, gated 128, samples 1>
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

from xdsl.ir import Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException


@dataclass(frozen=True)
class Live:
    """What is left: cycles of the array, patch words and kernel words that enter it, operations.

    `operations` are those that are not left out, `gated` the ones among them in blocks that kernels do not keep. All
    are means over so many samples; 0 samples stand for what was not measured on any.
    """

    cycles: int
    columns: int
    kernels: int
    operations: int
    gated: int
    samples: int = 0


def mean_of(measured: list[Live]) -> Live:
    """The mean of what was measured on several samples, in whole numbers."""
    sums = [sum(column) for column in zip(*(astuple(each)[:-1] for each in measured), strict=True)]
    return Live(*(round(each / len(measured)) for each in sums), samples=len(measured))


@irdl_attr_definition
class LiveAttr(Data[Live]):
    """What is left of a link; only predictions and reports use it."""

    name = "schedule.live"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Live:
        found: list[int] = []
        with parser.in_angle_brackets():
            for field in fields(Live):
                if found:
                    parser.parse_punctuation(",")
                parser.parse_keyword(field.name)
                found.append(parser.parse_integer(allow_boolean=False, allow_negative=False))
        return Live(*found)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(f"{each.name} {getattr(self.data, each.name)}" for each in fields(Live)))

    def verify(self) -> None:
        if self.data.gated > self.data.operations:
            raise VerifyException("no more operations are gated than there are")

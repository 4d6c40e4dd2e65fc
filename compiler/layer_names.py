"""Names of layers as tables and pages show them: by the nodes that tell a layer apart, not those that quantize."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CHANGES_NUMBERS = re.compile("(Quantize|Dequantize)Linear")
"""In names of nodes that only change the numbers; every layer of a quantized network has several."""
_BETWEEN = " + "


def told(text: str, nodes: Sequence[str]) -> str:
    """A text that names a layer by its ONNX nodes, without those that only change the numbers if there are others."""
    kept = [name for name in nodes if not _CHANGES_NUMBERS.search(name)]
    return text.replace(_BETWEEN.join(nodes), _BETWEEN.join(kept), 1) if kept else text

"""Chains with a host segment for tests, as text."""

from __future__ import annotations

import numpy as np

from dialects.weights import Blob

DIGEST = Blob(np.frombuffer(b"model", np.uint8)).digest
SEGMENT = f'host.segment 0 holds <"{DIGEST}"> reads ["a"] makes ["b"] loc("host node")'


def chain_text(*steps: str) -> str:
    """A chain of links that copy: each step is `RESULT OPERAND`, or `segment`, which makes %b of %a."""
    body = "\n".join(SEGMENT if step == "segment" else _link(*step.split()) for step in steps)
    return f"""
        func.func @main(%x: tensor<4xf32> {{onnx.name = "x"}}, %b: tensor<4xf32> {{onnx.name = "b", onnx.host}})
            -> (tensor<4xf32> {{onnx.name = "y"}}, tensor<4xf32> {{onnx.name = "a", onnx.host}}) {{
          {body}
          func.return %y, %a : tensor<4xf32>, tensor<4xf32>
        }}
    """


def _link(result: str, operand: str) -> str:
    kind = "tensor<4xf32>"
    return f'%{result} = gconv.link %{operand} : {kind} <C opc 4> "pass" none -> {kind} loc("{result} node")'

"""The post steps of a link and the tensors they read, collected one after another."""

from __future__ import annotations

from dataclasses import dataclass

from dialects.gconv import Step
from passes.lower_onnx.tensor import Tensor


@dataclass(frozen=True)
class Post:
    """Steps after a reduction; a step with an operand reads one of `extras`."""

    steps: tuple[Step, ...] = ()
    extras: tuple[Tensor, ...] = ()

    def then(self, *steps: Step) -> Post:
        """With functions of one operand at the end."""
        return Post((*self.steps, *steps), self.extras)

    def combined(self, function: str, operand: Tensor | None) -> Post:
        """With a function of the value and `operand` at the end; the same if there is no operand."""
        if operand is None:
            return self
        return Post((*self.steps, Step(function, operand=len(self.extras))), (*self.extras, operand))

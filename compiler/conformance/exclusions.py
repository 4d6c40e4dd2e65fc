"""What of ONNX's conformance suite does not count, and why. Whatever else is refused counts as failed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STRINGS = "strings"
SEQUENCES = "sequences"
RANDOM = "random"
TRAINING = "training"

REASONS: Mapping[str, str] = MappingProxyType(
    {
        STRINGS: "tensors of strings, which no accelerator computes on",
        SEQUENCES: "sequences, optionals and maps of tensors; a chain has tensors only",
        RANDOM: "random results; the machines have no source of random numbers",
        TRAINING: "operators of training, and others in training mode; chains are for inference",
    }
)
"""What each reason says."""

OPERATORS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"), STRINGS),
        **dict.fromkeys(
            (
                "ConcatFromSequence",
                "Optional",
                "OptionalGetElement",
                "OptionalHasElement",
                "SequenceAt",
                "SequenceConstruct",
                "SequenceEmpty",
                "SequenceErase",
                "SequenceInsert",
                "SequenceLength",
                "SequenceMap",
                "SplitToSequence",
            ),
            SEQUENCES,
        ),
        **dict.fromkeys(
            ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
            RANDOM,
        ),
        **dict.fromkeys(("Adagrad", "Adam", "Gradient", "Momentum"), TRAINING),
    }
)
"""Operators of which no case counts."""

TYPES: Mapping[str, str] = MappingProxyType(
    {"sequence_type": SEQUENCES, "optional_type": SEQUENCES, "map_type": SEQUENCES, "string": STRINGS}
)
"""Types of inputs and outputs with which no case counts."""

"""Diagnostics: declared codes, exit codes, text and JSON."""

from __future__ import annotations

import pytest

from dialects.diagnostics import CODES, CatenaError, Diagnostic, ExitCode, did_you_mean

FULL = Diagnostic("CAT-F002", "too large", "mapped", "conv1", "m.mlir:3:1", "at most 3", "4", "use less")


def test_codes_are_declared_once_with_a_meaning() -> None:
    assert all(code.id == key and code.meaning for key, code in CODES.items())
    assert len({code.meaning for code in CODES.values()}) == len(CODES)
    assert {code.exit_code for code in CODES.values()} <= set(ExitCode)
    families = {"I": 1, "C": 2, "M": 2, "U": 3, "R": 2, "F": 4, "P": 2, "A": 2, "E": 5}
    for code in CODES.values():
        family = code.id.removeprefix("CAT-")[0]
        assert code.exit_code == families.get(family, code.exit_code), code


def test_an_undeclared_code_is_a_bug() -> None:
    with pytest.raises(KeyError, match="CAT-X999"):
        Diagnostic("CAT-X999", "?")


def test_a_diagnostic_as_text_and_as_data() -> None:
    assert str(FULL).splitlines() == [
        "error[CAT-F002] (mapped, m.mlir:3:1, node 'conv1'): too large",
        "  expected: at most 3",
        "  found:    4",
        "  hint:     use less",
    ]
    assert str(Diagnostic("CAT-I001", "oops")) == "error[CAT-I001]: oops"
    assert Diagnostic("CAT-I001", "oops").to_json() == {"code": "CAT-I001", "message": "oops"}
    assert FULL.to_json()["node"] == "conv1"
    assert len(FULL.to_json()) == 8


@pytest.mark.parametrize("unseen", ["\x1b", "\x9b", "\u200b", "\u200f", "\u202e", "\u2066", "\ufeff", "\u2028"])
def test_what_cannot_be_seen_is_escaped(unseen: str) -> None:
    text = str(Diagnostic("CAT-C003", f"a{unseen}b", found="é 猫 \U0001f408"))
    assert text == f"error[CAT-C003]: a{repr(unseen)[1:-1]}b\n  found:    é 猫 \U0001f408"


def test_an_error_holds_all_diagnostics() -> None:
    error = CatenaError(iter([FULL, Diagnostic("CAT-I001", "oops")]))
    assert [each.code for each in error.diagnostics] == ["CAT-F002", "CAT-I001"]
    assert error.exit_code is ExitCode.DOES_NOT_FIT
    assert str(error).count("error[") == 2
    assert CatenaError(FULL).diagnostics == (FULL,)
    with pytest.raises(ValueError, match="at least one"):
        CatenaError([])


def test_hints_offer_what_is_alike_or_the_few_there_are() -> None:
    assert did_you_mean("bank", ["banks", "words"]) == "did you mean banks?"
    assert did_you_mean("xyz", ["banks", "words", "banks"]) == "known: banks, words"
    assert did_you_mean("xyz", []) == ""
    assert did_you_mean("xyz", [f"name{i}" for i in range(13)]) == ""

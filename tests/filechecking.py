"""Textual tests of passes: IR in, passes, FileCheck directives on the IR that comes out.

The IR is verified, printed and parsed back before it is checked, so that every such test is a round trip as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

import numpy as np
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser as CheckParser
from filecheck.parser import pattern_for_opts
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.cf import Cf
from xdsl.dialects.func import Func
from xdsl.passes import ModulePass, PassPipeline
from xdsl.printer import Printer

from dialects.registry import available_dialects
from dialects.unicode_parser import UnicodeParser
from dialects.weights import Blob, ConstantOp, WeightRef
from passes.registry import available_passes

CONTROL_FLOW = "func.func @branches() { cf.br ^end ^end: func.return } func.func @straight() { func.return }"
"""Functions with and without control flow: no pass on chains takes the first."""


def new_ir_context() -> Context:
    """A context that knows every dialect a test may write."""
    context = Context()
    for dialect in (Builtin, Cf, Func):
        context.load_dialect(dialect)
    for name, factory in available_dialects().items():
        context.register_dialect(name, factory)
    return context


def parse_module(text: str, weights: Iterable[np.ndarray] = ()) -> ModuleOp:
    """The module in `text`; `weights` are bound to the constants that name them by digest."""
    module = UnicodeParser(new_ir_context(), text).parse_module()
    by_digest = {blob.digest: blob for blob in map(Blob, weights)}
    for op in module.walk():
        if isinstance(op, ConstantOp) and op.value.data.digest in by_digest:
            op.properties["value"] = WeightRef(by_digest[op.value.data.digest])
    return module


def print_module(module: ModuleOp, locations: bool = True) -> str:
    """The module as text that ends in a newline."""
    stream = StringIO()
    Printer(stream=stream, print_debuginfo=locations).print_op(module)
    return stream.getvalue() + "\n"


def run_passes(module: ModuleOp, passes: str | Sequence[ModulePass]) -> None:
    """Run a pipeline text or pass objects on a module, in place."""
    if isinstance(passes, str):
        passes = PassPipeline.parse_spec(available_passes(), passes).passes
    for each in passes:
        each.apply(new_ir_context(), module)
        module.verify()


def check_ir(
    text: str,
    passes: str | Sequence[ModulePass],
    expected_checks: str,
    weights: Iterable[np.ndarray] = (),
    locations: bool = False,
) -> ModuleOp:
    """Run `passes` on the module in `text` and match the result against FileCheck directives; the module afterwards.

    `locations` prints `loc(...)` too. Fails the test with FileCheck's report when a directive does not match.
    """
    module = parse_module(text, weights)
    run_passes(module, passes)
    complete = print_module(module)
    assert print_module(UnicodeParser(new_ir_context(), complete).parse_module()) == complete
    match_checks(print_module(module, locations), expected_checks)
    return module


def match_checks(output: str, expected_checks: str) -> None:
    """Match text against FileCheck directives."""
    options = Options(match_filename="checks")
    checks = CheckParser(options, StringIO(expected_checks), *pattern_for_opts(options))
    matcher = Matcher(options, FInput("output", output), checks)
    matcher.stderr = report = StringIO()
    if matcher.run() != 0:
        raise AssertionError(f"FileCheck: {report.getvalue()}\n{output}")

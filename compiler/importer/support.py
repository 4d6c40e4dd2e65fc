"""Which operators a model may use: their domains, their versions, and whether nodes agree with their schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from compiler.importer.loading import STAGE
from dialects.diagnostics import Diagnostic
from dialects.onnx.native_errors import NATIVE_ERRORS, reason_of

if TYPE_CHECKING:
    import onnx


def support_problems(name: str, node: onnx.NodeProto, opsets: Mapping[str, int]) -> Iterable[Diagnostic]:
    """Why a node's operator is unknown: CAT-U003 (its domain) or CAT-U001 (no such operator in the opset)."""
    if node.domain and not _is_expanded(node, opsets):
        yield custom_operator(name, node)
        return
    opset = opsets.get("")
    if node.domain or opset is None:
        return
    hint = _missing_operator_hint(node.op_type, opset)
    if hint is not None:
        yield Diagnostic(
            "CAT-U001",
            f"opset {opset} has no operator {node.op_type}",
            stage=STAGE,
            node=name,
            hint=hint,
        )


def custom_operator(name: str, node: onnx.NodeProto) -> Diagnostic:
    """The problem of a node of another domain that has no body of standard operators (CAT-U003)."""
    return Diagnostic(
        "CAT-U003",
        f"operator {node.op_type} belongs to the custom domain {node.domain!r}",
        stage=STAGE,
        node=name,
        hint="export the model with standard ONNX operators only",
    )


def _is_expanded(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    """Whether an operator of another domain has a body of standard operators."""
    from compiler.importer.functions import has_body

    return node.domain in opsets and has_body(node.op_type, node.domain, opsets[node.domain])


def _missing_operator_hint(op_type: str, opset: int) -> str | None:
    """Why an opset has no such operator and what to do; None if it has it."""
    import difflib

    from onnx import defs

    try:
        defs.get_schema(op_type, max_inclusive_version=opset, domain="")
    except defs.SchemaError:
        pass
    else:
        return None
    if defs.has(op_type):
        return f"export the model with opset {_first_opset(op_type)} or newer, which has {op_type}"
    if op_type in (
        "Affine",
        "ATen",
        "Crop",
        "GivenTensorFill",
        "GRUUnit",
        "ImageScaler",
        "ParametricSoftplus",
        "Scale",
        "ScaledTanh",
    ):
        return "this experimental operator was removed from ONNX; replace it by standard operators"
    near = difflib.get_close_matches(op_type, {schema.name for schema in defs.get_all_schemas()}, 1)
    return f"did you mean {near[0]}?" if near else "it is not a standard ONNX operator"


def _first_opset(op_type: str) -> int:
    from onnx import defs

    schemas = defs.get_all_schemas_with_history()
    return min(schema.since_version for schema in schemas if schema.name == op_type and not schema.domain)


def _as_int32(version: int) -> int:
    """A version as ONNX's checker takes it; files have 64 bits for it."""
    return max(-(1 << 31), min(version, (1 << 31) - 1))


def schema_problems(
    nodes: Iterable[tuple[str, onnx.NodeProto]], opsets: Mapping[str, int], ir_version: int
) -> list[Diagnostic]:
    """Where named nodes contradict the schemas of their operators (CAT-M001); subgraphs are not looked into."""
    from onnx import checker

    context = checker.C.CheckerContext()
    context.ir_version = _as_int32(ir_version)
    versions = {**opsets, "ai.onnx": opsets[""]}
    context.opset_imports = {domain: _as_int32(version) for domain, version in versions.items()}
    problems: list[Diagnostic] = []
    for name, node in nodes:
        try:
            checker.check_node(_without_bodies(node), context)
        except UnicodeDecodeError:
            reason = "an attribute of the node is not UTF-8 text"
            problems.append(Diagnostic("CAT-M001", reason, stage=STAGE, node=name))
        except (checker.ValidationError, *NATIVE_ERRORS) as error:
            problems.append(Diagnostic("CAT-M001", reason_of(error), stage=STAGE, node=name))
    return problems


def _without_bodies(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with empty graphs in place of its subgraphs, which ONNX's checker would not see in their place."""
    from onnx import AttributeProto, GraphProto

    if not any(attribute.type == AttributeProto.GRAPH for attribute in node.attribute):
        return node
    copy = type(node)(op_type=node.op_type, name=node.name, domain=node.domain, input=node.input, output=node.output)
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            copy.attribute.add(name=attribute.name, type=attribute.type, g=GraphProto(name="body"))
        else:
            copy.attribute.add().CopyFrom(attribute)
    return copy

"""The mappings of a chain as a mapping file."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ModuleOp

from dialects.accelerator import Accelerator
from dialects.fused_attribute import FusedAttr
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.gemm_mapping import GemmAttr
from dialects.locations import node_names
from dialects.schedule import MappingAttr, SearchAttr
from dialects.target import find_machine
from passes.mapping_file import FORMAT, GROUPS, LAYERS, MODE, TARGET, ZEROS
from passes.mapping_file.names import loops_text, primary_names
from passes.mapping_file.notation import written_mapping
from passes.mapping_file.seal import checksum
from passes.mapping_file.statements import written_group

_HEAD = """\
# How every layer is mapped: `catena compile --mapping` uses the file. Layers that are taken out are searched again."""


class MappingText:
    """A mapping file: groups, the mapping of every link that has one, and shares of zeros if they are known."""

    def __init__(self, module: ModuleOp, mode: str = "chain"):
        links = [op for op in module.walk() if isinstance(op, LinkOp)]
        machine = find_machine(module)
        self._head = [_HEAD, f"format = {FORMAT}"]
        self._head += [] if machine is None else [f"{TARGET} = {quoted_text(machine.name)}"]
        self._head += [] if mode == "chain" else [f"{MODE} = {quoted_text(mode)}"]
        groups = [
            written_group(op.link_names, op.mapping.data)
            for op in module.walk()
            if isinstance(op, FusedOp) and isinstance(op.mapping, FusedAttr)
        ]
        self._head += [f"{GROUPS} = '''", *"\n".join(groups).splitlines(), "'''"] if groups else []
        self._zeros: list[str] = []
        self._layers: list[tuple[str, list[str]]] = []
        self.mapped = [link.mapping is not None for link in links]
        """Which links of the chain have an entry."""
        for name, link in zip(primary_names(links), links, strict=True):
            if link.mapping is not None:
                nodes = ", ".join(node_names(link.location))
                body = [f"[{LAYERS}.{quoted_text(name)}]", f"loops = {quoted_text(loops_text(link))}"]
                body += _search(link, machine)
                self._layers.append((nodes, [*body, f"mapping = {written_mapping(link.mapping)}"]))
            if link.zeros is not None:
                shares = link.zeros.data
                self._zeros.append(f"{quoted_text(name)} = {{ input = {shares.input!r}, output = {shares.output!r} }}")

    def render(self, costs: Sequence[str] = ()) -> str:
        """The file; `costs` are remarks on the layers that have a mapping, in their order."""
        lines = [*self._head]
        for place, (nodes, body) in enumerate(self._layers):
            lines.append("")
            lines += _remark(nodes)
            lines += _remark(costs[place]) if costs else []
            lines += body
        lines += ["", f"[{ZEROS}]", *self._zeros] if self._zeros else []
        return "\n".join([*lines, ""])


def _search(link: LinkOp, machine: Accelerator | None) -> list[str]:
    """How good the mapping of a link is, if a search has found it."""
    if (
        not isinstance(link.search, SearchAttr)
        or not isinstance(link.mapping, MappingAttr | GemmAttr)
        or machine is None
    ):
        return []
    seal = checksum(link, link.mapping, link.search, machine)
    return [f"search = {quoted_text(str(link.search.data))}", f"checksum = {quoted_text(seal)}"]


def _remark(text: str) -> list[str]:
    return [f"# {''.join(each if each.isprintable() else '?' for each in text)}"] if text else []


def quoted_text(text: str) -> str:
    """Text as TOML has it, in one line of characters that print."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped) + '"'

"""The reference pages of `docs/`, made from the tables in the code.

    python -m compiler.pages docs

writes them; a test compares what is there with what this module makes.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backends.registry import bundled_backends, find_backend
from compiler.descriptions.data import read_description
from compiler.design_space.schema import key_tables, space_schema
from compiler.files import make_folder, write_text
from compiler.listings import (
    compile_time_table,
    conformance_table,
    error_table,
    exclusion_table,
    exit_code_table,
    operator_table,
    pass_table,
    stage_table,
)
from compiler.machine_drawing import drawing
from compiler.stage_pages import stage_pages
from compiler.tables import Table, table
from compiler.target_validations import validation_table
from compiler.targets import select_target
from compiler.targets_page import targets_page
from dialects.events import EVENTS
from dialects.module_attributes import MODULE_ATTRIBUTES
from dialects.multicore_machine import MulticoreMachine
from passes import mapping_file
from passes.mapping_file import completing, statements

if TYPE_CHECKING:
    import click

NOTICE = "<!-- Made by `python -m compiler.pages docs`; do not edit. -->\n"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    made = {
        "operators.md": _page(
            "Operators",
            {
                "": operator_table(),
                "Conformance": conformance_table(),
                "Excluded cases": exclusion_table(),
                "Compile-time inputs": compile_time_table(),
            },
            _OPERATORS,
        ),
        "pipeline.md": _page(
            "The pipeline",
            {"Stages": stage_table(), "Passes": pass_table(), "Attributes of a module": _attribute_table()},
            _PIPELINE,
        ),
        "errors.md": _page("Errors", {"Codes": error_table(), "Exit codes": exit_code_table()}, _ERRORS),
        "events.md": _page("Events", {"": _event_table()}, _EVENTS),
        "targets.md": f"{NOTICE}\n{targets_page()}",
        "command-line.md": _command_line(),
        "mapping-files.md": _mapping_files(),
        "space-files.md": _space_files(),
    }
    for bundled in bundled_backends():
        backend = find_backend(bundled.name)
        isa = backend.isa()
        made[f"isa-{isa.name}.md"] = NOTICE + "\n" + isa.markdown()
        made[f"target-{backend.name}.md"] = _target(backend.name, backend.summary, backend.description())
        for name, path in backend.targets().items():
            made[f"target-{name}.md"] = _target(name, str(read_description(path).get("summary", "")), path)
    made |= {name: f"{NOTICE}\n{text}" for name, text in stage_pages().items()}
    return dict(sorted(made.items()))


_OPERATORS = (
    "Every ONNX operator of the default domain. A `chain` is made of as many links, before fusion, as its conformance "
    "cases show; a `view` only says where words are, and a link copies them where nothing else can; a `constant` is "
    "evaluated at compile time; what is `host segment only` is no static chain and refused, unless `--allow-fallback "
    "host` lets ONNX Runtime execute it within the program. So is a node that breaks a condition under `where`; "
    "`catena check` says which. Floats of 16 bits are computed in 32; float64 becomes float32, of which a "
    "warning tells. The last columns count the cases of ONNX's conformance suite "
    "(`onnx.backend.test`) that pass: on the interpreter of the fused chain, and on emulators from the binary. Refused "
    "cases count as failed. `python3 tasks.py conformance` runs them again. Only the inputs of the last table are "
    "known when a case is compiled. Where the values of others say how large a result is, its shape is what the model "
    "declares, and a run whose values make another one ends with an error (CAT-E001)."
)
_PIPELINE = (
    "A compilation runs these stages. `--to STAGE` stops after one, `--from STAGE` goes on from its IR, `--dump-ir` "
    "writes the IR after each. A backend may put other passes in the place of a stage's own."
)
_ERRORS = "Every message has one of these codes. The exit code of a command is that of its first message."
_EVENTS = (
    "What the cost model predicts and an emulator counts, in target words; operations in operations. Which of them "
    "cost energy is said by the table `counting` of the target."
)


def _page(title: str, tables: Mapping[str, Table], introduction: str) -> str:
    parts = [NOTICE, f"# {title}\n", f"{introduction}\n"]
    for heading, content in tables.items():
        parts += [f"## {heading}\n"] if heading else []
        parts.append(content.markdown() + "\n")
    return "\n".join(parts)


def _attribute_table() -> Table:
    rows = ((f"`{name}`", attribute.doc) for name, attribute in MODULE_ATTRIBUTES.items())
    return table(("attribute", "meaning"), rows)


def _event_table() -> Table:
    return table(("event", "meaning"), ((f"`{name}`", text) for name, text in EVENTS.items()))


_TURNS = (
    "Links of a fused group take turns on the one array, as `sequential { ... }` in a mapping file says. A "
    "`pipeline { ... }` is refused at its statement where code is made; only the model of groups prices it."
)
_PIPELINES = (
    "Links of a fused group work at the same time, each on cores of its own: `--fuse` makes pipelines of layers. "
    "Mapping files say nothing of cores."
)


def _target(name: str, summary: str, path: Path) -> str:
    text, machine = path.read_text(encoding="utf-8"), select_target(name).machine
    lines = [
        NOTICE,
        f"# The target {name}\n",
        f"{summary}\n",
        f"```\n{drawing(machine)}\n```\n",
        f"{_PIPELINES if isinstance(machine, MulticoreMachine) else _TURNS}\n",
        "Its description. A file that starts with "
        f'`extends = "{name}"` and gives other values describes another machine: `catena compile -t FILE.toml`.\n',
        f"```toml\n{text.rstrip()}\n```\n",
        "## Validated by\n",
        validation_table(name).markdown() + "\n",
    ]
    return "\n".join(lines)


_SPACE_FILES = (
    "What `catena explore MODEL --space FILE` tries: every combination of what the lists of a TOML file hold. How to "
    "use it is on the page about [exploring](guide/exploring.md)."
)


def _space_files() -> str:
    """The format of space files, as the models say that check them."""
    parts = [_page("Space files", key_tables(), _SPACE_FILES), "## JSON schema\n"]
    parts += ["As `catena explore --schema` prints it, to be named in a first line `#:schema FILE` for editors:\n"]
    return "\n".join([*parts, f"```json\n{json.dumps(space_schema(), indent=1)}\n```\n"])


_MAPPING_FILES = (
    "`catena compile --save-mapping FILE` writes how every layer is mapped, `--mapping FILE` uses a file again, edited "
    "or not. Statements are those of the IR: `for L T` and `par L T on A` cut loop L into tiles of T indices, one "
    "after another or side by side along axis A; `store M [X]` brings the tile of X (I input, K kernel, O output) that "
    "all further statements need into memory M. Whatever does not go together with the network or the target is "
    "reported at its line, all at once."
)


def _mapping_files() -> str:
    """The format of mapping files, as the modules say that read them."""
    parts = [NOTICE, "# Mapping files\n", f"{_MAPPING_FILES}\n", inspect.cleandoc(mapping_file.__doc__ or "") + "\n"]
    parts += ["## Mappings in part\n", inspect.cleandoc(completing.__doc__ or "") + "\n"]
    parts += ["## Fused groups\n", inspect.cleandoc(statements.__doc__ or "") + "\n"]
    return "\n".join(parts)


def _command_line() -> str:
    import click

    from compiler.cli.main import CATENA, VERBS

    parts = [NOTICE, "# The command line\n", f"{CATENA.help} {CATENA.epilog}\n"]
    context = click.Context(CATENA, info_name="catena")
    for name in VERBS:
        command = CATENA.get_command(context, name)
        assert command is not None
        arguments = " ".join(str(each.metavar) for each in command.params if isinstance(each, click.Argument))
        usage = " ".join(part for part in ("catena", name, "[OPTIONS]", arguments) if part)
        parts += [f"## catena {name}\n", f"`{usage}`\n", f"{inspect.cleandoc(command.help or '')}\n"]
        rows = (_option_row(each) for each in command.params if isinstance(each, click.Option))
        parts.append(table(("option", "meaning"), rows).markdown() + "\n")
    return "\n".join(parts)


def _option_row(option: click.Option) -> tuple[str, str]:
    names = ", ".join(f"`{name}`" for name in option.opts)
    return f"{names} `{option.metavar}`" if option.metavar else names, option.help or ""


def main() -> int:
    """Write the pages into the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m compiler.pages FOLDER\n")
        return 2
    folder = Path(sys.argv[1])
    make_folder(folder)
    for name, text in pages().items():
        write_text(folder / name, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Targets by name and from TOML, with inheritance and overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compilation import CompileOptions, compile_source
from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic


def problems(name: str, **settings: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(CatenaError) as caught:
        select_target(name, {key.replace("__", "."): value for key, value in settings.items()})
    return caught.value.diagnostics


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_name_selects_an_installed_backend() -> None:
    target = select_target("eyeriss")
    assert (target.backend.name, target.machine.name, target.machine.array.rows) == ("eyeriss", "eyeriss", 12)


def test_a_file_gives_only_what_differs(tmp_path: Path) -> None:
    write(tmp_path / "small.toml", 'extends = "eyeriss"\nname = "small"\n[array]\nrows = 6\n')
    path = write(tmp_path / "tiny.toml", 'extends = "small.toml"\nname = "tiny"\n[glb]\nbanks = 5\n')
    target = select_target(path)
    assert target.backend.name == "eyeriss"
    machine = target.machine
    assert (machine.name, machine.array.rows, machine.array.cols, machine.glb.banks) == ("tiny", 6, 14, 5)


def test_settings_override_values() -> None:
    machine = select_target("eyeriss", {"glb.banks": "20", "summary": "no quotes needed", "links.dram": "2.5"}).machine
    assert (machine.glb.banks, machine.summary, machine.links.dram) == (20, "no quotes needed", 2.5)


def test_a_misspelt_target_is_corrected() -> None:
    (problem,) = problems("eyeris")
    assert problem.code == "CAT-C001"
    assert problem.hint.startswith("did you mean eyeriss")


def test_unknown_keys_are_errors_with_the_likely_one(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", 'extends = "eyeriss"\nclok_mhz = 3\n[glb]\nbnaks = 5\n')
    found = problems(path)
    assert {problem.code for problem in found} == {"CAT-C003"}
    assert {"did you mean 'clock_mhz'?", "did you mean 'banks'?"} == {problem.hint for problem in found}


def test_all_wrong_values_are_reported(tmp_path: Path) -> None:
    found = problems("eyeriss", array__rows="0", glb__banks='"many"', clock_mhz="-1")
    assert len(found) == 3
    assert all(problem.code == "CAT-C003" for problem in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML"),
        ("\x00\xff", "not"),
        ("name = 'x'", "does not say what it extends"),
        ("extends = 'self.toml'", "extends itself"),
        ("extends = 3", "extends: must be a text"),
    ],
)
def test_bad_descriptions_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (problem,) = problems(write(tmp_path / "self.toml", text))
    assert problem.code in ("CAT-C003", "CAT-C002")
    assert message in problem.message


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert problems(str(tmp_path / "none.toml"))[0].code == "CAT-C002"
    (tmp_path / "folder.toml").mkdir()
    assert problems(str(tmp_path / "folder.toml"))[0].code == "CAT-C002"


def test_a_setting_cannot_go_through_a_value() -> None:
    (problem,) = problems("eyeriss", name__x="1")
    assert problem.code == "CAT-C003"


def test_a_described_target_compiles(cnn: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "small.toml", 'extends = "eyeriss"\nname = "small"\n[array]\nrows = 6\n')
    program = compile_source(str(cnn), CompileOptions(target=path)).program
    assert program is not None
    assert (program.metadata.target, program.metadata.backend) == ("small", "eyeriss")

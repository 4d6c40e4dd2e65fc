"""The commands of the guide, executed one after the other: those of Catena in this process, others in a shell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from compiler.cli.main import VERBS, execute
from tests.compiler.small_models import save_model, small_cnn
from tests.docs.commands import EXECUTED, GUIDE, LEFT, ROOT, carry_out, shown

PAGES = ("first-ten-minutes.md", "how-do-i.md")


def commands(page: str) -> list[str]:
    """The lines of the blocks of a page that are to be executed."""
    return shown(GUIDE / page)["sh"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a checkout looks to the commands."""
    shutil.copytree(ROOT / "benchmarks" / "models", tmp_path / "benchmarks" / "models")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.mark.parametrize(
    "page", [PAGES[0], pytest.param(PAGES[1], marks=pytest.mark.exhaustive)], ids=[page[:-3] for page in PAGES]
)
def test_every_command_works(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    for line in commands(page):
        carry_out(line, capsys)
    assert (folder / "out" / "model.cat").exists()
    for example in re.findall(r"^```python\n(.*?)^```", (GUIDE / page).read_text("utf-8"), re.MULTILINE | re.DOTALL):
        exec(compile(example, page, "exec"), {})


@pytest.mark.exhaustive
def test_the_space_of_the_page_about_exploring_is_explored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(small_cnn(), folder / "model.onnx")
    (space,) = re.findall(r"^```toml\n(.*?)^```", (GUIDE / "exploring.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (folder / "space.toml").write_text(space)
    for line in commands("exploring.md"):
        assert execute(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    assert {"front.html", "points.csv", "front.svg"} <= {each.name for each in folder.iterdir()}


def test_every_command_is_executed_or_left_with_a_reason() -> None:
    pages = [ROOT / "README.md", *GUIDE.glob("*.md")]
    blocks = {(page.name, language): lines for page in pages for language, lines in shown(page).items()}
    assert blocks.keys() >= EXECUTED
    assert [line for key, lines in blocks.items() if key not in EXECUTED for line in lines if line not in LEFT] == []
    assert LEFT.keys() <= {line for lines in blocks.values() for line in lines}


def test_the_pages_name_commands_that_there_are() -> None:
    for page in GUIDE.glob("*.md"):
        for name in re.findall(r"^catena ([a-z][\w-]*)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in VERBS, page.name


def test_the_answers_cover_most_commands() -> None:
    text = "\n".join(line for page in PAGES for line in commands(page))
    left = {name for name in VERBS if f"catena {name}" not in text}
    assert left <= {"accuracy", "cache", "completion", "errors", "ops", "opt"}

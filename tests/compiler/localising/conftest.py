"""Programs that mutated emulators execute."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.container import write_program
from compiler.compilation import CompileOptions, compile_source
from compiler.localising.blame import Blame
from compiler.verification.programs import verify_source
from tests.compiler.localising.mutants import Mutant, Patch
from tests.compiler.small_models import save_model


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("programs"))


class Made:
    """Models and right programs as files, each compiled once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, tuple[Path, Path]] = {}

    def files(self, mutant: Mutant) -> tuple[Path, Path]:
        """The model and the program that a mutant executes wrong."""
        options = CompileOptions(target=mutant.target, settings=dict(mutant.settings), fuse=mutant.fuse)
        settings = sorted(mutant.settings.items())
        key = f"{mutant.target}-{mutant.model.__name__}-{mutant.fuse}-{settings}"
        if key not in self._files:
            model = save_model(mutant.model(), self._folder / f"{len(self._files)}.onnx")
            program = compile_source(str(model), options).program
            assert program is not None
            write_program(program, model.with_suffix(".cat"))
            self._files[key] = model, model.with_suffix(".cat")
        return self._files[key]

    def blamed(self, mutant: Mutant, patch: Patch) -> Blame:
        """What `verify` blames for a mutant, whose layer and instruction that has to be."""
        model, path = self.files(mutant)
        mutant.mutate(patch)
        location = verify_source(str(path), model).location
        assert location is not None
        assert location.layer == mutant.layer
        assert location.blame is not None, location.lines()
        assert location.blame.text.startswith(mutant.instruction)
        return location.blame

"""What one does with this project, on a machine that has only Python >= 3.11 and pip.

    python3 tasks.py demo         compile ResNet-50, emulate it, verify every layer, print the table
    python3 tasks.py test         run all tests but the exhaustive ones
    python3 tasks.py exhaustive   run those: ONNX's conformance suite in full on the interpreter and `eyeriss`, a third
                                  of it on every other backend, against the record; the mapper and the search of
                                  fused groups against brute force; random groups, schedules of cores and whole
                                  fused networks on the emulators; all examples of property tests, of which `test`
                                  takes a tenth
    python3 tasks.py lint         check style, types and import layers
    python3 tasks.py docs         write the reference pages
    python3 tasks.py site         make a site of all pages, in out/site
    python3 tasks.py lock         pin versions of all dependencies in requirements.lock, and list their licences
    python3 tasks.py notebooks    execute the notebooks of docs/notebooks, and write into them what they show
    python3 tasks.py conformance  run ONNX's conformance suite and record what passes
    python3 tasks.py fuzz         mutate files of every kind that is read, 100,000 in all, or --count N, from --seed S
    python3 tasks.py bench        measure beside ONNX Runtime, IREE, TVM, ZigZag and others, and our own budgets
    python3 tasks.py clean        remove what the others make

Everything is installed into the folder `.venv`, once. The standard library is all that this file needs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
OUT = ROOT / "out"
OLDEST_PYTHON = (3, 11)


def call(*words: object) -> None:
    """Run a command in the project's folder, showing it; end the task if it fails."""
    shown = [str(word).removeprefix(f"{ROOT}{os.sep}") for word in words]
    print("$", " ".join(shown), flush=True)
    done = subprocess.run([str(word) for word in words], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def install(extra: str) -> None:
    """Make the environment with one of the project's extras, unless it is there already."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = ENVIRONMENT / f"installed-{extra}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        print("$", Path(sys.executable).name, "-m venv .venv", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    call(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f".[{extra}]")
    stamp.write_text(wanted)


def demo() -> None:
    """ResNet-50 with seeded weights, from ONNX to a table of cycles, energy and traffic."""
    install("verify")
    model, program, statistics = OUT / "resnet50.onnx", OUT / "resnet50.cat", OUT / "resnet50.json"
    catena = BIN / "catena"
    if not model.is_file():
        call(PYTHON, "benchmarks/models/resnet.py", "--depth", 50, "--output", model)
    call(catena, "compile", model, "-o", program)
    call(catena, "run", program, "--random", "--stats", statistics)
    call(catena, "verify", program, "--model", model)
    call(catena, "report", program, "--stats", statistics)


def test() -> None:
    """All tests but the exhaustive ones, on two processes; one that is done takes over from the other."""
    install("test")
    call(PYTHON, "-m", "pytest", "-q", "-n", 2, "--dist", "worksteal")


def exhaustive() -> None:
    """The tests that `test` leaves out, and all examples of property tests, on two processes."""
    install("test")
    os.environ["CATENA_EXAMPLES"] = "all"
    call(PYTHON, "-m", "pytest", "-q", "-n", 2, "--dist", "worksteal", "-m", "exhaustive or hypothesis")


def lint() -> None:
    """Style, types, import layers."""
    install("dev")
    call(BIN / "ruff", "check", ".")
    call(BIN / "ruff", "format", "--check", ".")
    call(BIN / "pyright", "--pythonpath", PYTHON)
    call(BIN / "lint-imports")


def docs() -> None:
    """The reference pages."""
    install("verify")
    call(PYTHON, "-m", "compiler.pages", "docs")


def site() -> None:
    """All pages as a site, by Sphinx; warnings are errors."""
    install("docs")
    call(
        PYTHON, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", OUT / "site", "-d", OUT / "site-cache"
    )


def lock() -> None:
    """Pinned versions of everything, with hashes, and the page of licences."""
    for extra in ("dev", "docs", "fuzz", "lock"):
        install(extra)
    options = ("--all-extras", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url")
    call(BIN / "uv", "pip", "compile", "--quiet", "--no-header", *options, "pyproject.toml", "-o", "requirements.lock")
    call(PYTHON, "docs/dependencies.py", "docs/dependencies.md")


def notebooks() -> None:
    """What the cells of all notebooks show."""
    install("test")
    call(PYTHON, "-m", "tests.docs.notebooks", "docs/notebooks")


def conformance() -> None:
    """The recorded results of ONNX's conformance suite, and the pages that show them."""
    install("verify")
    call(PYTHON, "-m", "compiler.conformance")
    docs()


def fuzz(*options: str) -> None:
    """Every reader on mutated files; fails if one does anything but refuse or accept them."""
    install("test,fuzz")
    call(PYTHON, "-m", "tests.fuzz", "--jobs", 2, "--out", OUT / "fuzz", *options)


def bench() -> None:
    """The page about other tools, which are installed into a temporary folder, and our own budgets and bounds."""
    install("verify")
    call(PYTHON, "benchmarks/peers.py", "--output", "docs/benchmarks.md")
    call(PYTHON, "benchmarks/budgets.py", "--output", "docs/budgets.md")
    call(PYTHON, "benchmarks/run.py")


def clean() -> None:
    """Remove the environment and what the demo writes."""
    for folder in (ENVIRONMENT, OUT):
        shutil.rmtree(folder, ignore_errors=True)


TASKS: dict[str, Callable[..., None]] = {
    each.__name__: each
    for each in (demo, test, exhaustive, lint, docs, site, notebooks, lock, conformance, fuzz, bench, clean)
}


def main() -> None:
    """Run the tasks that the command line names."""
    if sys.version_info < OLDEST_PYTHON:
        raise SystemExit("Catena needs Python 3.11 or newer; this is " + sys.version.split()[0])
    names, options = sys.argv[1:], []
    if names[:1] == ["fuzz"]:
        names, options = names[:1], names[1:]
    unknown = [name for name in names if name not in TASKS]
    if not names or unknown:
        print(__doc__)
        raise SystemExit(f"unknown task: {', '.join(unknown)}" if unknown else 2)
    for name in names:
        TASKS[name](*options)


if __name__ == "__main__":
    main()

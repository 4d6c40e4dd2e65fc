"""Arrays that a person gives or gets: `.npz` and `.npy` files by tensor name."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from backends.files import replacing
from compiler.files import cannot
from dialects.diagnostics import CatenaError, Diagnostic

Array = npt.NDArray[Any]

# What NumPy raises on files that are damaged, are no arrays, or hold pickled objects.
_DAMAGED = (
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    TokenError,
    RuntimeError,  # encrypted members, and compression that is not implemented
    zipfile.BadZipFile,
)

_STARTS = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")
"""How a `.npy` file and a zip archive, which may be empty, begin."""


MOST_RANDOM = 1 << 28
"""Elements that are made up for one command, in all its samples."""


def require_few(elements: int) -> None:
    """Refuse to make up more than `MOST_RANDOM` elements. Raises `CatenaError` (CAT-C005)."""
    if elements > MOST_RANDOM:
        raise CatenaError(
            Diagnostic(
                "CAT-C005",
                "random inputs are too large",
                expected=f"at most {MOST_RANDOM} elements",
                found=f"{elements} elements",
                hint="take fewer samples or smaller inputs, or give files",
            )
        )


def random_array(generator: np.random.Generator, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """Values that suit most inputs: floats in [0, 1), integers of a byte over their whole range, others from 0 to 9."""
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.name in ("int8", "uint8"):
        return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
    if dtype.kind in "iu" or np.can_cast(dtype, np.int64):
        return generator.integers(0, 10, shape).astype(dtype)
    return generator.random(shape, dtype=np.float32).astype(dtype)


def read_arrays(arguments: Sequence[str]) -> dict[str, Array]:
    """Arrays by name, from arguments of the form `arrays.npz` or `NAME=array.npy`.

    Raises `CatenaError` with every problem: CAT-C001 for an argument of another form or a name given twice, CAT-C002
    for a file that cannot be read or is damaged.
    """
    arrays: dict[str, Array] = {}
    problems: list[Diagnostic] = []
    for argument in arguments:
        try:
            found = _read(argument)
        except CatenaError as error:
            problems.extend(error.diagnostics)
            continue
        twice = [name for name in found if name in arrays]
        problems.extend(Diagnostic("CAT-C001", f"input {name!r} is given twice") for name in twice)
        arrays.update(found)
    if problems:
        raise CatenaError(problems)
    return arrays


def _read(argument: str) -> dict[str, Array]:
    # A tensor's name may itself hold "="; a file's name may too, so the whole argument is tried first.
    if argument.endswith(".npz") and Path(argument).is_file():
        return _read_npz(Path(argument))
    name, equals, file = argument.rpartition("=")
    if equals and name:
        return {name: _read_npy(Path(file))}
    if argument.endswith(".npz"):
        return _read_npz(Path(argument))
    raise CatenaError(Diagnostic("CAT-C001", f"cannot tell what {argument!r} is", expected="FILE.npz or NAME=FILE.npy"))


def _read_npz(path: Path) -> dict[str, Array]:
    with _opened(path) as stream:
        loaded = _loaded(stream)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise CatenaError(_damaged(path, "it holds one array without a name", "give it as NAME=FILE.npy"))
        with loaded:
            return {name: cast(Array, loaded[name]) for name in loaded.files}


def _read_npy(path: Path) -> Array:
    with _opened(path) as stream:
        loaded = _loaded(stream)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            loaded.close()
            raise CatenaError(_damaged(path, "it holds several arrays", "give it as FILE.npz"))
        return cast(Array, loaded)


def _loaded(stream: BinaryIO) -> Any:
    """What NumPy makes of a file that begins as it should: it takes everything else for a pickled object."""
    start = stream.read(len(_STARTS[0]))
    if start and not start.startswith(_STARTS):
        raise ValueError("it begins neither as a .npz file nor as a .npy file")
    stream.seek(0)
    return np.load(stream, allow_pickle=False)


@contextmanager
def _opened(path: Path) -> Generator[BinaryIO]:
    # NumPy does not close a file that it cannot make sense of.
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            # Headers that Python 2 wrote and old names of types are read all the same.
            warnings.simplefilter("ignore")
            yield stream
    except OSError as error:
        raise CatenaError(cannot("read", str(path), error)) from error
    except _DAMAGED as error:
        raise CatenaError(_damaged(path, str(error) or type(error).__name__)) from error


def _damaged(path: Path, reason: str, hint: str = "") -> Diagnostic:
    return Diagnostic("CAT-C002", f"{path} is not a file of arrays: {reason.splitlines()[0]}", hint=hint)


def write_arrays(arrays: Mapping[str, Array], path: Path) -> None:
    """Write arrays by name to a `.npz` file, or a single one to a `.npy` file; equal arrays give equal bytes.

    Raises `CatenaError`: CAT-C001 for another ending or several arrays in a `.npy` file, CAT-C002 if the file cannot
    be written.
    """
    if path.suffix not in (".npz", ".npy") or (path.suffix == ".npy" and len(arrays) != 1):
        expected = "a name that ends in .npz" + (", or .npy for a single array" if len(arrays) == 1 else "")
        raise CatenaError(Diagnostic("CAT-C001", f"cannot write arrays to {path}", expected=expected))
    with replacing(path) as stream:
        if path.suffix == ".npy":
            np.lib.format.write_array(stream, next(iter(arrays.values())), allow_pickle=False)
        else:
            _write_npz(arrays, stream)


def _write_npz(arrays: Mapping[str, Array], stream: BinaryIO) -> None:
    # numpy.savez takes names as keyword arguments and so cannot write an array called "file".
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

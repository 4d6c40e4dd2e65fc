"""What holds for all tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from compiler.cache_folder import VARIABLE


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_cached() -> Iterator[None]:
    """No test uses or changes the user's cache, nor what another test has found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "")
        yield


@pytest.fixture(scope="module", autouse=True)
def _only_new_objects_are_searched() -> None:
    """Modules and thousands of collected tests are no garbage; to search them over and over takes a tenth of a run."""
    gc.collect()
    gc.freeze()

"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compiler.cache_folder import VARIABLE


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_cached() -> Iterator[None]:
    """No test uses or changes the user's cache, nor what another test has found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "")
        yield

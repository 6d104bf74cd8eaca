"""Where real data lies, for the tests that can use it; they skip where it is absent."""

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(os.environ.get("CALCIMAP_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def shared(relative: str) -> Path:
    """A path of the real data, or a skip that says what is missing."""
    path = SHARED_DATA / relative
    if not path.exists():
        pytest.skip(f"real data not present: {relative} (set CALCIMAP_SHARED_DATA to its folder)")
    return path

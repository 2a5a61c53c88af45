"""Fixtures shared by all tests: where the real clips are, and that they are missing aloud."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real clips, or skip with a reason that `.ci/run` refuses."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("EVFR_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"EVFR_DATA not found: {folder}; set EVFR_DATA to the folder of real clips")
    return folder

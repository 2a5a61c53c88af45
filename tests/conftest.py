"""Fixtures shared by all tests: where the real clips are, and that they are missing aloud."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.scheduling import is_usual, usual_scheduling

if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a worker for each core: the threads that a library adds would only spin while they wait for theirs.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(variable, "1")


@pytest.fixture(autouse=True)
def shares_the_processor() -> Iterator[None]:
    """See that no test leaves this process real-time, which holds up all others and whatever it starts."""
    yield
    with usual_scheduling():
        assert is_usual(), (
            "this thread is real-time now: encode AV1 within helpers.scheduling.usual_scheduling"
        )


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real clips, or skip with a reason that `.ci/run` refuses."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("EVFR_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"EVFR_DATA not found: {folder}; set EVFR_DATA to the folder of real clips")
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count everything that starts a Ray cluster among the slow tests: one start takes many seconds."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "ray" in [value for value in parameters.values() if isinstance(value, str)]:
            item.add_marker(pytest.mark.slow)

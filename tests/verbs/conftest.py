"""Small drawn clips and a store of the session's own for the verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from evfr.video import draw_clip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two drawn clips of 60 and 36 frames and a broken one."""
    folder = tmp_path_factory.mktemp("clips")
    draw_clip(folder / "one.mp4", seconds=2.4, size=(160, 96), seed=1)
    draw_clip(folder / "two.mkv", seconds=1.44, size=(96, 64), seed=2)
    (folder / "broken.mp4").write_text("this is no video")
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the store that the verb tests share, so that each clip is measured once."""
    return tmp_path_factory.mktemp("store")

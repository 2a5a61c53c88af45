"""Progress: silent by default, set for a block only."""

from __future__ import annotations

import pytest

from evfr._core.progress import NullProgress, current_progress, use_progress


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def start(self, label: str, total: float | None = None) -> None:
        self.calls.append(("start", label, total))

    def advance(self, n: float = 1, text: str = "") -> None:
        self.calls.append(("advance", n, text))

    def finish(self) -> None:
        self.calls.append(("finish",))


def test_default_is_silent() -> None:
    progress = current_progress()
    assert isinstance(progress, NullProgress)
    progress.start("x", 3)
    progress.advance(2, "y")
    progress.finish()


def test_listener_hears_and_is_removed_even_after_an_error() -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="boom"), use_progress(recorder):
        current_progress().start("decoding", 2)
        current_progress().advance(1, "a.mp4")
        raise ValueError("boom")
    assert recorder.calls == [("start", "decoding", 2), ("advance", 1, "a.mp4"), ("finish",)]
    assert isinstance(current_progress(), NullProgress)

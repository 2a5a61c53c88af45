"""Progress on a terminal and in a log file; text that no file name can abuse."""

from __future__ import annotations

import io
import sys

import pytest

from evfr._cli import terminal
from evfr._cli.terminal import TerminalProgress, printable


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain ä.mp4", "plain ä.mp4"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"), ("\udcff", "\\udcff")],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_bar_on_a_terminal_shows_escaped_names(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    progress = TerminalProgress()
    progress.start("measuring [/x]", 3)
    progress.advance(1, "a[red]\x07b.mp4")
    progress.start("extracting")
    progress.advance(2, "c")
    progress.finish()
    progress.finish()
    shown = screen.getvalue()
    assert "measuring [/x]" in shown
    assert "a[red]\\x07b.mp4" in shown
    assert "\x07" not in shown
    assert "extracting" in shown


def test_short_work_leaves_a_log_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    progress.start("measuring", 2)
    progress.advance(1, "a.mp4")
    progress.finish()
    progress.advance(1, "too late")
    assert capsys.readouterr().err == ""


def test_long_work_writes_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    progress = TerminalProgress(line_seconds=5.0)
    progress.start("measuring", 4)
    for _ in range(20):
        now[0] += 1.0
        progress.advance(0.1, "a\nb.mp4")
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 4
    assert all(line.startswith("evfr: measuring") and line.endswith("a\\nb.mp4") for line in lines)

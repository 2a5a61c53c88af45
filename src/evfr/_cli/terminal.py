"""Talk to a terminal: text that no file name can abuse, consoles that never crash, progress that is seen."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

__all__ = ["TerminalProgress", "make_console", "printable", "tolerate_any_name", "write_error"]

PLAIN_LINE_SECONDS = 10.0


def printable(text: str) -> str:
    """Escape control characters and undecodable bytes, so a file name cannot break a line or move a cursor.

    Parameters
    ----------
    text : str
        Any text, surrogates included.

    Returns
    -------
    str
        The same with every character that is not printable written as a backslash escape.

    Examples
    --------
    >>> printable("a\\nb.mp4")
    'a\\\\nb.mp4'
    """
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return "".join(escaped)


def tolerate_any_name() -> None:
    """Make standard output and error escape what their encoding cannot hold, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_error(kind: str, message: object) -> None:
    """Write one line ``evfr: kind: message`` to standard error, whatever the message holds."""
    text = printable(" ".join(str(message).split("\n")))
    sys.stderr.write(f"evfr: {kind}: {text}\n")
    sys.stderr.flush()


def make_console(*, to_stderr: bool = False) -> Console:
    """Return a console that takes text as it is: no markup, no emoji codes, no guessing of numbers."""
    from rich.console import Console

    console = Console(stderr=to_stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        # A pipe has no width: nothing may be cut off or folded.
        console.width = 1000
    return console


class TerminalProgress:
    """Show progress on standard error: a bar on a terminal, else a plain line every few seconds.

    Parameters
    ----------
    line_seconds : float
        Least time between two plain lines, in seconds.
    """

    def __init__(self, line_seconds: float = PLAIN_LINE_SECONDS) -> None:
        self._line_seconds = line_seconds
        self._bar: RichProgress | None = None
        self._label = ""
        self._total: float | None = None
        self._done = 0.0
        self._last_line = 0.0

    def start(self, label: str, total: float | None = None) -> None:
        """Begin a piece of work of ``total`` steps (None: unknown); ends the one before, if any."""
        self.finish()
        self._label, self._total, self._done = label, total, 0.0
        self._last_line = time.monotonic()
        if sys.stderr.isatty():
            self._bar = _make_bar()
            self._bar.add_task(label, total=total, text="")
            self._bar.start()

    def advance(self, n: float = 1, text: str = "") -> None:
        """Say that ``n`` more steps are done; ``text`` names what is being worked on, in any characters."""
        self._done += n
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=n, text=printable(text))
        elif self._label and time.monotonic() - self._last_line >= self._line_seconds:
            self._last_line = time.monotonic()
            share = f" {100 * self._done / self._total:.0f} %" if self._total else ""
            sys.stderr.write(f"evfr: {self._label}{share}: {printable(text)}".rstrip(": ") + "\n")
            sys.stderr.flush()

    def finish(self) -> None:
        """End the current piece of work; harmless when there is none."""
        self._label = ""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _make_bar() -> RichProgress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=make_console(to_stderr=True),
        transient=True,
    )

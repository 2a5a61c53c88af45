"""Progress of long work as a value in the context: verbs report, the command line shows it.

A verb says ``progress = current_progress()``, then ``start("decoding", total)``,
``advance(1, "drive.mp4")`` and ``finish()``. Without a listener that costs nothing, and a library call
prints nothing. The command line sets a listener with `use_progress`.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NullProgress", "Progress", "current_progress", "use_progress"]


class Progress(Protocol):
    """Listen to the progress of one piece of work at a time."""

    def start(self, label: str, total: float | None = None) -> None:
        """Begin a piece of work of ``total`` steps (None: unknown); ends the one before, if any."""

    def advance(self, n: float = 1, text: str = "") -> None:
        """Say that ``n`` more steps are done; ``text`` names what is being worked on, in any characters."""

    def finish(self) -> None:
        """End the current piece of work; harmless when there is none."""


class NullProgress:
    """Ignore everything: the progress of library calls."""

    def start(self, label: str, total: float | None = None) -> None:
        """Ignore the start."""

    def advance(self, n: float = 1, text: str = "") -> None:
        """Ignore the step."""

    def finish(self) -> None:
        """Ignore the end."""


_CURRENT: ContextVar[Progress] = ContextVar("evfr_progress", default=NullProgress())  # noqa: B039  (it has no state)


def current_progress() -> Progress:
    """Return the listener of this context; a `NullProgress` unless `use_progress` set another.

    Returns
    -------
    Progress
        Never None, so callers need no check.
    """
    return _CURRENT.get()


@contextmanager
def use_progress(progress: Progress) -> Iterator[Progress]:
    """Make ``progress`` the listener inside a ``with`` block; finishes it on the way out.

    Parameters
    ----------
    progress : Progress
        The listener.

    Yields
    ------
    Progress
        The same listener.
    """
    token = _CURRENT.set(progress)
    try:
        yield progress
    finally:
        _CURRENT.reset(token)
        progress.finish()

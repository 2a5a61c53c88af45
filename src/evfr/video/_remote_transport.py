"""What every way to reach a remote file does: say exactly which bytes it is, and hand out a range of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from evfr._core.remote import RemoteUrl
from evfr.errors import ProblemCode, VideoError
from evfr.video._container import fail

__all__ = ["Dropped", "Identity", "Transport", "changed", "refused"]

Sink = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Identity:
    """Say exactly which bytes a remote file has at one moment.

    Attributes
    ----------
    size : int
        Bytes.
    tag : str
        What the server promises to change with the bytes: entity tag, generation, version, time of modification.
        Empty where it promises nothing; then nothing is remembered for another run.
    entity_tag, version : str
        To ask for these bytes and no others; empty where there is none.
    has_ranges : bool
        Whether parts can be asked for.
    """

    size: int
    tag: str
    entity_tag: str = ""
    version: str = ""
    has_ranges: bool = True


class Dropped(Exception):
    """The connection failed in a way that a second try may mend."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Transport(Protocol):
    """One way to reach one remote file."""

    def identify(self) -> Identity:
        """Ask what the file is; raise `Dropped` or a final `VideoError`."""

    def fetch(self, start: int, stop: int, identity: Identity, sink: Sink) -> None:
        """Hand ``sink`` the bytes from ``start`` on, in order; it may raise `Dropped` after any part of them."""

    def close(self) -> None:
        """Close connections."""


def changed(url: RemoteUrl) -> VideoError:
    """Return the error of a file whose bytes are no longer those that were begun with."""
    return fail(
        ProblemCode.E_CHANGED,
        "the file on the server changed while it was read, so what was read is a mix; run again",
        url.shown,
    )


def refused(url: RemoteUrl, status: int) -> VideoError:
    """Return the error of an answer that no second try mends."""
    if status in (404, 410):
        return fail(ProblemCode.E_NOT_FOUND, "no such remote file; check the address", url.shown)
    advice = {
        401: "credentials are needed; set them in the environment",
        403: "access is denied; check credentials, or sign the address again",
        416: "it refuses ranges of a file that it offers; try a full download",
    }.get(status, "check the address, or try again later")
    return fail(ProblemCode.E_UNREADABLE, f"the server answers {status}: {advice}", url.shown)

"""Hand out a video file as it is, in ranges, to a browser that plays it; and nothing that is no such video."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evfr.verbs._view_guard import Receive, Scope, Send

if TYPE_CHECKING:
    from evfr.video import VideoSource

__all__ = ["Media", "MediaAnswer", "NoMedia", "open_media", "read_range"]

_MP4 = frozenset({"mov", "mp4"})
_WEBM = frozenset({"matroska", "webm"})
_PLAYS = {"video/mp4": ("h264", "vp9", "av1"), "video/webm": ("vp8", "vp9", "av1")}
_PIXELS = ("yuv420p", "yuvj420p")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_CHUNK = 256 << 10


class NoMedia(Exception):
    """A browser does not play this; the text says why."""


@dataclass(frozen=True, slots=True)
class Media:
    """Hold an open video file.

    Attributes
    ----------
    descriptor : int
        To be closed by whoever has it.
    size : int
        Bytes.
    media_type : str
        What it is: found in the file, not by its name.
    stamp : tuple of int
        Of the file, as `evfr.verbs._view_measured.stamp_of` has it.
    """

    descriptor: int
    size: int
    media_type: str
    stamp: tuple[int, ...]

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


_known: dict[tuple[int, ...], str] = {}
_known_lock = threading.Lock()


def open_media(source: VideoSource) -> Media:
    """Open a video that browsers play.

    The file is looked into through the very descriptor that it is read from, so that nothing can be put in its place.

    Parameters
    ----------
    source : VideoSource
        The video.

    Returns
    -------
    Media
        To be closed.

    Raises
    ------
    NoMedia
        If browsers do not play it.
    VideoError
        If it is no readable video.
    """
    from evfr.video._container import open_descriptor

    if source.kind != "file":
        raise NoMedia("it is a folder or zip of images, not a video file; its frames are shown one by one")
    descriptor = open_descriptor(source.path)
    try:
        found = os.fstat(descriptor)
        stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        with _known_lock:
            media_type = _known.get(stamp)
        if media_type is None:
            media_type = _media_type(f"/proc/self/fd/{descriptor}")
            with _known_lock:
                if len(_known) > 4096:
                    _known.clear()
                _known[stamp] = media_type
        return Media(descriptor, found.st_size, media_type, stamp)
    except BaseException:
        os.close(descriptor)
        raise


def _media_type(path: str) -> str:
    from evfr.video._container import open_container, video_streams

    with open_container(path) as container:
        names = set(container.format.name.split(","))
        streams = video_streams(container)
        context = streams[0].codec_context if streams else None
        codec = "" if context is None else context.codec.canonical_name
        pixels = "" if context is None else str(context.pix_fmt)
    media_type = "video/mp4" if names & _MP4 else "video/webm" if names & _WEBM else ""
    if codec not in _PLAYS.get(media_type, ()):
        raise NoMedia(
            f"browsers do not play {codec or 'what is'} in {min(names)}; its frames are shown one by one"
        )
    if codec == "h264" and pixels not in _PIXELS:
        raise NoMedia(f"browsers do not play h264 with {pixels} pixels; its frames are shown one by one")
    return media_type


def read_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes that a ``Range`` header asks for.

    Parameters
    ----------
    text : str or None
        The header; None asks for everything.
    size : int
        Bytes of the file.

    Returns
    -------
    tuple of (int, int) or None
        First byte and one past the last; None if it is no single range that the file has.
    """
    if text is None:
        return 0, size
    match = _RANGE.fullmatch(text.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        count = min(int(match[2]), size)
        return (size - count, size) if count else None
    first = int(match[1])
    stop = min(int(match[2]) + 1, size) if match[2] else size
    return (first, stop) if first < stop else None


class MediaAnswer:
    """Send the range asked for, as an ASGI answer: 200, 206 or 416; the file is closed at its end.

    Parameters
    ----------
    media : Media
        The file.
    wanted : str or None
        The ``Range`` header.
    """

    def __init__(self, media: Media, wanted: str | None) -> None:
        self._media = media
        self._span = read_range(wanted, media.size)
        self._is_part = wanted is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await self._answer(scope["method"] == "HEAD", receive, send)
        finally:
            self._media.close()

    async def _answer(self, is_head: bool, receive: Receive, send: Send) -> None:
        size = self._media.size
        first, stop = self._span or (0, 0)
        headers = {"accept-ranges": "bytes", "cache-control": "no-store", "content-length": str(stop - first)}
        if self._span is None:
            headers["content-range"] = f"bytes */{size}"
        else:
            headers["content-type"] = self._media.media_type
            if self._is_part:
                headers["content-range"] = f"bytes {first}-{stop - 1}/{size}"
        status = 416 if self._span is None else 206 if self._is_part else 200
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        if is_head:
            stop = first
        await self._send(first, stop, receive, send)

    async def _send(self, first: int, stop: int, receive: Receive, send: Send) -> None:
        import asyncio

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        watch = asyncio.create_task(gone())
        try:
            while first < stop and not watch.done():
                wanted = min(_CHUNK, stop - first)
                chunk = await asyncio.to_thread(os.pread, self._media.descriptor, wanted, first)
                if not chunk:
                    return  # cut short meanwhile: the connection ends before what was promised
                first += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if first >= stop:
                await send({"type": "http.response.body", "body": b""})
        finally:
            watch.cancel()

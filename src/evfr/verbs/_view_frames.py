"""Exact frames for the page: decoded by `evfr.video`, scaled, as JPEG, and kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.types import FrameTable
    from evfr.video import FrameExtractor, VideoSource

__all__ = ["CACHE_BYTES", "FrameCache", "FrameServer"]

CACHE_BYTES = 96 << 20
"""Bytes of encoded pictures that are kept."""

_OPEN_MOST = 4
_AHEAD = 8
_QUALITY = 90
_STAMP = tuple[int, ...]


class FrameCache:
    """Keep the pictures used last, up to a number of bytes; used from several threads.

    Parameters
    ----------
    most_bytes : int
        How many bytes may be held.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._pictures: OrderedDict[object, bytes] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def get(self, key: object) -> bytes | None:
        """Return a picture, and count it as used."""
        with self._lock:
            found = self._pictures.get(key)
            if found is not None:
                self._pictures.move_to_end(key)
            return found

    def put(self, key: object, picture: bytes) -> None:
        """Keep a picture; those not used for longest go. One that is larger than all room is not kept."""
        with self._lock:
            old = self._pictures.pop(key, None)
            self._bytes -= 0 if old is None else len(old)
            if len(picture) > self._most:
                return
            self._pictures[key] = picture
            self._bytes += len(picture)
            while self._bytes > self._most:
                _, gone = self._pictures.popitem(last=False)
                self._bytes -= len(gone)


class _Reader:
    """One open video, used by one thread at a time."""

    def __init__(self, source: VideoSource, table: FrameTable, stamp: _STAMP) -> None:
        from evfr.video import FrameExtractor

        self.extractor: FrameExtractor = FrameExtractor(source.path, table)
        self.table = table
        self.stamp = stamp
        self.lock = threading.Lock()
        self.last = -(1 << 30)
        self.is_closed = False


class FrameServer:
    """Hand out frames of several videos to several threads: a slow video keeps only itself waiting.

    Parameters
    ----------
    most_bytes : int
        Bytes of pictures that are kept.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self.cache = FrameCache(most_bytes)
        self._lock = threading.Lock()
        self._readers: OrderedDict[int, _Reader] = OrderedDict()

    def picture(
        self, place: int, source: VideoSource, table: FrameTable, stamp: _STAMP, frame_index: int, width: int
    ) -> bytes:
        """Return one frame as JPEG.

        Parameters
        ----------
        place : int
            Of the video.
        source : VideoSource
            The video.
        table : FrameTable
            Its frames.
        stamp : tuple of int
            Of the file: another one opens it anew.
        frame_index : int
            In [0, N).
        width : int
            Widest picture; a narrower video keeps its own width.

        Returns
        -------
        bytes
            JPEG, upright.

        Raises
        ------
        ExtractionError
            If the frame does not decode, or the file has changed.
        VideoError
            If the file cannot be opened.
        """
        key = (place, stamp, frame_index, width)
        found = self.cache.get(key)
        if found is not None:
            return found
        while True:
            reader = self._reader(place, source, table, stamp)
            with reader.lock:
                if reader.is_closed:  # made room for another meanwhile
                    continue
                return self.cache.get(key) or self._decode(reader, key, frame_index, width)

    def close(self) -> None:
        """Close all videos."""
        with self._lock:
            readers = list(self._readers.values())
            self._readers.clear()
        for reader in readers:
            _close(reader)

    def _reader(self, place: int, source: VideoSource, table: FrameTable, stamp: _STAMP) -> _Reader:
        gone = []
        with self._lock:
            reader = self._readers.pop(place, None)
            if reader is not None and reader.stamp != stamp:
                gone.append(reader)
                reader = None
            if reader is None:
                reader = _Reader(source, table, stamp)
            self._readers[place] = reader
            while len(self._readers) > _OPEN_MOST:
                gone.append(self._readers.popitem(last=False)[1])
        for old in gone:
            _close(old)
        return reader

    def _decode(
        self, reader: _Reader, key: tuple[int, _STAMP, int, int], frame_index: int, width: int
    ) -> bytes:
        """Decode a frame; whoever steps through a video is a few frames ahead, which cost no second way there."""
        place, stamp, _, _ = key
        is_stepping = 0 < frame_index - reader.last <= _AHEAD
        reader.last = frame_index
        wanted = [frame_index]
        if is_stepping:
            ahead = range(frame_index + 1, min(frame_index + _AHEAD, len(reader.table)))
            for index in ahead:
                if not reader.table.is_decoded[index]:
                    break
                wanted.append(index)
        first = b""
        try:
            for frame in reader.extractor.frames(wanted, plan="seek"):
                picture = _jpeg(frame.image, width)
                self.cache.put((place, stamp, frame.frame_index, width), picture)
                if frame.frame_index == frame_index:
                    first = picture
                reader.last = frame.frame_index
        except BaseException:
            reader.extractor.close()
            raise
        return first


def _close(reader: _Reader) -> None:
    with reader.lock:
        reader.is_closed = True
        reader.extractor.close()


def _jpeg(image: NDArray[np.uint8], width: int) -> bytes:
    import cv2
    import numpy as np

    height = image.shape[0]
    if image.shape[1] > width:
        height = max(1, round(height * width / image.shape[1]))
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    is_good, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not is_good:
        raise ValueError(f"a picture of {image.shape} cannot be written as JPEG")
    return bytes(data)

"""Decode only the runs of pictures that hold a wanted frame, and prove of each which frame it is.

Packets are found by reading the container forward without decoding (the demux index), or, in containers that
store every packet's time stamp and an index, by a jump to the key frame. A run feeds the decoder from a key frame
on. Two ways tell which frame a picture is:

- *by time*: every frame of the table has a time stamp of its own, and the decoder hands on the packet's;
- *by count*: else a first pass over the packets proves that packets and frames correspond one to one, and a picture's
  place is counted from the key frame, whose place among all packets is known.

Either way the luma hash must then agree. Whatever does not fit raises `Mismatch`; the caller backs off.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

import av
import numpy as np

from evfr._core.types import PTS_NONE
from evfr.video._container import open_container, prepare_decoder, video_streams
from evfr.video._plan import unique_pts
from evfr.video._sieve import Mismatch, Sieve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame as AvFrame
    from av.video.stream import VideoStream

    from evfr._core.types import FrameTable
    from evfr.video._plan import Segment

__all__ = ["RunDecoder", "can_skip"]

# Containers whose packets carry their own time stamps and whose seek uses a stored index.
_SEEKABLE = ("mov", "matroska", "nut")
# Reading over this many packets costs about as much as one jump.
_JUMP_PACKETS = 64
# No codec here delays or reorders further than its picture buffer; two are a margin for field pairs.
_SLACK_PACKETS = 64

_B_IS_NO_REFERENCE = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})


def can_skip(stream: VideoStream) -> bool:
    """Whether leaving out non-reference pictures is proven to change no other picture.

    H.264: pictures with nal_ref_idc 0 are never referenced (ITU-T H.264, 7.4.1). MPEG-1, -2 and MPEG-4 ASP:
    B-pictures are none. HEVC: a sub-layer non-reference picture may still be referenced from a higher temporal
    sub-layer, so the stream must declare exactly one.
    """
    name = stream.codec_context.name
    if name == "h264" or name in _B_IS_NO_REFERENCE:
        return True
    return name == "hevc" and _hevc_has_one_layer(stream.codec_context.extradata)


def _hevc_has_one_layer(extradata: bytes | None) -> bool:
    """Read the number of temporal sub-layers from an hvcC box or from the sequence parameter sets."""
    if not extradata or len(extradata) < 23:
        return False
    if extradata[0] == 1:
        return (extradata[21] >> 3) & 7 == 1
    position, found = 0, []
    while (position := extradata.find(b"\x00\x00\x01", position)) >= 0 and position + 5 < len(extradata):
        if (extradata[position + 3] >> 1) & 63 == 33:
            found.append((extradata[position + 5] >> 1) & 7)
        position += 3
    return bool(found) and all(layers == 0 for layers in found)


class RunDecoder:
    """Hold one open file and decode segments of it; cheapest in increasing order.

    Parameters
    ----------
    path : str or Path
        The video file.
    table : FrameTable
        Identity of every frame.
    threads : int
        Decoder threads.

    Attributes
    ----------
    can_skip : bool
        Whether unwanted non-reference pictures are left out where packets are known by their time.

    Raises
    ------
    Mismatch
        If the file has no video stream.
    VideoError
        If the file cannot be opened.
    """

    def __init__(self, path: str | Path, table: FrameTable, *, threads: int = 1) -> None:
        self._path = path
        self._table = table
        self._threads = threads
        self._by_time = unique_pts(table)
        self._is_countable = bool(table.is_selectable.all())
        self._can_jump = self._by_time
        self._index_of: dict[int | None, int] = {}
        self._place_of: dict[int, int] | None = None
        self._stamps: list[int] = []
        self._open()
        try:
            self.can_skip = can_skip(self._stream)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RunDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, segment: Segment, *, is_careful: bool) -> Iterator[tuple[int, AvFrame]]:
        """Decode one segment and yield its wanted pictures, verified, in presentation order.

        Parameters
        ----------
        segment : Segment
            Where to start, and what to yield.
        is_careful : bool
            Feed every picture and never drain the decoder early.

        Yields
        ------
        index : int
            Of a wanted frame.
        frame : av.VideoFrame
            Its picture.

        Raises
        ------
        Mismatch
            If a picture is not the one that the table holds, or does not come.
        """
        try:
            if not self._by_time and not self._is_countable:
                raise Mismatch("frames cannot be counted where some are damaged or missing")
            is_plain = is_careful and segment.start < 0 and self._is_countable
            if self._by_time and not is_plain and not self._index_of:
                self._index_of = self._times()
            first = self._advance(segment.start)
            if is_plain:
                yield from self._run_plain(segment, first)
            elif self._by_time:
                yield from self._run_by_time(segment, first, is_careful=is_careful)
            else:
                yield from self._run_by_count(segment, first)
        except av.FFmpegError as error:
            self._rewind()
            raise Mismatch(f"decoding failed: {error}") from error
        except Mismatch:
            self._rewind()
            raise

    # Finding the packet to start at

    def _open(self) -> None:
        self._container = open_container(self._path)
        try:
            streams = video_streams(self._container)
            if not streams or streams[0].codec_context is None:
                raise Mismatch("no video stream")
            self._stream = streams[0]
            prepare_decoder(self._stream, threads=self._threads)
            for stream in self._container.streams:
                if stream.index != self._stream.index:
                    stream.discard = av.stream.Discard.all
            self._packets = self._container.demux(self._stream)
        except BaseException:
            self._container.close()
            raise
        self._passed = 0
        self._reached = -1
        # After a plain pass nobody knows which packet comes next.
        self._is_stale = False
        # Packets from the first key frame beyond a segment on: an open group's leading pictures need them for
        # this segment, and the next segment may start at that key frame.
        self._ahead: deque[Packet[VideoStream]] = deque()
        self._kept: list[Packet[VideoStream]] = []
        self._last_wanted: int | None = None

    def _rewind(self) -> None:
        """After a failure: start from the first packet again, and jump no more."""
        self._can_jump = False
        self.close()
        self._open()

    def _read(self) -> Packet[VideoStream] | None:
        """Return the next packet, None at the end of the stream."""
        packet = self._ahead.popleft() if self._ahead else None
        while packet is None:
            packet = next(self._packets, None)
            if packet is None:
                return None
            if packet.size == 0:
                packet = None
        place, self._passed = self._passed, self._passed + 1
        if self._last_wanted is not None:
            if packet.is_keyframe and self._key_index(packet, place) <= self._last_wanted:
                self._kept.clear()
            elif packet.is_keyframe or self._kept:
                self._kept.append(packet)
        return packet

    def _advance(self, start: int) -> Packet[VideoStream]:
        """Go to the packet that holds key frame ``start`` (-1: the first packet of the stream)."""
        if start >= 0 and not self._by_time and self._place_of is None:
            self._place_of = self._count_packets()
        self._ahead.extendleft(reversed(self._kept))
        self._passed -= len(self._kept)
        self._kept, self._last_wanted = [], None
        if self._is_stale or (start < 0 and self._passed):
            self.close()
            self._open()
        if start < 0:
            packet = self._read()
            if packet is None:
                raise Mismatch("no packets")
            return packet
        has_jumped = self._jump(start)
        if start <= self._reached and not has_jumped:
            self.close()
            self._open()
        while (packet := self._read()) is not None:
            if not packet.is_keyframe:
                continue
            index = self._key_index(packet, self._passed - 1)
            if index == start:
                self._reached = start
                return packet
            if has_jumped and index > start:
                break
        if not has_jumped:
            raise Mismatch(f"no packet starts frame {start}")
        self._rewind()
        return self._advance(start)

    def _key_index(self, packet: Packet[VideoStream], place: int) -> int:
        """Return the index of a key packet's frame, -1 if it has none."""
        if self._by_time:
            return self._index_of.get(packet.pts, -1)
        return -1 if self._place_of is None else self._place_of.get(place, -1)

    def _jump(self, start: int) -> bool:
        if not self._can_jump or 0 < start - self._reached < _JUMP_PACKETS:
            return False
        if not self._container.format.name.startswith(_SEEKABLE):
            return False
        try:
            self._container.seek(int(self._table.pts[start]), stream=self._stream, backward=True)
        except av.FFmpegError:
            self._rewind()
            return True
        self._ahead.clear()
        self._packets = self._container.demux(self._stream)
        return True

    def _times(self) -> dict[int | None, int]:
        """Map the time stamp of every decoded frame to its index."""
        decoded = np.flatnonzero(self._table.is_decoded)
        return dict(zip(self._table.pts[decoded].tolist(), decoded.tolist(), strict=True))

    def _count_packets(self) -> dict[int, int]:
        """Map the place of every key packet to its frame, if packets and frames correspond one to one."""
        table = self._table
        places, total = [], 0
        while (packet := self._read()) is not None:
            if packet.is_discard or packet.is_corrupt:
                raise Mismatch("packets without frames")
            if packet.is_keyframe:
                places.append(total)
            total += 1
        self.close()
        self._open()
        keys = np.flatnonzero(table.is_iframe)
        if total != len(table) or len(places) != len(keys):
            raise Mismatch("packets and frames do not correspond one to one")
        # Only leading pictures of an open group come between a key packet's place and its frame's.
        shift = keys - np.array(places, np.int64)
        if len(keys) and (int(shift.min()) < 0 or int(shift.max()) > _SLACK_PACKETS):
            raise Mismatch("key packets are not where the key frames are")
        return dict(zip(places, keys.tolist(), strict=True))

    # Feeding the decoder

    def _run_plain(self, segment: Segment, first: Packet[VideoStream]) -> Iterator[tuple[int, AvFrame]]:
        """Count frames from the first on: as little as can be done per frame, small pictures decode in 50 us."""
        context = self._begin(segment)
        self._is_stale = True
        sieve = Sieve(self._table, segment)
        awaited, position = sieve.awaited, -1
        for packet in chain((first,), self._packets, (None,)):
            if packet is not None and packet.size == 0:
                continue
            for frame in context.decode(packet):
                position += 1
                if position in awaited:
                    stamp = int(self._table.pts[position])
                    if frame.pts != stamp != PTS_NONE:
                        raise Mismatch(f"frame {position} has another time stamp")
                    yield from sieve.take(frame, position)
            if not awaited:
                return
        sieve.finish()

    def _run_by_time(
        self, segment: Segment, first: Packet[VideoStream], *, is_careful: bool
    ) -> Iterator[tuple[int, AvFrame]]:
        context = self._begin(segment)
        index_of = self._index_of
        may_skip = self.can_skip and not is_careful
        is_skipping = False
        wanted, last = set(segment.wanted), segment.wanted[-1]
        sieve = Sieve(self._table, segment)
        to_feed, beyond = len(wanted), 0
        packet: Packet[VideoStream] | None = first
        while packet is not None:
            index = index_of.get(packet.pts, -1)
            if may_skip and is_skipping == (index in wanted or index < 0):
                is_skipping = not is_skipping
                context.skip_frame = "NONREF" if is_skipping else "DEFAULT"
            for frame in context.decode(packet):
                shown = index_of.get(frame.pts, -1)
                if shown in sieve.awaited:
                    yield from sieve.take(frame, shown)
            if not sieve.pending:
                break
            to_feed -= index in wanted
            beyond += index > last
            if to_feed == 0 and not is_careful:
                packet = None
                break
            if beyond > _SLACK_PACKETS:
                raise Mismatch("the decoder keeps back a wanted frame")
            packet = self._read()
        if packet is None:
            for frame in context.decode(None):
                shown = index_of.get(frame.pts, -1)
                if shown in sieve.awaited:
                    yield from sieve.take(frame, shown)
        sieve.finish()

    def _run_by_count(self, segment: Segment, first: Packet[VideoStream]) -> Iterator[tuple[int, AvFrame]]:
        context = self._begin(segment)
        sieve = Sieve(self._table, segment)
        position = max(segment.start, 0) - 1
        has_begun = segment.start < 0
        if not self._stamps:
            self._stamps = self._table.pts.tolist()
        stamps = self._stamps
        packet: Packet[VideoStream] | None = first
        while True:
            for frame in context.decode(packet):
                has_begun = has_begun or frame.key_frame
                if not has_begun:
                    continue
                position += 1
                if position >= len(stamps):
                    raise Mismatch("more frames than the table holds")
                if frame.pts != stamps[position] != PTS_NONE:
                    raise Mismatch(f"frame {position} has another time stamp")
                if position in sieve.awaited:
                    yield from sieve.take(frame, position)
            if not sieve.pending or packet is None:
                break
            packet = self._read()
        sieve.finish()

    def _begin(self, segment: Segment) -> VideoCodecContext:
        context = self._stream.codec_context
        context.flush_buffers()
        if self.can_skip:
            context.skip_frame = "DEFAULT"
        self._last_wanted = self._reached = segment.wanted[-1]
        return context

"""Demux and decode one stream packet by packet, and account for every packet.

Each packet carries its place in decoding order (``order``) to the frame it makes. So it is known which packets made
no frame, which frame each error belongs to, and, through `Damage`, which frames an error may have reached.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import av

from evfr.video._bitstream import lint_for
from evfr.video._container import has_time_stamps
from evfr.video._damage import Damage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame as AvFrame
    from av.video.stream import VideoStream

__all__ = ["Pass", "Presented"]

_HOLD_MOST = 17  # the deepest reordering of H.264, plus one
_HOLD_WITHOUT_PTS = 3
_DEMUX_ERRORS_MOST = 64
_FLUSH_MOST = 64
_GAP = 1.75
_INTRA_CODECS = (
    "mjpeg prores dnxhd ffv1 huffyuv ffvhuff utvideo rawvideo png apng jpeg2000 jpegls dvvideo v210 magicyuv"
)
_INTRA_ONLY = frozenset(_INTRA_CODECS.split())


class _Order(int):
    """A place in decoding order that is one object: PyAV finds it by its address, and Python shares small integers.

    With plain integers, two videos read at once would free each other's.
    """

    __slots__ = ()


class Presented(NamedTuple):
    """A frame, or the place of one that did not decode (``frame`` is None), in presentation order."""

    frame: AvFrame | None
    pts: int | None
    is_suspect: bool


class Pass:
    """One pass over a stream; iterate over `frames`, then read the counts.

    Attributes
    ----------
    packet_count : int
        Packets with data.
    discarded_count : int
        Packets that the container says are not to be shown (edit lists).
    hidden_count : int
        Packets that made no frame of their own and need not (second fields, alternate references).
    error_count : int
        Packets that failed to decode, and failures to read the file.
    corrupt_count : int
        Packets or frames flagged corrupt.
    gap_count : int
        Frames missing in holes of the time stamps.
    first_gap : int or None
        Index of the first frame after a hole.
    unplaced_count : int
        Packets that failed to decode and have no time stamp that would give them a place.
    interlaced_count : int
        Interlaced frames.
    is_encrypted : bool
        Whether the first packet is encrypted.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._has_pts = has_time_stamps(container, stream)
        self._stream = stream
        self._is_intra_only = stream.codec_context.codec.canonical_name in _INTRA_ONLY
        self._lint = lint_for(stream)
        self._pending: dict[int, int | None] = {}
        self._failed: set[int] = set()
        self._held: deque[tuple[AvFrame | None, int | None, int]] = deque()
        self._damage = Damage()
        self._steps: deque[int] = deque(maxlen=15)
        self._step: float | None = None
        self._last_pts: int | None = None
        self._newest: int | None = None
        self._presented = 0
        self._output = 0
        self._has_key = False
        self.is_encrypted = False
        self.packet_count = 0
        self.discarded_count = 0
        self.hidden_count = 0
        self.error_count = 0
        self.corrupt_count = 0
        self.gap_count = 0
        self.first_gap: int | None = None
        self.unplaced_count = 0
        self.interlaced_count = 0

    @property
    def is_damaged(self) -> bool:
        """Whether anything was wrong with packets, frames or the order of time."""
        return bool(self.error_count or self.corrupt_count)

    def frames(self) -> Iterator[Presented]:
        """Yield frames and places in presentation order."""
        for packet in self._packets():
            order = self.packet_count
            self.packet_count += 1
            if packet.is_discard:
                self.discarded_count += 1
            else:
                self._pending[order] = packet.pts if self._has_pts else None
            if packet.is_corrupt or (self._lint is not None and self._lint.is_damaged(bytes(packet))):
                self.corrupt_count += 1
                self._hurt(order)
            self._has_key = self._has_key or packet.is_keyframe
            if not self._has_key and not packet.is_discard:
                # What this packet leans on was never there; most decoders drop it without a word.
                self._failed.add(order)
                self.error_count += 1
                self._hurt(order)
            if order == 0:
                self.is_encrypted = packet.has_sidedata("encryption_info")
            packet.opaque = _Order(order)
            yield from self._accept(self._decode(packet, order))
        for frames in self._flush():
            yield from self._accept(frames)
        self._settle(None, at_end=True)
        yield from self._release(at_end=True)

    # -- in --------------------------------------------------------------------------------------------------------

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield packets with data; go on after a failed read, until too many fail in a row."""
        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    if packet.size:
                        failures = 0
                        yield packet
            except (av.FFmpegError, OSError, ValueError):
                self.error_count += 1
                failures += 1
                self._hurt(self.packet_count)
                if failures < _DEMUX_ERRORS_MOST:
                    continue
            return

    def _decode(self, packet: Packet[VideoStream], order: int) -> list[AvFrame]:
        try:
            return self._stream.codec_context.decode(packet)
        except (av.FFmpegError, OSError, ValueError):
            self.error_count += order not in self._failed
            self._failed.add(order)
            self._hurt(order)
            return []

    def _flush(self) -> Iterator[list[AvFrame]]:
        for _ in range(_FLUSH_MOST):
            try:
                frames = self._stream.codec_context.decode(None)
            except EOFError:
                return
            except (av.FFmpegError, OSError, ValueError):
                self.error_count += 1
                self._hurt(self.packet_count)
                continue
            yield frames
            return

    def _hurt(self, order: int) -> None:
        self._damage.add(order)

    # -- out -------------------------------------------------------------------------------------------------------

    def _accept(self, frames: list[AvFrame]) -> Iterator[Presented]:
        for frame in frames:
            opaque = frame.opaque
            order = int(opaque) if isinstance(opaque, int) else self.packet_count - 1
            pts = frame.pts if self._has_pts else None
            self._pending.pop(order, None)
            if frame.is_corrupt:
                self.corrupt_count += 1
                self._hurt(order)
            if frame.interlaced_frame:
                self.interlaced_count += 1
            is_key = frame.key_frame
            if is_key and not frame.is_corrupt:
                self._damage.add_key(order, pts)
            elif not (self._output or self.discarded_count or is_key) and frame.pict_type not in (0, 1):
                # Nothing this frame leans on was ever there.
                self.corrupt_count += 1
                self._hurt(order)
            if self._pending:
                self._settle(pts)
            self._output += 1
            self._newest = pts
            self._held.append((frame, pts, order))
            yield from self._release()

    def _settle(self, pts: int | None, *, at_end: bool = False) -> None:
        """Decide about packets whose time is past ``pts`` (or all, at the end): a place, or hidden."""
        oldest = self.packet_count - 4 * _HOLD_MOST
        late = [
            (packet_pts is None, packet_pts or 0, order)
            for order, packet_pts in self._pending.items()
            if at_end or order < oldest or (packet_pts is not None and pts is not None and packet_pts < pts)
        ]
        for has_no_pts, packet_pts, order in sorted(late):
            del self._pending[order]
            has_failed = order in self._failed
            self._failed.discard(order)
            if not has_failed and (not self._output or not self._damage.reaches(order, packet_pts)):
                self.hidden_count += 1
            elif has_no_pts or (self._newest is not None and packet_pts <= self._newest):
                self.unplaced_count += has_failed
            elif self._is_crowded(packet_pts, pts):
                self.hidden_count += 1
            else:
                self._newest = packet_pts
                self._held.append((None, packet_pts, order))

    def _is_crowded(self, pts: int, next_pts: int | None) -> bool:
        """Whether a packet lies too near a frame to have one of its own: a second field, say."""
        if self._step is None or not (self.hidden_count or self.interlaced_count):
            return False
        near = [abs(pts - other) for other in (self._newest, next_pts) if other is not None]
        return bool(near) and min(near) < 0.75 * self._step

    def _release(self, *, at_end: bool = False) -> Iterator[Presented]:
        while self._held:
            frame, pts, order = self._held[0]
            if not at_end and frame is not None and self._is_waiting(order, pts):
                return
            self._held.popleft()
            self._watch_time(pts, order)
            is_suspect = frame is None or self._damage.reaches(order, pts)
            yield Presented(frame, pts, is_suspect)

    def _is_waiting(self, order: int, pts: int | None) -> bool:
        """Whether a packet that this frame may lean on, decoded before and shown after it, has yet to come out."""
        if len(self._held) >= (_HOLD_MOST if pts is not None else _HOLD_WITHOUT_PTS):
            return False
        return any(
            other < order and (pts is None or other_pts is None or other_pts > pts)
            for other, other_pts in self._pending.items()
        )

    def _watch_time(self, pts: int | None, order: int) -> None:
        """Notice holes in a steady run of time stamps: what was lost there, later frames may lean on."""
        last, self._last_pts = self._last_pts, pts
        index = self._presented
        self._presented += 1
        if pts is None or last is None or pts <= last:
            return
        step = pts - last
        if self._step is not None and step > _GAP * self._step and self._is_steady():
            self.gap_count += round(step / self._step) - 1
            if self.first_gap is None:
                self.first_gap = index
            proves_all = self._lint is not None and self._lint.proves_references
            if not (self._is_intra_only or proves_all):
                later = [o for o, p in self._pending.items() if p is not None and p > last]
                later += [o for _, p, o in self._held if p is not None and p > last]
                self._hurt(min([*later, order]))
            return
        self._steps.append(step)
        self._step = float(median(self._steps))

    def _is_steady(self) -> bool:
        if self._step is None or len(self._steps) < 5:
            return False
        return max(self._steps) - min(self._steps) <= max(2.0, 0.1 * self._step)

"""Look at coded pictures before they are decoded, for damage that decoders pass over in silence.

An H.264 decoder conceals a lost reference picture without a word, and decodes a hole of zeros as if it were data.
Both leave marks: ``frame_num`` of each slice counts reference pictures (ITU-T H.264, 7.4.3), and three zero bytes
in a row never stand inside a NAL unit (7.4.1; the same in HEVC).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.stream import VideoStream

__all__ = ["FillLint", "Lint", "lint_for"]

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_FILL = b"\xff" * 64
_SECTORS = (b"\0" * 128, b"\xff" * 128)
_HEAD = 64


class _Bits:
    """Read bits and Exp-Golomb codes from the head of a NAL unit, emulation prevention removed."""

    def __init__(self, data: bytes) -> None:
        clean = data.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(clean, "big")
        self._left = 8 * len(clean)

    def read(self, count: int) -> int:
        """Return the next ``count`` bits; IndexError at the end."""
        if count > self._left:
            raise IndexError("end of NAL unit")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def golomb(self) -> int:
        """Return the next unsigned Exp-Golomb code."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 31:
                raise IndexError("no Exp-Golomb code")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """Return the next signed Exp-Golomb code."""
        code = self.golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)


class Lint:
    """Judge the packets of one H.264 or HEVC stream, in decoding order."""

    def __init__(self, extradata: bytes | None, *, is_hevc: bool) -> None:
        self._is_hevc = is_hevc
        self._length_size = 0
        self._frame_num_bits = 0
        self._has_planes = False
        self._last: int | None = None
        self.proves_references = not is_hevc
        data = extradata or b""
        if data[:1] == b"\1":
            place = 21 if is_hevc else 4
            self._length_size = (data[place] & 3) + 1 if len(data) > place else 0
        if not is_hevc:
            for unit in self._sequences(data):
                self._learn(unit)

    def is_damaged(self, packet: bytes) -> bool:
        """Whether the packet shows damage, or shows that a reference picture before it is missing."""
        if self._length_size:
            units, is_whole = self._by_length(packet)
        else:
            units, is_whole = list(self._by_start_code(packet)), True
        damaged = not is_whole
        is_first = True
        for start, stop in units:
            if start >= stop:
                continue
            head = packet[start]
            if head & 0x80:
                damaged = True
                continue
            if self._is_hevc:
                if (head >> 1) & 0x3F < 32 and self._has_hole(packet, start, stop):
                    damaged = True
                continue
            kind = head & 0x1F
            if kind == 7:
                self._learn(packet[start:stop])
            elif kind in (1, 2, 5):
                if self._has_hole(packet, start, stop):
                    damaged = True
                if is_first and kind != 2 and self._breaks(packet[start : min(stop, start + _HEAD)]):
                    damaged = True
                is_first = False
        return damaged

    # -- NAL units -------------------------------------------------------------------------------------------------

    def _by_length(self, packet: bytes) -> tuple[list[tuple[int, int]], bool]:
        size = self._length_size
        units: list[tuple[int, int]] = []
        position = 0
        while position + size <= len(packet):
            length = int.from_bytes(packet[position : position + size], "big")
            position += size
            if length > len(packet) - position:
                return units, False
            units.append((position, position + length))
            position += length
        return units, position == len(packet)

    @staticmethod
    def _by_start_code(packet: bytes) -> Iterator[tuple[int, int]]:
        start = packet.find(b"\0\0\1")
        while start >= 0:
            start += 3
            following = packet.find(b"\0\0\1", start)
            yield start, len(packet) if following < 0 else following
            start = following

    @staticmethod
    def _has_hole(packet: bytes, start: int, stop: int) -> bool:
        while stop > start and packet[stop - 1] == 0:
            stop -= 1
        if packet.find(_FILL, start, stop) >= 0:
            return True
        place = packet.find(b"\0\0\0", start, stop)
        while place >= 0:
            place += 3
            while packet[place] == 0:
                place += 1
            # Some muxers leave an end-of-sequence unit, start code and all, behind the last picture.
            if packet[place] != 1:
                return True
            place = packet.find(b"\0\0\0", place, stop)
        return False

    # -- H.264 reference counting ----------------------------------------------------------------------------------

    def _sequences(self, extradata: bytes) -> Iterator[bytes]:
        if extradata[:1] != b"\1":
            for start, stop in self._by_start_code(extradata):
                if extradata[start] & 0x1F == 7:
                    yield extradata[start:stop]
            return
        position = 6
        for _ in range(extradata[5] & 0x1F if len(extradata) > 5 else 0):
            length = int.from_bytes(extradata[position : position + 2], "big")
            yield extradata[position + 2 : position + 2 + length]
            position += 2 + length

    def _learn(self, unit: bytes) -> None:
        """Take from a sequence parameter set how frame_num is written, and whether it may skip."""
        try:
            bits = _Bits(unit[1:])
            profile = bits.read(8)
            bits.read(16)
            bits.golomb()
            has_planes = False
            if profile in _HIGH_PROFILES:
                chroma = bits.golomb()
                has_planes = bool(chroma == 3 and bits.read(1))
                bits.golomb()
                bits.golomb()
                bits.read(1)
                if bits.read(1):
                    for index in range(12 if chroma == 3 else 8):
                        if bits.read(1):
                            self._skip_scaling(bits, 16 if index < 6 else 64)
            frame_num_bits = bits.golomb() + 4
            order = bits.golomb()
            if order == 0:
                bits.golomb()
            elif order == 1:
                bits.read(1)
                bits.signed()
                bits.signed()
                for _ in range(bits.golomb()):
                    bits.signed()
            bits.golomb()
            may_skip = bits.read(1)
        except IndexError:
            return
        if self._frame_num_bits and frame_num_bits != self._frame_num_bits:
            # Several sequences that write it differently: which one a slice means is not worth finding out.
            self.proves_references = False
        if may_skip or frame_num_bits > 16:
            self.proves_references = False
        self._frame_num_bits = frame_num_bits
        self._has_planes = has_planes

    @staticmethod
    def _skip_scaling(bits: _Bits, size: int) -> None:
        last = following = 8
        for _ in range(size):
            if following:
                following = (last + bits.signed() + 256) % 256
            last = following or last

    def _breaks(self, unit: bytes) -> bool:
        """Whether frame_num of a picture's first slice shows that a reference picture was lost before it."""
        if not (self.proves_references and self._frame_num_bits):
            return False
        is_reference, is_idr = bool(unit[0] & 0x60), unit[0] & 0x1F == 5
        try:
            bits = _Bits(unit[1:])
            for _ in range(3):
                bits.golomb()
            if self._has_planes:
                bits.read(2)
            number = bits.read(self._frame_num_bits)
        except IndexError:
            return True
        last = self._last
        if is_reference:
            self._last = number
        if is_idr or last is None:
            return False
        return number not in (last, (last + 1) % (1 << self._frame_num_bits))


class FillLint:
    """Judge the packets of VP8, VP9 and AV1, whose arithmetic decoders take anything: find holes in the file."""

    proves_references = False

    def is_damaged(self, packet: bytes) -> bool:
        """Whether the packet holds a long run of zeros or ones, as lost sectors leave; coded pictures do not."""
        return any(packet.rstrip(run[:1]).find(run) >= 0 for run in _SECTORS)


def lint_for(stream: VideoStream) -> Lint | FillLint | None:
    """Return the lint for a stream, or None where its codec has none."""
    context = stream.codec_context
    name = context.codec.canonical_name
    if name in ("vp8", "vp9", "av1"):
        return FillLint()
    if name not in ("h264", "hevc"):
        return None
    return Lint(context.extradata, is_hevc=name == "hevc")

"""Bit by bit: parameter sets of every form, containers cut at every kind of place, pictures of odd forms."""

from __future__ import annotations

import os
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from evfr.errors import InputError, ProblemCode, VideoError
from evfr.video import content_hash, read_image
from evfr.video._bitstream import FillLint, Lint
from evfr.video._damage import Damage
from evfr.video._natural import image_names
from evfr.video._pictures import BadImageError, decode_image
from evfr.video._truncation import missing_bytes

# -- H.264 parameter sets and slices, written bit by bit --------------------------------------------


class Bits:
    """Write bits and Exp-Golomb codes (ITU-T H.264, 9.1)."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, count: int, value: int) -> Bits:
        self.text += f"{value:0{count}b}"
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, *values: int) -> Bits:
        return self.ue(*(2 * v - 1 if v > 0 else -2 * v for v in values))

    def unit(self, head: int) -> bytes:
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        body = int(text, 2).to_bytes(len(text) // 8, "big")
        for last in range(4):
            body = body.replace(b"\0\0" + bytes([last]), b"\0\0\3" + bytes([last]))
        return bytes([head]) + body


def sequence(
    form: str = "baseline", *, frame_num_bits: int = 4, may_skip: bool = False, order: int = 0
) -> bytes:
    """Return a sequence parameter set (7.3.2.1.1) up to what follows frame_num."""
    bits = Bits().u(8, 66 if form == "baseline" else 100).u(16, 30).ue(0)
    if form != "baseline":
        bits.ue(3 if form == "planes" else 1)
        if form == "planes":
            bits.u(1, 1)
        bits.ue(0, 0).u(1, 0)
        if form == "lists":
            bits.u(1, 1).u(1, 1).se(
                *[0] * 16
            )  # the first list is written out, each value the same as the last
            bits.u(1, 1).se(-8)  # the second falls back to the default: it ends after one value
            bits.u(1, 0).u(1, 0).u(1, 0).u(1, 0)
            bits.u(1, 1).se(*[1, -1] * 32).u(1, 0)
        else:
            bits.u(1, 0)
    bits.ue(frame_num_bits - 4)
    bits.ue(order)
    if order == 0:
        bits.ue(2)
    elif order == 1:
        bits.u(1, 0).se(-3, 2).ue(2).se(1, -1)
    return bits.ue(1).u(1, may_skip).ue(5, 4).unit(0x67)


def slice_of(
    number: int, *, frame_num_bits: int = 4, is_idr: bool = False, has_planes: bool = False
) -> bytes:
    """Return the first slice of a picture (7.3.3)."""
    bits = Bits().ue(0, 7, 0)
    if has_planes:
        bits.u(2, 1)
    return bits.u(frame_num_bits, number).u(24, 0x5A5A5A).unit(0x65 if is_idr else 0x41)


START = b"\0\0\0\1"


def judged(head: bytes, numbers: list[int], **options: object) -> list[bool]:
    lint = Lint(START + head, is_hevc=False)
    packets = [START + slice_of(n, is_idr=k == 0, **options) for k, n in enumerate(numbers)]  # type: ignore[arg-type]
    return [lint.is_damaged(packet) for packet in packets]


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("form", ["baseline", "high", "lists", "planes"])
def test_frame_num_is_found_behind_every_form_of_parameters(form, order):
    options = {"has_planes": form == "planes"}
    assert judged(sequence(form, order=order), [0, 1, 2, 2, 3], **options) == [False] * 5
    assert judged(sequence(form, order=order), [0, 1, 3, 4, 0], **options) == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_frame_num_wraps_at_its_own_width():
    for width in (4, 7, 16):
        top = (1 << width) - 1
        head = sequence(frame_num_bits=width)
        assert judged(head, [top - 1, top, 0, 1], frame_num_bits=width) == [False] * 4
        assert judged(head, [top - 1, top, 1], frame_num_bits=width) == [False, False, True]


def test_streams_that_may_skip_numbers_prove_nothing():
    assert judged(sequence(may_skip=True), [0, 1, 5]) == [False] * 3
    lint = Lint(START + sequence(), is_hevc=False)
    assert lint.proves_references
    lint.is_damaged(START + sequence(frame_num_bits=6))
    assert not lint.proves_references, "two sequences that write numbers differently"
    assert not Lint(None, is_hevc=True).proves_references


def test_a_cut_parameter_set_is_not_believed():
    head = sequence("lists")
    for stop in range(2, 9):
        assert judged(head[:stop], [0, 5]) == [False, False]
    assert judged(b"\x67" + b"\0" * 30, [0, 5]) == [False, False], "an Exp-Golomb code without end"


def test_a_slice_too_short_to_have_a_number_is_damage():
    lint = Lint(START + sequence(), is_hevc=False)
    assert lint.is_damaged(START + b"\x41\x9a") is True
    assert lint.is_damaged(START + b"\xc1\x9a" + b"\x55" * 9) is True, "the forbidden bit"


def test_lengths_that_do_not_add_up_are_damage():
    unit = slice_of(0, is_idr=True)
    avcc = b"\1\x42\0\x1e\xff\xe1" + len(sequence()).to_bytes(2, "big") + sequence() + b"\1"
    packet = len(unit).to_bytes(4, "big") + unit
    assert not Lint(avcc, is_hevc=False).is_damaged(packet)
    assert Lint(avcc, is_hevc=False).is_damaged(packet[:-1])
    assert Lint(avcc, is_hevc=False).is_damaged(packet + b"\0")
    assert not Lint(avcc, is_hevc=False).is_damaged(b"\0\0\0\0" + packet), "an empty unit is none"
    lint = Lint(avcc, is_hevc=False)
    assert [lint.is_damaged(len(u).to_bytes(4, "big") + u) for u in (unit, slice_of(2))] == [False, True]


def test_lost_sectors_show_in_codecs_that_take_anything():
    rng = np.random.default_rng(3)
    whole = rng.integers(1, 255, 600, np.uint8).tobytes()
    assert not FillLint().is_damaged(whole)
    assert not FillLint().is_damaged(whole + b"\0" * 300), "padding behind the picture"
    assert FillLint().is_damaged(whole[:200] + b"\0" * 128 + whole[200:])
    assert FillLint().is_damaged(whole[:200] + b"\xff" * 128 + whole[200:])
    assert not FillLint().is_damaged(whole[:200] + b"\0" * 127 + whole[200:])


def test_whether_anything_is_damaged():
    damage = Damage()
    assert not damage
    damage.add(4)
    assert damage


# -- files that end too early -----------------------------------------------------------------------


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def vint(value: int, length: int = 1) -> bytes:
    return (value | 1 << (7 * length)).to_bytes(length, "big")


FTYP = box(b"ftyp", b"isom")
WIDE = struct.pack(">I", 1) + b"mdat" + struct.pack(">Q", 16 + 40) + bytes(40)
SEGMENT, CLUSTER, EBML = bytes.fromhex("18538067"), bytes.fromhex("1f43b675"), bytes.fromhex("1a45dfa3")
CUT = {
    "mov: whole": ("mov", FTYP + box(b"mdat", bytes(40)), 0),
    "mov: cut in a box": ("mov", FTYP + box(b"mdat", bytes(40))[:-7], 7),
    "mov: cut in a head": ("mov", FTYP + b"\0\0\0", 5),
    "mov: cut in a long head": ("mov", FTYP + WIDE[:11], 5),
    "mov: long, whole": ("mov", FTYP + WIDE, 0),
    "mov: long, cut": ("mov", FTYP + WIDE[:-3], 3),
    "mov: to the end of the file": ("mov", FTYP + b"\0\0\0\0mdat" + bytes(9), 0),
    "mov: a length that cannot be": ("mov", FTYP + b"\0\0\0\5mdat" + bytes(9), 0),
    "avi: whole": ("avi", b"RIFF" + struct.pack("<I", 20) + bytes(20), 0),
    "avi: two": (
        "avi",
        (b"RIFF" + struct.pack("<I", 3) + bytes(4)) + b"RIFF" + struct.pack("<I", 9) + bytes(2),
        7,
    ),
    "avi: being written": ("avi", b"RIFF" + struct.pack("<I", 0) + bytes(20), 0),
    "avi: something else": ("avi", b"XXXX" + struct.pack("<I", 900) + bytes(20), 0),
    "matroska: whole": (
        "matroska",
        EBML + vint(2) + b"ab" + SEGMENT + vint(3) + b"\xec" + vint(1) + b"x",
        0,
    ),
    "matroska: cut": ("matroska", EBML + vint(2) + b"ab" + SEGMENT + vint(100, 2) + bytes(30), 70),
    "matroska: unknown length, cluster cut": (
        *("matroska", EBML + vint(0) + SEGMENT + vint(127) + CLUSTER + vint(50) + bytes(30)),
        20,
    ),
    "matroska: cut in an element's name": ("matroska", EBML + vint(0) + SEGMENT + vint(127) + CLUSTER[:2], 1),
    "matroska: an element of unknown length": (
        *(
            "matroska",
            EBML + vint(0) + SEGMENT + vint(127) + CLUSTER + vint(127) + b"\xa3" + vint(127) + bytes(9),
        ),
        0,
    ),
    "matroska: no number at all": ("matroska", b"\0" * 9, 0),
    "mpegts: 188": ("mpegts", (b"G" + bytes(187)) * 5, 0),
    "mpegts: 188, cut": ("mpegts", ((b"G" + bytes(187)) * 5)[:-10], 10),
    "mpegts: 192": ("mpegts", ((bytes(4) + b"G" + bytes(187)) * 5)[:-2], 2),
    "mpegts: 204": ("mpegts", ((b"G" + bytes(203)) * 5)[:-4], 4),
    "mpegts: no packets": ("mpegts", bytes(900), 0),
    "flv: whole": (
        "flv",
        b"FLV\1\5\0\0\0\x09" + bytes(4) + b"\x09\0\0\5" + bytes(7) + bytes(5) + bytes(4),
        0,
    ),
    "flv: cut in a tag": ("flv", b"FLV\1\5\0\0\0\x09" + bytes(4) + b"\x09\0\0\5" + bytes(7) + bytes(5), 4),
    "flv: cut in a head": ("flv", b"FLV\1\5\0\0\0\x09" + bytes(4) + b"\x09\0\0", 8),
    "flv: something else": ("flv", b"FLX\1\5\0\0\0\x09" + bytes(4), 0),
    "flv: shorter than its head": ("flv", b"FLV", 0),
    "ivf: whole": (
        "ivf",
        b"DKIF\0\0" + struct.pack("<H", 32) + bytes(24) + struct.pack("<I", 6) + bytes(8 + 6),
        0,
    ),
    "ivf: cut": (
        "ivf",
        b"DKIF\0\0" + struct.pack("<H", 32) + bytes(24) + struct.pack("<I", 6) + bytes(8 + 2),
        4,
    ),
    "ivf: cut in a head": ("ivf", b"DKIF\0\0" + struct.pack("<H", 32) + bytes(24) + bytes(5), 7),
    "ivf: shorter than its head": ("ivf", b"DKIF\0\0", 0),
    "gif: whole": ("gif", b"GIF89a" + bytes(4) + b"\0\0\0" + b"!\xf9\x02ab\0" + b";", 0),
    "gif: with colours": ("gif", b"GIF89a" + bytes(4) + b"\x80\0\0" + bytes(6) + b";", 0),
    "gif: picture": (
        "gif",
        b"GIF89a" + bytes(7) + b"," + bytes(8) + b"\x80" + bytes(6) + b"\2" + b"\3abc\0" + b";",
        0,
    ),
    "gif: no trailer": ("gif", b"GIF89a" + bytes(7) + b"!\xf9\x02ab\0", 1),
    "gif: cut in a piece": ("gif", b"GIF89a" + bytes(7) + b"!\xf9\x09ab", 8),
    "gif: an unknown block": ("gif", b"GIF89a" + bytes(7) + b"?ab", 0),
    "gif: shorter than its head": ("gif", b"GIF89a", 0),
}


@pytest.mark.parametrize("case", CUT)
def test_bytes_that_are_missing(tmp_path, case):
    container, data, missing = CUT[case]
    path = tmp_path / "a"
    path.write_bytes(data)
    assert missing_bytes(path, container) == missing


# -- pictures ---------------------------------------------------------------------------------------


def tiff(pixels: np.ndarray) -> bytes:
    done, data = cv2.imencode(".tiff", pixels)
    assert done
    return data.tobytes()


def test_deep_pictures_that_only_opencv_knows_are_rounded():
    pixels = np.array([[[0, 128, 129], [65535, 257, 385]]], np.uint16)
    expected = np.round(pixels[:, :, ::-1] / 257).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(tiff(pixels), max_pixels=10), expected)


def test_deep_pictures_are_turned_as_their_orientation_says(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (3, 5, 3), np.uint16)
    done, data = cv2.imencode(".png", pixels)
    assert done
    plain = decode_image(data.tobytes(), max_pixels=100)
    # An eXIf chunk with orientation 6 (turn right) behind the head of the PNG.
    exif = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    import zlib

    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    turned = decode_image(data.tobytes()[:33] + chunk + data.tobytes()[33:], max_pixels=100)
    np.testing.assert_array_equal(turned, np.rot90(plain, -1))


def test_tiffs_are_measured_before_they_are_decoded():
    data = bytearray(tiff(np.zeros((4, 6, 3), np.uint16)))
    with pytest.raises(BadImageError, match=r"6x4 is more than 10 pixels"):
        decode_image(bytes(data), max_pixels=10)
    with pytest.raises(BadImageError, match="TIFF"):
        decode_image(b"II*\0" + struct.pack("<I", 4000) + bytes(30), max_pixels=10)


def head_of_tiff(order: str, *tags: tuple[int, int, int]) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = struct.pack(f"{order}IH", 8, len(tags))
    for tag, kind, value in tags:
        body += struct.pack(f"{order}HHI", tag, kind, 1) + (
            struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
        )
    return mark + body + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_sizes_in_either_byte_order_and_width(order, kind):
    data = head_of_tiff(order, (256, kind, 700), (257, kind, 900), (258, 3, 99), (259, 3, 1), (262, 3, 7))
    with pytest.raises(BadImageError, match="700x900 is more than 1000 pixels"):
        decode_image(data, max_pixels=1000)
    with pytest.raises(BadImageError, match="a TIFF form that is not known"):
        decode_image(data, max_pixels=10**6)


@pytest.mark.parametrize(
    ("mode", "value", "reason"),
    [("F", 0.5, "floating-point samples"), ("I", 70_000, "32-bit samples"), ("I", -1, "32-bit samples")],
)
def test_samples_without_a_meaning_in_8_bit_are_refused(tmp_path, mode, value, reason):
    Image.new(mode, (3, 2), value).save(tmp_path / "a.tif")
    with pytest.raises(BadImageError, match=reason):
        decode_image((tmp_path / "a.tif").read_bytes(), max_pixels=100)


def test_one_image_is_read_or_refused(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)
    with pytest.raises(InputError, match=r"cannot read the image .*gone\.png: No such file"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    with pytest.raises(
        InputError, match=r"b\.png is no image that can be read: not an image of a known format"
    ):
        read_image(tmp_path / "b.png")
    with pytest.raises(InputError, match="4x2 is more than 7 pixels"):
        read_image(tmp_path / "a.png", max_pixels=7)


# -- folders ----------------------------------------------------------------------------------------


def test_folders_that_cannot_be_listed_say_why(tmp_path, monkeypatch):
    with pytest.raises(VideoError, match="no such folder") as caught:
        image_names(tmp_path / "gone")
    assert caught.value.problem.code is ProblemCode.E_NOT_FOUND

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        VideoError, match="cannot be listed: Permission denied; check its permissions"
    ) as caught:
        image_names(tmp_path)
    assert caught.value.problem.code is ProblemCode.E_UNREADABLE


def test_a_disk_that_fails_while_hashing_is_told(tmp_path, monkeypatch):
    from evfr.video import _hash

    class Failing:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, _count):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(_hash, "open_bytes", lambda _path: Failing())
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(VideoError, match="cannot be read: Input/output error; check the disk") as caught:
        content_hash(tmp_path / "a.mp4")
    assert caught.value.problem.code is ProblemCode.E_UNREADABLE

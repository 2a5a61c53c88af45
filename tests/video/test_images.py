"""Folders and zips of images: order, orientation, depth, modes, broken ones, bombs."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from evfr._core.types import PTS_NONE
from evfr.errors import ProblemCode, VideoError
from evfr.video import frames, inspect_video, open_video, scan
from evfr.video._images import missing_numbers
from evfr.video._natural import natural_key
from evfr.video._pictures import BadImageError, decode_image
from helpers.clips import moving_square

PICTURES = moving_square(12, size=(64, 48))
LIMIT = 1 << 20


def png(picture: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG", **options)
    return out.getvalue()


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def archive(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def numbered(count: int) -> dict[str, bytes]:
    return {f"img{k}.png": png(PICTURES[k]) for k in range(count)}


def test_natural_order_folder_and_zip_are_one(tmp_path: Path) -> None:
    files = numbered(12)
    a, b = folder(tmp_path / "a", files), archive(tmp_path / "b.zip", files)
    for path, kind in ((a, "images"), (b, "archive")):
        given = list(frames(path))
        assert [f.frame_index for f in given] == list(range(12))
        assert all(np.array_equal(f.image, truth) for f, truth in zip(given, PICTURES, strict=True))
        table, info, problems = scan(path)
        assert (info.kind, info.codec, info.width, info.height) == (kind, "png", 64, 48)
        assert table.is_time_estimated
        assert (table.pts == PTS_NONE).all()
        np.testing.assert_allclose(table.time_seconds, np.arange(12) / 25)
        assert table.is_iframe.all()
        assert not problems
        assert info.status == "ok"
    np.testing.assert_array_equal(scan(a)[0].luma_hash, scan(b)[0].luma_hash)
    assert inspect_video(b).frame_count == 12


def test_a_broken_image_keeps_its_place(tmp_path: Path) -> None:
    files = numbered(5) | {"img2.png": png(PICTURES[2])[:300], "img4.png": b""}
    path = folder(tmp_path / "a", files)
    table, info, problems = scan(path)
    assert table.is_decoded.tolist() == [True, True, False, True, False]
    assert [(p.code, p.frame_index) for p in problems] == [(ProblemCode.W_IMAGE, 2), (ProblemCode.W_IMAGE, 4)]
    assert info.status == "partial"
    assert [f.frame_index for f in frames(path)] == [0, 1, 3]
    with pytest.raises(VideoError, match=r"img2\.png cannot be read") as caught:
        scan(path, damaged="fail")
    assert caught.value.problem.code is ProblemCode.E_DAMAGED


def test_nothing_readable_and_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="not one image can be read") as caught:
        scan(folder(tmp_path / "bad", {"0.jpg": b"no", "1.jpg": b"image"}))
    assert caught.value.problem.code is ProblemCode.E_NO_FRAMES
    with pytest.raises(VideoError, match="the folder has no images") as caught:
        open_video(folder(tmp_path / "none", {"notes.txt": b"x"}))
    assert caught.value.problem.code is ProblemCode.E_EMPTY
    with pytest.raises(VideoError, match="the zip has no images") as caught:
        open_video(archive(tmp_path / "none.zip", {"notes.txt": b"x"}))
    assert caught.value.problem.code is ProblemCode.E_EMPTY


def test_other_sizes_are_told_and_given_as_they_are(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", numbered(3) | {"img3.png": png(PICTURES[3][:20, :30])})
    with open_video(path) as video:
        shapes = [frame.shape for frame in video]
    assert shapes == [(48, 64)] * 3 + [(20, 30)]
    assert [(p.code, p.frame_index) for p in video.problems] == [(ProblemCode.W_IMAGE_SIZE, 3)]


def test_holes_in_the_numbering_are_told(tmp_path: Path) -> None:
    files = numbered(8)
    del files["img3.png"], files["img4.png"]
    problems = scan(folder(tmp_path / "a", files))[2]
    assert [(p.code, p.count) for p in problems] == [(ProblemCode.W_NUMBERING, 2)]


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["1.png", "2.png", "3.png"], 0),
        (["1.png", "2.png", "5.png"], 2),
        (["a10.png", "a20.png", "a40.png"], 1),
        (["a.png", "b.png", "c.png"], 0),
        (["a1.png", "b5.png", "c9.png"], 0),
        (["x_001.jpg", "x_002.jpg", "x_004.JPG"], 1),
        (["1.png", "3.png"], 0),
        (["1.png", "4.png", "6.png"], 3),
    ],
)
def test_missing_numbers(names: list[str], missing: int) -> None:
    assert missing_numbers(names) == missing


def test_natural_key_orders_numbers_as_numbers() -> None:
    names = ["b1", "a10", "a9", "A11", "a09", "10", "9", ""]
    assert sorted(names, key=natural_key) == ["", "9", "10", "a09", "a9", "a10", "A11", "b1"]
    assert sorted(["1a", "a1"], key=natural_key) == ["1a", "a1"]


# -- one image ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    """Oracle: the EXIF standard's table, as numpy turns."""
    picture = PICTURES[0]
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = {
        1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud, 5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p, 2).swapaxes(0, 1), 8: lambda p: np.rot90(p, 1),
    }  # fmt: skip
    decoded = decode_image(png(picture, exif=exif), max_pixels=LIMIT)
    np.testing.assert_array_equal(decoded, turns[orientation](picture))


def test_16_bit_is_rounded_not_clipped_or_cut() -> None:
    grey = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    expected = np.round(grey / 257).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    for data in (out.getvalue(), cv2.imencode(".tif", grey)[1].tobytes()):
        picture = decode_image(data, max_pixels=LIMIT)
        assert np.array_equal(picture, np.repeat(expected[:, :, None], 3, axis=2))
    colour = np.dstack([grey, grey[::-1], grey[:, ::-1]])
    expected = np.round(colour / 257).astype(np.uint8)
    for suffix in (".png", ".tif"):
        data = cv2.imencode(suffix, colour[:, :, ::-1])[1].tobytes()
        np.testing.assert_array_equal(decode_image(data, max_pixels=LIMIT), expected, err_msg=suffix)


def test_modes() -> None:
    image = Image.fromarray(PICTURES[0])
    for mode, form in (
        ("CMYK", "JPEG"),
        ("L", "PNG"),
        ("1", "PNG"),
        ("P", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
    ):
        out = io.BytesIO()
        image.convert(mode).save(out, form)
        picture = decode_image(out.getvalue(), max_pixels=LIMIT)
        assert picture.shape == (48, 64, 3)
        truth = np.asarray(image.convert(mode).convert("RGB"))
        assert np.abs(picture.astype(int) - truth).mean() < 10, mode


def test_alpha_is_dropped_not_blended() -> None:
    rgba = np.dstack([PICTURES[0], np.full((48, 64), 7, np.uint8)])
    np.testing.assert_array_equal(decode_image(png(rgba), max_pixels=LIMIT), PICTURES[0])


def png_bomb(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (png_bomb(2000), "2000x2000 is more than 1048576 pixels"),
        (png_bomb(60000), "far too many pixels"),
        (b"II*\0" + bytes(40), "TIFF|known format"),
    ],
)
def test_bad_images_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(BadImageError, match=reason):
        decode_image(data, max_pixels=LIMIT)


# -- zips --------------------------------------------------------------------------------------------------------------


def refused(path: Path, reason: str) -> None:
    with pytest.raises(VideoError, match=reason) as caught:
        open_video(path)
    assert caught.value.problem.code is ProblemCode.E_ARCHIVE


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "..\\x.png", "C:\\x.png"])
def test_zip_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    refused(archive(tmp_path / "a.zip", numbered(1) | {name: b"x"}), "a member's path leads out")


def test_zip_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "a.zip", {"0.png": bytes(30_000_000)}, zipfile.ZIP_DEFLATED)
    refused(bomb, "unpacks to far more than it takes")


def test_encrypted_and_broken_zips_are_refused(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path / "a.zip", numbered(2)).read_bytes())
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "cut.zip", "a broken zip")
    place = data.index(b"PK\1\2")
    data[place + 8] |= 1
    (tmp_path / "sealed.zip").write_bytes(data)
    refused(tmp_path / "sealed.zip", "is encrypted")


def test_zip_member_with_a_wrong_checksum_keeps_its_place(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", numbered(3))
    data = bytearray(path.read_bytes())
    place = data.index(b"img1.png") + 200
    data[place] ^= 0xFF
    path.write_bytes(data)
    table, _, problems = scan(path)
    assert table.is_decoded.tolist() == [True, False, True]
    assert [p.code for p in problems] == [ProblemCode.W_IMAGE]


def test_nothing_of_a_zip_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.zip", numbered(3))
    real = os.open

    def watch(name: object, flags: int, *rest: int, **more: int) -> int:
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), name
        return real(name, flags, *rest, **more)

    monkeypatch.setattr(os, "open", watch)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert len(list(frames(path))) == 3
    assert sorted(tmp_path.iterdir()) == before


def test_fifo_and_loop_named_like_images_do_not_hang(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", numbered(2))
    os.mkfifo(path / "img2.png")
    (path / "img3.png").symlink_to("img3.png")
    table, _, problems = scan(path)
    assert table.is_decoded.tolist() == [True, True, False, False]
    assert [p.code for p in problems] == [ProblemCode.W_IMAGE] * 2

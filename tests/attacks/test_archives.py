"""Zips whose members escape, lie, swell or hide: the same ones as videos of images and as label files."""

from __future__ import annotations

import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from attacks.guard import refused
from attacks.makers import png, zip_of
from evfr.errors import AnnotationError, VideoError

PICTURE = png(8, 8)


def patched(path: Path, *edits: tuple[bytes, int, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip of one picture, then overwrite bytes at so far from a mark (an empty mark is the start)."""
    zip_of(path, ("00000.png", PICTURE * 5), compression=compression)
    data = bytearray(path.read_bytes())
    for mark, place, new in edits:
        at = data.find(mark) + place
        data[at : at + len(new)] = new
    path.write_bytes(data)
    return path


def named(name: str):
    return lambda path: zip_of(path, ("00000.png", PICTURE), (name, PICTURE))


def twins(path: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):
        return zip_of(path, ("00000.png", PICTURE), ("00000.png", PICTURE))


def overlapping(path: Path) -> Path:
    """Two names for the same bytes, as in zip bombs that swell by the square."""
    zip_of(path, ("00000.png", PICTURE))
    data = path.read_bytes()
    start, end = data.find(b"PK\1\2"), data.find(b"PK\5\6")
    entry = data[start:end]
    both = entry + entry.replace(b"00000.png", b"00001.png")
    tail = bytearray(data[end:])
    tail[8:16] = struct.pack("<HHI", 2, 2, len(both))
    path.write_bytes(data[:start] + both + bytes(tail))
    return path


def link(path: Path) -> Path:
    info = zipfile.ZipInfo("00001.png")
    info.external_attr = 0o120777 << 16
    return zip_of(path, (info, b"../../outside/secret.png"))


def lying_end(path: Path) -> Path:
    path.write_bytes(
        b"PK\3\4" + bytes(30) + b"PK\6\6" + bytes(60) + b"PK\6\7" + struct.pack("<IQI", 0, 2**62, 1)
        + b"PK\5\6" + struct.pack("<HHHHIIH", *[0xFFFF] * 4, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    )  # fmt: skip
    return path


CENTRAL, LOCAL = b"PK\1\2", b"PK\3\4"
TRICKS = {
    "parent": named("../00001.png"),
    "parent within": named("a/../../00001.png"),
    "absolute": named("/00001.png"),
    "drive": named("C:/00001.png"),
    "drive and backslash": named("C:\\00001.png"),
    "network share": named("\\\\host\\share\\00001.png"),
    "backslash and parent": named("..\\00001.png"),
    "zero byte": named("a\0/00001.png"),
    "twins": twins,
    "overlapping": overlapping,
    "link": link,
    "encrypted": lambda path: patched(path, (CENTRAL, 8, b"\1\0"), (LOCAL, 6, b"\1\0")),
    "method of another kind": lambda path: patched(path, (CENTRAL, 10, b"\x63\0"), (LOCAL, 8, b"\x63\0")),
    "lzma with a dictionary of 4 GB": lambda path: patched(
        path, (b"00000.png", 14, b"\xff\xff\xff\xff"), compression=zipfile.ZIP_LZMA
    ),
    "damaged bzip2": lambda path: patched(
        path, (b"00000.png", 25, b"\xff" * 9), compression=zipfile.ZIP_BZIP2
    ),
    "damaged deflate": lambda path: patched(path, (b"00000.png", 12, b"\xff" * 9)),
    "2 GB claimed": lambda path: patched(path, (CENTRAL, 24, struct.pack("<I", 2**31))),
    "too few bytes claimed": lambda path: patched(path, (CENTRAL, 24, struct.pack("<I", 9))),
    "start behind the end": lambda path: patched(path, (CENTRAL, 42, struct.pack("<I", 2**31))),
    "another name in front": lambda path: patched(path, (LOCAL, 30, b"\xff\xfe"), (LOCAL, 6, b"\0\x08")),
    "end that lies": lying_end,
    "swelling member": lambda path: zip_of(path, ("00000.png", bytes(1 << 25))),
}


@pytest.mark.parametrize("name", TRICKS)
def test_zips_of_images(work, name):
    from evfr.video import scan

    path = TRICKS[name](work / "a.zip")
    if (
        name == "overlapping"
    ):  # the second name is none of the member's own: its place is kept, and never selected
        table, _, problems = scan(path)
        assert table.is_selectable.tolist() == [True, False]
        assert [problem.code for problem in problems] == ["W_IMAGE"]
        return
    refused(lambda: scan(path), r"E_ARCHIVE|E_NO_FRAMES", VideoError, megabytes=128)


@pytest.mark.parametrize("name", TRICKS)
def test_zips_of_label_pictures(work, name):
    from evfr.annotations import read

    path = TRICKS[name](work / "a.zip")
    refused(lambda: read(path, format="masks"), r"a\.zip", AnnotationError, megabytes=128)


def test_a_zip_in_a_zip_is_left_alone(work):
    from evfr.video import scan

    inner = zip_of(work / "inner.zip", ("00000.png", PICTURE))
    outer = zip_of(work / "outer.zip", ("00001.png", PICTURE), ("inner.zip", inner.read_bytes()))
    assert len(scan(outer)[0]) == 1


def test_a_folder_does_not_lead_out(work, outside):
    """Links below a folder of labels that lead to a file elsewhere are refused, a hard link is the file itself."""
    from evfr.annotations import read

    folder = work / "labels"
    folder.mkdir()
    (folder / "00000.png").symlink_to(outside.picture)
    refused(lambda: read(folder, format="masks"), r"is a link that leads out of", AnnotationError)
    (folder / "00000.png").unlink()
    (folder / "00000.png").symlink_to("/dev/zero")
    refused(
        lambda: read(folder, format="masks"), r"is a link that leads out of", AnnotationError, megabytes=64
    )

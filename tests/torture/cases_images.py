"""Folders and zips of images, sound and spoilt."""

# One row a case, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torture import pictures
from torture.case import Case, Maker, Workshop, failed, ok, partial
from torture.pictures import Content, image, image_bytes, numbered, png_bomb

__all__ = ["CASES"]


def folder(files: Mapping[str, Content] | None = None) -> Maker:
    """Write a folder of files."""
    return lambda w, path: pictures.folder(path, files or {})


def archive(files: Mapping[str, Content] | list[tuple[str, Content]], *, deflate: bool = False) -> Maker:
    """Write a zip of files."""
    return lambda w, path: pictures.zipped(path, files, deflate=deflate)


def sealed(files: Mapping[str, Content]) -> Maker:
    """Write a zip that claims to be encrypted."""
    return lambda w, path: pictures.encrypted(path, files)


def changed(make: Maker, change) -> Maker:
    """Write a zip changed by a function on its bytes."""

    def spoil(w: Workshop, path: Path) -> None:
        make(w, path)
        path.write_bytes(change(path.read_bytes()))

    return spoil


def folder_with_odd_entries(w: Workshop, path: Path) -> None:
    """Write images beside a FIFO and a loop that are named like images."""
    pictures.folder(path, numbered(6))
    os.mkfifo(path / "006.jpg")
    (path / "007.jpg").symlink_to(path / "007.jpg")


def flip_in_member(raw: bytes) -> bytes:
    """Change one byte in the middle of the first member, so that its checksum fails."""
    return raw[:600] + bytes([raw[600] ^ 0x55]) + raw[601:]


def wrong_size(raw: bytes) -> bytes:
    """Let the directory claim that every member unpacks to 3 GB."""
    out, at = bytearray(raw), raw.find(b"PK\1\2")
    while at >= 0:
        out[at + 24 : at + 28] = (3 << 30).to_bytes(4, "little")
        at = raw.find(b"PK\1\2", at + 4)
    return bytes(out)


TEN = numbered(10)


def half() -> bytes:
    """Return the first half of a JPEG."""
    return image_bytes(4)[: len(image_bytes(4)) // 2]


def flipped_png() -> bytes:
    """Return a PNG with two wrong bytes in the middle."""
    raw = image_bytes(4, "PNG")
    return raw[:900] + b"\xaa\x55" + raw[902:]


def big() -> bytes:
    """Return 40 MB of nothing, which a zip packs into 40 KB."""
    return bytes(40_000_000)



FOLDERS = (
    ok("images", 10, folder(TEN), size=(96, 54)),
    ok("images_png", 5, folder(numbered(5, "{}.png"))),
    ok("images_one", 1, folder(numbered(1))),
    ok("images_natural", 12, folder(numbered(12, "frame {}.jpg"))),
    ok("images_from_1000", 5, folder({f"img{1000 + i}.jpg": image(i) for i in range(5)})),
    ok("images_upper_case", 3, folder({f"A{i}.JPG": image(i) for i in range(3)})),
    ok("images_and_notes", 5, folder({**numbered(5), "notes.txt": b"hello", "Thumbs.db": b"\xd0\xcf", ".hidden.jpg": b"x"})),
    ok("images_holes", 8, folder({k: v for k, v in TEN.items() if k not in ("003.jpg", "004.jpg")}), "W_NUMBERING"),
    ok("images_sizes", 6, folder({**numbered(5), "005.jpg": image(5, size=(64, 64))}), "W_IMAGE_SIZE"),
    ok("images_exif_6", 3, folder({f"{i}.jpg": image(i, orientation=6) for i in range(3)}), size=(54, 96)),
    ok("images_exif_3", 3, folder({f"{i}.jpg": image(i, orientation=3) for i in range(3)}), size=(96, 54)),
    ok("images_exif_mixed", 4, folder({f"{i}.jpg": image(i, orientation=6 * (i == 2)) for i in range(4)}), "W_IMAGE_SIZE"),
    ok("images_16bit", 3, folder({f"{i}.png": image(i, "PNG", "I;16") for i in range(3)})),
    ok("images_16bit_rgb", 3, folder({f"{i}.png": image(i, "PNG", "RGB16") for i in range(3)})),
    ok("images_cmyk", 3, folder({f"{i}.jpg": image(i, "JPEG", "CMYK") for i in range(3)})),
    ok("images_grey", 3, folder({f"{i}.jpg": image(i, "JPEG", "L") for i in range(3)})),
    ok("images_1bit", 3, folder({f"{i}.png": image(i, "PNG", "1") for i in range(3)})),
    ok("images_palette", 3, folder({f"{i}.png": image(i, "PNG", "P") for i in range(3)})),
    ok("images_rgba", 3, folder({f"{i}.png": image(i, "PNG", "RGBA") for i in range(3)})),
    ok("images_tiff", 3, folder({f"{i}.tif": image(i, "TIFF") for i in range(3)})),
    ok("images_bmp_webp", 4, folder({"0.bmp": image(0, "BMP"), "1.webp": image(1, "WEBP"), "2.png": image(2, "PNG"), "3.jpg": image(3)})),
    ok("images_1x1", 3, folder({f"{i}.png": image(i, "PNG", size=(1, 1)) for i in range(3)}), size=(1, 1)),
    ok("images_odd_names", 4, folder({"<b>.jpg": image(0), "a\nb.jpg": image(1), "%d.jpg": image(2), "-x.jpg": image(3)})),
    partial("images_half", 9, folder({**TEN, "004.jpg": half}), "W_IMAGE", places=10),
    partial("images_empty_one", 9, folder({**TEN, "004.jpg": b""}), "W_IMAGE", places=10),
    partial("images_text_one", 9, folder({**TEN, "004.jpg": b"<html>404</html>"}), "W_IMAGE", places=10),
    partial("images_first_bad", 9, folder({**TEN, "000.jpg": b"nothing"}), "W_IMAGE", places=10),
    partial("images_bomb", 9, folder({**TEN, "004.png": png_bomb, "004.jpg": b""}), "W_IMAGE", allow="W_NUMBERING", places=11),
    partial("images_half_png", 4, folder({**numbered(4, "{}.png"), "4.png": lambda: image_bytes(4, "PNG")[:900]}), "W_IMAGE", places=5),
    partial("images_flipped_png", 4, folder({**numbered(4, "{}.png"), "4.png": flipped_png}), "W_IMAGE", places=5),
    partial("images_odd_entries", 6, folder_with_odd_entries, "W_IMAGE", places=8),
    failed("images_all_bad", folder({f"{i}.jpg": b"nothing" for i in range(4)}), "E_NO_FRAMES"),
    failed("images_none", folder({"notes.txt": b"hello"}), "E_EMPTY"),
    failed("images_all_empty", folder({f"{i}.png": b"" for i in range(3)}), "E_NO_FRAMES"),
)

ARCHIVES = (
    ok("zip.zip", 10, archive(TEN)),
    ok("zip_deflated.zip", 10, archive(TEN, deflate=True)),
    ok("zip_in_folder.zip", 10, archive({f"clip/{k}": v for k, v in TEN.items()})),
    ok("zip_mac.zip", 10, archive({**TEN, "__MACOSX/._000.jpg": b"\0\5\x16\7", ".DS_Store": b"x"})),
    ok("zip_sizes.zip", 6, archive({**numbered(5), "005.jpg": image(5, size=(64, 64))}), "W_IMAGE_SIZE"),
    ok("zip_holes.zip", 9, archive({k: v for k, v in TEN.items() if k != "003.jpg"}), "W_NUMBERING"),
    partial("zip_half_image.zip", 9, archive({**TEN, "004.jpg": half}), "W_IMAGE", places=10),
    partial("zip_checksum.zip", 9, changed(archive(TEN), flip_in_member), "W_IMAGE", places=10),
    partial("zip_png_bomb.zip", 10, archive({**TEN, "010.png": png_bomb}, deflate=True), "W_IMAGE", places=11),
    failed("zip_cut.zip", changed(archive(TEN), lambda raw: raw[: len(raw) // 2]), "E_ARCHIVE"),
    failed("zip_head_only.zip", changed(archive(TEN), lambda raw: raw[:40]), "E_ARCHIVE"),
    failed("zip_noise.zip", lambda w, path: path.write_bytes(b"PK\3\4" + bytes(range(256)) * 8) and None, "E_ARCHIVE"),
    failed("zip_escape.zip", archive({**TEN, "../../escaped.jpg": image(1)}), "E_ARCHIVE"),
    failed("zip_absolute.zip", archive({**TEN, "/tmp/escaped.jpg": image(1)}), "E_ARCHIVE"),
    failed("zip_windows.zip", archive({**TEN, "..\\..\\escaped.jpg": image(1)}), "E_ARCHIVE"),
    failed("zip_encrypted.zip", sealed(TEN), "E_ARCHIVE E_ENCRYPTED"),
    failed("zip_bomb.zip", archive({f"{i:03}.jpg": big for i in range(4)}, deflate=True), "E_ARCHIVE E_NO_FRAMES"),
    failed("zip_lies.zip", changed(archive(TEN), wrong_size), "E_ARCHIVE E_NO_FRAMES"),
    failed("zip_empty.zip", archive({}), "E_EMPTY E_ARCHIVE"),
    failed("zip_no_images.zip", archive({"notes.txt": b"hello"}), "E_EMPTY"),
    failed("zip_of_zip.zip", archive({"inner.zip": b"PK\5\6" + bytes(18)}), "E_EMPTY"),
    ok("zip_named.mp4", 10, archive(TEN)),
)

CASES: tuple[Case, ...] = (*FOLDERS, *ARCHIVES)

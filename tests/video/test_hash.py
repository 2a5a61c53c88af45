"""XXH64 against the reference library; content hashes of files and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.errors import ProblemCode, VideoError
from evfr.video import content_hash
from evfr.video._hash import plane_hash


def oracle(plane: np.ndarray) -> int:
    return xxhash.xxh64(np.ascontiguousarray(plane).tobytes(), seed=0).intdigest()


@settings(deadline=None)  # the first call compiles
@given(st.binary(max_size=200))
def test_xxh64_of_any_bytes(data: bytes) -> None:
    """Oracle: the xxhash package."""
    plane = np.frombuffer(data, np.uint8).reshape(1, -1)
    assert plane_hash(plane) == xxhash.xxh64(data).intdigest()


@pytest.mark.parametrize("width", [1, 7, 31, 32, 33, 64, 96, 100, 320])
@pytest.mark.parametrize("padding", [0, 1, 8, 32])
def test_padding_between_rows_does_not_count(width: int, padding: int) -> None:
    wide = np.random.default_rng(width).integers(0, 256, (19, width + padding), dtype=np.uint8)
    plane = wide[:, :width]
    assert plane_hash(plane) == oracle(plane)
    assert plane_hash(plane[::-1]) == oracle(plane[::-1])


def test_plane_must_be_bytes_in_rows() -> None:
    for wrong in (np.zeros(4, np.uint8), np.zeros((2, 2), np.uint16)):
        with pytest.raises(ValueError, match=r"plane must be \(H, W\) uint8, got"):
            plane_hash(wrong)


def test_content_hash_of_a_file_is_blake2b(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    assert content_hash(tmp_path / "a") == hashlib.blake2b(data, digest_size=16).hexdigest()


def test_content_hash_of_a_folder_sees_names_and_bytes(tmp_path: Path) -> None:
    def folder(name: str, files: dict[str, bytes]) -> str:
        (tmp_path / name).mkdir()
        for key, data in files.items():
            (tmp_path / name / key).write_bytes(data)
        return content_hash(tmp_path / name)

    first = folder("a", {"1.png": b"x", "2.png": b"y"})
    assert folder("b", {"1.png": b"x", "2.png": b"y", "notes.txt": b"z"}) == first
    others = [
        folder("c", {"1.png": b"y", "2.png": b"x"}),
        folder("d", {"1.png": b"x", "3.png": b"y"}),
        folder("e", {"1.png": b"xy", "2.png": b"1"}),
        folder("f", {"1.png": b"x"}),
    ]
    assert len({first, *others}) == 5


def test_content_hash_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file") as caught:
        content_hash(tmp_path / "none")
    assert caught.value.problem.code is ProblemCode.E_NOT_FOUND
    with pytest.raises(VideoError, match="the folder has no images") as caught:
        content_hash(tmp_path)
    assert caught.value.problem.code is ProblemCode.E_EMPTY


def test_content_hash_of_a_folder_counts_images_that_cannot_be_read(tmp_path: Path) -> None:
    def folder(name: str, second: bytes | None) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
        if second is None:
            (tmp_path / name / "2.png").symlink_to("2.png")
        else:
            (tmp_path / name / "2.png").write_bytes(second)
        return content_hash(tmp_path / name)

    hashes = [folder("empty", b""), folder("also_empty", b""), folder("loop", None), folder("whole", b"y")]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3

"""Exact extraction from folders and zips of images."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from evfr.errors import ExtractionError
from evfr.video import extract_frames, plan_extraction, scan
from helpers.barcode import draw, index_of

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    for index in range(COUNT):
        cv2.imwrite(str(path / f"f{index}.png"), draw(index)[:, :, ::-1])
    return path


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as file:
        for image in sorted(folder.iterdir()):
            file.write(image, image.name)
    return path


@pytest.mark.parametrize("source", ["folder", "archive"])
def test_images_are_read_one_by_one(request: pytest.FixtureRequest, source: str) -> None:
    path = request.getfixturevalue(source)
    table, _, _ = scan(path)
    frames = list(extract_frames(path, [1, 2, 10], table))
    assert [frame.frame_index for frame in frames] == [1, 2, 10]
    for frame in frames:
        assert index_of(frame.image) == frame.frame_index
        np.testing.assert_array_equal(frame.image, draw(frame.frame_index))
        assert frame.time_seconds == table.time_seconds[frame.frame_index]
    plan = plan_extraction(path, [1, 2, 10], table)
    assert (plan.strategy, plan.frames_to_decode, plan.seeks) == ("images", 3, 0)


def test_a_changed_image_is_refused(folder: Path) -> None:
    table, _, _ = scan(folder)
    cv2.imwrite(str(folder / "f5.png"), draw(6)[:, :, ::-1])
    assert [frame.frame_index for frame in extract_frames(folder, [4], table)] == [4]
    with pytest.raises(
        ExtractionError, match="frame 5 has other pixels than its row says; the file has changed"
    ):
        list(extract_frames(folder, [5], table))


def test_a_broken_image_is_refused(folder: Path) -> None:
    table, _, _ = scan(folder)
    (folder / "f5.png").write_bytes(b"no picture")
    with pytest.raises(ExtractionError, match="frame 5 cannot be read any more"):
        list(extract_frames(folder, [5], table))


def test_a_missing_image_is_refused(folder: Path) -> None:
    table, _, _ = scan(folder)
    (folder / "f11.png").unlink()
    with pytest.raises(ExtractionError, match="frame 11 is not there"):
        list(extract_frames(folder, [11], table))
    (folder / "f3.png").unlink()
    with pytest.raises(ExtractionError, match="frame 8 has other pixels"):
        list(extract_frames(folder, [8], table))

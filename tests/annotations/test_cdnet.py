"""CDnet's truth: what moves, what does not, and what nobody knows."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr._core.annotations import (
    NO_TRACK,
    AnnotatedVideo,
    Category,
    ObjectRow,
    VideoAnnotations,
    concatenate,
)
from evfr._core.masks import Rle
from evfr.annotations import FORMATS, read, write
from evfr.errors import AnnotationError
from helpers.labels import squares

SCENE = np.array([[0, 255, 255, 50], [85, 0, 255, 170], [255, 0, 50, 170]])


def png(pixels):
    sink = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(sink, format="PNG")
    return sink.getvalue()


def sequence(folder, pictures, below="groundtruth", limits=None):
    """Write pictures by number; return the folder."""
    (folder / below).mkdir(parents=True)
    for number, pixels in pictures.items():
        (folder / below / f"gt{number:06d}.png").write_bytes(png(pixels))
    if limits is not None:
        (folder / "temporalROI.txt").write_text(limits)
    return folder


def test_moving_void_and_background(tmp_path):
    found = read(sequence(tmp_path / "highway", {4: SCENE, 5: np.zeros((3, 4)), 6: np.full((3, 4), 85)}))
    assert found.videos[0].video_id == "highway"
    # 4 is frame 3; of 6 nothing is known, so it is no labelled frame.
    assert found.videos[0].frame_index.tolist() == [3, 4]
    assert found.masks == (
        Rle.from_mask(SCENE == 255),
        Rle.from_mask((SCENE == 85) | (SCENE == 170)),
    )
    assert [item.name for item in found.categories] == ["moving", "void"]
    assert found.is_crowd.tolist() == [False, True]
    assert (found.track_id == NO_TRACK).all()
    parts = read(tmp_path / "highway", components=True, category="vehicle", format="cdnet")
    assert sorted(mask.area for mask in parts.masks) == [1, 3, 3]
    assert parts.categories[0].name == "vehicle"


def test_which_numbers_count(tmp_path):
    pictures = dict.fromkeys(range(1, 7), SCENE)
    folder = sequence(tmp_path / "a", pictures, limits="2 5\n")
    assert read(folder).videos[0].frame_index.tolist() == [1, 2, 3, 4]
    assert read(folder / "groundtruth").videos[0].frame_index.tolist() == [1, 2, 3, 4]
    assert read(folder, format="cdnet", last=4).videos[0].frame_index.tolist() == [1, 2, 3]
    assert read(folder, format="cdnet", first=1).videos[0].frame_index.tolist() == [0, 1, 2, 3, 4]
    assert read(folder, format="cdnet", start=2, first_frame=10).videos[0].frame_index[0] == 10
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for number in pictures:
            archive.writestr(f"seq/groundtruth/gt{number:06d}.png", png(SCENE))
        archive.writestr("seq/temporalROI.txt", "3 3")
    assert read(tmp_path / "b.zip").videos[0].frame_index.tolist() == [2]
    assert read(tmp_path / "b.zip", format="cdnet", video_id="v").videos[0].video_id == "v"


@pytest.mark.parametrize(
    ("pictures", "limits", "options", "match"),
    [
        (
            {1: np.full((2, 2), 254)},
            None,
            {},
            r"gt000001.png has pixels of 254; CDnet's truth has 0, 50, 85, 170, 255",
        ),
        ({1: SCENE, 2: SCENE[:2]}, None, {}, r"gt000002.png has 4x2 pixels, but the labels before have 4x3"),
        ({1: SCENE}, "one", {}, r"temporalROI.txt must hold two numbers, got b'one'"),
        ({1: SCENE}, None, {"first": 2}, r"nothing is known of any picture numbered 2 to"),
        ({1: np.full((2, 2), 170)}, None, {}, r"nothing is known of any picture"),
        ({1: SCENE}, None, {"start": 2}, r"number 1 lies before start=2"),
    ],
)
def test_what_is_refused(tmp_path, pictures, limits, options, match):
    with pytest.raises(AnnotationError, match=match):
        read(sequence(tmp_path / "a", pictures, limits=limits), format="cdnet", **options)


def test_one_sequence_at_a_time(tmp_path):
    for name in "ab":
        sequence(tmp_path / name, {1: SCENE})
    with pytest.raises(AnnotationError, match=r"have one number; give the folder of one sequence"):
        read(tmp_path, format="cdnet")
    assert not FORMATS["cdnet"].recognises(tmp_path)
    assert not FORMATS["cdnet"].recognises(write(squares(2), tmp_path / "m.zip", format="masks"))
    with pytest.raises(AnnotationError, match=r"has no picture gt000001.png, ... in it or in groundtruth"):
        read(tmp_path / "m.zip", format="cdnet")


@settings(max_examples=30, deadline=None)
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3), first_frame=st.integers(0, 3))
def test_labels_come_back(tmp_path_factory, seeds, first_frame):
    folder = tmp_path_factory.mktemp("cdnet")
    values = (0, 50, 85, 170, 255)
    pictures = {}
    for number, seed in enumerate(seeds, start=1):
        pictures[number] = np.random.default_rng(seed).choice(values, (4, 5))
        pictures[number][0, 0] = 0
    options = {"first_frame": first_frame, "video_id": "v"}
    found = read(sequence(folder / "a", pictures), format="cdnet", **options)
    back = write(found, folder / "b.zip", format="cdnet", first_frame=first_frame)
    assert read(back, format="cdnet", **options).equals(found)


ALL = Rle.from_mask(np.ones((2, 3)))


def labels_of(*rows: ObjectRow, name="v") -> VideoAnnotations:
    return VideoAnnotations.build([AnnotatedVideo(name, 3, 2, np.array([0]))], [Category(1, "x")], rows)


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(
        AnnotationError, match=r"has a box and no mask; CDnet's truth holds pixels|a box and no mask"
    ):
        write(labels_of(ObjectRow("v", 0, 1, 1, (0, 0, 1, 1))), tmp_path / "a", format="cdnet")
    with pytest.raises(
        AnnotationError, match=r"is a crowd as a whole, which CDnet takes for a frame that is not"
    ):
        write(labels_of(ObjectRow("v", 0, 1, 1, None, ALL, is_crowd=True)), tmp_path / "a", format="cdnet")
    with pytest.raises(AnnotationError, match=r"holds one video, these labels have 2"):
        write(concatenate([labels_of(), labels_of(name="w")]), tmp_path / "a", format="cdnet")


def test_objects_lie_on_crowds(tmp_path):
    part = Rle.from_mask(np.array([[1, 0, 0], [0, 0, 0]]))
    path = write(
        labels_of(ObjectRow("v", 0, 1, 1, None, part), ObjectRow("v", 0, 1, 2, None, ALL, is_crowd=True)),
        tmp_path / "a",
        format="cdnet",
    )
    assert read(path).masks[0] == part


def test_the_real_one(data_dir):
    """The counts come from ``np.bincount`` over three pictures, read by Pillow alone."""
    path = data_dir / "research/highway_gt.zip"
    found = read(path, first=1268, last=1270, format="cdnet")
    with zipfile.ZipFile(path) as archive:
        for number in (1268, 1269, 1270):
            counts = np.bincount(
                np.asarray(Image.open(io.BytesIO(archive.read(f"gt{number:06d}.png")))).ravel(), minlength=256
            )
            labels = found.rows_at("highway_gt", number - 1)
            areas = [found.masks[row].area for row in labels]
            assert areas == [counts[255], counts[85] + counts[170]]

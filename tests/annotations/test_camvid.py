"""CamVid's pictures of classes, by hand, drawn and real."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations import FORMATS, read, write
from evfr.annotations._camvid import CAMVID_CLASSES
from evfr.errors import AnnotationError
from helpers.labels import squares


def png(pixels: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(sink, format="PNG")
    return sink.getvalue()


def place(folder: Path, **files: np.ndarray) -> Path:
    """Write files named ``folder__name`` below a folder."""
    for name, pixels in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".png").write_bytes(png(pixels))
    return folder


SCENE = np.array([[0, 0, 3, 3], [8, 3, 3, 8], [11, 3, 3, 8]])


def test_one_object_a_class_and_frame(tmp_path):
    place(tmp_path, labels__0006R0_f00930=SCENE, labels__0016E5_00008=np.full((2, 2), 10))
    found = read(tmp_path)
    assert [video.video_id for video in found.videos] == ["0006R0", "0016E5"]
    assert [video.frame_index.tolist() for video in found.videos] == [[930], [8]]
    assert [video.file_names for video in found.videos] == [(), ()]
    names = {item.category_id: item.name for item in found.categories}
    assert [names[i] for i in found.category_id.tolist()] == ["sky", "road", "car", "void", "bicyclist"]
    assert found.is_crowd.tolist() == [False, False, False, True, False]
    assert (found.track_id == NO_TRACK).all()
    assert found.masks[2] == Rle.from_mask(SCENE == 8)
    parts = read(tmp_path, format="camvid", components=True)
    cars = [mask for mask, i in zip(parts.masks, parts.category_id, strict=True) if names[int(i)] == "car"]
    left = np.zeros((3, 4), bool)
    left[1, 0] = True
    assert {mask.area for mask in cars} == {1, 2}
    assert Rle.from_mask(left) in cars


def test_pictures_beside_labels_are_named(tmp_path):
    place(
        tmp_path / "a",
        labels__v_f00001=SCENE,
        images__v_f00001=SCENE,
        labels__v_f00000=SCENE,
        images__v_f00000=SCENE,
    )
    assert read(tmp_path / "a").videos[0].file_names == ("images/v_f00000.png", "images/v_f00001.png")
    place(tmp_path / "b", trainannot__v_3=SCENE, train__v_3=SCENE, valannot__v_4=SCENE, val__v_4=SCENE)
    assert read(tmp_path / "b").videos[0].file_names == ("train/v_3.png", "val/v_4.png")
    assert read(tmp_path / "b").videos[0].frame_index.tolist() == [3, 4]
    (tmp_path / "b/val/v_4.png").unlink()
    with pytest.raises(AnnotationError, match=r"valannot/v_4.png has no picture of the same name in 'val'"):
        read(tmp_path / "b", format="camvid")
    place(tmp_path / "c", truth__v__001=SCENE, shown__v__001=SCENE)
    odd = read(
        tmp_path / "c", format="camvid", folder="truth", pictures="shown/v", pattern="{video}/{frame:03d}.png"
    )
    assert odd.videos[0].video_id == "v"
    assert odd.videos[0].file_names == ("shown/v/001.png",)


def test_numbers_classes_and_void(tmp_path):
    place(tmp_path, labels__v_00010=np.array([[0, 1], [9, 1]]))
    found = read(tmp_path, format="camvid", classes=("a", "b"), void=9, start=10, stride=3, first_frame=6)
    assert found.videos[0].frame_index.tolist() == [6]
    assert [item.name for item in found.categories] == ["a", "b", "void"]


@pytest.mark.parametrize(
    ("files", "options", "error", "match"),
    [
        (
            {"labels__v_1": np.array([[12]])},
            {},
            AnnotationError,
            r"v_1.png has pixels of 12; values are 0 to 10 \(sky",
        ),
        (
            {"labels__v_1": SCENE, "labels__v_2": SCENE[:2]},
            {},
            AnnotationError,
            r"v_2.png has 4x2 pixels, but .* 4x3",
        ),
        ({"labels__v": SCENE}, {}, AnnotationError, r"the name does not say the sequence and the frame"),
        (
            {"labels__v_1": SCENE},
            {"pattern": "{frame}.png"},
            AnnotationError,
            r"give a pattern= with \{video\}",
        ),
        (
            {"labels__v_1": SCENE, "labels__v_f1": SCENE},
            {},
            AnnotationError,
            r"frame 1 of 'v' has two pictures",
        ),
        (
            {"other__v_1": SCENE},
            {},
            AnnotationError,
            r"has no folder labels, or one as trainannot, with .png in it",
        ),
        ({"other__v_1": SCENE}, {"folder": "more"}, AnnotationError, r"has no folder 'more' with .png"),
        ({"labels__v_1": SCENE}, {"classes": ("a", "a")}, ValueError, r"classes must be different names"),
        ({"labels__v_1": SCENE}, {"void": 3}, ValueError, r"void must be no value of the 11 classes, got 3"),
    ],
)
def test_what_is_refused(tmp_path, files, options, error, match):
    place(tmp_path, **files)
    with pytest.raises(error, match=match):
        read(tmp_path, format="camvid", **options)


@settings(max_examples=30, deadline=None)
@given(
    pictures=st.lists(
        st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 12, (4, 5))),
        min_size=1,
        max_size=3,
    ),
    is_zip=st.booleans(),
)
def test_pictures_come_back(tmp_path_factory, pictures, is_zip):
    folder = tmp_path_factory.mktemp("camvid")
    place(folder / "a", **{f"labels__seq_{5 * k + 2:05d}": picture for k, picture in enumerate(pictures)})
    found = read(folder / "a", format="camvid")
    back = write(found, folder / ("b.zip" if is_zip else "b"), format="camvid")
    assert read(back, format="camvid").equals(found)


def labels_of(*rows: ObjectRow) -> VideoAnnotations:
    categories = [Category(1, "car"), Category(2, "road"), Category(3, "void"), Category(4, "horse")]
    return VideoAnnotations.build([AnnotatedVideo("v", 3, 2, np.array([0]))], categories, rows)


ALL = Rle.from_mask(np.ones((2, 3)))
PART = Rle.from_mask(np.array([[1, 1, 0], [0, 0, 0]]))


@pytest.mark.parametrize(
    ("rows", "options", "error", "match"),
    [
        ([ObjectRow("v", 0, 1, 1, (0, 0, 1, 1))], {}, AnnotationError, r"a box and no mask"),
        ([ObjectRow("v", 0, 4, 1, None, ALL)], {}, AnnotationError, r"of the class 'horse' has no value"),
        (
            [ObjectRow("v", 0, 1, 1, None, ALL, is_crowd=True)],
            {},
            AnnotationError,
            r"'car' has no value.*crowds void",
        ),
        (
            [ObjectRow("v", 0, 1, 1, None, ALL), ObjectRow("v", 0, 2, 2, None, PART)],
            {},
            AnnotationError,
            "overlap",
        ),
        (
            [ObjectRow("v", 0, 1, 1, None, PART)],
            {},
            AnnotationError,
            r"4 pixels have no class.* give rest='void'",
        ),
        ([], {"rest": "sky"}, ValueError, r"rest must be fail or void, got 'sky'"),
        ([], {"void": 256}, ValueError, r"must fit 8 bits, got 11 classes, void 256"),
    ],
)
def test_what_cannot_be_written(tmp_path, rows, options, error, match):
    with pytest.raises(error, match=match):
        write(labels_of(*rows), tmp_path / "out", format="camvid", **options)


def test_the_rest_may_be_void(tmp_path):
    path = write(labels_of(ObjectRow("v", 0, 1, 1, None, PART)), tmp_path / "a", format="camvid", rest="void")
    back = read(path)
    assert back.masks == (PART, Rle.from_mask(~PART.to_mask()))
    assert back.is_crowd.tolist() == [False, True]


def test_it_is_told_from_others(tmp_path):
    recognises = FORMATS["camvid"].recognises
    assert not recognises(write(squares(2), tmp_path / "davis", format="davis"))
    assert not recognises(write(squares(2), tmp_path / "yolo.zip", format="yolo"))
    assert not recognises(place(tmp_path / "names", labels__frame=SCENE))
    assert not recognises(place(tmp_path / "values", labels__v_1=SCENE * 20))
    assert recognises(place(tmp_path / "own", labels__v_1=SCENE))


def test_the_real_ones(data_dir, tmp_path):
    """The counts come from ``np.bincount`` over the first labels of each sequence, read by Pillow alone."""
    small = tmp_path / "camvid.zip"
    expected: dict[tuple[str, int], dict[int, int]] = {}
    with zipfile.ZipFile(data_dir / "research/camvid.zip") as whole, zipfile.ZipFile(small, "w") as part:
        names = [n for n in whole.namelist() if n.startswith("labels/")]
        chosen = [n for n in names if "0006R0" in n][:3] + [n for n in names if "0016E5_0795" in n][:2]
        for name in chosen:
            part.writestr(name, whole.read(name))
            picture = name.replace("labels", "images").replace(".png", ".jpg")
            part.writestr(picture, whole.read(picture))
            values = np.asarray(Image.open(io.BytesIO(whole.read(name))))
            video, _, number = Path(name).stem.partition("_")
            counts = np.bincount(values.ravel())
            expected[video, int(number.lstrip("f"))] = {v: int(c) for v, c in enumerate(counts) if c}
    found = read(small)
    assert [v.video_id for v in found.videos] == ["0006R0", "0016E5"]
    assert (found.videos[0].width, found.videos[0].height) == (480, 360)
    assert found.videos[1].file_names[0] == "images/0016E5_07959.jpg"
    values = {name: value for value, name in enumerate((*CAMVID_CLASSES, "void"))}
    names_of = {item.category_id: item.name for item in found.categories}
    for (video, frame), counts in expected.items():
        rows = found.rows_at(video, frame).tolist()
        seen = {values[names_of[int(found.category_id[row])]]: found.masks[row].area for row in rows}
        assert seen == counts

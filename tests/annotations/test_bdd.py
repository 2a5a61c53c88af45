from __future__ import annotations

import json
import math
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._bdd import BDD_CLASSES, looks_like_bdd, read_bdd
from evfr.annotations._bdd_write import write_bdd
from evfr.annotations._formats import FACTS
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, assert_equal_labels, label_sets, squares

KEEPS = frozenset(FACTS) - {"time", "content_hash"}


@settings(max_examples=30, deadline=None)
@given(labels=label_sets(keeps=KEEPS, stride=3), start=st.integers(0, 2), stride=st.sampled_from([1, 3]))
def test_json_round_trip(labels, start, stride):
    options = {"start": start, "stride": stride}
    with tempfile.TemporaryDirectory() as folder:
        path = write_bdd(labels, Path(folder) / "a.json", **options)
        assert looks_like_bdd(path)
        assert_equal_labels(read_bdd(path, **options), labels)
        assert_equal_labels(read_bdd(Path(folder), **options), labels)


@settings(max_examples=25, deadline=None)
@given(
    labels=label_sets(
        keeps=frozenset({"masks", "tracks", "categories", "is_crowd", "empty_frames", "frame_numbers"}),
        untracked=False,
        every_object="mask",
        overlapping=False,
        empty_masks=False,
        category_ids=(1, 2),
    ),
    shift=st.sampled_from([0, 300, 65532]),
    is_zipped=st.booleans(),
)
def test_bitmask_round_trip(labels, shift, is_zipped):
    """Objects come in the order of category, flags and track, as the packed pixels do."""
    rows = [replace(row, track_id=row.track_id + shift) for row in labels.objects()]
    rows.sort(key=lambda r: (r.category_id, r.is_crowd, r.track_id))
    labels = VideoAnnotations.build(labels.videos, labels.categories, rows)
    with tempfile.TemporaryDirectory() as folder:
        path = write_bdd(labels, Path(folder) / "out", kind="bitmask")
        if is_zipped:
            with zipfile.ZipFile(Path(folder) / "out.zip", "w") as archive:
                for file in path.rglob("*.png"):
                    archive.write(file, file.relative_to(path).as_posix())
            path = Path(folder) / "out.zip"
        assert_equal_labels(read_bdd(path, categories=[c.name for c in labels.categories]), labels)


def label(**fields) -> dict:
    return {"id": "00000047", "category": "car", "box2d": {"x1": 1, "y1": 2, "x2": 10, "y2": 5}, **fields}


def frame(*labels, **fields) -> dict:
    return {
        "name": "b1c66a42-0000001.jpg",
        "videoName": "b1c66a42",
        "frameIndex": 0,
        "labels": list(labels),
        **fields,
    }


def write(tmp_path: Path, data) -> Path:
    path = tmp_path / "b1c66a42.json"
    path.write_text(json.dumps(data))
    return path


def test_box_tracking_as_bdd100k_writes_it(tmp_path):
    """box_track_20: a list of frames, no size, ids of zeros and digits, x2 and y2 inside the box."""
    data = [
        frame(label(attributes={"crowd": False, "occluded": True, "truncated": False})),
        frame(
            label(box2d={"x1": 2.5, "y1": 2, "x2": 11.5, "y2": 5}, attributes={"crowd": True}),
            label(id="00000048", category="pedestrian"),
            frameIndex=1,
            name="b1c66a42-0000002.jpg",
        ),
        frame(frameIndex=4, name="b1c66a42-0000005.jpg"),
    ]
    path = write(tmp_path, data)
    with pytest.raises(
        AnnotationError, match=r"does not state the size of 'b1c66a42'; give width= .*1280 and 720"
    ):
        read_bdd(path)
    labels = read_bdd(path, width=1280, height=720)
    video = labels.videos[0]
    assert (video.video_id, video.frame_index.tolist()) == ("b1c66a42", [0, 1, 4])
    assert video.file_names == ("b1c66a42-0000001.jpg", "b1c66a42-0000002.jpg", "b1c66a42-0000005.jpg")
    rows = list(labels.objects())
    assert [(r.frame_index, r.track_id, r.box_xyxy, r.is_crowd) for r in rows] == [
        (0, 47, (1, 2, 11, 6), False),
        (1, 47, (2.5, 2, 12.5, 6), True),
        (1, 48, (1, 2, 11, 6), False),
    ]
    assert rows[0].attributes == {"occluded": True, "truncated": False}
    assert labels.categories == (Category(1, "car"), Category(2, "pedestrian"))
    fixed = read_bdd(path, width=1280, height=720, categories=BDD_CLASSES)
    assert fixed.category_id.tolist() == [3, 3, 1]


def test_a_config_names_categories_and_the_size(tmp_path):
    config = {
        "imageSize": {"width": 64, "height": 48},
        "categories": [
            {"name": "human", "subcategories": [{"name": "pedestrian"}, {"name": "rider"}]},
            {"name": "car"},
        ],
    }
    labels = read_bdd(
        write(tmp_path, {"frames": [frame(label(score=0.5))], "groups": None, "config": config})
    )
    assert labels.categories == (
        Category(1, "pedestrian", "human"),
        Category(2, "rider", "human"),
        Category(3, "car"),
    )
    assert (labels.videos[0].width, labels.videos[0].height) == (64, 48)
    assert labels.score.tolist() == [0.5]


def test_masks(tmp_path):
    """Run lengths give the size; polygons are filled, curves by their cubic; open lines are no areas."""
    mask = Rle.from_mask(np.eye(6, 8))
    square = {"vertices": [[0, 0], [4, 0], [4, 3], [0, 3]], "types": "LLLL", "closed": True}
    labels = read_bdd(
        write(tmp_path, [frame(label(rle=mask.to_coco()), label(id="2", box2d=None, poly2d=[square]))]),
        width=8,
        height=6,
    )
    assert labels.masks[0] == mask
    assert labels.masks[1] == Rle.from_polygons([[0, 0, 4, 0, 4, 3, 0, 3]], 6, 8)
    assert read_bdd(write(tmp_path, [frame(label(rle=mask.to_coco()))])).videos[0].width == 8
    # A circle of radius 20 out of four curves: control points at .5523 of the radius (Riskus 2006).
    k = 20 * 0.5523
    points = [[40, 20], [40, 20 + k], [20 + k, 40], [20, 40], [20 - k, 40], [0, 20 + k], [0, 20], [0, 20 - k]]
    points += [[20 - k, 0], [20, 0], [20 + k, 0], [40, 20 - k]]
    for turn in (0, 1, 2):
        vertices = points[turn:] + points[:turn]
        types = "LCCLCCLCCLCC"[turn:] + "LCCLCCLCCLCC"[:turn]
        circle = {"vertices": vertices, "types": types, "closed": True}
        got = read_bdd(write(tmp_path, [frame(label(poly2d=[circle]))]), width=41, height=41).masks[0]
        assert got is not None
        assert got.area == pytest.approx(math.pi * 400, rel=0.01)


def test_ids_that_are_no_numbers_get_some(tmp_path):
    data = [
        frame(label(id="gt-a"), label(id="gt-b"), label(id=7)),
        frame(label(id="gt-b"), frameIndex=1, name="2.jpg"),
    ]
    labels = read_bdd(write(tmp_path, data), width=64, height=48)
    assert len(set(labels.track_id.tolist())) == 3
    assert labels.track_id[1] == labels.track_id[3]
    assert labels.track_id[2] == 7
    assert labels.attributes[3] == {"label_id": "gt-b"}


def test_images_without_a_video(tmp_path):
    """det_20: frames are images, ids count labels: one collection, nothing followed."""
    data = [{"name": f"{name}.jpg", "labels": [label(id="0")]} for name in ("b", "a")] + [{"name": "c.jpg"}]
    labels = read_bdd(write(tmp_path, data), width=1280, height=720)
    assert labels.videos[0].video_id == "b1c66a42"
    assert labels.videos[0].file_names == ("b.jpg", "a.jpg", "c.jpg")
    assert labels.track_id.tolist() == [NO_TRACK, NO_TRACK]


@pytest.mark.parametrize(
    "entry",
    [
        label(box2d=None, box3d={"alpha": 0}),
        label(box2d=None),
        label(box2d=None, poly2d=[{"vertices": [[0, 0], [4, 0]], "types": "LL", "closed": False}]),
    ],
)
def test_other_labels_are_refused_or_left_out(tmp_path, entry):
    path = write(tmp_path, [frame(entry, label(id="9"))])
    with pytest.raises(AnnotationError, match=r"frames\[0\], labels\[0\]: a .* is neither a box nor a mask"):
        read_bdd(path, width=64, height=48)
    assert read_bdd(path, width=64, height=48, unsupported="skip").track_id.tolist() == [9]


def box(x1=0, y1=0, x2=1, y2=1) -> dict:
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}


def polygon(**fields) -> dict:
    return label(poly2d=[{"vertices": [[0, 0], [4, 0], [4, 4]], "types": "LLL", "closed": True, **fields}])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"a": 1}, "'frames' must be a list"),
        ([1], r"frames\[0\] must be an object"),
        ([frame(name="../up.jpg")], "leads out of its folder"),
        ([frame(name=None)], "a file name must be a text"),
        ([frame(videoName="")], "videoName must be a text, got ''"),
        ([frame(frameIndex=None)], "frameIndex must be a whole number, got None"),
        ([frame(frameIndex=1.5)], "frameIndex must be a whole number, got 1.5"),
        ([frame(frameIndex=True)], "frameIndex must be a whole number, got True"),
        ([frame(frameIndex=10**400)], "frameIndex must be a whole number"),
        ([frame(frameIndex=-1)], "number -1 lies before start=0"),
        ([frame(), frame()], r"frames\[1\]: frame 0 of 'b1c66a42' is listed twice"),
        ([frame(size=3)], "a size must have width and height, got 3"),
        ([frame(size={"width": 0, "height": 1})], "the width must be 1 or more, got 0"),
        ([frame(size={"width": 9, "height": 9}), frame(frameIndex=1)], "64x48 pixels in a video of 9x9"),
        ([frame(labels={})], "'labels' must be a list"),
        ([frame(label(category="tank"))], None),
        ([frame(label(category=None))], r"labels\[0\]: unknown category None"),
        ([frame(label(box2d=[1, 2, 3, 4]))], "box2d must have x1, y1, x2, y2"),
        ([frame(label(box2d=box(x1=None)))], "x1 of box2d must be a finite number, got None"),
        ([frame(label(box2d=box(x1=math.nan)))], "x1 of box2d must be a finite number, got nan"),
        ([frame(label(box2d=box(x2=-2)))], "has its corners exchanged"),
        ([frame(label(rle={"size": [48, 64], "counts": "x"}))], r"labels\[0\]: "),
        ([frame(label(rle={"size": [4, 4], "counts": [16]}))], "a mask of 4x4 pixels in a frame of 64x48"),
        ([frame(label(rle=3))], r"labels\[0\]: a mask in COCO form"),
        ([frame(label(poly2d=3))], "poly2d must be a list of polygons, got 3"),
        ([frame(label(poly2d=[[[0, 0, "L"]]]))], "a polygon of poly2d needs vertices"),
        ([frame(polygon(types="LL"))], "types of a polygon must be an L or C for each of its 3 vertices"),
        ([frame(polygon(types="LXL"))], "types of a polygon must be an L or C"),
        ([frame(polygon(types="CCC"))], "a polygon of control points only has no corner"),
        ([frame(polygon(types="LCL"))], "two control points between its ends, got 1"),
        (
            [frame(polygon(vertices=[[0, 0], [1, "a"], [1, 1]]))],
            "a coordinate of poly2d must be a finite number",
        ),
        ([frame(polygon(vertices=[[0, 0], [1, 1]], types="LL"))], r"labels\[0\]: polygon 0 needs"),
        ([frame(label(attributes=[1]))], "attributes must be an object"),
        ([frame(label(attributes={"a": [1]}))], "the attribute 'a' must be a text, a finite number"),
        ([frame(label(id=None))], "a label needs an id, got None"),
        ([frame(label(id=""))], "a label needs an id, got ''"),
        ([frame(label(), label(id="47"))], r"labels\[1\]: the id '47' is already in this frame"),
        ([frame(label(score="high"))], "score must be a finite number, got 'high'"),
        ({"frames": [], "config": {"categories": [{"name": ""}]}}, "a category needs a name, got ''"),
        (
            {"frames": [], "config": {"categories": [{"name": "a", "id": "b"}]}},
            "the id of a category must be a whole",
        ),
        (
            {"frames": [], "config": {"categories": [], "imageSize": 4}},
            "a size must have width and height, got 4",
        ),
    ],
)
def test_wrong_json(tmp_path, data, match):
    path = write(tmp_path, data)
    if isinstance(data, dict) and "imageSize" in data.get("config", {}):
        with pytest.raises(AnnotationError, match=match):
            read_bdd(path)
        return
    known = {} if match else {"categories": BDD_CLASSES}
    with pytest.raises(
        AnnotationError, match=match or "unknown category 'tank'; known are pedestrian, rider, car"
    ):
        read_bdd(path, width=64, height=48, **known)


def test_wrong_options_and_places(tmp_path):
    with pytest.raises(ValueError, match="unsupported must be 'error' or 'skip', got 'x'"):
        read_bdd(tmp_path / "a.json", unsupported="x")
    with pytest.raises(ValueError, match="kind must be 'json' or 'bitmask', got 'x'"):
        write_bdd(squares(), tmp_path / "a.json", kind="x")
    with pytest.raises(AnnotationError, match="holds neither JSON files nor PNG bitmasks"):
        read_bdd(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.json", "[]")
    with pytest.raises(AnnotationError, match="unpack the zip to read its JSON files"):
        read_bdd(tmp_path / "a.zip")
    with pytest.raises(AnnotationError, match="to fill a polygon the size must be known"):
        read_bdd(write(tmp_path, [frame(polygon())]))
    with pytest.raises(AnnotationError, match="the object has neither box nor mask"):
        write_bdd(annotations_of(ObjectRow("clip", 0, 1, 1)), tmp_path / "b.json")
    assert not looks_like_bdd(tmp_path)
    assert not looks_like_bdd(tmp_path / "a.zip")


def bitmask(tmp_path: Path, pixels, name="v/v-0000001.png") -> Path:
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(pixels, np.uint8)).save(path)
    return tmp_path / "in"


def test_a_bitmask_as_bdd100k_writes_it(tmp_path):
    """G = truncated << 3 | occluded << 2 | crowd << 1 | ignored; B << 8 | A = 259; the first name is 0000001."""
    picture = np.zeros((4, 6, 4), np.uint8)
    picture[0, :2] = (3, 0b0100, 1, 3)
    picture[1, :2] = (3, 0b1000, 1, 4)
    picture[2, 3:] = (1, 0b0011, 0, 7)
    labels = read_bdd(bitmask(tmp_path, picture))
    assert labels.videos[0].video_id == "v"
    assert labels.videos[0].frame_index.tolist() == [0]
    rows = list(labels.objects())
    assert [(r.category_id, r.track_id, r.is_crowd, dict(r.attributes)) for r in rows] == [
        (1, 7, True, {"ignored": True}),
        (3, 259, False, {"occluded": True}),
        (3, 260, False, {"truncated": True}),
    ]
    assert [c.name for c in labels.categories] == list(BDD_CLASSES)
    assert rows[1].mask == Rle.from_mask(picture[:, :, 3] == 3)
    path = write_bdd(labels, tmp_path / "out", kind="bitmask")
    with Image.open(path / "v" / "v-0000001.png") as again:
        assert again.mode == "RGBA"
        np.testing.assert_array_equal(np.array(again), picture)


def test_wrong_bitmasks(tmp_path):
    for pixels, match in (
        (np.zeros((4, 6, 3)), "the PNG has the mode RGB, these labels need RGBA"),
        (np.full((4, 6, 4), [0, 0, 0, 255]), "instance 255 has category 0, .* the alpha channel was lost"),
        (
            np.full((4, 6, 4), [9, 0, 0, 1]),
            r"instance 1 has category 9, known are \[1, 2, 3, 4, 5, 6, 7, 8\]",
        ),
        (np.full((4, 6, 4), [1, 16, 0, 1]), "instance 1 has the unknown flags 16"),
        ([[[1, 0, 0, 1], [2, 0, 0, 1]]], "instance 1 has pixels of several categories or flags"),
    ):
        with pytest.raises(AnnotationError, match=match):
            read_bdd(bitmask(tmp_path, pixels))
    good = np.full((4, 6, 4), [1, 0, 0, 1])
    bitmask(tmp_path, good)
    with pytest.raises(AnnotationError, match="7x4 pixels in a video of 6x4"):
        read_bdd(bitmask(tmp_path, np.zeros((4, 7, 4)), "v/v-0000002.png"))
    with pytest.raises(AnnotationError, match="another picture of frame 0"):
        read_bdd(bitmask(tmp_path, good, "v/u-0000001.png"))
    with pytest.raises(AnnotationError, match="number 0 lies before start=1"):
        read_bdd(bitmask(tmp_path / "zero", good, "w/u-0000000.png"))


def test_bitmasks_that_cannot_be_written(tmp_path):
    mask = Rle.from_mask(np.eye(6, 8))

    def put(*rows, **fields):
        write_bdd(annotations_of(*rows, **fields), tmp_path / "out", kind="bitmask")

    with pytest.raises(AnnotationError, match="a bitmask holds masks, this object has none"):
        put(ObjectRow("clip", 0, 1, 1, (0, 0, 1, 1)))
    with pytest.raises(AnnotationError, match="a bitmask holds masks, this object has none"):
        put(ObjectRow("clip", 0, 1, 1, mask=Rle.empty(6, 8)))
    for track in (NO_TRACK, 65536):
        with pytest.raises(AnnotationError, match="room for tracks 0 to 65535 and categories 1 to 255"):
            put(ObjectRow("clip", 0, 1, track, mask=mask))
    with pytest.raises(AnnotationError, match="category 256: a bitmask has room"):
        put(ObjectRow("clip", 0, 256, 1, mask=mask), categories=(Category(256, "a"),))
    with pytest.raises(AnnotationError, match="shares pixels with another"):
        put(ObjectRow("clip", 0, 1, 1, mask=mask), ObjectRow("clip", 0, 1, 2, mask=mask))
    with pytest.raises(AnnotationError, match="leads out of its folder"):
        put(video_id="../up", frames=[0])

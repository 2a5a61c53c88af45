from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._formats import FACTS
from evfr.annotations._label_studio import looks_like_label_studio, read_label_studio
from evfr.annotations._label_studio_brush import decode_brush, encode_brush
from evfr.annotations._label_studio_write import write_label_studio
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, assert_equal_labels, label_sets, squares

KEEPS = frozenset(FACTS) - {"time", "content_hash", "file_names"}


def assert_close(back: VideoAnnotations, labels: VideoAnnotations) -> None:
    """Hold labels equal but for the rounding of percents, and for categories without an object, which no file names."""
    np.testing.assert_allclose(back.boxes_xyxy, labels.boxes_xyxy, atol=1e-9)
    used = {category.category_id: category.name for category in labels.categories}
    names = {category.category_id: category.name for category in back.categories}
    assert [names[c] for c in back.category_id.tolist()] == [used[c] for c in labels.category_id.tolist()]
    rows = [
        replace(
            row, category_id=labels.category_id[place], box_xyxy=None if row.box_xyxy is None else tuple(box)
        )
        for place, (row, box) in enumerate(zip(back.objects(), labels.boxes_xyxy.tolist(), strict=True))
    ]
    assert_equal_labels(VideoAnnotations.build(back.videos, labels.categories, rows), labels)


@settings(max_examples=30, deadline=None)
@given(labels=label_sets(keeps=KEEPS - {"masks"}, stride=2), step=st.integers(1, 3))
def test_video_round_trip(labels, step):
    """Any annotated frames, consecutive or not, come back, with objects in the order of their tracks."""
    rows = sorted(labels.objects(), key=lambda r: (r.track_id == NO_TRACK, r.track_id))
    labels = VideoAnnotations.build(labels.videos, labels.categories, rows)
    shrink = 2 if step == 1 else 1  # frames next to each other as well as apart
    videos = [replace(v, frame_index=v.frame_index // shrink) for v in labels.videos]
    rows = [replace(row, frame_index=row.frame_index // shrink) for row in rows]
    labels = VideoAnnotations.build(videos, labels.categories, rows)
    with tempfile.TemporaryDirectory() as folder:
        path = write_label_studio(labels, Path(folder) / "a.json")
        assert looks_like_label_studio(path)
        assert_close(read_label_studio(path), labels)


@settings(max_examples=25, deadline=None)
@given(labels=label_sets(keeps=KEEPS | {"file_names"}, most_videos=1))
def test_images_round_trip(labels):
    with tempfile.TemporaryDirectory() as folder:
        path = write_label_studio(labels, Path(folder) / "a.json", mode="images")
        assert_close(read_label_studio(path), labels)


def key(frame, x, *, enabled=True, **more) -> dict:
    return {
        "frame": frame,
        "enabled": enabled,
        "rotation": 0,
        "x": x,
        "y": 25,
        "width": 10,
        "height": 50,
        "time": frame / 25,
        **more,
    }


def region(*sequence, region_id="Dx_aB91ISN", labels=("Car",), frames_count=10, **more) -> dict:
    value = {"framesCount": frames_count, "duration": 0.4, "sequence": list(sequence), "labels": list(labels)}
    return {
        "value": value,
        "id": region_id,
        "from_name": "box",
        "to_name": "video",
        "type": "videorectangle",
        "origin": "manual",
        **more,
    }


def task(*results, file="/data/upload/1/0a1b2c3d-street.mp4", **more) -> dict:
    return {
        "id": 1,
        "data": {"video": file},
        "annotations": [{"id": 7, "result": list(results), "was_cancelled": False, "ground_truth": False}],
        "predictions": [],
        **more,
    }


def read(tmp_path: Path, *tasks, **options) -> VideoAnnotations:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(list(tasks)))
    return read_label_studio(path, **{"width": 200, "height": 100, **options})


def test_a_tracked_box_as_label_studio_exports_it(tmp_path):
    """Frames from 1, percents; linear between key frames; seen on a key frame that is not enabled, then gone.

    `postprocessing.video.extract_key_frames` of label-studio-sdk 2.1.2 gives the same: frame 2 at 10 percent, 3 at 15,
    4 at 20, 6 at 30, and 8, 9, 10 at 40.
    """
    labels = read(
        tmp_path,
        task(region(key(2, 10), key(4, 20, enabled=False), key(6, 30, enabled=False), key(8, 40))),
    )
    video = labels.videos[0]
    assert (video.video_id, video.width, video.height, video.frame_count) == ("street", 200, 100, 10)
    assert video.frame_index.tolist() == list(range(10))
    rows = list(labels.objects())
    assert [(r.frame_index, r.source) for r in rows] == [
        (1, "human"),
        (2, "interpolated"),
        (3, "human"),
        (5, "human"),
        (7, "human"),
        (8, "interpolated"),
        (9, "interpolated"),
    ]
    np.testing.assert_allclose(labels.boxes_xyxy[:, 0], [20, 30, 40, 60, 80, 80, 80])
    np.testing.assert_allclose(rows[0].box_xyxy, (20, 25, 40, 75))
    assert set(labels.track_id.tolist()) == {1}
    assert labels.categories == (Category(1, "Car"),)


def test_labels_in_a_result_of_their_own(tmp_path):
    """Older versions export the label beside the region, under the same id; regions are numbered as they come."""
    labels = read(
        tmp_path,
        task(
            region(key(1, 10, enabled=False), region_id="b", labels=()),
            {"id": "b", "type": "labels", "value": {"labels": ["Van"], "sequence": []}},
            region(key(1, 10, enabled=False), region_id="a"),
        ),
    )
    assert labels.track_id.tolist() == [1, 2]
    assert [c.name for c in labels.categories] == ["Car", "Van"]
    assert labels.category_id.tolist() == [2, 1]


def test_an_expanded_export(tmp_path):
    """With `interpolate_key_frames=true` the export lists every frame; what the server filled in is marked auto."""
    labels = read(tmp_path, task(region(key(1, 10), key(2, 12, auto=True), key(3, 14, enabled=False))))
    assert [r.source for r in labels.objects()] == ["human", "interpolated", "human"]


def test_the_length_can_be_put_right(tmp_path):
    """framesCount comes from the browser; the true number of frames wins."""
    labels = read(tmp_path, task(region(key(9, 10))), frame_count=12)
    assert labels.frame_index.tolist() == [8, 9, 10, 11]
    empty = read(tmp_path, task(), frame_count=3)
    assert (len(empty), empty.videos[0].frame_index.tolist()) == (0, [0, 1, 2])
    assert read(tmp_path, task(region(key(1, 1))), video_id="mine").videos[0].video_id == "mine"


def test_which_annotation_counts(tmp_path):
    both = task(region(key(1, 10)))
    both["annotations"].append({"result": [], "was_cancelled": True})
    assert len(read(tmp_path, both)) == 10
    both["annotations"].append({"result": [region(key(1, 50), frames_count=4)]})
    with pytest.raises(AnnotationError, match=r"tasks\[0\]: the task has 2 annotations; say which counts"):
        read(tmp_path, both)
    assert len(read(tmp_path, both, annotation="first")) == 10
    assert len(read(tmp_path, both, annotation="last")) == 4
    both["predictions"] = [{"result": [region(key(1, 10, enabled=False), score=0.75)]}]
    predicted = list(read(tmp_path, both, results="predictions").objects())
    assert [(r.source, r.score) for r in predicted] == [("detected", 0.75)]
    untouched = {"data": {"video": "b.mp4"}, "annotations": []}
    assert len(read(tmp_path, both, untouched, annotation="first").videos) == 1


def image_region(kind="rectanglelabels", region_id="a", **value) -> dict:
    value = value or {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    return {
        "original_width": 20,
        "original_height": 10,
        "image_rotation": 0,
        "value": {**value, kind: ["Car"]},
        "id": region_id,
        "from_name": "label",
        "to_name": "image",
        "type": kind,
        "origin": "manual",
    }


def image_task(*results, file="/data/upload/1/0a1b2c3d-a.jpg") -> dict:
    return {"data": {"image": file}, "annotations": [{"result": list(results)}]}


BRUSH = [0, 0, 0, 60, 57, 27, 252, 96, 22, 255, 240, 184, 4, 255, 246, 192, 0]
"""3x5 pixels, columns 1 to 3 of row 0 and 0, 1 of row 2: `brush.mask2rle` of label-studio-sdk 2.1.2 printed it."""


def brush_mask() -> np.ndarray:
    mask = np.zeros((3, 5), bool)
    mask[0, 1:4] = mask[2, :2] = True
    return mask


def test_images_as_label_studio_exports_them(tmp_path):
    brush = {
        **image_region("brushlabels", "c", format="rle", rle=BRUSH),
        "original_width": 5,
        "original_height": 3,
    }
    labels = read(tmp_path, image_task(brush), width=None)
    assert labels.masks == (Rle.from_mask(brush_mask()),)
    polygon = image_region("polygonlabels", "b", points=[[0, 0], [50, 0], [50, 50]], closed=True)
    labels = read(
        tmp_path,
        image_task(image_region(), polygon),
        {"data": {"image": "skipped.jpg"}, "annotations": []},
        image_task(image_region(), file="s3://bucket/dir/b.jpg"),
        width=None,
    )
    video = labels.videos[0]
    assert (video.video_id, video.width, video.height) == ("export", 20, 10)
    assert video.frame_index.tolist() == [0, 2]
    assert video.file_names == ("1/0a1b2c3d-a.jpg", "dir/b.jpg")
    rows = list(labels.objects())
    np.testing.assert_allclose(rows[0].box_xyxy, (2, 2, 8, 6))
    assert rows[1].mask == Rle.from_polygons([[0, 0, 10, 0, 10, 5]], 10, 20)
    assert {r.track_id for r in rows} == {NO_TRACK}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.0, 0.02, 0.5, 1.0]), size=st.integers(1, 40)
)
def test_brushes_round_trip(seed, density, size):
    mask = Rle.from_mask(np.random.default_rng(seed).random((size, 41 - size)) < density)
    assert decode_brush(encode_brush(mask), mask.height, mask.width, "here") == mask


def test_brushes():
    """Long runs are cut at 65536 values; single values and literal pieces are read, as other encoders write them."""
    assert decode_brush(BRUSH, 3, 5, "here") == Rle.from_mask(brush_mask())
    full = Rle.from_mask(np.ones((200, 300), bool))
    assert decode_brush(encode_brush(full), 200, 300, "here") == full
    # 8 values in one literal piece: 0 00 111, then red without alpha, and alpha without colour.
    head = f"{8:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits = head + "000111" + "11111111" + "00000000" * 6 + "11111111"
    bits += "0" * (-len(bits) % 8)
    data = [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]
    assert decode_brush(data, 1, 2, "here").to_mask().tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (None, "rle of a brush must be a list of bytes"),
        (["a"], "rle of a brush must be a list of bytes, got"),
        ([10**30], "rle of a brush must be a list of bytes"),
        ([[1], [2]], "a list of bytes 0 to 255"),
        ([256], "a list of bytes 0 to 255"),
        ([-1], "a list of bytes 0 to 255"),
        (BRUSH[:3], "is cut off after 3 bytes"),
        (BRUSH[:-4], "is cut off after 13 bytes"),
        ([255, *BRUSH[1:]], "holds 4278190140 values, but 5x3 pixels have 60"),
        ([*BRUSH[:6], 255, 255, 255, 255, 255], "a piece of a brush's rle reaches beyond the picture"),
    ],
)
def test_wrong_brushes(data, match):
    with pytest.raises(AnnotationError, match=match):
        decode_brush(data, 3, 5, "here")


GOOD = region(key(1, 10))


@pytest.mark.parametrize(
    ("tasks", "match"),
    [
        ([1], r"tasks\[0\] must be an object"),
        ([task(annotations=[{}])], "'result' must be a list"),
        ([task(data=3)], "a task needs data, got 3"),
        ([task(data={"a": "1", "b": "2"})], "data must name the file under 'video' or 'image'"),
        ([task(data={"video": "a", "evfr": 3})], "data.evfr must be an object, got 3"),
        ([task(GOOD), image_task(image_region())], "has both image and video tasks"),
        ([task(GOOD), task(GOOD)], "each video needs its own name, got 'street' twice"),
        ([task({**GOOD, "id": None})], "each region needs an id of its own, got None"),
        ([task(GOOD, GOOD)], "each region needs an id of its own, got 'Dx_aB91ISN'"),
        (
            [task({**GOOD, "type": "timeseries"})],
            "region 'Dx_aB91ISN': a region of the type 'timeseries' is neither",
        ),
        ([task({**GOOD, "type": ["a"]})], r"a region of the type \['a'\] is neither"),
        ([task({**GOOD, "value": None})], "a region needs a value, got None"),
        ([task(region(key(1, 1), labels=()))], r"a region needs exactly one label, got \[\]"),
        ([task(region(key(1, 1), labels=("a", "b")))], "a region needs exactly one label"),
        ([task(region(key(1, 1), frames_count="many"))], "framesCount must be a whole number, got 'many'"),
        ([task(region(key(1, 1), frames_count=10**10))], "framesCount must be 1 to 5000000"),
        ([task(region(key(1, 1), frames_count=None))], "whose length is not stated; give frame_count="),
        (
            [task(region(key(1, 1, enabled=False), frames_count=None))],
            "nothing says how many frames the video has",
        ),
        ([task()], "nothing says how many frames the video has"),
        ([task(region(key(0, 1)))], "the frame of a key frame must be 1 to 5000000, got 0"),
        ([task(region(key(1.5, 1)))], "the frame of a key frame must be a whole number, got 1.5"),
        ([task(region(key(11, 1)))], "frame 11: the key frame lies behind the video's 10 frames"),
        ([task(region(key(3, 1), key(3, 2)))], "frame 3 has two key frames"),
        ([task(region(key(3, 1, enabled="yes")))], "enabled must be true or false, got 'yes'"),
        ([task(region(key(3, math.nan)))], "x must be a finite number, got nan"),
        ([task(region(key(3, 10**400)))], "x must be a finite number"),
        ([task(region(key(3, 1, width=-1)))], "width must be 0 or more, got -1"),
        ([task(region(key(3, 1, rotation=30)))], "the box is turned by 30 degrees"),
        ([task(region(key(3, 1, evfr={"evfr_source": "dog"})))], "evfr_source must be one of"),
        ([task({**GOOD, "score": "high"})], "score must be a finite number, got 'high'"),
        (
            [task(GOOD, data={"video": "a", "evfr": {"video_id": 3}})],
            "data.evfr.video_id must be a text, got 3",
        ),
        ([task(GOOD, data={"video": "a", "evfr": {"frames": 3}})], "data.evfr.frames must be a list, got 3"),
        (
            [task(GOOD, data={"video": "a", "evfr": {"frames": [-1]}})],
            "data.evfr.frames must be 0 or more, got -1",
        ),
        ([image_task(image_region(), file="../a.jpg")], "leads out of its folder"),
        ([image_task(image_region(), file="/etc/passwd")], "leads out of its folder"),
        (
            [image_task(image_region()), image_task({**image_region(), "original_width": 21})],
            "21x10 pixels among images",
        ),
        ([image_task({**image_region(), "original_width": None})], "original_width must be a whole number"),
        (
            [image_task({**image_region(), "image_rotation": 90})],
            "the image was turned while it was labelled",
        ),
        (
            [image_task({**image_region(), "type": "ellipselabels"})],
            "a region of the type 'ellipselabels' is neither",
        ),
        (
            [image_task(image_region("polygonlabels", points=[[1, 2], 3]))],
            r"points of a polygon must be \[\[x, y\]",
        ),
        (
            [image_task(image_region("polygonlabels", points=[[1, 2], [3, 4]]))],
            "polygon 0 needs x and y of three",
        ),
        (
            [image_task(image_region("polygonlabels", points=[[1, "x"], [3, 4]]))],
            "a coordinate of a polygon must be",
        ),
        (
            [image_task(image_region("brushlabels", format="png"))],
            "format of a brush must be 'rle', got 'png'",
        ),
        ([image_task()], "has no region, so the size of the images is not known"),
    ],
)
def test_wrong_exports(tmp_path, tasks, match):
    is_image = '"image"' in json.dumps(tasks)
    with pytest.raises(AnnotationError, match=match):
        read(tmp_path, *tasks, width=None if is_image else 200)


def test_wrong_exports_for_short(tmp_path):
    with pytest.raises(
        AnnotationError, match="Label Studio does not say the size of a video; give width= and height="
    ):
        read(tmp_path, task(GOOD), width=None)
    with pytest.raises(AnnotationError, match="unknown category 'Car'; known are Van"):
        read(tmp_path, task(GOOD), categories=["Van"])
    with pytest.raises(AnnotationError, match="there is another task of frame 1"):
        own = {"image": "a.jpg", "evfr": {"frame": 1, "width": 20, "height": 10}}
        one = {"data": own, "annotations": [{"result": []}]}
        read(tmp_path, one, one)
    other = {**GOOD, "id": "x", "type": "timeseries"}
    assert len(read(tmp_path, task(GOOD, other), unsupported="skip")) == 10
    for name, allowed in (("results", "annotations"), ("annotation", "only"), ("unsupported", "error")):
        with pytest.raises(ValueError, match=f"{name} must be '{allowed}'.*, got 'x'"):
            read(tmp_path, task(GOOD), **{name: "x"})
    (tmp_path / "a.json").write_text("{}")
    assert not looks_like_label_studio(tmp_path / "a.json")
    assert not looks_like_label_studio(tmp_path)


def test_small_files_do_not_fill_the_memory(tmp_path, monkeypatch):
    with pytest.raises(AnnotationError, match="the frame of a key frame must be 1 to 5000000, got 999999999"):
        read(tmp_path, task(region(key(1, 1), key(999_999_999, 2), frames_count=None)))
    large = {
        **image_region("brushlabels", format="rle", rle=[255] * 9),
        "original_width": 9999,
        "original_height": 9999,
    }
    with pytest.raises(AnnotationError, match="9999x9999 pixels are more than 67108864"):
        read(tmp_path, image_task(large), width=None)
    monkeypatch.setattr("evfr.annotations._parse._ROWS_MOST", 5)
    with pytest.raises(AnnotationError, match="the tracks expand to more than 5 labels"):
        read(tmp_path, task(GOOD))


def test_what_cannot_be_written(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ValueError, match="mode must be 'video' or 'images', got 'x'"):
        write_label_studio(squares(), path, mode="x")
    with pytest.raises(AnnotationError, match="the object has neither box nor mask"):
        write_label_studio(annotations_of(ObjectRow("clip", 0, 1, 1)), path)
    with pytest.raises(
        AnnotationError, match="Label Studio tracks boxes, this object has a mask; write mode='images'"
    ):
        write_label_studio(squares(), path)
    two = VideoAnnotations.build([*squares().videos, *squares(video_id="b").videos], squares().categories, [])
    with pytest.raises(AnnotationError, match="holds one video, these labels have 2"):
        write_label_studio(two, path, mode="images")
    rows = [ObjectRow("clip", frame, frame + 1, 1, (0, 0, 1, 1)) for frame in (0, 1)]
    with pytest.raises(AnnotationError, match="frame 1, track 1: the track changes from 'a' to 'b'"):
        write_label_studio(annotations_of(*rows, categories=(Category(1, "a"), Category(2, "b"))), path)
    for mode in ("video", "images"):
        with pytest.raises(AnnotationError, match="track ids are 0 or more here"):
            write_label_studio(annotations_of(ObjectRow("clip", 0, 1, -5, (0, 0, 1, 1))), path, mode=mode)


def test_what_is_written_is_what_label_studio_reads(tmp_path):
    """A task as its import expects: data, annotations, result, names of the tags, percents, frames from 1."""
    rows = [ObjectRow("clip", frame, 1, 4, (2, 1.5, 4, 3)) for frame in (0, 1, 3)]
    path = write_label_studio(annotations_of(*rows), tmp_path / "a.json", control="b", target="v")
    (item,) = json.loads(path.read_text())
    (result,) = item["annotations"][0]["result"]
    assert (result["type"], result["from_name"], result["to_name"]) == ("videorectangle", "b", "v")
    assert result["value"]["labels"] == ["object"]
    assert result["value"]["framesCount"] == 4
    sequence = result["value"]["sequence"]
    assert [(e["frame"], e["enabled"]) for e in sequence] == [(1, True), (2, False), (4, True)]
    assert {k: sequence[0][k] for k in ("x", "y", "width", "height", "rotation")} == {
        "x": 25,
        "y": 25,
        "width": 25,
        "height": 25,
        "rotation": 0,
    }

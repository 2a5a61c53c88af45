"""COCO instances: round trips, files as other tools write them, and every way of being wrong."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from evfr._core.annotations import NO_TRACK, Category, ObjectRow
from evfr._core.masks import Rle
from evfr._core.types import PTS_NONE
from evfr.annotations import read, write
from evfr.annotations._coco import read_coco, write_coco
from evfr.errors import AnnotationError
from evfr.video import parse_frame_file_name
from helpers.labels import annotations_of, assert_equal_labels, label_sets, squares


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label_sets())
def test_everything_comes_back(tmp_path, annotations):
    path = write(annotations, tmp_path / "labels.json", format="coco")
    assert_equal_labels(read(path), annotations)


# As labelme2coco, CVAT and pycocotools-based scripts write: one polygon, one crowd as plain counts, one as text.
FOREIGN = {
    "info": {"year": 2024},
    "licenses": [],
    "images": [
        {"id": 7, "width": 6, "height": 4, "file_name": "seq/frame10.png", "license": 1},
        {"id": 3, "width": 6, "height": 4, "file_name": "seq/frame9.png"},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 2,
            "bbox": [1, 1, 3.5, 2],
            "area": 6,
            "iscrowd": 0,
            "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]],
            "attributes": {"occluded": False},
        },
        {
            "id": 2,
            "image_id": 3,
            "category_id": 2,
            "bbox": [0, 0, 1, 4],
            "iscrowd": 1,
            "segmentation": {"size": [4, 6], "counts": [0, 4, 20]},
        },
        {
            "id": 3,
            "image_id": 3,
            "category_id": 5,
            "bbox": [2, 0, 2, 2],
            "segmentation": [],
            "instance_id": 4,
        },
        {"id": 4, "image_id": 7, "category_id": 5, "segmentation": {"size": [4, 6], "counts": "04d0"}},
    ],
    "categories": [{"id": 2, "name": "dog", "supercategory": "animal"}, {"id": 5, "name": "cat"}],
}


def save(tmp_path, data, name="labels.json"):
    path = tmp_path / name
    path.write_text(json.dumps(data))
    return path


def changed(tmp_path, *steps):
    """Write the foreign file with ``value`` at ``steps[:-1]``; the last of ``steps`` is the value."""
    data = copy.deepcopy(FOREIGN)
    place = data
    for step in steps[:-2]:
        place = place[step]
    place[steps[-2]] = steps[-1]
    return save(tmp_path, data)


def test_a_foreign_file(tmp_path):
    labels = read_coco(save(tmp_path, FOREIGN), by_order=True)
    (video,) = labels.videos
    assert video.video_id == "labels"
    assert video.file_names == ("seq/frame9.png", "seq/frame10.png")  # natural order
    assert [(c.category_id, c.name, c.supercategory) for c in labels.categories] == [
        (2, "dog", "animal"),
        (5, "cat", ""),
    ]
    crowd, box, polygon, text = labels.objects()
    assert crowd.is_crowd
    assert crowd.frame_index == 0
    np.testing.assert_array_equal(crowd.mask.to_mask()[:, 0], True)
    assert crowd.mask.area == 4
    assert (box.mask, box.track_id, box.box_xyxy) == (None, 4, (2.0, 0.0, 4.0, 2.0))
    assert polygon.box_xyxy == (1.0, 1.0, 4.5, 3.0)
    assert polygon.mask.box_xyxy == (1.0, 1.0, 4.0, 3.0)
    assert polygon.attributes == {"occluded": False}
    assert polygon.track_id == NO_TRACK
    assert text.box_xyxy is None
    assert text.mask.area == 4
    assert {row.source for row in labels.objects()} == {"human"}


def test_which_frame_an_image_is(tmp_path):
    path = save(tmp_path, FOREIGN)
    with pytest.raises(AnnotationError, match="nothing says which frame the image 'seq/frame"):
        read_coco(path)
    labels = read_coco(path, pattern="{video}/frame{frame}.png", start=9, stride=5, first_frame=2)
    assert labels.videos[0].video_id == "seq"
    assert labels.videos[0].frame_index.tolist() == [2, 7]
    stills = read_coco(path, stills=True)
    assert {video.video_id for video in stills.videos} == {"seq/frame9.png", "seq/frame10.png"}
    assert stills.frame_index.tolist() == [0] * 4
    with pytest.raises(
        AnnotationError, match=r"image 0: the name 'seq/frame10.png' does not fit pattern='x.frame.'"
    ):
        read_coco(path, pattern="x{frame}")
    with pytest.raises(AnnotationError, match="number 9 lies before start=10"):
        read_coco(path, pattern="seq/frame{frame}.png", start=10)
    with pytest.raises(ValueError, match="give one of pattern, parse, by_order and stills"):
        read_coco(path, by_order=True, stills=True)


def test_images_that_evfr_extract_wrote(tmp_path):
    data = copy.deepcopy(FOREIGN)
    data["images"][0]["file_name"] = "kept/day=201+drive.mp4_f000042_p1302.jpg"
    data["images"][1]["file_name"] = "kept/day=201+drive.mp4_f000007_p217.jpg"
    labels = read_coco(save(tmp_path, data), parse=parse_frame_file_name)
    assert labels.videos[0].video_id == "day 1/drive.mp4"
    assert labels.videos[0].frame_index.tolist() == [7, 42]
    assert (labels.videos[0].pts == PTS_NONE).all()
    with pytest.raises(AnnotationError, match=r"image 0: 'frame10.png' is no frame's file name"):
        read_coco(save(tmp_path, FOREIGN), parse=parse_frame_file_name)


def test_frame_id_counts_as_said(tmp_path):
    data = copy.deepcopy(FOREIGN)
    data["videos"] = [
        {"id": 1, "name": "clip", "width": 6, "height": 4},
        {"id": 2, "name": "none", "width": 5, "height": 5},
    ]
    for image, number in zip(data["images"], (2, 1), strict=True):
        image |= {"video_id": 1, "frame_id": number}
    labels = read_coco(save(tmp_path, data), start=1, stride=3)
    assert [v.video_id for v in labels.videos] == ["clip", "none"]
    assert labels.videos[0].frame_index.tolist() == [0, 3]
    assert labels.videos[1].frame_index.tolist() == []


def test_results(tmp_path):
    companion = save(tmp_path, FOREIGN)
    results = [{"image_id": 3, "category_id": 5, "bbox": [0, 0, 1, 1], "score": 0.25}]
    path = save(tmp_path, results, "results.json")
    (row,) = read_coco(path, companion=companion, by_order=True).objects()
    assert (row.frame_index, row.score, row.source) == (0, 0.25, "detected")
    with pytest.raises(AnnotationError, match=r"results.json is a list of results .* give companion="):
        read_coco(path)
    for score, shown in ((math.nan, "nan"), (math.inf, "inf"), (None, "None"), ("1", "'1'")):
        results[0]["score"] = score
        path = save(tmp_path, results, "results.json")
        with pytest.raises(
            AnnotationError, match=f"results.json: result 0: score must be a finite number, got {shown}"
        ):
            read_coco(path, companion=companion, by_order=True)


ANNOTATION = ("annotations", 0)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (("images", 0, "id", 3), "image 1: the id 3 is taken"),
        (("images", 0, "width", 0), "image 0: 'width' must be a whole number of 1 or more, got 0"),
        (("images", 0, "width", 7), "the image 'seq/frame10.png' has 7x4 pixels, the video 6x4"),
        (("images", 0, "file_name", "../x.png"), "image 0: the file name '../x.png' leads out"),
        (("images", 0, "file_name", "a\\b.png"), "image 0: the file name .* leads out"),
        (("images", 0, "file_name", 5), "image 0: a file name must be a text"),
        (("images", 0, "video_id", 5), "image 0: video_id 5 is none of the file's videos"),
        (("images", 0, "evfr", 5), "image 0: 'evfr' must be an object"),
        (("images", 0, 5), r"images\[0\] must be an object, got int"),
        (("images", {}), "'images' must be a list, got dict"),
        (("categories", None), "'categories' must be a list, got NoneType"),
        (("categories", 1, "id", 2), "category 1: the id 2 is taken by a category before it"),
        (("categories", 1, "name", 2), "category 1: 'name' must be a text, got 2"),
        ((*ANNOTATION, "image_id", 99), "annotation 0: image_id 99 is none of the file's images"),
        ((*ANNOTATION, "image_id", True), "annotation 0: 'image_id' must be a whole number"),
        (
            (*ANNOTATION, "category_id", 9),
            r"annotation 0: category_id 9 is none of the file's categories \[2, 5\]",
        ),
        ((*ANNOTATION, "bbox", [1, 2, 3]), r"annotation 0: bbox must be \[x, y, width, height\]"),
        (
            (*ANNOTATION, "bbox", [1, 2, -3, 1]),
            "annotation 0: bbox must have a width and height of 0 or more",
        ),
        ((*ANNOTATION, "bbox", [1, math.nan, 3, 1]), "annotation 0: bbox must be a finite number, got nan"),
        ((*ANNOTATION, "bbox", [1, 10**400, 3, 1]), "annotation 0: bbox must be a finite number"),
        ((*ANNOTATION, "iscrowd", 2), "annotation 0: iscrowd must be 0 or 1, got 2"),
        ((*ANNOTATION, "track_id", "a"), "annotation 0: 'track_id' must be a whole number"),
        ((*ANNOTATION, "track_id", -2), "annotation 0: 'track_id' must be a whole number of -1 or more"),
        ((*ANNOTATION, "score", math.inf), "annotation 0: score must be a finite number, got inf"),
        ((*ANNOTATION, "attributes", {"a": []}), "annotation 0: the attribute 'a' must be a text"),
        ((*ANNOTATION, "attributes", [1]), "annotation 0: attributes must be an object"),
        ((*ANNOTATION, "evfr", {"source": "x"}), "annotation 0: source must be one of human"),
        ((*ANNOTATION, "evfr", {"trust": "x"}), "annotation 0: trust must be a finite number"),
        ((*ANNOTATION, "segmentation", 5), r"annotation 0: segmentation must be a list of polygons"),
        ((*ANNOTATION, "segmentation", [1, 2, 3]), r"annotation 0: segmentation must be a list of polygons"),
        (
            (*ANNOTATION, "segmentation", [[1, 1, 2, 2]]),
            "annotation 0: polygon 0 needs x and y of three points",
        ),
        ((*ANNOTATION, "segmentation", [[1, 1, 2, 2, 3]]), "annotation 0: polygon 0 needs"),
        (
            (*ANNOTATION, "segmentation", [[1, 1, 2, 2, 3, math.nan]]),
            "annotation 0: a polygon's coordinate must be a finite",
        ),
        (
            (*ANNOTATION, "segmentation", [[1, 1, 2, 2, 3, None]]),
            "annotation 0: a polygon's coordinate must be a finite",
        ),
        (
            (*ANNOTATION, "segmentation", [[1, 1, 2, 2, 3, 1e9]]),
            "annotation 0: polygon 0 has a coordinate .* beyond 1e7",
        ),
        (
            (*ANNOTATION, "segmentation", {"size": [6, 4], "counts": [24]}),
            r"the mask's size is \[6, 4\], but the picture has \[4, 6\]",
        ),
        (
            (*ANNOTATION, "segmentation", {"size": [4, 6], "counts": [23]}),
            "annotation 0: the runs of a 6x4 mask must add up to 24",
        ),
        (
            (*ANNOTATION, "segmentation", {"size": [4, 6], "counts": [30, -6]}),
            "annotation 0: the run lengths of a mask must be",
        ),
        (
            (*ANNOTATION, "segmentation", {"size": [4, 6], "counts": "~~~"}),
            "annotation 0: the compressed counts|annotation 0: the run",
        ),
        ((*ANNOTATION, "segmentation", {"size": [4, 6]}), "annotation 0: a mask in COCO form needs size"),
    ],
)
def test_wrong_entries(tmp_path, steps, message):
    with pytest.raises(AnnotationError, match=rf"labels\.json.*{message}"):
        read_coco(changed(tmp_path, *steps), by_order=True)


def test_an_object_needs_a_box_or_a_mask(tmp_path):
    data = copy.deepcopy(FOREIGN)
    del data["annotations"][0]["bbox"], data["annotations"][0]["segmentation"]
    with pytest.raises(AnnotationError, match="annotation 0: it has neither bbox nor segmentation"):
        read_coco(save(tmp_path, data), by_order=True)
    with pytest.raises(AnnotationError, match="has neither box nor mask"):
        write_coco(annotations_of(ObjectRow("clip", 0, 1)), tmp_path / "x.json")
    labels = annotations_of(ObjectRow("clip", 0, 1, box_xyxy=(0.0, 0.0, 1.0, 1.0), score=math.inf))
    with pytest.raises(AnnotationError, match="score is infinite"):
        write_coco(labels, tmp_path / "x.json")


@pytest.mark.parametrize(
    ("videos", "images", "message"),
    [
        ([{"id": 1}, {"id": 1}], {}, "video 1: the id 1 is taken"),
        ([{"id": 1, "name": "a"}, {"id": 2, "name": "a"}], {"video_id": 1}, "video 1: the name 'a' is taken"),
        ([{"id": 1}], {}, "image 0: the file has videos, but this image has no video_id"),
        ([{"id": 1}], {"video_id": 2}, "image 0: video_id 2 is none of the file's videos"),
        ([{"id": 1}], {"video_id": 1, "frame_id": 4}, "are both frame 4; give pattern="),
        (
            [{"id": 1, "evfr": {"frame_count": 1}}],
            {"video_id": 1},
            "json: video '1': frame 1 is annotated, but the video",
        ),
        ([{"id": 1, "evfr": {"time_base": "1/0"}}], {"video_id": 1}, "video 0: time_base must be a fraction"),
        ([{"id": 1}, {"id": 2}], {"video_id": 1}, "video '2' has no image and no size"),
    ],
)
def test_wrong_videos(tmp_path, videos, images, message):
    data = copy.deepcopy(FOREIGN)
    data["videos"] = videos
    for number, image in enumerate(data["images"]):
        image.update({"frame_id": number} | images)
    with pytest.raises(AnnotationError, match=message):
        read_coco(save(tmp_path, data))


def test_a_track_twice_in_a_frame_and_a_frame_twice(tmp_path):
    data = copy.deepcopy(FOREIGN)
    for entry in data["annotations"]:
        entry["track_id"] = 1
    with pytest.raises(AnnotationError, match=r"labels.json: video 'labels', frame 0: .* track 1 .* twice"):
        read_coco(save(tmp_path, data), by_order=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no readable JSON"),
        ("{", "is no readable JSON"),
        ('{"a": ' + "[" * 200_000, "nested too deeply|is no readable JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"images": [' + "9" * 10_000 + "]}", "is no readable JSON|must be an object"),
        ("\udcff", "is no readable JSON"),
        ("3", "'images' must be a list"),
    ],
)
def test_text_that_is_no_labels(tmp_path, text, message):
    path = tmp_path / "labels.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(AnnotationError, match=message):
        read_coco(path)


def test_written_as_pycocotools_reads(tmp_path):
    """The keys that COCO's tools need, with areas and boxes of masks; ids from 1."""
    data = json.loads(write_coco(squares(2), tmp_path / "a.json").read_bytes())
    assert set(data) == {"videos", "images", "annotations", "categories"}
    assert data["images"][0] == {
        "id": 1,
        "video_id": 1,
        "frame_id": 0,
        "file_name": "clip/000000.jpg",
        "width": 16,
        "height": 12,
    }
    first = data["annotations"][0]
    assert (first["id"], first["image_id"], first["track_id"], first["area"]) == (1, 1, 1, 16)
    assert first["bbox"] == [0.0, 0.0, 4.0, 4.0]
    assert Rle.from_coco(first["segmentation"]) == squares(2).masks[0]
    boxless = annotations_of(ObjectRow("clip", 0, 1, mask=Rle.from_mask(np.eye(6, 8))))
    entry = json.loads(write_coco(boxless, tmp_path / "a.json").read_bytes())["annotations"][0]
    assert entry["bbox"] == [0.0, 0.0, 6.0, 6.0]  # other tools need one
    assert_equal_labels(read_coco(tmp_path / "a.json"), boxless)


def test_names_that_leave_the_folder_are_not_written(tmp_path):
    with pytest.raises(AnnotationError, match="leads out of its folder"):
        write_coco(annotations_of(frames=[0], video_id=".."), tmp_path / "x.json")
    with pytest.raises(AnnotationError, match="category ids must be 0 or more, got -1"):
        write_coco(annotations_of(frames=[0], categories=(Category(-1, "x"),)), tmp_path / "x.json")

"""YouTube-VIS: round trips, the released layout, results, and every way of being wrong."""

from __future__ import annotations

import copy
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings

from evfr._core.annotations import NO_TRACK, Category, ObjectRow
from evfr._core.masks import Rle
from evfr.annotations import read, write
from evfr.annotations._ytvis import read_ytvis, write_ytvis
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, assert_equal_labels, canonical, label_sets


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label_sets(fixed_category=False))
def test_everything_comes_back(tmp_path, annotations):
    path = write(annotations, tmp_path / "labels.json", format="ytvis")
    assert_equal_labels(canonical(read(path)), canonical(annotations))


# The layout of the released train.json: every fifth frame of a 30 fps clip, one list entry a frame, null = absent.
RELEASED = {
    "info": {},
    "licenses": [],
    "videos": [
        {
            "id": 1,
            "width": 6,
            "height": 4,
            "length": 3,
            "date_captured": "",
            "license": 1,
            "flickr_url": "",
            "file_names": ["00f88c4f0a/00000.jpg", "00f88c4f0a/00005.jpg", "00f88c4f0a/00010.jpg"],
            "coco_url": "",
        }
    ],
    "categories": [{"supercategory": "object", "id": 1, "name": "person"}, {"id": 2, "name": "giant_panda"}],
    "annotations": [
        {
            "id": 31,
            "video_id": 1,
            "category_id": 2,
            "iscrowd": 0,
            "height": 4,
            "width": 6,
            "length": 1,
            "segmentations": [
                {"counts": [0, 4, 20], "size": [4, 6]},
                None,
                {"counts": [20, 4], "size": [4, 6]},
            ],
            "bboxes": [[0.0, 0.0, 1.0, 4.0], None, [5.0, 0.0, 1.0, 4.0]],
            "areas": [4, None, 4],
        }
    ],
}


def save(tmp_path, data, name="labels.json"):
    path = tmp_path / name
    path.write_text(json.dumps(data))
    return path


def test_the_released_layout(tmp_path):
    path = save(tmp_path, RELEASED)
    labels = read(path)
    (video,) = labels.videos
    assert video.video_id == "00f88c4f0a"
    assert video.frame_index.tolist() == [0, 1, 2]  # the place in the list
    assert video.file_names[1] == "00f88c4f0a/00005.jpg"
    assert labels.frame_index.tolist() == [0, 2]
    assert labels.track_id.tolist() == [31, 31]
    assert labels.masks[0].area == 4
    assert labels.masks[1].box_xyxy == (5.0, 0.0, 6.0, 4.0)
    named = read(path, format="ytvis", pattern="{video}/{frame}.jpg")
    assert named.videos[0].frame_index.tolist() == [0, 5, 10]
    placed = read(path, format="ytvis", stride=5, first_frame=3)
    assert placed.videos[0].frame_index.tolist() == [3, 8, 13]
    assert read(path, format="ytvis", start=1).videos[0].frame_index.tolist() == [0, 1, 2]


def test_stated_frames_win_over_places_and_patterns_over_both(tmp_path):
    labels = annotations_of(
        ObjectRow("clip", 4, 1, 1, (0.0, 0.0, 1.0, 1.0)), ObjectRow("clip", 9, 1, 1, (0.0, 0.0, 1.0, 1.0))
    )
    path = write_ytvis(labels, tmp_path / "a.json")
    assert_equal_labels(read_ytvis(path), labels)
    data = json.loads(path.read_bytes())
    assert data["videos"][0]["file_names"] == ["clip/00004.jpg", "clip/00009.jpg"]
    shifted = read_ytvis(path, pattern="clip/{frame}.jpg", start=1)
    assert shifted.videos[0].frame_index.tolist() == [3, 8]
    with pytest.raises(
        AnnotationError, match=r"video 0: the name 'clip/00004.jpg' does not fit pattern='x.frame.'"
    ):
        read_ytvis(path, pattern="x{frame}")


def test_untracked_objects_and_empty_masks(tmp_path):
    rows = [
        ObjectRow("clip", 0, 1, NO_TRACK, (0.0, 0.0, 1.0, 1.0)),
        ObjectRow("clip", 0, 1, NO_TRACK, (0.0, 0.0, 2.0, 1.0)),
        ObjectRow("clip", 0, 1, 3, None, Rle.empty(6, 8)),
        ObjectRow("clip", 1, 2, 3, None, Rle.empty(6, 8)),
    ]
    labels = annotations_of(*rows, categories=(Category(1, "a"), Category(2, "b")))
    path = write_ytvis(labels, tmp_path / "a.json")
    assert [a["category_id"] for a in json.loads(path.read_bytes())["annotations"]] == [1, 1, 1, 2]
    assert_equal_labels(canonical(read_ytvis(path)), canonical(labels))


def result(**fields):
    return {
        "video_id": 1,
        "category_id": 1,
        "score": 0.5,
        "segmentations": [{"counts": "04d0", "size": [4, 6]}, None, None],
    } | fields


def test_results(tmp_path):
    companion = save(tmp_path, RELEASED, "truth.json")
    path = save(tmp_path, [result(), result(score=0.25, category_id=2)], "results.json")
    first, second = read_ytvis(path, companion=companion).objects()
    assert (first.track_id, first.score, first.source, first.mask.area) == (1, 0.5, "detected", 4)
    assert (second.track_id, second.score, second.category_id) == (2, 0.25, 2)
    with pytest.raises(AnnotationError, match=r"results.json is a list of results .* give companion="):
        read_ytvis(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"score": math.nan}, "score must be a finite number, got nan"),
        ({"score": math.inf}, "score must be a finite number, got inf"),
        ({"score": None}, "score must be a finite number, got None"),
        ({"video_id": 4}, "video_id 4 is none of the file's videos"),
        ({"category_id": 4}, r"category_id 4 is none of the file's categories \[1, 2\]"),
        (
            {"segmentations": [None]},
            "segmentations must have one entry for each of the video's 3 frames, got 1 entries",
        ),
        (
            {"segmentations": {}},
            "segmentations must have one entry for each of the video's 3 frames, got dict",
        ),
        ({"segmentations": None}, "it has neither segmentations nor bboxes"),
        (
            {"segmentations": [None, None, {"counts": [23], "size": [4, 6]}]},
            "frame 2: the runs of a 6x4 mask must add up to 24, got 23",
        ),
        (
            {"segmentations": [{"counts": [24], "size": [6, 4]}, None, None]},
            r"frame 0: the mask's size is \[6, 4\]",
        ),
        (
            {"segmentations": [[[0, 0, 1, 1, math.nan, 2]], None, None]},
            "frame 0: a polygon's coordinate must be",
        ),
        ({"segmentations": [[[0, 0, 1, 1, 1e9, 2]], None, None]}, "frame 0: polygon 0 has a coordinate"),
        ({"segmentations": [{"counts": "zz~~~zz", "size": [4, 6]}, None, None]}, "frame 0: the"),
        ({"bboxes": [[0, 0, -1, 2], None, None]}, "frame 0: bbox must have a width and height of 0 or more"),
        ({"iscrowd": 3}, "iscrowd must be 0 or 1, got 3"),
        ({"evfr": 3}, "'evfr' must be an object"),
        ({"evfr": {"frames": [3, None, None]}}, "frame 0: 'evfr' must be an object"),
        ({"evfr": {"frames": [{"trust": 7}, None, None]}}, "has a trust outside 0..1"),
    ],
)
def test_wrong_results(tmp_path, fields, message):
    companion = save(tmp_path, RELEASED, "truth.json")
    path = save(tmp_path, [result(), result(**fields)], "results.json")
    where = "results.json: video" if "trust" in message else "results.json: result 1"
    with pytest.raises(AnnotationError, match=f"{where}.*{message}"):
        read_ytvis(path, companion=companion)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"file_names": 3}, "video 0: file_names must be a list, got int"),
        ({"file_names": ["/a.png"]}, "video 0: the file name '/a.png' leads out"),
        ({"file_names": ["C:/a.png"]}, "video 0: the file name 'C:/a.png' leads out"),
        ({"width": 1.5}, "video 0: 'width' must be a whole number"),
        ({"evfr": {"frame_index": [0]}}, r"video 0: evfr.frame_index must be a list of 3 values"),
        ({"evfr": {"frame_index": [0, 2, 1]}}, "annotated frames must be increasing"),
        ({"evfr": {"frame_count": 2}}, "frame 2 is annotated, but the video has 2 frames"),
    ],
)
def test_wrong_videos(tmp_path, fields, message):
    data = copy.deepcopy(RELEASED)
    data["videos"][0].update(fields)
    with pytest.raises(AnnotationError, match=f"labels.json: .*{message}"):
        read_ytvis(save(tmp_path, data))


def test_twice(tmp_path):
    data = copy.deepcopy(RELEASED)
    data["videos"].append(data["videos"][0])
    with pytest.raises(AnnotationError, match=r"video 1: the id 1 is taken"):
        read_ytvis(save(tmp_path, data))
    data = copy.deepcopy(RELEASED)
    data["annotations"].append(data["annotations"][0])
    with pytest.raises(
        AnnotationError, match=r"labels.json: video '00f88c4f0a', frame 0: .* track 31 .* twice"
    ):
        read_ytvis(save(tmp_path, data))


def test_what_json_cannot_hold(tmp_path):
    with pytest.raises(AnnotationError, match=r"track 1 on frame 0 of 'clip': score is infinite"):
        write_ytvis(
            annotations_of(ObjectRow("clip", 0, 1, 1, (0.0, 0.0, 1.0, 1.0), score=math.inf)),
            tmp_path / "a.json",
        )
    with pytest.raises(AnnotationError, match=r"has neither box nor mask"):
        write_ytvis(annotations_of(ObjectRow("clip", 0, 1, 1)), tmp_path / "a.json")

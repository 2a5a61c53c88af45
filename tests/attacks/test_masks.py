"""Polygons and run lengths that would crash or exhaust native code: from every format that has them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from attacks.guard import bounded, refused
from evfr._core.masks import Rle
from evfr.errors import AnnotationError

BIG = 10**400


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ([0, 0, float("nan"), 0, 5, 5], "not finite or beyond 1e7"),
        ([0, 0, float("inf"), 0, 5, 5], "not finite or beyond 1e7"),
        ([0, 0, 1e300, 0, 5, 5], "not finite or beyond 1e7"),
        ([0, 0, BIG, 0, 5, 5], "all numbers, in one list"),
        ([0, 0, {"x": 1}, 0, 5, 5], "all numbers, in one list"),
        ([[0, 0], [5, 0], [5, 5]], "three points or more in one list"),
        ([0, 0, 5, 0, 5], "three points or more in one list"),
        ([0, 0, 9e5, 0] * 1000, "border longer than 4e6"),
        ([k * 9e5 for k in range(11) for _ in (0, 1)], "edge longer than 1e6"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_polygons(polygon, said):
    refused(lambda: Rle.from_polygons([polygon], 8, 8), said, ValueError, megabytes=64)


@pytest.mark.slow
def test_a_polygon_of_ten_million_points():
    with bounded(1500, 20):
        points = np.tile(np.array([0, 0, 100, 0, 100, 100, 0, 100], np.float64), 2_500_000)
    refused(
        lambda: Rle.from_polygons([points], 8, 8),
        "border longer than 4e6",
        ValueError,
        megabytes=1500,
        seconds=20,
    )


def test_many_polygons_take_time_for_each_and_not_for_each_pair():
    polygons = [[x, y, x + 1.5, y, x, y + 1.5] for y in range(0, 80, 2) for x in range(0, 80, 2)]
    Rle.from_polygons(polygons[:2], 80, 80)
    with bounded(64, 10):
        assert Rle.from_polygons(polygons, 80, 80).area == len(polygons)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([101], "must add up to 64, got 101"),
        ([-1, 65], "whole numbers of 0 or more"),
        ([], "must add up to 64, got 0"),
        ([32.5, 31.5], "whole numbers of 0 or more"),
        (["32", "32"], "text or a list of whole numbers"),
        ([10**30], "text or a list of whole numbers"),
        ([float("nan")], "whole numbers of 0 or more"),
        ([2**31 - 1, 0, 2**31 - 1, 0, 66], "must add up to 64, got 4294967360"),
        ({"a": 1}, "text or a list of whole numbers"),
        (None, "text or a list of whole numbers"),
        ("~" * 1000, "cut off or are no run lengths"),
        ("o" * 100_000, "cut off or are no run lengths"),
        ("1" * 100_000, "must add up to 64"),
        ("\ud800", "must be ASCII"),
        (b"\xff\x00", "cut off or are no run lengths"),
    ],
)
def test_run_lengths(counts, said):
    refused(lambda: Rle.from_coco({"size": [8, 8], "counts": counts}), said, ValueError, megabytes=64)


@pytest.mark.parametrize(
    "size",
    [
        [0, 8],
        [8, 0],
        [-8, -8],
        [2**31, 1],
        [2**16, 2**16],
        [1e400, 1],
        ["8", "8"],
        [8],
        [8.5, 8],
        [True, 64],
        None,
        "88",
    ],
    ids=str,
)
def test_sizes(size):
    said = r"a mask needs a size|in COCO form needs size"
    refused(lambda: Rle.from_coco({"size": size, "counts": [64]}), said, ValueError, megabytes=64)


def coco(segmentation: object, height: int = 8) -> dict:
    return {
        "images": [{"id": 1, "file_name": "a/000000.png", "frame_index": 0, "width": 8, "height": height}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2], "segmentation": segmentation}
        ],
        "categories": [{"id": 1, "name": "x"}],
    }


def ytvis(segmentation: object, height: int = 8) -> dict:
    return {
        "videos": [{"id": 1, "width": 8, "height": height, "length": 1, "file_names": ["a/0.jpg"]}],
        "annotations": [
            {
                "id": 1,
                "video_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "segmentations": [segmentation],
                "bboxes": [[0, 0, 1, 1]],
                "areas": [1],
            }
        ],
        "categories": [{"id": 1, "name": "x"}],
    }


BAD = {
    "far corner": [[0, 0, 1e300, 0, 5, 5]],
    "long border": [[0, 0, 9e5, 0] * 1000],
    "no number": [["0", None, 1, 1, 2, 2]],
    "wrapped runs": {"size": [8, 8], "counts": [2**31 - 1, 0, 2**31 - 1, 0, 66]},
    "garbage": {"size": [8, 8], "counts": "\x00\x01\x02"},
    "another size": {"size": [2**15, 2**15], "counts": [2**30]},
    "no size": {"size": [0, 0], "counts": []},
}


@pytest.mark.parametrize("form", ["coco", "ytvis"])
@pytest.mark.parametrize("name", BAD)
def test_label_files(work, form, name):
    from evfr.annotations import read

    path = work / "a.json"
    path.write_text(json.dumps({"coco": coco, "ytvis": ytvis}[form](BAD[name])))
    refused(lambda: read(path, format=form), r"a\.json.*annotation 0", megabytes=128)


def test_a_picture_that_is_only_claimed_is_never_made_dense(work):
    """A mask of 2 GB is a number in a file: labels stay run lengths, and what needs pixels refuses the size."""
    from evfr.annotations import read, write

    path = work / "a.json"
    path.write_text(json.dumps(coco({"size": [2**28, 8], "counts": [2**31 - 16, 16]}, 2**28)))
    refused(lambda: read(path, format="coco"), r"a mask needs a size from 1x1", megabytes=64)
    path.write_text(json.dumps(coco({"size": [2**27, 8], "counts": [2**30 - 16, 16]}, 2**27)))
    with bounded(64):
        labels = read(path, format="coco")
    for form, name in (("cdnet", "out"), ("camvid", "out"), ("cvat", "out.xml")):
        refused(
            lambda form=form, name=name: write(labels, work / name, format=form),
            r"8x134217728 pixels are more than 67108864",
            AnnotationError,
            megabytes=64,
        )


@pytest.mark.parametrize(
    "brush", [[], [255] * 64, [0] * 64, list(range(256)), [-1, 300], ["x"], [1e400], "AAAA", None]
)
def test_brushes_of_label_studio(work, brush):
    from evfr.annotations import read

    result = {"id": "r", "type": "brushlabels", "from_name": "l", "to_name": "i", "image_rotation": 0}
    result |= {"original_width": 8, "original_height": 8}
    result["value"] = {"format": "rle", "rle": brush, "brushlabels": ["x"]}
    path = work / "a.json"
    tasks = [{"id": 1, "data": {"image": "a/000001.png"}, "annotations": [{"id": 1, "result": [result]}]}]
    path.write_text(json.dumps(tasks))
    refused(lambda: read(path, format="label-studio"), r"a\.json, tasks\[0\]", megabytes=128)


def test_a_brush_on_a_picture_of_any_size(work):
    from evfr.annotations import read

    result = {"id": "r", "type": "brushlabels", "from_name": "l", "to_name": "i", "image_rotation": 0}
    result |= {"original_width": 2**20, "original_height": 2**20}
    result["value"] = {"format": "rle", "rle": [0, 0, 0, 8, 0], "brushlabels": ["x"]}
    path = work / "a.json"
    tasks = [{"id": 1, "data": {"image": "a/000001.png"}, "annotations": [{"id": 1, "result": [result]}]}]
    path.write_text(json.dumps(tasks))
    refused(lambda: read(path, format="label-studio"), r"1048576x1048576 pixels are more than", megabytes=128)


@pytest.mark.parametrize(
    "line",
    [
        "1 1001 1 8 8 ~~~~",
        "1 1001 1 2147483647 2147483647 0",
        "1 1001 1 0 0 0",
        "1 1001 1 -8 8 0",
        "99999999999999999999 1001 1 8 8 0",
        "1 1001 1 8 8",
        "1 1001 1 8 8 " + "1" * 100_000,
    ],
)
def test_lines_of_mots(work, line):
    from evfr.annotations import read

    path = work / "a.txt"
    path.write_text(line + "\n")
    refused(lambda: read(path, format="mots"), r"a\.txt", megabytes=64)


@pytest.mark.parametrize(
    "line", ["0 nan 0 1 0 1 1", "0 1e400 0 1 0 1 1", "0 0 0 1", "0 " + "0.5 " * 400_001, "-1 0 0 1 0 1 1"]
)
def test_lines_of_yolo(work, line):
    from evfr.annotations import read

    (work / "labels").mkdir()
    (work / "classes.txt").write_text("x\n")
    (work / "labels" / "a_000001.txt").write_text(line + "\n")
    refused(
        lambda: read(work, format="yolo", size=(8, 8), pattern="{video}_{frame:06d}.txt"),
        r"a_000001\.txt",
        megabytes=256,
    )

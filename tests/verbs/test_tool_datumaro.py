"""Datumaro: what is written for it, what it wrote itself (`scripts/check_annotation_tools.py`), and wrong files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.tool_package import CATEGORIES, draw_package, labels_for, placed, same_labels

from evfr._core.annotations import ObjectRow
from evfr._core.masks import Rle
from evfr.errors import AnnotationError
from evfr.verbs import _tool_datumaro as tool

FILES = Path(__file__).parent / "tool_files" / "datumaro"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    package = draw_package(tmp_path_factory.mktemp("datumaro"), "datumaro")
    tool.write(package)
    return package


def changed(package: Any, folder: Path, change: Callable[[Any], object]) -> Path:
    data = json.loads((package.folder / "datumaro/annotations/label.json").read_text())
    change(data)
    path = folder / "label.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("is_theirs", [False, True], ids=["as written", "as Datumaro 1.13 wrote it"])
def test_labels_come_back_as_they_went(package, is_theirs):
    done = placed(tool.read(FILES if is_theirs else package.folder / "datumaro", package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)
    assert (done.untouched, done.empty) == (6, 1)


def test_files_and_zips_are_read_alike(package, tmp_path):
    found = tool.read(FILES, package)
    assert tool.read(FILES / "annotations" / "label.json", package).equals(found)
    zipped = Path(shutil.make_archive(str(tmp_path / "back"), "zip", FILES))
    assert tool.read(zipped, package).equals(found)


def test_pictures_stand_below_the_folder_and_items_say_which_frame_they_are(package):
    folder = package.folder / "datumaro"
    for role in ("label", "context"):
        data = json.loads((folder / "annotations" / f"{role}.json").read_text())
        frames = [frame for frame in package.frames if frame.role == role]
        assert [(item["id"], item["attr"]["video_id"], item["attr"]["pts"]) for item in data["items"]] == [
            (frame.stem, frame.video_id, frame.pts) for frame in frames
        ]
        for item, frame in zip(data["items"], frames, strict=True):
            path = folder / "images" / role / item["image"]["path"]
            assert path.read_bytes() == package.path_of(frame).read_bytes()
            assert item["image"]["size"] == [frame.height, frame.width]
    # Datumaro looks for the version in the first thousand characters.
    assert '"dm_format_version": "1.0"' in (folder / "annotations/label.json").read_text()[:100]


def test_attributes_in_use_are_declared(package):
    """Others Datumaro leaves out where it writes CVAT's XML."""
    data = json.loads((package.folder / "datumaro/annotations/label.json").read_text())
    declared = {entry["name"]: set(entry["attributes"]) for entry in data["categories"]["label"]["labels"]}
    names = [category.name for category in CATEGORIES]
    for item in data["items"]:
        for entry in item["annotations"]:
            assert set(entry["attributes"]) <= declared[names[entry["label_id"]]]


def test_polygons_of_one_group_are_one_mask(package, tmp_path):
    left, right = [0, 0, 10, 0, 10, 10, 0, 10], [20, 0, 30, 0, 30, 10, 20, 10]

    def draw(data: Any) -> None:
        polygon = {"type": "polygon", "label_id": 1, "attributes": {}, "group": 5, "z_order": 2}
        data["items"][0]["annotations"] = [
            {**polygon, "points": left, "object_id": 8},
            {**polygon, "points": right, "object_id": 8},
            {**polygon, "points": right, "group": 0},
            {**polygon, "points": left, "group": 0, "attributes": {"track_id": 3, "occluded": False}},
        ]

    rows = [row for row in tool.read(changed(package, tmp_path, draw), package).objects() if row.attributes]
    assert [row.mask for row in rows[:3]] == [
        Rle.from_polygons(parts, 43, 61) for parts in ([left, right], [right], [left])
    ]
    assert [row.track_id for row in rows[:3]] == [8, -1, 3]
    assert rows[2].attributes == {"z_order": 2}


def test_pictures_are_named_by_path_or_id_and_sizes_known_from_the_export(package, tmp_path):
    def strip(data: Any) -> None:
        for number, item in enumerate(data["items"]):
            image = item.pop("image")
            if number % 2:
                item["image"] = {"path": f"C:\\somewhere\\{image['path']}"}

    done = placed(tool.read(changed(package, tmp_path, strip), package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)


def test_new_classes_and_strangers_are_kept(package, tmp_path):
    def add(data: Any) -> None:
        data["categories"]["label"]["labels"].insert(0, {"name": "bird"})
        data["items"] = [
            {"id": "stranger", "annotations": [{"type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4]}]}
        ]

    found = tool.read(changed(package, tmp_path, add), package)
    (row,) = found.objects()
    assert (row.video_id, row.box_xyxy) == ("stranger", (1, 2, 4, 6))
    assert {c.category_id: c.name for c in found.categories}[row.category_id] == "bird"


FIRST: Callable[[Any], Any] = lambda data: data["items"][0]["annotations"][0]  # noqa: E731
MASK: Callable[[Any], Any] = lambda data: data["items"][2]["annotations"][0]  # noqa: E731


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: FIRST(d).update(type="cuboid_2d"), "a 'cuboid_2d' is neither a box nor a mask"),
        (lambda d: FIRST(d).update(label_id=9), "label_id must be 0 to 1, got 9"),
        (lambda d: FIRST(d).update(bbox=[1, 2]), r"bbox must be x, y, width, height, got \[1, 2\]"),
        (lambda d: FIRST(d).update(bbox=[1, 2, -3, 4]), "bbox must be 0 or more"),
        (lambda d: FIRST(d).update(type="polygon", points=[1, 2]), "must be three pairs or more"),
        (
            lambda d: FIRST(d).update(type="polygon", points=["a"] * 6),
            "a coordinate of a polygon must be a finite",
        ),
        (lambda d: FIRST(d).update(object_id="x"), "object_id must be a whole number"),
        (lambda d: MASK(d)["rle"].update(size=[61, 43]), r"size of its picture, \[43, 61\], got \[61, 43\]"),
        (lambda d: MASK(d).update(rle=3), "size of its picture"),
        (lambda d: MASK(d)["rle"].update(counts="zzz"), "the mask cannot be read"),
        (lambda d: d.update(items=3), "items must be a list of objects"),
        (lambda d: d["items"][0].update(annotations=[3]), "annotations must be a list of objects"),
        (lambda d: d["items"][0].update(image={"path": 3}), "needs an id or the path of its picture, got 3"),
        (lambda d: d["items"][0]["image"].update(size=3), "size must be height and width, got 3"),
        (
            lambda d: d["categories"]["label"]["labels"].append({"name": "car"}),
            "each label needs a name of its own",
        ),
        (lambda d: d.pop("items"), "it is no dataset of Datumaro"),
    ],
)
def test_what_is_wrong_is_refused(package, tmp_path, change, message):
    with pytest.raises(AnnotationError, match=message):
        tool.read(changed(package, tmp_path, change), package)


def test_places_that_are_none_of_datumaros_are_refused(package, tmp_path):
    with pytest.raises(AnnotationError, match=r"has no annotations/\*\.json"):
        tool.read(tmp_path, package)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(AnnotationError, match=r"x\.json is no readable JSON"):
        tool.read(tmp_path / "x.json", package)


def test_object_without_shape_is_refused(tmp_path):
    bare = labels_for([ObjectRow("b", 0, 3, 9)])
    with pytest.raises(AnnotationError, match=r"b_f000000_p0\.png: an object with track 9 has neither"):
        tool.write(draw_package(tmp_path, "datumaro", labels=bare))

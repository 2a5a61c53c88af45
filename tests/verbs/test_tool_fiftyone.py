"""FiftyOne: what is written for it, what it wrote itself (`scripts/check_annotation_tools.py`), and files that lie."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.tool_package import draw_package, labels_for, placed, same_labels

from evfr._core.annotations import ObjectRow
from evfr.errors import AnnotationError
from evfr.verbs import _tool_fiftyone as tool
from evfr.verbs._tool_fiftyone_masks import _unpacked, pack_mask

FILES = Path(__file__).parent / "tool_files"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    package = draw_package(tmp_path_factory.mktemp("fiftyone"), "fiftyone")
    tool.write(package)
    return package


def samples(package: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((package.folder / "fiftyone/samples.json").read_text())[
        "samples"
    ]
    return found


def saved(folder: Path, found: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "samples.json").write_text(json.dumps({"samples": found}))
    return folder


def test_labels_come_back_as_they_went(package):
    done = placed(tool.read(package.folder / "fiftyone", package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)
    assert (done.untouched, done.empty) == (6, 1)


@pytest.mark.parametrize("name", ["fiftyone", "fiftyone-detections"])
def test_what_fiftyone_wrote_is_read(package, name):
    """Its own exports of this very dataset, 1.22: everything; of boxes alone masks are known from the export."""
    done = placed(tool.read(FILES / name, package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)
    assert (done.untouched, done.empty) == (6, 1)
    found = tool.read(FILES / name, package)
    assert sum(mask is not None for mask in found.masks) == (3 if name == "fiftyone" else 0)


def test_files_zips_and_chunks_are_read_alike(package, tmp_path):
    import shutil

    found = tool.read(FILES / "fiftyone", package)
    assert tool.read(FILES / "fiftyone" / "samples.json", package).equals(found)
    zipped = Path(shutil.make_archive(str(tmp_path / "back"), "zip", FILES / "fiftyone"))
    assert tool.read(zipped, package).equals(found)
    listed = json.loads((FILES / "fiftyone/samples.json").read_text())["samples"]
    for number, part in enumerate((listed[:5], listed[5:])):
        folder = tmp_path / "chunks" / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}.json").write_text(json.dumps({"samples": part}))
    assert tool.read(tmp_path / "chunks", package).equals(found)


def test_samples_say_which_frame_they_are(package):
    found = samples(package)
    assert [(s["video_id"], s["frame_index"], s["pts"], s["tags"]) for s in found] == [
        (frame.video_id, frame.frame_index, frame.pts, [frame.role]) for frame in package.frames
    ]
    for sample in found:
        assert (package.folder / "fiftyone" / sample["filepath"]).resolve().is_file()
    first = next(s for s in found if s["frame_index"] == 9)["labels"]["detections"]
    assert [(d["label"], d.get("index"), d.get("confidence"), d.get("trust")) for d in first] == [
        ("car", 4, None, None),
        ("person & dog", 5, 0.25, 0.5),
    ]
    assert "version" not in json.loads((package.folder / "fiftyone/metadata.json").read_text())


def test_attributes_whose_names_fiftyone_uses_or_refuses_come_back(tmp_path):
    names = {"label": "x", "index": 3, "trust": "none", "a.b": True, "evfr_own_z": 1.5, "$x": "y", "plain": 2}
    begun = labels_for([ObjectRow("b", 0, 3, 1, (0, 0, 9, 9), attributes=names)])
    package = draw_package(tmp_path, "fiftyone", labels=begun)
    tool.write(package)
    (row,) = tool.read(tmp_path / "fiftyone", package).objects()
    assert row.attributes == names
    written = next(s for s in samples(package) if s["video_id"] == "b")["labels"]["detections"][0]
    assert all(key.replace("_", "").isalnum() for key in written)


def test_other_fields_are_left_alone_and_two_of_ours_are_refused(package, tmp_path):
    def renamed(*fields: str) -> Path:
        found = samples(package)
        for sample in found:
            mine = sample.pop("labels", None)
            for field in fields:
                sample[field] = mine
            sample["uniqueness"] = 0.5
            sample["scene"] = {"_cls": "Classification", "label": "day"}
        return saved(tmp_path, found)

    assert len(tool.read(renamed("people"), package)) == 6
    assert len(tool.read(renamed("labels", "predictions"), package)) == 6
    with pytest.raises(AnnotationError, match=r"2 fields of detections \(people, predictions\)"):
        tool.read(renamed("people", "predictions"), package)
    with pytest.raises(AnnotationError, match=r"0 fields of detections \(others are scene"):
        tool.read(renamed(), package)


def test_masks_in_files_and_of_other_sizes_are_read(package, tmp_path):
    inside = np.zeros((4, 6), np.uint8)
    inside[1:3, 2:5] = 255
    (tmp_path / "fields").mkdir()
    (tmp_path / "fields" / "m.png").write_bytes(cv2.imencode(".png", inside)[1].tobytes())
    (name,) = [frame.name for frame in package.label_frames if frame.stem == "b_f000007_p3584"]
    box = [12 / 48, 9 / 36, 12 / 48, 8 / 36]
    kinds = [{"mask_path": "fields/m.png"}, {"mask": pack_mask(inside > 0)}]
    sample = {
        "filepath": f"/elsewhere/{name}",
        "labels": {
            "_cls": "Detections",
            "detections": [{"label": "car", "bounding_box": box, **k} for k in kinds],
        },
    }
    found = tool.read(saved(tmp_path, [sample]), package)
    want = np.zeros((36, 48), bool)
    want[9:17, 12:24] = np.repeat(np.repeat(inside > 0, 2, 0), 2, 1)  # the box is twice as large
    for mask in found.masks:
        np.testing.assert_array_equal(mask.to_mask(), want)


def test_mask_that_unpacks_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("evfr.annotations._parse.PIXELS_MOST", 1000)
    with pytest.raises(AnnotationError, match="larger than any picture"):
        _unpacked(text_of(bytes(10**5)), "here")


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_masks_come_back_from_text(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    np.testing.assert_array_equal(_unpacked({"$binary": {"base64": pack_mask(mask)}}, "here"), mask)


def text_of(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def array_of(array: np.ndarray, **changes: str) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=True)
    data = sink.getvalue()
    for old, new in changes.items():
        data = data.replace(old.encode(), new.encode())
    return data


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "must be the base64 text that FiftyOne writes, got '7'"),
        ("no base64!", "cannot be unpacked"),
        (base64.b64encode(b"no zlib").decode(), "cannot be unpacked"),
        (text_of(b"no array"), "cannot be unpacked"),
        (text_of(array_of(np.array([{"a": 1}], object))), r"must be a picture of one byte a pixel"),
        (text_of(array_of(np.zeros((2, 2, 2), bool))), "must be a picture of one byte a pixel"),
        (text_of(array_of(np.zeros((2, 2), np.float32))), "must be a picture of one byte a pixel"),
        (text_of(array_of(np.zeros((0, 2), bool))), "must be a picture of one byte a pixel"),
        (
            text_of(array_of(np.zeros((10, 10), bool), **{"(10, 10)": "(99, 99)"})),
            r"claims \(99, 99\) and has 100",
        ),
        (
            text_of(array_of(np.zeros((10, 10), bool), **{"'shape'": "(((((("})),
            "head of the array cannot be read|unpacked",
        ),
        (text_of(array_of(np.zeros((2, 2), bool)).replace(b"NUMPY\x01", b"NUMPY\x03")), "unknown version"),
        (text_of(array_of(np.zeros((2, 2), bool)))[:-8] + "AAAAAAA=", "cannot be unpacked"),
    ],
)
def test_masks_that_lie_are_refused(value, message):
    with pytest.raises(AnnotationError, match=message):
        _unpacked(value, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounding_box": [0, 0, 1]}, r"bounding_box must be four numbers, got '\[0, 0, 1\]'"),
        ({"bounding_box": [0, 0, -1, 1]}, "bounding_box must be 0 or more"),
        ({"label": None}, "unknown category None"),
        ({"extra": [1, 2]}, "the field 'extra' must be a text, number or truth value"),
        ({"evfr_own_zz": 1}, "'evfr_own_zz' is no field that evfr wrote"),
        ({"mask_path": 3}, "mask_path must name a file, got 3"),
        ({"mask_path": "fields/none.png"}, "is not below the folder"),
        (
            {"mask": pack_mask(np.ones((2, 2), bool)), "bounding_box": [0.9, 0, 0.3, 0.3]},
            "leaves the picture of 48x36",
        ),
        ({"index": -3}, "index must be 0 or more"),
    ],
)
def test_entries_that_are_wrong_are_refused(package, tmp_path, change, message):
    (name,) = [frame.name for frame in package.label_frames if frame.stem == "b_f000007_p3584"]
    detection = {"label": "car", "bounding_box": [0, 0, 0.5, 0.5], **change}
    sample = {"filepath": name, "labels": {"_cls": "Detections", "detections": [detection]}}
    with pytest.raises(AnnotationError, match=message):
        tool.read(saved(tmp_path, [sample]), package)


def test_files_that_are_none_of_fiftyones_are_refused(package, tmp_path):
    with pytest.raises(AnnotationError, match=r"has no samples\.json or labels\.json"):
        tool.read(tmp_path, package)
    for text, message in (
        ("[]", "lists no samples"),
        ('{"samples": [1]}', "lists no samples"),
        ("{", "is no JSON"),
        ('{"samples": [{"filepath": 3}]}', "filepath must name the picture, got 3"),
        (
            '{"samples": [{"filepath": "a", "labels": {"_cls": "Detections", "detections": 3}}]}',
            "must be Detections",
        ),
    ):
        (tmp_path / "samples.json").write_text(text)
        with pytest.raises(AnnotationError, match=message):
            tool.read(tmp_path, package)


def test_object_without_pixels_is_refused(tmp_path):
    bare = labels_for([ObjectRow("b", 0, 3, 9)])
    with pytest.raises(
        AnnotationError, match=r"b_f000000_p0\.png: an object with track 9 has neither a box nor"
    ):
        tool.write(draw_package(tmp_path, "fiftyone", labels=bare))


def test_old_attributes_and_strangers_are_kept_as_they_are(package, tmp_path):
    detection = {
        "label": "bird",
        "bounding_box": [0, 0, 0.5, 0.5],
        "attributes": {"hidden": {"_cls": "BooleanAttribute", "value": True}},
    }
    sample = {
        "filepath": "stranger.png",
        "metadata": {"width": 20, "height": 10},
        "labels": {"_cls": "Detections", "detections": [detection]},
    }
    found = tool.read(saved(tmp_path, [sample]), package)
    assert (found.videos[0].video_id, found.videos[0].width, found.videos[0].height) == (
        "stranger.png",
        20,
        10,
    )
    assert found.attributes == ({"hidden": True},) and "bird" in [c.name for c in found.categories]

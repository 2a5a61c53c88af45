"""Names in label files and manifests that lead out of a folder: none is opened, none is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from attacks.guard import bounded, cli, refused
from attacks.makers import png
from evfr._core.annotations import ObjectRow
from evfr._core.masks import Rle
from evfr.errors import AnnotationError, EvfrError
from helpers.labels import annotations_of
from torture.coding import encode

OUT = (
    "../x.png",
    "a/../../x.png",
    "/x.png",
    "C:\\x.png",
    "C:/x.png",
    "\\\\host\\x.png",
    "a\\..\\x.png",
    "a\0.png",
    "",
    7,
)
IDS = (
    "../x",
    "a/../../x",
    "/x",
    "C:\\x",
    "C:/x",
    "\\\\host\\x",
    "a\\..\\x",
    "a\0",
    "..",
    ".",
    "\ud800",
    "x" * 300,
)
MASK = Rle.from_mask(np.pad(np.ones((2, 2), bool), ((1, 3), (1, 5))))


def coco(name: object) -> dict:
    return {
        "images": [{"id": 1, "file_name": name, "frame_index": 0, "width": 8, "height": 6}],
        "annotations": [],
        "categories": [{"id": 1, "name": "x"}],
    }


def ytvis(name: object) -> dict:
    return {
        "videos": [{"id": 1, "width": 8, "height": 6, "length": 1, "file_names": [name]}],
        "annotations": [],
        "categories": [{"id": 1, "name": "x"}],
    }


def bdd(name: object) -> list:
    return [{"name": name, "videoName": "a", "frameIndex": 0, "labels": []}]


def label_studio(name: object) -> list:
    return [{"id": 1, "data": {"image": name}, "annotations": [{"id": 1, "result": []}]}]


@pytest.mark.parametrize("form", ["coco", "ytvis", "bdd100k", "label-studio"])
@pytest.mark.parametrize("name", OUT, ids=repr)
def test_label_files_name_nothing_outside(work, form, name):
    from evfr.annotations import read

    make = {"coco": coco, "ytvis": ytvis, "bdd100k": bdd, "label-studio": label_studio}[form]
    path = work / "a.json"
    path.write_text(json.dumps(make(name)))
    if form == "label-studio" and name in ("/x.png", "", 7):
        # Its own local addresses begin with a slash; what is no text is no picture. Either is read or refused.
        with bounded(64):
            try:
                read(path, format=form)
            except AnnotationError as error:
                assert "a.json" in str(error)
        return
    more = {"width": 8, "height": 6} if form == "bdd100k" else {}
    refused(lambda: read(path, format=form, **more), r"a\.json", AnnotationError, megabytes=64)


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "C:\\x.png", "a&#0;.png"])
def test_cvat_names_nothing_outside(work, name):
    from evfr.annotations import read

    path = work / "a.xml"
    path.write_text(
        f'<annotations><version>1.1</version><image id="0" name="{name}" width="8" height="6">'
        '<box label="x" xtl="0" ytl="0" xbr="1" ybr="1" occluded="0"/></image></annotations>'
    )
    refused(lambda: read(path, format="cvat"), r"a\.xml", AnnotationError, megabytes=64)


@pytest.mark.parametrize(
    ("form", "ending", "more"),
    [
        ("davis", "", {}),
        ("davis", ".zip", {}),
        ("masks", "", {"pattern": "{video}/{frame:05d}.png"}),
        ("yolo", "", {"pattern": "{video}/{frame:06d}.txt"}),
        ("mots", "", {"renumber": True, "kind": "png"}),
        ("camvid", "", {}),
        ("cdnet", "", {}),
    ],
)
@pytest.mark.parametrize("video_id", IDS, ids=lambda name: repr(name)[:20])
def test_writers_stay_in_their_folder(work, form, ending, more, video_id):
    """A video's name becomes a folder's: it is refused, or escaped, or never used; the guard sees what is written."""
    from evfr.annotations import write

    labels = annotations_of(ObjectRow(video_id, 0, 1, 1, None, mask=MASK), frames=[0], video_id=video_id)
    target = work / "inner" / f"out{ending}"
    target.parent.mkdir()
    with bounded(256):
        try:
            write(labels, target, format=form, **more)
        except (EvfrError, TypeError) as error:
            assert not isinstance(error, TypeError) or "has no option" in str(error)
    written = [path for path in work.rglob("*") if path.is_file()]
    assert all(path == target or target in path.parents for path in written), written


def manifest(folder: Path, video_id: str, clip: Path, frames: int = 1) -> Path:
    """Write a selection of the first frames of a clip whose name is the attacker's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evfr._core.selection import MANIFEST_FORMAT, MANIFEST_SCHEMA, SELECTION_SCHEMA
    from evfr.video import scan

    table = scan(clip)[0]
    told = {"format": MANIFEST_FORMAT, "schema": MANIFEST_SCHEMA, "parameters": {}, "problems": []}
    told["inputs"] = [{"video_id": video_id, "path": str(clip), "kind": "file"}]
    folder.mkdir()
    (folder / "selection.json").write_text(json.dumps(told))
    columns = {name: [None] * frames for name in SELECTION_SCHEMA.names}
    columns |= {
        "video_id": [video_id] * frames,
        "frame_index": list(range(frames)),
        "pts": table.pts[:frames].tolist(),
    }
    columns |= {"time_base_num": [1] * frames, "time_base_den": [1] * frames, "time_seconds": [0.0] * frames}
    columns |= {
        "luma_hash": table.luma_hash[:frames].tolist(),
        "rank": list(range(frames)),
        "reason": [""] * frames,
    }
    pq.write_table(pa.table(columns, schema=SELECTION_SCHEMA), folder / "selection.parquet")
    return folder


@pytest.mark.parametrize(
    "video_id",
    ["../../outside/x", "/x", "C:\\x", "a\0b", "x" * 300, "\u202egnp.mp4"],
    ids=lambda name: repr(name)[:12],
)
def test_extract_writes_below_its_folder(work, video_id):
    clip = work / "clip.mp4"
    encode(clip, "libx264", count=3, size=(96, 64))
    folder = manifest(work / "selection", video_id, clip)
    before = {path for path in work.rglob("*") if path.is_file()}
    assert cli("extract", folder, "--out", work / "frames", "--executor", "serial") in (0, 1, 2, 3)
    new = {path for path in work.rglob("*") if path.is_file()} - before
    assert all(path.is_relative_to(work / "frames") or path.is_relative_to(work / "store") for path in new), (
        new
    )
    assert sum(path.is_relative_to(work / "frames") for path in new) == 1


def test_pictures_that_are_programs_are_not_run(work, outside):
    """A mask or an image may be PostScript, whatever it is called: Pillow would call Ghostscript for it."""
    from evfr.annotations import read
    from evfr.annotations._palette import read_labels
    from evfr.datasets.image_folder import ImageFolderDataset
    from evfr.video import read_image

    program = (
        b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%ImageData: 8 8 8 1 0 1 1 "beginimage"\n%%EndComments\n'
        b"(" + str(outside.mark).encode() + b") (w) file closefile showpage\n%%EOF\n"
    )
    folder = work / "masks"
    folder.mkdir()
    path = folder / "00000.png"
    path.write_bytes(program)
    refused(lambda: read_labels(program, "a.png"), r"a\.png is no readable picture")
    refused(lambda: read(folder, format="masks"), r"is no readable picture")
    refused(lambda: read_image(path), r"is no image that can be read")
    refused(lambda: ImageFolderDataset(folder)[0], r"cannot read the image")
    path.write_bytes(png(8, 8))
    assert ImageFolderDataset(folder)[0][0].size == (8, 8)

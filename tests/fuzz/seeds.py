"""The sound files that fuzzing starts from: a few kilobytes each, made by evfr's own writers and by FFmpeg."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from evfr._core.annotations import Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.selection import SELECTION_SCHEMA
from evfr._core.store import Store
from evfr.annotations import write
from helpers.clips import moving_square, write_clip
from helpers.embedded import drawn_vectors, write_embedding
from helpers.labels import annotations_of, squares

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "archive",
    "boxes",
    "clip",
    "embedding_entry",
    "labels",
    "manifest",
    "page",
    "picture",
    "selection_table",
    "signals_entry",
    "tensors",
]


def picture(pixels: np.ndarray) -> bytes:
    """Return a PNG."""
    sink = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(sink, format="PNG")
    return sink.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    """Return a zip."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return sink.getvalue()


def clip(folder: Path, kind: str) -> bytes:
    """Return a short video of a kind, see `CLIPS`."""
    path = folder / f"seed.{kind}"
    if kind == "zip":
        return archive(
            {f"{k}.png": picture(image) for k, image in enumerate(moving_square(3, size=(24, 16)))}
        )
    pictures, options = moving_square(7, size=(48, 32)), dict(CLIPS[kind])
    if options.pop("is_uneven", False):
        options |= {"pts": [0, 3, 4, 9, 10, 15, 21], "time_base": Fraction(1, 90)}
    return write_clip(path, pictures, **options).read_bytes()


CLIPS: dict[str, dict[str, Any]] = {
    "mp4": {"gop": 4},
    "mov": {"gop": 4, "rotation": 90, "is_uneven": True},
    "mkv": {"codec": "mpeg4", "gop": 3},
    "ts": {"codec": "mpeg2video", "gop": 4, "b_frames": 2},
    "avi": {"codec": "mpeg4", "gop": 4, "b_frames": 0},
    "webm": {"codec": "libvpx", "gop": 4, "b_frames": None},
    "h264": {"gop": 4, "muxer": "h264"},
    "gif": {"codec": "gif", "pixel_format": "rgb8", "b_frames": None},
}


def boxes() -> VideoAnnotations:
    """Return two tracks of boxes with attributes."""
    rows = [
        ObjectRow(
            *("clip", frame, 1, track, (frame + 0.5, track, frame + 3.25, track + 2)),
            attributes={"occluded": True, "a": 1.5, "n": "x"},
        )
        for frame in (0, 1, 3)
        for track in (1, 2)
    ]
    return annotations_of(*rows, frames=[0, 1, 2, 3])


def classes() -> VideoAnnotations:
    """Return masks of two of CamVid's classes."""
    mask = np.zeros((6, 8), bool)
    mask[:, :4] = True
    rows = [
        ObjectRow("clip", frame, i, -1, None, Rle.from_mask(m))
        for frame in (0, 2)
        for i, m in ((1, mask), (2, ~mask))
    ]
    return annotations_of(*rows, categories=(Category(1, "sky"), Category(2, "road")))


def labels(folder: Path, name: str, format: str, which: str = "masks", **options: Any) -> bytes:
    """Return a label file of a format, or a zip of its folder."""
    made = {"masks": squares, "boxes": boxes, "classes": classes}[which]()
    if which == "masks" and format == "cdnet":
        rows = [row for row in made.objects() if row.track_id == 1]
        made = VideoAnnotations.build(made.videos, made.categories, rows)
    path = write(made, folder / name, format=format, **options)
    if path.is_file():
        return path.read_bytes()
    return archive({str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()})


def selection_table() -> bytes:
    """Return a ``selection.parquet`` of two videos."""
    n = 4
    sink = io.BytesIO()
    columns = {
        "video_id": ["a.mp4", "a.mp4", "b.mp4", "b.mp4"],
        "frame_index": [0, 5, 2, 3],
        "pts": [0, 2560, None, 1536],
        "time_base_num": [1] * n,
        "time_base_den": [12_800] * n,
        "time_seconds": [0.0, 0.2, 0.08, 0.12],
        "luma_hash": [1, 2**64 - 1, 3, 4],
        "weight": [0.25, None, 0.5, 0.25],
        "inclusion_probability": [None, 0.5, 1.0, 0.5],
        "rank": [0, 1, 2, 3],
        "reason": ["systematic"] * n,
        "gain": [None] * n,
    }
    pq.write_table(pa.table(columns, schema=SELECTION_SCHEMA), sink)
    return sink.getvalue()


def manifest() -> bytes:
    """Return a ``selection.json`` of the same videos."""
    inputs = [
        {
            "video_id": name,
            "path": f"/videos/{name}",
            "kind": "file",
            "hash": "ab" * 16,
            "status": "ok",
            "n_frames": 9,
        }
        for name in ("a.mp4", "b.mp4")
    ]
    problem = {"code": "W_CORRUPT", "message": "x", "source": "b.mp4", "frame_index": 3, "count": 2}
    parameters = {
        "n": 4,
        "ratio": None,
        "method": "systematic",
        "signal": "flow",
        "seed": 0,
        "include": [["a.mp4", 5]],
    }
    data = {
        "format": "evfr-selection",
        "schema": 1,
        "evfr": "0",
        "inputs": inputs,
        "parameters": parameters,
        "problems": [problem],
    }
    return json.dumps(data).encode()


def signals_entry(folder: Path) -> tuple[str, bytes]:
    """Return the name in a store and the bytes of a small entry."""
    store = Store(folder / "store-signals")
    key = store.key("6c1f", "signals", {"width": 320, "version": 1})
    table = pa.table({"frame_index": pa.array(range(40), pa.int64()), "flow": [k / 7 for k in range(40)]})
    store.write(key, table, {"video_id": "drive.mp4"})
    return key.file_name, store.path(key).read_bytes()


def embedding_entry(folder: Path) -> tuple[str, bytes]:
    """Return the name in a store and the bytes of a small entry of embeddings."""
    store = Store(folder / "store-embedding")
    key = write_embedding(store, "drive.mp4", drawn_vectors(9, dimension=4))
    return key.file_name, store.path(key).read_bytes()


def page() -> bytes:
    """Return a small report page; its style and script are left out, which no reader looks at."""
    import re

    from evfr.reports import render_report
    from helpers.report_data import failed_video, selection_report, video_report

    video = video_report(n_frames=24, n=4, with_thumbnails=False, cuts=(9,))
    text = render_report(selection_report((video, failed_video())))
    text = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL).encode("ascii")


def tensors() -> bytes:
    """Return a safetensors file of two tensors."""
    head = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "F16", "shape": [3], "data_offsets": [16, 22]},
    }
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes(22)

"""Files that claim more than they hold: arrays, tables, weights and pictures are refused before memory is taken."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attacks.guard import bounded, refused
from attacks.makers import DEEP_LIST, npy, npz, png, png_chunk, safetensors, swollen
from evfr._core.npz import DAMAGED, read_npz

ARRAYS = {
    "2^40 rows": npy("(1099511627776,)"),
    "2^31 rows": npy("(2147483648,)"),
    "rows below 0": npy("(-1,)"),
    "items of 2 GB": npy("(4,)", "'|S2147483647'"),
    "items of nothing": npy("(1099511627776,)", "'|S0'"),
    "one byte short": npy("(9,)", data=bytes(8)),
    "one byte long": npy("(7,)", data=bytes(8)),
    "shape of brackets": npy("(" * 4000),
    "shape of signs": npy("(" + "-" * 9000 + "1,)"),
    "header of 2 GB": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{",
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(work, name):
    path = npz(work / "a.npz", x=ARRAYS[name])
    refused(lambda: read_npz(path), r".", DAMAGED, megabytes=128, seconds=5)


def test_an_array_that_swells(work):
    """The zip says that so few bytes unpack to 300 MB, as a thousand times as many zeros do."""
    path = npz(work / "a.npz", x=npy("(8,)", data=bytes(8)))
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\1\2") + 24
    data[place : place + 4] = struct.pack("<I", 300 << 20)
    path.write_bytes(data)
    refused(lambda: read_npz(path), r"claim to unpack to 314572800", DAMAGED, megabytes=64)


def test_samples_longer_than_their_file(work):
    from dataclasses import fields

    from evfr.training import CovosSamples

    for part in fields(CovosSamples):
        (work / f"{part.name}.npy").write_bytes(npy("(1099511627776,)"))
    refused(lambda: CovosSamples.load(work), r"holds no whole samples of CoVOS", megabytes=64)


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HEADERS = {
    "header of 2^63 bytes": ({}, 2**63),
    "header of 64 MB": ({}, 2**26),
    "2^40 numbers": ({"x": {**ONE, "shape": [2**40], "data_offsets": [0, 2**42]}}, None),
    "shapes that overflow": ({"x": {**ONE, "shape": [2**32, 2**32]}}, None),
    "tensors on each other": ({"x": ONE, "y": ONE}, None),
    "offsets below 0": ({"x": {**ONE, "data_offsets": [-4, 0]}}, None),
    "deep": (f'{{"x": {DEEP_LIST}}}'.encode(), None),
    "a number of a million digits": (b'{"x": ' + b"9" * 1_000_000 + b"}", None),
    "NaN": (b'{"x": NaN}', None),
    "a list": ([], None),
}


@pytest.mark.parametrize("name", HEADERS)
def test_safetensors(work, name):
    pytest.importorskip("torch")
    from evfr._core.tensor_files import read_state_dict

    head, length = HEADERS[name]
    path = safetensors(work / "a.safetensors", head, bytes(4), length)
    refused(lambda: read_state_dict(path, extra="train"), r"is no (whole )?safetensors file", megabytes=1024)


def test_a_checkpoint_that_claims_a_wide_network(work):
    torch = pytest.importorskip("torch")
    from evfr._core.tensor_state import write_state
    from evfr.training import load_segmentation, load_svm, load_tiny

    one = {"x": torch.zeros(1)}
    doors: dict[str, tuple[Any, dict[str, Any]]] = {
        "evfr hypercolumn svm 1": (load_svm, {"taps": one, "scores": one}),
        "evfr segmentation 1": (load_segmentation, {"module": one, "kind": "unet"}),
        "evfr tiny 1": (load_tiny, {"state_dict": one, "maps": 2**20}),
    }
    for form, (load, parts) in doors.items():
        path = work / "a.safetensors"
        for width in (2**20, -1, 0.5, "8", [8]):
            state = {"format": form, "width": width, "batch_norm": False, "classes": ["a"], **parts}
            write_state(state, path, extra="train")
            refused(
                lambda load=load, path=path: load(path),
                r"claims .* channels, and holds no tensor of that size",
            )


def constants(
    path: Path, schema: pa.Schema, rows: int, groups: int, text: str = "v", *, is_coded: bool = False
) -> Path:
    """Write so many equal rows, which take no room; ``is_coded`` notes in the file that texts are codes."""
    columns, fields = [], []
    for field in schema:
        column = pa.repeat(pa.scalar(0, pa.int64()), rows)
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            words = pa.array([text], field.type)
            column = pa.DictionaryArray.from_arrays(column.cast(pa.int32()), words)
            field = field.with_type(column.type)
        columns.append(column if pa.types.is_dictionary(field.type) else column.cast(field.type))
        fields.append(field)
    told = pa.schema(fields, schema.metadata)
    with pq.ParquetWriter(path, told, compression="zstd", store_schema=is_coded) as writer:
        for _ in range(groups):
            writer.write_table(pa.table(columns, schema=told))
        writer.add_key_value_metadata(schema.metadata or {})
    return path


def selection(folder: Path, schema: pa.Schema, rows: int, groups: int, text: str = "v", **more: bool) -> Path:
    from evfr._core.selection import MANIFEST_FORMAT, MANIFEST_SCHEMA

    manifest = {"format": MANIFEST_FORMAT, "schema": MANIFEST_SCHEMA, "parameters": {}, "problems": []}
    manifest["inputs"] = [{"video_id": "v", "path": "/v.mp4", "kind": "file"}]
    (folder / "selection.json").write_text(json.dumps(manifest))
    constants(folder / "selection.parquet", schema, rows, groups, text, **more)
    return folder


def test_selections(work):
    from evfr._core.selection import SELECTION_SCHEMA, Selection

    selection(work, SELECTION_SCHEMA, 50_000, 20)
    refused(
        lambda: Selection.load(work),
        r"it claims 1000000 rows, more than its \d+ bytes can hold",
        megabytes=64,
    )
    said = r"its column 'video_id' unpacks to 8000000000 bytes, far more than its"
    for is_coded in (False, True):
        selection(work, SELECTION_SCHEMA, 1000, 8, "v" * 1_000_000, is_coded=is_coded)
        refused(lambda: Selection.load(work), said, megabytes=512)


@pytest.mark.parametrize("text_type", [pa.string(), pa.large_string()], ids=["short", "long"])
def test_lists_of_frames_and_tables_of_runs(work, text_type):
    from evfr.experiments._advise_table import read_table
    from evfr.verbs._request import _read_list

    schema = pa.schema([("video_id", text_type), ("frame_index", pa.int64())])
    many = constants(work / "many.parquet", schema, 1_000_000, 3, is_coded=True)
    long = constants(work / "long.parquet", schema, 1000, 8, "v" * 1_000_000, is_coded=True)
    for read in (_read_list, lambda path: read_table(path, ["video_id"])):
        refused(lambda read=read: read(many), r"it claims 3000000 rows", megabytes=64)
        refused(lambda read=read: read(long), r"'video_id' unpacks to 8000000000 bytes", megabytes=512)
    lists = work / "lists.parquet"
    pq.write_table(pa.table({"video_id": [["v" * 1_000_000]] * 10, "frame_index": [0] * 10}), lists)
    refused(lambda: _read_list(lists), r"'video_id' holds lists; give one value a row", megabytes=64)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pa.array([None], pa.int64()), "a row has no frame_index"),
        (pa.array(["x"]), "Failed to parse string"),
        (pa.array([1.5]), "was truncated"),
        (pa.array([2**64 - 1], pa.uint64()), "not in range"),
    ],
)
def test_frames_that_are_no_numbers(work, frame, said):
    from evfr.verbs._request import _read_list

    path = work / "a.parquet"
    pq.write_table(pa.table({"video_id": ["v"], "frame_index": frame}), path)
    refused(lambda: _read_list(path), said)


def test_label_tables(work):
    from evfr.annotations import read
    from evfr.annotations._native import _KEY, SCHEMA

    schema = SCHEMA.with_metadata({_KEY: b'{"schema": 1, "videos": [], "categories": []}'})
    path = constants(work / "a.parquet", schema, 300_000, 8)
    refused(lambda: read(path), r"claims 2400000 rows .* more than its \d+ bytes can hold", megabytes=64)
    constants(path, schema, 1000, 8, "v" * 1_000_000)
    refused(lambda: read(path), r"unpacks to 8000000000 bytes, far more than its", megabytes=512)


def test_a_table_that_is_cut_or_lies_about_its_end(work):
    from evfr.verbs._request import _read_list

    path = work / "a.parquet"
    pq.write_table(pa.table({"video_id": ["v"], "frame_index": [0]}), path)
    sound = path.read_bytes()
    for data in (
        b"PAR1" * 3,
        sound[:-20],
        sound[:-8] + b"\xff\xff\xff\x7fPAR1",
        sound[:4] + bytes(9) + sound[13:],
    ):
        path.write_bytes(data)
        refused(lambda: _read_list(path), r"no readable columns video_id and frame_index", megabytes=256)


def _tiff(width: int, height: int, samples: int) -> bytes:
    """A deflated TIFF of 16 bits with so many colours, of a form that Pillow does not know."""
    data = swollen(8)
    bits = struct.pack(f"<{samples}H", *[16] * samples)
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, -1),
        (259, 3, 8),
        (262, 3, 2),
        (273, 4, -2),
        (277, 3, samples),
    ]
    tags += [(278, 4, height), (279, 4, len(data)), (284, 3, 1)]
    rest = 8 + 2 + 12 * len(tags) + 4
    out = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for tag, kind, value in tags:
        count = samples if value == -1 else 1
        value = {-1: rest, -2: rest + len(bits)}.get(value, value)
        out += struct.pack("<HHII", tag, kind, count, value)
    return out + bytes(4) + bits + data


def _jpeg2000(width: int, height: int) -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.new("RGB", (16, 16)).save(sink, "JPEG2000")
    data = bytearray(sink.getvalue())
    for mark, place in ((b"ihdr", 4), (b"\xff\x51", 6)):
        at = data.find(mark) + place
        data[at : at + 8] = struct.pack(">II", *((height, width) if mark == b"ihdr" else (width, height)))
    return bytes(data)


BOMB = swollen(256)
PICTURES = {
    "png of 65535 squared": png(65535, 65535, pixels=b"x"),
    "png of 2^31 squared": png(2**31 - 1, 2**31 - 1, pixels=b"x"),
    "png of 12000 squared, all there": png(12_000, 12_000, pixels=swollen(138)),
    "png of no size": png(0, 0, pixels=b""),
    "png with text that swells": png(8, 8, extra=png_chunk(b"zTXt", b"k\0\0" + BOMB)),
    "png with international text that swells": png(8, 8, extra=png_chunk(b"iTXt", b"k\0\1\0\0\0" + BOMB)),
    "png with a profile that swells": png(8, 8, extra=png_chunk(b"iCCP", b"k\0\0" + BOMB)),
    "png with a chunk too short": png(8, 8, extra=png_chunk(b"gAMA", b"")),
    "png with a chunk too short behind": png(8, 8, after=png_chunk(b"cHRM", b"1")),
    "png with a chunk of 4 GB": png(8, 8)[:8] + struct.pack(">I", 2**32 - 1) + b"IHDR",
    "jpeg of 65535 squared": b"\xff\xd8\xff\xc0"
    + struct.pack(">HBHHB", 11, 8, 65535, 65535, 1)
    + b"\1\x11\0\xff\xd9",
    "gif of 65535 squared": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b";",
    "jpeg 2000 of 60000 squared": _jpeg2000(60000, 60000),
    "tiff of 20000 squared": _tiff(20000, 20000, 3),
    "tiff of 10000 squared that Pillow does not know": _tiff(10000, 10000, 5),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(work, name):
    from evfr.annotations._palette import read_labels
    from evfr.annotations._png import read_png
    from evfr.errors import AnnotationError, InputError
    from evfr.video import read_image

    path = work / "a.png"
    path.write_bytes(PICTURES[name])
    data = path.read_bytes()
    refused(lambda: read_image(path), r"a\.png is no image that can be read", InputError, megabytes=256)
    refused(lambda: read_png(data, "a.png", ("L",)), r"^a\.png", AnnotationError, megabytes=256)
    if "all there" not in name:
        refused(lambda: read_labels(data, "a.png"), r"^a\.png", AnnotationError, megabytes=256)


def test_a_small_picture_with_too_much_data_is_read_as_far_as_it_goes(work):
    from evfr.annotations._png import read_png

    with bounded(64):
        assert read_png(png(8, 8, pixels=BOMB), "a.png", ("L",)).shape == (8, 8)


def test_a_folder_of_images_goes_on_without_the_bombs(work):
    from evfr.video import scan

    folder = work / "images"
    folder.mkdir()
    for place, name in enumerate(("png of 65535 squared", "jpeg of 65535 squared", "tiff of 20000 squared")):
        (folder / f"{place}.png").write_bytes(PICTURES[name])
    (folder / "3.png").write_bytes(png(8, 8))
    with bounded(256):
        table, _, problems = scan(folder)
    assert table.is_selectable.tolist() == [False, False, False, True]
    assert [problem.code for problem in problems].count("W_IMAGE") == 3


def test_what_a_trainer_wrote_cannot_swell(work):
    """It is measured before it is decoded."""
    from evfr._core.labelled import LabelledClip
    from evfr.experiments._command_files import export_clips
    from evfr.experiments._command_results import read_masks

    none = np.zeros((1, 8, 8), np.uint8)
    images = np.zeros((1, 8, 8, 3), np.uint8)
    clips = [LabelledClip("a", np.arange(1), images, none, np.zeros((1, 0), np.int16), ("x",))]
    frames = export_clips(clips, work / "val", is_labelled=False)
    masks = work / "masks"
    masks.mkdir()
    (masks / frames[0].name).write_bytes(png(12_000, 12_000, pixels=swollen(138)))
    refused(lambda: read_masks(masks, frames, clips), r"is 12000x12000, its image", megabytes=128)

"""What a selection was asked for: checks, frame names, and the trip through the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evfr.errors import InputError, SelectionFileError
from evfr.verbs._request import Request, frame_names


def test_frame_names_in_every_form(tmp_path: Path) -> None:
    listed = tmp_path / "frames.csv"
    listed.write_text("video_id,frame_index,note\na.mp4,5,x\n,6,y\n")
    pq.write_table(pa.table({"video_id": ["b.mp4"], "frame_index": [9]}), tmp_path / "more.parquet")
    names = frame_names(
        [3, "4", "a.mp4:7", "odd:name:8", ("c.mp4", 1), str(listed), str(tmp_path / "more.parquet")], "x"
    )
    assert names == (
        (None, 3),
        (None, 4),
        ("a.mp4", 7),
        ("odd:name", 8),
        ("c.mp4", 1),
        ("a.mp4", 5),
        (None, 6),
        ("b.mp4", 9),
    )
    assert frame_names(["3", 3], "x") == ((None, 3),)
    assert frame_names("3", "x") == ((None, 3),)


@pytest.mark.parametrize("text", ["nothing", "a.mp4:", ":3", "a.mp4:-3", "-1", "1.5"])
def test_names_of_no_frame_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no frame"):
        frame_names([text], "include")


def test_unreadable_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no readable CSV file"):
        frame_names([str(tmp_path / "missing.csv")], "include")
    bad = tmp_path / "bad.csv"
    bad.write_text("video,frame\na,1\n")
    with pytest.raises(InputError, match="must have the columns"):
        frame_names([str(bad)], "include")
    parquet = tmp_path / "bad.parquet"
    parquet.write_bytes(b"no")
    with pytest.raises(InputError, match="no readable columns"):
        frame_names([str(parquet)], "include")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n": 3, "ratio": 0.5}, "give one of n, ratio and stride"),
        ({"min_gap": -1}, "min_gap must be 0 or more"),
        ({"quality": 0}, "quality must lie in 1..100"),
        ({"include": ((None, -4),)}, "indices are 0 or more"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Request(**values)  # type: ignore[arg-type]


def test_the_manifest_keeps_every_parameter() -> None:
    request = Request(
        n=7,
        method="systematic",
        method_options={"mixing": 0.25},
        include=(("a.mp4", 3), (None, 4)),
        min_gap_seconds=0.5,
        seed=3,
    )
    kept = json.loads(json.dumps(request.to_dict()))
    assert Request.from_dict(kept, "here") == request


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, r"parameters \['colour'\] are unknown or missing"),
        ({"n": 1, "ratio": 0.5}, "give one of"),
        ({"include": [3]}, "here: "),
        ({"quality": "high"}, "here: "),
    ],
)
def test_edited_manifests_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(SelectionFileError, match=message):
        Request.from_dict({**Request().to_dict(), **change}, "here")


def test_the_command_says_only_what_differs() -> None:
    assert Request().command(["drive.mp4"]) == "evfr select drive.mp4"
    request = Request(
        ratio=0.2, method="systematic", method_options={"mixing": 0.25}, exclude=(("a b.mp4", 3),), max_gap=30
    )
    assert request.command(["my clip.mp4"]) == (
        "evfr select 'my clip.mp4' --ratio 0.2 --method systematic --mixing 0.25 --max-gap 30 --exclude 'a b.mp4:3'"
    )
    assert Request(stride=5).command(["d"], (1, 5)) == "evfr select d --strides 1,5"

"""`evfr evaluate`: files in, scores out; which frames count; what does not fit is said."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations, concatenate
from evfr._core.masks import Rle
from evfr._core.selection import SELECTION_SCHEMA, Selection
from evfr.annotations import write
from evfr.errors import AnnotationError, SelectionFileError
from evfr.metrics import davis_scores, mask_scores, tracking_scores
from evfr.verbs.evaluate import EvaluateResult, evaluate

CATEGORIES = (Category(1, "cat"), Category(2, "dog"))


def clip(
    video_id: str, shift: int, count: int = 6, *, category: int = 1, keys=(), tracks=(3, 5)
) -> VideoAnnotations:
    """Draw two squares that move; the prediction lies ``shift`` columns off between its labelled frames."""
    video = AnnotatedVideo(video_id, 80, 40, np.arange(count))
    rows = []
    for t, (place, track) in itertools.product(range(count), enumerate(tracks)):
        mask = np.zeros((40, 80), bool)
        left = 2 * t + 25 * place + (0 if t in keys else shift)
        mask[5:25, left : left + 20] = True
        source = "human" if t in keys else "carried"
        rows.append(
            ObjectRow(
                video_id, t, category, track, mask=Rle.from_mask(mask), source=source if keys else "human"
            )
        )
    return VideoAnnotations.build([video], CATEGORIES, rows).with_boxes()


def save(labels: VideoAnnotations, path) -> str:
    return str(write(labels, path, format="evfr"))


@pytest.fixture
def files(tmp_path):
    truth = concatenate([clip("a", 0), clip("b", 0, 9, category=2)])
    found = concatenate([clip("a", 4, keys=(0, 5)), clip("b", 2, 9, category=2, keys=(0, 4, 8))])
    return save(found, tmp_path / "found.parquet"), save(truth, tmp_path / "truth.parquet")


def selection(folder, frames: dict[str, list[int]]) -> Selection:
    rows = [
        {
            "video_id": video,
            "frame_index": t,
            "pts": t,
            "time_base_num": 1,
            "time_base_den": 25,
            "time_seconds": float(Fraction(t, 25)),
            "luma_hash": 0,
            "weight": None,
            "inclusion_probability": None,
            "rank": rank,
            "reason": "",
            "gain": None,
        }
        for video, indices in sorted(frames.items())
        for rank, t in enumerate(indices)
    ]
    manifest = {"format": "evfr-selection", "schema": 1, "inputs": [], "parameters": {}, "problems": []}
    chosen = Selection(pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA), manifest)
    chosen.save(folder)
    return chosen


def test_vos_without_keys_is_davis(files):
    found, truth = files
    result = evaluate("vos", found, truth=truth)
    assert result.left_out == "first and last frames"
    pair = clip("a", 0), clip("a", 4, keys=(0, 5))
    davis = davis_scores(mask_scores(*pair, "a"))
    first = result.videos()[0]
    assert first["video_id"] == "a"
    assert first["j_mean"] == davis.region.mean == pytest.approx(16 / 24)
    assert first["j_and_f"] == davis.j_and_f
    assert [row["track_id"] for row in result.rows()] == [3, 5, 3, 5]
    assert result.overall()["j_mean"] == pytest.approx(np.mean([row["j"]["mean"] for row in result.rows()]))


def test_keys_by_labels_and_by_selection_are_the_same(files, tmp_path):
    found, truth = files
    by_labels = evaluate("vos", found, truth=truth, keys="labels")
    selection(tmp_path / "picked", {"a": [0, 5], "b": [0, 4, 8]})
    by_selection = evaluate("vos", found, truth=truth, keys=tmp_path / "picked")
    assert by_labels.to_dict() == by_selection.to_dict()
    assert by_labels.left_out == "labelled frames"
    assert by_labels.videos()[0]["j_mean"] == pytest.approx(16 / 24)
    whole = evaluate("vos", found, truth=truth, keys="labels", all_frames=True)
    assert whole.left_out == "nothing"
    assert whole.videos()[0]["j_mean"] == pytest.approx((4 * 16 / 24 + 2) / 6)
    assert [part["row_count"] for part in whole.to_dict()["gaps"]] == [20]


def test_boxes(files):
    found, truth = files
    result = evaluate("boxes", found, truth=truth, keys="labels", tracking=True)
    assert result.videos()[0]["mean_iou"] == pytest.approx(16 / 24)
    assert result.videos()[1]["mean_iou"] == pytest.approx(18 / 22)
    assert result.to_dict()["gaps"][0]["row_count"] == 20
    each = tracking_scores(clip("a", 0), clip("a", 4, keys=(0, 5)), "a", 0.5)
    assert result.videos()[0]["mota"] == each.mota == 1.0
    assert result.to_dict()["tracking"][0]["idf1"] == each.idf1
    strict = evaluate("boxes", found, truth=truth, tracking=True, iou_threshold=0.7)
    assert strict.videos()[0]["mota"] < 0
    assert "tracking" not in evaluate("boxes", found, truth=truth).to_dict()


def test_tracking_of_masks_needs_no_equal_ids(files, tmp_path):
    other = save(clip("a", 4, tracks=(8, 9)), tmp_path / "other.parquet")
    truth = save(clip("a", 0), tmp_path / "one.parquet")
    result = evaluate("vos", other, truth=truth, tracking=True)
    assert result.overall()["idf1"] == 1.0
    assert result.overall()["j_mean"] == 0.0


def test_masks(files):
    found, truth = files
    result = evaluate("masks", found, truth=truth, keys="labels")
    cat = next(row for row in result.rows() if row["category"] == "cat")
    # Two squares of 20 columns 5 apart, moved by 4: 32 of 40 columns are hit.
    assert cat["precision"] == cat["recall"] == pytest.approx(0.8)
    assert cat["gscore"] == pytest.approx(0.64)
    assert set(result.overall()) == {"accuracy", "iou", "gscore", "precision", "recall"}
    assert evaluate("masks", found, truth=truth).left_out == "nothing"
    assert len(result.videos()) == 2


def test_youtube_vos(files):
    found, truth = files
    result = evaluate("vos", found, truth=truth, unseen=["dog"])
    table = result.to_dict()["ytvos"]
    assert table["seen_count"] == table["unseen_count"] == 2
    four = [table[name] for name in ("j_seen", "f_seen", "j_unseen", "f_unseen")]
    assert result.overall()["g"] == table["g"] == pytest.approx(np.mean(four))
    # One video alone has no G: it lacks seen or unseen classes.
    assert all(row.get("g") is None for row in result.videos())
    with pytest.raises(ValueError, match=r"unseen names no class of the truth: \['bird'\]"):
        evaluate("vos", found, truth=truth, unseen=["bird"])


@pytest.mark.parametrize("what", ["vos", "boxes", "masks"])
def test_json_and_text(files, what):
    result = evaluate(what, files[0], truth=files[1], keys="labels")
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["what"] == what
    assert [row["video_id"] for row in data["videos"]] == ["a", "b"]
    lines = str(result).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["a", "b", what]
    assert lines[0].split() == list(result.overall())
    assert lines[3].split()[1] == format(next(iter(result.overall().values())), ".3f")
    assert lines[4] == "left out: labelled frames"
    assert repr(result).startswith(f"EvaluateResult({what}: ")


def test_text_of_many_videos(tmp_path):
    many = concatenate([clip(f"v{number:02}", 0, 3, tracks=(1,)) for number in range(23)])
    path = save(many, tmp_path / "many.parquet")
    lines = str(evaluate("boxes", path, truth=path)).splitlines()
    assert lines[-3:] == [
        "... and 3 more videos, all in --json",
        "boxes       1.000",
        "left out: nothing",
    ]
    # Three frames and no labels: DAVIS counts the middle one; two frames leave nothing.
    two = save(clip("a", 0, 2), tmp_path / "two.parquet")
    assert str(evaluate("vos", two, truth=two)).splitlines()[1].split() == ["vos", *"-------"]


@pytest.mark.parametrize("what", ["vos", "boxes", "masks"])
def test_sharing_out_and_merging(files, tmp_path, what):
    """Each video evaluated alone, merged in the other order: the same dict as both at once."""
    found, truth = files
    options = {"keys": "labels", "tracking": what == "boxes"}
    at_once = evaluate(what, found, truth=truth, **options)
    parts = []
    for name, labels, predicted in (
        ("b", clip("b", 0, 9, category=2), clip("b", 2, 9, category=2, keys=(0, 4, 8))),
        ("a", clip("a", 0), clip("a", 4, keys=(0, 5))),
    ):
        paths = save(predicted, tmp_path / f"{name}.parquet"), save(labels, tmp_path / f"{name}_true.parquet")
        parts.append(evaluate(what, paths[0], truth=paths[1], **options))
    assert EvaluateResult.merge(parts).to_dict() == at_once.to_dict()
    with pytest.raises(ValueError, match="score each video once"):
        EvaluateResult.merge([at_once, parts[0]])


def test_results_that_cannot_be_merged(files):
    one = evaluate("vos", files[0], truth=files[1])
    with pytest.raises(ValueError, match="results must have equal settings"):
        EvaluateResult.merge([one, evaluate("vos", files[0], truth=files[1], all_frames=True)])
    with pytest.raises(ValueError, match="nothing to merge"):
        EvaluateResult.merge([])


def test_one_video_each_is_a_pair_whatever_the_names(tmp_path):
    truth, found = (
        save(clip("Annotations/a", 0), tmp_path / "t.parquet"),
        save(clip("a.mp4", 4), tmp_path / "f.parquet"),
    )
    assert evaluate("vos", found, truth=truth).videos()[0]["video_id"] == "Annotations/a"
    picked = selection(tmp_path / "picked", {"clips/a.mp4": [0, 5]})
    assert len(picked) == 2
    assert evaluate("vos", found, truth=truth, keys=tmp_path / "picked").left_out == "labelled frames"


def test_videos_that_the_prediction_lacks(files, tmp_path):
    truth = files[1]
    alone = save(clip("a", 4), tmp_path / "a.parquet")
    two = save(concatenate([clip("a", 4), clip("c", 4)]), tmp_path / "two.parquet")
    with pytest.raises(
        AnnotationError, match=r"the prediction lacks 1 of 2 videos, the first is 'b'; predict them"
    ):
        evaluate("vos", alone, truth=truth)
    skipped = evaluate("vos", two, truth=truth, missing="skip")
    assert (skipped.missing_videos, skipped.ignored_videos) == (("b",), ("c",))
    assert "not scored: video b" in str(skipped)
    empty = evaluate("vos", alone, truth=truth, missing="empty")
    assert empty.videos()[1]["j_mean"] == 0.0
    assert empty.missing_videos == ()
    apart = save(concatenate([clip("x", 4), clip("y", 4)]), tmp_path / "x.parquet")
    with pytest.raises(AnnotationError, match=r"no video is in both: the truth has \['a', 'b'\]"):
        evaluate("vos", apart, truth=truth, missing="skip")


def test_frames_that_the_prediction_lacks(tmp_path):
    truth = save(clip("a", 0, 6), tmp_path / "t.parquet")
    found = save(clip("a", 0, 4), tmp_path / "f.parquet")
    with pytest.raises(AnnotationError, match="says nothing about 2 of 6 frames that the truth annotates"):
        evaluate("boxes", found, truth=truth)
    skipped = evaluate("boxes", found, truth=truth, missing="skip", tracking=True)
    assert skipped.skipped_count == 2
    assert "not scored: 2 frames" in str(skipped)
    assert skipped.overall()["mean_iou"] == skipped.overall()["mota"] == 1.0
    empty = evaluate("boxes", found, truth=truth, missing="empty", tracking=True)
    assert empty.overall()["mean_iou"] == pytest.approx(4 / 6)
    assert empty.overall()["mota"] == pytest.approx(4 / 6)


def test_no_labelled_frame(tmp_path):
    labels = clip("a", 4, keys=(0, 5))
    carried = save(labels.take(labels.source == 1), tmp_path / "f.parquet")
    truth = save(clip("a", 0), tmp_path / "t.parquet")
    with pytest.raises(
        AnnotationError, match="no frame had labels according to --keys labels: this prediction has no"
    ):
        evaluate("vos", carried, truth=truth, keys="labels")
    selection(tmp_path / "picked", {"x": [0], "y": [1]})
    with pytest.raises(AnnotationError, match=r"no frame had labels .*names \['x', 'y'\], the truth \['a'\]"):
        evaluate("vos", carried, truth=truth, keys=tmp_path / "picked")
    with pytest.raises(SelectionFileError, match="nowhere does not exist"):
        evaluate("vos", carried, truth=truth, keys=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("tracks", {}, "what to evaluate must be vos, boxes, masks, vis or coco, got 'tracks'"),
        ("boxes", {"unseen": ["cat"]}, "unseen classes belong to vos, not to boxes"),
        ("masks", {"tracking": True}, "tracking belongs to boxes and vos, not to masks"),
        ("boxes", {"iou_threshold": 0.0}, r"iou_threshold must be in \(0, 1\], got 0.0"),
        ("vos", {"missing": "drop"}, "missing must be fail, skip or empty, got 'drop'"),
    ],
)
def test_wrong_options(files, what, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(what, files[0], truth=files[1], **options)


def test_labels_of_another_file(tmp_path):
    labels = clip("a", 0)
    paths = []
    for text in ("ab" * 8, "cd" * 8):
        video = replace(labels.videos[0], content_hash=text)
        paths.append(save(replace(labels, videos=(video,)), tmp_path / f"{text}.parquet"))
    with pytest.raises(AnnotationError, match="made from different files"):
        evaluate("vos", paths[0], truth=paths[1])

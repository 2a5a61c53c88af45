"""`evfr evaluate vis`, `vos --unsupervised` and category maps: files in, what the benchmark says out."""

from __future__ import annotations

import copy
import itertools
import json
import math

import numpy as np
import pytest

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations import write
from evfr.errors import AnnotationError
from evfr.metrics import VIS_FIGURES, davis_scores, unsupervised_scores
from evfr.verbs._evaluate_vis import is_results
from evfr.verbs.evaluate import EvaluateResult, evaluate
from helpers import vis_plain
from helpers.vis_scenes import annotations, rectangle, save_official, scene

KINDS = (1, 2, 3)


def drawn(seed=3, **options):
    return scene(
        np.random.default_rng(seed), **{"length": 3, "objects": 4, "detections": 9, "crowds": True, **options}
    )


def agree(result: EvaluateResult, expected: dict[str, float]) -> None:
    found = result.overall()
    assert list(found) == list(VIS_FIGURES)
    for name in VIS_FIGURES:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-12, err_msg=name)


def test_a_list_of_results(tmp_path):
    """The videos and classes of a list come from the truth; our own files say the same."""
    videos = drawn()
    truth, found = save_official(videos, KINDS, tmp_path)
    expected = vis_plain.evaluate(videos, list(KINDS))
    result = evaluate("vis", found, truth=truth)
    agree(result, expected)
    agree(evaluate("vis", found, truth=truth, strict_official=True), expected)
    ours = [
        write(annotations(videos, side, KINDS), tmp_path / f"{side}.parquet", format="evfr")
        for side in ("truth", "detections")
    ]
    agree(evaluate("vis", ours[1], truth=ours[0]), expected)
    agree(evaluate("vis", ours[1], truth=ours[0], strict_official=True), expected)


def test_what_is_said(tmp_path):
    videos = drawn(4)
    truth, found = save_official(videos, KINDS, tmp_path)
    result = evaluate("vis", found, truth=truth)
    lines = str(result).splitlines()
    assert lines[0].split() == ["ap", "ap50", "ap75", "ar1", "ar10", "ar100"]
    assert [line[:7].strip() for line in lines[1:5]] == ["class 1", "class 2", "class 3", "vis"]
    assert lines[4].split()[1] == format(result.overall()["ap"], ".3f")
    assert lines[5].startswith("AP by area: small ")
    assert lines[6].startswith("AR by area: small ")
    assert lines[7:] == ["left out: nothing"]
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [row["category"] for row in data["categories"]] == ["class 1", "class 2", "class 3"]
    assert [row["video_id"] for row in data["videos"]] == ["v0", "v1"]
    assert (data["variant"], data["notes"]) == ("masks", [])
    alone = vis_plain.evaluate(videos[:1], list(KINDS))
    assert result.videos()[0]["ap"] == pytest.approx(alone["ap"], nan_ok=True)
    assert repr(result).startswith("EvaluateResult(vis: ap ")


def test_many_classes(tmp_path):
    truth, found = save_official(drawn(4), range(1, 30), tmp_path)
    lines = str(evaluate("vis", found, truth=truth)).splitlines()
    assert lines[21] == "... and 9 more classes, all in --json"
    assert lines[22].startswith("vis ")


@pytest.mark.parametrize("seed", range(4))
def test_strictly_official(tmp_path, seed):
    """Short and long lists, annotation id 0, stated areas, ids of videos out of order, empty results: all by place."""
    rng = np.random.default_rng(seed)
    videos = copy.deepcopy(drawn(seed, length=4, videos=3))
    ids = itertools.count()
    for key, video in zip((9, 2, 5), videos, strict=True):
        video["id"] = key
        for entry in video["truth"]:
            entry["id"] = next(ids)
            entry["areas"] = [float(rng.integers(0, 4) * 30000) for _ in range(4)]
            entry["masks"] = entry["masks"][: rng.integers(2, 5)]
        for entry in video["detections"]:
            entry["masks"] = (entry["masks"] + [rectangle(0, 0, 300, 300)] * 2)[: rng.integers(1, 7)]
        video["detections"].append({"id": 99, "category": 1, "masks": [None] * 4, "score": 0.9})
    truth, found = save_official(videos, KINDS, tmp_path)
    expected = vis_plain.evaluate([videos[1], videos[2], videos[0]], list(KINDS))
    result = evaluate("vis", found, truth=truth, strict_official=True)
    agree(result, expected)
    assert "protocol: masks, strict official" in str(result)
    for options in ({}, {"strict_official": True, "truth_options": {"start": 0}}):
        with pytest.raises(AnnotationError, match="must have one entry for each of the video's 4 frames"):
            evaluate("vis", found, truth=truth, **options)


def test_stated_areas_and_empty_results(tmp_path):
    """By default areas are the masks'; a result without any mask is no detection, and is counted."""
    big = rectangle(0, 0, 200, 200)
    video = {
        "length": 1,
        "truth": [{"id": 1, "category": 1, "masks": [big], "crowd": False, "areas": [100.0]}],
    }
    video["detections"] = [
        {"id": 1, "category": 1, "masks": [None], "score": 0.9},
        {"id": 2, "category": 1, "masks": [big], "score": 0.5},
    ]
    truth, found = save_official([video], (1,), tmp_path)
    ours = evaluate("vis", found, truth=truth)
    assert ours.overall()["ap_medium"] == pytest.approx(1)
    assert math.isnan(ours.overall()["ap_small"])
    assert "not scored: 1 results without a mask on any frame (strict_official counts" in str(ours)
    strict = evaluate("vis", found, truth=truth, strict_official=True)
    assert strict.overall()["ap_small"] == pytest.approx(0.5)
    assert math.isnan(strict.overall()["ap_medium"])


@pytest.mark.parametrize(
    ("where", "change", "message"),
    [
        ("results", {"score": math.nan}, "result 0: score must be a finite number, got nan"),
        ("results", {"segmentations": None}, "result 0: segmentations must be a list, got NoneType"),
        ("results", {"video_id": 77}, "result 0: video_id 77 is none of the truth's videos"),
        (
            "annotations",
            {"areas": None},
            "annotation 0: areas must be a list, got NoneType; the official code",
        ),
        ("annotations", {"iscrowd": 2}, "annotation 0: iscrowd must be 0 or 1, got 2"),
        ("annotations", {"category_id": 9}, "annotation 0: category_id 9 is none of the file's categories"),
        ("videos", None, "has no video; give annotations with one or more"),
    ],
)
def test_strict_refuses_what_is_wrong(tmp_path, where, change, message):
    video = {
        "length": 1,
        "truth": [{"id": 1, "category": 1, "masks": [rectangle(0, 0, 9, 9)], "crowd": False}],
    }
    video["detections"] = [{"id": 1, "category": 1, "masks": [rectangle(0, 0, 9, 9)], "score": 0.5}]
    truth, found = save_official([video], (1,), tmp_path)
    data, results = json.loads(truth.read_text()), json.loads(found.read_text())
    if change is None:
        data, results = {**data, "videos": [], "annotations": []}, []
    else:
        (results if where == "results" else data[where])[0].update(change)
    truth.write_text(json.dumps(data))
    found.write_text(json.dumps(results))
    with pytest.raises(AnnotationError, match=message):
        evaluate("vis", found, truth=truth, strict_official=True)


def test_lists_of_other_tools_are_not_results(tmp_path):
    """Label Studio writes lists, too; an empty list, a file that is no list, and a folder."""
    for text, expected in (
        ('[{"id": 1, "annotations": []}]', False),
        ('[{"video_id": 1, "bboxes": []}]', True),
        ('[{"video_id": 1}]', False),
        ("  []", True),
        ("{}", False),
        ("[1", False),
    ):
        (tmp_path / "list.json").write_text(text + " " * len(text))
        assert is_results(tmp_path / "list.json") is expected, text
        (tmp_path / "list.json").unlink()
    assert is_results(tmp_path) is is_results(tmp_path / "nothing.json") is False


def test_no_detection_at_all(tmp_path):
    truth, found = save_official(drawn(4, detections=0), KINDS, tmp_path)
    result = evaluate("vis", found, truth=truth)
    assert (result.overall()["ap"], result.overall()["ar100"]) == (0, 0)
    nothing = save_official([{"length": 2, "truth": [], "detections": []}], KINDS, tmp_path)
    assert math.isnan(evaluate("vis", nothing[1], truth=nothing[0]).overall()["ap"])


def labels(video_id, kinds, rows, size=(60, 80)) -> VideoAnnotations:
    """Make labels of (frame, track, class, mask, score)."""
    video = AnnotatedVideo(video_id, size[1], size[0], np.arange(2))
    found = [
        ObjectRow(video_id, t, k, track, mask=Rle.from_mask(mask), score=score)
        for t, track, k, mask, score in rows
    ]
    return VideoAnnotations.build([video], [Category(k, name) for k, name in kinds], found)


def square(x, y, side=10):
    return rectangle(x, y, side, side, size=(60, 80))


@pytest.fixture
def versions(tmp_path):
    """Return a prediction of the classes of 2019 and a truth of those of 2021, in which the ids differ."""
    truth = labels(
        "v",
        [(3, "bird"), (26, "person")],
        [(0, 1, 3, square(0, 0), math.nan), (0, 2, 26, square(30, 30), math.nan)],
    )
    found = labels(
        "v",
        [(1, "person"), (26, "owl"), (38, "eagle"), (40, "sofa")],
        [
            (0, 1, 38, square(0, 0), 0.9),
            (0, 2, 26, square(50, 40), 0.5),
            (0, 3, 1, square(30, 30), 0.9),
            (0, 4, 40, square(9, 30), 0.9),
        ],
    )
    return [
        write(item, tmp_path / f"{name}.parquet", format="evfr")
        for name, item in (("found", found), ("truth", truth))
    ]


def test_classes_of_two_versions(versions, tmp_path):
    found, truth = versions
    with pytest.raises(
        AnnotationError, match="category 'person' has the id 26 in the truth and 1 in the prediction"
    ):
        evaluate("vis", found, truth=truth)
    result = evaluate("vis", found, truth=truth, category_map="ytvis-2019-to-2021")
    assert result.overall()["ap"] == pytest.approx(1)
    assert [row["category"] for row in result.rows()] == ["bird", "person"]
    assert result.rows()[0]["detection_count"] == 2
    assert "joined: eagle -> bird, owl -> bird" in str(result)
    assert "not scored: 1 detections of classes that the truth does not list" in str(result)
    assert result.to_dict()["merged_categories"][0] == {"from": "eagle", "to": "bird"}
    # By name alone nothing is joined: birds are missed.
    assert evaluate("vis", found, truth=truth, category_map="by-name").overall()["ap"] == pytest.approx(0.5)
    own = tmp_path / "map.json"
    own.write_text('{"bird": ["eagle"], "person": ["man"]}')
    with pytest.raises(
        AnnotationError, match="neither truth nor prediction has a class named 'man'; they have"
    ):
        evaluate("vis", found, truth=truth, category_map=own)
    own.write_text('{"bird": ["eagle"]}')
    assert evaluate("vis", found, truth=truth, category_map=own).merged_categories == (("eagle", "bird"),)
    # Other measures take a map as well.
    pixels = evaluate("masks", found, truth=truth, category_map="ytvis-2019-to-2021")
    assert {row["category"] for row in pixels.rows()} >= {"bird", "person"}
    assert pixels.to_dict()["merged_categories"]


def test_unsupervised(tmp_path):
    """Tracks differ, 22 proposals of which two are one too many, one pixel column in two of them."""
    true = labels(
        "v",
        [(1, "thing")],
        [(t, k, 1, square(5 + 30 * k, 5), math.nan) for t in range(2) for k in (0, 1)],
    )
    rows = [(t, 50 - k, 1, square(6 + 30 * k, 5), 0.9) for t in range(2) for k in (0, 1)]
    rows += [(0, 100 + k, 1, square(3 * k, 40, 3), 0.1 + k / 100) for k in range(20)]
    rows += [(1, 100, 1, square(15, 5, 4), 0.1), (1, 119, 1, square(15, 5, 4), 0.29)]
    found = labels("v", [(1, "thing")], rows)
    paths = [
        write(item, tmp_path / f"{name}.parquet", format="evfr") for name, item in (("t", true), ("f", found))
    ]
    result = evaluate("vos", paths[1], truth=paths[0], unsupervised=True)
    expected = davis_scores(unsupervised_scores(true, found, "v"), without_ends=False)
    assert result.overall()["j_and_f"] == expected.j_and_f
    assert result.overall()["j_mean"] == pytest.approx(90 / 110)
    text = str(result).splitlines()
    assert text[-4:] == [
        "left out: nothing",
        "protocol: unsupervised",
        "video v: 22 proposals, only the best 20 by score count",
        "video v: 4 pixels lie in several proposals, each counts for the best by score",
    ]
    assert result.to_dict()["variant"] == "unsupervised"
    plain = evaluate("vos", paths[1], truth=paths[0], all_frames=True)
    assert plain.overall()["j_mean"] == 0
    with pytest.raises(ValueError, match="results must have equal settings"):
        EvaluateResult.merge([result, plain])


def test_videos_apart_and_merged(tmp_path):
    """Each video evaluated alone and merged in the other order: the figures of both at once."""
    videos = drawn(7)
    truth, found = (annotations(videos, side, KINDS) for side in ("truth", "detections"))
    parts = []
    for name in ("v1", "v0"):
        paths = [
            write(item.of_video(name), tmp_path / f"{name}{kind}.parquet", format="evfr")
            for kind, item in (("f", found), ("t", truth))
        ]
        parts.append(evaluate("vis", paths[0], truth=paths[1]))
    whole = [
        write(item, tmp_path / f"{kind}.parquet", format="evfr")
        for kind, item in (("f", found), ("t", truth))
    ]
    assert (
        EvaluateResult.merge(parts).to_dict()
        == EvaluateResult.merge(parts[::-1]).to_dict()
        == evaluate("vis", whole[0], truth=whole[1]).to_dict()
    )
    extra = write(found, tmp_path / "more.parquet", format="evfr")
    one = tmp_path / "v0t.parquet"
    assert "not scored: 1 videos that the truth lacks, the first is v1" in str(
        evaluate("vis", extra, truth=one)
    )
    with pytest.raises(AnnotationError, match="the prediction lacks 1 of 2 videos"):
        evaluate("vis", tmp_path / "v0f.parquet", truth=whole[1])


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("boxes", {"unsupervised": True}, "unsupervised belongs to vos, not to boxes"),
        ("vos", {"strict_official": True}, "strict_official belongs to vis, not to vos"),
        ("vis", {"on": "outlines"}, "on must be masks or boxes, got 'outlines'"),
        ("vos", {"on": "boxes"}, "on belongs to vis and coco, not to vos"),
        ("vis", {"keys": "labels"}, "keys name frames that a person labelled; vis has none"),
        ("vos", {"keys": "labels", "unsupervised": True}, "labelled; an unsupervised prediction has none"),
        ("vis", {"all_frames": True}, "vis counts every annotated frame; leave all_frames out"),
        ("vis", {"tracking": True}, "tracking belongs to boxes and vos, not to vis"),
        ("vis", {"strict_official": True, "category_map": "by-name"}, "the official code joins no classes"),
        (
            "vis",
            {"strict_official": True, "missing": "skip"},
            "the official code compares frames by their place",
        ),
    ],
)
def test_wrong_options(what, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(what, "found.json", truth="truth.json", **options)


def test_boxes_of_sequences(tmp_path):
    head = [AnnotatedVideo("v", 80, 60, [0, 1])]
    rows = [ObjectRow("v", t, 1, 1, (0, 0, 20 - 10 * t, 20), score=0.5) for t in (0, 1)]
    wide = [ObjectRow("v", t, 1, 1, (0, 0, 20, 20)) for t in (0, 1)]
    paths = [
        write(
            VideoAnnotations.build(head, [Category(1, "a")], part), tmp_path / f"{k}.parquet", format="evfr"
        )
        for k, part in enumerate((rows, wide))
    ]
    for strict in (False, True):
        result = evaluate("vis", paths[0], truth=paths[1], on="boxes", strict_official=strict)
        assert result.overall()["ap"] == pytest.approx(0.6)
    assert "protocol: boxes, strict official" in str(result)

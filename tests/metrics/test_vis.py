"""Average precision of video instance segmentation: against pycocotools, against plain loops, and by hand."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.errors import AnnotationError
from evfr.metrics import VIS_AREAS, VIS_FIGURES, VisScores, summarise_vis, vis_scores
from evfr.metrics._vis_summary import accumulate
from helpers import vis_plain
from helpers.vis_scenes import SIZE, annotations, rectangle, scene


def score(videos: list[dict], categories, **options) -> VisScores:
    truth, predicted = (annotations(videos, side, categories) for side in ("truth", "detections"))
    return VisScores.merge([vis_scores(truth, predicted, v.video_id, **options) for v in truth.videos])


def coco_figures(videos: list[dict], categories) -> tuple[dict[str, float], COCOeval]:
    """Evaluate single-frame videos as pictures by pycocotools, with the area ranges of videos."""
    head = {
        "images": [{"id": n, "width": SIZE[1], "height": SIZE[0]} for n in range(len(videos))],
        "categories": [{"id": k, "name": str(k)} for k in categories],
    }
    entries, results, key = [], [], itertools.count(1)
    for n, video in enumerate(videos):
        for entry in video["truth"]:
            rle = Rle.from_mask(entry["masks"][0])
            entries.append(
                {
                    "id": next(key),
                    "image_id": n,
                    "category_id": entry["category"],
                    "segmentation": rle.to_coco(),
                    "area": rle.area,
                    "iscrowd": 0,
                }
            )
        for entry in video["detections"]:
            rle = Rle.from_mask(entry["masks"][0])
            results.append(
                {
                    "image_id": n,
                    "category_id": entry["category"],
                    "segmentation": rle.to_coco(),
                    "score": entry["score"],
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {**head, "annotations": entries}
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results), "segm")
        run.params.areaRng = [list(item) for item in VIS_AREAS.values()]
        run.evaluate()
        run.accumulate()
        run.summarize()
    values = [math.nan if value == -1 else value for value in run.stats.tolist()]
    return dict(zip(VIS_FIGURES, values, strict=True)), run


def agree(summary, expected: dict[str, float]) -> None:
    for name in VIS_FIGURES:
        np.testing.assert_allclose(getattr(summary, name), expected[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("seed", range(6))
def test_single_frames_are_coco(seed):
    """Videos of one frame: every figure, and the whole precision and recall arrays, are pycocotools'."""
    rng = np.random.default_rng(seed)
    videos = scene(rng, length=1, objects=5, detections=(12, 130)[seed % 2], crowds=False, videos=4)
    if not any(video["detections"] for video in videos):
        pytest.skip("pycocotools refuses an empty list of results")
    scores = score(videos, (1, 2, 3))
    expected, run = coco_figures(videos, (1, 2, 3))
    agree(summarise_vis(scores), expected)
    by_class = run.eval["precision"].transpose(2, 3, 4, 0, 1), run.eval["recall"].transpose(1, 2, 3, 0)
    for mine, theirs in zip(accumulate(scores, np.arange(4)), by_class, strict=True):
        np.testing.assert_allclose(np.where(np.isnan(mine), -1, mine), theirs, rtol=0, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 4))
def test_videos_against_plain_loops(seed, length):
    """Several frames, holes, crowds, ties, all areas: every figure is the definition's."""
    videos = scene(np.random.default_rng(seed), length=length, objects=4, detections=8, crowds=True)
    expected = vis_plain.evaluate(videos, [1, 2, 3])
    agree(summarise_vis(score(videos, (1, 2, 3))), expected)
    # Strict changes nothing where lists fit and no id is 0.
    agree(summarise_vis(score(videos, (1, 2, 3), strict_official=True)), expected)


def about(value: float, expected: float) -> bool:
    """Whether two figures are equal but for COCO's addend, which makes a perfect precision 1 - 2e-16."""
    return abs(value - expected) < 1e-12


def one(truth, detections, length=1, frames=None, **options):
    """Score one video of (category, id, mask list) and (category, id, mask list, score)."""
    video = {
        "length": length,
        "truth": [{"id": i, "category": c, "masks": m, "crowd": crowd} for c, i, m, crowd in truth],
        "detections": [{"id": i, "category": c, "masks": m, "score": s} for c, i, m, s in detections],
    }
    return score([video], (1, 2), **options)


A, B = rectangle(0, 0, 20, 20), rectangle(100, 100, 20, 20)


def test_by_hand():
    """Two objects; right at .9, wrong at .8, right at .7: precision 1 up to recall 1/2, then 2/3."""
    scores = one(
        [(1, 1, [A], False), (1, 2, [B], False)],
        [(1, 1, [A], 0.9), (1, 2, [rectangle(200, 200, 20, 20)], 0.8), (1, 3, [B], 0.7)],
    )
    summary = summarise_vis(scores)
    assert about(summary.ap, (51 + 50 * 2 / 3) / 101)
    assert about(summary.ap50, summary.ap)
    assert (summary.ar1, summary.ar10, summary.ar100) == (0.5, 1.0, 1.0)
    assert about(summary.ap_small, summary.ap)
    assert math.isnan(summary.ap_medium) and math.isnan(summary.ar_large)
    first, second = summary.categories
    assert (first.truth_count, first.detection_count) == (2, 3)
    assert about(first.ap, summary.ap)
    assert math.isnan(second.ap)
    assert summary.to_dict()["categories"][1]["ap"] is None
    assert repr(scores) == "VisScores(3 detections, 2 true objects, 1 videos)"


def test_the_iou_is_of_sequences():
    """Half of one frame and all of another: (200 + 400) / 800 is .75, which passes .50 to .75: 6 of 10 thresholds."""
    scores = one([(1, 1, [A, A], False)], [(1, 1, [rectangle(0, 0, 10, 20), A], 1.0)], length=2)
    assert summarise_vis(scores).ap == pytest.approx(0.6)
    missing = one([(1, 1, [A, A], False)], [(1, 1, [None, A], 1.0)], length=2)
    assert summarise_vis(missing).ap == pytest.approx(0.1)


def test_crowds_ignore_and_are_taken_again_with_the_ordinary_iou():
    """Two detections of a crowd are ignored; one within it by COCO's rule is wrong, because its IoU is small."""
    wide = rectangle(0, 0, 60, 60)
    truth = [(1, 1, [wide], True), (1, 2, [B], False)]
    ignored = one(truth, [(1, 1, [wide], 0.9), (1, 2, [wide], 0.9), (1, 3, [B], 0.5)])
    assert about(summarise_vis(ignored).ap, 1.0)
    inside = one(truth, [(1, 1, [rectangle(0, 0, 20, 20)], 0.9), (1, 3, [B], 0.5)])
    assert about(summarise_vis(inside).ap, 0.5)


def test_what_counts_is_taken_before_what_is_ignored():
    """A detection that is a crowd exactly still takes the object that it covers by 400/440, up to the threshold .90."""
    wide = rectangle(0, 0, 22, 20)
    scores = one([(1, 1, [A], False), (1, 2, [wide], True)], [(1, 1, [wide], 0.9)])
    assert about(summarise_vis(scores).ap, 0.9)


def test_area_ranges():
    """An unmatched detection of another size is ignored; borders belong to both ranges, as in the official code."""
    small, border = rectangle(0, 0, 20, 20), rectangle(150, 100, 128, 128)
    scores = one([(1, 1, [border], False)], [(1, 2, [small], 0.9), (1, 1, [border], 0.5)])
    summary = summarise_vis(scores)
    assert about(summary.ap, 0.5)
    assert about(summary.ap_small, 0.5)
    assert about(summary.ap_medium, 1.0)
    assert math.isnan(summary.ap_large)
    # Frames in which the object is not there do not lower its area.
    absent = one([(1, 1, [None, border], False)], [(1, 1, [None, border], 0.5)], length=2)
    assert about(summarise_vis(absent).ap_medium, 1.0)


def test_equal_scores_in_order_of_tracks():
    wrong = rectangle(200, 200, 20, 20)
    for first, ap in ((A, 1.0), (wrong, 0.5)):
        second = wrong if first is A else A
        scores = one([(1, 1, [A], False)], [(1, 7, [second], 0.5), (1, 3, [first], 0.5)])
        assert about(summarise_vis(scores).ap, ap)


def test_more_than_a_hundred():
    many = [(1, k, [rectangle(200, 200, 20, 20)], 0.9) for k in range(1, 104)]
    scores = one([(1, 1, [A], False)], [*many, (1, 200, [A], 0.1), (2, 201, [A], 0.1)])
    assert scores.beyond_count.tolist() == [4]
    assert len(scores) == 101
    assert about(summarise_vis(scores).ap, 0.0)


def test_object_zero():
    """The official code takes a detection of the object 0 as unmatched; ours does only if asked."""
    truth, found = [(1, 0, [A], False)], [(1, 1, [A], 0.9)]
    assert about(summarise_vis(one(truth, found)).ap, 1.0)
    assert about(summarise_vis(one(truth, found, strict_official=True)).ap, 0.0)
    # What takes an ignored object 0 stays ignored.
    crowd = [(1, 0, [A], True), (1, 2, [B], False)]
    assert about(summarise_vis(one(crowd, [*found, (1, 2, [B], 0.5)], strict_official=True)).ap, 1.0)


def shifted(labels: VideoAnnotations, frames) -> VideoAnnotations:
    """Return the labels with other frame numbers and, if fewer are given, cut."""
    (video,) = labels.videos
    kept = labels.take(labels.frame_index < len(frames))
    return replace(
        kept,
        videos=(AnnotatedVideo(video.video_id, video.width, video.height, frames),),
        frame_index=np.asarray(frames)[kept.frame_index],
    )


def test_lists_that_do_not_fit():
    """Ours refuses a prediction that lacks frames; strict cuts both to the shorter and compares by place."""
    video = {"length": 3, "truth": [{"id": 1, "category": 1, "masks": [A, A, B], "crowd": False}]}
    video["detections"] = [{"id": 1, "category": 1, "masks": [A, A, A], "score": 0.5}]
    truth, found = (annotations([video], side, (1,)) for side in ("truth", "detections"))
    short = shifted(found, [0, 1])
    with pytest.raises(AnnotationError, match="the prediction says nothing about 1 of 3 frames"):
        vis_scores(truth, short, "v0")
    assert about(summarise_vis(vis_scores(truth, short, "v0", strict_official=True)).ap, 1.0)
    assert about(summarise_vis(vis_scores(truth, short, "v0", missing="skip")).ap, 1.0)
    assert summarise_vis(vis_scores(truth, short, "v0", missing="empty")).ap == pytest.approx(0.4)
    # Frames that the truth does not annotate do not count, whatever is on them.
    long = shifted(found, [0, 1, 7])
    assert about(summarise_vis(vis_scores(shifted(truth, [0, 1]), long, "v0")).ap, 1.0)
    # By place, frame 7 meets frame 2: 800 of 1600 pixels.
    assert about(summarise_vis(vis_scores(truth, long, "v0", strict_official=True)).ap, 0.1)


def test_boxes():
    """Boxes of 10 x 20 in 20 x 20 on one frame, equal on the other: .75."""
    head = [AnnotatedVideo("v0", 400, 320, [0, 1])]
    kinds = [Category(1, "a")]
    truth = VideoAnnotations.build(head, kinds, [ObjectRow("v0", t, 1, 1, (0, 0, 20, 20)) for t in (0, 1)])
    found = [(0, (0, 0, 10, 20)), (1, (0, 0, 20, 20))]
    predicted = VideoAnnotations.build(
        head, kinds, [ObjectRow("v0", t, 1, 1, box, score=0.5) for t, box in found]
    )
    summary = summarise_vis(vis_scores(truth, predicted, "v0", on="boxes"))
    assert (summary.ap, summary.ap_small) == (pytest.approx(0.6), pytest.approx(0.6))
    with pytest.raises(AnnotationError, match="frame 0: track 1 of the truth has a box and no mask"):
        vis_scores(truth, predicted, "v0")
    # A mask has its tight box; a sequence on other frames only meets nothing.
    mask = [ObjectRow("v0", 0, 1, 1, mask=Rle.from_mask(A), score=1.0)]
    masked = VideoAnnotations.build(head, kinds, mask)
    assert about(summarise_vis(vis_scores(masked, masked, "v0", on="boxes")).ap, 1.0)
    apart = VideoAnnotations.build(head, kinds, [ObjectRow("v0", 1, 1, 1, (0, 0, 20, 20), score=1.0)])
    assert about(summarise_vis(vis_scores(masked, apart, "v0", on="boxes")).ap, 0.0)
    with pytest.raises(ValueError, match="on must be 'masks' or 'boxes', got 'x'"):
        vis_scores(truth, predicted, "v0", on="x")


def test_rows_without_a_track_are_sequences_of_their_own():
    head = [AnnotatedVideo("v0", 400, 320, [0, 1])]
    rows = [ObjectRow("v0", t, 1, NO_TRACK, mask=Rle.from_mask(A), score=0.5) for t in (0, 1)]
    labels = VideoAnnotations.build(head, [Category(1, "a")], rows)
    scores = vis_scores(labels, labels, "v0")
    assert (len(scores), len(scores.truth_id)) == (2, 2)
    assert about(summarise_vis(scores).ap, 1.0)


def test_scores_that_change_are_averaged():
    head = [AnnotatedVideo("v0", 400, 320, [0, 1])]
    rows = [ObjectRow("v0", t, 1, 1, mask=Rle.from_mask(A), score=s) for t, s in ((0, 0.25), (1, 0.75))]
    labels = VideoAnnotations.build(head, [Category(1, "a")], rows)
    assert vis_scores(labels, labels, "v0").score.tolist() == [0.5]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_must_be_finite(value):
    video = {"length": 1, "truth": [], "detections": [{"id": 4, "category": 1, "masks": [A], "score": value}]}
    truth, found = (annotations([video], side, (1,)) for side in ("truth", "detections"))
    with pytest.raises(
        AnnotationError, match=r"'v0', frame 0: track 4 of the prediction has the score (nan|inf)"
    ):
        vis_scores(truth, found, "v0")


def test_classes_that_do_not_fit():
    video = {"length": 1, "truth": [], "detections": [{"id": 4, "category": 1, "masks": [A], "score": 0.5}]}
    truth, found = (annotations([video], side, (1,)) for side in ("truth", "detections"))
    other = replace(truth, categories=(Category(1, "x"),))
    with pytest.raises(
        AnnotationError, match="category 1 is 'x' in the truth and 'class 1' in the prediction"
    ):
        vis_scores(other, found, "v0")
    other = replace(truth, categories=(Category(2, "class 1"),))
    with pytest.raises(AnnotationError, match="'class 1' has the id 2 in the truth and 1 in the prediction"):
        vis_scores(other, found, "v0")
    # A class that the truth does not list cannot be judged, and is counted.
    unlisted = vis_scores(replace(truth, categories=(Category(2, "x"),)), found, "v0")
    assert (len(unlisted), unlisted.unknown_count.tolist()) == (0, [1])
    assert math.isnan(summarise_vis(unlisted).ap)


def test_videos_that_do_not_fit():
    nothing = VideoAnnotations.build([AnnotatedVideo("v0", 400, 320, [])], [], [])
    with pytest.raises(AnnotationError, match="video 'v0': the truth annotates no frame"):
        vis_scores(nothing, nothing, "v0")
    with pytest.raises(AnnotationError, match="the truth has no video 'v1'"):
        vis_scores(nothing, nothing, "v1")
    small = VideoAnnotations.build([AnnotatedVideo("v0", 40, 32, [])], [], [])
    with pytest.raises(AnnotationError, match="is 400x320 in the truth and 40x32 in the prediction"):
        vis_scores(nothing, small, "v0")


def test_merging_and_bootstraps():
    """Any order of parts gives the same value, bit for bit; rows of videos sum up without matching again."""
    videos = scene(np.random.default_rng(5), length=2, objects=4, detections=9, crowds=True, videos=5)
    truth, found = (annotations(videos, side, (1, 2, 3)) for side in ("truth", "detections"))
    parts = [vis_scores(truth, found, video.video_id) for video in truth.videos]
    whole = VisScores.merge(parts)
    other = VisScores.merge([VisScores.merge(parts[3:][::-1]), VisScores.merge(parts[:3][::-1])])
    assert whole.video_ids == other.video_ids == ("v0", "v1", "v2", "v3", "v4")
    assert summarise_vis(whole).to_dict() == summarise_vis(other).to_dict()
    np.testing.assert_array_equal(whole.is_matched, other.is_matched)
    rows = [1, 3, 1, 4]
    again = vis_plain.evaluate([videos[row] for row in rows], [1, 2, 3])
    agree(summarise_vis(whole, videos=rows), again)
    assert (
        summarise_vis(whole.of_videos(np.array([2]))).to_dict()
        == summarise_vis(parts[2]).to_dict()
        == summarise_vis(whole, videos=[2]).to_dict()
    )
    counts = summarise_vis(whole, videos=[0, 0]).categories
    assert [item.truth_count for item in counts] == [
        2 * item.truth_count for item in summarise_vis(parts[0]).categories
    ]
    with pytest.raises(ValueError, match="videos must be rows from 0 to 4, got 1 to 5"):
        summarise_vis(whole, videos=[1, 5])
    with pytest.raises(ValueError, match="a video is named twice"):
        whole.of_videos(np.array([1, 1]))
    with pytest.raises(ValueError, match="there is nothing to merge"):
        VisScores.merge([])
    with pytest.raises(ValueError, match="1 videos are in several of the parts"):
        VisScores.merge([parts[0], parts[0]])
    with pytest.raises(AnnotationError, match="need one list of classes"):
        VisScores.merge([parts[0], replace(parts[1], categories=(Category(1, "x"),))])
    with pytest.raises(ValueError, match="columns of matches must be equally long"):
        replace(whole, score=whole.score[:-1])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_properties(seed):
    """The truth as prediction is perfect; a wrong detection with the lowest score changes no AP."""
    rng = np.random.default_rng(seed)
    videos = scene(rng, length=2, objects=4, detections=6, crowds=False)
    perfect = [
        {**video, "detections": [{**entry, "score": 1.0} for entry in video["truth"]]} for video in videos
    ]
    figures = summarise_vis(score(perfect, (1, 2, 3))).figures()
    assert all(value is None or about(value, 1.0) for name, value in figures.items() if name != "ar1")
    before = summarise_vis(score(videos, (1, 2, 3))).ap
    tail = {"id": 99, "category": 1, "masks": [rectangle(390, 310, 5, 5)] * 2, "score": 0.01}
    after = summarise_vis(
        score([{**videos[0], "detections": [*videos[0]["detections"], tail]}, videos[1]], (1, 2, 3))
    ).ap
    assert after == before or (math.isnan(after) and math.isnan(before))

"""Scores of whole videos: who counts, who does not, and that sharing videos out changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evfr._core.annotations import (
    NO_TRACK,
    AnnotatedVideo,
    Category,
    ObjectRow,
    VideoAnnotations,
    concatenate,
)
from evfr._core.masks import Rle
from evfr.errors import AnnotationError
from evfr.metrics import (
    BoxScores,
    MaskScores,
    PixelCounts,
    PixelScores,
    box_scores,
    davis_scores,
    gap_splits,
    mask_scores,
    pixel_counts,
    pixel_scores,
    size_splits,
    summarise_boxes,
    ytvos_scores,
)

CATEGORIES = (Category(1, "cat"), Category(2, "dog"))
HEIGHT, WIDTH = 40, 60


def square(left: int, top: int = 10, side: int = 20, height: int = HEIGHT, width: int = WIDTH) -> Rle:
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    return Rle.from_mask(mask)


def labels(
    shifts: dict[int, list[int | None]],
    video_id: str = "a",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    **options,
) -> VideoAnnotations:
    """Draw one square per track and frame at the given column, None where it is absent."""
    count = len(next(iter(shifts.values())))
    video = AnnotatedVideo(video_id, *size, np.arange(count))
    rows = [
        ObjectRow(
            video_id,
            t,
            options.get("category", {}).get(track, 1),
            track,
            mask=square(shift, height=size[1], width=size[0]),
        )
        for track, row in shifts.items()
        for t, shift in enumerate(row)
        if shift is not None
    ]
    return VideoAnnotations.build([video], CATEGORIES, rows)


def shared(shift: int) -> float:
    return max(20 - shift, 0) / (20 + min(shift, 20))


def random_pair(seed: int, video_id: str) -> tuple[VideoAnnotations, VideoAnnotations]:
    rng = np.random.default_rng(seed)
    tracks = rng.choice(50, 3, replace=False).tolist()

    def draw() -> dict[int, list[int | None]]:
        return {k: [int(v) if v >= 0 else None for v in rng.integers(-8, 40, 9)] for k in tracks}

    kinds = {track: int(rng.integers(1, 3)) for track in tracks}
    return labels(draw(), video_id, category=kinds), labels(draw(), video_id, category=kinds)


def test_mask_scores_by_hand():
    """Frame 0 equal, frame 1 moved by 5, frame 2 lost, frame 3 absent in both."""
    truth, found = labels({7: [0, 10, 20, None]}), labels({7: [0, 15, None, None]})
    scores = mask_scores(truth, found, "a", keys=[0])
    np.testing.assert_allclose(scores.region, [1, shared(5), 0, 1])
    assert scores.boundary[[0, 2, 3]].tolist() == [1, 0, 1]
    assert scores.area.tolist() == [400, 400, 400, 0]
    assert scores.gap.tolist() == [0, 1, 2, 3]
    assert scores.is_end.tolist() == [True, False, False, True]
    assert scores.is_given.tolist() == [True, False, False, False]
    assert repr(scores) == "MaskScores(4 objects in frames of 1 videos)"


def test_an_object_that_comes_later_is_given_until_then():
    scores = mask_scores(labels({1: [None, None, 5, 5]}), labels({1: [None, 3, 5, 9]}), "a")
    assert scores.is_given.tolist() == [True, True, True, False]
    assert scores.gap.tolist() == [-1] * 4
    assert scores.region.tolist() == [1, 0, 1, pytest.approx(shared(4))]


def test_objects_of_the_prediction_alone_and_crowds_are_not_scored():
    truth = labels({1: [0, 0], 2: [30, 30]})
    truth = replace(truth, is_crowd=truth.track_id == 2)
    scores = mask_scores(truth, labels({1: [0, 0], 3: [9, 9]}), "a")
    assert scores.track_id.tolist() == [1, 1]


def test_davis_by_hand():
    """Five frames, the middle three count: J 1, 1/3, 0 for the first object; the second is right throughout."""
    truth = labels({1: [0] * 5, 2: [35] * 5})
    found = labels({1: [0, 0, 10, 30, 0], 2: [35] * 5})
    davis = davis_scores(mask_scores(truth, found, "a"))
    first, second = davis.objects
    assert (first.video_id, first.track_id, first.category, first.frame_count) == ("a", 1, "cat", 3)
    assert first.region.mean == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert first.region.recall == pytest.approx(1 / 3)
    assert second.region.mean == second.boundary.mean == 1.0
    assert davis.region.mean == pytest.approx((first.region.mean + 1) / 2)
    assert davis.j_and_f == pytest.approx((davis.region.mean + davis.boundary.mean) / 2)
    whole = davis_scores(mask_scores(truth, found, "a"), without_ends=False)
    assert whole.objects[0].region.mean == pytest.approx((3 + 1 / 3) / 5)
    open_ = davis_scores(
        mask_scores(truth, found, "a", keys=[0, 2, 4]), without_ends=False, without_keys=True
    )
    assert open_.objects[0].region.mean == pytest.approx(0.5)


def test_davis_with_nothing_to_count():
    davis = davis_scores(mask_scores(labels({1: [0, 0]}), labels({1: [0, 0]}), "a"))
    assert davis.objects[0].frame_count == 0
    assert math.isnan(davis.j_and_f)
    assert davis.to_dict()["j_and_f"] is None
    assert davis_scores(mask_scores(labels({1: [None]}), labels({1: [0]}), "a")).objects == ()


def test_ytvos_by_hand():
    truth = labels({1: [0, 0, 0], 2: [35, 35, 35], 3: [None, None, 9]}, category={1: 1, 2: 2, 3: 2})
    found = labels({1: [0, 10, 0], 2: [0, 0, 35], 3: [None, None, 9]}, category={1: 1, 2: 2, 3: 2})
    scores = mask_scores(truth, found, "a")
    g = ytvos_scores(scores, ["dog"])
    assert g.j_seen == pytest.approx((1 / 3 + 1) / 2)
    assert g.j_unseen == pytest.approx(0.5)  # track 3 has no frame after its first
    assert (g.seen_count, g.unseen_count) == (1, 1)
    assert g.overall == pytest.approx((g.j_seen + g.j_unseen + g.f_seen + g.f_unseen) / 4)
    assert ytvos_scores(scores, []).to_dict()["g"] is None
    assert ytvos_scores(mask_scores(truth, found, "a", keys=[1]), ["dog"], without_keys=True).j_seen == 1.0
    with pytest.raises(
        ValueError, match=r"unseen names no class of the truth: \['bird'\]; it has \['cat', 'dog'\]"
    ):
        ytvos_scores(scores, ["bird"])


def test_size_splits_by_hand():
    """Areas 400, 399.. are made by cutting at the edge; the middle class has both its borders."""
    scores = mask_scores(labels({1: [0] * 6}), labels({1: [0] * 6}), "a")
    scores = replace(scores, area=np.array([5, 9_999, 10_000, 30_000, 30_001, 0]), region=np.arange(6) / 10)
    small, middle, large = size_splits(scores)
    assert [part.row_count for part in (small, middle, large)] == [
        1,
        2,
        1,
    ]  # frame 0 is given, frame 5 absent
    assert (small.region, middle.region, large.region) == pytest.approx((0.1, 0.25, 0.4))
    assert (small.low, small.high, middle.low, middle.high, large.low, large.high) == (
        *(None, 9_999, 10_000, 30_000, 30_001, None),
    )
    with_keys = replace(scores, gap=np.array([1, 0, 1, 1, 1, 1]))
    assert [part.row_count for part in size_splits(with_keys)] == [1, 2, 1]
    assert size_splits(with_keys)[0].region == 0.0
    assert [part.row_count for part in size_splits(scores, [10_000])] == [1, 3]
    assert size_splits(scores, [1])[0].to_dict()["j_and_f"] is None
    for limits in ([], [0, 5], [9, 5]):
        with pytest.raises(ValueError, match="limits must increase from 1 pixel on"):
            size_splits(scores, limits)


def test_gap_splits_by_hand():
    parts = gap_splits(np.array([0.9, 0.5, 0.3, 0.1, np.nan, 1.0]), np.array([1, 2, 3, 200, 3, 0]))
    assert [(p.low, p.high, p.row_count, p.mean) for p in parts] == [
        (1, 2, 2, 0.7),
        (3, 5, 1, 0.3),
        (101, None, 1, 0.1),
    ]
    assert parts[0].to_dict() == {"low": 1, "high": 2, "row_count": 2, "mean": 0.7}
    assert gap_splits(np.ones(3), np.full(3, -1)) == ()
    with pytest.raises(ValueError, match="values and gap must be"):
        gap_splits(np.ones(3), np.ones(2, np.int64))


def test_boxes_by_hand():
    """Right, moved by 5, only in the truth, only in the prediction, in neither."""
    truth, found = labels({7: [0, 10, 20, None, None]}), labels({7: [0, 15, None, 3, None]})
    scores = box_scores(truth, found, "a", keys=[0])
    np.testing.assert_allclose(scores.iou, [1, shared(5), 0, 0])
    assert scores.frame_index.tolist() == [0, 1, 2, 3]
    summary = summarise_boxes(scores)
    assert summary.mean_iou == pytest.approx((1 + shared(5)) / 4)
    (only,) = summary.objects
    assert (only.frame_count, only.missed_count, only.extra_count) == (4, 1, 1)
    assert [part.row_count for part in summary.gaps] == [2, 1]
    rest = summarise_boxes(scores, without_keys=True)
    assert rest.mean_iou == pytest.approx(shared(5) / 3)
    assert rest.to_dict()["extra_count"] == 1
    assert summarise_boxes(box_scores(labels({1: [None]}), labels({1: [None]}), "a")).objects == ()


def test_pixels_by_hand():
    truth, found = labels({1: [0], 2: [10]}, category={1: 1, 2: 1}), labels({9: [5]})
    counts = pixel_scores(truth, found, "a").total
    # Columns 0..29 are true, 5..24 found, 20 rows each.
    assert counts == PixelCounts(hit=400, extra=0, missed=200, rejected=HEIGHT * WIDTH - 600)
    assert counts.gscore == pytest.approx(2 / 3)
    assert counts.to_dict()["iou"] == pytest.approx(2 / 3)


def test_pixels_of_classes():
    truth = labels({1: [0, 0], 2: [30, 30]}, category={1: 1, 2: 2})
    found = labels({1: [0, None], 2: [30, 0]}, category={1: 1, 2: 2})
    scores = pixel_scores(truth, found, "a", keys=[0])
    by_class = scores.by_category()
    assert by_class["cat"].iou == 0.5
    assert by_class["dog"].iou == pytest.approx(400 / 1200)
    assert scores.by_video()["a"] == scores.total
    later = pixel_scores(truth, found, "a", keys=[0], without_keys=True).by_category()
    assert later["cat"].iou == later["dog"].iou == 0.0
    assert set(scores.to_dict()) == {"total", "categories", "videos"}


def test_gscore_between_its_bounds():
    """For IoU J: 4 J^2 / (1 + J)^2 <= precision x recall <= J."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = PixelCounts(*(int(v) for v in rng.integers(1, 100, 4)))
        low = 4 * counts.iou**2 / (1 + counts.iou) ** 2
        assert low - 1e-12 <= counts.gscore <= counts.iou + 1e-12
        assert counts.gscore == pytest.approx(counts.precision * counts.recall)


def test_pixels_without_a_class():
    nothing = PixelCounts(0, 0, 0, 50)
    assert nothing.accuracy == 1.0
    assert all(math.isnan(v) for v in (nothing.iou, nothing.precision, nothing.recall, nothing.gscore))
    assert PixelCounts(0, 0, 5, 45).gscore == 0.0
    assert math.isnan(PixelCounts(0, 5, 0, 45).gscore)
    assert math.isnan(PixelCounts(0, 0, 0, 0).accuracy)
    with pytest.raises(ValueError, match="pixel counts must be 0 or more"):
        PixelCounts(-1, 0, 0, 0)


def test_pixel_counts_against_dense_masks():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 9, 13)) > 0.5
    found = pixel_counts(Rle.from_mask(a), Rle.from_mask(b))
    assert (found.hit, found.extra, found.missed, found.rejected) == (
        *((a & b).sum(), (b & ~a).sum(), (a & ~b).sum(), (~a & ~b).sum()),
    )


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_merging_is_computing_at_once(order):
    """Videos shared out and merged in any order and grouping give the same bits as all of them in turn."""
    names = ["clip 10", "b", "a", "é"]
    pairs = {name: random_pair(seed, name) for seed, name in enumerate(names)}
    truth, found = (concatenate([pairs[name][side] for name in names]) for side in (0, 1))
    for kind, score in ((MaskScores, mask_scores), (BoxScores, box_scores), (PixelScores, pixel_scores)):
        at_once = kind.merge([score(truth, found, name, keys=[0, 4]) for name in names])
        shards = [score(*pairs[names[i]], names[i], keys=[0, 4]) for i in order]
        merged = kind.merge([kind.merge(shards[:3]), kind.merge(shards[3:])])
        if kind is PixelScores:
            assert merged == at_once
            continue
        for column in at_once.__slots__:
            np.testing.assert_array_equal(getattr(merged, column), getattr(at_once, column))
        if kind is MaskScores:
            assert davis_scores(merged) == davis_scores(at_once)
            assert ytvos_scores(merged, ["dog"]) == ytvos_scores(at_once, ["dog"])
            assert str(size_splits(merged)) == str(size_splits(at_once))
        else:
            assert summarise_boxes(merged) == summarise_boxes(at_once)


@pytest.mark.parametrize(
    ("kind", "score"), [(MaskScores, mask_scores), (BoxScores, box_scores), (PixelScores, pixel_scores)]
)
def test_a_video_scored_twice(kind, score):
    one = score(*random_pair(0, "a"), "a")
    with pytest.raises(ValueError, match="score each video once"):
        kind.merge([one, one])


@pytest.mark.parametrize("kind", [MaskScores, BoxScores])
def test_no_tables(kind):
    with pytest.raises(ValueError, match="there is nothing to merge"):
        kind.merge([])


def test_columns_that_do_not_fit():
    one = mask_scores(*random_pair(0, "a"), "a")
    with pytest.raises(ValueError, match="columns of a table of scores must be equally long"):
        replace(one, region=one.region[1:])
    with pytest.raises(ValueError, match=r"category_row must lie in 0\.\.0"):
        replace(one, categories=("cat",), category_row=np.ones(len(one), np.int64))


ALL = pytest.mark.parametrize("score", [mask_scores, box_scores, pixel_scores])


@ALL
def test_frames_that_the_prediction_lacks(score):
    truth, found = labels({1: [0] * 5}), labels({1: [0] * 3})
    with pytest.raises(
        AnnotationError, match=r"says nothing about 2 of 5 frames .* the first is frame 3; predict them"
    ):
        score(truth, found, "a")
    with pytest.raises(ValueError, match="missing must be 'fail', 'skip' or 'empty', got 'drop'"):
        score(truth, found, "a", missing="drop")


def test_missing_frames_are_skipped_or_empty():
    truth, found = labels({1: [0] * 5}), labels({1: [0] * 3})
    assert mask_scores(truth, found, "a", missing="skip").region.tolist() == [1, 1, 1]
    assert mask_scores(truth, found, "a", missing="empty").region.tolist() == [1, 1, 1, 0, 0]
    assert box_scores(truth, found, "a", missing="empty").iou.tolist() == [1, 1, 1, 0, 0]
    assert pixel_scores(truth, found, "a", missing="empty").total.recall == pytest.approx(0.6)


@ALL
def test_videos_that_do_not_fit(score):
    truth = labels({1: [0]})
    with pytest.raises(AnnotationError, match=r"the prediction has no video 'a'; it has \['b'\]"):
        score(truth, labels({1: [0]}, "b"), "a")
    with pytest.raises(AnnotationError, match=r"the truth has no video 'b'; it has \['a'\]"):
        score(truth, labels({1: [0]}, "b"), "b")
    with pytest.raises(AnnotationError, match="video 'a' is 60x40 in the truth and 80x50 in the prediction"):
        score(truth, labels({1: [0]}, size=(80, 50)), "a")
    hashed = [replace(truth, videos=(replace(truth.videos[0], content_hash=text),)) for text in ("aa", "bb")]
    with pytest.raises(AnnotationError, match="made from different files"):
        score(*hashed, "a")


@pytest.mark.parametrize("score", [mask_scores, box_scores])
def test_objects_without_a_track(score):
    truth = labels({1: [0]})
    lost = replace(truth, track_id=np.array([NO_TRACK]))
    with pytest.raises(AnnotationError, match="frame 0: the truth has an object without a track"):
        score(lost, truth, "a")
    with pytest.raises(AnnotationError, match="frame 0: the prediction has an object without a track"):
        score(truth, lost, "a")


def test_objects_without_a_mask_or_box():
    truth = labels({1: [0]})
    bare = replace(truth, masks=(None,))
    with pytest.raises(AnnotationError, match="track 1 of the prediction has no mask; score boxes"):
        mask_scores(truth, bare, "a")
    with pytest.raises(AnnotationError, match="an object of the truth has no mask; score boxes"):
        pixel_scores(bare, truth, "a")
    with pytest.raises(AnnotationError, match="track 1 of the truth has neither a box nor a mask"):
        box_scores(bare, truth, "a")

from __future__ import annotations

import builtins
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle, box_iou
from evfr.annotations import read
from evfr.errors import AnnotationError, MissingExtraError
from evfr.metrics._tracking import TrackingScores, merge_tracking, tracking_scores
from helpers.labels import annotations_of

WALK = {
    (frame, track): (4.0 * frame, 20.0 * track, 4.0 * frame + 10, 20.0 * track + 10)
    for frame in range(5)
    for track in (1, 2)
}


def labels_of(boxes, *, frames=range(5), video_id="clip", **fields) -> VideoAnnotations:
    rows = [
        ObjectRow(video_id, frame, 1, track, tuple(map(float, box)), **fields)
        for (frame, track), box in boxes.items()
    ]
    return annotations_of(*rows, size=(200, 200), frames=list(frames), video_id=video_id)


def score(truth, predicted, **options) -> TrackingScores:
    return tracking_scores(labels_of(truth), labels_of(predicted), "clip", **options)


def test_perfect():
    got = score(WALK, WALK)
    assert (got.mota, got.motp, got.idf1, got.hota, got.det_a, got.ass_a) == (1, 1, 1, 1, 1, 1)
    assert (got.frames, got.truth, got.predicted, got.matches, got.id_switches) == (5, 10, 10, 10, 0)
    assert (got.mostly_tracked, got.mostly_lost, got.fragments) == (2, 0, 0)
    assert (
        repr(got) == "TrackingScores(5 frames, 10 true, 10 predicted: MOTA 1.0000, IDF1 1.0000, HOTA 1.0000)"
    )


def test_one_switch():
    """Track 1 is called 7 from frame 3 on: 10 matches, one switch; identity keeps 3 + 5 of 10.

    MOTA = 1 - 1/10. IDF1 = 2 x 8 / 20. DetA = 1; AssA = (3 x 3/5 + 2 x 2/5 + 5 x 1) / 10 = .76; HOTA = sqrt(.76).
    """
    predicted = {(f, 7 if t == 1 and f >= 3 else t): box for (f, t), box in WALK.items()}
    got = score(WALK, predicted)
    assert got.id_switches == 1
    assert got.mota == pytest.approx(0.9)
    assert got.idf1 == pytest.approx(0.8)
    assert got.id_precision == got.id_recall == pytest.approx(0.8)
    assert (got.det_a, got.ass_a, got.hota) == pytest.approx((1, 0.76, math.sqrt(0.76)))


def test_one_miss():
    """One of 10 is missing: MOTA 9/10; IDF1 = 18/19; DetA 9/10; AssA = (5 x 1 + 4 x 4/5) / 9."""
    predicted = {key: box for key, box in WALK.items() if key != (4, 1)}
    got = score(WALK, predicted)
    assert (got.misses, got.false_positives, got.id_misses, got.id_false_positives) == (1, 0, 1, 0)
    assert (got.mota, got.idf1) == pytest.approx((0.9, 18 / 19))
    assert (got.det_a, got.ass_a) == pytest.approx((0.9, (5 + 4 * 0.8) / 9))


def test_one_false_positive():
    predicted = {**WALK, (2, 9): (150, 150, 160, 160)}
    got = score(WALK, predicted)
    assert (got.misses, got.false_positives) == (0, 1)
    assert (got.mota, got.idf1) == pytest.approx((0.9, 20 / 21))
    assert (got.det_a, got.ass_a) == pytest.approx((10 / 11, 1))


def test_localisation():
    """Boxes shifted by 2 of 10 pixels: IoU 80/120 = 2/3; matched at .05 to .65, 13 of 19 thresholds."""
    shifted = {key: (x0 + 2, y0, x1 + 2, y1) for key, (x0, y0, x1, y1) in WALK.items()}
    got = score(WALK, shifted)
    assert got.motp == pytest.approx(2 / 3)
    assert got.mota == 1
    assert (got.hota, got.det_a, got.ass_a) == pytest.approx((13 / 19,) * 3)
    assert score(WALK, shifted, iou_threshold=0.7).mota == pytest.approx(-1)


def oracle(truth, predicted, threshold=0.5):
    """MOTA, IDF1 and HOTA from their papers' definitions, in plain Python over dicts of boxes."""
    frames = sorted({frame for frame, _ in truth} | {frame for frame, _ in predicted})
    matches, switches, last, previous = 0, 0, {}, {}
    true_ids = sorted({t for _, t in truth})
    other_ids = sorted({t for _, t in predicted})
    together = np.zeros((len(true_ids), len(other_ids)))
    overlaps = {}
    for frame in frames:
        mine = [t for f, t in truth if f == frame]
        theirs = [t for f, t in predicted if f == frame]
        iou = box_iou(
            np.array([truth[frame, t] for t in mine]).reshape(-1, 4),
            np.array([predicted[frame, t] for t in theirs]).reshape(-1, 4),
        )
        overlaps[frame] = (mine, theirs, iou)
        for i, t in enumerate(mine):
            for j, p in enumerate(theirs):
                together[true_ids.index(t), other_ids.index(p)] += iou[i, j] >= threshold
        # A pair of the frame before stays together where it may; the rest is assigned by IoU.
        gain = np.where(iou >= threshold, iou, 0.0)
        for i, t in enumerate(mine):
            for j, p in enumerate(theirs):
                gain[i, j] += 1000.0 * (previous.get(t) == p and iou[i, j] >= threshold)
        pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-gain), strict=True) if gain[i, j] > 0]
        if mine and theirs:  # TrackEval passes over frames in which either side is empty
            previous = {}
        for i, j in pairs:
            t, p = mine[i], theirs[j]
            switches += t in last and last[t] != p
            last[t] = previous[t] = p
        matches += len(pairs)
    n, m = len(truth), len(predicted)
    mota = 1 - ((n - matches) + (m - matches) + switches) / n
    rows, columns = linear_sum_assignment(-together)
    idtp = together[rows, columns].sum()
    return mota, 2 * idtp / (n + m), switches


@st.composite
def scenes(draw):
    truth, predicted = {}, {}
    for frame in range(draw(st.integers(1, 6))):
        for track in range(draw(st.integers(0, 3))):
            x, y = draw(st.integers(0, 12)), draw(st.integers(0, 6))
            truth[frame, track] = (x, y, x + 10, y + 10)
            if draw(st.integers(0, 4)):
                dx = draw(st.integers(-4, 4))
                predicted[frame, draw(st.sampled_from([track, track + 5]))] = (x + dx, y, x + dx + 10, y + 10)
    return truth, predicted


@settings(max_examples=150, deadline=None)
@given(scene=scenes(), jitter=st.integers(0, 2**32 - 1))
def test_against_the_definitions(scene, jitter):
    """MOTA, switches and IDF1 equal a plain implementation (ties are broken by a jitter of the true boxes)."""
    truth, predicted = scene
    if not truth:
        return
    rng = np.random.default_rng(jitter)
    truth = {
        key: np.sort((np.array(box) + rng.uniform(-0.1, 0.1, 4)).reshape(2, 2), axis=0).ravel()
        for key, box in truth.items()
    }
    got = tracking_scores(labels_of(truth, frames=range(6)), labels_of(predicted, frames=range(6)), "clip")
    mota, idf1, switches = oracle(truth, predicted)
    assert got.mota == pytest.approx(mota)
    assert got.idf1 == pytest.approx(idf1)
    assert got.id_switches == switches


@settings(max_examples=60, deadline=None)
@given(scene=scenes(), names=st.permutations(range(12)))
def test_names_of_tracks_do_not_matter(scene, names):
    truth, predicted = scene
    renamed = {(f, 100 + names[t]): box for (f, t), box in predicted.items()}
    a, b = (
        tracking_scores(labels_of(truth, frames=range(6)), labels_of(p, frames=range(6)), "clip")
        for p in (predicted, renamed)
    )
    for name in ("mota", "idf1", "hota"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-12)


def test_masks():
    mask = np.zeros((200, 200), bool)
    mask[:10, :10] = True
    shifted = np.roll(mask, 2, axis=1)
    truth = annotations_of(ObjectRow("clip", 0, 1, 1, mask=Rle.from_mask(mask)), size=(200, 200))
    predicted = annotations_of(
        ObjectRow("clip", 0, 1, 1, mask=Rle.from_mask(shifted)),
        ObjectRow("clip", 0, 1, 2, mask=Rle.empty(200, 200)),
        size=(200, 200),
    )
    for on in ("masks", "boxes"):
        got = tracking_scores(truth, predicted, "clip", on=on)
        assert got.motp == pytest.approx(2 / 3)
        assert (got.mota, got.predicted) == (1, 1)
    small = annotations_of(ObjectRow("clip", 0, 1, 1, mask=Rle.from_mask(mask[:50])), size=(200, 50))
    with pytest.raises(AnnotationError, match="video 'clip': masks of 200x200 and 200x50 pixels"):
        tracking_scores(truth, small, "clip", on="masks")


def test_frames_without_truth_are_left_out():
    """Truth on every second frame; what is predicted between cannot be judged."""
    truth = {key: box for key, box in WALK.items() if key[0] % 2 == 0}
    got = tracking_scores(labels_of(truth, frames=[0, 2, 4]), labels_of(WALK), "clip")
    assert (got.frames, got.mota, got.predicted) == (3, 1, 6)


def test_classes():
    truth, predicted = labels_of(WALK), labels_of(WALK)
    other = VideoAnnotations.build(predicted.videos, [Category(1, "van")], predicted.objects())
    assert tracking_scores(truth, other, "clip").matches == 0
    assert tracking_scores(truth, other, "clip", is_class_aware=False).matches == 10


@pytest.mark.parametrize("on", ["boxes", "masks"])
def test_ignored_regions_take_what_lies_in_them(on):
    """A crowd from x 100 on: a prediction in it is no false positive, one that touches it is."""

    def row(track, x, **fields):
        mask = np.zeros((200, 200), bool)
        mask[0:10, x : x + 10] = True
        return ObjectRow("clip", 0, 1, track, mask=Rle.from_mask(mask), **fields)

    wide = np.zeros((200, 200), bool)
    wide[:, 100:] = True
    truth = annotations_of(
        row(1, 0),
        ObjectRow("clip", 0, 1, NO_TRACK, mask=Rle.from_mask(wide), is_crowd=True),
        row(9, 50, attributes={"ignored": True}),
        size=(200, 200),
    )
    predicted = annotations_of(row(1, 0), row(2, 120), row(3, 94), row(4, 51), size=(200, 200))
    got = tracking_scores(truth, predicted, "clip", on=on)
    assert (got.truth, got.predicted, got.matches, got.false_positives) == (1, 2, 1, 1)


def test_nothing_is_nan_not_a_score():
    nothing = score({}, {})
    assert all(math.isnan(v) for v in (nothing.mota, nothing.motp, nothing.idf1, nothing.hota, nothing.det_a))
    only_false = score({}, WALK)
    assert math.isnan(only_false.mota)
    assert (only_false.idf1, only_false.hota, only_false.false_positives) == (0, 0, 10)
    missed = score(WALK, {})
    assert (missed.mota, missed.idf1, missed.hota, missed.misses) == (0, 0, 0, 10)


def test_merging_adds_counts():
    """Two videos merged equal one video that holds both, with ids of their own, one behind the other."""
    switched = {(f, 7 if t == 1 and f >= 3 else t): box for (f, t), box in WALK.items()}
    fewer = {key: box for key, box in WALK.items() if key[0] != 4}
    merged = merge_tracking([score(WALK, switched), score(WALK, fewer)])
    both = [
        {**a, **{(f + 5, t + 20): box for (f, t), box in b.items()}}
        for a, b in ((WALK, WALK), (switched, fewer))
    ]
    joined = tracking_scores(
        labels_of(both[0], frames=range(10)), labels_of(both[1], frames=range(10)), "clip"
    )
    for name in ("mota", "motp", "idf1", "hota", "det_a", "ass_a", "frames", "id_switches"):
        assert getattr(merged, name) == pytest.approx(getattr(joined, name)), name
    with pytest.raises(ValueError, match="nothing to merge"):
        merge_tracking([])


def test_wrong_arguments():
    truth = labels_of(WALK)
    with pytest.raises(ValueError, match="on must be 'boxes' or 'masks', got 'x'"):
        tracking_scores(truth, truth, "clip", on="x")
    for threshold in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="iou_threshold must be in"):
            tracking_scores(truth, truth, "clip", threshold)
    with pytest.raises(AnnotationError, match="the true labels have no video 'other'"):
        tracking_scores(truth, truth, "other")
    with pytest.raises(AnnotationError, match="the predicted labels have no video 'clip'"):
        tracking_scores(truth, labels_of(WALK, video_id="other"), "clip")
    with pytest.raises(
        AnnotationError, match="the predicted labels of 'clip': an object on frame 0 has no mask"
    ):
        masks = [replace(row, mask=Rle.from_mask(np.eye(200)), box_xyxy=None) for row in truth.objects()]
        tracking_scores(
            VideoAnnotations.build(truth.videos, truth.categories, masks), truth, "clip", on="masks"
        )
    with pytest.raises(AnnotationError, match="an object on frame 0 has no box"):
        tracking_scores(annotations_of(ObjectRow("clip", 0, 1, 1)), truth, "clip")
    with pytest.raises(AnnotationError, match="an object on frame 0 has no track"):
        tracking_scores(annotations_of(ObjectRow("clip", 0, 1, NO_TRACK, (0, 0, 1, 1))), truth, "clip")


def test_a_missing_library_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def fail(name, *rest, **more):
        if name == "motrics":
            raise ModuleNotFoundError("no", name="motrics")
        return real(name, *rest, **more)

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(MissingExtraError, match=r"pip install 'evfr\[metrics\]'"):
        score(WALK, WALK)


def test_pets_shifted(data_dir):
    """PETS against itself moved by 20 % of each box's width, tracks cut in the middle of the clip.

    TrackEval 1.3.0 gives these figures for the same ids and overlaps (CLEAR, Identity and HOTA with its defaults); on
    2000 random scenes of up to 8 frames, 4 true and 5 predicted objects it gave equal counts, too.
    """
    truth = read(data_dir / "research" / "pets_gt.txt", format="mot", width=768, height=576)
    boxes = truth.boxes_xyxy + 0.2 * (truth.boxes_xyxy[:, 2:3] - truth.boxes_xyxy[:, :1]) * [1, 0, 1, 0]
    tracks = np.where(truth.frame_index >= 400, truth.track_id + 100, truth.track_id)
    predicted = replace(truth, boxes_xyxy=boxes, track_id=tracks)
    got = tracking_scores(truth, predicted, "pets_gt")
    assert (got.mota, got.motp, got.idf1) == pytest.approx((0.9993297587, 0.6666666667, 0.9329758713))
    assert (got.hota, got.det_a, got.ass_a) == pytest.approx((0.6500568134, 0.6842105263, 0.6176079502))
    assert (got.id_switches, got.fragments, got.mostly_tracked, got.mostly_lost) == (3, 2, 19, 0)

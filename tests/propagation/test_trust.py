"""Trust: a monotone model fitted on held-out labels, its calibration, what it decides, what it asks for next."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.propagation import (
    BUILT_IN_TRUST,
    TRUST_FEATURES,
    Carried,
    Evidence,
    HeldOut,
    TrustModel,
    apply_min_trust,
    calibration_error,
    carried_trust,
    check_trust,
    expected_iou,
    fit_trust,
    held_out,
    review_queue,
    spearman,
    trust_features,
)

FREE = (math.inf,) * 6


def evidence(rows: list[list[float]]) -> Evidence:
    """Make one object's evidence: residual, agreement, area_jump, shape_jump, distance per frame."""
    columns = np.array(rows, float).T[:, :, None]
    return Evidence(*columns)


def drawn(seed: int, frames: int = 60, objects: int = 3, slopes=(1.0, 2.0, 0.0, 0.5, 0.3)) -> HeldOut:
    """Draw rows whose IoU follows a known model, with noise that objects of one frame share."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.0, [0.5, 0.15, 0.1, 0.2, 1.0], size=(frames * objects, 5))
    logit = 2.5 - values @ np.array(slopes) + np.repeat(rng.normal(0, 0.5, frames), objects)
    return HeldOut(values, 1 / (1 + np.exp(-logit)), np.repeat(np.arange(frames), objects))


def test_features_by_hand():
    found = trust_features(evidence([[6.0, 0.75, -math.log(2), 0.5, 9.0], [math.nan] * 5]))
    area = math.log(2) / (1 + math.log(2))
    np.testing.assert_allclose(found[0, 0], [math.log(2), 0.25, area, 0.5, math.log(10)])
    assert np.isnan(found[1, 0]).all()


@pytest.mark.parametrize(
    ("jumps", "distances", "worst"),
    [
        # Two labels: each frame looks towards the nearer one; the middle one, as far from both, to the right.
        ([None, 0.1, 0.5, 0.2, 0.0, 0.3, None], [0, 1, 2, 3, 2, 1, 0], [None, 0.1, 0.5, 0.3, 0.3, 0.3, None]),
        # One label, on the left, and one on the right.
        ([None, 0.1, 0.4, 0.2], [0, 1, 2, 3], [None, 0.1, 0.4, 0.4]),
        ([0.2, 0.4, 0.1, None], [3, 2, 1, 0], [0.4, 0.4, 0.1, None]),
        # A cut before position 2: what happened before it does not matter after it.
        ([None, 0.9, 0.1, 0.0, None], [0, 1, 2, 1, 0], [None, 0.9, 0.1, 0.0, None]),
        # Lost in the middle.
        ([None, 0.7, None, None, 0.2, None], [0, 1, None, None, 1, 0], [None, 0.7, None, None, 0.2, None]),
    ],
)
def test_the_worst_jump_on_the_way_counts(jumps, distances, worst):
    rows = [[math.nan, math.nan, math.nan, *pair] for pair in zip(jumps, distances, strict=True)]
    found = trust_features(evidence([[math.nan if v is None else v for v in row] for row in rows]))[:, 0, 3]
    np.testing.assert_array_equal(found, [math.nan if v is None else v for v in worst])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), column=st.integers(0, 4), more=st.floats(0, 10))
def test_more_doubt_never_raises_trust(seed, column, more):
    """Whatever the rows, also those that would want a weight below 0."""
    rng = np.random.default_rng(seed)
    rows = rng.random((30, 5))
    rows[rng.random((30, 5)) < 0.2] = np.nan
    model = fit_trust(rows, rng.random(30), rng.integers(0, 9, 30), spread=FREE)
    before = rng.random((20, 5))
    after = before.copy()
    after[:, column] += more
    assert (model.predict(after) <= model.predict(before)).all()
    assert ((model.predict(before) >= 0) & (model.predict(before) <= 1)).all()


def test_evidence_to_trust_is_monotone():
    good = [3.0, 0.95, 0.02, 0.05, 4.0]
    base = BUILT_IN_TRUST.predict(trust_features(evidence([good])))[0, 0]
    for column, worse in enumerate([30.0, 0.2, 1.0, 0.8, 40.0]):
        row = list(good)
        row[column] = worse
        assert BUILT_IN_TRUST.predict(trust_features(evidence([row])))[0, 0] < base


def test_known_slopes_are_found():
    rows = drawn(0, frames=400)
    model = fit_trust(rows.features, rows.true_iou, rows.frames, spread=FREE)
    np.testing.assert_allclose(model.weights, [1.0, 2.0, 0.0, 0.5, 0.3], atol=0.25)
    assert (model.row_count, model.frame_count) == (1200, 400)


@pytest.mark.parametrize("spread", [FREE, (0.6, 0.2, 0.3, 0.5, 0.6, 0.1)])
def test_against_scipy(spread):
    """The same minimum as L-BFGS-B with bounds, also where a bound is active."""
    rows = drawn(3, slopes=(1.0, -1.0, 0.0, 0.5, 0.3))
    prior = np.array([BUILT_IN_TRUST.intercept, *BUILT_IN_TRUST.weights])
    design = np.column_stack([np.ones(len(rows)), -rows.features])

    def cost(point):
        logit = design @ point
        penalty = (((point - prior) / np.array(spread)) ** 2).sum() / 2
        return ((np.logaddexp(0, logit) - rows.true_iou * logit) / 0.3).sum() + penalty

    bounds = [(None, None), *[(0, None)] * 5]
    best = scipy.optimize.minimize(cost, prior, bounds=bounds, method="L-BFGS-B", tol=1e-14)
    model = fit_trust(rows.features, rows.true_iou, rows.frames, spread=spread)
    found = np.array([model.intercept, *model.weights])
    assert cost(found) <= best.fun + 1e-9
    np.testing.assert_allclose(found, best.x, atol=2e-3)
    assert model.weights[1] == 0.0 or spread is not FREE


def test_without_rows_the_prior_comes_back():
    model = fit_trust(np.zeros((0, 5)), [], [])
    assert (model.intercept, model.weights, model.fill) == (
        BUILT_IN_TRUST.intercept,
        BUILT_IN_TRUST.weights,
        BUILT_IN_TRUST.fill,
    )
    assert (model.row_count, model.frame_count) == (0, 0)


def test_few_rows_move_the_prior_a_little_and_many_wholly():
    rows = drawn(1)
    bad = np.zeros(len(rows))
    few = fit_trust(rows.features[:3], bad[:3], rows.frames[:3])
    many = fit_trust(rows.features, bad, rows.frames)
    trusts = [float(model.predict(rows.features).mean()) for model in (BUILT_IN_TRUST, few, many)]
    assert trusts[0] > trusts[1] > trusts[2]
    assert trusts[2] < 0.2


def test_objects_on_one_frame_count_as_one():
    """A row twice on the same frame changes nothing; on a frame of its own it does."""
    rows = drawn(2, frames=8, objects=1)
    twice = [np.concatenate([column, column[:1]]) for column in (rows.features, rows.true_iou, rows.frames)]
    same = fit_trust(*twice)
    once = fit_trust(rows.features, rows.true_iou, rows.frames)
    np.testing.assert_allclose(same.weights, once.weights, atol=1e-7)
    other = fit_trust(twice[0], twice[1], [*rows.frames, 99])
    assert abs(other.intercept - once.intercept) > 1e-5


def test_what_was_not_measured():
    """A feature never measured is filled and does nothing; a row without any has no trust."""
    rows = drawn(5)
    values = rows.features.copy()
    values[:, 1] = np.nan
    model = fit_trust(values, rows.true_iou, rows.frames)
    assert model.fill[1] == BUILT_IN_TRUST.fill[1]
    assert model.fill[0] == pytest.approx(np.median(values[:, 0]))
    row = np.full((2, 5), np.nan)
    row[0, 4] = 1.0
    found = model.predict(row)
    assert 0 < found[0] < 1
    assert np.isnan(found[1])


def test_rows_on_which_nothing_was_measured_say_nothing():
    rows = drawn(6, frames=8)
    more = HeldOut.join([rows, HeldOut(np.full((4, 5), np.nan), np.zeros(4), np.full(4, 2))])
    assert fit_trust(more.features, more.true_iou, more.frames) == fit_trust(
        rows.features, rows.true_iou, rows.frames
    )
    np.testing.assert_array_equal(check_trust(more).trust, check_trust(rows).trust)
    assert expected_iou(rows.features, more, draws=5) == expected_iou(rows.features, rows, draws=5)


def test_rows_that_separate_stay_finite():
    values = np.zeros((6, 5))
    values[3:, 0] = 5.0
    model = fit_trust(values, [1, 1, 1, 0, 0, 0], np.arange(6), spread=FREE)
    assert np.isfinite([model.intercept, *model.weights]).all()
    assert model.predict(values)[0] > 0.999
    assert model.predict(values)[5] < 0.001


def test_model_round_trip():
    rows = drawn(1)
    model = fit_trust(rows.features, rows.true_iou, rows.frames)
    assert TrustModel.from_dict(model.to_dict()) == model
    data = model.to_dict()
    del data["weights"]["distance"]
    with pytest.raises(ValueError, match="a trust model lacks 'distance'"):
        TrustModel.from_dict(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": (1.0,)}, "needs 5 weights and 5 fill values"),
        ({"intercept": math.nan}, "must be finite"),
        ({"weights": (0.0, 0.0, -1.0, 0.0, 0.0)}, "weights and fill values must be 0 or more"),
    ],
)
def test_wrong_models(change, message):
    with pytest.raises(ValueError, match=message):
        replace(BUILT_IN_TRUST, **change)


def test_wrong_rows():
    good = np.zeros((2, 5)), [0.5, 0.5], [0, 1]
    with pytest.raises(ValueError, match="the last axis of features must be"):
        fit_trust(np.zeros((2, 4)), *good[1:])
    with pytest.raises(ValueError, match="must fit each other"):
        fit_trust(good[0], [0.5], good[2])
    with pytest.raises(ValueError, match=r"true_iou\[1\] must be in \[0, 1\], got 1.5"):
        fit_trust(good[0], [0.5, 1.5], good[2])
    with pytest.raises(ValueError, match=r"true_iou\[0\] must be in \[0, 1\], got nan"):
        fit_trust(good[0], [math.nan, 1.0], good[2])
    with pytest.raises(ValueError, match="spread must be 6 numbers above 0"):
        fit_trust(*good, spread=(1.0, 0.0, 1.0, 1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="the last axis of features must be"):
        BUILT_IN_TRUST.predict(np.zeros(4))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=30))
def test_spearman_against_scipy(pairs):
    a, b = np.array(pairs, float).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert math.isnan(spearman(a, b))
    else:
        assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)


def test_spearman_edges():
    assert spearman([1, 2, math.nan, 4], [4, 3, 0, 1]) == -1.0
    assert math.isnan(spearman([], []))
    with pytest.raises(ValueError, match="a and b must be"):
        spearman([1], [1, 2])


def test_calibration_error():
    assert calibration_error([0.1, 0.9, 1.0], [0.1, 0.9, 1.0]) == pytest.approx(0.0)
    # Bins of .1: (.05, .08) and (.95,); the first is .065 trusted and .5 true, the second .95 and 0.
    assert calibration_error([0.05, 0.08, 0.95], [0.0, 1.0, 0.0]) == pytest.approx((2 * 0.435 + 0.95) / 3)
    assert calibration_error([0.0, 1.0], [0.5, 0.5], bins=1) == 0.0
    assert math.isnan(calibration_error([], []))
    for trust, iou, options, message in (
        ([0.5], [0.5, 1], {}, "trust and true_iou must be"),
        ([math.nan], [0.5], {}, "trust must be in"),
        ([0.5], [0.5], {"bins": 0}, "bins must be 1 or more, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            calibration_error(trust, iou, **options)


def test_check_holds_each_frame_out_of_its_own_fit():
    """A frame that is unlike all others must not be predicted by itself."""
    rows = drawn(4, frames=12)
    odd = rows.frames == 5
    rows = replace(rows, true_iou=np.where(odd, 0.0, rows.true_iou))
    check = check_trust(rows)
    others = fit_trust(rows.features[~odd], rows.true_iou[~odd], rows.frames[~odd])
    np.testing.assert_allclose(check.trust[odd], others.predict(rows.features[odd]))
    assert check.calibration_error == calibration_error(check.trust, rows.true_iou)
    assert check.to_dict()["row_count"] == 36
    assert check_trust(HeldOut.join([])).to_dict() == {
        "row_count": 0,
        "calibration_error": None,
        "spearman": None,
    }


def test_expected_iou_covers_and_narrows():
    """On clips drawn from a known model the interval of 90 % holds the truth in most, and narrows with frames."""
    inside, widths = 0, {4: [], 30: []}
    for seed, frames in itertools.product(range(12), widths):
        rows, carried = drawn(seed, frames), drawn(1000 + seed, 100)
        found = expected_iou(carried.features, rows, draws=60, seed=seed)
        assert found.low <= found.mean <= found.high
        inside += found.low <= carried.true_iou.mean() <= found.high
        widths[frames].append(found.high - found.low)
        assert found.held_out_frames == frames
    assert inside >= 19
    assert np.mean(widths[30]) < np.mean(widths[4])
    alone = expected_iou(carried.features, HeldOut.join([]), draws=60)
    assert alone.held_out_frames == 0
    assert alone.high - alone.low > np.mean(widths[4])


def test_expected_iou_is_repeatable_and_may_be_empty():
    rows = drawn(1, 6)
    same = [expected_iou(rows.features, rows, draws=20, seed=7) for _ in range(2)]
    assert same[0] == same[1]
    nothing = expected_iou(np.zeros((0, 5)), rows)
    assert nothing.to_dict() == {
        "mean": None,
        "low": None,
        "high": None,
        "confidence": 0.9,
        "held_out_frames": 6,
    }
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), got 1.0"):
        expected_iou(rows.features, rows, confidence=1.0)
    with pytest.raises(ValueError, match="draws must be 1 or more, got 0"):
        expected_iou(rows.features, rows, draws=0)


def square(left: int) -> Rle:
    mask = np.zeros((20, 40), bool)
    mask[5:15, left : left + 10] = True
    return Rle.from_mask(mask)


def carried(columns: dict[int, list[int | None]]) -> Carried:
    """Make a carry over frames: one square per track, at a column or absent; labels at both ends."""
    tracks = sorted(columns)
    count = len(columns[tracks[0]])
    masks = tuple(
        tuple(None if columns[k][t] is None else square(columns[k][t]) for k in tracks) for t in range(count)
    )
    boxes = np.array([[(math.nan,) * 4 if m is None else m.box_xyxy for m in row] for row in masks])
    distance = np.minimum(np.arange(count), np.arange(count)[::-1])[:, None] * np.ones(len(tracks))
    distance[np.isnan(boxes).any(axis=2)] = np.nan
    column = np.full(distance.shape, np.nan)
    return Carried(
        np.array(tracks),
        np.ones(len(tracks), np.int64),
        masks,
        boxes,
        column,
        Evidence(*[column] * 4, distance),
    )


def test_held_out_rows_by_hand():
    """Track 1 is right, 2 is moved by 5, 3 is not in the labels, 4 is only there."""
    carry = carried({1: [0] * 5, 2: [10] * 5, 3: [20] * 5})
    truth = FrameLabels(
        102,
        np.array([4, 2, 1]),
        np.ones(3, np.int64),
        np.full((3, 4), np.nan),
        (square(1), square(15), square(0)),
    )
    rows = held_out(carry, 2, truth)
    np.testing.assert_allclose(rows.true_iou, [1, 50 / 150, 0])
    assert rows.frames.tolist() == [102] * 3
    assert rows.missed == 1
    np.testing.assert_allclose(rows.features[:, 4], math.log(3))
    boxes = replace(truth, masks=(None,) * 3, boxes_xyxy=np.array([m.box_xyxy for m in truth.masks]))
    np.testing.assert_allclose(held_out(carry, 2, boxes).true_iou, rows.true_iou)
    joined = HeldOut.join([rows, rows])
    assert (len(joined), joined.missed) == (6, 2)
    assert repr(rows) == "HeldOut(3 objects on 1 frames, 1 missed)"


def test_objects_that_vanished_are_missed_not_measured():
    carry = carried({1: [0, 0, None, 0, 0]})
    labels = FrameLabels(2, np.array([1]), np.array([1]), np.full((1, 4), np.nan), (square(0),))
    rows = held_out(carry, 2, labels)
    assert (len(rows), rows.missed) == (0, 1)
    nothing = FrameLabels(2, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), ())
    assert held_out(carry, 3, nothing).true_iou.tolist() == [0.0]


def test_held_out_at_a_wrong_position():
    carry = carried({1: [0] * 5})
    labels = FrameLabels(0, np.array([1]), np.array([1]), np.full((1, 4), np.nan), (square(0),))
    with pytest.raises(ValueError, match="position 0 was labelled for this carry"):
        held_out(carry, 0, labels)
    with pytest.raises(ValueError, match=r"position must be in 0\.\.4, got 5"):
        held_out(carry, 5, labels)


def test_trust_of_a_carry():
    trust = carried_trust(carried({1: [0] * 7, 2: [0, 0, None, None, None, 0, 0]}))
    assert trust[0].tolist() == trust[-1].tolist() == [1.0, 1.0]
    assert np.isnan(trust[2:5, 1]).all()
    assert (np.diff(trust[:4, 0]) < 0).all()
    np.testing.assert_allclose(trust[:, 0], trust[::-1, 0])


@pytest.mark.parametrize(("below", "counts"), [("keep", (4, 0, 0)), ("drop", (2, 2, 0)), ("ask", (2, 0, 2))])
def test_min_trust(below, counts):
    decision = apply_min_trust([0.5, 0.49, math.nan, 0.0], [False, False, False, True], 0.5, below=below)
    found = decision.is_kept, decision.is_dropped, decision.is_asked
    assert tuple(part.sum() for part in found) == counts
    assert (np.sum(found, axis=0) == 1).all()
    assert decision.below_count == 2
    assert decision.is_kept[3]


def test_min_trust_of_wrong_arguments():
    with pytest.raises(ValueError, match="trust and is_human must be"):
        apply_min_trust([0.5], [False, True], 0.5)
    with pytest.raises(ValueError, match=r"minimum trust must be in \[0, 1\], got 50"):
        apply_min_trust([0.5], [False], 50)
    with pytest.raises(ValueError, match="below must be one of"):
        apply_min_trust([0.5], [False], 0.5, below="hide")


def lifted(trust: np.ndarray, frames: np.ndarray, labeled: list[int], new: set[int], power: float) -> float:
    """Compute what a set of labels lifts, straight from the notes of `review_queue` (one shot)."""
    total = 0.0
    for t, frame in enumerate(frames):
        old = min(abs(frame - other) for other in labeled)
        near = min([old, *[abs(frame - other) for other in new]])
        if old > 0:
            total += np.nansum(1 - trust[t]) * (1 - (near / old) ** power)
    return total


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), power=st.sampled_from([0.5, 1.0, 2.0]))
def test_queue_against_brute_force(seed, power):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 14))
    frames = np.cumsum(rng.integers(1, 4, count))
    trust = np.where(rng.random((count, 2)) < 0.2, np.nan, rng.random((count, 2)))
    labeled = sorted({int(frames[0]), *rng.choice(frames, 2).tolist()})
    queue = review_queue(trust, frames, labeled=labeled, n=4, power=power)
    taken: set[int] = set()
    for frame, gain in zip(queue.frame_index.tolist(), queue.gain, strict=True):
        base = lifted(trust, frames, labeled, taken, power)
        gains = {
            int(f): lifted(trust, frames, labeled, {*taken, int(f)}, power) - base
            for f in frames
            if f not in labeled and f not in taken
        }
        assert gain == pytest.approx(gains[frame], abs=1e-9)
        assert gain == pytest.approx(max(gains.values()), abs=1e-9)
        taken.add(frame)
    assert (np.diff(queue.gain) <= 1e-12).all()
    whole = review_queue(trust, frames, labeled=labeled, n=99, power=power)
    assert whole.frame_index[: len(queue)].tolist() == queue.frame_index.tolist()
    assert not set(whole.frame_index.tolist()) & set(labeled)


def test_labels_do_not_reach_across_a_cut():
    """A label lies just before the cut at 6; after it only the one at 11 counts, 5 to 1 frames away.

    Frame 8 lies 2, 1, 0, 1, 2 from frames 6 to 10: 3/5 + 3/4 + 1 + 1/2 of a doubt of .8 are lifted.
    """
    trust = np.ones((12, 1))
    trust[6:11] = 0.2
    frames = np.arange(12)
    queue = review_queue(trust, frames, labeled=[5, 11], n=12, cuts=[6])
    assert queue.frame_index[0] == 8
    assert queue.gain[0] == pytest.approx(0.8 * 2.85)
    assert set(queue.frame_index.tolist()) <= set(range(6, 11))
    joined = review_queue(trust, frames, labeled=[5, 11], n=1)
    assert joined.gain[0] == pytest.approx(0.8 * 2)


def test_frames_that_no_label_reaches_come_first():
    trust = np.full((20, 1), np.nan)
    trust[:10] = 0.9
    flags = np.arange(20) >= 10
    queue = review_queue(trust, np.arange(20), labeled=[0], n=1, cuts=[10], is_unreached=flags)
    assert 10 <= queue.frame_index[0] < 20
    assert math.isnan(queue.trust[0])
    assert queue.to_dict()[0]["trust"] is None
    # Without the flag, NaN means that nothing is there.
    assert review_queue(trust, np.arange(20), labeled=[0], n=1, cuts=[10]).frame_index[0] < 10


def test_frames_that_cannot_be_labelled_are_not_asked_for():
    trust = np.full((9, 1), 0.5)
    allowed = np.arange(9) != 4
    queue = review_queue(trust, np.arange(9), labeled=[0, 8], n=9, is_allowed=allowed)
    assert 4 not in queue.frame_index
    assert len(queue) == 6


def test_nothing_to_lift():
    assert len(review_queue(np.ones((5, 2)), np.arange(5), labeled=[0], n=3)) == 0
    assert len(review_queue(np.zeros((5, 0)), np.arange(5), labeled=[0], n=3)) == 0
    assert len(review_queue(np.zeros((0, 1)), [], labeled=[], n=3)) == 0


def test_a_long_video_is_quick():
    """An hour at 30 fps with one label: candidates are thinned out, the stretch is still split."""
    trust = np.full((108_000, 1), 0.5)
    queue = review_queue(trust, np.arange(108_000), labeled=[0], n=2)
    assert 30_000 < queue.frame_index[0] < 108_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trust": np.ones(3)}, r"trust \(T, K\) and frame_index \(T,\) must fit"),
        ({"frame_index": [0, 2, 2]}, "frame_index must increase strictly"),
        ({"n": -1}, "n must be 0 or more, got -1"),
        ({"power": -1.0}, "power must be 0 or more and finite, got -1.0"),
        ({"trust": np.full((3, 1), 1.5)}, r"trust must be in \[0, 1\], or NaN"),
        ({"is_unreached": [True]}, "is_unreached must be"),
        ({"is_allowed": [True]}, "is_allowed must be"),
    ],
)
def test_wrong_queues(change, message):
    options = {"trust": np.ones((3, 1)), "frame_index": [0, 1, 2], "n": 1, "labeled": [0], **change}
    with pytest.raises(ValueError, match=message):
        review_queue(options.pop("trust"), options.pop("frame_index"), **options)


def test_feature_names():
    assert TRUST_FEATURES == ("residual", "disagreement", "area_jump", "shape_jump", "distance")

"""The whole reduction: planted copies with known survivors, slow answers, and a log that tells everything."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import AnnotatedVideo
from evfr.sequences import (
    STEPS,
    MaskSequence,
    SequenceSet,
    annotations_of,
    reduce_sequences,
    sequences_of,
)
from helpers.drawn_sequences import (
    box_mask,
    dense_iou,
    drawn_masks,
    sequence_set,
    slow_hard_nms,
    slow_soft_nms,
)

MODULE = "evfr.sequences._reduce"
GONE_BEFORE = {"empty", "agnostic", "agnostic_floor"}


def strips(*spans, frames=2):
    """Draw sequences of one strip each in a picture of one row: (first, end) columns of 100."""
    masks = np.zeros((len(spans), frames, 1, 100), bool)
    for i, (first, end) in enumerate(spans):
        masks[i, :, :, first:end] = True
    return masks


def slow_reduction(masks, scores, *, agnostic_threshold=0.9, agnostic_floor=0.05, step="both", **options):
    """Return {(sequence, class): score} by the definition, on dense masks and plain loops."""
    iou = dense_iou(masks)
    there = [i for i in range(len(masks)) if masks[i].any()]
    best = [max(row) for row in scores]
    if step in ("both", "agnostic"):
        inner = [[iou[i][j] for j in there] for i in there]
        there = sorted(
            there[k]
            for k in slow_hard_nms([best[i] for i in there], inner, agnostic_threshold, agnostic_floor)
        )
    inner = [[iou[i][j] for j in there] for i in there]
    if step == "agnostic":
        return {(i, c): scores[i][c] for i in there for c in range(len(scores[i])) if scores[i][c] >= 1e-3}
    if step == "unsupervised":
        options.setdefault("limit", 20)
        return {(there[k], 0): s for k, s in slow_soft_nms([best[i] for i in there], inner, **options)}
    return {
        (there[k], c): score
        for c in range(len(scores[0]))
        for k, score in slow_soft_nms([scores[i][c] for i in there], inner, **options)
    }


def pairs(found):
    """Return {(place in the set given, class): score} of a reduction."""
    return {
        (int(row), int(c)): float(one.category_scores[c])
        for row, one in zip(found.rows, found.sequence_set.sequences, strict=True)
        for c in np.flatnonzero(one.category_scores)
    }


def test_planted_copies():
    """0 and its copy 3 of another class; 1 covers 92 % of 2, 4 is half of 5, 6 is weak, 7 is nowhere."""
    masks = strips((0, 20), (30, 55), (30, 53), (0, 20), (60, 70), (60, 80), (90, 95), (0, 0))
    scores = [[0.9, 0], [0.8, 0.3], [0.7, 0], [0, 0.6], [0.2, 0.5], [0.6, 0.4], [0.04, 0.01], [0.5, 0]]
    found = reduce_sequences(sequence_set(masks, scores))
    half = math.exp(-(0.5**2) / 0.5)
    assert pairs(found) == {
        (0, 0): 0.9,
        (1, 0): 0.8,
        (1, 1): 0.3,
        (4, 0): pytest.approx(0.2 * half),
        (4, 1): 0.5,
        (5, 0): 0.6,
        (5, 1): pytest.approx(0.4 * half),
    }
    assert found.rows.tolist() == [0, 1, 5, 4]
    assert [(c.sequence, c.step, c.category, c.survivor, c.before) for c in found.log] == [
        (7, "empty", -1, -1, 0.5),
        (2, "agnostic", -1, 1, 0.7),
        (3, "agnostic", -1, 0, 0.6),
        (6, "agnostic_floor", -1, -1, 0.04),
        (4, "aware", 0, 5, 0.2),
        (5, "aware", 1, 4, 0.4),
    ]
    assert [one.category for one in found.sequence_set.sequences] == [0, -1, -1, -1]
    assert str(found.log[1]) == (
        "sequence 2: 0.7 -> 0, dropped: a better sequence of any class covers it (sequence 1)"
    )
    assert str(found.log[5]) == (
        "sequence 5 in class 1: 0.4 -> 0.243, lowered: a better sequence of its class overlaps it (sequence 4)"
    )
    counts = found.counts
    assert (counts.given, counts.empty, counts.below_agnostic_floor, counts.suppressed) == (8, 1, 1, 2)
    assert (counts.survivors, counts.without_class, counts.labels_before, counts.lowered) == (4, 0, 7, 2)
    assert (counts.below_floor, counts.over_limit, counts.labels, counts.kept) == (0, 0, 7, 4)


def test_steps_alone():
    masks = strips((0, 20), (0, 12), (0, 20))
    scores = [[0.9, 0.0005], [0.6, 0.4], [0.5, 0]]
    sixty = math.exp(-(0.6**2) / 0.5)
    agnostic = reduce_sequences(sequence_set(masks, scores), step="agnostic")
    assert pairs(agnostic) == {(0, 0): 0.9}  # alone it suppresses from .5 on
    assert [(c.sequence, c.survivor) for c in agnostic.log] == [(1, 0), (2, 0)]
    weak = reduce_sequences(sequence_set(masks, scores), step="agnostic", agnostic_threshold=0.9)
    assert pairs(weak) == {(0, 0): 0.9, (1, 0): 0.6, (1, 1): 0.4}
    aware = reduce_sequences(sequence_set(masks, scores), step="aware")
    assert pairs(aware) == {
        (0, 0): 0.9,
        (1, 0): pytest.approx(0.6 * sixty),
        (1, 1): 0.4,
        (2, 0): pytest.approx(0.5 * math.exp(-2) * sixty),
    }


def test_unsupervised_lowers_the_score_whatever_the_class_and_keeps_20():
    rng = np.random.default_rng(0)
    masks = strips(*[(4 * i, 4 * i + 4) for i in range(24)], (0, 2))
    scores = rng.permutation(np.linspace(0.2, 0.9, 50)).reshape(25, 2)
    given = sequence_set(masks, scores)
    found = reduce_sequences(given, step="unsupervised")
    best = scores.max(axis=1)
    best[24 if best[0] > best[24] else 0] *= math.exp(-(0.5**2) / 0.5)
    want = np.argsort(-best)[:20]
    assert sorted(found.rows.tolist()) == sorted(want.tolist())
    assert found.counts.over_limit == 5
    for row, one in zip(found.rows, found.sequence_set.sequences, strict=True):
        assert one.score == one.category_scores.max() == pytest.approx(best[row])
        assert one.category == np.argmax(scores[row]) == np.argmax(one.category_scores)
        assert np.count_nonzero(one.category_scores) == 1
    assert len({row.track_id for row in annotations_of([found.sequence_set]).objects()}) == 20
    assert len(reduce_sequences(given, step="unsupervised", per_category=3).rows) == 3
    classless = SequenceSet(
        given.video, (), tuple(MaskSequence(one.masks, (), one.score) for one in given.sequences)
    )
    assert reduce_sequences(classless, step="unsupervised").rows.tolist() == found.rows.tolist()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 8),
    frames=st.integers(0, 3),
    step=st.sampled_from(["both", "agnostic", "aware", "unsupervised"]),
    decay=st.sampled_from(["gaussian", "linear"]),
    limit=st.sampled_from([None, 1, 3]),
)
def test_the_definition_and_a_complete_log(seed, n, frames, step, decay, limit):
    rng = np.random.default_rng(seed)
    masks = drawn_masks(rng, n, frames, 6, 8)
    masks[n // 2 :] = masks[: n - n // 2]  # copies
    scores = rng.choice([0.0, 0.0005, 0.002, 0.04, 0.3, 0.5, 0.9], (n, 3)) * rng.choice([1.0, 0.97], (n, 3))
    found = reduce_sequences(
        sequence_set(masks, scores), step=step, decay=decay, per_category=limit, agnostic_threshold=0.7
    )
    options = {"sigma": 0.5} if decay == "gaussian" else {"threshold": 0.5}
    if limit is not None:
        options["limit"] = limit
    want = slow_reduction(masks, scores, step=step, agnostic_threshold=0.7, **options) if n else {}
    if step == "unsupervised":
        want = {(i, int(np.argmax(scores[i]))): score for (i, _), score in want.items()}
    got = pairs(found)
    assert sorted(got) == sorted(want)
    assert [got[key] for key in sorted(got)] == pytest.approx([want[key] for key in sorted(want)], rel=1e-12)

    # The log alone leads from what was given to what is left.
    told = {(i, c): scores[i, c] for i in range(n) for c in range(3) if scores[i, c] >= 1e-3}
    if step == "unsupervised":
        told = {(i, int(np.argmax(scores[i]))): scores[i].max() for i in range(n)}
    for change in found.log:
        assert change.step in STEPS
        assert change.after < change.before or change.before == 0.0
        if change.category == -1 and step != "unsupervised":
            assert change.after == 0.0
            told = {key: score for key, score in told.items() if key[0] != change.sequence}
        else:
            key = (
                change.sequence,
                int(np.argmax(scores[change.sequence])) if change.category == -1 else change.category,
            )
            assert told.pop(key) == change.before
            if change.after > 0.0:
                told[key] = change.after
        if change.step == "agnostic":  # by one that went into the second step, whatever became of it there
            assert {c.step for c in found.log if c.sequence == change.survivor}.isdisjoint(GONE_BEFORE)
        elif change.survivor != -1:
            assert change.survivor in found.rows
    assert told == got

    counts = found.counts
    assert counts.given == n
    assert counts.survivors == n - counts.empty - counts.below_agnostic_floor - counts.suppressed
    assert counts.labels == counts.labels_before - counts.below_floor - counts.over_limit == len(got)
    assert counts.kept == len(found.rows) == len(found.sequence_set)
    dropped = {c.sequence for c in found.log if c.after == 0.0}
    assert dropped | set(found.rows.tolist()) == set(range(n))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_order_given_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    masks = drawn_masks(rng, 7, 2, 6, 8)
    scores = rng.random((7, 2))
    move = rng.permutation(7)
    found = reduce_sequences(sequence_set(masks, scores), agnostic_threshold=0.6)
    moved = reduce_sequences(sequence_set(masks[move], scores[move]), agnostic_threshold=0.6)
    assert move[moved.rows].tolist() == found.rows.tolist()
    assert {(int(move[i]), c): s for (i, c), s in pairs(moved).items()} == pairs(found)


@pytest.mark.parametrize("step", ["both", "aware", "unsupervised"])
def test_rows_on_demand_are_the_matrix(step, monkeypatch):
    rng = np.random.default_rng(5)
    given = sequence_set(drawn_masks(rng, 40, 3, 20, 30), rng.random((40, 4)))
    want = reduce_sequences(given, step=step, agnostic_threshold=0.5)
    monkeypatch.setattr(f"{MODULE}.MATRIX_LIMIT", 3)
    found = reduce_sequences(given, step=step, agnostic_threshold=0.5)
    assert found.log == want.log
    assert pairs(found) == pairs(want)


def test_agnostic_step_twice_is_once():
    rng = np.random.default_rng(9)
    given = sequence_set(drawn_masks(rng, 30, 2, 10, 12), rng.random((30, 3)))
    once = reduce_sequences(given, step="agnostic").sequence_set
    twice = reduce_sequences(once, step="agnostic")
    assert twice.log == ()
    assert twice.rows.tolist() == list(range(len(once)))


def test_single_frame_is_nms_of_a_picture():
    """Boxes of 10 and 6 columns, one frame: IoU .6, lowered by exp(-.36 / .5)."""
    found = reduce_sequences(sequence_set(strips((0, 10), (0, 6), frames=1), [[0.9], [0.8]]))
    assert pairs(found) == {(0, 0): 0.9, (1, 0): pytest.approx(0.8 * math.exp(-0.36 / 0.5))}


def test_at_most_so_many_in_a_class():
    masks = strips(*[(5 * i, 5 * i + 5) for i in range(12)])
    scores = np.linspace(0.3, 0.9, 12)[:, None]
    found = reduce_sequences(sequence_set(masks, scores))
    assert found.rows.tolist() == list(range(11, 1, -1))
    assert [(c.sequence, c.step, c.survivor) for c in found.log] == [(0, "limit", -1), (1, "limit", -1)]
    assert found.counts.over_limit == 2
    assert len(reduce_sequences(sequence_set(masks, scores), per_category=100).rows) == 12


def test_scores_below_the_floor():
    """A copy with .005 falls to .005 exp(-2) < .001; one with no score in any class is told."""
    found = reduce_sequences(
        sequence_set(strips((0, 9), (0, 9), (20, 30)), [[0.9], [0.005], [0]]), step="aware"
    )
    assert [(c.sequence, c.step, c.category, c.survivor) for c in found.log] == [
        (2, "no_class", -1, -1),
        (1, "floor", 0, 0),
    ]
    assert (found.counts.below_floor, found.counts.without_class) == (1, 1)


def test_none_empty_and_no_frames():
    nothing = reduce_sequences(sequence_set(np.zeros((0, 2, 3, 3)), np.zeros((0, 2))))
    assert (len(nothing.sequence_set), nothing.log, nothing.counts.given) == (0, (), 0)
    assert nothing.rows.dtype == np.int64
    empty = reduce_sequences(sequence_set(np.zeros((2, 2, 3, 3)), np.full((2, 1), 0.9)))
    assert [(c.sequence, c.step, c.before, c.after) for c in empty.log] == [
        (0, "empty", 0.9, 0),
        (1, "empty", 0.9, 0),
    ]
    assert (empty.counts.empty, empty.counts.kept) == (2, 0)
    short = SequenceSet(
        AnnotatedVideo("v", 3, 3, []), empty.sequence_set.categories, (MaskSequence((), (0.9,), 0.9),)
    )
    assert [c.step for c in reduce_sequences(short).log] == ["empty"]


def test_the_best_stays_even_below_the_floor():
    found = reduce_sequences(sequence_set(strips((0, 9), (20, 30)), [[0.01], [0.02]]))
    assert pairs(found) == {(1, 0): 0.02}


def test_results_of_a_tool_there_and_back():
    """A tool's list has a sequence once for each class; so has what comes out."""
    given = annotations_of([sequence_set(strips((0, 20), (0, 12)), [[0.9, 0.3], [0.6, 0]])])
    assert len({row.track_id for row in given.objects()}) == 3
    found = reduce_sequences(sequences_of(given, "clip"))
    assert pairs(found) == {(0, 0): 0.9, (0, 1): 0.3, (1, 0): pytest.approx(0.6 * math.exp(-0.36 / 0.5))}
    written = annotations_of([found.sequence_set])
    assert sorted(set(written.track_id.tolist())) == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": "second"}, r"step must be 'both', 'agnostic', 'aware' or 'unsupervised', got 'second'"),
        ({"per_category": 0}, "per_category must be 1 or more, got 0"),
        ({"agnostic_threshold": 1.5}, "threshold must be above 0 and at most 1, got 1.5"),
        ({"agnostic_floor": math.nan}, "floor must be 0 or more, got nan"),
        ({"decay": "none"}, "decay must be one of"),
        ({"sigma": -1.0}, r"sigma must be above 0, got -1.0"),
        ({"linear_threshold": 2.0}, "threshold must be in 0..1, got 2.0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        reduce_sequences(sequence_set(strips((0, 9)), [[0.9]]), **options)


@pytest.mark.parametrize("step", ["both", "aware"])
def test_no_categories(step):
    one = MaskSequence((box_mask(3, 3, 0, 0, 2, 2),), (), 0.9)
    given = SequenceSet(AnnotatedVideo("v", 3, 3, [0]), (), (one,))
    with pytest.raises(
        ValueError, match=rf"step '{step}' reduces within each class, and the set has no categories"
    ):
        reduce_sequences(given, step=step)
    assert reduce_sequences(given, step="agnostic").rows.tolist() == [0]


@pytest.mark.slow
def test_twenty_thousand_sequences():
    """2,000 objects in a row of their own, each proposed ten times: the best of the ten stays."""
    rng = np.random.default_rng(3)
    n, width = 20_000, 2_000 * 12
    video = AnnotatedVideo("v", width, 1, [0, 1])
    who = rng.permutation(n) % 2_000
    best = rng.random(n) * 0.9 + 0.06
    masks = [box_mask(1, width, 12 * w, 0, 12 * w + 10, 1) for w in range(2_000)]
    category = sequence_set(strips((0, 1)), [[0.5, 0.5]]).categories
    given = SequenceSet(
        video,
        category,
        tuple(
            MaskSequence((masks[w],) * 2, (score, 0.0) if w % 2 else (0.0, score), score)
            for w, score in zip(who.tolist(), best.tolist(), strict=True)
        ),
    )
    found = reduce_sequences(given, per_category=1_000)
    champions = np.zeros(2_000, np.int64)
    champions[who[np.argsort(best)]] = np.argsort(best)
    assert sorted(found.rows.tolist()) == sorted(champions.tolist())
    assert found.counts.suppressed == 18_000
    assert all(change.survivor == champions[who[change.sequence]] for change in found.log)


@pytest.mark.parametrize("limit", [1_024, 0])
def test_the_log_tells_the_overlap_with_each_survivor(monkeypatch, limit):
    monkeypatch.setattr(f"{MODULE}.MATRIX_LIMIT", limit)
    masks = strips((0, 40), (0, 39), (0, 26), (60, 95), (61, 80))
    scores = [[0.9, 0.2], [0.1, 0.6], [0.78, 0.05], [0.8, 0.1], [0.3, 0.7]]
    iou = dense_iou(masks)
    log = reduce_sequences(sequence_set(masks, scores)).log
    assert {change.step for change in log} >= {"agnostic", "aware"}
    for change in log:
        if change.survivor < 0:
            assert change.iou is None
        else:
            assert change.iou == pytest.approx(iou[change.sequence][change.survivor], abs=1e-12)

"""Confusion of labels: against plain loops, against binary counts, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.masks import Rle
from evfr.metrics import (
    Confusion,
    PixelCounts,
    label_confusion,
    pixel_counts,
    summarise_confusion,
)

NAN = float("nan")


def labels(*rows) -> np.ndarray:
    return np.array([rows], np.uint8)


def test_by_hand():
    """Two classes, one pixel ignored: 5 of 8 right; class 1 shares 2 of 4, class 2 shares 1 of 3."""
    truth = labels([0, 0, 1], [1, 1, 2], [2, 255, 0])
    said = labels([0, 1, 1], [1, 2, 2], [0, 2, 0])
    found = label_confusion(truth, said, class_count=2)
    assert found.counts.tolist() == [[[2, 1, 0], [0, 2, 1], [1, 0, 1]]]
    summary = summarise_confusion(found)
    assert summary.accuracy == 5 / 8
    assert summary.class_iou == (2 / 4, 2 / 4, 1 / 3)
    assert summary.mean_iou == pytest.approx((2 / 4 + 1 / 3) / 2)
    # Any class: 4 hit (one of them as another class), 1 extra, 1 missed, 2 rejected.
    assert summary.binary == PixelCounts(4, 1, 1, 2)
    assert summary.binary.gscore == pytest.approx(4 / 5 * 4 / 5)
    assert isinstance(summary.binary.hit, int)
    data = summary.to_dict()
    assert (data["accuracy"], data["binary"]["gscore"]) == (5 / 8, pytest.approx(0.64))


def test_what_is_not_defined():
    """A class that is nowhere is NaN and not in the mean; nothing predicted is a gscore of 0; nothing judged is NaN."""
    truth = labels([1, 0], [0, 0])
    summary = summarise_confusion(label_confusion(truth, np.zeros_like(truth), class_count=3))
    assert summary.class_iou == pytest.approx((3 / 4, 0, NAN, NAN), nan_ok=True)
    assert (summary.mean_iou, summary.binary.gscore, summary.accuracy) == (0, 0, 3 / 4)
    ignored = summarise_confusion(label_confusion(np.full_like(truth, 255), truth, class_count=1))
    assert ignored.to_dict()["accuracy"] is None and ignored.to_dict()["class_iou"] == [None, None]
    none = summarise_confusion(label_confusion(truth[:0], truth[:0], class_count=1))
    assert np.isnan(none.accuracy)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 4), ignore=st.sampled_from([255, 9]))
def test_against_plain_loops(seed, classes, ignore):
    """Counts of each picture; weights 0 to 3 are repeats; parts are the whole; binary counts are those of masks."""
    rng = np.random.default_rng(seed)
    truth, said = rng.integers(0, classes + 1, (2, 4, 5, 6)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.2] = ignore
    said[(rng.random(truth.shape) < 0.5) & (truth == ignore)] = 77  # what is said there does not matter
    found = label_confusion(truth, said, class_count=classes, ignore=ignore)
    for place in range(4):
        kept = truth[place] != ignore
        pairs = list(zip(truth[place][kept].tolist(), said[place][kept].tolist(), strict=True))
        expected = [[pairs.count((a, b)) for b in range(classes + 1)] for a in range(classes + 1)]
        np.testing.assert_array_equal(found.counts[place], expected)
    parts = [
        label_confusion(truth[a:b], said[a:b], class_count=classes, ignore=ignore)
        for a, b in ((0, 3), (3, 4))
    ]
    np.testing.assert_array_equal(Confusion.merge(parts).counts, found.counts)
    weights = rng.integers(0, 4, 4)
    rows = np.repeat(np.arange(4), weights)
    again = summarise_confusion(label_confusion(truth[rows], said[rows], class_count=classes, ignore=ignore))
    assert summarise_confusion(found, weights=weights) == again or np.isnan(
        again.accuracy + sum(again.class_iou)
    )
    halves = summarise_confusion(found, weights=weights / 2)
    np.testing.assert_allclose(halves.class_iou, again.class_iou)
    np.testing.assert_allclose(
        [getattr(halves.binary, name) for name in ("accuracy", "iou", "gscore")],
        [getattr(again.binary, name) for name in ("accuracy", "iou", "gscore")],
    )
    assert halves.binary.hit == again.binary.hit / 2
    masks = [Rle.from_mask(((side > 0) & (truth != ignore)).reshape(-1, 6)) for side in (truth, said)]
    counts, binary = pixel_counts(*masks), summarise_confusion(found).binary
    assert (counts.hit, counts.extra, counts.missed) == (binary.hit, binary.extra, binary.missed)


@pytest.mark.parametrize(
    ("truth", "said", "options", "text"),
    [
        (np.zeros((1, 2), np.uint8), None, {}, r"truth must be \(F, H, W\) uint8, got \(1, 2\) uint8"),
        (None, np.zeros((1, 2, 3), bool), {}, r"predicted must be \(F, H, W\) uint8, got \(1, 2, 3\) bool"),
        (None, np.zeros((1, 3, 2), np.uint8), {}, r"one shape, got \(1, 2, 3\) and \(1, 3, 2\)"),
        (
            None,
            None,
            {"class_count": 0},
            "class_count must be 1 to 254 and ignore from there to 255, got 0 and 255",
        ),
        (None, None, {"ignore": 2}, "class_count must be 1 to 254 and ignore from there to 255, got 2 and 2"),
        (
            np.full((1, 2, 3), 3, np.uint8),
            None,
            {},
            "picture 0: the truth has the value 3 at a pixel that counts",
        ),
        (
            None,
            np.full((1, 2, 3), 255, np.uint8),
            {},
            "picture 0: the prediction has the value 255 at a pixel that",
        ),
    ],
)
def test_wrong_labels(truth, said, options, text):
    blank = np.zeros((1, 2, 3), np.uint8)
    arguments = [blank if item is None else item for item in (truth, said)]
    with pytest.raises(ValueError, match=text):
        label_confusion(*arguments, **{"class_count": 2, **options})


def test_wrong_counts():
    one = Confusion(np.ones((2, 3, 3), np.int64))
    assert repr(one) == "Confusion(2 pictures, 2 classes)"
    with pytest.raises(ValueError, match="there is nothing to merge"):
        Confusion.merge([])
    with pytest.raises(ValueError, match=r"one number of classes to be merged, got \[1, 2\]"):
        Confusion.merge([one, Confusion(np.ones((2, 2, 2), np.int64))])
    with pytest.raises(
        ValueError, match=r"counts must be \(F, C\+1, C\+1\) with one class or more, got \(2, 3\)"
    ):
        Confusion(np.ones((2, 3), np.int64))
    with pytest.raises(ValueError, match="counts must be 0 or more, got -1"):
        Confusion(-one.counts)
    with pytest.raises(ValueError, match="weights must be 2 finite numbers of 0 or more"):
        summarise_confusion(one, weights=[1])

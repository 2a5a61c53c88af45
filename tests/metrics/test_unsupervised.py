"""DAVIS 2019 unsupervised: proposals are matched to objects; against brute force over dense masks."""

from __future__ import annotations

import builtins
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.errors import AnnotationError, MissingExtraError
from evfr.metrics import (
    boundary_f,
    boundary_pixels,
    boundary_radius,
    davis_scores,
    mask_scores,
    pick_proposals,
    unsupervised_scores,
)

H, W = 40, 60


def square(x: int, y: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def labels(rows, frames=3, size=(H, W)) -> VideoAnnotations:
    """Make labels of (frame, track, mask) or (frame, track, mask, score)."""
    video = AnnotatedVideo("v", size[1], size[0], np.arange(frames))
    found = [
        ObjectRow(
            "v", row[0], 1, row[1], mask=Rle.from_mask(row[2]), score=row[3] if len(row) > 3 else math.nan
        )
        for row in rows
    ]
    return VideoAnnotations.build([video], [Category(1, "thing")], found)


def plain_f(truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the boundary F-measure by distance maps."""
    a, b = boundary_pixels(truth), boundary_pixels(mask)
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    radius = boundary_radius(H, W)
    precision = (distance_transform_edt(~a)[b] <= radius).mean()
    recall = (distance_transform_edt(~b)[a] <= radius).mean()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def plain(truth: np.ndarray, proposals: np.ndarray, void: np.ndarray) -> float:
    """Return the best mean J&F over all assignments; (G, T, H, W), (P, T, H, W), (T, H, W) dense."""
    if len(proposals) < len(truth):
        more = np.zeros((len(truth) - len(proposals), *truth.shape[1:]), bool)
        proposals = np.concatenate([proposals, more])
    truth, proposals = truth & ~void, proposals & ~void
    gain = np.zeros((len(proposals), len(truth)))
    for p, g in np.ndindex(gain.shape):
        j, f = [], []
        for a, b in zip(truth[g], proposals[p], strict=True):
            j.append((a & b).sum() / (a | b).sum() if (a | b).any() else 1.0)
            f.append(plain_f(a, b))
        gain[p, g] = (np.mean(j) + np.mean(f)) / 2
    pairs = itertools.permutations(range(len(proposals)), len(truth))
    return max(np.mean([gain[p, g] for g, p in enumerate(chosen)]) for chosen in pairs)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), objects=st.integers(1, 3), count=st.integers(0, 4), has_void=st.booleans()
)
def test_against_brute_force(seed, objects, count, has_void):
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 4))

    def draw(n):
        out = np.zeros((n, frames, H, W), bool)
        for k, t in np.ndindex(n, frames):
            if rng.random() < 0.8:
                out[k, t] = square(
                    int(rng.integers(0, 50)), int(rng.integers(0, 30)), int(rng.integers(3, 20))
                )
        # Earlier ones own the pixels they share, as in one picture of numbers.
        for k in range(1, n):
            out[k] &= ~out[:k].any(axis=0)
        return out

    truth, guesses = draw(objects), draw(count)
    void = draw(1)[0] & ~truth.any(axis=0) if has_void else np.zeros((frames, H, W), bool)
    rows = [(t, k + 1, truth[k, t]) for k, t in np.ndindex(objects, frames)]
    true_labels = labels(rows, frames)
    crowd = [
        ObjectRow("v", t, 1, NO_TRACK, mask=Rle.from_mask(void[t]), is_crowd=True)
        for t in range(frames)
        if void[t].any()
    ]
    true_labels = VideoAnnotations.build(
        true_labels.videos, true_labels.categories, [*true_labels.objects(), *crowd]
    )
    found = labels([(t, 50 - k, guesses[k, t], 0.5) for k, t in np.ndindex(count, frames)], frames)
    scores = unsupervised_scores(true_labels, found, "v")
    assert davis_scores(scores, without_ends=False).j_and_f == pytest.approx(
        plain(truth, guesses, void), abs=1e-12
    )


def test_tracks_need_not_be_the_same():
    """The truth under other numbers, with distractors, is perfect; F equals `boundary_f` frame by frame."""
    rows = [(t, k, square(5 + 30 * k + t, 5)) for t in range(3) for k in (0, 1)]
    truth = labels(rows)
    renamed = labels([(t, 9 - k, mask, 0.9) for t, k, mask in rows] + [(0, 4, square(20, 25), 0.99)])
    assert davis_scores(unsupervised_scores(truth, renamed, "v"), without_ends=False).j_and_f == 1.0
    moved = labels([(t, 9 - k, np.roll(mask, 2, axis=1), 0.9) for t, k, mask in rows])
    same = labels([(t, k, np.roll(mask, 2, axis=1), 0.9) for t, k, mask in rows])
    got, expected = unsupervised_scores(truth, moved, "v"), mask_scores(truth, same, "v")
    for name in (
        "region",
        "boundary",
        "area",
        "track_id",
        "frame_index",
        "is_end",
        "is_given",
        "category_row",
    ):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    assert got.boundary[0] == boundary_f(*(Rle.from_mask(np.roll(rows[0][2], s, axis=1)) for s in (0, 2)))


def test_an_object_without_a_proposal():
    """Two objects, one proposal: the other scores 0 where it is there, 1 in the frame where it is not."""
    truth = labels([(t, 1, square(0, 0)) for t in range(3)] + [(t, 2, square(30, 20)) for t in range(2)])
    scores = unsupervised_scores(truth, labels([(t, 7, square(0, 0), 1.0) for t in range(3)]), "v")
    assert scores.region.tolist() == [1, 1, 1, 0, 0, 1]
    assert scores.boundary.tolist() == [1, 1, 1, 0, 0, 1]
    nobody = unsupervised_scores(labels([]), truth, "v")
    assert len(nobody) == 0


def test_beyond_the_limit_and_overlaps():
    rows = [(0, k, square(3 * k, 0, 3), k / 10) for k in range(1, 6)]
    found = pick_proposals(labels(rows), "v", 3)
    assert sorted(set(found.labels.track_id.tolist())) == [3, 4, 5]
    assert (found.left_out, found.overlap_count) == ((2, 1), 0)
    assert repr(found) == "Proposals(3 kept, 2 left out, 0 pixels given away)"
    # Equal scores: the smaller track is better, and keeps the pixels.
    pair = labels([(0, 8, square(0, 0), 0.5), (0, 3, square(5, 0), 0.5)])
    owner = pick_proposals(pair, "v")
    areas = dict(zip(owner.labels.track_id.tolist(), [mask.area for mask in owner.labels.masks], strict=True))
    assert (areas, owner.overlap_count) == ({3: 100, 8: 50}, 50)
    better = labels([(0, 8, square(0, 0), 0.6), (0, 3, square(5, 0), 0.5)])
    assert [mask.area for mask in pick_proposals(better, "v").labels.masks] == [100, 50]
    with pytest.raises(
        AnnotationError, match="5 proposals are more than 3, and track 1 has no score to choose by"
    ):
        pick_proposals(labels([row[:3] for row in rows]), "v", 3)
    with pytest.raises(AnnotationError, match="frame 0: proposals share pixels, and track 3 has no score"):
        pick_proposals(labels([(0, 8, square(0, 0)), (0, 3, square(5, 0))]), "v")
    apart = pick_proposals(labels([row[:3] for row in rows]), "v")
    assert (len(apart.labels), apart.overlap_count) == (5, 0)
    with pytest.raises(ValueError, match="limit of proposals must be 1 or more, got 0"):
        pick_proposals(labels([]), "v", 0)


def test_wrong_labels(monkeypatch):
    good = labels([(0, 1, square(0, 0), 0.5)])
    with pytest.raises(AnnotationError, match="the prediction has no video 'w'"):
        unsupervised_scores(VideoAnnotations.build([AnnotatedVideo("w", W, H, [0])], [], []), good, "w")
    with pytest.raises(AnnotationError, match="says nothing about 1 of 3 frames"):
        unsupervised_scores(good, labels([], frames=2), "v")
    with pytest.raises(AnnotationError, match="there is no frame to score; the truth annotates 0"):
        unsupervised_scores(labels([], frames=0), labels([], frames=0), "v")
    video = good.videos
    boxed = VideoAnnotations.build(video, good.categories, [ObjectRow("v", 1, 1, 4, (0, 0, 5, 5))])
    with pytest.raises(
        AnnotationError, match="frame 1: track 4 of the prediction has no mask; J and F need one"
    ):
        unsupervised_scores(good, boxed, "v")
    with pytest.raises(AnnotationError, match="frame 1: track 4 of the truth has no mask"):
        unsupervised_scores(boxed, good, "v")
    loose = VideoAnnotations.build(
        video, good.categories, [ObjectRow("v", 0, 1, mask=Rle.from_mask(square(0, 0)))]
    )
    with pytest.raises(AnnotationError, match="the prediction has an object without a track"):
        unsupervised_scores(good, loose, "v")
    with pytest.raises(AnnotationError, match="the truth has an object without a track"):
        unsupervised_scores(loose, good, "v")
    real = builtins.__import__

    def fail(name, *rest, **more):
        if name == "scipy.optimize":
            raise ModuleNotFoundError("no", name="scipy")
        return real(name, *rest, **more)

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(MissingExtraError, match=r"pip install 'evfr\[metrics\]'"):
        unsupervised_scores(good, good, "v")

"""Cuts on real clips whose cuts are known, and the detector's rule by small arrays."""

from __future__ import annotations

import math

import av
import numpy as np
import pytest

from evfr.embeddings import make_embedder
from evfr.signals import block_means, content_change, cuts_from_embeddings, find_cuts, score_frames
from helpers.views import luma_of, texture

BIKES = [30, 76, 137, 187, 242]
"""README of the clips lists four; frame 76 (a taxi sign, then a cyclist behind a van) is a hard cut as well."""


def cuts_of(path, limit=None):
    return find_cuts(score_frames(luma_of(path, limit), {}).content).tolist()


def test_finds_every_cut_of_the_bikes_clip(data_dir):
    assert cuts_of(data_dir / "video" / "bikes_cuts.mp4") == BIKES


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("driving_highway.mp4", None),
        ("basketball.mp4", None),
        ("cars_topdown.mp4", None),
        ("bottles.mp4", 200),
        ("people_one_by_one.mp4", 200),
        ("flies_clip.mp4", 60),
    ],
)
def test_finds_no_cut_where_there_is_none(data_dir, name, limit):
    assert cuts_of(data_dir / "video" / name, limit) == []


def interleaved_truth():
    """The clip alternates two scenes with shots of 1, 1, 2, 2, ..., 14, 14 frames, then starts again.

    All 1,700 frames were looked at on contact sheets with these 237 cuts marked: each is one, and none is
    unmarked. In two places a source clip runs out and its round ends after 12, 12, 12, 12.
    """
    rounds = [14, 14, 12, 14, 14, 12, 14, 14, 8]
    lengths = []
    for number, longest in enumerate(rounds):
        lengths += [length for length in range(1, longest + 1) for _ in range(2)]
        if longest == 12:
            lengths += [12, 12]
        if number == 8:
            lengths += [4]
    return np.cumsum(lengths)


def test_finds_shots_of_a_single_frame(data_dir):
    found = cuts_of(data_dir / "video" / "interleaved_scenes.264")
    truth = [cut for cut in interleaved_truth().tolist() if cut < 1700]
    assert found == truth


def test_a_cut_must_stand_out_from_its_surroundings():
    quiet = [0.02] * 8
    np.testing.assert_array_equal(find_cuts([*quiet, 0.5, *quiet, 0.0]), [9])
    np.testing.assert_array_equal(find_cuts([0.5] * 20 + [0.0]), [])
    np.testing.assert_array_equal(find_cuts([*quiet, 0.34, *quiet, 0.0]), [])
    np.testing.assert_array_equal(find_cuts([*quiet, 0.34, *quiet, 0.0], threshold=0.3), [9])
    np.testing.assert_array_equal(find_cuts([0.3] * 8 + [0.6] + [0.3] * 8 + [0.0]), [])
    np.testing.assert_array_equal(find_cuts([0.3] * 8 + [0.6] + [0.3] * 8 + [0.0], ratio=2), [9])


def test_alternating_shots_do_not_hide_each_other():
    np.testing.assert_array_equal(find_cuts([0.9, 0.02, 0.9, 0.02, 0.9, 0.02, 0.0]), [1, 3, 5])
    pairs = [0.9, 0.9, 0.02, 0.9, 0.9, 0.02, 0.9, 0.0]
    np.testing.assert_array_equal(find_cuts(pairs), [1, 2, 4, 5, 7])


def test_a_flash_alone_is_no_cut():
    quiet = [0.02] * 8
    for inside in ([0.9, 0.8], [0.9, 0.03, 0.8]):
        assert find_cuts([*quiet, *inside, *quiet, 0.0]).tolist() == []
    assert find_cuts([*quiet, 0.9, 0.02, 0.02, 0.9, *quiet, 0.0]).tolist() == [9, 12]
    assert find_cuts([*quiet, 0.9, 0.5, *quiet, 0.0]).tolist() == [9, 10]
    assert find_cuts([*quiet, 0.9, 0.8, *quiet[:5], 0.9, *quiet, 0.0]).tolist() == [9, 10, 16]
    assert find_cuts([*quiet, 0.9, 0.8, *quiet, 0.9, *quiet, 0.0]).tolist() == [19]
    assert find_cuts([*quiet[:5], 0.9, 0.8, *quiet, 0.0]).tolist() == [6, 7]
    assert find_cuts([*quiet, 0.9, 0.8, *quiet[:5], 0.0]).tolist() == [9, 10]


@pytest.mark.parametrize("name", ["hsv", "hog"])
def test_finds_the_cuts_of_the_bikes_clip_by_embeddings(data_dir, name):
    with av.open(str(data_dir / "video" / "bikes_cuts.mp4")) as container:
        rows = make_embedder(name)(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
    assert cuts_from_embeddings(rows).tolist() == BIKES
    assert cuts_from_embeddings(rows.astype(np.float16)).tolist() == BIKES


def test_cuts_from_embeddings_by_hand():
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(4), [9, 8, 12, 20], axis=0) + rng.normal(0, 0.01, (49, 4))
    assert cuts_from_embeddings(rows).tolist() == [9, 17, 29]
    assert cuts_from_embeddings(rows * rng.uniform(0.1, 10, (49, 1))).tolist() == [9, 17, 29]
    assert cuts_from_embeddings(rows, threshold=1.5).tolist() == []
    assert cuts_from_embeddings(np.ones((30, 3))).tolist() == []
    small = np.ones((30, 3)) + np.repeat([[0.0], [0.1]], 15, axis=0) * [1, 0, 0]
    assert cuts_from_embeddings(small).tolist() == []
    assert cuts_from_embeddings(small, threshold=0.0005).tolist() == [15]
    rows[9] = np.nan
    rows[17] = 0
    assert cuts_from_embeddings(rows).tolist() == [29]
    assert cuts_from_embeddings(np.zeros((3, 2))).tolist() == []
    for count in (0, 1):
        assert cuts_from_embeddings(np.ones((count, 3))).dtype == np.int64
        assert len(cuts_from_embeddings(np.ones((count, 3)))) == 0


def test_unmeasured_pairs_and_the_last_entry_are_no_cuts():
    np.testing.assert_array_equal(find_cuts([0.02, math.nan, 0.9, math.nan, 0.02, 0.9]), [3])
    assert find_cuts([]).dtype == np.int64
    np.testing.assert_array_equal(find_cuts([0.9]), [])
    np.testing.assert_array_equal(find_cuts([0.9, 0.0]), [1])


def test_content_change_is_relative_to_contrast():
    a, b = texture(90, 160, 1), texture(90, 160, 2)
    full = content_change(block_means(a), block_means(b))
    faint = content_change(block_means(a // 16), block_means(b // 16))
    assert full > 0.35
    assert 0 < faint < full
    assert content_change(block_means(a), block_means(a)) == 0.0
    assert content_change(block_means(a), block_means(b)) == content_change(block_means(b), block_means(a))


def test_block_means_by_hand():
    small = np.arange(15, dtype=np.uint8).reshape(3, 5)
    np.testing.assert_array_equal(block_means(small), small)
    grey = texture(33, 50)
    means = block_means(grey)
    assert means.shape == (16, 16)
    assert means[0, 0] == grey[0:2, 0:3].mean()
    assert means[15, 15] == grey[30:33, 46:50].mean()


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"content must be \(N,\), got shape \(1, 1\)"):
        find_cuts([[1.0]])
    with pytest.raises(ValueError, match="threshold must be above 0, got 0"):
        find_cuts([1.0], threshold=0)
    with pytest.raises(ValueError, match=r"ratio must be 1 or more, got 0\.5"):
        find_cuts([1.0], ratio=0.5)
    with pytest.raises(ValueError, match=r"embeddings must be \(N, D\), got shape \(3,\)"):
        cuts_from_embeddings(np.ones(3))
    with pytest.raises(ValueError, match="threshold must be above 0, got 0"):
        cuts_from_embeddings(np.ones((3, 2)), threshold=0)
    with pytest.raises(ValueError, match=r"ratio must be 1 or more, got 0\.5"):
        cuts_from_embeddings(np.ones((3, 2)), ratio=0.5)
    with pytest.raises(ValueError, match=r"one size, got \(2, 2\) and \(1, 2\)"):
        content_change(np.zeros((2, 2)), np.zeros((1, 2)))

"""Cuts on real clips whose cuts are known, and the detector's rule by small arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evfr.signals import block_means, content_change, find_cuts, score_frames
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

    Read off the pictures by eye for the first 160 frames; the rest follows the same rule, with two places
    where a source clip runs out and its round ends after 12, 12, 12, 12.
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
    with pytest.raises(ValueError, match=r"one size, got \(2, 2\) and \(1, 2\)"):
        content_change(np.zeros((2, 2)), np.zeros((1, 2)))

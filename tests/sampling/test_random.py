from __future__ import annotations

import numpy as np

from evfr.sampling import random


def test_inclusion_over_5000_draws():
    counts = np.zeros(12)
    for seed in range(5_000):
        counts[random(np.ones(12), 5, seed=seed).indices] += 1
    # Four standard deviations of a share over 5,000 draws.
    assert np.abs(counts / 5_000 - 5 / 12).max() < 4 * np.sqrt(5 / 12 * 7 / 12 / 5_000)
    np.testing.assert_array_equal(random(np.ones(12), 5).inclusion, 5 / 12)


def test_ignores_the_weights_but_counts_nan():
    plain = random(np.ones(50), 7, seed=3)
    odd = random([0.0] * 25 + [float("nan")] * 25, 7, seed=3)
    assert plain.indices.tolist() == odd.indices.tolist()
    assert (plain.nan_count, odd.nan_count) == (0, 25)


def test_a_frame_keeps_its_key_when_the_video_grows():
    small, large = random(np.ones(40), 40, seed=9), random(np.ones(60), 60, seed=9)
    assert [i for i in large.order.tolist() if i < 40] == small.order.tolist()

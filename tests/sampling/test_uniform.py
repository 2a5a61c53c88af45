from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from evfr.errors import ConstraintError
from evfr.sampling import uniform


def brute_force(n_frames: int, n: int, phase: Fraction) -> list[int]:
    """Walk along the frames and take each one whose cell [i, i + 1) holds a point (k N + phase) / n."""
    points = [Fraction(k * n_frames + phase, n) for k in range(n)]
    return [i for i in range(n_frames) if any(i <= p < i + 1 for p in points)]


@pytest.mark.parametrize("start", ["first", "middle"])
def test_against_brute_force_rational_arithmetic(start):
    for n_frames in range(1, 28):
        for n in range(1, n_frames + 1):
            # The middle of the first of n stretches of N / n frames lies at N / 2n.
            phase = Fraction(0) if start == "first" else Fraction(n_frames, 2)
            got = uniform(np.ones(n_frames), n, start=start).indices.tolist()
            assert got == brute_force(n_frames, n, phase)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7, 10])
@pytest.mark.parametrize("n_frames", [1, 6, 7, 100, 203])
def test_stride_is_the_slice_of_the_paper(n_frames, stride):
    n = -(-n_frames // stride)
    sample = uniform(np.ones(n_frames), n, stride=stride)
    assert sample.indices.tolist() == list(range(n_frames))[::stride]
    assert len(sample) == n
    np.testing.assert_array_equal(sample.inclusion, 1 / stride)


def test_random_start_includes_every_frame_alike():
    """Over all N phases each frame is taken exactly n times: the inclusion probability is n / N without error."""
    n_frames, n = 23, 9
    counts = Counter(i for phase in range(n_frames) for i in brute_force(n_frames, n, Fraction(phase)))
    assert set(counts.values()) == {n}
    seen = Counter()
    for seed in range(400):
        sample = uniform(np.ones(n_frames), n, seed=seed, start="random")
        seen.update(sample.indices.tolist())
        np.testing.assert_array_equal(sample.inclusion, n / n_frames)
    assert len(seen) == n_frames
    assert max(abs(count / 400 - n / n_frames) for count in seen.values()) < 0.1


def test_steps_differ_by_one_at_most():
    steps = np.diff(uniform(np.ones(216_000), 21_601).indices)
    assert set(steps.tolist()) == {9, 10}


def test_every_prefix_of_the_rank_is_spread():
    sample = uniform(np.ones(1024), 64)
    first = sample.indices[sample.rank < 8]
    assert first.tolist() == [0, 128, 256, 384, 512, 640, 768, 896]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "last"}, "start must be 'first', 'middle' or 'random', got 'last'"),
        ({"stride": 0}, "stride must be 1 or more, got 0"),
        ({"stride": 3}, "stride=3 takes 4 of 10 frames, n is 5"),
        ({"stride": 2, "start": "middle"}, "leave start at 'first', got 'middle'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        uniform(np.ones(10), 5, **options)


def test_too_many():
    with pytest.raises(ConstraintError, match="n=11 is more than the 10 frames that can be selected"):
        uniform(np.ones(10), 11)

"""Which frames an arm trains on, counted by hand on clips of known numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from evfr._core.labelled import LabelledClip
from evfr.errors import InputError
from evfr.experiments import Arm
from evfr.experiments._subsets import ClipMeasures, choose, cut_clips, instance_counts

SIZE = (24, 32)


def clip(name: str, frames: int, *, moving: slice = slice(0, 0), first: int = 0) -> LabelledClip:
    """Return a grey clip whose picture changes only over ``moving``; every frame has one object of class t % 2."""
    rng = np.random.default_rng(0)
    images = np.full((frames, *SIZE, 3), 100, np.uint8)
    for t in range(frames)[moving]:
        images[t] = rng.integers(0, 255, (*SIZE, 3), np.uint8)
    ids = np.zeros((frames, *SIZE), np.uint8)
    ids[:, 2:6, 2:6] = 1
    category = np.array([[t % 2] for t in range(frames)], np.int16)
    return LabelledClip(name, first + np.arange(frames), images, ids, category, ("even", "odd"))


def chosen(arm: Arm, clips: list[LabelledClip], seed: int = 0) -> dict[int, list[int]]:
    return {row: places.tolist() for row, places in choose(arm, clips, ClipMeasures(clips), seed).items()}


def test_strides_round_up_in_each_clip() -> None:
    clips = [clip("a", 11), clip("b", 5)]
    assert chosen(Arm("x", stride=5), clips) == {0: [0, 5, 10], 1: [0]}
    assert chosen(Arm("x", stride=1), clips) == {0: list(range(11)), 1: list(range(5))}


@pytest.mark.parametrize("sampler", ["random", "adaptive", "systematic", "auto", "farthest"])
def test_every_sampler_takes_as_many_as_its_stride(sampler: str) -> None:
    signal = "flow" if sampler in ("adaptive", "systematic", "auto") else "none"
    clips = [clip("a", 11, moving=slice(3, 8)), clip("b", 7)]
    found = chosen(Arm("x", stride=3, sampler=sampler, signal=signal), clips)
    assert {row: len(places) for row, places in found.items()} == {0: 4, 1: 3}


@pytest.mark.parametrize("signal", ["flow", "ssim", "feature", "difference"])
def test_weighted_frames_come_from_where_the_picture_changes(signal: str) -> None:
    clips = [clip("a", 40, moving=slice(20, 30))]
    found = chosen(Arm("x", n=6, sampler="adaptive", signal=signal), clips)[0]
    assert all(18 <= place <= 30 for place in found)


def test_a_budget_is_divided_by_length_and_positions_are_places() -> None:
    clips = [clip("a", 30, first=100), clip("b", 10)]
    found = chosen(Arm("x", n=8), clips)
    assert {row: len(places) for row, places in found.items()} == {0: 6, 1: 2}
    assert chosen(Arm("x", positions=(0, 4)), clips) == {0: [0, 4], 1: [0, 4]}


def test_more_clips_hold_those_of_fewer() -> None:
    clips = [clip(f"c{row}", 6) for row in range(8)]
    sets = [set(chosen(Arm("x", per_clip=2, clips=count), clips, seed=3)) for count in (1, 2, 4, 8)]
    assert [len(rows) for rows in sets] == [1, 2, 4, 8]
    assert all(a < b for a, b in pairwise(sets))
    drawn = {tuple(sorted(chosen(Arm("x", per_clip=2, clips=2), clips, seed))) for seed in range(12)}
    assert len(drawn) > 3


def test_seeds_draw_and_fixed_arms_do_not() -> None:
    clips = [clip("a", 60)]
    arm = Arm("x", stride=5, sampler="random")
    assert arm.is_drawn and chosen(arm, clips, 0) != chosen(arm, clips, 1)
    assert chosen(arm, clips, 1) == chosen(arm, clips, 1)
    for fixed in (Arm("x", stride=5), Arm("x", positions=(0, 1))):
        assert not fixed.is_drawn and chosen(fixed, clips, 0) == chosen(fixed, clips, 1)


def test_noised_copies_have_the_deviation_of_their_own_window() -> None:
    clips = [clip("a", 12, moving=slice(4, 8))]
    arm = Arm("x", positions=(0, 4, 8), copies=4, noise_window=4)
    (part,) = cut_clips(arm, clips, choose(arm, clips, ClipMeasures(clips), 0))
    assert part.copies == 4 and part.noise_std is not None and part.frame_index.tolist() == [0, 4, 8]
    assert not part.noise_std[0].any() and not part.noise_std[2].any()
    np.testing.assert_allclose(part.noise_std[1], clips[0].images[4:8].std(axis=0), atol=0.6, rtol=0.2)


def test_instances_are_counted_by_class() -> None:
    clips = [clip("a", 10), clip("b", 4)]
    arm = Arm("x", stride=2)
    assert instance_counts(clips, choose(arm, clips, ClipMeasures(clips), 0)) == {
        "a": {"even": 5, "odd": 0},
        "b": {"even": 2, "odd": 0},
    }


@pytest.mark.parametrize(
    ("arm", "match"),
    [
        (Arm("x", per_clip=9), "wants 9 labelled frames of b, which has 4"),
        (Arm("x", n=15), "wants 15 frames and there are 14 labelled ones"),
        (Arm("x", per_clip=1, clips=3), "wants 3 clips and there are 2"),
        (Arm("x", positions=(0, 5)), "wants 6 labelled frames of each clip, and b has 4"),
        (Arm("x", positions=(2,), copies=3, noise_window=3), "wants 5 labelled frames of each clip"),
    ],
)
def test_what_clips_do_not_have(arm: Arm, match: str) -> None:
    with pytest.raises(InputError, match=match):
        chosen(arm, [clip("a", 10), clip("b", 4)])

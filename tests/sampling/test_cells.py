"""Floors over time: each stretch inside one scene, at least one usable frame each, equal durations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.sampling._cells import time_cells


def test_every_scene_gets_one_and_long_ones_more():
    assert time_cells(100, 5, cuts=[10, 20]) == (0, 10, 20, 47, 74)


def test_time_not_frames_divides():
    # The second half of the frames lasts nine times as long.
    times = np.concatenate([np.arange(10) * 0.1, 1.0 + np.arange(10) * 0.9])
    assert time_cells(20, 2, times=times) == (0, 14)


def test_too_few_for_the_scenes_divides_the_whole():
    assert time_cells(90, 3, cuts=[1, 2, 3, 4, 5]) == (0, 30, 60)


def test_a_scene_without_usable_frames_has_no_floor():
    good = np.ones(30, bool)
    good[10:20] = False
    assert time_cells(30, 4, cuts=[10, 20], usable=good) == (0, 5, 20, 25)
    assert time_cells(30, 2, cuts=[10, 20], usable=good) == (0, 20)
    good[:20] = False
    assert time_cells(30, 2, cuts=[10, 20], usable=good) == (0, 25)
    assert time_cells(30, 2, usable=np.zeros(30, bool)) == ()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_cells_are_within_scenes_and_hold_usable_frames(data):
    n = data.draw(st.integers(1, 60))
    good = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    cuts = sorted(data.draw(st.sets(st.integers(1, n), max_size=6)) - {n})
    count = data.draw(st.integers(0, n))
    times = np.cumsum(data.draw(st.lists(st.floats(0, 2), min_size=n, max_size=n)))
    cells = time_cells(n, count, times=times, cuts=cuts, usable=good)
    if not good.any() or count == 0:
        assert cells == ()
        return
    assert cells[0] == 0
    assert len(cells) <= count
    assert list(cells) == sorted(set(cells))
    for a, b in zip(cells, [*cells[1:], n], strict=True):
        assert good[a:b].any()
    scenes = [s for s in np.split(np.arange(n), cuts) if good[s].any()]
    if count >= len(scenes):
        for scene in scenes:
            usable = scene[good[scene]]
            # Some stretch lies wholly among this scene's usable frames: the scene cannot be passed over.
            assert any(
                set(np.flatnonzero(good[a:b]) + a) <= set(usable.tolist())
                for a, b in zip(cells, [*cells[1:], n], strict=True)
            )


def test_a_floor_per_scene_holds_whatever_the_count():
    assert time_cells(30, 0, cuts=[10, 20], per_scene=2) == (0, 5, 10, 15, 20, 25)
    assert time_cells(12, 0, cuts=[2], per_scene=4) == (0, 1, 2, 5, 7, 10)


def test_bad_arguments():
    with pytest.raises(ValueError, match="n_frames, count and per_scene must be 0 or more, got 3, -1 and 0"):
        time_cells(3, -1)
    with pytest.raises(ValueError, match=r"usable must be \(3,\) bool, got \(2,\)"):
        time_cells(3, 1, usable=np.ones(2, bool))
    with pytest.raises(ValueError, match=r"times must be \(3,\) finite seconds, got shape \(3,\)"):
        time_cells(3, 1, times=[0.0, np.nan, 1.0])

"""Stretches between labelled frames, and their pictures in one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evfr.errors import ProblemCode, VideoError
from evfr.verbs._carry import held_out_frames
from evfr.verbs._carry_frames import Joined, Pictures, Stretch, plan_stretches, stretch_pictures
from evfr.video import frames, scan
from helpers.clips import moving_square, write_clip


@pytest.mark.parametrize(
    ("labeled", "count", "expected"),
    [
        ([0], 1, [(0, 0, True, False)]),
        ([0], 5, [(0, 4, True, False)]),
        ([4], 5, [(0, 4, False, True)]),
        ([2], 5, [(0, 2, False, True), (2, 4, True, False)]),
        ([0, 1, 4], 5, [(0, 1, True, True), (1, 4, True, True)]),
    ],
)
def test_stretches_cover_the_video_and_share_labelled_frames(
    labeled: list[int], count: int, expected: list[tuple[int, int, bool, bool]]
) -> None:
    assert plan_stretches(labeled, count) == [Stretch(*item) for item in expected]


@pytest.mark.parametrize(
    ("labeled", "most", "expected"),
    [([0, 10], 3, []), ([0, 5, 10], 3, [5]), (list(range(12)), 3, [2, 6, 9]), ([0, 5, 10], 0, [])],
)
def test_held_out_frames_are_spread_and_never_at_an_end(
    labeled: list[int], most: int, expected: list[int]
) -> None:
    assert held_out_frames(labeled, most) == expected


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", moving_square(20))


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_pictures_are_those_of_the_video(clip: Path, memory: int) -> None:
    table, _, _ = scan(clip)
    whole = [frame.image for frame in frames(clip)]
    stretches = plan_stretches([3, 4, 11], len(table))
    seen = []
    for number, pictures in stretch_pictures(
        clip, stretches, table, damaged="drop", wanted=[True] * 4, memory_bytes=memory
    ):
        assert pictures is not None and pictures.is_on_disk is (memory == 0)
        stretch = stretches[number]
        assert len(pictures) == len(stretch) and pictures.is_usable.all()
        for t in range(len(pictures)):
            assert np.array_equal(pictures[t], whole[stretch.first + t])
        seen.append(number)
    assert seen == [0, 1, 2, 3]


def test_only_wanted_stretches_have_pictures_and_a_wanted_one_has_its_first_frame(clip: Path) -> None:
    table, _, _ = scan(clip)
    whole = [frame.image for frame in frames(clip)]
    stretches = plan_stretches([3, 4, 11], len(table))
    found = dict(stretch_pictures(clip, stretches, table, damaged="drop", wanted=[False, False, True, False]))
    assert [found[k] is None for k in range(4)] == [True, True, False, True]
    assert found[2] is not None and np.array_equal(found[2][0], whole[4])
    none = dict(stretch_pictures(clip, stretches, table, damaged="drop", wanted=[False] * 4))
    assert list(none.values()) == [None] * 4


def test_a_frame_that_did_not_decode_has_a_stand_in_and_is_not_usable() -> None:
    pictures = Pictures(4, 2, 3)
    for t in (0, 1):
        pictures.put(t, np.full((2, 3, 3), 10 + t, np.uint8), is_usable=True)
    pictures.finish(np.array([True, True, False, False]))
    assert pictures[3].tolist() == pictures[1].tolist() and pictures.is_usable.tolist() == [
        True,
        True,
        False,
        False,
    ]
    nothing = Pictures(1, 2, 3)
    nothing.finish(np.array([False]))
    assert nothing[0].max() == 128


def test_two_stretches_as_one() -> None:
    joined = Joined([1, 2, 3], [3, 4])
    assert len(joined) == 4 and list(joined) == [1, 2, 3, 4] and joined[-1] == 4 and joined[1:3] == [2, 3]
    with pytest.raises(IndexError, match="range"):
        joined[4]


def test_a_file_that_changed_is_an_error(clip: Path, tmp_path: Path) -> None:
    table, _, _ = scan(clip)
    other = write_clip(tmp_path / "other.mp4", moving_square(20, seed=1))
    with pytest.raises(VideoError, match="changed while it was read") as caught:
        list(stretch_pictures(other, plan_stretches([0], len(table)), table, damaged="drop", wanted=[True]))
    assert caught.value.problem.code == ProblemCode.E_CHANGED

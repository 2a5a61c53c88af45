"""Sheets hold the right pictures and keep to their budget."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr.reports import PackedThumbnails, Sheet, Thumbnails, pack_thumbnails, thumbnail_frames
from evfr.reports._thumbnails import share_budget
from helpers.report_data import scene


def cells(packed: PackedThumbnails) -> dict[int, tuple[Sheet, Any]]:
    """Cut every sheet into its pictures, by frame."""
    found = {}
    for sheet in packed.sheets:
        image = np.asarray(Image.open(io.BytesIO(sheet.jpeg)))
        for place, frame in enumerate(sheet.frame_index.tolist()):
            top = place // sheet.columns * sheet.cell_height
            left = place % sheet.columns * sheet.cell_width
            found[frame] = (sheet, image[top : top + sheet.height, left : left + sheet.width])
    return found


def flat(frames: np.ndarray, size: tuple[int, int] = (90, 160)) -> Thumbnails:
    """Return pictures of one grey each, which says which frame it is."""
    images = np.empty((len(frames), *size, 3), np.uint8)
    images[:] = (frames * 7 % 251).astype(np.uint8)[:, None, None, None]
    return Thumbnails(frames, images)


@pytest.mark.parametrize("size", [(90, 160), (160, 90), (1, 1), (121, 97), (8, 400)])
def test_each_cell_is_its_frame(size: tuple[int, int]) -> None:
    frames = np.arange(0, 400, 4, dtype=np.int64)
    packed = pack_thumbnails(flat(frames, size), frames[::3], budget_bytes=10**7)
    found = cells(packed)
    assert sorted(found) == frames.tolist()
    for frame, (sheet, picture) in found.items():
        assert np.abs(picture.astype(int) - frame * 7 % 251).max() <= 3, frame
        assert picture.shape[:2] == (sheet.height, sheet.width)
        assert sheet.width <= size[1] and sheet.height <= size[0]


def test_selected_frames_are_larger() -> None:
    frames = np.arange(60, dtype=np.int64)
    packed = pack_thumbnails(flat(frames, (240, 426)), frames[::10], budget_bytes=10**7)
    widths = {frame: sheet.width for frame, (sheet, _) in cells(packed).items()}
    assert widths[10] == 320 and widths[11] == 160


@pytest.mark.parametrize("budget", [0, 500, 5_000, 20_000, 80_000, 400_000])
def test_budget_holds_and_selected_frames_go_last(budget: int) -> None:
    frames = np.arange(0, 300, 2, dtype=np.int64)
    selected = frames[::5]
    packed = pack_thumbnails(Thumbnails(frames, scene(frames, 300, 0)), selected, budget_bytes=budget)
    assert packed.n_bytes <= budget
    there = set(cells(packed))
    others = there - set(selected.tolist())
    if others:
        assert set(selected.tolist()) <= there
    if budget >= 80_000:
        assert there == set(frames.tolist())


def test_a_negative_budget_is_refused() -> None:
    frames = np.arange(2, dtype=np.int64)
    with pytest.raises(ValueError, match="budget_bytes must be 0 or more, got -1"):
        pack_thumbnails(flat(frames), frames, budget_bytes=-1)


@given(
    st.integers(0, 300).flatmap(
        lambda n: st.tuples(
            st.just(n), st.sets(st.integers(0, max(n - 1, 0)), max_size=n), st.integers(0, 40)
        )
    )
)
@settings(max_examples=200, deadline=None)
def test_wanted_frames_hold_the_selected_and_one_between(case: tuple[int, set[int], int]) -> None:
    n_frames, chosen, n_strip = case
    selected = np.array(sorted(chosen) if n_frames else [], dtype=np.int64)
    wanted = thumbnail_frames(selected, n_frames, n_strip=n_strip)
    assert wanted.dtype == np.int64
    assert set(selected.tolist()) <= set(wanted.tolist())
    assert len(wanted) == 0 or (wanted[0] >= 0 and wanted[-1] < n_frames)
    assert (np.diff(wanted) > 0).all()
    for a, b in itertools.pairwise(selected):
        if b - a > 1:
            assert ((wanted > a) & (wanted < b)).any()


def test_more_selected_than_asked_for_are_thinned_evenly() -> None:
    wanted = thumbnail_frames(np.arange(10_000, dtype=np.int64), 10_000, n_strip=0, n_selected=100)
    assert len(wanted) <= 201
    assert np.diff(wanted).max() <= 60


def test_shares_follow_the_frames_between_floor_and_ceiling() -> None:
    assert share_budget([100, 300], per_frame=10, floor=0, ceiling=10**9) == [1000, 3000]
    assert share_budget([100, 300], per_frame=10, floor=8000, ceiling=10**9) == [2000, 6000]
    assert share_budget([100, 300], per_frame=10, floor=0, ceiling=2000) == [500, 1500]
    assert share_budget([0, 0], per_frame=10, floor=8000, ceiling=9000) == [0, 0]
    assert share_budget([], per_frame=10, floor=8000, ceiling=9000) == []

"""Stretches too long to be held at once: in pieces from the nearer label, as if there were no pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evfr
from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.propagation import Carried, Interval
from evfr.propagation import _copy as copy_module
from evfr.verbs import _carry_long
from evfr.verbs._carry_frames import load_pictures
from evfr.video import frames, scan
from helpers.clips import write_clip
from helpers.moving import Mover, draw

MOVERS = [Mover((40, 30), (0.3, 1.2)), Mover((60, 100), (-0.4, -1.0), (9.0, 11.0), 5)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    pictures, masks = draw(MOVERS, 30)
    return write_clip(tmp_path_factory.mktemp("drawn") / "clip.mp4", pictures, gop=7), masks


def labels_of(masks: Any, frames: list[int], tracks: tuple[int, ...] = (0, 1)) -> VideoAnnotations:
    rows = [
        ObjectRow("clip.mp4", t, 1, k + 1, mask=Rle.from_mask(masks[t, k])) for t in frames for k in tracks
    ]
    video = AnnotatedVideo("clip.mp4", 128, 96, np.array(frames))
    return VideoAnnotations.build([video], [Category(1, "car")], rows)


def carry(path: Path, labels: VideoAnnotations, tmp_path: Path, **options: Any) -> Any:
    return evfr.propagate(
        path,
        labels=labels,
        out=tmp_path / "all.parquet",
        store=tmp_path / "store",
        executor="serial",
        **{"method": "copy", **options},
    )


@pytest.mark.parametrize("labeled", [[0], [29], [13], [4, 25], [0, 29]])
def test_pieces_give_what_the_whole_gives(
    drawn: tuple[Path, Any], labeled: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, masks = drawn
    whole = carry(path, labels_of(masks, labeled), tmp_path / "whole")
    monkeypatch.setattr(_carry_long, "PIECE", 4)
    pieces = carry(path, labels_of(masks, labeled), tmp_path / "pieces")
    assert pieces.annotations.take(np.arange(len(pieces.annotations))).masks == whole.annotations.masks
    assert np.array_equal(pieces.annotations.track_id, whole.annotations.track_id)
    assert np.array_equal(pieces.annotations.frame_index, whole.annotations.frame_index)
    # Trust falls with the distance to the label, not to the piece before.
    one_track = pieces.annotations.take(pieces.annotations.track_id == 1)
    assert np.allclose(
        one_track.trust, whole.annotations.take(whole.annotations.track_id == 1).trust, equal_nan=True
    )


def test_no_piece_is_larger_than_allowed_and_finished_ones_are_kept(
    drawn: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, masks = drawn
    monkeypatch.setattr(_carry_long, "PIECE", 6)
    seen: list[tuple[int, int, bool]] = []

    def spy(interval: Interval, *, steps: Any = None) -> Carried:
        seen.append((int(interval.frame_index[0]), int(interval.frame_index[-1]), interval.left is not None))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return copy_module.copy(interval)

    from evfr.propagation import PROPAGATORS

    monkeypatch.setitem(PROPAGATORS, "copy", spy)
    labels = labels_of(masks, [2, 25])
    with pytest.raises(KeyboardInterrupt):
        carry(path, labels, tmp_path)
    done = seen[:3]
    seen.append((0, 0, False))
    result = carry(path, labels, tmp_path)
    assert max(last - first for first, last, _ in seen) <= 6
    assert not set(done) & set(seen[5:])
    assert (
        (2, 8, True) in seen and (8, 13, True) in seen and (14, 19, False) in seen and (19, 25, False) in seen
    )
    assert result.annotations.videos[0].frame_index.tolist() == list(range(30))


def test_an_object_that_is_lost_on_the_way_stays_lost(
    drawn: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, masks = drawn
    monkeypatch.setattr(_carry_long, "PIECE", 5)

    def forgets(interval: Interval, *, steps: Any = None) -> Carried:
        from dataclasses import replace

        carried = copy_module.copy(interval)
        if interval.frame_index[0] != 5 or 2 not in carried.track_ids:
            return carried
        place = carried.track_ids.tolist().index(2)
        boxes = carried.boxes_xyxy.copy()
        boxes[3:, place] = np.nan
        rows = tuple(
            tuple(None if t >= 3 and k == place else mask for k, mask in enumerate(row))
            for t, row in enumerate(carried.masks)
        )
        return replace(carried, boxes_xyxy=boxes, masks=rows)

    result = carry(path, labels_of(masks, [0]), tmp_path, method=forgets)
    found = {t: set() for t in range(30)}
    for row in result.annotations.objects():
        found[row.frame_index].add(row.track_id)
    assert all(found[t] == {1, 2} for t in range(8)) and all(found[t] == {1} for t in range(8, 30))


def test_nothing_is_held_out_across_what_is_too_long(
    drawn: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, masks = drawn
    monkeypatch.setattr(_carry_long, "PIECE", 6)
    result = carry(path, labels_of(masks, [0, 3, 5, 28]), tmp_path)
    assert result.expected_iou.held_out_frames == 1, "3 lies between 0 and 5; 5 lies between 3 and 28"


def test_pictures_of_a_range_are_those_of_the_video(drawn: tuple[Path, Any]) -> None:
    path, _ = drawn
    table, _, _ = scan(path)
    whole = [frame.image for frame in frames(path)]
    pictures = load_pictures(path, 9, 20, table, damaged="drop")
    assert pictures.is_usable.all()
    assert all(np.array_equal(pictures[t], whole[9 + t]) for t in range(12))

"""Labels as one value: what does not fit together is refused with where and what."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from evfr._core.annotations import (
    NO_TRACK,
    AnnotatedVideo,
    Category,
    FrameLabels,
    ObjectRow,
    VideoAnnotations,
    concatenate,
)
from evfr._core.masks import Rle
from evfr._core.motion import StepFields
from evfr._core.types import PTS_NONE
from evfr.errors import AnnotationError

SQUARE = np.zeros((8, 10), bool)
SQUARE[2:5, 3:7] = True
CAR, BUS = Category(1, "car"), Category(4, "bus", "vehicle")


def video(name: str = "a", frames: Any = (0, 5, 9), **facts: Any) -> AnnotatedVideo:
    return AnnotatedVideo(name, 10, 8, np.asarray(frames, np.int64), **facts)


def labels() -> VideoAnnotations:
    return VideoAnnotations.build(
        [video("a"), video("b", (2,))],
        [CAR, BUS],
        [
            ObjectRow("b", 2, 4, 7, (1.0, 2.0, 3.5, 4.0), score=0.5, source="detected"),
            ObjectRow("a", 5, 1, 3, mask=Rle.from_mask(SQUARE), trust=0.25, source="carried"),
            ObjectRow("a", 5, 1, 2, (0.0, 0.0, 2.0, 2.0), attributes={"occluded": True}),
            ObjectRow("a", 0, 4, is_crowd=True),
        ],
    )


def test_rows_are_sorted_by_video_and_frame_and_keep_their_order_within() -> None:
    made = labels()
    assert made.video_row.tolist() == [0, 0, 0, 1] and made.frame_index.tolist() == [0, 5, 5, 2]
    assert made.track_id.tolist() == [NO_TRACK, 3, 2, 7]
    assert made.attributes[2] == {"occluded": True} and made.attributes[1] == {}
    assert len(made) == 4 and "4 objects, 1 masks" in repr(made)
    again = VideoAnnotations.build(made.videos, made.categories, made.objects())
    assert again.equals(made) and made.equals(again)
    assert not made.equals(replace(made, score=np.zeros(4)))


def test_one_frame_one_video_some_rows() -> None:
    made = labels()
    assert made.rows_at("a", 5).tolist() == [1, 2] and made.rows_at("a", 9).tolist() == []
    at = made.labels_at("a", 5)
    assert at.track_ids.tolist() == [3, 2] and at.masks[1] is None and len(at) == 2
    assert "2 objects, 1 masks" in repr(at)
    dense = made.masks_at("a", 5)
    assert np.array_equal(dense[0], SQUARE) and not dense[1].any()
    one = made.of_video("b")
    assert len(one) == 1 and one.videos == (made.videos[1],) and one.video_row.tolist() == [0]
    assert made.take(made.track_id == 7).equals(made.take(np.array([3])))
    assert len(made.take(np.array([3])).videos) == 2, "videos and annotated frames stay"
    with pytest.raises(KeyError, match="no video 'c'"):
        made.rows_at("c", 0)


def test_boxes_come_from_masks_only_where_asked() -> None:
    made = labels()
    assert np.isnan(made.boxes_xyxy[1]).all()
    assert made.with_boxes().boxes_xyxy[1].tolist() == [3, 2, 7, 5]
    assert np.isnan(made.with_boxes().boxes_xyxy[0]).all()


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (ObjectRow("c", 0, 1), "unknown video 'c'"),
        (ObjectRow("a", 4, 1), "'a'.*frame 4, which is not one of its 3 annotated"),
        (ObjectRow("a", 0, 3, 8), r"'a', frame 0.*track 8.*unknown category, known are \[1, 4\]"),
        (ObjectRow("a", 0, 1, mask=Rle.empty(10, 8)), "mask of 8x10 pixels, not of its video's size"),
        (ObjectRow("a", 0, 1, box_xyxy=(3, 0, 2, 1)), "corners exchanged"),
        (ObjectRow("a", 0, 1, box_xyxy=(3, 0, math.inf, 1)), "not finite"),
        (ObjectRow("a", 0, 1, box_xyxy=(3, math.nan, 4, 1)), "not finite"),
        (ObjectRow("a", 0, 1, trust=1.5), "trust outside"),
        (ObjectRow("a", 0, 1, source="guessed"), "source of a label must be one of"),
        (ObjectRow("a", 5, 1, 3), "frame 5.*track 3.*in this frame twice"),
    ],
)
def test_a_row_that_fits_nothing_is_named(row: ObjectRow, text: str) -> None:
    made = labels()
    with pytest.raises(AnnotationError, match=text):
        VideoAnnotations.build(made.videos, made.categories, [*made.objects(), row])


def test_two_untracked_objects_in_a_frame_are_two() -> None:
    rows = [ObjectRow("a", 0, 1), ObjectRow("a", 0, 1)]
    assert len(VideoAnnotations.build([video()], [CAR], rows)) == 2


def test_columns_that_do_not_fit() -> None:
    made = labels()
    with pytest.raises(AnnotationError, match="score must have 4 rows"):
        replace(made, score=np.zeros(3))
    with pytest.raises(AnnotationError, match="attributes must be empty or have 4"):
        replace(made, attributes=({},))
    with pytest.raises(AnnotationError, match="'a' twice"):
        VideoAnnotations.build([video(), video()], [], [])
    with pytest.raises(AnnotationError, match="1 twice"):
        VideoAnnotations.build([video()], [CAR, Category(1, "dog")], [])
    with pytest.raises(AnnotationError, match=r"video_row must lie in 0\.\.1"):
        replace(made, video_row=np.array([0, 0, 0, 2]))
    with pytest.raises(AnnotationError, match="source must be an index"):
        replace(made, source=np.array([0, 0, 0, 9], np.int8))
    with pytest.raises(ValueError, match="one track, class and box per mask"):
        FrameLabels(0, np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros((1, 4)), ())


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"frames": (3, 2)}, "increasing"),
        ({"frames": (-1, 2)}, "0 or more"),
        ({"frame_count": 9}, "frame 9 is annotated, but the video has 9 frames"),
        ({"file_names": ("a.png",)}, "as many pts and file names, got 3 and 1"),
        ({"pts": np.array([0, 1, 2])}, "time base"),
    ],
)
def test_a_video_that_does_not_fit(facts: dict[str, Any], text: str) -> None:
    with pytest.raises(AnnotationError, match=text):
        video(**facts)


def test_a_video_needs_a_size_and_keeps_its_columns_to_itself() -> None:
    with pytest.raises(AnnotationError, match="got 0x8"):
        AnnotatedVideo("a", 0, 8, np.zeros(0, np.int64))
    frames = np.array([1, 2])
    made = AnnotatedVideo("a", 10, 8, frames, np.array([10, 20]), Fraction(1, 25), frame_count=7)
    frames[0] = 0
    assert made.frame_index.tolist() == [1, 2] and not made.pts.flags.writeable
    assert made == replace(made) and made != replace(made, pts=np.array([10, 21])) and made != 3
    assert video().pts.tolist() == [PTS_NONE] * 3
    assert repr(made) == "AnnotatedVideo('a', 2 of 7 frames, 10x8)"


def test_joining_videos() -> None:
    made = labels()
    other = VideoAnnotations.build([video("c", (1,))], [BUS], [ObjectRow("c", 1, 4, 1)])
    both = concatenate([made, other])
    assert [v.video_id for v in both.videos] == ["a", "b", "c"] and both.video_row[-1] == 2
    assert both.categories == (CAR, BUS)
    assert both.of_video("c").equals(replace(other, categories=(CAR, BUS)))
    with pytest.raises(AnnotationError, match="'a' twice"):
        concatenate([made, made])
    clash = VideoAnnotations.build([video("c", (1,))], [Category(4, "tram")], [])
    with pytest.raises(AnnotationError, match="category 4 is 'bus' in one file and 'tram'"):
        concatenate([made, clash])
    with pytest.raises(ValueError, match="nothing to join"):
        concatenate([])


def test_step_fields_fit_together() -> None:
    field = np.zeros((4, 3, 5, 2), np.float32)
    has = np.ones((4, 3, 5), np.bool_)
    fields = StepFields(field, field, 8, "drawn", has, None)
    assert len(fields) == 4 and repr(fields) == "StepFields(drawn, 4 steps, 5x3 cells of 8 px)"
    for wrong, text in [
        ((field[:3], field, 8, "x"), "two arrays"),
        ((field.astype(np.float64), field, 8, "x"), "float32"),
        ((field, field, 0, "x"), "cell must be"),
        ((field, field, 8, "x", has[:2]), "has_previous must be"),
    ]:
        with pytest.raises(ValueError, match=text):
            StepFields(*wrong)  # type: ignore[arg-type]

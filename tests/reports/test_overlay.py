"""Labels drawn on frames: whose they are and how far they can be believed shows, on any ground."""

from __future__ import annotations

import colorsys
import itertools
import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.reports import draw_labels, track_colour
from evfr.reports._overlay import DARK, WARNING

H, W = 120, 200


def labels(*rows: dict[str, Any], name: str = "dog") -> VideoAnnotations:
    video = AnnotatedVideo("v", W, H, np.array([0], np.int64))
    objects = [
        ObjectRow(**{"video_id": "v", "frame_index": 0, "category_id": 1, "track_id": number, **row})
        for number, row in enumerate(rows)
    ]
    return VideoAnnotations.build((video,), (Category(1, name),), objects)


def square(top: int = 40, left: int = 60, side: int = 50) -> Rle:
    mask = np.zeros((H, W), bool)
    mask[top : top + side, left : left + side] = True
    return Rle.from_mask(mask)


def drawn(*rows: dict[str, Any], ground: int = 127, **options: Any) -> np.ndarray:
    given_ = labels(*rows)
    image = np.full((H, W, 3), ground, np.uint8)
    kept = image.copy()
    out = draw_labels(image, given_, np.arange(len(given_)), **{"has_names": False, **options})
    assert np.array_equal(image, kept) and out.shape == image.shape and out.dtype == np.uint8
    return out


def near(picture: np.ndarray, colour: tuple[int, int, int], reach: int = 60) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).max(axis=2) <= reach


def test_people_draw_outlines_and_carried_masks_are_filled() -> None:
    human = drawn({"mask": square()})
    carried = drawn({"mask": square(), "source": "carried", "trust": 0.9})
    inside = (slice(55, 75), slice(75, 95))
    assert (human[inside] == 127).all()
    expected = np.round(0.62 * 127 + 0.38 * np.array(track_colour(0)))
    assert (carried[inside] == expected).all()
    for picture in (human, carried):
        assert near(picture, track_colour(0))[38:92, 58:112].sum() > 100
        assert (picture[:30] == 127).all() and (picture[100:] == 127).all()


def test_low_trust_is_dashed_red() -> None:
    """The outline is 196 px long: a whole one has ink all along, a dashed one on about half of it."""
    sure = drawn({"mask": square(), "source": "carried", "trust": 0.5})
    unsure = drawn({"mask": square(), "source": "carried", "trust": 0.49})
    human = drawn({"mask": square(), "trust": 0.1})
    assert not near(sure, WARNING).any()
    ring = near(unsure, WARNING)
    top = ring[39:42, 60:110].any(axis=0)
    assert 0.3 < top.mean() < 0.85 and np.abs(np.diff(top.astype(int))).sum() >= 4
    assert near(human, WARNING).any(), "a trust that a person's label has is told as well"
    unknown = drawn({"mask": square(), "source": "carried"})
    assert not near(unknown, WARNING).any()
    assert near(drawn({"mask": square(), "source": "carried", "trust": 0.9}, low_trust=0.95), WARNING).any()


def test_boxes_are_lines_at_their_edges() -> None:
    picture = drawn({"box_xyxy": (60.0, 40.0, 110.0, 90.0)})
    found = near(picture, track_colour(0))
    assert found[40, 60:110].all() and found[89, 60:110].all() and found[40:90, 60].all()
    assert (picture[50:80, 70:100] == 127).all()
    assert np.array_equal(drawn({}), np.full((H, W, 3), 127))


@pytest.mark.parametrize("ground", [0, 60, 127, 200, 255])
def test_lines_show_on_any_ground(ground: int) -> None:
    """A dark edge beside a light line: next to each other they differ by 60 grey levels or more."""
    for number in range(12):
        picture = drawn({"mask": square(), "track_id": number}, ground=ground)
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int)[55:75, 50:72]
        assert (grey.max(axis=1) - grey.min(axis=1) >= 60).all(), (number, ground)


def test_small_objects_stay_in_front() -> None:
    picture = drawn(
        {"mask": square(50, 70, 10), "source": "carried", "track_id": 4},
        {"mask": square(), "source": "carried", "track_id": 9},
    )
    both = 0.62 * np.round(0.62 * 127 + 0.38 * np.array(track_colour(9))) + 0.38 * np.array(track_colour(4))
    np.testing.assert_allclose(picture[55, 75], both, atol=1)


def test_holes_are_outlined_and_not_filled() -> None:
    mask = square().to_mask()
    mask[55:75, 75:95] = False
    picture = drawn({"mask": Rle.from_mask(mask), "source": "carried", "trust": 0.9})
    assert (picture[62:68, 82:88] == 127).all()
    assert near(picture, track_colour(0))[53:77, 73:97].sum() > 40


def test_specks_get_a_thin_line_and_small_objects_a_full_one() -> None:
    dot = np.zeros((H, W), bool)
    dot[20, 20] = True
    alone = drawn({"mask": Rle.from_mask(dot), "source": "carried", "trust": 0.9})
    assert (alone[15:26, 15:26] != 127).any(axis=2).sum() >= 9
    dot |= square().to_mask()
    beside = drawn({"mask": Rle.from_mask(dot), "source": "carried", "trust": 0.9})
    assert (beside[15:26, 15:26] != 127).any(axis=2).sum() == 1


def test_names_stay_inside_and_do_not_cover_each_other() -> None:
    rows = [{"box_xyxy": (0.0, 0.0, 20.0 + number, 12.0), "track_id": number} for number in range(3)]
    picture = drawn(*rows, has_names=True)
    dark = near(picture, DARK, 2)
    assert dark.any(axis=1).sum() >= 30, "three chips stand below each other"
    captioned = drawn(caption="frame 7  0:00.28")
    assert near(captioned, DARK, 2)[:10, :60].sum() > 100 and (captioned[30:] == 127).all()
    low = drawn({"mask": square(), "source": "carried", "trust": 0.2}, has_names=True)
    assert near(low, WARNING, 5).any()


def test_odd_names_are_written_as_far_as_they_can_be() -> None:
    from evfr.reports._overlay import _text

    given_ = labels({"source": "carried", "trust": 0.456}, name="\u65e5\u672c\n\u202e" + "x" * 40)
    text = _text(given_, 0, {1: given_.categories[0].name})
    assert text == "#0 ????" + "x" * 19 + "\u2026 0.46"
    plain = labels({"track_id": -1}, name="dog")
    assert _text(plain, 0, {1: "dog"}) == "dog"
    draw_labels(np.zeros((H, W, 3), np.uint8), given_, np.array([0]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40))
def test_anything_can_be_drawn(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    video = AnnotatedVideo("v", width, height, np.array([0], np.int64))
    rows = [
        ObjectRow(
            video_id="v",
            frame_index=0,
            category_id=1,
            track_id=number,
            mask=Rle.from_mask(rng.random((height, width)) < rng.choice([0, 0.05, 0.5, 1])),
            box_xyxy=None if number % 2 else tuple(np.sort(rng.uniform(-50, 90, 4)).tolist()),
            source="human" if number % 3 else "carried",
            trust=float(rng.choice([0.1, 0.9, math.nan])),
        )
        for number in range(4)
    ]
    given_ = VideoAnnotations.build((video,), (Category(1, "thing"),), rows)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert draw_labels(image, given_, np.arange(4), caption="frame 1").shape == image.shape


def test_colours_of_tracks_are_far_apart_and_never_red() -> None:
    colours = [track_colour(number) for number in range(64)]
    for red, green, blue in colours:
        hue = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)[0]
        assert 0.12 < hue < 0.94
    for first, second in itertools.pairwise(colours):
        assert np.abs(np.subtract(first, second)).max() > 60


def test_what_does_not_fit_is_refused() -> None:
    given_ = labels({"mask": square()})
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8, got \(120, 200\) uint8"):
        draw_labels(np.zeros((H, W), np.uint8), given_, np.array([0]))
    with pytest.raises(ValueError, match="the mask of track 0 is 200x120, the frame 100x120"):
        draw_labels(np.zeros((H, 100, 3), np.uint8), given_, np.array([0]))

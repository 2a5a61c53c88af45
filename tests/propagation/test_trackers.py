"""OpenCV's trackers from both sides: drawn objects, loss, failure, masks from boxes."""

from __future__ import annotations

import types

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.masks import Rle, iou
from evfr.errors import MissingExtraError
from evfr.propagation._boxes_evidence import paired_iou
from evfr.propagation._boxes_masks import box_mask, grabcut_mask
from evfr.propagation._trackers import tracker
from helpers.drawn_boxes import HEIGHT, WIDTH, clip, curve, interval, paste, reversed_interval, texture


def straight(count, step=(4.0, 1.0)):
    """Return boxes of 32 x 32 that move by whole pixels."""
    return np.array([[20.0, 40, 52, 72]]) + np.arange(count)[:, None] * np.array([*step, *step])


class Scripted:
    """A tracker of OpenCV's form that gives the boxes it is told."""

    def __init__(self, answers, starts=None):
        self.answers, self.starts = iter(answers), starts

    def init(self, frame, rectangle):
        assert all(isinstance(value, int) for value in rectangle)
        self.rectangle = rectangle
        return self.starts

    def update(self, frame):
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def script(monkeypatch, *trackers):
    """Let the next trackers made be these."""
    makers = iter(trackers)
    monkeypatch.setattr(cv2, "TrackerCSRT_create", lambda: next(makers))


@pytest.mark.parametrize("name", ["csrt", "kcf", "mil"])
def test_a_moving_object_is_tracked_from_both_sides(name):
    path = straight(6)
    carried = tracker(interval({4: path}), tracker=name)
    assert paired_iou(carried.boxes_xyxy[:, 0], path).min() > 0.75
    np.testing.assert_array_equal(carried.boxes_xyxy[[0, -1], 0], path[[0, -1]])
    assert carried.ends == ()
    inner = slice(1, -1)
    assert carried.evidence.agreement[inner].min() > 0.6
    assert carried.score[inner].min() > 0.6
    assert carried.evidence.distance[:, 0].tolist() == [0, 1, 2, 2, 1, 0]
    assert np.isfinite(carried.evidence.residual[inner]).all()
    assert carried.masks == ((None,),) * 6


@pytest.mark.parametrize("name", [pytest.param("csrt", marks=pytest.mark.slow), "kcf", "mil"])
def test_same_boxes_each_time_backwards_and_beside_others(name):
    paths = {1: straight(3), 2: np.array([[100.0, 20, 124, 44]] * 3)}
    given_interval = interval(paths)
    first = tracker(given_interval, tracker=name)
    cv2.setRNGSeed(123)
    np.testing.assert_array_equal(first.boxes_xyxy, tracker(given_interval, tracker=name).boxes_xyxy)
    back = tracker(reversed_interval(given_interval), tracker=name)
    np.testing.assert_allclose(first.boxes_xyxy, back.boxes_xyxy[::-1], atol=1e-9)
    alone = tracker(interval({2: paths[2]}, frames=list(given_interval.frames)), tracker=name)
    np.testing.assert_array_equal(first.boxes_xyxy[:, 1], alone.boxes_xyxy[:, 0])


def test_merged_by_distance(monkeypatch):
    """From the left it stays, from the right too: in between the box slides, weighted by distance."""
    frames = [texture(3, HEIGHT, WIDTH)] * 5
    path = np.array([[20.0, 20, 60, 60]] * 4 + [[28, 20, 68, 60]])
    left = Scripted([(True, (20, 20, 40, 40))] * 4)
    right = Scripted([(True, (28, 20, 40, 40))] * 4)
    script(monkeypatch, left, right)
    carried = tracker(interval({1: path}, frames=frames), min_similarity=-1.0)
    np.testing.assert_allclose(carried.boxes_xyxy[:, 0, 0], [20, 22, 24, 26, 28])
    np.testing.assert_allclose(carried.evidence.agreement[1:-1, 0], 32 / 48)


def test_where_the_sides_do_not_touch_the_nearer_one_holds(monkeypatch):
    frames = [texture(3, HEIGHT, WIDTH)] * 5
    path = np.array([[20.0, 20, 40, 40]] * 4 + [[90, 20, 110, 40]])
    script(monkeypatch, Scripted([(True, (20, 20, 20, 20))] * 4), Scripted([(True, (90, 20, 20, 20))] * 4))
    carried = tracker(interval({1: path}, frames=frames), min_similarity=-1.0)
    assert carried.boxes_xyxy[:, 0, 0].tolist() == [20, 20, 20, 90, 90]
    assert carried.evidence.agreement[1:-1, 0].tolist() == [0, 0, 0]


def test_the_trackers_own_flag_ends_it(monkeypatch):
    frames = [texture(3, HEIGHT, WIDTH)] * 6
    box = (20, 20, 40, 40)
    script(
        monkeypatch,
        Scripted([(True, box), (False, (0, 0, 0, 0))]),
        Scripted([(True, box), (True, box), (False, (0, 0, 0, 0))]),
    )
    path = np.array([[20.0, 20, 60, 60]] * 6)
    carried = tracker(interval({1: path}, frames=frames))
    assert [(end.frame_index, end.side, end.reason) for end in carried.ends] == [
        (2, "left", "lost"),
        (2, "right", "lost"),
    ]
    assert carried.is_present[:, 0].tolist() == [True, True, False, True, True, True]


def test_another_look_ends_it(monkeypatch):
    """The tracker goes on with what took the object's place; the correlation with the label sees it."""
    path = np.array([[20.0, 20, 60, 60]] * 6)
    frames = clip({1: path}, 6)
    other = [paste(frame, texture(444, 40, 40), path[0]) for frame in frames]
    mixed = frames[:3] + other[3:]
    given_interval = interval({1: path}, frames=mixed, sides=["left"])
    answers = [(True, (20, 20, 40, 40))] * 5
    script(monkeypatch, Scripted(answers), Scripted(answers))
    assert tracker(given_interval, min_similarity=-1.0).is_present.all()
    carried = tracker(given_interval)
    assert [(end.frame_index, end.side, end.reason) for end in carried.ends] == [(3, "left", "lost")]
    assert carried.is_present[:, 0].tolist() == [True] * 3 + [False] * 3


def test_without_contrast_the_look_is_not_measured():
    frames = [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * 3
    path = np.array([[20.0, 20, 60, 60]] * 3)
    carried = tracker(interval({1: path}, frames=frames), tracker="mil", min_similarity=0.9)
    assert np.isnan(carried.score).all()
    assert carried.is_present.all()


@pytest.mark.parametrize("error", [cv2.error("bad\n size"), MemoryError("bad size")])
def test_one_failing_object_leaves_the_others(monkeypatch, error):
    frames = [texture(3, HEIGHT, WIDTH)] * 4
    good = (True, (80, 20, 40, 40))
    script(
        monkeypatch, Scripted([error]), Scripted([good] * 3), Scripted([], starts=False), Scripted([good] * 3)
    )
    paths = {1: np.array([[20.0, 20, 60, 60]] * 4), 2: np.array([[80.0, 20, 120, 60]] * 4)}
    carried = tracker(interval(paths, frames=frames))
    assert [(end.track_id, end.frame_index, end.side) for end in carried.ends] == [
        (1, 1, "left"),
        (1, 2, "right"),
    ]
    assert carried.ends[0].reason == "failed: csrt: bad size"
    assert carried.ends[1].reason == "failed: csrt did not start"
    assert carried.is_present[:, 0].tolist() == [True, False, False, True]
    np.testing.assert_allclose(carried.boxes_xyxy[:, 1], paths[2])


@pytest.mark.parametrize("name", ["csrt", "kcf", "mil"])
@pytest.mark.parametrize(
    "box",
    [
        pytest.param((60.0, 50, 61, 51), id="one pixel"),
        pytest.param((0.0, 0, WIDTH, HEIGHT), id="the whole picture"),
        pytest.param((-20.0, 30, 20, 70), id="half outside"),
        pytest.param((200.0, 30, 240, 70), id="outside"),
        pytest.param((30.0, 30, 30, 60), id="no area"),
    ],
)
def test_odd_boxes_give_a_result_and_break_nothing(name, box):
    frames = [texture(5, HEIGHT, WIDTH)] * 3
    carried = tracker(interval({1: np.array([box] * 3)}, frames=frames, sides=["left"]), tracker=name)
    assert carried.boxes_xyxy[0, 0].tolist() == list(box)
    if carried.is_present[1, 0]:
        found = carried.boxes_xyxy[1, 0]
        # MIL searches 25 pixels around, and takes what looks best by features drawn at random.
        far = 26.0 if name == "mil" else 4.0
        assert abs(found - box).max() <= max(far, 0.3 * max(box[2] - box[0], box[3] - box[1]))
    else:
        assert carried.ends[0].reason == "lost" or carried.ends[0].reason.startswith(f"failed: {name}")
    if name == "csrt" and box[0] == -20.0:
        assert carried.is_present.all()
        assert carried.boxes_xyxy[1, 0, 0] < -10


def test_who_is_missing_at_the_other_end_leaves_half_way():
    paths = {1: np.array([[np.nan] * 4] + [[20.0, 20, 60, 60]] * 4), 2: np.array([[90.0, 20, 130, 60]] * 5)}
    carried = tracker(interval(paths, frames=[texture(3, HEIGHT, WIDTH)] * 5), tracker="kcf")
    assert carried.is_present[:, 0].tolist() == [False] * 2 + [True] * 3
    assert [(end.track_id, end.frame_index, end.side, end.reason) for end in carried.ends] == [
        (1, 1, "right", "lost")
    ]


def test_a_cut_and_a_missing_label():
    paths = {1: straight(6), 2: np.array([[100.0, 20, 124, 44]] * 5 + [[np.nan] * 4])}
    carried = tracker(interval(paths, cuts=(4,)), tracker="kcf")
    assert carried.is_present[:, 0].all()
    assert carried.is_present[:, 1].tolist() == [True] * 4 + [False] * 2
    assert [(end.track_id, end.frame_index, end.side, end.reason) for end in carried.ends] == [
        (1, 4, "left", "cut"),
        (1, 3, "right", "cut"),
        (2, 4, "left", "cut"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracker": "dsst"}, "tracker must be one of csrt, kcf, mil, got 'dsst'"),
        ({"min_similarity": 1.5}, r"min_similarity must be in \[-1, 1\], got 1.5"),
        ({"min_similarity": float("nan")}, r"min_similarity must be in \[-1, 1\], got nan"),
        ({"masks": "oval"}, "masks must be one of none, box, grabcut, got 'oval'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        tracker(interval({1: straight(3)}), **options)


def test_an_opencv_without_the_tracker_is_named(monkeypatch):
    monkeypatch.delattr(cv2, "TrackerKCF_create")
    monkeypatch.setattr(cv2, "legacy", types.SimpleNamespace(), raising=False)
    with pytest.raises(MissingExtraError, match=r"has no TrackerKCF; .*opencv-contrib-python-headless"):
        tracker(interval({1: straight(3)}), tracker="kcf")


def test_the_legacy_name_is_found(monkeypatch):
    """OpenCV before 4.5.1, and builds that have some trackers there only, name them in cv2.legacy."""
    path = np.array([[20.0, 20, 60, 60]] * 3)
    made = iter([Scripted([(True, (20.0, 20.0, 40.0, 40.0))] * 3, starts=True)] * 2)
    monkeypatch.delattr(cv2, "TrackerKCF_create")
    monkeypatch.setattr(
        cv2, "legacy", types.SimpleNamespace(TrackerKCF_create=lambda: next(made)), raising=False
    )
    frames = [texture(3, HEIGHT, WIDTH)] * 3
    carried = tracker(interval({1: path}, frames=frames, sides=["left"]), tracker="kcf")
    assert carried.boxes_xyxy[:, 0].tolist() == path.tolist()


def test_masks_of_the_carried_frames_only():
    path = straight(4)
    plain = tracker(interval({1: path}), tracker="kcf")
    boxed = tracker(interval({1: path}), tracker="kcf", masks="box")
    cut = tracker(interval({1: path}), tracker="kcf", masks="grabcut")
    for carried in (boxed, cut):
        np.testing.assert_array_equal(carried.boxes_xyxy, plain.boxes_xyxy)
        assert carried.masks[0] == carried.masks[3] == (None,)
    assert boxed.masks[1][0] == box_mask(plain.boxes_xyxy[1, 0], HEIGHT, WIDTH)
    found = cut.masks[1][0]
    assert 0 < found.area <= boxed.masks[1][0].area


@settings(max_examples=150, deadline=None)
@given(corner=st.tuples(*[st.floats(-30, 40)] * 2), size=st.tuples(*[st.floats(0, 60)] * 2))
def test_box_masks_hold_the_pixels_whose_centres_lie_inside(corner, size):
    x0, y0, x1, y1 = *corner, corner[0] + size[0], corner[1] + size[1]
    rows, columns = np.mgrid[:20, :30] + 0.5
    expected = (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
    assert box_mask(np.array([x0, y0, x1, y1]), 20, 30) == Rle.from_mask(expected)


def disc(radius=22.0):
    """Draw a bright disc on a dark ground; return the frame and the mask."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    mask = (columns - 80) ** 2 + (rows - 60) ** 2 < radius**2
    rng = np.random.default_rng(0)
    frame = np.where(mask[..., None], [220, 180, 60], [30, 60, 50]) + rng.normal(0, 6, (HEIGHT, WIDTH, 3))
    return np.clip(frame, 0, 255).astype(np.uint8), mask


def test_grabcut_finds_a_disc():
    frame, mask = disc()
    box = np.array([56.0, 36, 104, 84])
    found = grabcut_mask(frame, box)
    assert iou(found, Rle.from_mask(mask)) > 0.95
    assert iou(box_mask(box, HEIGHT, WIDTH), Rle.from_mask(mask)) < 0.75


def test_grabcut_is_the_same_each_time():
    """A patch and a ground that are hard to tell apart: what GrabCut finds hangs on its first draw."""
    patch = (texture(104, 40, 40) * 0.5 + np.array([100, 30, 10])).astype(np.uint8)
    frame = paste(texture(4, HEIGHT, WIDTH), patch, (50, 30, 110, 90))
    found = []
    for seed in range(4):
        cv2.setRNGSeed(seed)
        found.append(grabcut_mask(frame, np.array([40.0, 20, 120, 100])))
    assert found == found[:1] * 4


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((60.0, 50, 63, 80), id="too narrow"),
        pytest.param((200.0, 50, 230, 80), id="outside"),
    ],
)
def test_grabcut_falls_to_the_box_where_it_says_so(box):
    frame, _ = disc()
    assert grabcut_mask(frame, np.array(box)) == box_mask(np.array(box), HEIGHT, WIDTH)


@pytest.mark.parametrize("box", [(0.0, 0, WIDTH, HEIGHT), (-20.0, -20, 300, 300), (60.0, 90, 100, 140)])
def test_grabcut_at_the_border_of_the_picture(box):
    frame, _ = disc(30.0)
    found = grabcut_mask(frame, np.array(box))
    whole = box_mask(np.array(box), HEIGHT, WIDTH)
    assert 0 < found.area <= whole.area
    assert not (found.to_mask() & ~whole.to_mask()).any()


@pytest.mark.slow
def test_csrt_follows_a_curve():
    path = curve(13, bend=10.0, growth=1.2)
    carried = tracker(interval({1: path}))
    assert paired_iou(carried.boxes_xyxy[:, 0], path).min() > 0.6

"""Boxes by drift-corrected flow: drawn objects whose boxes are known, and what may go wrong on the way."""

from __future__ import annotations

import zipfile

import cv2
import numpy as np
import pytest

from evfr._core.masks import Rle, box_iou
from evfr.propagation import Interval
from evfr.propagation._boxes import carry_boxes
from evfr.propagation._boxes_evidence import area_jumps, paired_iou
from evfr.propagation._boxes_pictures import GreyPictures, box_content, crop
from evfr.propagation._linear import linear
from helpers.drawn_boxes import HEIGHT, WIDTH, clip, curve, interval, labels, reversed_interval, texture


def same(a, b):
    """Assert that two results are equal bit for bit."""
    np.testing.assert_array_equal(a.boxes_xyxy, b.boxes_xyxy)
    np.testing.assert_array_equal(a.score, b.score)
    for name in ("residual", "agreement", "area_jump", "shape_jump", "distance"):
        np.testing.assert_array_equal(getattr(a.evidence, name), getattr(b.evidence, name))
    assert a.ends == b.ends


@pytest.mark.parametrize("growth", [1.0, 1.6])
def test_a_curve_is_followed_where_a_straight_line_misses_it(growth):
    path = curve(13, growth=growth)
    carried = carry_boxes(interval({3: path}, first=50))
    straight = linear(interval({3: path}, first=50))
    assert carried.track_ids.tolist() == [3]
    assert carried.category_ids.tolist() == [4]
    ours, theirs = paired_iou(carried.boxes_xyxy[:, 0], path), paired_iou(straight.boxes_xyxy[:, 0], path)
    assert ours.min() > 0.9
    assert theirs[6] < 0.5
    assert carried.ends == ()
    np.testing.assert_array_equal(carried.boxes_xyxy[[0, -1], 0], path[[0, -1]])
    assert carried.masks == ((None,),) * 13


def test_evidence_of_a_good_carry():
    path = curve(9)
    carried = carry_boxes(interval({1: path}))
    inner = slice(1, -1)
    evidence = carried.evidence
    assert evidence.agreement[inner].min() > 0.85
    straight = linear(interval({1: path})).evidence
    assert evidence.residual[4, 0] < 0.5 * straight.residual[4, 0]
    assert np.isnan(straight.agreement).all()
    assert evidence.area_jump[inner].max() < 0.1
    assert evidence.shape_jump[inner].max() < 0.1
    assert evidence.distance[:, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0]
    assert carried.score[inner].min() > 0.4
    assert carried.score[inner].max() <= 1.0
    assert np.isnan(carried.score[[0, -1]]).all()
    assert np.isnan(evidence.residual[[0, -1]]).all()


def test_one_label_carries_to_the_end_from_either_side():
    path = curve(9)
    for side in ("left", "right"):
        carried = carry_boxes(interval({1: path}, sides=[side]))
        assert paired_iou(carried.boxes_xyxy[:, 0], path).min() > 0.85
        assert carried.ends == ()
        assert np.isnan(carried.evidence.agreement).all()
        assert np.isfinite(carried.evidence.shape_jump[1:-1]).all()


def test_same_bytes_each_time_and_one_object_does_not_touch_another():
    paths = {2: curve(9, side=24.0, bend=14.0), 7: np.add(curve(9, side=24.0, bend=-14.0), [0, 24, 0, 24])}
    frames = clip(paths, 9)
    both = interval(paths, frames=frames)
    cv2.setRNGSeed(1)
    first = carry_boxes(both)
    cv2.setRNGSeed(99)
    same(first, carry_boxes(both))
    alone = carry_boxes(interval({7: paths[7]}, frames=frames))
    np.testing.assert_array_equal(first.boxes_xyxy[:, 1], alone.boxes_xyxy[:, 0])
    np.testing.assert_array_equal(first.evidence.residual[:, 1], alone.evidence.residual[:, 0])


def test_ids_may_be_renamed():
    paths = {2: curve(9, side=24.0, bend=14.0), 7: np.add(curve(9, side=24.0, bend=-14.0), [0, 24, 0, 24])}
    frames = clip(paths, 9)
    given = carry_boxes(interval(paths, frames=frames))
    swapped = carry_boxes(interval({2: paths[7], 7: paths[2]}, frames=frames))
    np.testing.assert_array_equal(given.boxes_xyxy, swapped.boxes_xyxy[:, ::-1])


@pytest.mark.parametrize("sides", [("left", "right"), ("left",)])
def test_played_backwards_it_is_the_same(sides):
    given = interval({1: curve(10, growth=1.3)}, sides=sides)
    forward, backward = carry_boxes(given), carry_boxes(reversed_interval(given))
    overlap = paired_iou(forward.boxes_xyxy[:, 0], backward.boxes_xyxy[::-1, 0])
    assert overlap.min() > 1.0 - 1e-9
    for name in ("residual", "agreement", "area_jump", "shape_jump", "distance"):
        given_way, other_way = (getattr(carried.evidence, name) for carried in (forward, backward))
        np.testing.assert_allclose(given_way, other_way[::-1], atol=1e-9)


def test_a_cut_stops_both_sides():
    path = curve(10)
    frames = clip({1: path}, 10)
    frames[5:] = clip({1: path}, 10, seed=50)[5:]
    carried = carry_boxes(interval({1: path}, frames=frames, cuts=(5,)))
    assert [(end.frame_index, end.side, end.reason) for end in carried.ends] == [
        (5, "left", "cut"),
        (4, "right", "cut"),
    ]
    assert paired_iou(carried.boxes_xyxy[:, 0], path).min() > 0.85
    # The right label must not reach over the cut.
    other = carry_boxes(interval({1: np.concatenate([path[:-1], path[-1:] + 9])}, frames=frames, cuts=(5,)))
    np.testing.assert_array_equal(carried.boxes_xyxy[:5], other.boxes_xyxy[:5])


def test_between_two_cuts_there_is_nothing():
    carried = carry_boxes(interval({1: curve(10)}, cuts=(3, 6)))
    assert carried.is_present[:, 0].tolist() == [True] * 3 + [False] * 3 + [True] * 4


def test_a_damaged_frame_has_no_box_and_ends_the_carry():
    carried = carry_boxes(interval({1: curve(10)}, damaged=[4]))
    assert carried.is_present[:, 0].tolist() == [True] * 4 + [False] + [True] * 5
    assert [(end.frame_index, end.side, end.reason) for end in carried.ends] == [
        (4, "left", "damaged"),
        (4, "right", "damaged"),
    ]


def test_a_damaged_label_keeps_its_box_and_carries_nothing():
    path = curve(6)
    carried = carry_boxes(interval({1: path}, damaged=[0], sides=["left"]))
    assert carried.is_present[:, 0].tolist() == [True] + [False] * 5
    np.testing.assert_array_equal(carried.boxes_xyxy[0, 0], path[0])


def test_it_leaves_the_picture_with_its_true_box_and_is_lost():
    way = np.arange(12)[:, None]
    path = np.array([[100.0, 40, 140, 80]]) + way * [8.0, 0, 8, 0]
    carried = carry_boxes(interval({1: path}, sides=["left"]))
    boxes = carried.boxes_xyxy[:, 0]
    assert boxes[5, 2] > WIDTH + 15
    assert paired_iou(boxes, path)[:6].min() > 0.85
    (end,) = carried.ends
    assert (end.side, end.reason) == ("left", "lost")
    assert 6 <= end.frame_index <= 9
    assert np.isnan(boxes[end.frame_index :]).all()


def test_absent_at_the_other_label():
    path = curve(6)
    path[-1] = np.nan
    carried = carry_boxes(interval({1: path, 2: curve(6)}))
    assert carried.is_present[:, 0].tolist() == [True] * 3 + [False] * 3
    assert [
        (end.track_id, end.frame_index, end.side, end.reason) for end in carried.ends if end.track_id == 1
    ] == [(1, 3, "left", "lost")]
    assert carried.is_present[:, 1].all()
    # Behind a cut the other end says nothing of this shot.
    cut = carry_boxes(interval({1: path, 2: curve(6)}, cuts=(5,)))
    assert cut.is_present[:, 0].tolist() == [True] * 5 + [False]


def test_lost_before_half_way_stays_lost_there():
    path = np.array([[300.0, 10, 340, 50]] * 6 + [[np.nan] * 4])
    carried = carry_boxes(interval({1: path, 2: curve(7)}))
    assert [(end.track_id, end.frame_index, end.reason) for end in carried.ends] == [(1, 1, "lost")]


def test_where_the_flow_finds_nothing_the_straight_line_remains_and_the_end_says_so():
    path = curve(8)
    frames = [texture(seed, HEIGHT, WIDTH) for seed in range(8)]
    given = interval({1: path}, frames=frames)
    carried = carry_boxes(given)
    assert {(end.side, end.reason) for end in carried.ends} == {("left", "lost"), ("right", "lost")}
    np.testing.assert_allclose(carried.boxes_xyxy, linear(given).boxes_xyxy, atol=1e-9)
    assert carried.evidence.residual[4, 0] > 30


def test_a_failing_object_leaves_the_others(monkeypatch):
    paths = {1: curve(9), 2: np.array([[100.0, 92, 140, 118]] * 9)}
    given = interval(paths)
    whole = carry_boxes(given)
    real = cv2.estimateAffinePartial2D
    calls = iter(range(100))

    def failing(*arguments, **options):
        # The first step of the first track, from the left.
        if next(calls) == 0:
            raise cv2.error("no memory")
        return real(*arguments, **options)

    monkeypatch.setattr(cv2, "estimateAffinePartial2D", failing)
    carried = carry_boxes(given)
    (end,) = carried.ends
    assert (end.track_id, end.side, end.frame_index) == (1, "left", 1)
    assert end.reason.startswith("failed: ")
    np.testing.assert_array_equal(carried.boxes_xyxy[:, 1], whole.boxes_xyxy[:, 1])
    # What is left of the first track: the flow of the right side at half its weight, and the straight line.
    back = carry_boxes(interval({1: paths[1]}, frames=list(given.frames), sides=["right"])).boxes_xyxy[:, 0]
    share = np.linspace(0, 1, 9)[:, None]
    flow = unlogged(logged(back) + (1 - share) * (logged(paths[1][0]) - logged(back[0])))
    gate = 0.5 * paired_iou(back[0], paths[1][0])
    assert 0.3 < gate < 0.5
    expected = gate * flow + (1 - gate) * linear(given).boxes_xyxy[:, 0]
    np.testing.assert_allclose(carried.boxes_xyxy[:, 0], expected, atol=1e-9)


def logged(boxes):
    """Return centre and logarithm of size."""
    return np.concatenate(
        [(boxes[..., :2] + boxes[..., 2:]) / 2, np.log(boxes[..., 2:] - boxes[..., :2])], axis=-1
    )


def unlogged(values):
    """Return the boxes again."""
    half = np.exp(values[..., 2:]) / 2
    return np.concatenate([values[..., :2] - half, values[..., :2] + half], axis=-1)


def test_the_equation_from_what_each_side_gives_alone():
    """The notes' formula, from two carries with one label each; the right label is a little off on purpose."""
    path = curve(9, growth=1.3)
    frames = clip({1: path}, 9)
    path[-1] += [4, -3, 9, 3]
    forward, backward = (
        carry_boxes(interval({1: path}, frames=frames, sides=[side])).boxes_xyxy[:, 0]
        for side in ("left", "right")
    )
    a, left, right = np.linspace(0, 1, 9)[:, None], path[0], path[-1]
    one = logged(forward) + a * (logged(right) - logged(forward[-1]))
    other = logged(backward) + (1 - a) * (logged(left) - logged(backward[0]))
    gate = (paired_iou(forward[-1], right) + paired_iou(backward[0], left)) / 2
    assert 0.5 < gate < 0.95
    expected = gate * unlogged((1 - a) * one + a * other) + (1 - gate) * ((1 - a) * left + a * right)
    carried = carry_boxes(interval({1: path}, frames=frames))
    np.testing.assert_allclose(carried.boxes_xyxy[:, 0], expected, atol=1e-9)


def test_a_box_of_few_pixels_keeps_its_size():
    path = curve(9, side=6.0, bend=2.0)
    carried = carry_boxes(interval({1: path}, sides=["left"]))
    present = carried.is_present[:, 0]
    assert present[:3].all()
    np.testing.assert_allclose(np.diff(carried.boxes_xyxy[present, 0].reshape(-1, 2, 2), axis=1), 6.0)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((60.0, 50, 61, 51), id="one pixel"),
        pytest.param((0.0, 0, WIDTH, HEIGHT), id="the whole picture"),
        pytest.param((-40.0, -30, WIDTH + 40, HEIGHT + 30), id="more than the picture"),
        pytest.param((-20.0, 30, 20, 70), id="half outside"),
    ],
)
def test_a_still_clip_gives_still_boxes(box):
    frames = [texture(5, HEIGHT, WIDTH)] * 5
    for sides in (("left", "right"), ("left",)):
        carried = carry_boxes(interval({1: np.array([box] * 5)}, frames=frames, sides=sides))
        np.testing.assert_allclose(carried.boxes_xyxy[:, 0], [box] * 5, atol=0.1)
        assert carried.ends == ()


@pytest.mark.parametrize("box", [(300.0, 10, 340, 50), (50.0, 50, 50, 80)], ids=["outside", "no area"])
def test_boxes_that_show_nothing(box):
    frames = [texture(5, HEIGHT, WIDTH)] * 5
    alone = carry_boxes(interval({1: np.array([box] * 5)}, frames=frames, sides=["left"]))
    assert [(end.frame_index, end.reason) for end in alone.ends] == [(1, "lost")]
    assert alone.is_present[:, 0].tolist() == [True] + [False] * 4
    both = carry_boxes(interval({1: np.array([box] * 5)}, frames=frames))
    np.testing.assert_array_equal(both.boxes_xyxy[:, 0], [box] * 5)
    assert np.isnan(both.evidence.residual).all()


def test_a_mask_is_carried_as_its_box_and_comes_back_itself():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[40:80, 50:90] = True
    rle = Rle.from_mask(mask)
    frames = [texture(5, HEIGHT, WIDTH)] * 4
    ends = [
        labels(t, {1: [np.nan] * 4, 2: [np.nan] * 4}, {1: rle, 2: Rle.empty(HEIGHT, WIDTH)}) for t in (0, 3)
    ]
    carried = carry_boxes(Interval(frames, np.arange(4), *ends))
    assert carried.masks[0][0] is rle
    assert carried.masks[1] == (None, None)
    np.testing.assert_allclose(carried.boxes_xyxy[1, 0], [50, 40, 90, 80], atol=0.1)
    assert not carried.is_present[1:3, 1].any()


def test_one_and_two_frames():
    one = carry_boxes(interval({1: curve(2)[:1]}, frames=[texture(1, HEIGHT, WIDTH)], sides=["left"]))
    assert one.is_present.all()
    two = carry_boxes(interval({1: curve(2)}))
    np.testing.assert_array_equal(two.boxes_xyxy[:, 0], curve(2))


def test_frame_numbers_may_have_gaps():
    """Drift is spread by frame index: at numbers 0, 1, 10 a lost flow leaves a tenth of the way at 1."""
    frames = [texture(seed, HEIGHT, WIDTH) for seed in range(3)]
    ends = [labels(t, {1: box}) for t, box in ((0, [10.0, 10, 50, 50]), (10, [60.0, 10, 100, 50]))]
    carried = carry_boxes(Interval(frames, np.array([0, 1, 10]), *ends))
    np.testing.assert_allclose(carried.boxes_xyxy[1, 0], [15, 10, 55, 50])


def test_pairs_against_the_matrix():
    rng = np.random.default_rng(0)
    corners = rng.uniform(-20, 20, (40, 2, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 30, corners.shape)], axis=2)
    boxes[0] = [[1, 1, 1, 5], [1, 1, 1, 5]]
    expected = np.diagonal(box_iou(boxes[:, 0], boxes[:, 1]))
    np.testing.assert_allclose(paired_iou(boxes[:, 0], boxes[:, 1]), expected)
    assert np.isnan(paired_iou(np.full(4, np.nan), boxes[1, 0]))


def test_area_jumps_by_hand():
    """Widths 1, 2, 6, 8 at height 1: the first half is compared with the left neighbour, the second with the right."""
    path = np.array([[0.0, 0, width, 1] for width in (1, 2, 6, 8)])
    jumps = area_jumps(interval({1: path}), path[:, None])
    np.testing.assert_allclose(jumps[1:3, 0], np.log([2, 8 / 6]))
    only_left = interval({1: path}, sides=["left"])
    np.testing.assert_allclose(area_jumps(only_left, path[:, None])[1:, 0], np.log([2, 3, 8 / 6]))


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.2, 2.0])
def test_a_cut_out_lies_where_it_should(scale):
    """Of a ramp of x + y, pixel (u, v) of a cut shows the value at its centre."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frame = np.repeat(((rows + columns) * 0.8)[..., None], 3, axis=2).astype(np.uint8)
    cut = crop(GreyPictures([frame]), 0, (40.0, 30.0), (scale, scale), (8, 6))
    v, u = np.mgrid[:6, :8] + 0.5
    expected = (40 + u / scale - 0.5 + 30 + v / scale - 0.5) * 0.8
    np.testing.assert_allclose(cut, expected, atol=1.5)


def test_the_content_of_a_box_knows_what_is_outside():
    pictures = GreyPictures([texture(1, HEIGHT, WIDTH)])
    _, is_inside = box_content(pictures, 0, np.array([-20.0, 0, 20, 40]))
    assert is_inside[:, 12:].all()
    assert not is_inside[:, :12].any()


def test_pictures_are_not_all_kept(monkeypatch):
    monkeypatch.setattr("evfr.propagation._boxes_pictures.HELD_BYTES", 0)
    given = interval({1: curve(9)})
    few = carry_boxes(given)
    monkeypatch.undo()
    same(few, carry_boxes(given))


def test_a_real_car_beats_the_straight_line_and_comes_back_the_same_way(data_dir):
    """DAVIS car-shadow, the first 25 steps: .866 for straight lines over the whole clip (bench_carry_boxes.py)."""
    with zipfile.ZipFile(data_dir / "seq" / "davis_car-shadow.zip") as archive:
        names = [f"images/{t:05d}.jpg" for t in range(26)]
        raw = [np.frombuffer(archive.read(name), np.uint8) for name in names]
        masks = [
            cv2.imdecode(np.frombuffer(archive.read(f"masks/{t:05d}.png"), np.uint8), cv2.IMREAD_GRAYSCALE)
            for t in range(26)
        ]
    frames = [np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]) for data in raw]
    truth = np.array([Rle.from_mask(mask > 127).box_xyxy for mask in masks])
    given = interval({1: truth}, frames=frames)
    carried = carry_boxes(given)
    ours, theirs = (paired_iou(way.boxes_xyxy[:, 0], truth)[1:-1].mean() for way in (carried, linear(given)))
    assert ours > theirs + 0.05
    back = carry_boxes(reversed_interval(given))
    assert paired_iou(carried.boxes_xyxy[:, 0], back.boxes_xyxy[::-1, 0]).min() > 0.99
    one_way = carry_boxes(interval({1: truth}, frames=frames, sides=["left"]))
    assert paired_iou(one_way.boxes_xyxy[:10, 0], truth[:10]).min() > 0.9

"""CoVOS on drawn coded clips: decoding order, hops, the warp, formulas on hand numbers, and the propagator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import FrameLabels
from evfr._core.gop import CodedClip, ListField
from evfr._core.masks import Rle
from evfr.propagation import Interval
from evfr.propagation._covos import covos
from evfr.propagation._covos_clip import covos_frames
from evfr.propagation._covos_cost import CovosCost
from evfr.propagation._covos_math import (
    affinity,
    cells_of,
    correct,
    correct_locally,
    pad_channels,
    plain_features,
    select_cells,
    soft_aggregate,
)
from evfr.propagation._covos_warp import fetch, fill_list, predict, restrict
from helpers.coded import field_between, moving_square, pyramid_clip

FRAMES, MASKS = moving_square()
CODED = pyramid_clip(MASKS)


def carry(frames=FRAMES, coded=CODED, masks=MASKS, **options):
    """Return the carried frames by position, and the positions in the order in which they came."""
    made = list(
        covos_frames(frames, coded, lambda t: masks[t][None], coded.is_key, object_count=1, **options)
    )
    return {frame.position: frame for frame in made}, [frame.position for frame in made]


# --- decoding order and hops


@pytest.mark.parametrize("warp", ["mean", "weighted"])
@pytest.mark.parametrize("step", [1, 4])
def test_drawn_gop_is_carried_in_decoding_order_and_written_back(warp, step):
    found, order = carry(warp=warp, step=step, correction="none")
    assert order == [0, 4, 2, 1, 3]
    assert [found[t].hops for t in range(5)] == [0, 2, 1, 2, 0]
    assert [found[t].is_key for t in range(5)] == [True, False, False, False, True]
    # The square stands on cells, so that both sizes are exact; linear enlarging rounds its four corners off.
    for t in range(5):
        assert found[t].masks().shape == (1, 48, 80)
        assert (MASKS[t] & ~found[t].masks()[0]).sum() <= (0 if step == 1 else 4)


def test_weighting_by_residual_removes_what_the_mean_leaves():
    plain, _ = carry(warp="mean", correction="none")
    ours, _ = carry(warp="weighted", correction="none")
    for t in (1, 2, 3):
        soft = plain[t].probabilities[..., 1] - 0.0
        assert (soft[~MASKS[t]] > 0.4).any(), "the drawn clip must have ground that one list gets wrong"
        assert np.array_equal(ours[t].masks()[0], MASKS[t])
        assert ours[t].probabilities[..., 1][~MASKS[t]].max() < 0.5


def test_a_b_picture_serves_with_its_warp_not_with_what_was_decoded():
    class Blind:
        """Decode to nothing, to see that nothing of it is passed on."""

        def features(self, image):
            return plain_features(image)

        def decode(self, current, warped, probabilities, corrected, size):
            self.seen = probabilities
            assert current.shape == warped.shape == (12, 20, 8)
            assert probabilities.shape == corrected.shape == (12, 20, 11)
            return np.zeros((*size, 11), np.float32)

    blind = Blind()
    found, _ = carry(decoder=blind, warp="weighted")
    assert not found[2].masks().any()
    assert not found[1].masks().any()
    assert np.array_equal(blind.seen[..., 1] > 0.5, cells_of(MASKS[3].astype(np.float32)) > 0.5)


def test_p_pictures_without_a_base_are_carried():
    made = list(
        covos_frames(
            FRAMES, CODED, lambda t: MASKS[t][None], np.arange(5) == 0, object_count=1, correction="none"
        )
    )
    hops = {frame.position: frame.hops for frame in made}
    assert hops == {0: 0, 4: 1, 2: 2, 1: 3, 3: 3}


def test_references_across_a_cut_and_to_damaged_frames_are_left_out():
    shots = np.array([0, 0, 0, 1, 1])
    found, _ = carry(shots=shots, correction="none")
    # Frames 1 and 2 see one key frame each now, so that what the square uncovers stays with it.
    assert not (MASKS[1] & ~found[1].masks()[0]).any()
    assert not found[1].masks()[0][:, 8 + 4 + 16 :].any()
    assert found[3].hops == 1
    usable = np.array([True, True, False, True, True])
    found, order = carry(is_usable=usable, correction="none")
    assert order == [0, 4, 1, 3]
    assert found[1].hops == 1


# --- the warp


def loop_fetch(stacks, field, shape, cell, step):
    """Warp as the docstring says, pixel by pixel."""
    out = np.zeros(shape, np.float32)
    for y in range(shape[0]):
        for x in range(shape[1]):
            gy = min((y * step + step // 2) // cell, field.reference.shape[0] - 1)
            gx = min((x * step + step // 2) // cell, field.reference.shape[1] - 1)
            reference = field.reference[gy, gx]
            if reference >= 0:
                v = int(
                    np.clip(np.floor(y + 0.5 + field.flow[gy, gx, 1] / np.float32(step)), 0, shape[0] - 1)
                )
                u = int(
                    np.clip(np.floor(x + 0.5 + field.flow[gy, gx, 0] / np.float32(step)), 0, shape[1] - 1)
                )
                out[y, x] = stacks[reference][v, u]
    return out


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 4]), st.sampled_from([4, 8, 16]))
def test_fetch_equals_a_plain_loop(seed, step, cell):
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(5, 40)), int(rng.integers(5, 40))
    grid = -(-height // cell), -(-width // cell)
    field = ListField(
        rng.integers(-1, 3, grid).astype(np.int32),
        np.round(rng.normal(0, 12, (*grid, 2)) * 4).astype(np.float32) / 4,
    )
    shape = -(-height // step), -(-width // step), 2
    stacks = {r: rng.random(shape, dtype=np.float32) for r in range(3)}
    assert np.array_equal(
        fetch(stacks, field, shape, cell=cell, step=step), loop_fetch(stacks, field, shape, cell, step)
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_filling_takes_a_nearest_vector(seed):
    rng = np.random.default_rng(seed)
    has = rng.random((6, 9)) < 0.2
    has[rng.integers(6), rng.integers(9)] = True
    reference = np.where(has, np.arange(54).reshape(6, 9), -1).astype(np.int32)
    flow = np.stack([reference, reference], axis=2).astype(np.float32)
    filled = fill_list(ListField(reference, flow))
    spots = np.argwhere(has)
    for y, x in np.argwhere(~has):
        took = np.array([filled.reference[y, x] // 9, filled.reference[y, x] % 9])
        assert filled.flow[y, x, 0] == filled.reference[y, x]
        # OpenCV's 5 x 5 chamfer distance may be off the Euclidean one by a few per cent.
        nearest = np.hypot(*(spots - [y, x]).T).min()
        assert np.hypot(*(took - [y, x])) <= nearest * 1.08 + 1e-6


def test_fill_only_where_asked_and_only_from_something():
    nothing = ListField.empty(3, 4)
    assert fill_list(nothing) is nothing
    one = ListField(np.array([[0, -1, -1]], np.int32), np.zeros((1, 3, 2), np.float32))
    assert fill_list(one, np.array([[False, True, False]])).reference.tolist() == [[0, 0, -1]]


def test_mean_of_two_one_or_no_list():
    frames = [np.full((4, 12, 3), v, np.uint8) for v in (100, 104, 108)]
    still = np.zeros((1, 3, 2), np.float32)
    lists = (
        ListField(np.array([[0, 0, -1]], np.int32), still),
        ListField(np.array([[2, -1, -1]], np.int32), still),
    )
    plain = predict(frames, 1, lists, 4, warp="mean", intra="zero")
    assert plain.weights[0][0].tolist() == [0.5] * 4 + [1.0] * 4 + [0.0] * 4
    assert plain.weights[1][0].tolist() == [0.5] * 4 + [0.0] * 8
    assert plain.error[0].tolist() == [0.0] * 4 + [12.0] * 4 + [312.0] * 4
    filled = predict(frames, 1, lists, 4, warp="mean", intra="fill")
    assert filled.weights[0][0].tolist() == [0.5] * 4 + [1.0] * 4 + [0.5] * 4
    both = predict(frames, 1, lists, 4, warp="weighted", intra="fill")
    assert both.weights[0] == pytest.approx(0.5)
    assert both.references == [0, 2]
    assert both.cell_weights()[0].shape == (1, 3)


def test_weights_follow_the_residual():
    frames = [np.full((8, 8, 3), v, np.uint8) for v in (112, 100, 100)]
    still = np.zeros((2, 2, 2), np.float32)
    lists = tuple(ListField(np.full((2, 2), r, np.int32), still) for r in (0, 2))
    shares = predict(frames, 1, lists, 4, warp="weighted", intra="fill").weights
    # 12 grey levels against 0: exp(-12 / 6) to 1.
    assert shares[0] == pytest.approx(np.exp(-2) / (1 + np.exp(-2)), rel=1e-5)


def test_restrict():
    field = ListField(np.array([[0, 1, -1]], np.int32), np.zeros((1, 3, 2), np.float32))
    assert restrict(field, np.array([False, True])).reference.tolist() == [[-1, 1, -1]]


# --- formulas


@given(st.floats(0.01, 0.99))
def test_psi_of_one_object(p):
    q = np.float64(np.float32(p))
    got = soft_aggregate(np.array([q], np.float32))
    assert got == pytest.approx(
        [(1 - q) ** 2 / (q * q + (1 - q) ** 2), q * q / (q * q + (1 - q) ** 2)], rel=1e-4
    )


def test_psi_of_two_objects_by_hand():
    # p0 = .5 * .25 = .125; odds 1/7, 1, 3; sum 29/7.
    assert soft_aggregate(np.array([0.5, 0.75], np.float32)) == pytest.approx([1 / 29, 7 / 29, 21 / 29])


def test_psi_is_finite_at_certainty():
    got = soft_aggregate(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]], np.float32))
    assert np.isfinite(got).all()
    assert got.sum(axis=1) == pytest.approx(1.0)
    assert got.argmax(axis=1)[:2].tolist() == [0, 1]


def test_affinity_on_hand_numbers():
    # C = 4: (2 q.k - |k|^2) / 2 is (2 - 1) / 2 for the first key and (0 - 4) / 2 for the second.
    keys = np.array([[1, 0, 0, 0], [0, 2, 0, 0]], np.float32)
    got = affinity(np.array([[1, 0, 0, 0]], np.float32), keys)
    assert got == pytest.approx(np.exp([[0.5, -2.0]]) / np.exp([0.5, -2.0]).sum(), rel=1e-6)


def test_correction_matches_foreground_only():
    features = np.zeros((2, 2, 4), np.float32)
    key_objects = np.zeros((2, 2, 2), np.float32)
    key_objects[0, 0, 0] = key_objects[0, 1, 1] = 1.0
    key = np.zeros((2, 2, 4), np.float32)
    key[0, 0, 0], key[0, 1, 1] = 3.0, 3.0
    features[1, 1, 0] = 3.0
    selected = np.array([[False, False], [False, True]])
    got = correct(features, selected, key, key_objects)
    # scores (18 - 9) / 2 and -9 / 2, the background cells are no keys
    assert got == pytest.approx(np.array([[1, np.exp(-9)]]) / (1 + np.exp(-9)), rel=1e-5)
    assert correct(features, np.zeros((2, 2), np.bool_), key, key_objects) is None
    assert correct(features, selected, key, np.zeros_like(key_objects)) is None


def test_local_correction_prefers_the_compensated_place_and_can_take_away():
    features = np.zeros((1, 9, 4), np.float32)
    objects = np.zeros((1, 9, 1), np.float32)
    objects[0, 6:] = 1.0
    selected = np.zeros((1, 9), np.bool_)
    selected[0, 3] = True
    flow = np.zeros((1, 9, 2), np.float32)
    here, trust = correct_locally(features, selected, [(features, objects, flow)])
    flow[..., 0] = 5 * 4
    there, _ = correct_locally(features, selected, [(features, objects, flow)])
    offsets = np.arange(9)
    weight = np.exp(-3 / 72 * (offsets - 3.0) ** 2)
    assert here[0, 0] == pytest.approx(weight[6:].sum() / weight.sum(), rel=1e-4)
    assert there[0, 0] > 0.5 > here[0, 0]
    assert trust == pytest.approx(0.5)
    far = features + 1e3
    assert correct_locally(far, selected, [(features, objects, flow)])[1] == 0
    assert correct_locally(features, selected, [(features, 0 * objects, flow)])[1] == 0


def test_a_match_is_trusted_as_far_as_it_is_better_than_the_warp():
    # C = 4: a difference of d in one channel is sqrt(d^2 * 72 / 2 / 4) = 3 d grey levels of root mean square.
    features = np.zeros((1, 9, 4), np.float32)
    selected = np.zeros((1, 9), np.bool_)
    selected[0, 3] = True
    key = np.full((1, 9, 4), 50.0, np.float32)
    key[0, 3], key[0, 5] = [2.0, 0, 0, 0], 0.0
    objects = np.zeros((1, 9, 1), np.float32)
    objects[0, 5] = 1.0
    found, trust = correct_locally(features, selected, [(key, objects, np.zeros((1, 9, 2), np.float32))])
    weights = np.array([np.exp(-4 / 2), np.exp(-3 / 72 * 4)])
    weights /= weights.sum()
    assert found[0, 0] == pytest.approx(weights[1], rel=1e-4)
    matched = 3 * np.sqrt(weights[0] * 4)
    assert trust[0] == pytest.approx(1 / (1 + np.exp((matched - 6.0) / 6)), rel=1e-3)


def test_selection_is_near_objects_and_badly_predicted():
    foreground = np.zeros((30, 30), np.bool_)
    foreground[15, 15] = True
    error = np.full((30, 30), 0.151 * 255, np.float32)
    got = select_cells(foreground, error)
    assert got.sum() == 17 * 17
    assert got[7, 7]
    assert not select_cells(foreground, np.full((30, 30), 0.149 * 255, np.float32)).any()


def test_padding():
    got = pad_channels(np.array([[[0.5, 0.5]]], np.float32))
    assert got.tolist() == [[[0.25, 0.5, 0.5] + [0.0] * 8]]
    with pytest.raises(ValueError, match="up to 10 objects, got 11"):
        pad_channels(np.zeros((1, 1, 11), np.float32))


def test_cells_replicate_the_border():
    assert cells_of(np.arange(5, dtype=np.float32)[None].repeat(4, 0)).tolist() == [[1.5, 4.0]]
    assert cells_of(np.zeros((5, 5, 0), np.float32)).shape == (2, 2, 0)
    assert cells_of(np.zeros((5, 5, 1), np.float32)).shape == (2, 2, 1)


# --- options and cost


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warp": "median"}, "warp must be one of mean, weighted, got 'median'"),
        ({"intra": "keep"}, "intra must be one of fill, zero, got 'keep'"),
        ({"correction": "all"}, "correction must be one of paper, local, none, got 'all'"),
        ({"step": 2}, "step must be 1 or 4, and 4 with a decoder, got 2"),
        ({"frames": FRAMES[:4]}, "the coded clip has 5 frames, but 4 were given"),
        ({"frames": [f[:, :79] for f in FRAMES]}, "the coded clip is 80x48, but frame 0 is 79x48"),
        (
            {"masks": MASKS[:, :40]},
            r"must return \(K, H, W\) = \(1, 48, 80\) for a key frame, got \(1, 40, 80\)",
        ),
        ({"masks": 2.0 * MASKS}, "probabilities between 0 and 1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        carry(**options)


def test_cost_model():
    cost = CovosCost(
        key_count=2, carried_count=6, base_seconds=0.2, propagation_seconds=0.06, correction_seconds=0.03
    )
    assert cost.key_ratio == 0.25
    # T = .1 * .25 + (.01 + .005) * .75
    assert cost.predicted() == pytest.approx(0.03625, rel=1e-9)
    assert cost.predicted(1.0) == pytest.approx(0.26125)
    assert "R 0.250" in str(cost)
    assert "T 36.3 ms a frame" in str(cost)
    assert np.isnan(CovosCost().key_ratio)
    counted = CovosCost()
    carry(cost=counted)
    assert (counted.key_count, counted.carried_count) == (2, 3)
    assert CovosCost(key_count=3, base_seconds=0.3).predicted() == pytest.approx(0.1)


# --- the propagator


def labels(t, planes, tracks=(7,), boxes=None):
    count = len(tracks)
    return FrameLabels(
        t,
        np.array(tracks, np.int64),
        np.ones(count, np.int64),
        np.full((count, 4), np.nan) if boxes is None else np.array(boxes, np.float64),
        tuple(None if plane is None else Rle.from_mask(plane) for plane in planes),
    )


def interval(left=True, right=True, **options):
    return Interval(
        FRAMES,
        np.arange(10, 15),
        labels(10, [MASKS[0]]) if left else None,
        labels(14, [MASKS[4]]) if right else None,
        **options,
    )


def test_labels_come_back_and_between_them_the_square_is_exact():
    stretch = interval()
    carried = covos(stretch, coded=CODED)
    assert carried.masks[0][0] is stretch.left.masks[0]
    assert carried.masks[4][0] is stretch.right.masks[0]
    for t in (1, 2, 3):
        assert np.array_equal(carried.masks[t][0].to_mask(), MASKS[t])
        assert carried.score[t, 0] > 0.9
        assert carried.evidence.residual[t, 0] < 2.0
    assert carried.evidence.distance[:, 0].tolist() == [0, 1, 2, 1, 0]
    assert carried.ends == ()


def test_coded_may_be_made_from_the_frames():
    seen = []
    carried = covos(
        interval(right=False), coded=lambda frames: seen.append(len(frames)) or CODED, correction="none"
    )
    assert seen == [5]
    assert not (MASKS[4] & ~carried.masks[4][0].to_mask()).any()


def test_a_base_segments_what_is_not_labelled():
    asked = []

    def base(image):
        asked.append(image)
        return MASKS[4][None].astype(np.float32)

    carried = covos(interval(right=False), coded=CODED, base=base, warp="mean", correction="none")
    assert len(asked) == 1
    assert np.array_equal(carried.masks[4][0].to_mask(), MASKS[4])
    by_index = covos(interval(right=False), coded=CODED, base={14: MASKS[4][None], 99: MASKS[4][None]})
    assert np.array_equal(by_index.masks[2][0].to_mask(), MASKS[2])


def test_boxes_are_carried_as_boxes():
    ends = [labels(t, [None], boxes=[[8.0 + 4 * t, 16.0, 24.0 + 4 * t, 32.0]]) for t in (0, 4)]
    stretch = Interval(FRAMES, np.arange(5), *ends)
    carried = covos(stretch, coded=CODED)
    assert carried.masks[2][0] is None
    assert carried.boxes_xyxy[2, 0].tolist() == [16.0, 16.0, 32.0, 32.0]


def test_nothing_is_carried_across_a_cut():
    carried = covos(interval(right=False, cuts=(3,)), coded=CODED)
    assert carried.masks[2][0] is not None
    assert carried.masks[3][0] is None
    assert [(end.frame_index, end.side, end.reason) for end in carried.ends] == [(13, "left", "cut")]


def test_an_object_that_vanishes_is_named():
    nothing = ListField.empty(*CODED.grid)
    coded = CodedClip(48, 80, "IPPPP", np.arange(5), (None,) + ((nothing, nothing),) * 4, 4)
    carried = covos(interval(right=False), coded=coded)
    assert [(end.frame_index, end.reason) for end in carried.ends] == [(11, "lost")]
    assert np.isnan(carried.boxes_xyxy[1:]).all()


def test_permuting_ids_permutes_the_output():
    other = np.zeros_like(MASKS)
    other[:, 40:46, 4:20] = True

    def run(tracks):
        order = np.argsort(tracks)
        ends = [labels(t, [[MASKS[t], other[t]][k] for k in order], np.sort(tracks)) for t in (0, 4)]
        return covos(Interval(FRAMES, np.arange(5), *ends), coded=CODED)

    first, second = run([1, 2]), run([2, 1])
    for t in range(5):
        assert first.masks[t] == second.masks[t][::-1]


def test_coded_is_needed():
    with pytest.raises(ValueError, match="covos needs coded="):
        covos(interval())


# --- the value itself


def test_coded_clip_checks_its_parts():
    empty = ListField.empty(12, 20)
    with pytest.raises(ValueError, match="may hold I, P and B only, got 'X'"):
        CodedClip(48, 80, "IX", np.arange(2), (None, None), 4)
    with pytest.raises(ValueError, match="each of the 2 positions once"):
        CodedClip(48, 80, "IP", np.array([0, 0]), (None, None), 4)
    with pytest.raises(ValueError, match="one entry for each of 2 frames, got 1"):
        CodedClip(48, 80, "IP", np.arange(2), (None,), 4)
    with pytest.raises(ValueError, match="sizes must be 1 or more"):
        CodedClip(48, 80, "IP", np.arange(2), (None, None), 0)
    with pytest.raises(ValueError, match=r"frame 1: the grid must be \(6, 10\) cells"):
        CodedClip(48, 80, "IP", np.arange(2), (None, (empty, empty)), 8)
    later = field_between(MASKS, 1, 2)
    with pytest.raises(ValueError, match=r"frame 1: it refers to the frames \[2\]"):
        CodedClip(48, 80, "IBP", np.arange(3), (None, (later, empty), None), 4)
    with pytest.raises(ValueError, match="reference must be"):
        ListField(np.zeros((2, 2), np.int64), np.zeros((2, 2, 2), np.float32))
    with pytest.raises(ValueError, match="flow must be"):
        ListField(np.zeros((2, 2), np.int32), np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="finite"):
        ListField(np.zeros((2, 2), np.int32), np.full((2, 2, 2), np.nan, np.float32))
    assert "IBBBP" in repr(CODED)
    assert "references [2]" in repr(later)

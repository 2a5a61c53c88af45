"""Masks carried along step fields: known motion, occlusion, loss, competition, mixtures of boxes and masks."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Sequence
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image
from tests.helpers.moving import Mover, draw, interval_of, labels_of, texture

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle, intersection_area, iou
from evfr._core.motion import StepFields
from evfr.propagation import CarryEnd, Interval, copy, default, flow, motion
from evfr.video import proxy_step_fields

SIZE = (72, 112)
METHODS = {
    "flow": flow,
    "motion": lambda interval, **options: motion(interval, steps={"proxy": options["step"]}),
    "default": default,
}


def mean_iou(carried, masks, k=0, times: Sequence[int] | None = None):
    times = range(1, len(masks) - 1) if times is None else times
    found = [carried.masks[t][k] for t in times]
    truth = [Rle.from_mask(masks[t, k]) for t in times]
    return np.mean([0.0 if a is None else iou(a, b) for a, b in zip(found, truth, strict=True)])


def exact(movers, masks):
    """Return a maker of the true step fields of drawn movers on a still background."""

    def maker(frames, frame_index):
        count, height, width = len(frames), *frames[0].shape[:2]
        fields = np.zeros((2, count - 1, height, width, 2), np.float32)
        for t in range(count - 1):
            for k, mover in enumerate(movers):
                fields[0, t][masks[t + 1, k]] = [-mover.step[1], -mover.step[0]]
                fields[1, t][masks[t, k]] = [mover.step[1], mover.step[0]]
        return StepFields(fields[0], fields[1], 1, "exact")

    return maker


def test_exact_steps_carry_exactly():
    """With true whole-pixel motion the object is found whole; uncovered background, which no frame before shows,
    is what a single side gets wrong, and what the other side mends."""
    movers = [Mover((34, 24), (1, 4), (14, 14), 1)]
    frames, masks = draw(movers, 9, SIZE)
    interval = interval_of(frames, masks, sides=("left",))
    carried = flow(interval, steps={"exact": exact(movers, masks)}, step="exact")
    for t in range(1, 9):
        assert not (masks[t, 0] & ~carried.masks[t][0].to_mask()).any()
    both = flow(interval_of(frames, masks), steps={"exact": exact(movers, masks)}, step="exact")
    assert mean_iou(both, masks) > 0.8
    assert both.ends == ()


@pytest.mark.parametrize("fusion", ["residual", "distance"])
def test_flow_beats_copying(fusion):
    movers = [Mover((34, 24), (0.5, 4), (14, 16), 1)]
    frames, masks = draw(movers, 11, SIZE)
    interval = interval_of(frames, masks)
    carried = flow(interval, fusion=fusion)
    assert mean_iou(carried, masks) > mean_iou(copy(interval), masks) + 0.15


def test_matching_and_residual_pay_where_an_object_is_hidden():
    """A front object passes over a still one: where it was hidden at one end, the other end knows."""
    movers = [Mover((36, 56), (0, 0), (20, 22), 1), Mover((36, 8), (0, 8), (16, 10), 2)]
    frames, masks = draw(movers, 13, SIZE)
    by_distance = flow(interval_of(frames, masks), fusion="distance")
    by_residual = flow(interval_of(frames, masks))
    full = default(interval_of(frames, masks), step="dis")
    scores = [np.mean([mean_iou(c, masks, k) for k in range(2)]) for c in (by_distance, by_residual, full)]
    assert scores[1] > scores[0]
    assert scores[2] > scores[0]
    for row in full.masks:
        assert row[0] is None or row[1] is None or intersection_area(row[0], row[1]) == 0


def test_evidence_tells_good_from_bad():
    """A scene that is replaced without a cut being known: the residual is large and both carries disagree."""
    movers = [Mover((34, 44), (0, 1), (14, 16), 1)]
    frames, masks = draw(movers, 9, SIZE)
    calm = flow(interval_of(frames, masks))
    broken = frames.copy()
    broken[4:7] = texture(77, *SIZE, 150, 255)
    rough = flow(interval_of(broken, masks))
    for t in (4, 5, 6):
        if rough.is_present[t, 0]:
            assert rough.evidence.residual[t, 0] > 2 * calm.evidence.residual[t, 0]
    inside = slice(1, -1)
    for column in ("residual", "agreement", "area_jump", "shape_jump", "distance"):
        values = getattr(calm.evidence, column)[inside, 0]
        assert np.isfinite(values).all(), column
    assert calm.evidence.agreement[inside, 0].min() > 0.6
    assert calm.evidence.shape_jump[inside, 0].max() < 0.2
    assert calm.evidence.area_jump[inside, 0].max() < 0.15
    assert calm.score[inside, 0].min() > 0.8
    assert np.isnan(calm.evidence.agreement[[0, -1], 0]).all()
    lone = flow(interval_of(frames, masks, sides=("right",)))
    assert np.isnan(lone.evidence.agreement).all()
    assert np.isfinite(lone.evidence.shape_jump[:-1, 0]).all()


def test_an_object_that_leaves_is_lost_once():
    """It leaves the frame on the right; from then on there is nothing, and one end says when."""
    movers = [Mover((34, 80), (0, 6), (10, 12), 1)]
    frames, masks = draw(movers, 12, SIZE)
    interval = interval_of(frames, masks, sides=("left",))
    carried = flow(interval, steps={"out": constant((6, 0))}, step="out")
    gone = int(np.flatnonzero(~carried.is_present[:, 0])[0])
    assert not carried.is_present[gone:].any()
    assert carried.ends == (CarryEnd(1, gone, "left", "lost"),)
    assert np.isnan(carried.score[gone:, 0]).all()


def constant(value):
    def maker(frames, frame_index):
        shape = (len(frames) - 1, *frames[0].shape[:2], 2)
        field = np.broadcast_to(np.array(value, np.float32), shape).copy()
        return StepFields(-field, field, 1, "constant")

    return maker


@pytest.mark.parametrize("method", ["flow", "default"])
def test_an_object_that_one_end_does_not_have_ends_where_the_other_sees_background(method):
    """The object is there in frames 0..4 of 11 and then gone: carried from the left, it must not reach the right."""
    movers = [Mover((36, 40), (0, 1), (16, 18), 1, range(5)), Mover((20, 90), (0, 0), (8, 8), 2)]
    frames, masks = draw(movers, 11, SIZE)
    carried = METHODS[method](interval_of(frames, masks), step="dis")
    present = carried.is_present[:, 0]
    assert present[:5].all()
    assert not present[6:].any()
    assert [end.side for end in carried.ends if end.track_id == 1] == ["left"]
    assert carried.is_present[:, 1].all()
    # Backwards it appears: the same track, labelled at the right end only.
    back = METHODS[method](interval_of(frames[::-1].copy(), masks[::-1].copy()), step="dis")
    np.testing.assert_array_equal(back.is_present[::-1, 0], present)


def test_objects_whose_labels_overlap_may_overlap():
    """Labels that overlap are kept so (a rider on a horse): they do not compete for pixels."""
    frames, masks = draw([Mover((36, 50), (0, 2), (20, 30), 1)], 7, SIZE)
    inner = masks.copy()
    inner[:, :, :30] = False
    pair = np.concatenate([masks, inner], axis=1)
    carried = flow(interval_of(frames, pair))
    for t in range(1, 6):
        outer_mask, inner_mask = carried.masks[t]
        assert intersection_area(outer_mask, inner_mask) > 0.9 * inner_mask.area


def test_equal_shares_go_to_the_larger_object_whatever_its_id():
    """Two objects that touch move by half a pixel: where they meet each has one half, and none is background."""
    masks = np.zeros((3, 2, *SIZE), np.bool_)
    masks[:, 0, 20:40, 30:50] = True
    masks[:, 1, 20:40, 50:60] = True
    frames = np.stack([texture(1, *SIZE)] * 3)
    for ids in ([1, 2], [2, 1]):
        interval = interval_of(frames, masks, sides=("left",), ids=ids)
        carried = flow(interval, steps={"half": constant((0.5, 0))}, step="half")
        large, small = (carried.masks[1][ids[k] - 1].to_mask() for k in range(2))
        assert large[30, 50]
        assert not small[30, 50]
        assert small[30, 51]


def test_boxes_are_carried_beside_masks():
    movers = [Mover((34, 24), (0, 3), (12, 14), 1), Mover((36, 84), (0, -2), (12, 12), 2)]
    frames, masks = draw(movers, 7, SIZE)

    def part(t):
        labels = labels_of(masks[t], t, [5, 3])
        box = np.array([labels.masks[1].box_xyxy], np.float64)
        return replace(
            labels,
            boxes_xyxy=np.concatenate([np.full((1, 4), np.nan), box]),
            masks=(labels.masks[0], None),
        )

    interval = Interval(frames, np.arange(7), part(0), part(6))
    carried = default(interval, step="dis")
    assert carried.track_ids.tolist() == [3, 5]
    assert all(row[0] is None and row[1] is not None for row in carried.masks)
    assert carried.is_present.all()
    for t in range(7):
        truth = np.array(Rle.from_mask(masks[t, 1]).box_xyxy)
        assert np.abs(carried.boxes_xyxy[t, 0] - truth).max() < 4
    only = replace(interval, left=None, right=part(6))
    alone = default(replace(only, right=replace_masks(part(6))), step="dis")
    assert all(mask is None for row in alone.masks for mask in row)


def replace_masks(labels: FrameLabels) -> FrameLabels:
    """Return labels with boxes only."""
    boxes = labels.boxes_xyxy.copy()
    for row, mask in enumerate(labels.masks):
        if mask is not None:
            boxes[row] = mask.box_xyxy
    return replace(labels, boxes_xyxy=boxes, masks=(None,) * len(labels.masks))


def test_a_box_at_one_end_does_not_speak_against_the_mask_at_the_other():
    movers = [Mover((34, 34), (0, 2), (14, 16), 1)]
    frames, masks = draw(movers, 7, SIZE)
    interval = interval_of(frames, masks)
    mixed = replace(interval, right=replace_masks(interval.right))
    carried, lone = flow(mixed), flow(replace(interval, right=None))
    assert carried.masks[6][0] is None
    assert carried.masks[1:6] == lone.masks[1:6]
    assert default(mixed, step="dis").is_present.all()


def test_a_proxy_must_be_given():
    frames, masks = draw([Mover((34, 34), (0, 2))], 4, SIZE)
    interval = interval_of(frames, masks)
    with pytest.raises(
        ValueError, match=r"motion needs the step fields 'proxy', got \[\]; pass steps=\{'proxy': <m"
    ):
        motion(interval)
    with pytest.raises(ValueError, match="step 'best' chooses between the vectors of a proxy and DIS flow"):
        default(interval)
    with pytest.raises(ValueError, match="fusion must be 'residual' or 'distance', got 'mean'"):
        flow(interval, fusion="mean")


def test_frames_are_read_one_by_one():
    """Frames need not be an array, nor all in memory: a sequence that decodes on demand will do."""
    frames, masks = draw([Mover((34, 34), (0, 2))], 6, SIZE)
    held = []

    class Lazy(Sequence):
        def __len__(self):
            return 6

        def __getitem__(self, t):
            held.append(t)
            return frames[t].copy()

    interval = interval_of(frames, masks)
    lazy = replace(interval, frames=Lazy())
    assert flow(lazy).masks == flow(interval).masks
    assert held


def test_stretches_without_objects_cost_no_step_fields():
    frames, masks = draw([Mover((34, 34), (0, 2))], 5, SIZE)

    def maker(given, numbers):
        raise AssertionError("step fields were made")

    carried = motion(interval_of(frames, masks & False), steps={"proxy": maker})
    assert carried.masks == ((),) * 5
    cut = replace(interval_of(frames, masks, sides=("left",)), cuts=(1,))
    assert motion(cut, steps={"proxy": maker}).masks[0][0] is cut.left.masks[0]


def test_copy_takes_the_nearer_frame_by_number():
    """Frames 0, 1, 8, 9: frame 1 is nearer to the left, 8 to the right, whatever their positions."""
    frames, masks = draw([Mover((34, 34), (0, 2))], 4, SIZE)
    index = np.array([0, 1, 8, 9])
    interval = Interval(frames, index, labels_of(masks[0], 0, [1]), labels_of(masks[3], 9, [1]))
    carried = copy(interval)
    assert carried.masks[1][0] is interval.left.masks[0]
    assert carried.masks[2][0] is interval.right.masks[0]
    middle = Interval(frames[:3], np.arange(3), labels_of(masks[0], 0, [1]), labels_of(masks[3], 2, [1]))
    assert copy(middle).masks[1][0] is middle.left.masks[0]


def test_a_real_clip(data_dir):
    """The first ten frames between two labels of chair.mp4: far better than copying, with every step field."""
    with av.open(str(data_dir / "seq" / "chair.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in itertools.islice(container.decode(video=0), 11)]
    with zipfile.ZipFile(data_dir / "seq" / "chair_masks.zip") as archive:
        names = [f"{t:05d}.png" for t in range(11)]
        masks = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(name)))) > 0 for name in names])[
            :, None
        ]
    interval = interval_of(frames, masks)
    floor = mean_iou(copy(interval), masks)
    for carried in (
        default(interval, steps={"proxy": proxy_step_fields}),
        motion(interval, steps={"proxy": proxy_step_fields}),
        default(interval, step="dis"),
    ):
        assert mean_iou(carried, masks) > floor + 0.08

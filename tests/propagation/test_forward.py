"""One object carried frame by frame: the same as the methods make of a whole interval with a label at its left end."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.helpers.moving import Mover, draw, interval_of, texture

from evfr._core.masks import Rle
from evfr.propagation import (
    ForwardCarry,
    SharedSteps,
    carried_trust,
    carry_boxes,
    default,
    flow,
)

SIZE = (72, 112)
SHOWN_UNTIL = Mover((34, 24), (1, 4), (14, 14), 1)
GONE = Mover((34, 24), (0, 4), (9, 9), 1, frames=range(4))


def carried_by_steps(frames, **options):
    carry = ForwardCarry(frames[0], **options)
    return carry, [carry.advance(frame) for frame in frames[1:]]


@pytest.mark.parametrize("mover", [SHOWN_UNTIL, GONE], ids=["in view", "gone after three frames"])
@pytest.mark.parametrize(("name", "method"), [("default", default), ("flow", flow)])
def test_masks_score_and_trust_are_those_of_the_whole_interval(mover, name, method):
    frames, masks = draw([mover], 12, SIZE)
    whole = method(interval_of(frames, masks, sides=("left",)), step="dis")
    trust = carried_trust(whole)
    carry, labels = carried_by_steps(frames, mask=Rle.from_mask(masks[0, 0]), method=name)
    for t, label in enumerate(labels, start=1):
        assert (label is None) == (whole.masks[t][0] is None)
        if label is not None:
            assert label.mask == whole.masks[t][0]
            assert label.box_xyxy == tuple(whole.boxes_xyxy[t, 0])
            assert label.score == pytest.approx(whole.score[t, 0])
            assert label.trust == pytest.approx(trust[t, 0])
    lost = {end.reason for end in whole.ends}
    assert carry.end == (lost.pop() if lost else "")


def test_boxes_are_those_of_the_whole_interval():
    frames, masks = draw([SHOWN_UNTIL], 10, SIZE)
    box = Rle.from_mask(masks[0, 0]).box_xyxy
    interval = interval_of(frames, masks, sides=("left",))
    whole = carry_boxes(interval)
    trust = carried_trust(whole)
    carry, labels = carried_by_steps(frames, box_xyxy=box)
    assert repr(carry) == "ForwardCarry(a box, 9 frames on)"
    for t, label in enumerate(labels, start=1):
        assert label.mask is None
        np.testing.assert_allclose(label.box_xyxy, whole.boxes_xyxy[t, 0], atol=1e-9)
        assert label.score == pytest.approx(whole.score[t, 0])
        assert label.trust == pytest.approx(trust[t, 0], abs=1e-9)


def test_lost_object_stays_lost():
    frames, _ = draw([SHOWN_UNTIL], 3, SIZE)
    empty, none = carried_by_steps(frames, mask=Rle.empty(*SIZE))
    assert none == [None, None] and empty.end == "lost" and repr(empty).endswith("2 frames on, lost)")
    for box in ((500.0, 500.0, 520.0, 520.0), (4.0, 4.0, 4.0, 9.0)):
        carry, none = carried_by_steps(frames, box_xyxy=box)
        assert none == [None, None] and carry.end == "lost"


def test_distrusted_object_is_lost_for_good():
    frames, masks = draw([SHOWN_UNTIL], 6, SIZE)
    mask = Rle.from_mask(masks[0, 0])
    trusts = [label.trust for label in carried_by_steps(frames, mask=mask)[1]]
    worst = int(np.argmin(trusts))
    carry, labels = carried_by_steps(frames, mask=mask, min_trust=trusts[worst] + 1e-9)
    assert carry.end == "lost"
    assert [label is not None for label in labels] == [t < worst for t in range(5)]


def test_box_that_opencv_fails_on_says_so(monkeypatch):
    error = cv2.error("planted")
    error.err = "planted"  # of the class it is what the last real failure of this process said

    def fails(*_):
        raise error

    monkeypatch.setattr("evfr.propagation._forward.box_step", fails)
    frames, _ = draw([SHOWN_UNTIL], 3, SIZE)
    carry, none = carried_by_steps(frames, box_xyxy=(10, 20, 38, 48))
    assert none == [None, None] and carry.end == "failed: planted"


def test_objects_share_step_fields(monkeypatch):
    drawn, masks = draw([SHOWN_UNTIL], 3, SIZE)
    frames = list(drawn)
    made = []
    steps = SharedSteps("dis")
    inner = steps._flow
    monkeypatch.setattr(steps, "_flow", lambda *pair: made.append(1) or inner(*pair))
    carries = [ForwardCarry(frames[0], mask=Rle.from_mask(masks[0, 0]), steps=steps) for _ in range(3)]
    for _ in range(2):
        for carry in carries:
            carry.advance(frames[1])
    # Three objects, one pair; then three objects again on the pair (1, 1), which is another one.
    assert len(made) == 2
    assert steps.between(frames[2], frames[1]).values.shape == (*SIZE, 2)


def test_arguments_are_checked():
    frame = texture(0, *SIZE)
    mask = Rle.empty(*SIZE)
    with pytest.raises(ValueError, match="exactly one of mask and box_xyxy"):
        ForwardCarry(frame)
    with pytest.raises(ValueError, match="exactly one of mask and box_xyxy"):
        ForwardCarry(frame, mask=mask, box_xyxy=(0, 0, 5, 5))
    with pytest.raises(ValueError, match="'default' or 'flow', got 'magic'"):
        ForwardCarry(frame, mask=mask, method="magic")
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"min_trust must lie in 0\.\.1, got"):
            ForwardCarry(frame, mask=mask, min_trust=wrong)
    with pytest.raises(ValueError, match="the mask is 5x4, the frame 112x72"):
        ForwardCarry(frame, mask=Rle.empty(4, 5))
    with pytest.raises(ValueError, match="change from 112x72 to 10x8 pixels"):
        ForwardCarry(frame, mask=mask).advance(frame[:8, :10])
    with pytest.raises(ValueError, match=r"no step fields named 'proxy'.*dis, dis-medium, farneback"):
        SharedSteps("proxy")

"""Carry one object onto one new frame after another, as a labelling tool asks for it while a person waits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from evfr._core.masks import Rle
from evfr.propagation._boxes_flow import box_step
from evfr.propagation._boxes_pictures import GreyPictures, box_content
from evfr.propagation._carried import Evidence
from evfr.propagation._fusion import SideView, compete, fuse
from evfr.propagation._matching import cell_side, make_key
from evfr.propagation._measure import band_mean, measure, trimmed
from evfr.propagation._patches import Patch
from evfr.propagation._pictures import grey_of
from evfr.propagation._steps import SharedSteps
from evfr.propagation._trust_model import BUILT_IN_TRUST, TrustModel, trust_features
from evfr.propagation._warp import FULL, Chain, first_patch, hop

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ForwardCarry", "ForwardLabel"]


@dataclass(frozen=True, slots=True)
class ForwardLabel:
    """Hold one object on the frame that it was carried onto.

    Attributes
    ----------
    mask : Rle or None
        None for an object that is a box only.
    box_xyxy : tuple of four float
        x0, y0, x1, y1 in pixels, right and bottom edges exclusive; tight around the mask.
    score : float
        0 to 1, how clearly it was carried.
    trust : float
        0 to 1, the IoU that is expected.
    """

    mask: Rle | None
    box_xyxy: tuple[float, float, float, float]
    score: float
    trust: float


class ForwardCarry:
    """Carry one labelled object forward, frame by frame, by what `default`, `flow` and `carry_boxes` do (ours).

    Parameters
    ----------
    frame : (H, W, 3) uint8
        RGB, the labelled frame. Frames are kept, not copied: do not write to them.
    mask : Rle or None
        The object's pixels.
    box_xyxy : sequence of four float, or None
        Its box, where there is no mask; exactly one of the two is given.
    method : {"default", "flow"}
        Of a mask: with local matching where the motion does not explain the picture, or along the flow alone. Boxes
        are carried by the points inside them, whatever the method.
    steps : SharedSteps or None
        Makes the step fields; one for several objects on the same frames makes each field once. None: DIS flow.
    min_trust : float
        Below this trust, in [0, 1], the object counts as lost.
    trust_model : TrustModel
        Turns what was measured into trust.

    Raises
    ------
    ValueError
        If not exactly one of mask and box is given, the mask has another size than the frame, there is no such
        method, or ``min_trust`` lies outside its range.

    Notes
    -----
    The masks equal those of ``default(interval, step="dis")`` and ``flow(interval)`` for an interval that is labelled
    at its left end by this object alone; a test holds this. Frames must follow each other: the motion from one to the
    next is measured, and nothing is known of cuts, across which trust falls but no rule stops the carry.
    """

    def __init__(
        self,
        frame: NDArray[np.uint8],
        *,
        mask: Rle | None = None,
        box_xyxy: tuple[float, float, float, float] | None = None,
        method: Literal["default", "flow"] = "default",
        steps: SharedSteps | None = None,
        min_trust: float = 0.0,
        trust_model: TrustModel = BUILT_IN_TRUST,
    ) -> None:
        if (mask is None) == (box_xyxy is None):
            raise ValueError("give exactly one of mask and box_xyxy")
        if method not in ("default", "flow"):
            raise ValueError(f"method must be 'default' or 'flow', got {method!r}")
        if not 0.0 <= min_trust <= 1.0:
            raise ValueError(f"min_trust must lie in 0..1, got {min_trust}")
        height, width = frame.shape[:2]
        if mask is not None and (mask.height, mask.width) != (height, width):
            raise ValueError(f"the mask is {mask.width}x{mask.height}, the frame {width}x{height}")
        self._frame = frame
        self._steps = steps or SharedSteps()
        self._min_trust, self._trust_model = min_trust, trust_model
        self._count = 0
        self._worst_jump = 0.0
        self.end = ""
        if mask is not None:
            self._start_mask(mask, is_matching=method == "default")
        elif box_xyxy is not None:
            self._start_box(np.array(box_xyxy, np.float64))

    def __repr__(self) -> str:
        kind = "mask" if self._box is None else "box"
        return f"ForwardCarry(a {kind}, {self._count} frames on{', ' + self.end if self.end else ''})"

    def advance(self, frame: NDArray[np.uint8]) -> ForwardLabel | None:
        """Carry the object onto the next frame.

        Parameters
        ----------
        frame : (H, W, 3) uint8
            RGB, the frame after the one given last.

        Returns
        -------
        ForwardLabel or None
            None where the object was lost: then it stays lost, and ``end`` says ``"lost"`` or ``"failed: <what>"``.

        Raises
        ------
        ValueError
            If the frame has another size.
        """
        if frame.shape != self._frame.shape:
            raise ValueError(
                f"the frames change from {self._frame.shape[1]}x{self._frame.shape[0]} to {frame.shape[1]}x"
                f"{frame.shape[0]} pixels; label the object again on a frame of the new size"
            )
        self._count += 1
        label = None
        if not self.end:
            label = self._next_mask(frame) if self._box is None else self._next_box(frame, self._box)
            if label is not None and label.trust < self._min_trust:
                label = None
            if label is None and not self.end:
                self.end = "lost"
        self._frame = frame
        return label

    def _start_mask(self, mask: Rle, *, is_matching: bool) -> None:
        height, width = self._frame.shape[:2]
        self._box: NDArray[np.float64] | None = None
        self._soft = first_patch(mask)
        self._flow = np.zeros((-(-height // 2), -(-width // 2), 2), np.float32)
        self._before: Patch | None = None
        if self._soft is not None:
            self._before = Patch(self._soft.window, (self._soft.values > FULL // 2).view(np.uint8))
        self._grey = grey_of(self._frame)
        self._key = make_key(self._frame, [mask], cell_side(height, width)) if is_matching else None

    def _next_mask(self, frame: NDArray[np.uint8]) -> ForwardLabel | None:
        if self._soft is None:
            return None
        (self._soft,), self._flow, step = hop(
            [self._soft], self._flow, self._steps.between(frame, self._frame)
        )
        # The two frames that the measures compare: the one before and this one.
        nothing = np.zeros((0, 0, 2), np.float32)
        chain = Chain(((None,), (self._soft,)), (nothing, self._flow), (nothing, step), {})
        side = SideView("left", chain, self._grey, 0, self._key)
        fused = fuse(frame, self._count, 1, [side], is_by_residual=True)
        if fused is None or (share := fused.shares[0]) is None:
            return None
        (won,) = compete(fused.shares, [0], np.zeros((1, 1), np.bool_))
        patch = None if won is None else trimmed(won, fused.window)
        if patch is None:
            return None
        score = float(share[patch.window.within(fused.window)][patch.values > 0].mean())
        index = np.array([self._count - 1, self._count])
        jumps = measure([[self._before], [patch]], [side], index)
        trust = self._trust(
            band_mean(patch, fused), float(jumps["area_jump"][1, 0]), float(jumps["shape_jump"][1, 0])
        )
        self._before = patch
        canvas = np.zeros(frame.shape[:2], np.bool_)
        canvas[patch.window.rows_columns] = patch.values > 0
        mask = Rle.from_mask(canvas)
        return ForwardLabel(mask, mask.box_xyxy, score, trust)

    def _start_box(self, box: NDArray[np.float64]) -> None:
        self._box = box
        self._speed = np.zeros(2)
        has_area = bool((box[2:] > box[:2]).all())
        self._content = box_content(GreyPictures([self._frame]), 0, box) if has_area else None

    def _next_box(self, frame: NDArray[np.uint8], box: NDArray[np.float64]) -> ForwardLabel | None:
        pictures = GreyPictures([self._frame, frame])
        try:
            found = box_step(pictures, 0, 1, box, self._speed)
        except cv2.error as error:
            self.end = f"failed: {error.err or error}"
            return None
        if found is None or self._content is None:
            return None
        scale, self._speed, support = found
        centre, half = (box[:2] + box[2:]) / 2 + self._speed, (box[2:] - box[:2]) / 2 * scale
        now = np.concatenate([centre - half, centre + half])
        self._box = now
        grey, is_inside = box_content(pictures, 1, now)
        both = is_inside & self._content[1]
        residual = float(np.abs(grey - self._content[0])[both].mean()) if both.any() else math.nan
        # A box has no shape that could jump beside its motion.
        trust = self._trust(residual, 2 * abs(math.log(scale)), 0.0)
        x0, y0, x1, y1 = now.tolist()
        return ForwardLabel(None, (x0, y0, x1, y1), support, trust)

    def _trust(self, residual: float, area_jump: float, shape_jump: float) -> float:
        """Return the trust of this frame; of shape jumps, the worst on the way counts."""
        self._worst_jump = max(self._worst_jump, shape_jump)
        measured = (residual, math.nan, area_jump, self._worst_jump, float(self._count))
        evidence = Evidence(*(np.array([[value]]) for value in measured))
        return float(self._trust_model.predict(trust_features(evidence))[0, 0])

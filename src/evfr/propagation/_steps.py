"""Step fields: dense backward motion between neighbouring frames, made when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evfr._core.motion import StepFields
from evfr.propagation._patches import Window
from evfr.propagation._pictures import fetch, grey_of, mean_blocks, pixel_grid, spread_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.motion import StepFieldMaker
    from evfr.propagation._interval import Side

__all__ = [
    "STEP_FIELDS",
    "Hops",
    "SharedSteps",
    "Step",
    "best_fields",
    "better_field",
    "dis",
    "dis_medium",
    "farneback",
    "make_hops",
]

PairFlow = Callable[["NDArray[np.uint8]", "NDArray[np.uint8]"], "NDArray[np.float32]"]
LEAST_SIDE = 64
ERROR_WINDOW = 5


def dis(frames: Sequence[NDArray[np.uint8]], frame_index: NDArray[np.int64]) -> StepFields:
    """Measure steps by DIS optical flow, preset ultrafast (Kroeger et al. 2016, OpenCV's implementation).

    Parameters
    ----------
    frames : sequence of T (H, W, 3) uint8
        RGB.
    frame_index : (T,) int64
        Not used: flow looks at pictures only.

    Returns
    -------
    StepFields
        Dense: ``cell`` is 1.

    References
    ----------
    Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016, doi:10.1007/978-3-319-46493-0_29.
    """
    return _all_steps(_pair_dis(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST), frames, "dis")


def dis_medium(frames: Sequence[NDArray[np.uint8]], frame_index: NDArray[np.int64]) -> StepFields:
    """Measure steps by DIS optical flow, preset medium (Kroeger et al. 2016): about eight times dearer than `dis`.

    Parameters
    ----------
    frames : sequence of T (H, W, 3) uint8
        RGB.
    frame_index : (T,) int64
        Not used: flow looks at pictures only.

    Returns
    -------
    StepFields
        Dense: ``cell`` is 1.
    """
    return _all_steps(_pair_dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM), frames, "dis-medium")


def farneback(frames: Sequence[NDArray[np.uint8]], frame_index: NDArray[np.int64]) -> StepFields:
    """Measure steps by polynomial expansion (Farneback 2003, OpenCV's implementation).

    Parameters
    ----------
    frames : sequence of T (H, W, 3) uint8
        RGB.
    frame_index : (T,) int64
        Not used: flow looks at pictures only.

    Returns
    -------
    StepFields
        Dense: ``cell`` is 1.

    References
    ----------
    Farneback, "Two-frame motion estimation based on polynomial expansion", SCIA 2003, doi:10.1007/3-540-45103-X_50.
    """
    return _all_steps(_pair_farneback, frames, "farneback")


STEP_FIELDS: dict[str, StepFieldMaker] = {"dis": dis, "dis-medium": dis_medium, "farneback": farneback}
"""Makers of step fields that need nothing but the frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Hold the backward field of one frame on cells, and spread it where it is asked for, linear between centres.

    Attributes
    ----------
    values : (h, w, 2) float32
        Displacements in full-size pixels.
    cell : int
        Pixels per cell; 1 is dense.
    height, width : int
        Full size.
    """

    values: NDArray[np.float32]
    cell: int
    height: int
    width: int

    def dense(self) -> NDArray[np.float32]:
        """Return the (H, W, 2) field."""
        return self.part(Window(0, self.height, 0, self.width))

    def half(self) -> NDArray[np.float32]:
        """Return the (ceil(H / 2), ceil(W / 2), 2) field, in full-size pixels."""
        if self.cell % 2:
            return mean_blocks(self.dense(), 2)
        return spread_blocks(self.values, self.cell // 2, -(-self.height // 2), -(-self.width // 2))

    def part(self, window: Window) -> NDArray[np.float32]:
        """Return the field over a window."""
        if self.cell == 1:
            return self.values[window.rows_columns]
        # One cell more on each side, so that a part is the same as the whole.
        rows, columns = self.values.shape[:2]
        cells = Window(
            window.y0 // self.cell,
            -(-window.y1 // self.cell),
            window.x0 // self.cell,
            -(-window.x1 // self.cell),
        ).padded(1, rows, columns)
        whole = cells.scaled(self.cell)
        return spread_blocks(self.values[cells.rows_columns], self.cell, *whole.shape)[window.within(whole)]


@dataclass(frozen=True, slots=True)
class Hops:
    """Give dense backward fields between neighbouring frames, one at a time.

    Attributes
    ----------
    to_previous, to_next : callable
        ``t -> Step``, entry t of the column of that name of `StepFields`.
    """

    to_previous: Callable[[int], Step]
    to_next: Callable[[int], Step]


def make_hops(
    step: str,
    frames: Sequence[NDArray[np.uint8]],
    frame_index: NDArray[np.int64],
    steps: Mapping[str, StepFieldMaker] | None,
) -> Hops:
    """Choose step fields by name; fields of the family's own are computed hop by hop, so that none is kept.

    Parameters
    ----------
    step : str
        A name in ``steps``, ``"best"`` (per pixel the better of "proxy" and "dis"), or one in `STEP_FIELDS`.
    frames : sequence of T (H, W, 3) uint8
        RGB.
    frame_index : (T,) int64
        Their numbers, for the makers.
    steps : mapping of str to StepFieldMaker, or None
        Makers given by the caller; they win over own ones of the same name.

    Returns
    -------
    Hops
        The fields.

    Raises
    ------
    ValueError
        If the name is not known, or a maker's fields do not fit the frames.
    """
    given = dict(steps or {})
    if step == "best" and step not in given:
        if "proxy" not in given:
            raise ValueError(
                "step 'best' chooses between the vectors of a proxy and DIS flow, and no proxy was given; pass "
                "steps={'proxy': <maker>}, or choose step='dis' (portable: flow alone)"
            )
        proxy = make_hops("proxy", frames, frame_index, given)
        flow = make_hops("dis", frames, frame_index, given)
        return Hops(
            to_previous=lambda t: _better(
                frames[t + 1], frames[t], proxy.to_previous(t), flow.to_previous(t)
            ),
            to_next=lambda t: _better(frames[t], frames[t + 1], proxy.to_next(t), flow.to_next(t)),
        )
    if step in given:
        return _hops_of(given[step](frames, frame_index), frames, step)
    if step not in _PAIRS:
        known = ", ".join(sorted({*given, *_PAIRS} | ({"best"} if "proxy" in given else set())))
        raise ValueError(f"no step fields named {step!r}; there are {known}; pass others in steps")
    flow_of, (height, width) = _PAIRS[step](), frames[0].shape[:2]
    return Hops(
        to_previous=lambda t: Step(flow_of(grey_of(frames[t + 1]), grey_of(frames[t])), 1, height, width),
        to_next=lambda t: Step(flow_of(grey_of(frames[t]), grey_of(frames[t + 1])), 1, height, width),
    )


class SharedSteps:
    """Make backward fields of single pairs of frames, and keep the last ones for all objects that ask (ours).

    Parameters
    ----------
    step : str
        A name in `STEP_FIELDS`.

    Raises
    ------
    ValueError
        If there is no such name.
    """

    def __init__(self, step: str = "dis") -> None:
        if step not in _PAIRS:
            raise ValueError(f"no step fields named {step!r} for single pairs; there are {', '.join(_PAIRS)}")
        self._flow = _PAIRS[step]()
        self._held: list[tuple[NDArray[np.uint8], NDArray[np.uint8], Step]] = []

    def between(self, frame: NDArray[np.uint8], previous: NDArray[np.uint8]) -> Step:
        """Return the field from a frame back to the one before it.

        Parameters
        ----------
        frame, previous : (H, W, 3) uint8
            RGB. The same two arrays again (not copies) give the field that was made for them, while it is among the
            last four.

        Returns
        -------
        Step
            Dense.
        """
        for at, (known, other, step) in enumerate(self._held):
            if known is frame and other is previous:
                self._held.append(self._held.pop(at))
                return step
        step = Step(self._flow(grey_of(frame), grey_of(previous)), 1, *frame.shape[:2])
        self._held = [*self._held[-3:], (frame, previous, step)]
        return step


def _better(frame: NDArray[np.uint8], neighbour: NDArray[np.uint8], first: Step, second: Step) -> Step:
    return Step(better_field(frame, neighbour, first.dense(), second.dense()), 1, first.height, first.width)


def better_field(
    frame: NDArray[np.uint8],
    neighbour: NDArray[np.uint8],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Take, per pixel, the field that predicts the frame from its neighbour with the lower error ("best", ours).

    Parameters
    ----------
    frame, neighbour : (H, W, 3) uint8
        RGB.
    first, second : (H, W, 2) float32
        Backward fields of ``frame`` to ``neighbour``.

    Returns
    -------
    (H, W, 2) float32
        ``first`` where both err alike. The error is the absolute difference in grey levels, mean of 5 x 5 pixels.
    """
    grey, other = grey_of(frame), grey_of(neighbour)
    is_worse = step_error(grey, other, first) > step_error(grey, other, second)
    out = first.copy()
    cv2.copyTo(second, is_worse.view(np.uint8), out)
    return out


def best_fields(
    frames: Sequence[NDArray[np.uint8]], proxy: StepFields, *, side: Side | None = None
) -> StepFields:
    """Make the fields of the step "best" for a whole stretch, for callers that carry through it several times (ours).

    Parameters
    ----------
    frames : sequence of T (H, W, 3) uint8
        RGB.
    proxy : StepFields
        The vectors of a proxy of these frames.
    side : {"left", "right"} or None
        Where the labels are, if at one end only: fields of the other direction are not made, and are zero. None makes
        both.

    Returns
    -------
    StepFields
        Dense, named "best": the values that a propagator with ``step="best"`` makes for itself, up to rounding, since
        OpenCV's DIS remembers something of the pictures before.

    Raises
    ------
    ValueError
        If the proxy's fields do not fit the frames.
    """
    height, width = frames[0].shape[:2]
    hops = make_hops("best", frames, np.arange(len(frames)), {"proxy": lambda *_: proxy})
    shape = (len(frames) - 1, height, width, 2)
    fields: list[NDArray[np.float32]] = []
    for own, hop in (("left", hops.to_previous), ("right", hops.to_next)):
        if side not in (None, own):
            fields.append(np.broadcast_to(np.float32(0), shape))
            continue
        values = np.empty(shape, np.float32)
        for t in range(len(values)):
            values[t] = hop(t).dense()
        fields.append(values)
    return StepFields(fields[0], fields[1], 1, "best")


def step_error(
    grey: NDArray[np.uint8], other: NDArray[np.uint8], field: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the (H, W) float32 mean absolute difference of a grey picture and its compensated neighbour."""
    error = cv2.absdiff(grey, fetch(other, pixel_grid(*grey.shape) + field))
    size = (ERROR_WINDOW, ERROR_WINDOW)
    out: Any = cv2.boxFilter(error, cv2.CV_32F, size, borderType=cv2.BORDER_REPLICATE)
    return out  # type: ignore[no-any-return]


def _pair_dis(preset: int) -> PairFlow:
    engine = cv2.DISOpticalFlow_create(preset)  # type: ignore[attr-defined]

    def flow(grey: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = grey.shape
        # DIS refuses pictures smaller than its coarsest patches.
        down, across = max(0, LEAST_SIDE - height), max(0, LEAST_SIDE - width)
        pair: list[Any] = [grey, other]
        if down or across:
            pair = [cv2.copyMakeBorder(g, 0, down, 0, across, cv2.BORDER_REPLICATE) for g in pair]
        field: NDArray[np.float32] = engine.calc(*pair, None)[:height, :width]
        return field

    return flow


def _pair_farneback(grey: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    field: Any = cv2.calcOpticalFlowFarneback(grey, other, None, 0.5, 3, 15, 3, 5, 1.2, 0)  # type: ignore[call-overload]
    return field  # type: ignore[no-any-return]


_PAIRS: dict[str, Callable[[], PairFlow]] = {
    "dis": lambda: _pair_dis(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
    "dis-medium": lambda: _pair_dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "farneback": lambda: _pair_farneback,
}


def _all_steps(flow: PairFlow, frames: Sequence[NDArray[np.uint8]], name: str) -> StepFields:
    if len(frames) == 0:
        raise ValueError("step fields need at least one frame")
    height, width = frames[0].shape[:2]
    to_previous = np.empty((len(frames) - 1, height, width, 2), np.float32)
    to_next = np.empty_like(to_previous)
    last = grey_of(frames[0])
    for t in range(len(frames) - 1):
        grey = grey_of(frames[t + 1])
        to_previous[t], to_next[t] = flow(grey, last), flow(last, grey)
        last = grey
    return StepFields(to_previous, to_next, 1, name)


def _hops_of(fields: StepFields, frames: Sequence[NDArray[np.uint8]], name: str) -> Hops:
    height, width = frames[0].shape[:2]
    grid = -(-height // fields.cell), -(-width // fields.cell)
    if len(fields) != len(frames) - 1 or fields.to_previous.shape[1:3] != grid:
        raise ValueError(
            f"step fields {name!r}: {len(frames)} frames of {width}x{height} need {len(frames) - 1} steps of "
            f"{grid[1]}x{grid[0]} cells of {fields.cell} px, got {fields!r}"
        )
    return Hops(
        to_previous=lambda t: Step(fields.to_previous[t], fields.cell, height, width),
        to_next=lambda t: Step(fields.to_next[t], fields.cell, height, width),
    )

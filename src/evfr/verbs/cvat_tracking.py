"""Label carry as a tracking function of CVAT: ``cvat-cli function ... --function-module evfr.verbs.cvat_tracking``.

CVAT asks, frame by frame, where a mask, polygon or rectangle has gone that a person drew; `create` returns what
answers. It belongs among the verbs because it is an entry that people call by its name and that puts a family to work;
it is no command of evfr's own, for CVAT's program runs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.masks import Rle
    from evfr.propagation import ForwardCarry, ForwardLabel

__all__ = ["SHAPES", "CvatTracker", "create"]

SHAPES = ("mask", "polygon", "rectangle")
"""Types of shapes that are carried; CVAT's others (ellipse, points, polyline, cuboid, skeleton) are not."""

_PIXELS_OFF = 0.75
"""How far a polygon's edge may lie from the mask's: less than a pixel, more than the steps of a slanted edge."""


def create(
    *,
    method: Literal["default", "flow"] = "default",
    step: Literal["dis", "dis-medium", "farneback"] = "dis",
    min_trust: float = 0.6,
) -> CvatTracker:
    """Make the tracking function that CVAT's program loads (ours).

    Parameters
    ----------
    method : {"default", "flow"}
        Of masks and polygons: with local matching where the motion does not explain the picture, or along the flow
        alone, which is faster. Rectangles are carried by the points inside them, whatever the method.
    step : {"dis", "dis-medium", "farneback"}
        Optical flow from one frame to the next.
    min_trust : float
        Below this expected IoU, in [0, 1], the shape counts as lost: CVAT is told that it is not there, from that
        frame on.

    Returns
    -------
    CvatTracker
        With the ``spec`` that cvat-sdk asks for.

    Raises
    ------
    ValueError
        If an option is not allowed.
    MissingExtraError
        If cvat-sdk is not installed.

    Examples
    --------
    ``cvat-cli function create-native evfr --function-module evfr.verbs.cvat_tracking -p method=str:flow`` prints a
    number; ``cvat-cli function run-agent NUMBER --function-module evfr.verbs.cvat_tracking -p method=str:flow`` then
    answers. See ``docs/how-to/cvat-tracking.md``.
    """
    from evfr.propagation import SharedSteps

    if method not in ("default", "flow"):
        raise ValueError(f"method must be 'default' or 'flow', got {method!r}")
    if not 0.0 <= min_trust <= 1.0:
        raise ValueError(f"min_trust must lie in 0..1, got {min_trust!r}")
    return CvatTracker(_interface(), method, SharedSteps(step), float(min_trust))


class CvatTracker:
    """Answer CVAT's questions; `create` makes it. The state of a shape is a `ForwardCarry`, kept by CVAT's program.

    Parameters
    ----------
    interface : module
        ``cvat_sdk.auto_annotation``, or what has its ``TrackingFunctionSpec`` and ``TrackableShape``.
    method : {"default", "flow"}
        As `create` says.
    steps : SharedSteps
        Motion between frames, made once for all shapes on them.
    min_trust : float
        As `create` says.

    Notes
    -----
    Each shape is carried alone: two that touch may come to overlap. The frames that CVAT gives must follow each
    other; it does not say their numbers. A mask is carried as it is; a polygon is filled, carried as a mask, and drawn
    anew around its largest part, so that the number of its corners changes. A state holds the frame before, the
    first one in grey and a motion field: about 10 bytes a pixel beside the frame.
    """

    def __init__(
        self, interface: Any, method: Literal["default", "flow"], steps: Any, min_trust: float
    ) -> None:
        self._interface, self._steps = interface, steps
        self.method, self.min_trust = method, min_trust
        self.spec = interface.TrackingFunctionSpec(supported_shape_types=SHAPES)

    def preprocess_image(self, context: Any, image: Any) -> NDArray[np.uint8]:
        """Turn a picture into what the other methods take.

        Parameters
        ----------
        context : TrackingFunctionContext
            Not used.
        image : PIL.Image.Image
            The frame.

        Returns
        -------
        (H, W, 3) uint8
            RGB, read-only.
        """
        import numpy as np

        picture = np.array(image.convert("RGB"), np.uint8)
        picture.flags.writeable = False
        return picture

    def init_tracking_state(self, context: Any, pp_image: NDArray[np.uint8], shape: Any) -> ForwardCarry:
        """Look at a shape on the frame where a person drew it.

        Parameters
        ----------
        context : TrackingFunctionShapeContext
            Not used.
        pp_image : (H, W, 3) uint8
            Of `preprocess_image`.
        shape : TrackableShape
            ``type`` (one of `SHAPES`) and ``points``.

        Returns
        -------
        ForwardCarry
            The state. A shape without a pixel in the picture is lost on the first frame.

        Raises
        ------
        ValueError
            If the type is not supported, or the points are none of a shape of that type in this picture.
        """
        from evfr._core.masks import Rle
        from evfr.propagation import ForwardCarry

        height, width = pp_image.shape[:2]
        points = _numbers(shape)
        mask, box = None, None
        if shape.type == "rectangle":
            box = (points[0], points[1], points[2], points[3])
        elif shape.type == "polygon":
            mask = Rle.from_polygons([points], height, width)
        else:
            mask = _mask_of(points, height, width)
        return ForwardCarry(
            pp_image,
            mask=mask,
            box_xyxy=box,
            method=self.method,
            steps=self._steps,
            min_trust=self.min_trust,
        )

    def track(self, context: Any, pp_image: NDArray[np.uint8], state: ForwardCarry) -> Any:
        """Find the shape on the next frame.

        Parameters
        ----------
        context : TrackingFunctionShapeContext
            Says ``original_shape_type``.
        pp_image : (H, W, 3) uint8
            Of `preprocess_image`.
        state : ForwardCarry
            Of `init_tracking_state`; goes on by one frame.

        Returns
        -------
        TrackableShape or None
            Of the original type. None where the shape is lost, or trusted less than ``min_trust``, and from there on.
        """
        label = state.advance(pp_image)
        if label is None:
            return None
        kind = context.original_shape_type
        points = _points_of(label, kind, *pp_image.shape[:2])
        return None if points is None else self._interface.TrackableShape(type=kind, points=points)


def _interface() -> Any:
    import importlib

    from evfr.errors import MissingExtraError

    try:
        return importlib.import_module("cvat_sdk.auto_annotation")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "cvat_sdk":
            raise
        raise MissingExtraError(
            "cvat-sdk is not installed where evfr is; run: python -m pip install cvat-cli (it brings cvat-sdk)"
        ) from error


def _numbers(shape: Any) -> list[float]:
    """Return the points of a shape, as many as its type needs and all finite."""
    import math

    points = [float(value) for value in shape.points]
    counts = {"rectangle": len(points) == 4, "polygon": len(points) >= 6 and len(points) % 2 == 0}
    if shape.type not in SHAPES:
        raise ValueError(f"the type of a shape must be one of {', '.join(SHAPES)}, got {shape.type!r}")
    if not all(map(math.isfinite, points)) or not counts.get(shape.type, len(points) >= 5):
        raise ValueError(
            f"a {shape.type} of {len(points)} numbers cannot be carried: a rectangle has x0 y0 x1 y1, a polygon three "
            "points or more, a mask runs and the box x0 y0 x1 y1 that they fill; all finite"
        )
    return points


def _mask_of(points: Sequence[float], height: int, width: int) -> Rle:
    """Return a mask of CVAT: runs along the rows of a box, zeros first, then the box, its last pixels included."""
    import numpy as np

    from evfr._core.masks import Rle

    *runs, x0, y0, x1, y1 = (int(value) for value in points)
    size = (y1 + 1 - y0, x1 + 1 - x0)
    is_inside = 0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height
    if [*runs, x0, y0, x1, y1] != list(points) or min(runs) < 0 or not is_inside:
        raise ValueError(
            f"a mask must have whole runs and a box within {width}x{height} pixels, got the box {x0} {y0} {x1} {y1}"
        )
    if sum(runs) != size[0] * size[1]:
        raise ValueError(f"the runs of a mask add up to {sum(runs)}, its box has {size[0] * size[1]} pixels")
    dense = np.zeros((height, width), np.bool_)
    dense[y0 : y1 + 1, x0 : x1 + 1] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)
    return Rle.from_mask(dense)


def _points_of(label: ForwardLabel, kind: str, height: int, width: int) -> list[float] | None:
    """Return a carried object as the points of a shape within the picture; None where none of it is."""
    if label.mask is None:
        x0, y0, x1, y1 = label.box_xyxy
        box = [max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))]
        return box if box[0] < box[2] and box[1] < box[3] else None
    return _runs_of(label.mask) if kind == "mask" else _polygon_of(label.mask)


def _runs_of(mask: Rle) -> list[float]:
    from evfr.annotations._cvat_shapes import crop_runs

    fields = crop_runs(mask)
    left, top, width, height = (int(fields[key]) for key in ("left", "top", "width", "height"))
    return [*map(int, fields["rle"].split(",")), left, top, left + width - 1, top + height - 1]


def _polygon_of(mask: Rle) -> list[float]:
    """Return the outline of the largest part without its holes, along the edges of pixels and then smoothed."""
    import cv2
    import numpy as np

    from evfr._core.masks import Rle
    from evfr.annotations._outline import outline

    dense = mask.to_mask().astype(np.uint8)
    # Parts are 4-connected, so that an outline does not touch itself at a corner.
    _, parts, stats, _ = cv2.connectedComponentsWithStats(dense, connectivity=4)
    largest = parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    outside = np.pad(~largest, 1, constant_values=True).astype(np.uint8)
    _, around = cv2.connectedComponents(outside, connectivity=8)
    filled = around[1:-1, 1:-1] != around[0, 0]
    corners = outline(Rle.from_mask(filled)).astype(np.float32)
    smooth = cv2.approxPolyDP(corners[:, None], _PIXELS_OFF, True)[:, 0]
    kept = smooth if len(smooth) >= 3 else corners
    points: list[float] = kept.astype(np.float64).ravel().tolist()
    return points

"""CoVOS as a propagator: labelled and segmented key frames, the others along the vectors of a coded clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from evfr._core.gop import CodedClip
from evfr._core.masks import Rle
from evfr.propagation._covos_clip import CovosDecoder, CovosFrame, covos_frames
from evfr.propagation._covos_cost import CovosCost
from evfr.propagation._interval import SIDES, Carried, CarryEnd, Interval, assemble, label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.motion import StepFieldMaker

__all__ = ["covos"]

Segmenter = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]
CodedMaker = Callable[[Sequence["NDArray[np.uint8]"]], CodedClip]

BAND = 7


def covos(
    interval: Interval,
    *,
    steps: Mapping[str, StepFieldMaker] | None = None,
    coded: CodedClip | CodedMaker | None = None,
    base: Segmenter | Mapping[int, NDArray[np.bool_]] | None = None,
    decoder: CovosDecoder | None = None,
    warp: Literal["weighted", "mean"] = "weighted",
    intra: Literal["fill", "zero"] = "fill",
    correction: Literal["auto", "paper", "local", "none"] = "auto",
    cost: CovosCost | None = None,
) -> Carried:
    """Segment I and P pictures and carry B pictures along the codec's vectors (CoVOS; Xu & Yao 2022).

    Parameters
    ----------
    interval : Interval
        Frames with labels at one end or both. Boxes without masks are carried as filled boxes, and come back as boxes.
    steps : mapping, optional
        Not used: the vectors come from ``coded``.
    coded : CodedClip or callable
        Types, decoding order and vectors of exactly these frames, or ``frames -> CodedClip``; for example
        `evfr.video.proxy_clip`.
    base : callable, mapping or None
        What segments key frames that are not labelled: ``image -> (K, H, W)`` probabilities with one plane per track
        of ``interval.track_ids``, or masks by frame index. None carries P pictures too, along their own vectors
        (ours), which is how labels alone get through.
    decoder : CovosDecoder or None
        For example `evfr.models.covos_network`. None stops at the corrected warp.
    warp : {"weighted", "mean"}
        Mix two references by their compensated residuals (ours), or equally (Eq. 6-7).
    intra : {"fill", "zero"}
        Intra cells take the nearest vectors (ours), or become background.
    correction : {"auto", "paper", "local", "none"}
        Matching of badly predicted cells: the paper's (section 3.4), which needs its decoder; ours, around the
        compensated place; none; auto is the paper's with a decoder and ours without.
    cost : CovosCost or None
        Added to, for the cost model; print it when all intervals are through.

    Returns
    -------
    Carried
        Masks do not overlap. ``residual`` and ``agreement`` (of the two lists) are measured, ``area_jump`` too.

    Raises
    ------
    ValueError
        If ``coded`` is missing or does not fit, or what the base returns does not.

    References
    ----------
    Xu & Yao, "Accelerating Video Object Segmentation with Compressed Video", CVPR 2022, arXiv:2107.12192.
    """
    del steps
    if coded is None:
        raise ValueError(
            "covos needs coded=: evfr.video.proxy_clip, or the CodedClip of the stream's own vectors"
        )
    clip = coded if isinstance(coded, CodedClip) else coded(interval.frames)
    count, tracks = len(interval), len(interval.track_ids)
    given = _given(interval, base, clip)
    options = None if correction == "auto" else correction
    masks: list[list[Rle | None]] = [[None] * tracks for _ in range(count)]
    columns = {
        name: np.full((count, tracks), np.nan) for name in ("score", "residual", "agreement", "area_jump")
    }
    areas = np.full((count, tracks), np.nan)

    def segment(position: int) -> NDArray[np.generic]:
        found = given[position]
        return found if isinstance(found, np.ndarray) else found(interval.frames[position])

    for made in covos_frames(
        interval.frames,
        clip,
        segment,
        np.array([position in given for position in range(count)]),
        object_count=tracks,
        decoder=decoder,
        warp=warp,
        intra=intra,
        correction=options,
        shots=_shots(interval),
        is_usable=interval.is_usable,
        cost=cost,
    ):
        _measure(
            made, masks[made.position], {name: column[made.position] for name, column in columns.items()}
        )
        areas[made.position] = [0 if mask is None else mask.area for mask in masks[made.position]]
    columns["area_jump"] = _area_jumps(interval, areas)
    boxes = _tight_boxes(masks)
    ends = _lost(interval, masks)
    for k in range(tracks):
        if _is_box(interval, k):
            for row in masks:
                row[k] = None
    score = columns.pop("score")
    return assemble(interval, masks=masks, boxes_xyxy=boxes, score=score, evidence=columns, ends=ends)


def _given(
    interval: Interval, base: Segmenter | Mapping[int, NDArray[np.bool_]] | None, clip: CodedClip
) -> dict[int, NDArray[np.generic] | Segmenter]:
    """Return what is known of key frames before anything is carried: arrays, or the segmenter to be asked."""
    found: dict[int, NDArray[np.generic] | Segmenter] = {}
    if isinstance(base, Mapping):
        place = {int(index): position for position, index in enumerate(interval.frame_index)}
        found |= {place[index]: np.asarray(array) for index, array in base.items() if index in place}
    elif base is not None:
        found |= {int(position): base for position in np.flatnonzero(clip.is_key[: len(interval)])}
    for side, at in (("left", 0), ("right", len(interval) - 1)):
        if interval.labels(side) is not None:  # type: ignore[arg-type]
            planes = np.zeros((len(interval.track_ids), interval.height, interval.width), np.bool_)
            for k in range(len(planes)):
                planes[k] = _plane(interval, side, k)
            found[at] = planes
    return found


def _plane(interval: Interval, side: str, k: int) -> NDArray[np.bool_]:
    out = np.zeros((interval.height, interval.width), np.bool_)
    label = label_of(interval, side, k)  # type: ignore[arg-type]
    if label is None:
        return out
    mask, box = label
    if mask is not None:
        return mask.to_mask()
    if not np.isnan(box).any():
        x0, y0, x1, y1 = np.rint(np.maximum(box, 0)).astype(int).tolist()
        out[y0:y1, x0:x1] = True
    return out


def _is_box(interval: Interval, k: int) -> bool:
    """Whether no end has a mask of the track."""
    labels = [label_of(interval, side, k) for side in SIDES]
    return all(label is None or label[0] is None for label in labels)


def _shots(interval: Interval) -> NDArray[np.int64]:
    shots = np.zeros(len(interval), np.int64)
    shots[list(interval.cuts)] = 1
    return np.cumsum(shots)


def _measure(made: CovosFrame, masks: list[Rle | None], row: Mapping[str, NDArray[np.float64]]) -> None:
    """Fill in what one frame shows of each object."""
    row["agreement"][:] = made.agreement
    square = np.ones((2 * BAND + 1, 2 * BAND + 1), np.uint8)
    for k, mask in enumerate(made.masks() if made.probabilities.shape[2] > 1 else ()):
        if not mask.any():
            continue
        masks[k] = Rle.from_mask(mask)
        row["score"][k] = float(made.probabilities[..., k + 1][mask].mean())
        if made.error is not None:
            band = cv2.dilate(mask.astype(np.uint8), square) > 0
            row["residual"][k] = float(made.error[band].mean()) / 3.0


def _area_jumps(interval: Interval, areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return |log of the ratio of areas| to the neighbour on the side of the nearest label."""
    count = len(areas)
    jumps = np.full(areas.shape, np.nan)
    for t in range(count):
        is_left = interval.right is None or (interval.left is not None and t <= count - 1 - t)
        other = t - 1 if is_left else t + 1
        if 0 <= other < count:
            known = (areas[t] > 0) & (areas[other] > 0)
            jumps[t, known] = np.abs(np.log(areas[t, known] / areas[other, known]))
    return jumps


def _tight_boxes(masks: Sequence[Sequence[Rle | None]]) -> NDArray[np.float64]:
    boxes = np.full((len(masks), len(masks[0]), 4), np.nan)
    for t, row in enumerate(masks):
        for k, mask in enumerate(row):
            if mask is not None:
                boxes[t, k] = mask.box_xyxy
    return boxes


def _lost(interval: Interval, masks: Sequence[Sequence[Rle | None]]) -> list[CarryEnd]:
    """Name the first frame, from each end, where nothing of a labelled object is left."""
    ends = []
    for side in SIDES:
        positions, _ = interval.reach(side)
        for k, track in enumerate(interval.track_ids.tolist()):
            label = label_of(interval, side, k)
            if label is None or (label[0] is not None and label[0].is_empty):
                continue
            inner = [
                t for t in positions[1:] if 0 < t < len(interval) - 1 or interval.labels(_other(side)) is None
            ]
            gone = next((t for t in inner if masks[t][k] is None), None)
            if gone is not None:
                ends.append(CarryEnd(track, int(interval.frame_index[gone]), side, "lost"))
    return ends


def _other(side: str) -> Literal["left", "right"]:
    return "right" if side == "left" else "left"

"""Carry object probabilities through a coded clip, frame by frame in decoding order (CoVOS, Xu & Yao 2022)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from evfr._core.gop import CodedClip, ListField
from evfr.propagation._covos_cost import CovosCost
from evfr.propagation._covos_math import (
    SCALE,
    cells_of,
    correct,
    correct_locally,
    pad_channels,
    plain_features,
    select_cells,
    soft_aggregate,
)
from evfr.propagation._covos_plan import make_plan
from evfr.propagation._covos_warp import INTRA, WARPS, Prediction, check_size, fetch, predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CovosDecoder", "CovosFrame", "CovosInputs", "covos_frames"]

CORRECTIONS = ("paper", "local", "none")

Base = Callable[[int], "NDArray[np.generic] | None"]


class CovosDecoder(Protocol):
    """Give low-level features, and decode what was warped; `evfr.models.covos_network` makes one."""

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (h4, w4, C) features of an (H, W, 3) picture."""

    def decode(
        self,
        current: NDArray[np.float32],
        warped: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        corrected: NDArray[np.float32],
        size: tuple[int, int],
    ) -> NDArray[np.float32]:
        """Return (H, W, 11) from V, V^, P^ and P-, before soft aggregation; channel k is the k-th object."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CovosInputs:
    """Hold what the decoder gets for one frame, at a quarter of its size.

    Attributes
    ----------
    current, warped : (h4, w4, C) float32
        V and V^: low-level features of the frame, and those warped to it.
    probabilities, corrected : (h4, w4, 11) float32
        P^ and P-, the background first.
    """

    current: NDArray[np.float32]
    warped: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    corrected: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CovosFrame:
    """Hold what became of one frame.

    Attributes
    ----------
    position : int
        Its place in the clip.
    is_key : bool
        Whether the base, or a label, gave it.
    hops : int
        Warps between it and the key frames it draws on, at most; 0 for key frames.
    probabilities : (H, W, K + 1) float32
        Sum to 1, the background first; an object is where it is the largest.
    error : (H, W) float32 or None
        Sum over RGB of |frame - compensated prediction| in grey levels; None for key frames.
    agreement : (K,) float64
        IoU of what the two lists say, where both say something; NaN where they do not.
    selected_count : int
        Cells that were matched anew.
    inputs : CovosInputs or None
        What the decoder got or would get; None without one, and for key frames.
    """

    position: int
    is_key: bool
    hops: int
    probabilities: NDArray[np.float32]
    error: NDArray[np.float32] | None
    agreement: NDArray[np.float64]
    selected_count: int
    inputs: CovosInputs | None

    def masks(self) -> NDArray[np.bool_]:
        """Return the objects, (K, H, W) bool: each pixel belongs to at most one."""
        best = self.probabilities.argmax(axis=2)
        return np.stack([best == k for k in range(1, self.probabilities.shape[2])])


@dataclass(slots=True, eq=False)
class _Stack:
    """What is kept of a frame: warped objects on samples ``step`` apart, warped and own features, hops so far."""

    objects: NDArray[np.float32]
    warped: NDArray[np.float32] | None
    own: NDArray[np.float32] | None
    hops: int

    def cells(self, step: int) -> NDArray[np.float32]:
        """Return the objects at a quarter of the size."""
        return cells_of(self.objects) if step == 1 else self.objects


def covos_frames(
    frames: Sequence[NDArray[np.uint8]],
    coded: CodedClip,
    base: Base,
    is_given: NDArray[np.bool_],
    *,
    object_count: int,
    decoder: CovosDecoder | None = None,
    features: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None,
    warp: str = "weighted",
    intra: str = "fill",
    correction: str | None = None,
    step: int | None = None,
    shots: NDArray[np.int64] | None = None,
    is_usable: NDArray[np.bool_] | None = None,
    cost: CovosCost | None = None,
) -> Iterator[CovosFrame]:
    """Segment key frames by a base and carry the others, in decoding order (CoVOS; Xu & Yao 2022, section 3).

    Parameters
    ----------
    frames : sequence of T (H, W, 3) uint8
        Decoded pictures, RGB.
    coded : CodedClip
        Their types, decoding order and vectors.
    base : callable
        ``position -> (K, H, W)`` probabilities or masks; called once for each key frame, in decoding order.
    is_given : (T,) bool
        Key frames. Frames that are not carry what their references have; P pictures may be among them (ours).
    object_count : int
        K.
    decoder : CovosDecoder or None
        None stops after the correction.
    features : callable or None
        ``image -> (h4, w4, C)`` for matching without a decoder, and for `CovosFrame.inputs` then; None takes colours
        and slopes.
    warp : {"weighted", "mean"}
        Share of the two lists: by their compensated residuals (ours), or equal (Eq. 6-7).
    intra : {"fill", "zero"}
        Intra cells take the nearest vectors (ours), or nothing.
    correction : {"paper", "local", "none"} or None
        What becomes of badly predicted cells near an object: the foreground they resemble in the nearest key frame is
        added (section 3.4), they are matched around the compensated place in the frames referred to (ours), or
        nothing. None is the paper's with a decoder and ours without.
    step : {1, 4} or None
        Probabilities are warped at full size (ours) or at a quarter of it, as the decoder needs; None is 4 with a
        decoder and 1 without.
    shots : (T,) int64 or None
        Number of the shot of each frame: nothing is fetched from another one.
    is_usable : (T,) bool or None
        False where a frame is not decoded: it is left out, and nothing is fetched from it.
    cost : CovosCost or None
        Added to while frames are made.

    Yields
    ------
    CovosFrame
        One for each usable frame, in decoding order. What a B has warped is kept for those that refer to it; what
        was matched or decoded is not (section 3.3).

    Raises
    ------
    ValueError
        If sizes or options do not fit.
    """
    check_size(coded, frames)
    if warp not in WARPS:
        raise ValueError(f"warp must be one of {', '.join(WARPS)}, got {warp!r}")
    if intra not in INTRA:
        raise ValueError(f"intra must be one of {', '.join(INTRA)}, got {intra!r}")
    correction = ("local" if decoder is None else "paper") if correction is None else correction
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, got {correction!r}")
    step = (1 if decoder is None else SCALE) if step is None else step
    if step not in (1, SCALE) or (decoder is not None and step != SCALE):
        raise ValueError(f"step must be 1 or 4, and 4 with a decoder, got {step}")
    count = len(frames)
    shots = np.zeros(count, np.int64) if shots is None else shots
    usable = np.ones(count, np.bool_) if is_usable is None else is_usable
    plan = make_plan(coded, is_given & usable, shots, usable)
    cost = CovosCost() if cost is None else cost
    is_stacked = decoder is not None or features is not None
    describe = decoder.features if decoder is not None else features or plain_features
    stacks: dict[int, _Stack] = {}
    for rank, position in enumerate(coded.decode_order.tolist()):
        if not usable[position]:
            continue
        frame, begin = frames[position], time.perf_counter()
        if plan.is_key[position]:
            objects = _one_hot(base(position), object_count, frame.shape[:2])
            cost.key_count += 1
            cost.base_seconds += time.perf_counter() - begin
            begin = time.perf_counter()
            described = describe(frame) if correction != "none" or is_stacked else None
            stacks[position] = _Stack(objects if step == 1 else cells_of(objects), described, described, 0)
            cost.propagation_seconds += time.perf_counter() - begin
            made = CovosFrame(
                position, True, 0, _with_background(objects), None, np.full(object_count, np.nan), 0, None
            )
        else:
            prediction = predict(frames, position, plan.lists[position], coded.cell, warp=warp, intra=intra)
            stack, agreement = _warp(stacks, prediction, frame, object_count, coded.cell, step, is_stacked)
            stack.own = describe(frame) if correction != "none" or is_stacked else None
            cost.propagation_seconds += time.perf_counter() - begin
            begin = time.perf_counter()
            key = stacks.get(plan.nearest_key.get(position, -1))
            corrected, selected_count = _correct(stack, prediction, stacks, key, correction, coded.cell, step)
            inputs = _inputs(stack, corrected) if is_stacked and step == SCALE else None
            probabilities = _decode(corrected, inputs, decoder, (frame.shape[0], frame.shape[1]), step)
            cost.correction_seconds += time.perf_counter() - begin
            cost.carried_count += 1
            stacks[position] = stack
            made = CovosFrame(
                *(position, False, stack.hops, probabilities, prediction.error),
                *(agreement, selected_count, inputs),
            )
        for old in [held for held in stacks if plan.last_use[held] <= rank]:
            del stacks[old]
        yield made


def _warp(
    stacks: dict[int, _Stack],
    prediction: Prediction,
    frame: NDArray[np.uint8],
    object_count: int,
    cell: int,
    step: int,
    is_stacked: bool,
) -> tuple[_Stack, NDArray[np.float64]]:
    """Warp both lists, mix them, and say how far they agree."""
    height, width = -(-frame.shape[0] // step), -(-frame.shape[1] // step)
    weights = prediction.weights if step == 1 else prediction.cell_weights()
    objects = {position: stack.objects for position, stack in stacks.items()}
    parts = [
        fetch(objects, field, (height, width, object_count), cell=cell, step=step)
        for field in prediction.lists
    ]
    mixed = sum(part * weight[..., None] for part, weight in zip(parts, weights, strict=True))
    features = None
    if is_stacked:
        described = {position: stack.warped for position, stack in stacks.items() if stack.warped is not None}
        depth = next((array.shape[2] for array in described.values()), 0)
        shape = -(-frame.shape[0] // SCALE), -(-frame.shape[1] // SCALE), depth
        shares = prediction.cell_weights()
        features = np.zeros(shape, np.float32)
        for field, weight in zip(prediction.lists, shares, strict=True):
            features += fetch(described, field, shape, cell=cell, step=SCALE) * weight[..., None]
    drawn = prediction.references
    hops = 1 + max((stacks[position].hops for position in drawn), default=0)
    return _Stack(np.asarray(mixed, np.float32), features, None, hops), _agreement(parts, weights)


def _agreement(
    parts: Sequence[NDArray[np.float32]], weights: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    first, second = (part >= 0.5 for part in parts)
    both = ((weights[0] > 0) & (weights[1] > 0))[..., None]
    shared = (first & second & both).sum(axis=(0, 1))
    either = ((first | second) & both).sum(axis=(0, 1))
    return np.where(either > 0, shared / np.maximum(either, 1), np.nan).astype(np.float64)


def _correct(
    stack: _Stack,
    prediction: Prediction,
    stacks: dict[int, _Stack],
    key: _Stack | None,
    correction: str,
    cell: int,
    step: int,
) -> tuple[NDArray[np.float32], int]:
    """Return the objects before psi, badly predicted cells matched anew, and how many those were."""
    warped, count = stack.objects, stack.objects.shape[2]
    if correction == "none" or stack.own is None or not count:
        return warped, 0
    is_object = (soft_aggregate(warped).argmax(axis=2) > 0).astype(np.float32)
    foreground = (is_object if step == SCALE else cells_of(is_object)) >= 0.5
    selected = select_cells(foreground, cells_of(prediction.error))
    if not selected.any():
        return warped, 0
    gate, values = np.zeros((*selected.shape, 1), np.float32), np.zeros((*selected.shape, count), np.float32)
    if correction == "paper":
        added = (
            None if key is None or key.own is None else correct(stack.own, selected, key.own, key.cells(step))
        )
        if added is None:
            return warped, 0
        values[selected] = added
    else:
        references = []
        for field in prediction.lists:
            if field.has.any():
                most = stacks[int(np.bincount(field.reference[field.has]).argmax())]
                if most.own is not None:
                    references.append((most.own, most.cells(step), _cell_flow(field, cell, selected.shape)))
        if not references:
            return warped, 0
        found, trust = correct_locally(stack.own, selected, references)
        gate[selected] = trust[:, None]
        values[selected] = found * trust[:, None]
    if step == 1:
        # Linear from cell to cell: blocks of 4 pixels would fray the outline.
        size = (warped.shape[0], warped.shape[1])
        gate, values = (_full_size(part, size, SCALE) for part in (gate, values))
    return np.asarray(warped * (1.0 - gate) + values, np.float32), int(selected.sum())


def _cell_flow(field: ListField, cell: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    rows, columns = (
        np.minimum((np.arange(n) * SCALE + SCALE // 2) // cell, cells - 1)
        for n, cells in zip(shape, field.reference.shape, strict=True)
    )
    flow = np.where(field.has[..., None], field.flow, np.float32(0.0))[rows][:, columns]
    return np.asarray(flow, np.float32)


def _inputs(stack: _Stack, corrected: NDArray[np.float32]) -> CovosInputs | None:
    if stack.own is None or stack.warped is None:
        return None
    padded = pad_channels(stack.objects)
    aggregated = np.zeros_like(padded)
    aggregated[..., : corrected.shape[2] + 1] = soft_aggregate(corrected)
    return CovosInputs(stack.own, stack.warped, padded, aggregated)


def _decode(
    corrected: NDArray[np.float32],
    inputs: CovosInputs | None,
    decoder: CovosDecoder | None,
    size: tuple[int, int],
    step: int,
) -> NDArray[np.float32]:
    if decoder is None or inputs is None:
        return _full_size(soft_aggregate(corrected), size, step)
    out = decoder.decode(inputs.current, inputs.warped, inputs.probabilities, inputs.corrected, size)
    return soft_aggregate(np.asarray(out[..., 1 : corrected.shape[2] + 1], np.float32))


def _full_size(cells: NDArray[np.float32], size: tuple[int, int], step: int) -> NDArray[np.float32]:
    if step == 1:
        return cells
    shape = cells.shape[0] * step, cells.shape[1] * step
    large = cv2.resize(cells, shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(*shape, cells.shape[2])
    return np.asarray(large[: size[0], : size[1]], np.float32)


def _one_hot(found: NDArray[np.generic] | None, count: int, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return (H, W, K): 1 where the object is the arg max of the base's probabilities and the background."""
    if found is None or found.shape != (count, *size):
        shape = None if found is None else found.shape
        raise ValueError(f"the base must return (K, H, W) = {(count, *size)} for a key frame, got {shape}")
    objects = np.moveaxis(np.asarray(found, np.float32), 0, 2)
    if not np.isfinite(objects).all() or (objects < 0).any() or (objects > 1).any():
        raise ValueError("the base must return probabilities between 0 and 1")
    best = soft_aggregate(objects).argmax(axis=2)
    return np.stack([best == k for k in range(1, count + 1)], axis=2).astype(np.float32) if count else objects


def _with_background(objects: NDArray[np.float32]) -> NDArray[np.float32]:
    background = 1.0 - objects.sum(axis=2, keepdims=True)
    return np.concatenate([background, objects], axis=2).astype(np.float32)

"""Decide which packets must be decoded to have certain frames: pure arithmetic over a frame table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.types import FrameTable

__all__ = ["ExtractionPlan", "Segment", "group", "key_frames", "plan_images", "plan_segments", "unique_pts"]

# Seconds of one core of 2020 or so; only ratios matter. Measured over 11 real clips, 176x144 to 1024x1024.
_FRAME_SECONDS = 20e-6
_PIXEL_SECONDS = 1.2e-9
_COLOUR_SECONDS = 4.5e-9  # per pixel of a wanted frame: conversion to RGB, the same for every plan
_PACKET_SECONDS = 4e-6
_RESTART_SECONDS = 120e-6
_RESTART_FRAMES = 1.0
# A skipped B-picture is cheaper to decode than the average picture.
_SKIPPED_SHARE = 0.8
# The estimate is coarse, so the better known sequential pass wins a near draw.
_WORTH_SEEKING = 0.9
_WORTH_COUNTING = 0.7


@dataclass(frozen=True, slots=True)
class Segment:
    """Name one run of the decoder: it starts clean at a key frame and ends with the last wanted frame.

    Attributes
    ----------
    start : int
        Index of the key frame it starts at, -1 for the first packet of the stream.
    wanted : tuple of int
        Indices to hand out, strictly increasing, each >= ``start``.
    """

    start: int
    wanted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExtractionPlan:
    """Say how frames would be extracted, and at what price.

    Attributes
    ----------
    strategy : {"seek", "sequential", "images"}
        ``"seek"`` decodes only the groups of pictures that hold a wanted frame; ``"sequential"`` decodes from the
        first frame to the last wanted one; ``"images"`` reads the wanted images of a folder or archive.
    wanted_count : int
        Frames asked for.
    seeks : int
        Runs of the decoder that start away from the beginning.
    frames_to_decode : int
        Frames that will be decoded, an estimate where unwanted non-reference frames are skipped.
    relative_cost : float
        Estimated time, 1.0 being one sequential pass up to the last wanted frame.
    reason : str
        Why this strategy.
    segments : tuple of Segment
        The runs of the decoder.
    """

    strategy: Literal["seek", "sequential", "images"]
    wanted_count: int
    seeks: int
    frames_to_decode: int
    relative_cost: float
    reason: str
    segments: tuple[Segment, ...] = ()

    def __repr__(self) -> str:
        return (
            f"ExtractionPlan({self.strategy}: {self.wanted_count} wanted, {self.frames_to_decode} to decode, "
            f"{self.seeks} seeks, cost {self.relative_cost:.2f}; {self.reason})"
        )


def unique_pts(table: FrameTable) -> bool:
    """Return whether every decoded frame has a time stamp of its own."""
    pts = table.pts[table.is_decoded]
    return bool(np.all(pts != np.iinfo(np.int64).min)) and len(np.unique(pts)) == len(pts)


def key_frames(table: FrameTable) -> NDArray[np.int64]:
    """Return the indices of the frames decoding may start at: clean key frames that are whole pictures.

    A P-picture that a stream marks as an entry point (periodic intra refresh) builds up over several frames
    and is none.
    """
    is_whole = (table.picture_type == b"I") | (table.picture_type == b"?")
    return np.flatnonzero(table.is_iframe & is_whole & table.is_selectable).astype(np.int64)


def _droppable(table: FrameTable) -> NDArray[np.bool_]:
    """Mark the pictures of B-runs that are probably no reference: every other one, as in a pyramid."""
    is_b = np.asarray(table.picture_type == b"B", np.bool_)
    position = np.arange(len(is_b))
    run_start = np.maximum.accumulate(np.where(~is_b, position, -1))
    return np.asarray(is_b & ((position - run_start) % 2 == 1), np.bool_)


def plan_images(indices: tuple[int, ...]) -> ExtractionPlan:
    """Return the plan for a folder or archive of images, where every frame stands alone."""
    count = len(indices)
    cost = count / (indices[-1] + 1) if count else 0.0
    return ExtractionPlan("images", count, 0, count, cost, "every image stands alone")


def plan_segments(
    indices: tuple[int, ...],
    table: FrameTable,
    *,
    can_skip: bool,
    plan: Literal["auto", "seek", "sequential"],
) -> ExtractionPlan:
    """Choose between runs from key frames and one sequential pass, by estimated time.

    Parameters
    ----------
    indices : tuple of int
        Wanted frames, strictly increasing and in range.
    table : FrameTable
        Identity of every frame of the video.
    can_skip : bool
        Whether the decoder leaves out non-reference pictures without a change in the others.
    plan : {"auto", "seek", "sequential"}
        Force a strategy, or ``"auto"`` for the cheaper.

    Returns
    -------
    ExtractionPlan
        With the segments in order.
    """
    if not indices:
        return ExtractionPlan("sequential", 0, 0, 0, 0.0, "nothing is wanted")
    passed = indices[-1] + 1
    whole = (Segment(-1, indices),)
    if plan == "sequential" or (plan == "auto" and len(indices) == passed):
        is_every = plan == "auto"
        reason = "every frame is wanted" if is_every else "a sequential pass was asked for"
        return ExtractionPlan("sequential", len(indices), 0, passed, 1.0, reason, whole)
    frame_seconds = _frame_seconds(table)
    has_times = unique_pts(table)
    wanted = np.array(indices, np.int64)
    segments = group(indices, key_frames(table), table)
    # Only a time stamp of its own tells which packet holds a wanted picture before it is decoded.
    droppable = _droppable(table) if can_skip and has_times else np.zeros(len(table), np.bool_)
    droppable[wanted] = False
    dropped_before = np.concatenate([[0], np.cumsum(droppable)])
    decoded = skipped = 0
    for segment in segments:
        first, stop = max(segment.start, 0), segment.wanted[-1] + 1
        drop = int(dropped_before[stop] - dropped_before[first])
        decoded += stop - first - drop
        skipped += drop
    seeks = sum(segment.start > 0 for segment in segments)
    seconds = (
        (decoded + skipped * (1 - _SKIPPED_SHARE) + seeks * _RESTART_FRAMES) * frame_seconds
        + seeks * _RESTART_SECONDS
        + _PACKET_SECONDS * (passed if has_times or not seeks else passed + len(table))
    )
    colour = len(indices) * _COLOUR_SECONDS * table.width * table.height
    cost = (seconds + colour) / (passed * (frame_seconds + _PACKET_SECONDS) + colour)
    # Where packets must be counted first, it may turn out that they cannot be.
    is_worth = cost < (_WORTH_SEEKING if has_times else _WORTH_COUNTING)
    if plan == "auto" and not is_worth:
        reason = f"decoding less would save no time (estimated {cost:.2f} of a sequential pass)"
        return ExtractionPlan("sequential", len(indices), 0, passed, 1.0, reason, whole)
    reason = "seeking was asked for" if plan == "seek" else f"{decoded} of {passed} frames suffice"
    return ExtractionPlan("seek", len(indices), seeks, decoded, cost, reason, segments)


def _frame_seconds(table: FrameTable) -> float:
    return _FRAME_SECONDS + _PIXEL_SECONDS * table.width * table.height


def group(indices: tuple[int, ...], keys: NDArray[np.int64], table: FrameTable) -> tuple[Segment, ...]:
    """Group wanted frames by the key frame to start at; a start that would save next to nothing is none.

    Parameters
    ----------
    indices : tuple of int
        Wanted frames, strictly increasing.
    keys : (K,) int64
        What `key_frames` returned for the table.
    table : FrameTable
        Says how long a frame takes to decode.

    Returns
    -------
    tuple of Segment
        In order; together they want every index once.
    """
    gap = _RESTART_FRAMES + _RESTART_SECONDS / _frame_seconds(table)
    wanted = np.array(indices, np.int64)
    before = np.searchsorted(keys, wanted, side="right") - 1
    starts = np.where(before >= 0, keys[np.maximum(before, 0)] if len(keys) else -1, -1)
    starts[starts == 0] = -1
    groups: list[tuple[int, list[int]]] = []
    for start, index in zip(starts.tolist(), indices, strict=True):
        if groups and start - groups[-1][1][-1] <= gap:
            groups[-1][1].append(index)
        else:
            groups.append((start, [index]))
    return tuple(Segment(start, tuple(members)) for start, members in groups)

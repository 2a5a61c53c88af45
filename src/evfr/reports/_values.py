"""The values that a report is drawn from: plain, frozen, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.reports._checks import check_array, check_increasing, check_range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evfr._core.types import Problem
    from evfr.reports._pictures import PackedThumbnails, Thumbnails

__all__ = ["Segment", "SelectionReport", "StrideRow", "VideoReport"]

STATUSES = ("ok", "partial", "failed")


@dataclass(frozen=True, slots=True)
class Segment:
    """Describe one shot: where it is, which strategy served it, and why.

    Attributes
    ----------
    start, stop : int
        First frame and one past the last frame.
    method : str
        Name of the sampler that served the shot.
    reason : str
        Why this sampler, in one line.
    dynamicity : float
        Coefficient of variation of the dissimilarities inside the shot; NaN where unknown.
    n : int
        Frames selected in the shot.
    """

    start: int
    stop: int
    method: str
    reason: str
    dynamicity: float
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"a segment needs 0 <= start <= stop, got {self.start} and {self.stop}")


@dataclass(frozen=True, slots=True, eq=False)
class VideoReport:
    """Hold all that a report says about one video of N frames with n selected.

    Attributes
    ----------
    video_id, path : str
        Printable name and path; any text, nothing in it is interpreted.
    status : str
        ``"ok"``, ``"partial"`` or ``"failed"``; a failed video may have N = 0.
    width, height : int
        Upright picture size in px.
    codec : str
        Codec name.
    duration_seconds : float
        Length in seconds.
    time_seconds : (N,) float64
        Time of each frame.
    curves : mapping of str to (N,) float64
        FVI per signal (Figs. 1-2 of Yoon & Choi 2023); NaN where unmeasured.
    is_suspect, is_selectable : (N,) bool
        Damage may have reached the frame; the frame may be selected.
    cuts : (K,) int64
        First frame of each shot but the first.
    selected : (n,) int64
        Strictly increasing selected frames.
    rank : (n,) int64
        0 for the frame that the smallest budget keeps.
    reasons : tuple of n str
        Why each frame was taken.
    inclusion : (n,) float64
        Inclusion probability of each; NaN where unknown.
    method, method_reason : str
        Strategy that served the video, and why.
    segments : tuple of Segment
        One per shot.
    dynamicity, activity : mapping of str to float
        Per signal (Fig. 8 of Yoon & Choi 2023).
    order : (P,) int64 or None
        Priority order of the selectable frames: any smaller budget is a prefix; None where not nested.
    weights : (N,) float64
        What the sampler saw, before its own normalisation.
    options : mapping
        Resolved options of the sampler, JSON-ready.
    thumbnails : Thumbnails, PackedThumbnails or None
        Small pictures.
    pts : (N,) int64
        Presentation time stamps, `evfr._core.types.PTS_NONE` where there is none.
    problems : tuple of Problem
        What was wrong with this video.
    is_static : bool
        Nothing moves: the FVI is uniform.
    seed : int
        Seed of this video's sampler.
    size : float
        What the allocation saw as the length of this video; NaN stands for ``duration_seconds``.
    allocation_activity : float
        What the allocation saw as its activity; NaN stands for the activity of the report's signal.
    minimum, maximum : int or None
        Bounds of this video's share that the allocation saw; None where there was no allocation.
    include, exclude, labeled : tuple of int
        Frames that the selection was told to take, to leave, or to count as labelled already.
    files : tuple of n str
        Relative address of each selected frame's full-size image, or empty.
    """

    video_id: str
    path: str
    status: str
    width: int
    height: int
    codec: str
    duration_seconds: float
    time_seconds: NDArray[np.float64]
    curves: Mapping[str, NDArray[np.float64]]
    is_suspect: NDArray[np.bool_]
    is_selectable: NDArray[np.bool_]
    cuts: NDArray[np.int64]
    selected: NDArray[np.int64]
    rank: NDArray[np.int64]
    reasons: tuple[str, ...]
    inclusion: NDArray[np.float64]
    method: str
    method_reason: str
    segments: tuple[Segment, ...]
    dynamicity: Mapping[str, float]
    activity: Mapping[str, float]
    order: NDArray[np.int64] | None
    weights: NDArray[np.float64]
    options: Mapping[str, Any]
    thumbnails: Thumbnails | PackedThumbnails | None
    pts: NDArray[np.int64]
    problems: tuple[Problem, ...] = ()
    is_static: bool = False
    seed: int = 0
    size: float = math.nan
    allocation_activity: float = math.nan
    minimum: int | None = None
    maximum: int | None = None
    include: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    labeled: tuple[int, ...] = ()
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {self.status!r}")
        count, chosen = len(self.time_seconds), len(self.selected)
        check_array("time_seconds", self.time_seconds, (count,), np.float64)
        for name, curve in self.curves.items():
            check_array(f"curves[{name!r}]", curve, (count,), np.float64)
        check_array("is_suspect", self.is_suspect, (count,), np.bool_)
        check_array("is_selectable", self.is_selectable, (count,), np.bool_)
        check_array("weights", self.weights, (count,), np.float64)
        check_array("pts", self.pts, (count,), np.int64)
        check_array("cuts", self.cuts, (len(self.cuts),), np.int64)
        check_array("selected", self.selected, (chosen,), np.int64)
        check_array("rank", self.rank, (chosen,), np.int64)
        check_array("inclusion", self.inclusion, (chosen,), np.float64)
        if self.order is not None:
            check_array("order", self.order, (len(self.order),), np.int64)
            check_range("order", self.order, count)
        for name, indices in (("cuts", self.cuts), ("selected", self.selected)):
            check_increasing(name, indices)
            check_range(name, indices, count)
        if len(self.reasons) != chosen:
            raise ValueError(
                f"reasons must have one text per selected frame, got {len(self.reasons)} for {chosen}"
            )
        if self.files and len(self.files) != chosen:
            raise ValueError(
                f"files must be empty or one per selected frame, got {len(self.files)} for {chosen}"
            )

    @property
    def n_frames(self) -> int:
        """Number of frames N."""
        return len(self.time_seconds)

    def __repr__(self) -> str:
        return (
            f"VideoReport({self.video_id!r}, {self.status}, {len(self.selected)} of {self.n_frames} frames, "
            f"{len(self.curves)} curves)"
        )


@dataclass(frozen=True, slots=True)
class StrideRow:
    """Hold one reduced dataset S1..S10 (Fig. 4 of Yoon & Choi 2023).

    Attributes
    ----------
    stride : int
        1 for the full data.
    n_frames : tuple of int
        Frames kept of each video, in the order of the report's videos.
    class_shares : mapping of str to float
        Share of each class among the labels of the kept frames; empty without labels.
    total_variation : float
        Distance of ``class_shares`` from those of stride 1; NaN without labels.
    lost : tuple of str
        Classes and clips that the reduction lost.
    """

    stride: int
    n_frames: tuple[int, ...]
    class_shares: Mapping[str, float] = field(default_factory=dict)
    total_variation: float = math.nan
    lost: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"stride must be 1 or more, got {self.stride}")


@dataclass(frozen=True, slots=True, eq=False)
class SelectionReport:
    """Hold all that a report says about one selection.

    Attributes
    ----------
    title : str
        Head line.
    command : str
        The command that makes the same selection again.
    version : str
        Version of evfr.
    signal, method : str
        What was asked for.
    parameters : mapping
        Every parameter of the run, JSON-ready.
    videos : tuple of VideoReport
        In input order.
    problems : tuple of Problem
        Problems; those of the videos are added where the page lists them.
    allocation : str
        Rule that divided the budget over videos: ``"duration"``, ``"equal"`` or ``"activity"``.
    has_gap_constraints : bool
        Whether gaps were bounded: then a page cannot repeat the selection at another budget.
    strides : tuple of StrideRow
        Reduced datasets, or empty.
    manifest : mapping
        Content of ``selection.json``, which the page's export button completes by an ``edits`` object.
    minimum, maximum : int or None
        Bounds of each video's share of the budget as the user gave them; None: every video gets a frame where
        the budget reaches for all of them, and as many as it has.
    """

    title: str
    command: str
    version: str
    signal: str
    method: str
    parameters: Mapping[str, Any]
    videos: tuple[VideoReport, ...]
    problems: tuple[Problem, ...] = ()
    allocation: str = "duration"
    has_gap_constraints: bool = False
    strides: tuple[StrideRow, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    minimum: int | None = None
    maximum: int | None = None

    def __post_init__(self) -> None:
        for row in self.strides:
            if len(row.n_frames) != len(self.videos):
                raise ValueError(
                    f"stride {row.stride} must give n_frames of {len(self.videos)} videos, "
                    f"got {len(row.n_frames)}"
                )

    @property
    def n_frames(self) -> int:
        """Frames of all videos."""
        return sum(video.n_frames for video in self.videos)

    @property
    def n_selected(self) -> int:
        """Selected frames of all videos."""
        return sum(len(video.selected) for video in self.videos)

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Problems of the run and of its videos, each once, in that order."""
        found = [*self.problems, *(problem for video in self.videos for problem in video.problems)]
        return tuple(dict.fromkeys(found))

    def __repr__(self) -> str:
        return f"SelectionReport({self.n_selected} of {self.n_frames} frames, {len(self.videos)} videos)"

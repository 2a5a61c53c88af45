"""What the page of carried labels shows, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.types import Problem
from evfr.reports._checks import check_array, check_increasing, check_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.masks import Rle
    from evfr.propagation import CarryEnd

__all__ = ["STATES", "CarryObject", "CarryPicture", "CarryReport", "ReviewRow", "picture_frames"]

STATES = ("absent", "labelled", "kept", "ask", "dropped")
"""What became of one object on one frame; `CarryReport.state` holds places in this tuple."""


@dataclass(frozen=True, slots=True)
class CarryObject:
    """Hold one object on one picture.

    Attributes
    ----------
    track_id : int
        One of the report's.
    mask : Rle or None
        In full-size pixels; the page draws its outline.
    box_xyxy : tuple of 4 float or None
        In full-size pixels; drawn where there is no mask.
    """

    track_id: int
    mask: Rle | None = None
    box_xyxy: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.box_xyxy is not None and not all(math.isfinite(value) for value in self.box_xyxy):
            raise ValueError(f"box_xyxy of track {self.track_id} must be finite, got {self.box_xyxy}")


@dataclass(frozen=True, slots=True, eq=False)
class CarryPicture:
    """Hold one frame as the page shows it.

    Attributes
    ----------
    frame_index : int
        Of the video.
    image : (h, w, 3) uint8
        RGB, upright, any size down to a thumbnail; all pictures of a report have one size.
    objects : tuple of CarryObject
        What is on it: labels on a labelled frame, carried objects elsewhere.
    """

    frame_index: int
    image: NDArray[np.uint8]
    objects: tuple[CarryObject, ...] = ()

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"the picture of frame {self.frame_index} must be (h, w, 3) uint8, "
                f"got {self.image.shape} {self.image.dtype}"
            )

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"CarryPicture(frame {self.frame_index}, {width}x{height}, {len(self.objects)} objects)"


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """Hold one frame that is worth a look, most worth first.

    Attributes
    ----------
    frame_index : int
        The frame.
    gain : float
        What a label there would lift, in the unit that the caller ranks by; NaN if unknown.
    reason : str
        Why, for people.
    """

    frame_index: int
    gain: float = math.nan
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CarryReport:
    """Hold all that the page of one video's carried labels says.

    Attributes
    ----------
    video_id : str
        Name of the video.
    command : str
        The command that carries the same labels again.
    version : str
        Version of evfr.
    method : str
        Name of the propagator.
    width, height : int
        Of the video in px; masks have this size.
    time_seconds : (T,) float64
        Time of every frame of the video, T of them.
    track_ids : (K,) int64
        Strictly increasing.
    track_names : tuple of K str
        Category of each track.
    trust : (T, K) float64
        In [0, 1]; NaN where there is no object or nothing was measured.
    state : (T, K) int8
        Places in `STATES`.
    labelled : (L,) int64
        Frames that people labelled, strictly increasing.
    min_trust : float or None
        Below it an object is asked about or dropped; None if nothing was asked for.
    expected_iou : float
        Mean overlap with the truth that is to be expected of carried objects; NaN if not estimated.
    expected_iou_low, expected_iou_high : float
        Its interval.
    review : tuple of ReviewRow
        Frames to look at next, the first first.
    pictures : tuple of CarryPicture
        Frames to show, strictly increasing by index; see `picture_frames`.
    ends : tuple of CarryEnd
        Where a carry ended before it reached the next label.
    cuts : (C,) int64
        First frames of new shots.
    notes : tuple of str
        Sentences for the head of the page.
    parameters : mapping
        Every parameter of the run, JSON-ready.
    problems : tuple of Problem
        Of the video and of the run.

    Raises
    ------
    ValueError
        If shapes, ranges or masks do not fit.
    """

    video_id: str
    command: str
    version: str
    method: str
    width: int
    height: int
    time_seconds: NDArray[np.float64]
    track_ids: NDArray[np.int64]
    track_names: tuple[str, ...]
    trust: NDArray[np.float64]
    state: NDArray[np.int8]
    labelled: NDArray[np.int64]
    min_trust: float | None = None
    expected_iou: float = math.nan
    expected_iou_low: float = math.nan
    expected_iou_high: float = math.nan
    review: tuple[ReviewRow, ...] = ()
    pictures: tuple[CarryPicture, ...] = ()
    ends: tuple[CarryEnd, ...] = ()
    cuts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    notes: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        count, tracks = len(self.time_seconds), len(self.track_ids)
        check_array("time_seconds", self.time_seconds, (count,), np.float64)
        check_array("track_ids", self.track_ids, (tracks,), np.int64)
        check_increasing("track_ids", self.track_ids)
        check_array("trust", self.trust, (count, tracks), np.float64)
        check_array("state", self.state, (count, tracks), np.int8)
        if len(self.track_names) != tracks:
            raise ValueError(
                f"track_names must have one name per track, got {len(self.track_names)} for {tracks}"
            )
        measured = self.trust[np.isfinite(self.trust)]
        if np.isinf(self.trust).any() or ((measured < 0) | (measured > 1)).any():
            raise ValueError("trust must lie in [0, 1], or be NaN where nothing was measured")
        if self.state.size and not 0 <= int(self.state.min()) <= int(self.state.max()) < len(STATES):
            raise ValueError(f"state must hold places in {STATES}, got {np.unique(self.state).tolist()}")
        for name in ("labelled", "cuts"):
            frames = getattr(self, name)
            check_array(name, frames, (len(frames),), np.int64)
            check_increasing(name, frames)
            check_range(name, frames, count)
        check_range("review", np.array([row.frame_index for row in self.review], np.int64), count)
        shown = np.array([picture.frame_index for picture in self.pictures], np.int64)
        check_increasing("pictures", shown)
        check_range("pictures", shown, count)
        self._check_pictures()

    def _check_pictures(self) -> None:
        known = set(self.track_ids.tolist())
        for picture in self.pictures:
            if picture.image.shape != self.pictures[0].image.shape:
                raise ValueError(
                    f"the picture of frame {picture.frame_index} is {picture.image.shape[1]}x"
                    f"{picture.image.shape[0]}, the first {self.pictures[0].image.shape[1]}x"
                    f"{self.pictures[0].image.shape[0]}; resize every picture to one size"
                )
            for item in picture.objects:
                if item.track_id not in known:
                    raise ValueError(
                        f"frame {picture.frame_index} shows track {item.track_id}, which is not in track_ids"
                    )
                if item.mask is not None and (item.mask.width, item.mask.height) != (self.width, self.height):
                    raise ValueError(
                        f"the mask of track {item.track_id} on frame {picture.frame_index} is {item.mask.width}x"
                        f"{item.mask.height}, the video {self.width}x{self.height}"
                    )

    @property
    def n_frames(self) -> int:
        """Number of frames T of the video."""
        return len(self.time_seconds)

    def count(self, state: str) -> int:
        """Return how many objects, over all frames, are in one state.

        Parameters
        ----------
        state : str
            One of `STATES`.

        Returns
        -------
        int
            Pairs of frame and track.

        Raises
        ------
        ValueError
            If there is no such state.
        """
        if state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, got {state!r}")
        return int((self.state == STATES.index(state)).sum())

    def __repr__(self) -> str:
        return (
            f"CarryReport({self.video_id!r}, {len(self.track_ids)} tracks on {self.n_frames} frames, "
            f"{len(self.labelled)} labelled, {len(self.pictures)} pictures)"
        )


def picture_frames(labeled: NDArray[np.int64], n_frames: int, *, n: int = 240) -> NDArray[np.int64]:
    """Return the frames whose pictures a page should hold, known before anything is carried.

    Parameters
    ----------
    labeled : (L,) int64
        Labelled frames, strictly increasing.
    n_frames : int
        Frames of the video.
    n : int
        About how many to return; 0 or more.

    Returns
    -------
    (M,) int64
        Strictly increasing: all labelled frames if they are at most ``n / 2`` (else evenly many of them), the
        frames halfway between them, where a carry is farthest from its labels, and an even strip to fill up.

    Raises
    ------
    ValueError
        If ``n`` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> picture_frames(np.array([0, 20]), 41, n=8)
    array([ 0, 10, 13, 20, 26, 30, 40])
    """
    if n < 0:
        raise ValueError(f"n must be 0 or more, got {n}")
    if n_frames <= 0 or n == 0:
        return np.zeros(0, np.int64)
    kept = labeled
    if len(kept) > n // 2:
        kept = kept[np.arange(max(n // 2, 1), dtype=np.int64) * len(kept) // max(n // 2, 1)]
    edges = np.unique(
        np.concatenate([kept, [n_frames - 1] if not len(kept) or kept[-1] < n_frames - 1 else []])
    )
    middles = (edges[:-1] + edges[1:]) // 2
    room = max(n - len(kept) - len(middles), 0)
    strip = np.linspace(0, n_frames - 1, min(room, n_frames)).astype(np.int64) if room else kept[:0]
    found = np.unique(np.concatenate([kept, middles, strip]).astype(np.int64))
    return found if len(found) <= n else found[np.arange(n, dtype=np.int64) * len(found) // n]

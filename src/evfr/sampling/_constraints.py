"""Constraints on one video's sample, and how many frames they allow."""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evfr.errors import ConstraintError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Constraints", "Prepared", "check_range", "feasible_range", "prepare"]

GAPS = ("min_gap", "max_gap", "min_gap_seconds", "max_gap_seconds")

TOLERANCE_NS = 1000
"""Gaps in seconds hold to one microsecond: less than any frame step, more than rounding of any time stamp."""


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """State what a sample of one video must satisfy.

    Gaps are steps between neighbours in the sorted union of chosen and labelled frames. ``max_gap`` also bounds
    the step from the first frame of the video to the first of them, and from the last of them to the last
    frame. Two labelled frames may be closer than ``min_gap``: they are there already.

    Attributes
    ----------
    min_gap : int or None
        Least step, in frames; 1 or more.
    max_gap : int or None
        Greatest step, in frames; 1 or more.
    min_gap_seconds, max_gap_seconds : float or None
        The same in seconds of true time, kept to one microsecond.
    include : tuple of int
        Frames that must be chosen; they count towards n.
    exclude : tuple of int
        Frames that must not be chosen.
    labeled : tuple of int
        Frames that have labels already: they are never chosen again and do not count towards n (n is the number
        of frames still to be labelled), but count as selected for the gaps.
    selectable : (N,) bool or None
        False for frames that may not be chosen (damaged, too dark); None allows all.
    """

    min_gap: int | None = None
    max_gap: int | None = None
    min_gap_seconds: float | None = None
    max_gap_seconds: float | None = None
    include: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    labeled: tuple[int, ...] = ()
    selectable: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for name in ("min_gap", "max_gap"):
            gap = getattr(self, name)
            if gap is not None:
                if operator.index(gap) < 1:
                    raise ValueError(f"{name} must be 1 frame or more, got {gap}")
                object.__setattr__(self, name, operator.index(gap))
        for name in ("min_gap_seconds", "max_gap_seconds"):
            seconds = getattr(self, name)
            if seconds is not None:
                if not 0.0 < seconds <= 1e9:
                    raise ValueError(f"{name} must be above 0 and at most 1e9 seconds, got {seconds}")
                object.__setattr__(self, name, float(seconds))
        for name in ("include", "exclude", "labeled"):
            frames = tuple(sorted({operator.index(i) for i in getattr(self, name)}))
            if frames and frames[0] < 0:
                raise ValueError(f"{name} must hold frame indices of 0 or more, got {frames[0]}")
            object.__setattr__(self, name, frames)
        if self.selectable is not None:
            mask = np.asarray(self.selectable)
            if mask.ndim != 1 or mask.dtype != np.bool_:
                raise ValueError(f"selectable must be (N,) bool, got {mask.shape} {mask.dtype}")
            object.__setattr__(self, "selectable", mask)

    def __repr__(self) -> str:
        parts = [f"{name}={getattr(self, name):g}" for name in GAPS if getattr(self, name) is not None]
        parts += [
            f"{len(getattr(self, name))} {name}"
            for name in ("include", "exclude", "labeled")
            if getattr(self, name)
        ]
        if self.selectable is not None:
            parts.append(f"{int(self.selectable.sum())} of {len(self.selectable)} selectable")
        return f"Constraints({', '.join(parts)})"

    @property
    def has_gaps(self) -> bool:
        """Whether any gap is bounded in a way that could matter."""
        return (
            (self.min_gap is not None and self.min_gap > 1)
            or self.max_gap is not None
            or self.min_gap_seconds is not None
            or self.max_gap_seconds is not None
        )

    @property
    def min_gap_text(self) -> str:
        """The least step as the user gave it, for messages."""
        return self._text("min_gap")

    @property
    def max_gap_text(self) -> str:
        """The greatest step as the user gave it, for messages."""
        return self._text("max_gap")

    def _text(self, name: str) -> str:
        frames, seconds = getattr(self, name), getattr(self, f"{name}_seconds")
        parts = [] if frames is None else [f"{name}={frames}"]
        if seconds is not None:
            parts.append(f"{name}_seconds={seconds:g}")
        return " and ".join(parts)


class Prepared(NamedTuple):
    """One video's constraints as arrays; node k of the chain is frame k - 1, 0 is the start, N + 1 the end."""

    eligible: NDArray[np.bool_]
    include: NDArray[np.int64]
    labeled: NDArray[np.int64]
    is_gapped: bool
    first_step: NDArray[np.int64]
    last_step: NDArray[np.int64]
    first_from: NDArray[np.int64]
    last_from: NDArray[np.int64]

    def nodes(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the fixed nodes (start, labelled, chosen, end) and which of them are labelled."""
        end = len(self.first_step) - 1
        fixed = np.sort(np.concatenate([[0], self.labeled + 1, chosen + 1, [end]]))
        return fixed.astype(np.int64), np.isin(fixed, self.labeled + 1)

    def allowed(self) -> NDArray[np.bool_]:
        """Return the (N + 2,) bool of nodes that may be visited."""
        return np.concatenate([[False], self.eligible, [False]])


def _nanoseconds(times: ArrayLike | None, n_frames: int) -> NDArray[np.int64]:
    if times is None:
        raise ValueError("gaps in seconds need the times of the frames; pass times=")
    seconds = np.asarray(times, dtype=np.float64)
    if seconds.shape != (n_frames,) or not np.all(np.isfinite(seconds)):
        raise ValueError(f"times must be ({n_frames},) finite seconds, got shape {seconds.shape}")
    # Broken files step back in time; a frame cannot be nearer than one that was shown before it.
    return np.maximum.accumulate(np.rint(seconds * 1e9).astype(np.int64))


def _windows(
    constraints: Constraints, n_frames: int, times: ArrayLike | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for every node the window of its successors, and of its predecessors."""
    index = np.arange(n_frames, dtype=np.int64)
    nearest = index + (constraints.min_gap or 1)
    farthest = index + (n_frames if constraints.max_gap is None else constraints.max_gap)
    if constraints.min_gap_seconds is not None or constraints.max_gap_seconds is not None:
        ns = _nanoseconds(times, n_frames)
        if constraints.min_gap_seconds is not None:
            least = round(constraints.min_gap_seconds * 1e9) - TOLERANCE_NS
            nearest = np.maximum(nearest, np.searchsorted(ns, ns + least, side="left"))
        if constraints.max_gap_seconds is not None:
            most = round(constraints.max_gap_seconds * 1e9) + TOLERANCE_NS
            farthest = np.minimum(farthest, np.searchsorted(ns, ns + most, side="right") - 1)
    end = n_frames + 1
    first_step = np.empty(n_frames + 2, dtype=np.int64)
    last_step = np.empty(n_frames + 2, dtype=np.int64)
    first_step[1:-1] = np.minimum(nearest + 1, end)
    last_step[1:-1] = np.where(farthest >= n_frames - 1, end, farthest + 1)
    first_step[0], first_step[-1] = 1, end + 1
    last_step[0] = last_step[1] if n_frames else end
    last_step[-1] = end + 1
    node = np.arange(n_frames + 2, dtype=np.int64)
    first_from = np.searchsorted(last_step, node, side="left").astype(np.int64)
    last_from = np.searchsorted(first_step, node, side="right").astype(np.int64) - 1
    return first_step, last_step, first_from, last_from


def prepare(n_frames: int, constraints: Constraints, times: ArrayLike | None = None) -> Prepared:
    """Check the lists of frames against the video and turn the constraints into arrays.

    Parameters
    ----------
    n_frames : int
        N.
    constraints : Constraints
        What must hold.
    times : (N,) array_like or None
        Seconds, needed for gaps in seconds.

    Returns
    -------
    Prepared
        Arrays over frames and chain nodes.

    Raises
    ------
    ValueError
        If an array has the wrong length, or times are missing or not finite.
    ConstraintError
        If a frame to include does not exist, is excluded, labelled or not selectable.
    """
    mask = np.ones(n_frames, dtype=np.bool_) if constraints.selectable is None else constraints.selectable
    if mask.shape != (n_frames,):
        raise ValueError(f"selectable must be ({n_frames},) bool, got {mask.shape}")
    for name in ("include", "exclude", "labeled"):
        frames = getattr(constraints, name)
        if frames and frames[-1] >= n_frames:
            raise ConstraintError(
                f"{name} has frame {frames[-1]}, but the video has {n_frames} frames (0..{n_frames - 1})"
            )
    for i in constraints.include:
        if i in constraints.exclude:
            raise ConstraintError(f"frame {i} is in include and in exclude; drop it from one of them")
        if i in constraints.labeled:
            raise ConstraintError(
                f"frame {i} is in include and in labeled; labelled frames need not be included"
            )
        if not mask[i]:
            raise ConstraintError(
                f"frame {i} is in include, but may not be selected (damaged, or refused by a gate)"
            )
    eligible = mask.copy()
    eligible[list(constraints.exclude)] = False
    eligible[list(constraints.labeled)] = False
    return Prepared(
        eligible,
        np.array(constraints.include, dtype=np.int64),
        np.array(constraints.labeled, dtype=np.int64),
        constraints.has_gaps,
        *_windows(constraints, n_frames, times),
    )


def _explain(constraints: Constraints, prepared: Prepared, a: int, b: int) -> str:
    """Say why no path leads from node a to node b."""
    n_frames = len(prepared.eligible)
    first, last = max(a - 1, 0), min(b - 1, n_frames - 1)
    is_labeled = np.isin([a, b], prepared.labeled + 1)
    is_chosen = np.isin([a, b], prepared.include + 1)
    if is_chosen.any() and (is_chosen | is_labeled).all() and b < prepared.first_step[a]:
        kinds = " and ".join("include" if chosen else "labeled" for chosen in is_chosen)
        return f"{constraints.min_gap_text} cannot hold between frames {first} and {last} ({kinds})"
    where = f"between frames {first} and {last}"
    stops = np.flatnonzero(prepared.allowed()[a : b + 1]) + a
    stops = np.unique(np.concatenate([[a], stops, [b]]))
    wide = np.flatnonzero(stops[1:] > prepared.last_step[stops[:-1]])
    if len(wide):
        left = max(int(stops[wide[0]]) - 1, 0)
        right = min(int(stops[wide[0] + 1]) - 1, n_frames - 1)
        return f"{constraints.max_gap_text} cannot hold: no frame between {left} and {right} may be selected"
    return f"{constraints.min_gap_text} and {constraints.max_gap_text} cannot both hold {where}"


def _range(constraints: Constraints, prepared: Prepared) -> tuple[int, int]:
    n_include = len(prepared.include)
    if not prepared.is_gapped:
        return n_include, int(prepared.eligible.sum())
    from evfr.sampling._chain import interval_steps

    fixed, is_given = prepared.nodes(prepared.include)
    least, most = interval_steps(fixed, is_given, prepared.allowed(), *prepared[4:])
    broken = np.flatnonzero(least == 0)
    if len(broken):
        raise ConstraintError(
            _explain(constraints, prepared, int(fixed[broken[0]]), int(fixed[broken[0] + 1]))
        )
    return int((least - 1).sum()) + n_include, int((most - 1).sum()) + n_include


def _check_range(constraints: Constraints, prepared: Prepared, n: int | None) -> tuple[int, int]:
    low, high = _range(constraints, prepared)
    if n is not None and n < low:
        given = f" with {constraints.min_gap_text}" if constraints.min_gap_text else ""
        raise ConstraintError(f"{constraints.max_gap_text}{given} needs at least {low} frames, n is {n}")
    if n is not None and n > high:
        given = f" with {constraints.max_gap_text}" if constraints.max_gap_text else ""
        raise ConstraintError(
            f"{constraints.min_gap_text}{given} leaves room for at most {high} frames, n is {n}"
        )
    return low, high


def check_range(
    constraints: Constraints, prepared: Prepared, n: int | None, times: ArrayLike | None
) -> tuple[int, int]:
    """Return the numbers of frames that the gaps allow, or raise an error that names as few gaps as possible.

    Parameters
    ----------
    constraints : Constraints
        What must hold.
    prepared : Prepared
        From `prepare`, for the same constraints.
    n : int or None
        A number that must be allowed; None is any.
    times : (N,) array_like or None
        As given to `prepare`.

    Returns
    -------
    (int, int)
        Least and greatest number.

    Raises
    ------
    ConstraintError
        If no number, or not ``n``, is allowed.
    """
    try:
        return _check_range(constraints, prepared, n)
    except ConstraintError as error:
        whole = error
    # The smallest set of gaps that already cannot hold is the one to tell the user about.
    given = [name for name in GAPS if getattr(constraints, name) is not None]
    for size in range(1, len(given)):
        for kept in itertools.combinations(given, size):
            dropped: dict[str, Any] = {name: None for name in given if name not in kept}
            fewer = replace(constraints, **dropped)
            _check_range(fewer, prepare(len(prepared.eligible), fewer, times), n)
    raise whole


def feasible_range(
    n_frames: int, constraints: Constraints, times: ArrayLike | None = None
) -> tuple[int, int]:
    """Return the least and the greatest number of frames that the constraints allow.

    Parameters
    ----------
    n_frames : int
        Frames of the video, 0 or more.
    constraints : Constraints
        What must hold.
    times : (N,) array_like or None
        Seconds since the first frame, needed for gaps in seconds.

    Returns
    -------
    (int, int)
        Both can be had, and so can every number between.

    Raises
    ------
    ValueError
        If an array has the wrong length, or times are missing.
    ConstraintError
        If no number of frames satisfies the constraints; the text names the one that breaks.

    Examples
    --------
    >>> feasible_range(100, Constraints(max_gap=10))
    (9, 100)
    >>> feasible_range(100, Constraints(min_gap=10))
    (0, 10)
    """
    if n_frames < 0:
        raise ValueError(f"n_frames must be 0 or more, got {n_frames}")
    return check_range(constraints, prepare(n_frames, constraints, times), None, times)

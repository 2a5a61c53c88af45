"""How many frames the constraints allow, and which of them cannot hold."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.errors import ConstraintError
from evfr.sampling._constraints import GAPS, Constraints, Prepared, prepare

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["check_range", "feasible_range"]


def _explain(constraints: Constraints, prepared: Prepared, a: int, b: int) -> str:
    """Say why no path leads from node a to node b."""
    n_frames = len(prepared.eligible)
    if constraints.cells and not any(getattr(constraints, name) is not None for name in GAPS):
        starts = ", ".join(str(cell) for cell in constraints.cells[:3])
        return (
            f"the {len(constraints.cells)} cells (from frames {starts}, ...) cannot each hold a frame: none between "
            f"{max(a - 1, 0)} and {min(b - 1, n_frames - 1)} may be selected"
        )
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
    if n is not None and n < low and constraints.cells:
        raise ConstraintError(
            f"{len(constraints.cells)} cells{_with_gaps(constraints)} need at least {low} frames, n is {n}"
        )
    if n is not None and n < low:
        given = f" with {constraints.min_gap_text}" if constraints.min_gap_text else ""
        raise ConstraintError(f"{constraints.max_gap_text}{given} needs at least {low} frames, n is {n}")
    if n is not None and n > high:
        given = f" with {constraints.max_gap_text}" if constraints.max_gap_text else ""
        raise ConstraintError(
            f"{constraints.min_gap_text}{given} leaves room for at most {high} frames, n is {n}"
        )
    return low, high


def _with_gaps(constraints: Constraints) -> str:
    texts = [text for text in (constraints.min_gap_text, constraints.max_gap_text) if text]
    return f" with {' and '.join(texts)}" if texts else ""


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
    if constraints.cells:
        fewer = replace(constraints, cells=())
        check_range(fewer, prepare(len(prepared.eligible), fewer, times), n, times)
        raise whole
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

"""Sample one video under constraints that hold exactly."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evfr.errors import ConstraintError
from evfr.sampling._constraints import Constraints, Prepared, prepare
from evfr.sampling._feasible import check_range
from evfr.sampling._fitting import assemble, fit, fit_targets, taken_by
from evfr.sampling._sample import (
    SUPPLIED,
    Sample,
    Segment,
    check_budget,
    check_weights,
    spread_rank,
    takes_embeddings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = ["sample"]


def sample(
    method: str | Callable[..., Any],
    weights: ArrayLike,
    n: int,
    *,
    times: ArrayLike | None = None,
    seed: int = 0,
    constraints: Constraints | None = None,
    options: Mapping[str, Any] | None = None,
    cuts: ArrayLike | None = None,
) -> Sample:
    """Choose n frames of one video by a named method, under constraints that hold exactly.

    Parameters
    ----------
    method : str or callable
        A key of `SAMPLERS`, or a callable ``(weights, n, *, seed, **options)`` that returns a `Sample` or an
        array of n indices.
    weights : (N,) array_like
        0 or more; NaN counts as 0. For methods on embeddings the (N, D) embeddings instead.
    n : int
        Frames to choose, included ones among them; labelled frames do not count.
    times : (N,) array_like or None
        Seconds since the first frame; needed for gaps in seconds. Where they step back, gaps are measured from
        the latest time shown so far.
    seed : int
        Same arguments, same bytes.
    constraints : Constraints or None
        What must hold; None is nothing.
    options : mapping or None
        Keyword options of the method.
    cuts : (K,) array_like of int, or None
        First frames of shots, for methods that take ``cuts``.

    Returns
    -------
    Sample
        Exactly n frames that satisfy every constraint.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    ConstraintError
        If no n frames satisfy the constraints; the text names the one that cannot hold, with figures.

    Notes
    -----
    Frames that may not be chosen (not selectable, excluded, labelled) are ruled out first.

    *Nested methods* (those whose sample has an ``order`` of all frames): ruled-out frames are struck from the
    order, so every other frame keeps its place; included frames come first. Without gaps the sample is the
    first n.

    *Other methods* run on the frames that may be chosen, closed up as if the others did not exist (cuts move
    along), with the full n, which gives n targets. Each included frame replaces a target:

    1. An included frame that is a target takes that one.
    2. The other included frames, in increasing order, each take the nearest target not yet taken (by
       difference of frame indices; ties to the lower).
    3. Without gaps, the sample is the included frames and the targets not taken.

    *Gaps*: frames are then taken in order of preference, skipping each one that would make n frames impossible;
    this test is exact (see ``_chain``), so the result exists whenever any n frames satisfy the constraints.
    The order is that of a nested method, or else the targets by rank, and after them all other frames by their
    distance to the nearest target that had to be skipped (ties in an order spread over the video).

    ``inclusion`` stays exact when only eligibility restricts; it is 1 for included frames and NaN where gaps,
    or included frames in a method that is not nested, make it unknown.

    Examples
    --------
    >>> import numpy as np
    >>> sample("uniform", np.ones(12), 4, constraints=Constraints(exclude=(3,), min_gap=2)).indices.tolist()
    [0, 2, 6, 9]
    """
    constraints = constraints or Constraints()
    from evfr.sampling import SAMPLERS

    if takes_embeddings(SAMPLERS.get(method, _no_sampler) if isinstance(method, str) else method):
        from evfr.sampling._embedded import Part, sample_rows

        seconds = None if times is None else np.asarray(times, dtype=np.float64)
        part = Part(len(weights), np.arange(len(weights)), constraints, seconds)  # type: ignore[arg-type]
        return sample_rows(method, weights, n, part, seed=seed, options=options, cuts=cuts)
    raw = np.asarray(weights, dtype=np.float64)
    values, nan_count = check_weights(raw)
    prepared = prepare(len(values), constraints, times)
    n = _check_n(n, constraints, prepared)
    check_range(constraints, prepared, n, times)
    method_call = _Call.resolve(method, seed, options)
    cut_frames = np.unique(np.asarray([] if cuts is None else cuts, dtype=np.int64))
    if len(cut_frames) and not (cut_frames[0] >= 1 and cut_frames[-1] < len(raw)):
        raise ValueError(f"cuts must be in 1..{len(raw) - 1}, got {cut_frames[0]} to {cut_frames[-1]}")

    frames = np.flatnonzero(prepared.eligible)
    base = method_call.on(raw, frames, n, cut_frames)
    if len(frames) == len(raw) and not len(prepared.include) and not prepared.is_gapped:
        return base
    if base.order is not None and len(base.order) == len(frames):
        result = _from_order(method_call, raw, n, prepared, base, cut_frames)
    else:
        targets = base.indices[np.argsort(base.rank)]
        result = fit_targets(base, prepared, targets[~taken_by(prepared.include, targets)])
    notes = result.notes
    is_timed = constraints.min_gap_seconds is not None or constraints.max_gap_seconds is not None
    if is_timed and np.any(np.diff(np.asarray(times, dtype=np.float64)) < 0):
        notes = (*notes, "time stamps step back; gaps in seconds use the latest time shown so far")
    return replace(result, notes=notes, nan_count=nan_count)


def _no_sampler() -> None:
    """Stand for a name that is no sampler; the error comes later, with the names there are."""


def find_method(
    method: str | Callable[..., Any], options: Mapping[str, Any]
) -> tuple[str, Callable[..., Any]]:
    """Return a method's name and function, and refuse options that it has not.

    Parameters
    ----------
    method : str or callable
        A key of `SAMPLERS`, or the function itself.
    options : mapping
        What was given.

    Returns
    -------
    (str, callable)
        The name for messages, and the method.

    Raises
    ------
    ValueError
        If there is no such method, or an option is no keyword of it, or one that its caller fills in itself.
    """
    from evfr.sampling import SAMPLERS

    if isinstance(method, str):
        if method not in SAMPLERS:
            raise ValueError(f"method must be one of {', '.join(SAMPLERS)} or a callable, got {method!r}")
        name, function = method, SAMPLERS[method]
    else:
        name, function = getattr(method, "__name__", type(method).__name__), method
    parameters = inspect.signature(function).parameters.items()
    allowed = [key for key, value in parameters if value.kind is value.KEYWORD_ONLY and key not in SUPPLIED]
    for key in options:
        if key not in allowed:
            has = f"it has: {', '.join(allowed)}" if allowed else "it has none"
            raise ValueError(f"method {name!r} has no option {key!r}; {has}")
    return name, function


def _check_n(n: int, constraints: Constraints, prepared: Prepared) -> int:
    total = len(prepared.eligible)
    n_eligible = int(prepared.eligible.sum())
    n = check_budget(n, max(total, n if isinstance(n, int) else 0))
    if n > n_eligible:
        n_blocked = total - n_eligible - len(set(constraints.exclude) | set(constraints.labeled))
        raise ConstraintError(
            f"n={n} is more than the {n_eligible} of {total} frames that can be selected "
            f"({len(constraints.exclude)} excluded, {len(constraints.labeled)} labelled, "
            f"{max(n_blocked, 0)} not selectable); lower n"
        )
    if n < len(prepared.include):
        raise ConstraintError(f"include has {len(prepared.include)} frames, n is {n}; raise n")
    return n


class _Call(NamedTuple):
    """A sampler with its name, seed and options bound."""

    name: str
    function: Callable[..., Any]
    keywords: dict[str, Any]
    takes_cuts: bool

    @classmethod
    def resolve(cls, method: str | Callable[..., Any], seed: int, options: Mapping[str, Any] | None) -> _Call:
        name, function = find_method(method, options or {})
        takes_cuts = "cuts" in inspect.signature(function).parameters
        return cls(name, function, {"seed": seed, **(options or {})}, takes_cuts)

    def on(
        self, weights: NDArray[np.float64], frames: NDArray[np.int64], n: int, cuts: NDArray[np.int64]
    ) -> Sample:
        """Sample from some frames as if the others did not exist; indices are those of the whole video."""
        keywords = dict(self.keywords)
        if self.takes_cuts:
            moved = np.searchsorted(frames, cuts)
            keywords["cuts"] = np.unique(moved[(moved > 0) & (moved < len(frames))])
        part = self.function(weights[frames], n, **keywords)
        if not isinstance(part, Sample):
            part = _wrap(self.name, part)
        if len(part) != n or (n and part.indices[-1] >= len(frames)):
            raise ValueError(
                f"sampler {self.name!r} must return {n} indices below {len(frames)}, got {part!r}"
            )
        if len(frames) == len(weights):
            return part
        probabilities = None
        if part.probabilities is not None:
            probabilities = np.zeros(len(weights))
            probabilities[frames] = part.probabilities
        return replace(
            part,
            indices=frames[part.indices],
            order=None if part.order is None else frames[part.order],
            probabilities=probabilities,
            segments=tuple(
                Segment(
                    int(frames[s.start]), int(frames[s.stop - 1]) + 1, s.n, s.strategy, s.dynamicity, s.reason
                )
                for s in part.segments
            ),
        )


def _wrap(name: str, chosen: Any) -> Sample:
    """Make a sample of the bare indices that a user's callable returned."""
    indices = np.asarray(chosen)
    if indices.ndim != 1 or (len(indices) and indices.dtype.kind not in "iu"):
        raise ValueError(
            f"sampler {name!r} must return a Sample or a one-dimensional array of integers, "
            f"got {indices.dtype} {indices.shape}"
        )
    rank = np.argsort(indices, kind="stable").astype(np.int64)
    is_sorted = bool(np.all(np.diff(indices) > 0))
    return Sample(
        indices=indices[rank].astype(np.int64),
        inclusion=np.full(len(indices), np.nan),
        # An array in time order states no preference; then any prefix of the ranking should be spread.
        rank=spread_rank(len(indices)) if is_sorted else rank,
        reasons=(f"{name}: chosen",) * len(indices),
        method=name,
    )


def _from_order(
    call: _Call, raw: NDArray[np.float64], n: int, prepared: Prepared, base: Sample, cuts: NDArray[np.int64]
) -> Sample:
    """Apply the constraints to a nested method: strike frames from its order, then take the best that fit."""
    everything = np.arange(len(raw), dtype=np.int64)
    # Keys belong to frames: the order of the whole video, not of what is left, keeps a frame's place stable.
    whole = base if prepared.eligible.all() else call.on(raw, everything, n, cuts)
    is_free = prepared.eligible.copy()
    is_free[prepared.include] = False
    if whole.order is None or len(whole.order) != len(raw):
        raise ValueError(
            f"sampler {call.name!r} gave an order for some frames of the video, not for all of them"
        )
    order = whole.order[is_free[whole.order]]
    room = n - len(prepared.include)
    picked = order[fit(prepared, prepared.include, order, room)] if prepared.is_gapped else order[:room]
    place = np.empty(len(raw), dtype=np.int64)
    place[whole.order] = everything
    own = dict(zip(whole.indices.tolist(), whole.reasons, strict=True))
    why = {
        i: own.get(i, f"{call.name}: place {place[i] + 1} of its order; frames before it were ruled out")
        for i in picked.tolist()
    }
    rest = call.on(raw, np.flatnonzero(is_free), room, cuts) if len(prepared.include) else base
    probabilities = None if prepared.is_gapped or rest.probabilities is None else rest.probabilities.copy()
    if probabilities is not None:
        probabilities[prepared.include] = 1.0
    return assemble(
        replace(rest, method=base.method),
        prepared,
        picked,
        why,
        probabilities,
        None if prepared.is_gapped else np.concatenate([prepared.include, order]),
    )

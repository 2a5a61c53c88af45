"""Sample by embeddings under constraints that hold exactly: one video, or one budget over many at once."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.distances import usable_rows
from evfr.errors import ConstraintError
from evfr.sampling._constraints import Constraints, Prepared, prepare
from evfr.sampling._feasible import check_range
from evfr.sampling._oracle import Oracle
from evfr.sampling._sample import Sample, check_budget

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Part", "Together", "is_greedy", "sample_rows", "sample_together"]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Say which frames of a video have embeddings, and what must hold there.

    Attributes
    ----------
    n_frames : int
        Frames of the video.
    frame_index : (M,) int64
        Frames that have an embedding, increasing; only they can be chosen, besides those to include.
    constraints : Constraints
        What must hold.
    times : (N,) float64 or None
        Seconds of all frames; needed for gaps in seconds.
    minimum : int
        Fewest frames of this video, included ones among them.
    maximum : int or None
        Most frames of this video.
    """

    n_frames: int
    frame_index: NDArray[np.int64]
    constraints: Constraints
    times: NDArray[np.float64] | None = None
    minimum: int = 0
    maximum: int | None = None

    def __post_init__(self) -> None:
        rows = np.asarray(self.frame_index, np.int64)
        if (
            rows.ndim != 1
            or np.any(np.diff(rows) <= 0)
            or (len(rows) and not 0 <= rows[0] <= rows[-1] < self.n_frames)
        ):
            raise ValueError(f"frame_index must be increasing and in 0..{self.n_frames - 1}, got {rows}")
        object.__setattr__(self, "frame_index", rows)


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Hold one choice over many videos.

    Attributes
    ----------
    samples : tuple of Sample
        One for each video. ``rank`` is by the order in which the frames were taken, ``gains`` by what they added
        over all videos; included frames come first and have no gain.
    notes : tuple of str
        What a reader should know about the whole choice, one sentence each.
    """

    samples: tuple[Sample, ...]
    notes: tuple[str, ...]


def is_greedy(method: str | Callable[..., Any]) -> bool:
    """Say whether a method takes frames one by one and can ask, before each, whether it may.

    Parameters
    ----------
    method : str or callable
        A key of `SAMPLERS`, or your own.

    Returns
    -------
    bool
        Whether it has a keyword ``accept``. One budget over many videos needs such a method.
    """
    from evfr.sampling import SAMPLERS

    function = SAMPLERS[method] if isinstance(method, str) else method
    return "accept" in inspect.signature(function).parameters


def sample_together(
    method: str | Callable[..., Any],
    embeddings: Any,
    n: int,
    parts: Sequence[Part],
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Together:
    """Choose n frames over many videos at once by a greedy method on embeddings; all constraints hold exactly.

    Parameters
    ----------
    method : str or callable
        ``"farthest"``, ``"facility"``, or a callable with the keywords ``initial``, ``usable`` and ``accept``.
    embeddings : (sum of M, D) float array, or a source of blocks
        The rows of all videos, in their order.
    n : int
        Frames over all videos, included ones among them; labelled ones do not count.
    parts : sequence of Part
        The videos.
    seed : int
        Same arguments, same bytes.
    options : mapping or None
        Keyword options of the method.

    Returns
    -------
    Together
        One sample for each video, and what is to be said about the whole.

    Raises
    ------
    ValueError
        If an argument is not allowed, or the method is not greedy.
    ConstraintError
        If no n frames satisfy the constraints.

    Notes
    -----
    Labelled and included frames count as chosen from the start. Before the method takes a frame it asks whether n
    frames that satisfy everything can still be found with it; if not, the frame is ruled out and the next best is
    tried. As that test is exact, the result exists whenever any n frames satisfy the constraints.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[0.0], [1.0], [9.0], [10.0], [50.0], [51.0]], np.float32)
    >>> videos = [Part(4, np.arange(4), Constraints(), minimum=1), Part(2, np.arange(2), Constraints())]
    >>> found = sample_together("farthest", rows, 3, videos, options={"start": 0})
    >>> [sample.indices.tolist() for sample in found.samples]
    [[0, 3], [1]]
    """
    from evfr.sampling._select import find_method

    own = dict(options or {})
    name, function = find_method(method, own)
    if "accept" not in inspect.signature(function).parameters:
        raise ValueError(f"method {name!r} is not greedy: give each video its own number and use sample()")
    prepared = [_prepare(part) for part in parts]
    offsets = np.concatenate([[0], np.cumsum([len(part.frame_index) for part in parts])]).astype(np.int64)
    if len(embeddings) != offsets[-1]:
        raise ValueError(f"embeddings have {len(embeddings)} rows, the videos {offsets[-1]} frames with one")
    usable = usable_rows(embeddings, own.get("metric", _default_metric(function)))
    prepared = [
        _ruled(p, part, usable[a:b])
        for p, part, a, b in zip(prepared, parts, offsets[:-1], offsets[1:], strict=True)
    ]
    included = sum(len(p.include) for p in prepared)
    n = check_budget(n, sys.maxsize)  # the oracle knows the real bounds, and says them
    if n < included:
        raise ConstraintError(f"include has {included} frames, n is {n}; raise n")
    for part, one in zip(parts, prepared, strict=True):
        check_range(part.constraints, one, None, part.times)
    oracle = Oracle(
        prepared,
        n,
        np.array([part.minimum for part in parts], np.int64),
        np.array(
            [one.n_usable if p.maximum is None else p.maximum for p, one in _pairs(parts, prepared)], np.int64
        ),
    )
    if not oracle.low <= n <= oracle.high:
        raise ConstraintError(f"the constraints allow {oracle.low} to {oracle.high} frames in all, n is {n}")
    may_pick = np.zeros(offsets[-1], np.bool_)
    initial: list[int] = []
    for v, (part, one) in enumerate(zip(parts, prepared, strict=True)):
        may_pick[offsets[v] : offsets[v + 1]] = one.eligible[part.frame_index]
        may_pick[offsets[v] : offsets[v + 1]][np.isin(part.frame_index, one.include)] = False
        taken = np.isin(part.frame_index, np.concatenate([one.labeled, one.include]))
        initial += (np.flatnonzero(taken & usable[offsets[v] : offsets[v + 1]]) + offsets[v]).tolist()
    base = function(
        embeddings,
        n - included,
        seed=seed,
        initial=tuple(initial),
        usable=may_pick,
        accept=_asker(oracle, parts, prepared, offsets),
        **own,
    )
    unusable = int((~usable).sum())
    samples = tuple(
        _share(base, part, one, int(a), int(b), unusable)
        for part, one, a, b in zip(parts, prepared, offsets[:-1], offsets[1:], strict=True)
    )
    return Together(samples, base.notes)


def sample_rows(
    method: str | Callable[..., Any],
    embeddings: Any,
    n: int,
    part: Part,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    cuts: ArrayLike | None = None,
) -> Sample:
    """Choose n frames of one video by a method on embeddings, greedy or not; all constraints hold exactly.

    Parameters
    ----------
    method : str or callable
        A method that takes embeddings.
    embeddings : (M, D) float array, or a source of blocks
        One row for each of ``part.frame_index``.
    n : int
        Frames to choose, included ones among them.
    part : Part
        The video.
    seed : int
        Same arguments, same bytes.
    options : mapping or None
        Keyword options of the method.
    cuts : (K,) array_like of int, or None
        First frames of scenes, for methods that take ``cuts``.

    Returns
    -------
    Sample
        Exactly n frames that satisfy every constraint.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    ConstraintError
        If no n frames satisfy the constraints.

    Notes
    -----
    Greedy methods as in `sample_together`. The others choose n frames beside the labelled and included ones; under
    gaps each of these is a target, taken by rank where n frames stay possible, and the frame nearest to it in time
    where not (`evfr.sampling.sample`).
    """
    from evfr.sampling._select import find_method

    own = dict(options or {})
    _, function = find_method(method, own)
    parameters = inspect.signature(function).parameters
    if "accept" in parameters:
        found = sample_together(method, embeddings, n, [part], seed=seed, options=options)
        return replace(found.samples[0], notes=found.notes)
    from evfr.sampling._fitting import fit_targets

    usable = usable_rows(embeddings, own.get("metric", _default_metric(function)))
    prepared = _ruled(_prepare(part), part, usable)
    if n < len(prepared.include):
        raise ConstraintError(f"include has {len(prepared.include)} frames, n is {n}; raise n")
    check_range(part.constraints, prepared, n, part.times)
    rows = part.frame_index
    is_free = prepared.eligible[rows] & ~np.isin(rows, prepared.include)
    taken = np.isin(rows, np.concatenate([prepared.labeled, prepared.include])) & usable
    given: dict[str, Any] = {"initial": tuple(np.flatnonzero(taken).tolist()), "usable": is_free}
    if part.times is not None:
        given["times"] = part.times[rows]
    if cuts is not None:
        moved = np.searchsorted(rows, np.asarray(cuts, np.int64))
        given["cuts"] = np.unique(moved[(moved > 0) & (moved < len(rows))])
    given = {key: value for key, value in given.items() if key in parameters}
    base = function(embeddings, n - len(prepared.include), seed=seed, **given, **own)
    base = replace(base, indices=rows[base.indices], nan_count=int((~usable).sum()))
    return fit_targets(base, prepared)


def _default_metric(function: Callable[..., Any]) -> Any:
    metric = inspect.signature(function).parameters.get("metric")
    return "euclidean" if metric is None else metric.default


def _prepare(part: Part) -> Prepared:
    """Only frames with an embedding, and those asked for by name, can be chosen."""
    mask = np.zeros(part.n_frames, np.bool_)
    mask[part.frame_index] = True
    mask[[i for i in part.constraints.include if i < part.n_frames]] = True
    if part.constraints.selectable is not None:
        mask &= part.constraints.selectable
    return prepare(part.n_frames, replace(part.constraints, selectable=mask), part.times)


def _ruled(prepared: Prepared, part: Part, usable: NDArray[np.bool_]) -> Prepared:
    """Rule out frames whose row is NaN or has no direction, unless they are asked for by name."""
    eligible = prepared.eligible.copy()
    eligible[np.setdiff1d(part.frame_index[~usable], prepared.include)] = False
    return prepared._replace(eligible=eligible)


def _pairs(parts: Sequence[Part], prepared: Sequence[Prepared]) -> list[tuple[Part, Prepared]]:
    return list(zip(parts, prepared, strict=True))


def _asker(
    oracle: Oracle, parts: Sequence[Part], prepared: Sequence[Prepared], offsets: NDArray[np.int64]
) -> Callable[[int], bool] | None:
    is_free = all(
        p.minimum <= len(one.include) and (p.maximum is None or p.maximum >= one.n_usable)
        for p, one in _pairs(parts, prepared)
    )
    if is_free and not any(one.is_gapped for one in prepared):
        return None
    frames = np.concatenate([np.zeros(0, np.int64), *(part.frame_index for part in parts)])
    owner = np.repeat(np.arange(len(parts)), np.diff(offsets))

    def accept(row: int) -> bool:
        return oracle.take(int(owner[row]), int(frames[row]))

    return accept


def _share(base: Sample, part: Part, prepared: Prepared, first: int, stop: int, unusable: int) -> Sample:
    """Cut one video's frames out of the choice over all."""
    mine = (base.indices >= first) & (base.indices < stop)
    picked = part.frame_index[base.indices[mine] - first]
    by_rank = np.argsort(base.rank[mine])
    ranked = np.concatenate([prepared.include, picked[by_rank]])
    order = np.argsort(ranked, kind="stable").astype(np.int64)
    own = dict(zip(picked.tolist(), np.asarray(base.reasons, object)[mine].tolist(), strict=True))
    gains = np.full(len(ranked), np.nan)
    if base.gains is not None:
        gains[len(prepared.include) :] = base.gains[mine][by_rank]
    included = set(prepared.include.tolist())
    indices = ranked[order]
    return replace(
        base,
        indices=indices,
        inclusion=np.where(np.isin(indices, prepared.include), 1.0, np.nan),
        rank=order,
        reasons=tuple("include: asked for" if i in included else own[i] for i in indices.tolist()),
        order=None,
        probabilities=None,
        nan_count=unusable,
        notes=(),
        gains=None if base.gains is None else gains[order],
    )

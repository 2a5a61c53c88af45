"""Choose frames by embeddings: floors over time first, then the method, over all videos at once where it can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.sampling import Constraints, Part, Sample
    from evfr.verbs._choose import Chosen
    from evfr.verbs._embedding import EmbeddedVideo
    from evfr.verbs._measure import Measured
    from evfr.verbs._pooling import Pooled
    from evfr.verbs._request import Request
    from evfr.verbs.score import VideoScore

__all__ = ["FLOOR_SHARES", "measure_coverage", "metric_of", "only_embedded", "sample_embedded"]

FLOOR_SHARES = {"farthest": 0.5}
"""Share of the budget that is spread over time and scenes when nothing is said; 0 for other methods."""


def only_embedded(constraints: Constraints, video: EmbeddedVideo, request: Request) -> Constraints:
    """Rule out frames without a usable vector, unless they are asked for by name.

    Parameters
    ----------
    constraints : Constraints
        Of one video; ``selectable`` is set.
    video : EmbeddedVideo
        Its vectors.
    request : Request
        Names the metric.

    Returns
    -------
    Constraints
        With fewer selectable frames.
    """
    import numpy as np

    from evfr._core.distances import usable_rows

    assert constraints.selectable is not None
    mask = np.zeros(len(constraints.selectable), np.bool_)
    mask[video.frame_index[usable_rows(video.vectors, metric_of(request))]] = True
    mask[list(constraints.include)] = True
    return replace(constraints, selectable=constraints.selectable & mask)


def sample_embedded(
    pairs: Sequence[tuple[Measured, VideoScore]],
    embedded: Sequence[EmbeddedVideo],
    per_video: Sequence[Constraints],
    request: Request,
    counts: NDArray[np.int64],
    minimum: NDArray[np.int64],
    maximum: NDArray[np.int64],
    seeds: Sequence[int],
    pooled: Pooled | None = None,
) -> tuple[list[Sample], tuple[str, ...]]:
    """Choose the frames of all videos by embeddings.

    Parameters
    ----------
    pairs : sequence of (Measured, VideoScore)
        The usable videos.
    embedded : sequence of EmbeddedVideo
        Their vectors.
    per_video : sequence of Constraints
        Their constraints.
    request : Request
        What was asked for.
    counts, minimum, maximum : (V,) int64
        The budget divided, and its bounds. Greedy methods keep to the sum and the bounds only.
    seeds : sequence of int
        One for each video.
    pooled : Pooled or None
        The pools that ``embedded`` holds the rows of.

    Returns
    -------
    tuple of (list of Sample, tuple of str)
        One for each video, and what is to be said about all.

    Raises
    ------
    ConstraintError
        If the constraints cannot hold together.
    """
    import numpy as np

    from evfr.sampling import Part, is_greedy, sample_rows, sample_together
    from evfr.verbs._choose import naming
    from evfr.verbs._pooling import pooled_method

    parts = []
    for (video, _), own, constraints in zip(pairs, embedded, per_video, strict=True):
        assert video.table is not None
        parts.append(Part(len(video.table), own.frame_index, constraints, video.table.time_seconds))
    if not is_greedy(request.method):
        found = []
        for row, (video, score) in enumerate(pairs):
            with naming(video.source.video_id):
                found.append(
                    sample_rows(
                        request.method,
                        embedded[row].vectors,
                        int(counts[row]),
                        parts[row],
                        seed=seeds[row],
                        options=request.method_options,
                        cuts=score.cuts,
                    )
                )
        return found, ()
    if request.stride is not None:
        minimum = maximum = counts
    parts = [
        replace(part, minimum=int(low), maximum=int(high))
        for part, low, high in zip(parts, minimum, maximum, strict=True)
    ]
    parts, note = _with_floors(parts, pairs, request, counts)
    rows = embedded[0].vectors if len(parts) == 1 else np.concatenate([video.vectors for video in embedded])
    method: Any = request.method
    pool_notes: list[str] = []
    if pooled is not None:
        names = [video.source.video_id for video, _ in pairs]
        method = pooled_method(pooled, parts, names, pool_notes)
    together = sample_together(
        method, rows, int(counts.sum()), parts, seed=request.seed, options=request.method_options
    )
    note = (*note, *(f"{request.method}: {line}" for line in pool_notes))
    return list(together.samples), (*note, *together.notes)


def _with_floors(
    parts: Sequence[Part],
    pairs: Sequence[tuple[Measured, VideoScore]],
    request: Request,
    counts: NDArray[np.int64],
) -> tuple[list[Part], tuple[str, ...]]:
    """Give a share of the budget to stretches of time; as little less as the other constraints leave room for."""
    import numpy as np

    from evfr.errors import ConstraintError
    from evfr.sampling import allocate, feasible_range, time_cells

    asked = request.floor_share
    share = FLOOR_SHARES.get(request.method, 0.0) if asked is None else asked
    total = int(counts.sum())
    wanted = int(share * total)
    spread = wanted
    while spread >= 1:
        # The stretches are divided over the videos as the budget is: `counts` is that division.
        own = allocate(spread, counts, maximum=counts) if counts.sum() else counts
        found = []
        for part, (_, score), count in zip(parts, pairs, own, strict=True):
            constraints = part.constraints
            assert constraints.selectable is not None
            usable = np.array(constraints.selectable)
            usable[list(constraints.exclude)] = False
            usable[list(constraints.labeled)] = True
            cells = time_cells(
                part.n_frames,
                int(count),
                times=part.times,
                cuts=score.cuts,
                usable=usable,
                per_scene=request.per_scene_min or 0,
            )
            found.append(replace(part, constraints=replace(constraints, cells=cells)))
        try:
            low = [feasible_range(part.n_frames, part.constraints, part.times)[0] for part in found]
        except ConstraintError:
            low = [total + 1]
        least = sum(max(a, part.minimum) for a, part in zip(low, found, strict=False))
        fits = all(a <= (part.maximum or 0) for a, part in zip(low, found, strict=False))
        if least <= total and fits:
            held = sum(len(part.constraints.cells) for part in found)
            text = (
                f"{request.method}: {held} of {total} frames are spread over time and scenes, one in each of {held} "
                "stretches; the rest goes where the method takes it (floor_share 0 is the plain method)"
            )
            if spread < wanted:
                text += f"; the constraints left no room for {wanted} stretches"
            return found, (text,)
        spread //= 2
    if wanted:
        return list(parts), (f"{request.method}: the constraints left no room to spread frames over time",)
    return list(parts), ()


def measure_coverage(
    chosen: Sequence[Chosen], embedded: Sequence[EmbeddedVideo], request: Request
) -> dict[str, Any]:
    """Return how well the chosen and labelled frames cover all embedded ones, JSON-ready.

    Parameters
    ----------
    chosen : sequence of Chosen
        The usable videos.
    embedded : sequence of EmbeddedVideo
        All videos.
    request : Request
        Names metric and embedding.

    Returns
    -------
    dict
        ``radius`` and ``mean_distance`` with the metric, the embedding and how many rows were measured.
    """
    import math

    import numpy as np

    from evfr.sampling import coverage

    by_id = {video.source.video_id: video for video in embedded}
    rows, picks, first = [], [], 0
    for entry in chosen:
        video = by_id[entry.measured.source.video_id]
        taken = np.concatenate([entry.sample.indices, np.array(entry.constraints.labeled, np.int64)])
        picks.append(np.flatnonzero(np.isin(video.frame_index, taken)) + first)
        rows.append(video.vectors)
        first += len(video.vectors)
    metric = metric_of(request)
    found = coverage(
        np.concatenate(rows),
        np.concatenate(picks),
        metric=metric,
        p=float(request.method_options.get("p", 3.0)),
        seed=request.seed,
    )
    return {
        "embedding": request.embedding or "thumbnail",
        "metric": metric,
        "radius": found.radius if math.isfinite(found.radius) else None,
        "mean_distance": found.mean if math.isfinite(found.mean) else None,
        "measured_rows": found.rows,
        "rows": found.total,
    }


def metric_of(request: Request) -> str:
    """Return the metric of the method on embeddings that was asked for.

    Parameters
    ----------
    request : Request
        What was asked for.

    Returns
    -------
    str
        As given, or the method's default.
    """
    import inspect

    from evfr.sampling import SAMPLERS

    parameter = inspect.signature(SAMPLERS[request.method]).parameters.get("metric")
    default = "euclidean" if parameter is None else str(parameter.default)
    return str(request.method_options.get("metric", default))

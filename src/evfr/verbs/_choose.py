"""Divide the budget over videos and draw the frames: from measurements to one sample per video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.types import FrameTable
    from evfr.sampling import Constraints, Sample
    from evfr.verbs._embedding import EmbeddedVideo
    from evfr.verbs._measure import Measured
    from evfr.verbs._pooling import Pooled
    from evfr.verbs._request import FrameNames, Request
    from evfr.verbs.score import VideoScore

__all__ = ["Chosen", "choose", "constrain"]

WHOLE_CLIP = 0.1
"""Share of the frames taken when no budget is given."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Chosen:
    """Hold the frames chosen from one video and what the choice saw."""

    measured: Measured
    score: VideoScore
    sample: Sample
    weights: NDArray[np.float64]
    constraints: Constraints
    size: float
    activity: float
    minimum: int
    maximum: int
    seed: int


def choose(
    measured: Sequence[Measured],
    scores: Sequence[VideoScore],
    request: Request,
    embedded: Sequence[EmbeddedVideo] | None = None,
    pooled: Pooled | None = None,
) -> tuple[list[Chosen], tuple[str, ...]]:
    """Divide the budget over the usable videos and sample each of them.

    Parameters
    ----------
    measured : sequence of Measured
        All videos, failed ones too.
    scores : sequence of VideoScore
        Their summaries, in the same order.
    request : Request
        What was asked for.
    embedded : sequence of EmbeddedVideo or None
        One per video, for methods on embeddings.
    pooled : Pooled or None
        The pools that ``embedded`` holds the rows of.

    Returns
    -------
    tuple of (list of Chosen, tuple of str)
        One per usable video, in order; the sizes add up to the budget. What is to be said about all of them.

    Raises
    ------
    ConstraintError
        If the constraints cannot hold together; the text says which, and in which video.
    InputError
        If no video is usable.
    """
    import numpy as np

    from evfr._core.rng import spawn_seed
    from evfr.errors import InputError
    from evfr.sampling import feasible_range, sample
    from evfr.verbs._choose_embedded import only_embedded, sample_embedded

    rows = [
        row
        for row, video in enumerate(measured)
        if video.table is not None
        and bool(video.table.is_selectable.any())
        and (embedded is None or len(embedded[row].frame_index) > 0)
    ]
    pairs = [(measured[row], scores[row]) for row in rows]
    if not pairs:
        raise InputError(
            f"none of the {len(measured)} inputs has a usable frame: "
            + "; ".join(str(problem) for video in measured[:3] for problem in video.problems[:1])
        )
    per_video = constrain([video for video, _ in pairs], request)
    usable = np.array([_usable(c) for c in per_video], np.int64)
    if embedded is not None:
        per_video = [
            only_embedded(constraints, embedded[row], request)
            for constraints, row in zip(per_video, rows, strict=True)
        ]
    if request.per_scene_min:
        per_video = [
            _with_scenes(score, video.table, constraints, request.per_scene_min)
            for (video, score), constraints in zip(pairs, per_video, strict=True)
            if video.table is not None
        ]
    ranges = []
    for (video, _), constraints in zip(pairs, per_video, strict=True):
        assert video.table is not None
        with naming(video.source.video_id):
            ranges.append(feasible_range(len(video.table), constraints, video.table.time_seconds))
    low = np.array([span[0] for span in ranges], np.int64)
    high = np.array([span[1] for span in ranges], np.int64)
    size = np.array([max(video.table.duration_seconds, 1e-9) for video, _ in pairs])  # type: ignore[union-attr]
    activity = np.array([_activity(score, request.signal) for _, score in pairs])
    counts, minimum, maximum = _counts(request, pairs, usable, low, high, size, activity)
    seeds = [spawn_seed(request.seed, video.digest) if len(pairs) > 1 else request.seed for video, _ in pairs]
    if embedded is not None:
        samples, notes = sample_embedded(
            pairs,
            [embedded[row] for row in rows],
            per_video,
            request,
            counts,
            minimum,
            maximum,
            seeds,
            pooled,
        )
    else:
        samples, notes = [], ()
        for row, ((video, score), constraints) in enumerate(zip(pairs, per_video, strict=True)):
            assert video.table is not None
            with naming(video.source.video_id):
                samples.append(
                    sample(
                        request.method,
                        _weights(video, score, request.signal),
                        int(counts[row]),
                        times=video.table.time_seconds,
                        seed=seeds[row],
                        constraints=constraints,
                        options=_options(request),
                        cuts=score.cuts,
                    )
                )
    chosen = []
    for row, ((video, score), constraints) in enumerate(zip(pairs, per_video, strict=True)):
        chosen.append(
            Chosen(
                video,
                score,
                samples[row],
                _weights(video, score, request.signal),
                constraints,
                float(size[row]),
                float(activity[row]),
                int(minimum[row]),
                int(maximum[row]),
                seeds[row],
            )
        )
    return chosen, notes


def _with_scenes(
    score: VideoScore, table: FrameTable, constraints: Constraints, per_scene: int
) -> Constraints:
    """Add the floor of every scene."""
    import numpy as np

    from evfr.sampling import time_cells

    usable = np.array(constraints.selectable, bool)
    usable[list(constraints.exclude)] = False
    usable[list(constraints.labeled)] = True
    cells = time_cells(
        len(table), 0, times=table.time_seconds, cuts=score.cuts, usable=usable, per_scene=per_scene
    )
    return replace(constraints, cells=cells)


def constrain(videos: Sequence[Measured], request: Request) -> list[Constraints]:
    """Give each video its own constraints.

    Parameters
    ----------
    videos : sequence of Measured
        The usable videos.
    request : Request
        What was asked for.

    Returns
    -------
    list of Constraints
        One per video.

    Raises
    ------
    ConstraintError
        If a named frame is in no video, or lies beyond the end of its video.
    """
    from evfr.sampling import Constraints

    named = {
        name: _by_video(videos, getattr(request, name), name) for name in ("include", "exclude", "labeled")
    }
    found = []
    for video in videos:
        assert video.table is not None
        own = {name: tuple(sorted(frames.get(video.source.video_id, ()))) for name, frames in named.items()}
        found.append(
            Constraints(
                min_gap=request.min_gap,
                max_gap=request.max_gap,
                min_gap_seconds=request.min_gap_seconds,
                max_gap_seconds=request.max_gap_seconds,
                selectable=_selectable(video, request),
                **own,
            )
        )
    return found


def _selectable(video: Measured, request: Request) -> NDArray[np.bool_]:
    import numpy as np

    from evfr.sampling import quality_mask

    assert video.table is not None and video.sharpness is not None and video.clipped is not None
    mask = video.table.is_selectable
    # Sharpness depends on the scene, so it is judged against the video's own middle.
    middle = float(np.median(video.sharpness[mask])) if mask.any() else 0.0
    least = None if request.min_sharpness is None else request.min_sharpness * middle
    good = quality_mask(video.sharpness, video.clipped, min_sharpness=least, max_clipped=request.max_clipped)
    return np.asarray(mask & good)


def _by_video(videos: Sequence[Measured], frames: FrameNames, name: str) -> dict[str, list[int]]:
    from evfr.errors import ConstraintError

    lengths = {video.source.video_id: 0 if video.table is None else len(video.table) for video in videos}
    found: dict[str, list[int]] = {}
    for video_id, index in frames:
        if video_id is None and len(lengths) != 1:
            raise ConstraintError(
                f"{name}: frame {index} needs a video when there are several; write VIDEO:{index}"
            )
        owner = video_id if video_id is not None else next(iter(lengths))
        if owner not in lengths:
            raise ConstraintError(f"{name}: no usable video {owner!r}; there are {list(lengths)[:5]}")
        if index >= lengths[owner]:
            raise ConstraintError(f"{name}: {owner} has {lengths[owner]} frames, there is no frame {index}")
        found.setdefault(owner, []).append(index)
    return found


def _counts(
    request: Request,
    pairs: Sequence[tuple[Measured, VideoScore]],
    usable: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    size: NDArray[np.float64],
    activity: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    import numpy as np

    from evfr.errors import ConstraintError
    from evfr.sampling import allocate, budget

    names = [video.source.video_id for video, _ in pairs]
    if request.stride is not None:
        counts = np.array([budget(int(count), stride=request.stride) for count in usable], np.int64)
        for name, count, least, most in zip(names, counts, low, high, strict=True):
            if not least <= count <= most:
                raise ConstraintError(
                    f"{name}: stride {request.stride} takes {count} frames, but the constraints allow "
                    f"{least} to {most}; change the stride or loosen them"
                )
        return counts, low, high
    ratio = WHOLE_CLIP if request.n is None and request.ratio is None else request.ratio
    total = budget(int(usable.sum()), n=request.n, ratio=ratio)
    floor = request.per_video_min
    if floor is None:
        # No video is left out unasked while the budget reaches for all of them.
        floor = 1 if total >= len(pairs) else 0
    ceiling = np.full(
        len(pairs), np.iinfo(np.int64).max if request.per_video_max is None else request.per_video_max
    )
    minimum = np.maximum(low, floor if request.per_video_min is not None else np.minimum(floor, high))
    maximum = np.minimum(high, ceiling)
    for name, least, most in zip(names, minimum, maximum, strict=True):
        if least > most:
            raise ConstraintError(
                f"{name}: needs at least {least} frames, but at most {most} are allowed or possible; "
                "lower the minimum, raise the maximum or loosen the gaps"
            )
    if len(pairs) == 1 and minimum[0] == low[0] and maximum[0] == high[0]:
        # One video has nothing to divide; if its own constraints cannot hold, the sampler says which.
        return np.array([total]), minimum, maximum
    if int(minimum.sum()) > total:
        worst = sorted(range(len(pairs)), key=lambda row: -int(minimum[row]))[:3]
        most = ", ".join(f"{names[row]} {minimum[row]}" for row in worst)
        raise ConstraintError(
            f"minimum, gaps and included frames need at least {int(minimum.sum())} frames (most: {most}), "
            f"but the budget is {total}; raise it or loosen them"
        )
    if int(maximum.sum()) < total:
        names_of_limits = (
            "pool",
            "every",
            "fps",
            "min_gap",
            "min_gap_seconds",
            "per_video_max",
            "min_sharpness",
            "max_clipped",
        )
        limits = [
            f"{name}={getattr(request, name)}"
            for name in names_of_limits
            if getattr(request, name) is not None
        ]
        limits += [name for name in ("exclude", "labeled") if getattr(request, name)]
        raise ConstraintError(
            f"{', '.join(limits) or 'the usable frames'} allow at most {int(maximum.sum())} frames in all, "
            f"but the budget is {total}; lower it{' or loosen them' if limits else ''}"
        )
    counts = allocate(total, size, activity, rule=request.allocation, minimum=minimum, maximum=maximum)
    return counts, minimum, maximum


def _usable(constraints: Constraints) -> int:
    import numpy as np

    mask = np.array(constraints.selectable, bool)
    mask[list(constraints.exclude)] = False
    mask[list(constraints.labeled)] = False
    return int(mask.sum())


def _weights(video: Measured, score: VideoScore, signal: str) -> NDArray[np.float64]:
    import numpy as np

    assert video.table is not None
    return score.fvi[signal] if signal in score.fvi else np.ones(len(video.table))


def _activity(score: VideoScore, signal: str) -> float:
    import math

    value = score.activity.get(signal, 1.0)
    return value if math.isfinite(value) else 0.0


def _options(request: Request) -> Mapping[str, Any]:
    if request.stride is not None and request.method == "uniform":
        return {"stride": request.stride, **request.method_options}
    return request.method_options


class naming:
    """Put a video's name before the text of a ConstraintError raised inside."""

    def __init__(self, video_id: str) -> None:
        self.video_id = video_id

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from evfr.errors import ConstraintError

        if isinstance(error, ConstraintError):
            raise ConstraintError(f"{self.video_id}: {error}") from error

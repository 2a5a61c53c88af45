"""Keep a small pool of each video, so that one choice runs over any number of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.remote_store import StoreRoot
    from evfr._core.store import StoreKey
    from evfr.sampling import Part, Pool, Sample
    from evfr.verbs._embedding import EmbeddedVideo
    from evfr.verbs._finish import Run
    from evfr.verbs._measure import Measured
    from evfr.verbs._request import Request

__all__ = ["Pooled", "pool_video", "pool_videos", "pooled_method"]

POOL_SCHEMA = 1
DEPTH = 4
"""Each order goes this many times as deep as the share, so that lively videos can keep more than still ones."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pooled:
    """Hold the pools of all videos.

    Attributes
    ----------
    embedded : list of EmbeddedVideo
        One per input, with the rows of its pool and of the frames asked for by name alone.
    pools : dict of str to Pool
        By video id.
    vectors : dict of str to (K, D) float16
        Vectors of each pool, in its order.
    row_numbers : dict of str to (M,) int64
        Which row of the whole video each row of ``embedded`` is.
    rows : int
        Embedded frames over all videos.
    """

    embedded: list[EmbeddedVideo]
    pools: dict[str, Pool]
    vectors: dict[str, NDArray[np.float16]]
    row_numbers: dict[str, NDArray[np.int64]]
    rows: int


@dataclass(frozen=True, slots=True)
class PoolJob:
    """Say what to pool of one video; travels to the child process."""

    video_id: str
    store: StoreRoot
    embedding: StoreKey
    method: str
    metric: str
    share: float
    usable: bytes


def pool_video(job: PoolJob, heartbeat: Callable[[int, int | None], None]) -> StoreKey:
    """Pool one video into the store; runs in a child process.

    Parameters
    ----------
    job : PoolJob
        What to do.
    heartbeat : callable
        Called when done.

    Returns
    -------
    StoreKey
        Of the stage ``pool``.
    """
    import numpy as np
    import pyarrow as pa

    from evfr._core.store import Store
    from evfr._core.vectors import column_to_vectors, vectors_to_column
    from evfr.sampling import pool_rows

    store = Store(job.store)
    key = _key(store, job)
    if store.has(key):
        return key
    table = store.read(job.embedding)
    index = table["frame_index"].to_numpy()
    vectors = column_to_vectors(table["embedding"])
    usable = np.frombuffer(job.usable, np.bool_)[index]
    depth = min(len(index), math.ceil(DEPTH * job.share * len(index)))
    pool = pool_rows(vectors, depth, method=job.method, metric=job.metric, usable=usable)  # type: ignore[arg-type]
    columns = pa.table(
        {
            "frame_index": pa.array(index[pool.order], pa.int64()),
            "row": pa.array(pool.order, pa.int64()),
            "gain": pa.array(pool.gains, pa.float64()),
            "weight": pa.array(pool.weights, pa.int64()),
            "embedding": vectors_to_column(vectors[pool.order]),
        }
    )
    radius = pool.radius if math.isfinite(pool.radius) else None
    store.write(key, columns, {"radius": radius, "n_rows": pool.n_rows})
    heartbeat(len(index), len(index))
    return key


def _key(store: Any, job: PoolJob) -> StoreKey:
    parameters = {
        "embedding": job.embedding.digest,
        "method": job.method,
        "metric": job.metric,
        "share": job.share,
        "usable": hashlib.blake2b(job.usable, digest_size=16).hexdigest(),
        "pool_schema": POOL_SCHEMA,
    }
    key: StoreKey = store.key(job.embedding.video_hash, "pool", parameters)
    return key


def pool_videos(measured: Sequence[Measured], located: Sequence[Any], request: Request, run: Run) -> Pooled:
    """Pool every usable video, in parallel; what the store has is not computed again.

    Parameters
    ----------
    measured : sequence of Measured
        All inputs.
    located : sequence of Located or Problem
        Where their vectors are.
    request : Request
        What was asked for.
    run : Run
        How to execute.

    Returns
    -------
    Pooled
        Cut to the share asked for, over all videos together, with at least one frame of each.
    """
    import numpy as np

    from evfr._core.types import Problem
    from evfr.sampling import cut_pools
    from evfr.verbs._choose import constrain
    from evfr.verbs._choose_embedded import metric_of
    from evfr.verbs._run import run_videos

    metric, share = metric_of(request), request.pool
    assert share is not None
    found: list[EmbeddedVideo] = [
        _without(video, place if isinstance(place, Problem) else None)
        for video, place in zip(measured, located, strict=True)
    ]
    rows = [
        row
        for row, video in enumerate(measured)
        if video.table is not None and not isinstance(located[row], Problem)
    ]
    per_video = constrain([measured[row] for row in rows], request)
    jobs = []
    for row, constraints in zip(rows, per_video, strict=True):
        mask = np.array(constraints.selectable, np.bool_)
        mask[list(constraints.exclude)] = False
        mask[list(constraints.labeled)] = False
        name = measured[row].source.video_id
        jobs.append(PoolJob(name, run.store, located[row].key, request.method, metric, share, mask.tobytes()))
    outcomes = run_videos(
        pool_video,
        jobs,
        [job.video_id for job in jobs],
        label="pooling",
        executor=run.executor,
        jobs=run.jobs,
        memory_limit_mb=run.memory_limit_mb,
        timeout_seconds=run.timeout_seconds,
    )
    pools, vectors, kept, total = [], [], [], 0
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome.problem is not None:
            found[row] = replace(found[row], problems=(*found[row].problems, outcome.problem))
            continue
        pool, own = _read(run.store, outcome.value, request.method, metric)
        total += pool.n_rows
        if len(pool):
            pools.append(pool)
            vectors.append(own)
            kept.append(row)
    size = max(math.ceil(share * total), len(pools))
    cut, cut_vectors = cut_pools(pools, vectors, min(size, sum(map(len, pools))))
    by_row = dict(zip(rows, per_video, strict=True))
    names = [measured[row].source.video_id for row in kept]
    numbers: dict[str, NDArray[np.int64]] = {}
    for name, row, pool, own in zip(names, kept, cut, cut_vectors, strict=True):
        forced = {*by_row[row].include, *by_row[row].labeled}
        found[row], numbers[name] = _with_pool(found[row], run.store, located[row], pool, own, forced)
    pooled, kept_vectors = dict(zip(names, cut, strict=True)), dict(zip(names, cut_vectors, strict=True))
    return Pooled(found, pooled, kept_vectors, numbers, total)


def _without(video: Measured, problem: Any) -> EmbeddedVideo:
    import numpy as np

    from evfr.verbs._embedding import EmbeddedVideo

    none, empty = np.zeros(0, np.int64), np.zeros((0, 0), np.float16)
    problems = () if problem is None else (replace(problem, source=video.source.video_id),)
    return EmbeddedVideo(
        video.source, video.status, video.digest, none, empty, None, None, {}, problems, is_cached=True
    )


def _read(store: StoreRoot, key: StoreKey, method: str, metric: str) -> tuple[Pool, NDArray[np.float16]]:
    from evfr._core.store import Store
    from evfr._core.vectors import column_to_vectors
    from evfr.sampling import Pool

    entry = Store(store).read_entry(key)
    columns = entry.table
    radius = entry.metadata["radius"]
    pool = Pool(
        columns["row"].to_numpy(),
        columns["gain"].to_numpy(),
        columns["weight"].to_numpy(),
        math.nan if radius is None else radius,
        entry.metadata["n_rows"],
        method,
        metric,
    )
    return pool, column_to_vectors(columns["embedding"])


def _with_pool(
    video: EmbeddedVideo,
    store: StoreRoot,
    place: Any,
    pool: Pool,
    vectors: NDArray[np.float16],
    forced: set[int],
) -> tuple[EmbeddedVideo, NDArray[np.int64]]:
    """Keep the rows of the pool and of the frames asked for by name."""
    import numpy as np

    from evfr._core.store import Store
    from evfr._core.vectors import column_to_vectors

    index = Store(store).read(place.key)["frame_index"].to_numpy()
    rows = pool.order
    named = np.flatnonzero(np.isin(index, sorted(forced)))
    named = np.setdiff1d(named, rows)
    if len(named):
        whole = column_to_vectors(Store(store).read(place.key)["embedding"])
        rows, vectors = np.concatenate([rows, named]), np.concatenate([vectors, whole[named]])
    line = np.argsort(rows)
    return replace(video, frame_index=index[rows[line]], vectors=vectors[line], key=place.key), rows[line]


def pooled_method(
    pooled: Pooled, parts: Sequence[Part], names: Sequence[str], notes: list[str]
) -> Callable[..., Sample]:
    """Return the merge of the pools as a method that `evfr.sampling.sample_together` runs.

    Parameters
    ----------
    pooled : Pooled
        The pools.
    parts : sequence of Part
        The usable videos, with the rows of `Pooled.embedded`.
    names : sequence of str
        Their video ids.
    notes : list of str
        Gets one line on what the pools held and how far any frame can be from a chosen one.

    Returns
    -------
    callable
        ``(embeddings, n, *, seed, metric, initial, usable, accept) -> Sample``.
    """
    import numpy as np

    from evfr.sampling import merge_pools

    def merged(
        embeddings: Any,
        n: int,
        *,
        seed: int = 0,
        metric: str = "euclidean",
        initial: Sequence[int] = (),
        usable: Any = None,
        accept: Callable[[int], bool] | None = None,
    ) -> Sample:
        pools = [pooled.pools[name] for name in names]
        offsets = np.cumsum([0, *(len(part.frame_index) for part in parts)])
        # Where each row of a pool stands among the rows that are sampled.
        places = [
            {int(row): int(offsets[v]) + k for k, row in enumerate(pooled.row_numbers[name])}
            for v, name in enumerate(names)
        ]

        def asks(video: int, row: int) -> bool:
            at = places[video][row]
            return bool(usable[at]) and (accept is None or accept(at))

        found = merge_pools(
            pools,
            [pooled.vectors[name] for name in names],
            n,
            initial=np.asarray(embeddings)[list(initial)] if initial else None,
            accept=asks,
        )
        indices = np.array(
            [places[v][r] for v, r in zip(found.pool.tolist(), found.row.tolist(), strict=True)], np.int64
        )
        count = sum(map(len, pools))
        line = f"chosen from pools of {count} of {pooled.rows} embedded frames"
        if math.isfinite(found.radius_bound):
            line += (
                f"; no embedded frame is farther than {found.radius_bound:.4g} from a chosen one ({metric})"
            )
        notes.append(line)
        by_place = np.argsort(indices)
        sample = found.sample
        return replace(
            sample,
            indices=indices[by_place],
            rank=sample.rank[by_place],
            reasons=tuple(sample.reasons[k] for k in by_place),
            inclusion=sample.inclusion[by_place],
            gains=None if sample.gains is None else sample.gains[by_place],
            notes=(),
        )

    return merged

"""From carried stretches to labels of the whole video: trust, what is kept, and what to look at next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations
    from evfr._core.types import FrameTable
    from evfr.propagation import CarryEnd, ExpectedIou, ReviewQueue, TrustCheck, TrustModel
    from evfr.verbs._carry import CarriedVideo

__all__ = ["Judged", "LowTrust", "WholeVideo", "assemble_labels", "judge", "whole_video"]

LowTrust = Literal["keep", "drop", "ask"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WholeVideo:
    """Hold what was carried as one table over all frames of the video.

    Attributes
    ----------
    track_ids, category_ids : (K,) int64
        All tracks, ids ascending.
    boxes_xyxy : (T, K, 4) float64
        Pixels; NaN where an object is not there.
    masks : list of T dicts
        Mask by row of ``track_ids``.
    score : (T, K) float64
        As propagators give it.
    features : (T, K, 5) float64
        What trust is made from; NaN where nothing was measured.
    is_labeled : (T,) bool
        Frames that people labelled.
    is_reached : (T,) bool
        Frames that the labels of either side reach: no cut and no damage between.
    ends : tuple of CarryEnd
        Where objects stopped.
    """

    track_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    masks: list[dict[int, Any]]
    score: NDArray[np.float64]
    features: NDArray[np.float64]
    is_labeled: NDArray[np.bool_]
    is_reached: NDArray[np.bool_]
    ends: tuple[CarryEnd, ...]

    @property
    def is_carried(self) -> NDArray[np.bool_]:
        """(T, K) bool: objects that are there without a label."""
        import numpy as np

        present = ~np.isnan(self.boxes_xyxy).any(axis=2)
        return np.asarray(present & ~self.is_labeled[:, None])


def whole_video(
    carried: CarriedVideo, labels: VideoAnnotations, table: FrameTable, cuts: NDArray[np.int64], damaged: str
) -> WholeVideo:
    """Put the stretches of a video together.

    Parameters
    ----------
    carried : CarriedVideo
        All stretches.
    labels : VideoAnnotations
        What they were carried from.
    table : FrameTable
        The frames of the video.
    cuts : (C,) int64
        First frames of new shots.
    damaged : str
        As in `evfr.select`.

    Returns
    -------
    WholeVideo
        One row per frame and track.
    """
    import numpy as np

    from evfr.propagation import trust_features

    count = len(table)
    tracks, first = np.unique(labels.track_id, return_index=True)
    categories = labels.category_id[first]
    shape = (count, len(tracks))
    boxes = np.full((*shape, 4), np.nan)
    score = np.full(shape, np.nan)
    features = np.full((*shape, 5), np.nan)
    masks: list[dict[int, Any]] = [{} for _ in range(count)]
    for stretch, part in zip(carried.stretches, carried.parts, strict=True):
        columns = np.searchsorted(tracks, part.track_ids)
        rows = np.arange(stretch.first, stretch.last + 1)
        boxes[np.ix_(rows, columns)] = part.boxes_xyxy
        score[np.ix_(rows, columns)] = part.score
        features[np.ix_(rows, columns)] = trust_features(part.evidence)
        for row, masks_there in zip(rows.tolist(), part.masks, strict=True):
            masks[row] = {
                int(column): mask
                for column, mask in zip(columns, masks_there, strict=True)
                if mask is not None
            }
    is_labeled = np.zeros(count, np.bool_)
    is_labeled[labels.videos[0].frame_index] = True
    usable = table.is_decoded if damaged == "keep" else table.is_selectable
    return WholeVideo(
        tracks,
        categories,
        boxes,
        masks,
        score,
        features,
        is_labeled,
        _reached(is_labeled, usable, cuts),
        tuple(end for part in carried.parts for end in part.ends),
    )


def _reached(
    is_labeled: NDArray[np.bool_], usable: NDArray[np.bool_], cuts: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Walk from the labels both ways; a cut or a damaged frame ends the walk."""
    import numpy as np

    is_cut = np.zeros(len(is_labeled) + 1, np.bool_)
    is_cut[cuts] = True
    out = is_labeled.copy()
    for frame in range(1, len(out)):
        out[frame] |= bool(out[frame - 1] and usable[frame] and usable[frame - 1] and not is_cut[frame])
    back = is_labeled.copy()
    for frame in range(len(out) - 2, -1, -1):
        back[frame] |= bool(back[frame + 1] and usable[frame] and usable[frame + 1] and not is_cut[frame + 1])
    return np.asarray(out | back)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Judged:
    """Hold how far what was carried can be believed.

    Attributes
    ----------
    model : TrustModel
        Fitted on the labels that were held out.
    trust : (T, K) float64
        In [0, 1] for carried objects, 1 for labelled ones, NaN where nothing is.
    expected : ExpectedIou
        Mean overlap to be expected, with its interval.
    check : TrustCheck
        How trust did on held-out labels it was not fitted on.
    is_kept, is_dropped, is_asked : (T, K) bool
        What becomes of each carried object.
    below_count : int
        Carried objects below the limit.
    queue : ReviewQueue
        Frames to label next.
    """

    model: TrustModel
    trust: NDArray[np.float64]
    expected: ExpectedIou
    check: TrustCheck
    is_kept: NDArray[np.bool_]
    is_dropped: NDArray[np.bool_]
    is_asked: NDArray[np.bool_]
    below_count: int
    queue: ReviewQueue


def judge(
    video: WholeVideo,
    held: Any,
    *,
    min_trust: float | None,
    low_trust: LowTrust,
    review_n: int,
    table: FrameTable,
    cuts: NDArray[np.int64],
    seed: int,
) -> Judged:
    """Fit trust on the labels that were held out, decide about each carried object, and order what to look at.

    Parameters
    ----------
    video : WholeVideo
        What was carried.
    held : HeldOut
        Rows of held-out labels.
    min_trust : float or None
        Limit; None keeps everything.
    low_trust : {"keep", "drop", "ask"}
        What becomes of objects below it.
    review_n : int
        Frames to look at next, at most.
    table : FrameTable
        The frames.
    cuts : (C,) int64
        First frames of new shots.
    seed : int
        Of the interval's draws.

    Returns
    -------
    Judged
        Trust and decisions.
    """
    import numpy as np

    from evfr.propagation import apply_min_trust, check_trust, expected_iou, fit_trust, review_queue

    model = fit_trust(held.features, held.true_iou, held.frames)
    there = video.is_carried
    trust = np.full(there.shape, np.nan)
    trust[there] = model.predict(video.features[there])
    decision = apply_min_trust(
        trust[there],
        np.zeros(int(there.sum()), np.bool_),
        0.0 if min_trust is None else min_trust,
        below=low_trust,
    )

    def spread(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        out = np.zeros(there.shape, np.bool_)
        out[there] = flags
        return out

    present = ~np.isnan(video.boxes_xyxy).any(axis=2)
    trust[present & video.is_labeled[:, None]] = 1.0
    frames = np.arange(len(table), dtype=np.int64)
    queue = review_queue(
        trust,
        frames,
        labeled=np.flatnonzero(video.is_labeled),
        n=review_n,
        cuts=[int(cut) for cut in cuts],
        is_unreached=(~video.is_reached | _is_lost(video)) & table.is_selectable,
        is_allowed=table.is_selectable,
    )
    return Judged(
        model,
        trust,
        expected_iou(video.features[there], held, seed=seed),
        check_trust(held),
        spread(decision.is_kept if min_trust is not None else np.ones(int(there.sum()), np.bool_)),
        spread(decision.is_dropped),
        spread(decision.is_asked),
        decision.below_count if min_trust is not None else 0,
        queue,
    )


def _is_lost(video: WholeVideo) -> NDArray[np.bool_]:
    """Return the frames, up to the next label, on which an object is missing because it was lost on the way."""
    import numpy as np

    is_absent = np.asarray(np.isnan(video.boxes_xyxy).any(axis=2))
    out = np.zeros(len(is_absent), np.bool_)
    labeled = np.flatnonzero(video.is_labeled)
    for end in video.ends:
        if end.reason in ("cut", "damaged"):
            continue
        k = int(np.searchsorted(video.track_ids, end.track_id))
        first, last = end.frame_index, end.frame_index
        if end.side == "left":
            later = labeled[labeled >= first]
            last = int(later[0]) - 1 if len(later) else len(is_absent) - 1
        else:
            earlier = labeled[labeled <= last]
            first = int(earlier[-1]) + 1 if len(earlier) else 0
        out[first : last + 1] |= is_absent[first : last + 1, k]
    return out


def assemble_labels(
    video: WholeVideo,
    judged: Judged,
    labels: VideoAnnotations,
    table: FrameTable,
    *,
    drop_by: str,
    wanted: NDArray[np.bool_] | None = None,
) -> VideoAnnotations:
    """Return the labels of people and what was carried, as one value.

    Parameters
    ----------
    video : WholeVideo
        What was carried.
    judged : Judged
        What becomes of it.
    labels : VideoAnnotations
        The labels of people: they come back unchanged.
    table : FrameTable
        The frames of the video.
    drop_by : {"frame", "object"}
        Whether a frame of which an object is left out is left out whole: a missing object would pass for background.
    wanted : (T, K) bool or None
        Which carried objects; None takes those that are kept.

    Returns
    -------
    VideoAnnotations
        Of all frames that labels reach; objects that were carried have the source ``"carried"`` and a trust.
    """
    import numpy as np

    from evfr._core.annotations import SOURCES, VideoAnnotations

    is_out = video.is_carried & ~judged.is_kept
    is_used = video.is_reached.copy()
    take = judged.is_kept if wanted is None else wanted
    if wanted is not None:
        is_used = np.asarray(wanted.any(axis=1))
    elif drop_by == "frame":
        is_used &= ~is_out.any(axis=1)
    is_used &= ~video.is_labeled
    frames, tracks = np.nonzero(take & video.is_carried & is_used[:, None])
    annotated = np.flatnonzero(is_used | video.is_labeled) if wanted is None else np.flatnonzero(is_used)
    old = labels.videos[0]
    names = _file_names(old, annotated)
    new = replace(
        old,
        frame_index=annotated,
        pts=table.pts[annotated],
        time_base=table.time_base,
        frame_count=len(table),
        file_names=names,
    )
    kept = labels if wanted is None else labels.take(np.zeros(0, np.int64))
    n = len(frames)
    pairs = list(zip(frames.tolist(), tracks.tolist(), strict=True))

    def join(ours: NDArray[Any], theirs: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([ours, np.asarray(theirs, ours.dtype).reshape(n, *ours.shape[1:])])

    return VideoAnnotations(
        (new,),
        labels.categories,
        join(kept.video_row, np.zeros(n)),
        join(kept.frame_index, frames),
        join(kept.track_id, video.track_ids[tracks]),
        join(kept.category_id, video.category_ids[tracks]),
        join(kept.boxes_xyxy, video.boxes_xyxy[frames, tracks]),
        (*kept.masks, *(video.masks[frame].get(track) for frame, track in pairs)),
        join(kept.score, video.score[frames, tracks]),
        join(kept.source, np.full(n, SOURCES.index("carried"))),
        join(kept.trust, judged.trust[frames, tracks]),
        join(kept.is_crowd, np.zeros(n)),
        (*kept.attributes, *({} for _ in range(n))) if kept.attributes else (),
    )


def _file_names(old: Any, annotated: NDArray[np.int64]) -> tuple[str, ...]:
    """Keep image names where every annotated frame has one: an image folder whose names are all known."""
    if not old.file_names:
        return ()
    known = dict(zip(old.frame_index.tolist(), old.file_names, strict=True))
    names = tuple(known.get(int(frame), "") for frame in annotated)
    return names if all(names) else ()

"""Unsupervised video object segmentation: proposals are matched to objects, then scored by J and F (DAVIS 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.lazy import require
from evfr._core.masks import Rle
from evfr.errors import AnnotationError
from evfr.metrics._boundary import _disk, _near_count, _outline, boundary_radius
from evfr.metrics._masks import MaskScores
from evfr.metrics._region import region_similarity
from evfr.metrics._table import NO_GAP, check_tracks, frames_to_score, paired_videos

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["Proposals", "pick_proposals", "unsupervised_scores"]

_Outline = tuple["NDArray[np.bool_]", "NDArray[np.int64]"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Proposals:
    """Hold the proposals of one video as DAVIS wants them: few, and no pixel in two.

    Attributes
    ----------
    labels : VideoAnnotations
        The video with the proposals that were kept.
    left_out : tuple of int
        Tracks beyond the limit, the best of them first.
    overlap_count : int
        Pixels, over all frames, that were taken from a proposal because a better one holds them.
    """

    labels: VideoAnnotations
    left_out: tuple[int, ...]
    overlap_count: int

    def __repr__(self) -> str:
        count = len(np.unique(self.labels.track_id))
        return (
            f"Proposals({count} kept, {len(self.left_out)} left out, {self.overlap_count} pixels given away)"
        )


def pick_proposals(predicted: VideoAnnotations, video_id: str, limit: int = 20) -> Proposals:
    """Keep the best proposals of a video, and give each pixel to the best that holds it (Caelles et al. 2019).

    Parameters
    ----------
    predicted : VideoAnnotations
        A proposal is a track, its score the mean of its rows'; of equal ones the smaller track is better.
    video_id : str
        The video.
    limit : int
        Most proposals, 1 or more.

    Returns
    -------
    Proposals
        DAVIS stores one picture of numbers a frame, in which a pixel has one owner.

    Raises
    ------
    AnnotationError
        If a proposal has no track or no mask, or lacks a score where one is needed: more proposals than ``limit``, or
        two that share pixels.
    ValueError
        If the limit is below 1.

    References
    ----------
    Caelles et al., "The 2019 DAVIS challenge on VOS: unsupervised multi-object segmentation", arXiv:1905.00737.
    """
    if limit < 1:
        raise ValueError(f"the limit of proposals must be 1 or more, got {limit}")
    part = predicted.of_video(video_id)
    check_tracks(part, "prediction")
    _check_masks(part, "prediction")
    tracks, inverse = np.unique(part.track_id, return_inverse=True)
    counts = np.bincount(inverse, minlength=len(tracks))
    scores = np.bincount(inverse, part.score, minlength=len(tracks)) / np.maximum(counts, 1)
    order = np.argsort(-scores, kind="stable")
    unscored = tracks[~np.isfinite(scores)]
    if len(tracks) > limit and unscored.size:
        raise AnnotationError(
            f"video {video_id!r}: {len(tracks)} proposals are more than {limit}, and track {int(unscored[0])} has no "
            "score to choose by; give scores, or fewer proposals"
        )
    kept, left_out = order[:limit], order[limit:]
    part = part.take(np.isin(part.track_id, tracks[kept]))
    place = {int(tracks[row]): rank for rank, row in enumerate(kept.tolist())}
    masks = list(part.masks)
    overlap = 0
    for frame in np.unique(part.frame_index).tolist():
        rows = sorted(part.rows_at(video_id, frame).tolist(), key=lambda row: place[int(part.track_id[row])])
        if len(rows) < 2:
            continue
        video = part.videos[0]
        taken = np.zeros((video.height, video.width), np.bool_)
        for row in rows:
            mask = masks[row]
            assert mask is not None  # checked above
            dense = mask.to_mask()
            shared = int((dense & taken).sum())
            if shared:
                overlap += shared
                masks[row] = Rle.from_mask(dense & ~taken)
            taken |= dense
        if overlap and unscored.size:
            raise AnnotationError(
                f"video {video_id!r}, frame {frame}: proposals share pixels, and track {int(unscored[0])} has no score "
                "to say whose they are; give scores, or proposals that do not overlap"
            )
    return Proposals(replace(part, masks=tuple(masks)), tuple(tracks[left_out].tolist()), overlap)


def unsupervised_scores(
    truth: VideoAnnotations,
    predicted: VideoAnnotations,
    video_id: str,
    limit: int = 20,
    *,
    missing: str = "fail",
) -> MaskScores:
    """Score the proposals of one video: J and F of each true object by the proposal given to it (Caelles et al. 2019).

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        Tracks need not be the same. Pixels of true groups (DAVIS' void) do not count.
    video_id : str
        A video of both.
    limit : int
        Most proposals; see `pick_proposals`, which this calls.
    missing : {"fail", "skip", "empty"}
        What becomes of frames that the prediction does not annotate.

    Returns
    -------
    MaskScores
        One row per true object and annotated frame. All frames count: sum up with ``without_ends=False``.

    Raises
    ------
    AnnotationError
        If a video is missing or of another size, frames are missing, there is none, or as `pick_proposals` says.
    MissingExtraError
        If SciPy is not installed.
    ValueError
        If an argument is out of range.

    Notes
    -----
    Proposals and objects are matched one to one so that the sum of their mean J&F over all frames is largest. An object
    that no proposal is left for is compared with nothing: 0 in every frame in which it is there, 1 where it is not, as
    in the official code.

    References
    ----------
    Caelles et al., "The 2019 DAVIS challenge on VOS: unsupervised multi-object segmentation", arXiv:1905.00737.
    """
    one, other = paired_videos(truth, predicted, video_id)
    frames, _ = frames_to_score(one, other, missing)
    if not len(frames):
        raise AnnotationError(
            f"video {video_id!r}: there is no frame to score; the truth annotates {len(one.frame_index)}"
        )
    proposals = pick_proposals(predicted, video_id, limit).labels
    whole = truth.of_video(video_id)
    mine = whole.take(~whole.is_crowd)
    void = whole.take(whole.is_crowd)
    check_tracks(mine, "truth")
    for part in (mine, void):
        _check_masks(part, "truth")
    tracks, first_rows = np.unique(mine.track_id, return_index=True)
    theirs = np.unique(proposals.track_id)
    region, boundary = _compare(mine, tracks, proposals, theirs, void, frames)
    if len(tracks):
        solve = require("scipy.optimize", extra="metrics").linear_sum_assignment
        gain = (region.mean(axis=2) + boundary.mean(axis=2)) / 2
        chosen, objects = solve(-gain)
        at = np.empty(len(tracks), np.int64)
        at[objects] = chosen
        region = np.stack([region[row, column] for column, row in enumerate(at)])
        boundary = np.stack([boundary[row, column] for column, row in enumerate(at)])
    names = {category.category_id: category.name for category in mine.categories}
    kinds = [names[int(mine.category_id[row])] for row in first_rows]
    categories = sorted(set(kinds))
    areas = {
        (track, frame): mask.area
        for track, frame, mask in zip(
            mine.track_id.tolist(), mine.frame_index.tolist(), mine.masks, strict=True
        )
        if mask is not None
    }
    frame_column = np.tile(frames, len(tracks))
    pairs = [(track, frame) for track in tracks.tolist() for frame in frames.tolist()]
    return MaskScores(
        video_ids=(video_id,),
        categories=tuple(categories),
        video_row=np.zeros(len(pairs), np.int64),
        category_row=np.repeat(np.array([categories.index(kind) for kind in kinds], np.int64), len(frames)),
        track_id=np.repeat(tracks, len(frames)),
        frame_index=frame_column,
        region=region.reshape(-1),
        boundary=boundary.reshape(-1),
        area=np.array([areas.get(pair, 0) for pair in pairs], np.int64),
        gap=np.full(len(pairs), NO_GAP, np.int64),
        is_end=np.isin(frame_column, one.frame_index[[0, -1]]),
        is_given=frame_column <= np.repeat(mine.frame_index[first_rows], len(frames)),
    )


def _check_masks(part: VideoAnnotations, name: str) -> None:
    for row, mask in enumerate(part.masks):
        if mask is None:
            raise AnnotationError(
                f"video {part.videos[0].video_id!r}, frame {int(part.frame_index[row])}: track "
                f"{int(part.track_id[row])} of the {name} has no mask; J and F need one"
            )


def _compare(
    truth: VideoAnnotations,
    tracks: NDArray[np.int64],
    proposals: VideoAnnotations,
    theirs: NDArray[np.int64],
    void: VideoAnnotations,
    frames: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return J and F of each proposal, object and frame, (P, G, T); at least as many proposals as objects."""
    video = truth.videos[0]
    nothing = Rle.empty(video.height, video.width)
    radius = boundary_radius(video.height, video.width)
    offsets = _disk(radius)
    count = max(len(theirs), len(tracks))
    region = np.zeros((count, len(tracks), len(frames)))
    boundary = np.zeros_like(region)
    for t, frame in enumerate(frames.tolist()):
        hidden = void.masks_at(video.video_id, frame).any(axis=0)
        sides = []
        for part, wanted, size in ((proposals, theirs, count), (truth, tracks, len(tracks))):
            rows = part.rows_at(video.video_id, frame).tolist()
            there = {int(part.track_id[row]): part.masks[row] or nothing for row in rows}
            masks = [there.get(track, nothing) for track in wanted.tolist()]
            masks += [nothing] * (size - len(masks))
            if hidden.any():
                masks = [Rle.from_mask(mask.to_mask() & ~hidden) for mask in masks]
            sides.append([(mask, _outline(mask, radius)) for mask in masks])
        for p, (mask, outline) in enumerate(sides[0]):
            for g, (true_mask, true_outline) in enumerate(sides[1]):
                region[p, g, t] = region_similarity(true_mask, mask)
                boundary[p, g, t] = _boundary_f(true_outline, outline, radius, offsets)
    return region, boundary


def _boundary_f(truth: _Outline, predicted: _Outline, radius: int, offsets: NDArray[np.int64]) -> float:
    """Return `evfr.metrics.boundary_f` of two outlines that are drawn already."""
    (true_map, true_at), (map_, at) = truth, predicted
    if not len(true_at) or not len(at):
        return float(len(true_at) == len(at))
    if (true_at.min(axis=0) > at.max(axis=0) + radius).any() or (
        at.min(axis=0) > true_at.max(axis=0) + radius
    ).any():
        return 0.0
    precision = _near_count(at, true_map, offsets) / len(at)
    recall = _near_count(true_at, map_, offsets) / len(true_at)
    return 0.0 if precision + recall == 0 else 2.0 * precision * recall / (precision + recall)

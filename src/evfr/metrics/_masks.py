"""Region and boundary scores of every object in every frame: what all summaries of masks are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.masks import Rle
from evfr.errors import AnnotationError
from evfr.metrics._boundary import BOUNDARY_TOLERANCE, boundary_f
from evfr.metrics._region import region_similarity
from evfr.metrics._table import (
    check_table,
    check_tracks,
    frames_to_score,
    gaps_to_keys,
    merge_tables,
    paired_videos,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["MaskScores", "mask_scores"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MaskScores:
    """Hold J and F of objects in frames, one row each, by video, track and frame.

    Attributes
    ----------
    video_ids : tuple of str
        Names of the videos.
    categories : tuple of str
        Names of the classes.
    video_row, category_row : (N,) int64
        Indices into these.
    track_id, frame_index : (N,) int64
        The object and the frame.
    region, boundary : (N,) float64
        J and F in [0, 1].
    area : (N,) int64
        Pixels of the true mask.
    gap : (N,) int64
        Frames to the nearest labelled frame, 0 on it; -1 where none was named.
    is_end : (N,) bool
        Whether the frame is the first or the last that the truth annotates in its video.
    is_given : (N,) bool
        Whether the frame is not after the first one in which the truth has the object.

    Raises
    ------
    ValueError
        If the columns do not fit each other.
    """

    video_ids: tuple[str, ...]
    categories: tuple[str, ...]
    video_row: NDArray[np.int64]
    category_row: NDArray[np.int64]
    track_id: NDArray[np.int64]
    frame_index: NDArray[np.int64]
    region: NDArray[np.float64]
    boundary: NDArray[np.float64]
    area: NDArray[np.int64]
    gap: NDArray[np.int64]
    is_end: NDArray[np.bool_]
    is_given: NDArray[np.bool_]

    def __post_init__(self) -> None:
        check_table(self)

    def __len__(self) -> int:
        return len(self.region)

    def __repr__(self) -> str:
        return f"MaskScores({len(self)} objects in frames of {len(self.video_ids)} videos)"

    @classmethod
    def merge(cls, parts: Sequence[MaskScores]) -> MaskScores:
        """Join the scores of different videos.

        Parameters
        ----------
        parts : sequence of MaskScores
            One or more.

        Returns
        -------
        MaskScores
            The same, bit for bit, however the videos were shared out.

        Raises
        ------
        ValueError
            If there is no part, or a video is in two of them.
        """
        return merge_tables(cls, parts)


def mask_scores(
    truth: VideoAnnotations,
    predicted: VideoAnnotations,
    video_id: str,
    *,
    keys: ArrayLike | None = None,
    missing: str = "fail",
    tolerance: float = BOUNDARY_TOLERANCE,
) -> MaskScores:
    """Score the masks of one video: J and F of every true object in every frame that the truth annotates.

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        Objects are the same where their track ids are.
    video_id : str
        A video of both.
    keys : (L,) int or None
        Frames that had labels when the prediction was made.
    missing : {"fail", "skip", "empty"}
        What becomes of frames that the prediction does not annotate.
    tolerance : float
        See `evfr.metrics.boundary_radius`.

    Returns
    -------
    MaskScores
        One row per true object and annotated frame; an object that is absent has an empty mask. Objects that only
        the prediction has are not scored, true groups (crowds) neither.

    Raises
    ------
    AnnotationError
        If a video is missing or of another size, frames are missing, or an object has no track or no mask.
    ValueError
        If an argument is out of range.
    """
    one, other = paired_videos(truth, predicted, video_id)
    mine, theirs = truth.of_video(video_id), predicted.of_video(video_id)
    mine = mine.take(~mine.is_crowd)
    check_tracks(mine, "truth")
    check_tracks(theirs, "prediction")
    frames, _ = frames_to_score(one, other, missing)
    nothing = Rle.empty(one.height, one.width)
    true_masks = _by_object(mine, "truth")
    masks = _by_object(theirs, "prediction")
    tracks, first_rows = np.unique(mine.track_id, return_index=True)
    names = {category.category_id: category.name for category in mine.categories}
    kinds = [names[int(mine.category_id[row])] for row in first_rows]
    categories = sorted(set(kinds))
    firsts = mine.frame_index[first_rows]
    pairs = [(track, frame) for track in tracks.tolist() for frame in frames.tolist()]
    region, boundary = np.zeros(len(pairs)), np.zeros(len(pairs))
    area = np.zeros(len(pairs), np.int64)
    for row, key in enumerate(pairs):
        a, b = true_masks.get(key, nothing), masks.get(key, nothing)
        region[row] = region_similarity(a, b)
        boundary[row] = boundary_f(a, b, tolerance=tolerance)
        area[row] = a.area
    frame_column = np.tile(frames, len(tracks))
    ends = one.frame_index[[0, -1]] if len(one.frame_index) else one.frame_index
    return MaskScores(
        video_ids=(video_id,),
        categories=tuple(categories),
        video_row=np.zeros(len(pairs), np.int64),
        category_row=np.repeat(np.array([categories.index(kind) for kind in kinds], np.int64), len(frames)),
        track_id=np.repeat(tracks, len(frames)),
        frame_index=frame_column,
        region=region,
        boundary=boundary,
        area=area,
        gap=gaps_to_keys(frame_column, keys),
        is_end=np.isin(frame_column, ends),
        is_given=frame_column <= np.repeat(firsts, len(frames)),
    )


def _by_object(labels: VideoAnnotations, name: str) -> dict[tuple[int, int], Rle]:
    found: dict[tuple[int, int], Rle] = {}
    for track, frame, mask in zip(
        labels.track_id.tolist(), labels.frame_index.tolist(), labels.masks, strict=True
    ):
        if mask is None:
            raise AnnotationError(
                f"video {labels.videos[0].video_id!r}, frame {frame}: track {track} of the {name} has no mask; "
                "score boxes instead"
            )
        found[track, frame] = mask
    return found

"""What `evfr evaluate` compares: files, classes, which video is which of the truth, and what had labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["Pairs", "labelled_frames", "map_categories", "pair_videos", "read_sides"]

Side = tuple[str | Path, str, Mapping[str, int | float | str] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Hold truth and prediction under the truth's names.

    Attributes
    ----------
    truth, predicted : VideoAnnotations
        With the videos of ``video_ids`` under equal names.
    video_ids : tuple of str
        The videos to score.
    missing, ignored : tuple of str
        Videos of the truth that the prediction lacks, and of the prediction that the truth lacks.
    """

    truth: VideoAnnotations
    predicted: VideoAnnotations
    video_ids: tuple[str, ...]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]


def read_sides(truth: Side, predicted: Side) -> tuple[VideoAnnotations, VideoAnnotations]:
    """Read truth and prediction; a list of results, which names no videos, takes them from the truth's file.

    Parameters
    ----------
    truth, predicted : tuple of (path, format, options or None)
        What to read, and how.

    Returns
    -------
    tuple of two VideoAnnotations
        Truth and prediction.

    Raises
    ------
    AnnotationError
        If a file is wrong.
    """
    from evfr.annotations import read
    from evfr.verbs._evaluate_vis import is_results

    path, format_, given = predicted
    options: dict[str, Any] = dict(given or {})
    if format_ in ("auto", "ytvis") and "companion" not in options and is_results(Path(path)):
        format_, options["companion"] = "ytvis", str(truth[0])
    labels = read(truth[0], format=truth[1], **dict(truth[2] or {}))
    return labels, read(path, format=format_, **options)


def map_categories(
    truth: VideoAnnotations, predicted: VideoAnnotations, name: str | Path | None
) -> tuple[VideoAnnotations, VideoAnnotations, tuple[tuple[str, str], ...]]:
    """Join classes of both sides by a map, and give the prediction the truth's ids of the same names.

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        As read.
    name : str, Path or None
        A map's file or name; None changes nothing.

    Returns
    -------
    tuple of VideoAnnotations, VideoAnnotations, tuple of (str, str)
        Both sides, and old and new name of each class that one of them had.

    Raises
    ------
    AnnotationError
        If the map is wrong, or a file's map names a class that neither side has.
    """
    from evfr.annotations import (
        CATEGORY_MAPS,
        match_categories,
        merge_categories,
        merged_names,
        read_category_map,
    )

    if name is None:
        return truth, predicted, ()
    category_map = read_category_map(name)
    known = {category.name for labels in (truth, predicted) for category in labels.categories}
    unknown = [source for source in category_map.sources if source not in known]
    if unknown and category_map.name not in CATEGORY_MAPS:
        raise AnnotationError(
            f"category map {name}: neither truth nor prediction has a class named {', '.join(map(repr, unknown[:5]))}; "
            f"they have {', '.join(map(repr, sorted(known)[:20]))}"
        )
    merged = {pair: None for labels in (truth, predicted) for pair in merged_names(labels, category_map)}
    truth, predicted = (
        merge_categories(labels, category_map, absent="skip") for labels in (truth, predicted)
    )
    return truth, match_categories(predicted, truth.categories), tuple(sorted(merged))


def pair_videos(truth: VideoAnnotations, predicted: VideoAnnotations, missing: str) -> Pairs:
    """Match videos by name; one video on each side is a pair whatever their names.

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        As read.
    missing : {"fail", "skip", "empty"}
        What becomes of videos that the prediction lacks.

    Returns
    -------
    Pairs
        With an empty prediction for lacking videos if asked.

    Raises
    ------
    AnnotationError
        If no video is in both, or one is missing and ``missing`` is ``"fail"``.
    """
    import numpy as np

    if len(truth.videos) == len(predicted.videos) == 1:
        name = truth.videos[0].video_id
        predicted = replace(predicted, videos=(replace(predicted.videos[0], video_id=name),))
    names = [video.video_id for video in truth.videos]
    theirs = [video.video_id for video in predicted.videos]
    # Sets, because the pictures of a COCO file are thousands of videos of one frame.
    ours, others = set(names), set(theirs)
    ignored = tuple(name for name in theirs if name not in ours)
    lost = tuple(name for name in names if name not in others)
    if len(lost) == len(names):
        raise AnnotationError(
            f"no video is in both: the truth has {names[:5]}, the prediction {theirs[:5]}; rename one of them"
        )
    if lost and missing == "fail":
        raise AnnotationError(
            f"the prediction lacks {len(lost)} of {len(names)} videos, the first is {lost[0]!r}; predict them, or "
            "choose to skip them or to count them as empty"
        )
    if missing == "empty":
        none = np.zeros(0, np.int64)
        bare = [replace(truth.video(name), frame_index=none, pts=none, file_names=()) for name in lost]
        predicted = replace(predicted, videos=(*predicted.videos, *bare))
        return Pairs(truth, predicted, tuple(names), lost, ignored)
    return Pairs(truth, predicted, tuple(name for name in names if name in others), lost, ignored)


def labelled_frames(pairs: Pairs, keys: str | Path) -> dict[str, NDArray[np.int64]]:
    """Return the frames of each video that had labels when the prediction was made.

    Parameters
    ----------
    pairs : Pairs
        The videos.
    keys : str or Path
        ``"labels"``: the frames on which the prediction holds an object that a person made; else a selection.

    Returns
    -------
    dict of str to (L,) int64
        One entry per video, empty for a video without such frames.

    Raises
    ------
    AnnotationError
        If there is not one labelled frame in any video.
    SelectionFileError
        If the selection cannot be read.
    """
    import numpy as np

    from evfr._core.annotations import SOURCES
    from evfr._core.selection import Selection

    found: dict[str, NDArray[np.int64]] = {}
    if str(keys) == "labels":
        human = pairs.predicted.source == SOURCES.index("human")
        places = {video.video_id: row for row, video in enumerate(pairs.predicted.videos)}
        for name in pairs.video_ids:
            rows = human & (pairs.predicted.video_row == places[name])
            found[name] = np.unique(pairs.predicted.frame_index[rows])
        hint = "this prediction has no label by a person; give the selection that was labelled"
    else:
        table = Selection.load(keys).table
        videos = table["video_id"].to_pylist()
        frames = table["frame_index"].to_numpy()
        of = set(videos)
        for name in pairs.video_ids:
            # A selection over one video and a single pair need no common name.
            chosen = videos[0] if len(of) == len(pairs.video_ids) == 1 else name
            found[name] = np.unique(frames[[video == chosen for video in videos]]).astype(np.int64)
        hint = f"{keys} names {sorted(of)[:5]}, the truth {list(pairs.video_ids[:5])}"
    if not any(len(frames) for frames in found.values()):
        raise AnnotationError(f"no frame had labels according to --keys {keys}: {hint}")
    return found

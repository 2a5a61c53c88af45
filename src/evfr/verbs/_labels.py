"""Read labels for one video and fit them to its true frames: to be carried, or to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.verbs._measure import Measured

__all__ = ["LabelNames", "fit_labels", "read_labels"]

LabelNames = Literal["index", "extract", "pictures", "pts"]


def read_labels(
    labels: str | Path | VideoAnnotations,
    measured: Measured,
    *,
    label_format: str,
    label_options: Mapping[str, Any],
    label_video: str | None,
    label_names: LabelNames,
    label_scale: float | None,
    label_frames: Sequence[str | int],
) -> VideoAnnotations:
    """Return the labels of one video on its own frames, fit to be carried: every object with a track.

    Parameters
    ----------
    labels, measured, label_format, label_options, label_video, label_names, label_scale
        As in `fit_labels`.
    label_frames : sequence of str or int
        Use the labels of these frames only; empty uses all.

    Returns
    -------
    VideoAnnotations
        One video, named as in this run.

    Raises
    ------
    AnnotationError
        If the labels cannot be read, do not fit, or cannot be carried.
    ValueError
        If an option does not exist, or does not fit the video.
    """
    bound = fit_labels(
        labels,
        measured,
        label_format=label_format,
        label_options=label_options,
        label_video=label_video,
        label_names=label_names,
        label_scale=label_scale,
    )
    bound = _only_frames(bound, label_frames)
    return _checked(bound, str(labels) if isinstance(labels, str | Path) else "the labels")


def fit_labels(
    labels: str | Path | VideoAnnotations,
    measured: Measured,
    *,
    label_format: str,
    label_options: Mapping[str, Any],
    label_video: str | None,
    label_names: LabelNames,
    label_scale: float | None,
) -> VideoAnnotations:
    """Return the labels of one video on its own frames.

    Parameters
    ----------
    labels : path or VideoAnnotations
        The labels, perhaps of several videos.
    measured : Measured
        The video.
    label_format, label_options
        As in `evfr.annotations.read`.
    label_video : str or None
        Which video of the labels it is.
    label_names : {"index", "extract", "pictures", "pts"}
        How a labelled frame is found in the video: by its index; by file names as ``evfr extract`` writes them; by
        the names of the pictures of an image folder; by its time stamp.
    label_scale : float or None
        From the labels' pixels to the video's.

    Returns
    -------
    VideoAnnotations
        One video, named as in this run.

    Raises
    ------
    AnnotationError
        If the labels cannot be read or do not fit.
    ValueError
        If an option does not exist, or does not fit the video.
    """
    from evfr.annotations import bind

    table = measured.table
    assert table is not None
    found = _given(labels, measured, label_format, dict(label_options), label_names)
    name = _video_of(found, measured, label_video)
    by, frame_of = _rule(found.video(name).file_names, measured, label_names)
    return bind(
        found,
        table,
        video_id=name,
        by=by,
        frame_of=frame_of,
        scale=label_scale,
        content_hash=measured.digest,
        name=measured.source.video_id,
        path=str(measured.source.path),
    )


def _given(
    labels: str | Path | VideoAnnotations,
    measured: Measured,
    label_format: str,
    options: dict[str, Any],
    label_names: LabelNames,
) -> VideoAnnotations:
    import inspect

    from evfr._core.annotations import VideoAnnotations
    from evfr.annotations import FORMATS, read

    if isinstance(labels, VideoAnnotations):
        if options:
            raise ValueError("label_options go with a label file; these labels are read already")
        return labels
    if label_format in FORMATS:
        # Formats without a place for frame numbers take them from names while they are read.
        known = inspect.signature(FORMATS[label_format].read).parameters
        if label_names == "extract" and "parse" in known:
            from evfr.video import parse_frame_file_name

            options.setdefault("parse", parse_frame_file_name)
        if label_names == "pictures" and "frames" in known:
            options.setdefault("frames", _picture_names(measured))
    try:
        return read(labels, format=label_format, **options)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _video_of(found: VideoAnnotations, measured: Measured, label_video: str | None) -> str:
    """Return which video of the labels this is: the one named, of the same bytes, or the only one."""
    names = [video.video_id for video in found.videos]
    if not names:
        raise AnnotationError("the labels are of no video; give a file that names the frames they are for")
    if label_video is not None:
        if label_video not in names:
            raise AnnotationError(f"the labels have no video {label_video!r}; they have {names[:20]}")
        return label_video
    if len(names) == 1:
        return names[0]
    same = [video.video_id for video in found.videos if video.content_hash == measured.digest]
    own = measured.source.video_id
    if len(same) != 1:
        same = [name for name in names if name in (own, PurePath(own).stem)]
    if len(same) == 1:
        return same[0]
    raise AnnotationError(
        f"the labels have {len(names)} videos and none is certainly {own!r}; give label_video, one of {names[:20]}"
    )


def _rule(file_names: Sequence[str], measured: Measured, label_names: LabelNames) -> tuple[Any, Any]:
    if label_names == "index":
        return "index", None
    if label_names == "pts":
        return "pts", None
    if not file_names:
        return "index", None  # names told the frames while the file was read
    if label_names == "extract":
        from evfr.video import parse_frame_file_name

        return "name", parse_frame_file_name
    return "name", {PurePath(name).name: index for index, name in enumerate(_picture_names(measured))}


def _picture_names(measured: Measured) -> tuple[str, ...]:
    from evfr.video import open_video

    with open_video(measured.source.path) as video:
        names = getattr(video, "image_names", None)
        if names is None:
            raise ValueError("label_names='pictures' is for a folder or zip of images; this is a video file")
        return tuple(names())


def _only_frames(labels: VideoAnnotations, frames: Sequence[str | int]) -> VideoAnnotations:
    import numpy as np

    from evfr.verbs._request import frame_names

    if not frames:
        return labels
    video = labels.videos[0]
    wanted = sorted(
        {index for name, index in frame_names(frames, "label_frames") if name in (None, video.video_id)}
    )
    there = set(video.frame_index.tolist())
    if lost := [index for index in wanted if index not in there]:
        raise AnnotationError(
            f"label_frames: frame {lost[0]} of {video.video_id!r} has no labels ({len(lost)} of {len(wanted)} frames "
            f"have none); the labels have {len(there)} frames, from {min(there, default='none')} to "
            f"{max(there, default='none')}"
        )
    keep = np.isin(video.frame_index, wanted)
    kept = replace(
        video,
        frame_index=video.frame_index[keep],
        pts=video.pts[keep],
        file_names=tuple(n for n, k in zip(video.file_names, keep, strict=True) if k)
        if video.file_names
        else (),
    )
    part = labels.take(np.isin(labels.frame_index, wanted))
    return replace(part, videos=(kept,))


def _checked(labels: VideoAnnotations, where: str) -> VideoAnnotations:
    import numpy as np

    from evfr._core.annotations import NO_TRACK

    video = labels.videos[0]
    if not len(video.frame_index):
        raise AnnotationError(f"{where}: no frame of {video.video_id!r} is labelled; label one or more")
    if not len(labels):
        raise AnnotationError(
            f"{where}: the {len(video.frame_index)} labelled frames of {video.video_id!r} hold no object; there is "
            "nothing to carry"
        )
    loose = labels.track_id == NO_TRACK
    if loose.any():
        row = int(np.flatnonzero(loose)[0])
        raise AnnotationError(
            f"{where}: an object on frame {int(labels.frame_index[row])} has no track ({int(loose.sum())} of "
            f"{len(labels)} objects have none); give each object the number of its track"
        )
    bare = np.array(
        [
            mask is None and bool(np.isnan(box).any())
            for mask, box in zip(labels.masks, labels.boxes_xyxy, strict=True)
        ]
    )
    if bare.any():
        row = int(np.flatnonzero(bare)[0])
        raise AnnotationError(
            f"{where}: track {int(labels.track_id[row])} on frame {int(labels.frame_index[row])} has neither box nor "
            "mask; there is nothing to carry"
        )
    if labels.is_crowd.any():
        row = int(np.flatnonzero(labels.is_crowd)[0])
        raise AnnotationError(
            f"{where}: track {int(labels.track_id[row])} on frame {int(labels.frame_index[row])} is a crowd, which is "
            "not carried; leave crowds out"
        )
    order = np.lexsort((labels.category_id, labels.track_id))
    tracks, categories = labels.track_id[order], labels.category_id[order]
    changes = np.flatnonzero((np.diff(tracks) == 0) & (np.diff(categories) != 0))
    if changes.size:
        place = int(changes[0])
        raise AnnotationError(
            f"{where}: track {int(tracks[place])} has the category {int(categories[place])} on one frame and "
            f"{int(categories[place + 1])} on another; a track keeps its category"
        )
    return labels

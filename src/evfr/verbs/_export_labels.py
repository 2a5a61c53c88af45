"""Labels that are there already, on the frames of an export: read, fitted to the video, and cut to what is exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import Category, VideoAnnotations
    from evfr.verbs._export_package import ExportPackage
    from evfr.verbs._measure import Measured

__all__ = ["all_categories", "annotate_package", "read_pre_annotations"]


def read_pre_annotations(
    labels: Sequence[str | Path],
    measured: Sequence[Measured],
    picks: Mapping[str, Any],
    *,
    label_format: str,
    min_trust: float | None,
) -> VideoAnnotations | None:
    """Read label files of the selected videos, and keep the objects on frames to label.

    Parameters
    ----------
    labels : sequence of path
        The files, each of one or more videos, for example what ``evfr propagate`` wrote.
    measured : sequence of Measured
        The videos of the selection.
    picks : mapping of str to sequence of int
        Frames to label, by video.
    label_format : str
        As in `evfr.annotations.read`.
    min_trust : float or None
        Carried objects below it are left out.

    Returns
    -------
    VideoAnnotations or None
        On the original frames; the annotated frames of a video are those of its picks that the files have. None
        without a file.

    Raises
    ------
    AnnotationError
        If a file cannot be read, is of no video of the selection, does not fit its video, or two files of one video
        have the same track in a frame, or other classes under the same number.
    """
    import numpy as np

    from evfr._core.annotations import concatenate
    from evfr.annotations import bind, read

    parts = []
    for path in labels:
        found = read(path, format=label_format)
        is_only = len(found.videos) == 1
        for video in found.videos:
            target = _target(video, measured, str(path), is_only=is_only)
            if target is None or target.table is None or target.source.video_id not in picks:
                continue
            bound = bind(
                found,
                target.table,
                video_id=video.video_id,
                content_hash=target.digest,
                name=target.source.video_id,
                path=str(target.source.path),
            )
            own = bound.videos[0]
            keep = np.isin(own.frame_index, np.asarray(picks[own.video_id], np.int64))
            part = bound.take(np.isin(bound.frame_index, own.frame_index[keep]))
            if min_trust is not None:
                with np.errstate(invalid="ignore"):
                    part = part.take(~(part.trust < min_trust))
            parts.append(
                replace(
                    part,
                    videos=(
                        replace(own, frame_index=own.frame_index[keep], pts=own.pts[keep], file_names=()),
                    ),
                )
            )
    if not labels:
        return None
    if not parts:
        raise AnnotationError(
            f"{', '.join(map(str, labels))}: none of the videos of these labels is selected; give labels of "
            f"{[video.source.video_id for video in measured][:20]}"
        )
    names = list(dict.fromkeys(part.videos[0].video_id for part in parts))
    return concatenate(
        [_joined([part for part in parts if part.videos[0].video_id == name]) for name in names]
    )


def _joined(parts: Sequence[VideoAnnotations]) -> VideoAnnotations:
    """Return the labels of one video from several files, such as those that were carried and those to be asked."""
    import numpy as np

    from evfr._core.annotations import VideoAnnotations, concatenate

    if len(parts) == 1:
        return parts[0]
    # Each under a name of its own, so that joining compares their categories.
    apart = [
        replace(part, videos=(replace(part.videos[0], video_id=str(number)),))
        for number, part in enumerate(parts)
    ]
    categories = concatenate(apart).categories
    frames = np.concatenate([part.videos[0].frame_index for part in parts])
    pts = np.concatenate([part.videos[0].pts for part in parts])
    index, first = np.unique(frames, return_index=True)
    video = replace(parts[0].videos[0], frame_index=index, pts=pts[first])
    return VideoAnnotations.build([video], categories, [row for part in parts for row in part.objects()])


def _target(video: Any, measured: Sequence[Measured], where: str, *, is_only: bool) -> Measured | None:
    """Return the video that labels are of: of the same bytes, else of the same name, else the only one."""
    usable = [item for item in measured if item.table is not None]
    if video.content_hash:
        same = [item for item in usable if item.digest == video.content_hash]
        if len(same) == 1:
            return same[0]
        if len(same) > 1:
            same = [item for item in same if item.source.video_id == video.video_id]
            if len(same) == 1:
                return same[0]
    named = [
        item
        for item in usable
        if video.video_id in (item.source.video_id, PurePath(item.source.video_id).stem)
    ]
    if len(named) == 1:
        return named[0]
    if not named and is_only and len(measured) == 1:
        return usable[0] if usable else None
    if len(named) > 1 or is_only:
        what = "several videos" if named else "none"
        raise AnnotationError(
            f"{where}: {video.video_id!r} is {what} of the selection, by bytes and by name; it has "
            f"{[item.source.video_id for item in measured][:20]}"
        )
    return None


def all_categories(labels: VideoAnnotations | None, names: Sequence[str]) -> tuple[Category, ...]:
    """Return the classes of labels and then those named beside them.

    Parameters
    ----------
    labels : VideoAnnotations or None
        Labels that are there already.
    names : sequence of str
        More classes, by name.

    Returns
    -------
    tuple of Category
        Each name once.

    Raises
    ------
    ValueError
        If a name is empty, begins or ends with a space, or has a line break.
    AnnotationError
        If two classes of the labels have the same name.
    """
    from evfr._core.annotations import Category

    found = list(labels.categories) if labels is not None else []
    known = {category.name for category in found}
    if len(known) != len(found):
        raise AnnotationError(
            f"the labels have two categories of one name among {[c.name for c in found][:20]}; an annotation tool "
            "tells them by name only: merge them first"
        )
    number = max((category.category_id for category in found), default=0)
    for name in names:
        if not name or name != name.strip() or not name.isprintable():
            raise ValueError(f"categories must be names of one line without spaces around, got {name!r}")
        if name not in known:
            number += 1
            known.add(name)
            found.append(Category(number, name))
    return tuple(found)


def annotate_package(package: ExportPackage) -> VideoAnnotations:
    """Return all frames to label of an export, with the labels that are there already.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    VideoAnnotations
        By video; each frame to label is annotated, ``file_names`` are the names of the pictures, the categories are
        the package's.
    """
    import numpy as np

    from evfr._core.annotations import AnnotatedVideo, VideoAnnotations
    from evfr._core.types import PTS_NONE

    videos = []
    of_video = package.by_video()
    for source in package.videos:
        frames = [frame for frame in of_video[source.video_id] if frame.role == "label"]
        pts = [PTS_NONE if frame.pts is None else frame.pts for frame in frames]
        videos.append(
            AnnotatedVideo(
                source.video_id,
                source.width,
                source.height,
                np.array([frame.frame_index for frame in frames], np.int64),
                np.array(pts, np.int64),
                frames[0].time_base if frames else None,
                source.frame_count,
                source.digest,
                source.path,
                tuple(frame.name for frame in frames),
            )
        )
    rows = () if package.labels is None else package.labels.objects()
    return VideoAnnotations.build(videos, package.categories, rows)

"""Files of YouTube-VIS as its official code reads them: its ids, its areas, its lists of frames, short ones as well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import AnnotatedVideo
    from evfr._core.masks import Rle
    from evfr.metrics import VisScores

__all__ = ["empty_results", "is_results", "official_scores"]


def is_results(path: Path) -> bool:
    """Whether a file is a list of results of YouTube-VIS; an empty list is one.

    Parameters
    ----------
    path : Path
        Any file or folder.

    Returns
    -------
    bool
        False for a folder, for what is not there, and for lists of other tools.
    """
    from evfr.annotations._json import peek_json

    if not path.is_file():
        return False
    with path.open("rb") as file:
        if not file.read(1024).lstrip().startswith(b"["):
            return False
    kind, keys = peek_json(path)
    return kind is list and (not keys or ("video_id" in keys and bool(keys & {"segmentations", "bboxes"})))


def empty_results(path: Path) -> int:
    """Count the results without a mask or box on any frame, which evfr's reader takes as no detection.

    Parameters
    ----------
    path : Path
        A list of results that was read without an error.

    Returns
    -------
    int
        How many.
    """
    from evfr.annotations._json import load_json

    return sum(
        not any(any(entry.get(key) or ()) for key in ("segmentations", "bboxes")) for entry in load_json(path)
    )


def official_scores(predicted: Path, truth: Path) -> VisScores | None:
    """Match a list of results with YouTube-VIS annotations as the official code does.

    Videos in the order of their ids; true objects by their annotation ids, with the areas that the file states; lists
    of frames may be longer or shorter than their video.

    Parameters
    ----------
    predicted : Path
        The list of results.
    truth : Path
        The annotations.

    Returns
    -------
    VisScores or None
        None if the files are of other kinds.

    Raises
    ------
    AnnotationError
        If an entry is wrong in another way than the length of its lists.
    """
    from evfr._core.progress import current_progress
    from evfr.annotations import FORMATS
    from evfr.annotations._coco_fields import categories_from_coco
    from evfr.annotations._json import entries, load_json
    from evfr.annotations._numbering import Numbering
    from evfr.annotations._ytvis_videos import videos_of
    from evfr.metrics import VisScores
    from evfr.metrics._vis import match_sequences

    recognises = FORMATS["ytvis"].recognises
    if not is_results(predicted) or recognises is None or not recognises(truth):
        return None
    head, results = load_json(truth), load_json(predicted)
    videos = videos_of(head, truth, None, Numbering(0, 1, 0))
    categories = categories_from_coco(head, str(truth))
    known = {category.category_id for category in categories}
    sides = (
        _by_video(entries(head, "annotations", str(truth)), f"{truth}: annotation", videos),
        _by_video(entries({"results": results}, "results", str(predicted)), f"{predicted}: result", videos),
    )
    progress = current_progress()
    progress.start("evaluating", len(videos))
    parts = []
    for place, key in enumerate(sorted(videos)):
        video = videos[key]
        objects = [_entry(*item, video, known, is_truth=True) for item in sides[0].get(key, [])]
        detections = [_entry(*item, video, None, is_truth=False) for item in sides[1].get(key, [])]
        pair = _sequences(objects, video), _sequences(detections, video)
        parts.append(match_sequences(*pair, categories, video.video_id, place, strict_official=True))
        progress.advance(1, video.video_id)
    progress.finish()
    if not parts:
        raise AnnotationError(f"{truth} has no video; give annotations with one or more")
    return VisScores.merge(parts)


_Entry = tuple[int, int, float, bool, float, "tuple[Rle | None, ...]"]


def _by_video(
    found: list[Mapping[str, Any]], where: str, videos: Mapping[int, AnnotatedVideo]
) -> dict[int, list[tuple[int, Mapping[str, Any], str]]]:
    from evfr.annotations._json import whole

    out: dict[int, list[tuple[int, Mapping[str, Any], str]]] = {}
    for number, entry in enumerate(found):
        at = f"{where} {number}"
        key = whole(entry, "video_id", at)
        if key not in videos:
            raise AnnotationError(f"{at}: video_id {key} is none of the truth's videos")
        out.setdefault(key, []).append((number, entry, at))
    return out


def _entry(
    number: int,
    entry: Mapping[str, Any],
    where: str,
    video: AnnotatedVideo,
    known: set[int] | None,
    *,
    is_truth: bool,
) -> _Entry:
    """Return id, class, score, crowd, mean area and masks of one annotation or result."""
    from evfr.annotations._coco_fields import mask_from_coco
    from evfr.annotations._json import finite, whole
    from evfr.metrics._vis_sequences import mean_area

    category = whole(entry, "category_id", where)
    if known is not None and category not in known:
        raise AnnotationError(f"{where}: category_id {category} is none of the file's categories")
    values = entry.get("segmentations")
    if not isinstance(values, list):
        raise AnnotationError(
            f"{where}: segmentations must be a list, got {type(values).__name__}; the official code reads masks only"
        )
    masks = tuple(
        mask_from_coco(value, video.height, video.width, f"{where}, frame {place}")
        for place, value in enumerate(values)
    )
    if not is_truth:
        areas = [0 if mask is None else mask.area for mask in masks]
        return (
            number + 1,
            category,
            finite(entry.get("score"), "score", where),
            False,
            mean_area(areas),
            masks,
        )
    stated = entry.get("areas")
    if not isinstance(stated, list):
        raise AnnotationError(
            f"{where}: areas must be a list, got {type(stated).__name__}; the official code needs them"
        )
    sizes = [0.0 if area is None else finite(area, "an area", where) for area in stated]
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise AnnotationError(f"{where}: iscrowd must be 0 or 1, got {crowd!r:.80}")
    return whole(entry, "id", where), category, float("nan"), bool(crowd), mean_area(sizes), masks


def _sequences(found: list[_Entry], video: AnnotatedVideo) -> Any:
    import numpy as np

    from evfr.metrics._vis_sequences import VisSequences

    return VisSequences(
        video.height,
        video.width,
        np.array([item[0] for item in found], np.int64),
        np.array([item[1] for item in found], np.int64),
        np.array([item[2] for item in found], np.float64),
        np.array([item[3] for item in found], np.bool_),
        np.array([item[4] for item in found], np.float64),
        tuple(item[5] for item in found),
    )

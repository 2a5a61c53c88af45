"""Read lists of results of YouTube-VIS: entries of a video, a class, a score and a mask or null for every frame.

Such a list knows neither its videos nor its classes; a companion, the annotation file, does. A list is parsed once and
its masks are decoded video by video, because a hundred thousand entries have millions of masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evfr._core.annotations import AnnotatedVideo, Category
from evfr._core.masks import Rle
from evfr._core.sequences import Provenance, SequenceSet, join_classes
from evfr.annotations._coco_fields import box_from_coco, categories_from_coco, mask_from_coco
from evfr.annotations._json import entries, load_json, whole
from evfr.annotations._numbering import NamePattern, Numbering
from evfr.annotations._ytvis_videos import frame_list, videos_of
from evfr.errors import AnnotationError

__all__ = [
    "Companion",
    "ResultsList",
    "load_results",
    "read_companion",
    "read_results",
    "sequences_of_results",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Companion:
    """Hold the videos and classes that a list of results is about.

    Attributes
    ----------
    path : Path
        The annotation file.
    videos : mapping of int to AnnotatedVideo
        By their ids in the file.
    categories : tuple of Category
        With the ids of the file.
    """

    path: Path
    videos: Mapping[int, AnnotatedVideo]
    categories: tuple[Category, ...]

    def key_of(self, video: AnnotatedVideo, where: str) -> int:
        """Return the id of a video of the same name and size.

        Parameters
        ----------
        video : AnnotatedVideo
            Of other labels.
        where : str
            For the error's text.

        Returns
        -------
        int
            Its id in the file.

        Raises
        ------
        AnnotationError
            If there is none or several, or it has another size.
        """
        keys = [key for key, item in self.videos.items() if item.video_id == video.video_id]
        if len(keys) != 1:
            known = [item.video_id for item in self.videos.values()]
            found = f"{len(keys)} videos" if keys else "no video"
            raise AnnotationError(
                f"{where}: {self.path} has {found} of the name {video.video_id!r}, it has {known[:20]}; give the "
                "annotations of these videos"
            )
        mine = self.videos[keys[0]]
        if (mine.width, mine.height) != (video.width, video.height):
            raise AnnotationError(
                f"{where}: video {video.video_id!r} has {video.width}x{video.height} pixels, but {mine.width}x"
                f"{mine.height} in {self.path}; scale the labels"
            )
        return keys[0]

    def check_categories(self, categories: Sequence[Category], where: str) -> None:
        """Raise if a class is not one of the file's, with its name.

        Parameters
        ----------
        categories : sequence of Category
            Of other labels.
        where : str
            For the error's text.

        Raises
        ------
        AnnotationError
            If the file lacks an id or gives it another name.
        """
        names = {category.category_id: category.name for category in self.categories}
        for category in categories:
            if names.get(category.category_id) != category.name:
                theirs = names.get(category.category_id)
                raise AnnotationError(
                    f"{where}: category {category.category_id} is {category.name!r}, but "
                    f"{'not there' if theirs is None else repr(theirs)} in {self.path}; map the categories first"
                )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResultsList:
    """Hold a list of results as parsed: masks are still text.

    Attributes
    ----------
    path : Path
        The file.
    companion : Companion
        Its videos and classes.
    entries : list of mapping
        The file's entries.
    of_video : mapping of int to list of int
        The entries of each of the companion's videos, in file order; empty for a video without entries.
    """

    path: Path
    companion: Companion
    entries: list[Mapping[str, Any]]
    of_video: Mapping[int, list[int]]


def load_results(path: Path) -> list[Any] | None:
    """Parse a file if it is a list of results, or an empty list; None otherwise.

    Parameters
    ----------
    path : Path
        Any label file or folder; it is parsed only if it starts as a JSON list.

    Returns
    -------
    list or None
        For `read_results`.

    Raises
    ------
    AnnotationError
        If it starts as a list and is no JSON.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(1024).lstrip()
    if not start.startswith(b"["):
        return None
    data = load_json(path)
    if not isinstance(data, list):
        return None
    first = data[0] if data else {"video_id": 0, "segmentations": []}
    is_result = (
        isinstance(first, dict) and "video_id" in first and bool({"segmentations", "bboxes"} & first.keys())
    )
    return data if is_result else None


def read_companion(
    path: Path, *, pattern: str | None = None, start: int = 0, stride: int = 1, first_frame: int = 0
) -> Companion:
    """Read the videos and classes of an annotation file.

    Parameters
    ----------
    path : Path
        The JSON file.
    pattern, start, stride, first_frame
        As in `evfr.annotations.FORMATS`' reader of ``ytvis``.

    Returns
    -------
    Companion
        Without the file's annotations.

    Raises
    ------
    AnnotationError
        If the file is wrong, or is itself a list of results.
    """
    head = load_json(path)
    if isinstance(head, list):
        raise AnnotationError(
            f"{path} is a list, but the companion of results is the annotation file with videos and categories; give "
            "that file"
        )
    shape = NamePattern(pattern) if pattern else None
    videos = videos_of(head, path, shape, Numbering(start, stride, first_frame))
    return Companion(path, videos, categories_from_coco(head, str(path)))


def read_results(path: Path, data: Any, companion: Companion) -> ResultsList:
    """Sort the entries of a list by video; masks stay as they are.

    Parameters
    ----------
    path : Path
        The file.
    data : object
        Its parsed JSON.
    companion : Companion
        Its videos and classes.

    Returns
    -------
    ResultsList
        With every video of the companion.

    Raises
    ------
    AnnotationError
        If it is no list of objects, or an entry's video or class is unknown or its video has no frames.
    """
    found = entries({"results": data}, "results", str(path))
    known = {category.category_id for category in companion.categories}
    of_video: dict[int, list[int]] = {key: [] for key in companion.videos}
    for number, entry in enumerate(found):
        where = f"{path}: result {number}"
        key, category = whole(entry, "video_id", where), whole(entry, "category_id", where)
        if key not in of_video:
            raise AnnotationError(
                f"{where}: video_id {key} is none of the {len(of_video)} videos of {companion.path}; give the "
                "annotations that these results are for"
            )
        if category not in known:
            raise AnnotationError(
                f"{where}: category_id {category} is none of the categories {sorted(known)[:20]} of {companion.path}; "
                "give the annotations that these results are for, or map the categories first"
            )
        if not len(companion.videos[key].frame_index):
            raise AnnotationError(
                f"{where}: video {key} ({companion.videos[key].video_id!r}) has no frames in {companion.path}; remove "
                "the entry or name the video's files"
            )
        of_video[key].append(number)
    return ResultsList(path, companion, found, of_video)


def sequences_of_results(
    results: ResultsList, key: int, *, on_boxes: Literal["refuse", "fill"] = "refuse"
) -> SequenceSet:
    """Decode the sequences of one video.

    Entries with equal masks and different classes, as tools write that score several classes, are one sequence; of
    equal masks and equal classes each is its own.

    Parameters
    ----------
    results : ResultsList
        The list.
    key : int
        The video's id.
    on_boxes : {"refuse", "fill"}
        What to do where an entry has a box and no mask: raise, or fill the box, rounded to pixels.

    Returns
    -------
    SequenceSet
        In file order; ``provenance.entry`` is the number of the (first) entry.

    Raises
    ------
    AnnotationError
        If an entry is wrong: the text names it.
    """
    video, categories = results.companion.videos[key], results.companion.categories
    columns = {category.category_id: column for column, category in enumerate(categories)}
    known: dict[str, Rle] = {}
    found = []
    for number in results.of_video[key]:
        entry = results.entries[number]
        where = f"{results.path}: result {number}"
        try:
            score = _score(entry, where)
            masks = tuple(_masks(entry, video, on_boxes, known, where))
        except AnnotationError as error:
            raise AnnotationError(f"{error}; correct the entry or remove it") from error
        origin = Provenance(source=str(results.path), entry=number)
        found.append((masks, columns[int(entry["category_id"])], score, origin))
    return SequenceSet(video, categories, join_classes(found, len(categories)))


def _score(entry: Mapping[str, Any], where: str) -> float:
    value = entry.get("score")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0:
        return float(value)
    raise AnnotationError(f"{where}: score must be a number from 0 to 1, got {value!r:.80}")


def _masks(
    entry: Mapping[str, Any],
    video: AnnotatedVideo,
    on_boxes: Literal["refuse", "fill"],
    known: dict[str, Rle],
    where: str,
) -> Iterator[Rle | None]:
    """Yield the mask of each frame; None where there is none or it is empty."""
    n, height, width = len(video.frame_index), video.height, video.width
    masks = frame_list(entry, "segmentations", n, where)
    outlines = frame_list(entry, "bboxes", n, where)
    if masks is None and outlines is None:
        raise AnnotationError(f"{where}: it has neither segmentations nor bboxes")
    for place in range(n):
        at = f"{where}, frame {place}"
        value = None if masks is None else masks[place]
        # Tools that score several classes repeat their masks: each text is decoded once.
        text = (
            value.get("counts") if isinstance(value, dict) and value.get("size") == [height, width] else None
        )
        text = text if isinstance(text, str) else ""
        mask = known.get(text) or mask_from_coco(value, height, width, at)
        if mask is None and outlines is not None and (box := box_from_coco(outlines[place], at)):
            if on_boxes == "refuse":
                raise AnnotationError(f"{at}: it has a box and no mask, and on_boxes='refuse'; fill boxes")
            mask = Rle.from_box(box, height, width)
        elif mask is not None and text:
            known[text] = mask
        yield None if mask is None or mask.is_empty else mask

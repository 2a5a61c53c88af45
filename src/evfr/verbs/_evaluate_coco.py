"""Files of COCO as its own tools read them: pictures by their ids, areas as the truth states them, lists of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations
    from evfr.annotations._coco_images import Image
    from evfr.metrics import CocoScores
    from evfr.verbs._evaluate_inputs import Pairs, Side

__all__ = ["CocoTruth", "coco_parts", "is_coco_results", "read_coco_sides"]

_BATCH = 500  # frames, so that masks of a batch fit into memory and progress is seen
_RULES = ("pattern", "parse", "by_order", "stills")


@dataclass(frozen=True, slots=True, eq=False)
class CocoTruth:
    """Hold what a COCO file says of its pictures and objects beyond labels; empty for other formats.

    Attributes
    ----------
    image_ids : mapping of str to (F,) int64
        The ids of the annotated frames of each video.
    areas : (N,) float64 or None
        The areas that are stated for the rows of the truth; NaN where there is none.
    """

    image_ids: Mapping[str, NDArray[np.int64]]
    areas: NDArray[np.float64] | None


def coco_parts(
    pairs: Pairs, stated: CocoTruth, *, on: Literal["masks", "boxes"], missing: str
) -> Iterator[tuple[tuple[str, ...], CocoScores, int]]:
    """Match videos, several at a time where they are short: the pictures of a file are videos of one frame.

    Parameters
    ----------
    pairs : Pairs
        The videos.
    stated : CocoTruth
        What the truth's file says besides.
    on : {"masks", "boxes"}
        What the IoU is of.
    missing : {"fail", "skip", "empty"}
        What becomes of frames that the prediction lacks.

    Yields
    ------
    tuple of (names, CocoScores, int)
        Some videos, their matches, and how many of their frames were skipped.
    """
    from evfr.metrics import coco_scores

    lengths = {video.video_id: len(video.frame_index) for video in pairs.truth.videos}
    names: list[str] = []
    for name in pairs.video_ids:
        names.append(name)
        count = sum(lengths[item] for item in names)
        if count < _BATCH and name != pairs.video_ids[-1]:
            continue
        scores = coco_scores(
            pairs.truth,
            pairs.predicted,
            names,
            on=on,
            missing=missing,
            truth_areas=stated.areas,
            image_places=stated.image_ids or None,
        )
        yield tuple(names), scores, count - len(scores.matches)
        names = []


def is_coco_results(path: Path) -> bool:
    """Whether a file is a list of results of COCO; an empty list is one.

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
    return kind is list and (not keys or "image_id" in keys)


def read_coco_sides(truth: Side, predicted: Side) -> tuple[VideoAnnotations, VideoAnnotations, CocoTruth]:
    """Read truth and prediction for COCO AP; a list of results takes pictures and classes from the truth's file.

    Where the images of a COCO file are no frames of videos (none has a video or a frame number), each is a video of
    one frame, named by its file.

    Parameters
    ----------
    truth, predicted : tuple of (path, format, options or None)
        What to read, and how.

    Returns
    -------
    tuple of VideoAnnotations, VideoAnnotations, CocoTruth
        Truth, prediction, and what the truth's file says besides.

    Raises
    ------
    AnnotationError
        If a file is wrong, or a list of results comes without a COCO truth.
    """
    from evfr.annotations import read

    true_path, true_format, true_options = Path(truth[0]), truth[1], dict(truth[2] or {})
    path, format_, options = Path(predicted[0]), predicted[1], dict(predicted[2] or {})
    is_coco = _is_coco(true_path, true_format)
    if is_coco:
        true_format, true_options = "coco", _with_stills(true_path, true_options)
    if format_ in ("auto", "coco") and is_coco_results(path):
        format_ = "coco"
        if "companion" not in options:
            if not is_coco:
                raise AnnotationError(
                    f"{path} is a list of results, which knows its pictures by ids only; give COCO annotations as the "
                    "truth, or companion=, the instances file of these results"
                )
            options = {"companion": str(true_path), **true_options, **options}
        else:
            options = _with_stills(Path(str(options["companion"])), options)
    elif _is_coco(path, format_):
        format_, options = "coco", _with_stills(path, options)
    labels = read(true_path, format=true_format, **true_options)
    found = read(path, format=format_, **options)
    if not is_coco:
        return labels, found, CocoTruth({}, None)
    return labels, found, _truth_of(true_path, true_options, labels)


def _is_coco(path: Path, format_: str) -> bool:
    from evfr.annotations import FORMATS

    recognises = FORMATS["coco"].recognises
    return format_ == "coco" or (
        format_ == "auto" and path.is_file() and recognises is not None and recognises(path)
    )


def _with_stills(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the reader, with ``stills`` where nothing says that the images are frames."""
    from evfr.annotations._json import entries, load_json

    if any(options.get(name) for name in _RULES):
        return options
    keys = ("video_id", "frame_id", "frame_index")
    images = entries(load_json(path), "images", str(path))
    is_still = images and not any(image.get(key) is not None for image in images for key in keys)
    return {**options, "stills": True} if is_still else options


def _truth_of(path: Path, options: Mapping[str, Any], labels: VideoAnnotations) -> CocoTruth:
    """Return the ids of the images, and the stated areas in the order of the rows."""
    import numpy as np

    from evfr.annotations._json import entries, finite, load_json

    head = load_json(path)
    images = _images(head, path, options)
    places = {video.video_id: row for row, video in enumerate(labels.videos)}
    ids = {(image.video_id, image.frame_index): key for key, image in images.items()}
    found = entries(head, "annotations", str(path))
    own = [images[int(entry["image_id"])] for entry in found]
    areas = [
        np.nan if entry.get("area") is None else finite(entry["area"], "area", f"{path}: annotation {number}")
        for number, entry in enumerate(found)
    ]
    # As labels are sorted: by video and frame, those of one frame in the file's order.
    order = np.lexsort(([image.frame_index for image in own], [places[image.video_id] for image in own]))
    return CocoTruth(
        {
            video.video_id: np.array([ids[video.video_id, t] for t in video.frame_index.tolist()], np.int64)
            for video in labels.videos
        },
        np.array(areas, np.float64)[order],
    )


def _images(head: Any, path: Path, options: Mapping[str, Any]) -> Mapping[int, Image]:
    """Return the images of a file as the reader numbers them."""
    from evfr.annotations._coco_images import ordered, read_images, video_names
    from evfr.annotations._numbering import NamePattern, Numbering

    pattern = options.get("pattern")
    by_order = bool(options.get("by_order"))
    images = read_images(
        head,
        path,
        video_names(head, path),
        str(options.get("video_id") or path.stem),
        NamePattern(str(pattern)) if pattern else None,
        options.get("parse"),
        bool(options.get("stills")),
        by_order,
        Numbering(
            *(
                int(options.get(name, value))
                for name, value in (("start", 0), ("stride", 1), ("first_frame", 0))
            )
        ),
    )
    return ordered(images) if by_order else images

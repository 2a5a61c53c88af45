"""From videos and a label file to labelled clips of one size: what trainers take and experiments cut into subsets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations
    from evfr._core.labelled import LabelledClip
    from evfr.verbs._labelled_clips_maps import MapRule
    from evfr.verbs._labelled_clips_pictures import PictureReaders
    from evfr.verbs._labelled_clips_places import ClipPlace

__all__ = ["ClipCounts", "labelled_clips", "read_label_file", "warn_of_losses"]


@dataclass(frozen=True, slots=True)
class ClipCounts:
    """Count what became of the labels of one video.

    Attributes
    ----------
    video_id : str
        The video.
    frames : int
        Labelled frames.
    objects : int
        Objects that can be seen in the maps.
    vanished : int
        Objects that have pixels, but none after resizing.
    covered : int
        Objects of which nothing can be seen, because smaller ones lie on top.
    small : int
        Objects of fewer pixels than asked for: their pixels are ignored.
    others : int
        Objects of classes that are not learnt, or that the labels mark as ignored.
    empty : int
        Masks and boxes without a pixel: the object is there and hidden.
    """

    video_id: str
    frames: int = 0
    objects: int = 0
    vanished: int = 0
    covered: int = 0
    small: int = 0
    others: int = 0
    empty: int = 0

    def __str__(self) -> str:
        lost = [
            f"{count} {text}"
            for count, text in (
                (self.vanished, "vanished by resizing"),
                (self.covered, "are covered by smaller ones"),
                (self.small, "are too small and ignored"),
                (self.others, "are not to be learnt"),
            )
            if count
        ]
        shown = f"{self.video_id}: {self.objects} objects on {self.frames} frames"
        return f"{shown}; {', '.join(lost)}" if lost else shown

    @property
    def lost(self) -> int:
        """How many objects of the classes have pixels in the labels and none to learn from in the maps."""
        return self.vanished + self.covered + self.small

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def warn_of_losses(counts: ClipCounts) -> None:
    """Warn (``UserWarning``) where objects of the classes are lost; say nothing else."""
    import warnings

    if counts.lost:
        warnings.warn(str(counts), UserWarning, stacklevel=3)


def labelled_clips(
    videos: Sequence[str | Path],
    labels: VideoAnnotations | str | Path,
    *,
    width: int,
    height: int,
    frames: Mapping[str, Sequence[int] | NDArray[np.int64]] | None = None,
    classes: Sequence[str] | None = None,
    category_map: str | Path | None = None,
    on_boxes: Literal["fail", "fill"] = "fail",
    others: Literal["background", "ignore"] = "background",
    components: bool = False,
    least_pixels: int = 1,
    pictures: str | None = None,
    label_format: str = "auto",
    label_options: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    tell: Callable[[ClipCounts], None] = warn_of_losses,
) -> list[LabelledClip]:
    """Read the labelled frames of videos at one size, with one map of objects a frame.

    Parameters
    ----------
    videos : sequence of path
        Video files, folders or zips of images, or folders of those. What is given by its own name must have labels;
        what a folder holds besides is left alone.
    labels : VideoAnnotations or path
        Labels in any format of `evfr.annotations`. A video is known by its name, by the names of its pictures where
        the labels have them, or by being the only one on both sides.
    width, height : int
        Size of the result. Pictures are averaged over areas and labels taken from the nearest pixel; neither keeps the
        ratio of sides. Labels may be of another size than their video, if the ratio of sides is the same.
    frames : mapping of str to (K,) int, optional
        Take these labelled frames only, of these videos only; all otherwise.
    classes : sequence of str, optional
        Names of the classes, in the order of the result's numbers; all of the labels but ``void`` otherwise.
    category_map : path or str, optional
        Join classes first, see `evfr.annotations.read_category_map`.
    on_boxes : {"fail", "fill"}
        Whether an object with a box and no mask is an error, or all pixels in its box are its mask.
    others : {"background", "ignore"}
        What objects of other classes are, and those that the labels mark as ignored (MOT's flag 0).
    components : bool
        Take each connected part of a mask (8 neighbours) for an object of its own: for labels of classes, which do not
        tell objects apart.
    least_pixels : int
        Objects of which fewer pixels can be seen in the result are ignored pixels instead.
    pictures : str, optional
        The folder inside zips that holds the pictures, where there are several and the labels do not name files.
    label_format, label_options
        As ``format`` and options of `evfr.annotations.read`, for a label file.
    cache : Path, optional
        Keep the result of each video in this folder, by the content of video and labels and by these options, so that
        it is decoded once.
    tell : callable
        Called with the counts of each video; warns of lost objects unless another is given.

    Returns
    -------
    list of LabelledClip
        One for each labelled video, in the order of the labels.

    Raises
    ------
    AnnotationError
        If labels cannot be read or do not fit: no such video, frame, class or size, a box where masks are needed, more
        than 254 objects in a frame.
    InputError
        If there are no videos.
    VideoError
        If a picture cannot be read.
    ValueError
        If an option is out of range.

    Notes
    -----
    Crowds (and CDnet's, CamVid's and DAVIS' void) become `IGNORE_ID`. Where objects overlap, the one of smaller area
    is on top; objects are on top of crowds.
    """
    from evfr._core.progress import current_progress
    from evfr.verbs._labelled_clips_maps import map_rule
    from evfr.verbs._labelled_clips_pictures import PictureReaders
    from evfr.verbs._labelled_clips_places import find_places

    found = read_label_file(labels, label_format, label_options, category_map)
    rule = map_rule(
        found,
        width=width,
        height=height,
        classes=classes,
        on_boxes=on_boxes,
        others=others,
        components=components,
        least_pixels=least_pixels,
    )
    places = find_places(videos, found, frames=frames, pictures=pictures)
    progress = current_progress()
    progress.start("reading labelled frames", len(places))
    clips = []
    with PictureReaders() as readers:
        for place in places:
            clip, counts = _read(place, found.of_video(place.video.video_id), rule, cache, readers)
            clips.append(clip)
            tell(counts)
            progress.advance(1, place.video.video_id)
    progress.finish()
    return clips


def read_label_file(
    labels: VideoAnnotations | str | Path,
    label_format: str = "auto",
    label_options: Mapping[str, Any] | None = None,
    category_map: str | Path | None = None,
) -> VideoAnnotations:
    """Return labels as a value, with classes joined.

    Raises
    ------
    AnnotationError
        If they cannot be read.
    ValueError
        If the format or an option does not exist, or options are given for labels that are read already.
    """
    from evfr._core.annotations import VideoAnnotations
    from evfr.annotations import CATEGORY_MAPS, merge_categories, read, read_category_map

    if isinstance(labels, VideoAnnotations):
        if label_options:
            raise ValueError("label_options go with a label file; these labels are read already")
        found = labels
    else:
        try:
            found = read(labels, format=label_format, **dict(label_options or {}))
        except TypeError as error:
            raise ValueError(str(error)) from error
    if category_map is None:
        return found
    return merge_categories(
        found,
        read_category_map(category_map),
        absent="skip" if str(category_map) in CATEGORY_MAPS else "fail",
    )


def _read(
    place: ClipPlace,
    labels: VideoAnnotations,
    rule: MapRule,
    cache: Path | None,
    readers: PictureReaders,
) -> tuple[LabelledClip, ClipCounts]:
    """Return one clip: from the cache, where all labelled frames are kept, or from video and labels."""
    import numpy as np

    from evfr.verbs._labelled_clips_cache import cache_file, load, save

    if cache is None:
        return _made(place, labels, rule, place.frames, readers)
    digest = readers.content_hash(place.path, Path(cache) / "hashes")
    file = cache_file(Path(cache), digest, place, labels, rule)
    kept = load(file, place.video.video_id, rule.classes)
    if kept is None:
        kept = _made(place, labels, rule, place.video.frame_index, readers)
        save(file, *kept)
    clip, counts = kept
    if len(place.frames) == len(clip):
        return clip, counts
    return clip.take(np.searchsorted(clip.frame_index, place.frames)), counts


def _made(
    place: ClipPlace,
    labels: VideoAnnotations,
    rule: MapRule,
    frames: NDArray[np.int64],
    readers: PictureReaders,
) -> tuple[LabelledClip, ClipCounts]:
    import cv2
    import numpy as np

    from evfr._core.labelled import LabelledClip
    from evfr.verbs._labelled_clips_maps import draw_map

    size = (rule.height, rule.width)
    images = np.empty((len(frames), *size, 3), np.uint8)
    ids = np.empty((len(frames), *size), np.uint8)
    categories: list[tuple[int, ...]] = []
    total = dict.fromkeys(("objects", "vanished", "covered", "small", "others", "empty"), 0)
    for row, (frame, image) in enumerate(_pictures(place, frames, readers)):
        images[row] = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        drawn = draw_map(labels, place.video, frame, rule)
        ids[row] = drawn.ids
        categories.append(drawn.category)
        for name in total:
            total[name] += getattr(drawn, name)
    category = np.full((len(frames), max(map(len, categories), default=0)), -1, np.int16)
    for row, found in enumerate(categories):
        category[row, : len(found)] = found
    clip = LabelledClip(
        place.video.video_id, np.asarray(frames, np.int64), images, ids, category, rule.classes
    )
    return clip, ClipCounts(place.video.video_id, len(frames), **total)


def _pictures(
    place: ClipPlace, frames: NDArray[np.int64], readers: PictureReaders
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the labelled frames, held against the size that the labels are for."""
    from evfr.errors import AnnotationError

    video = place.video
    for frame, image in readers.pictures(place, frames):
        height, width = image.shape[:2]
        # One pixel of rounding: 480x360 labels of a 1920x1441 picture are none of another shape.
        if abs(width * video.height - height * video.width) >= max(video.width, video.height, width, height):
            raise AnnotationError(
                f"{video.video_id} frame {frame}: the labels are for {video.width}x{video.height}, the picture is "
                f"{width}x{height}, of another ratio of sides; give the video that was labelled"
            )
        yield frame, image

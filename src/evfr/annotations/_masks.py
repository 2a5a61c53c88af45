"""Plain folders of masks: one picture a frame, whose values are 0/1, 0/255, tracks or classes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._label_pictures import Priority, paint, write_tree
from evfr.annotations._numbering import NamePattern, Numbering, place_files
from evfr.annotations._palette import read_labels, write_labels
from evfr.annotations._paths import open_place
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.annotations._paths import Place

__all__ = ["read_masks", "write_masks"]

Values = Literal["binary", "tracks"] | Mapping[int, str | None]


def read_masks(
    path: str | Path,
    *,
    values: Values = "binary",
    void: Sequence[int] = (),
    category: str = "object",
    folder: str | None = None,
    pattern: str = "{frame:05d}.png",
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
    numbers: tuple[int, int] | None = None,
    parse: Callable[[str], Any] | None = None,
    frames: Sequence[str] | Mapping[str, int] | None = None,
    video_id: str | None = None,
) -> VideoAnnotations:
    """Read a folder (or zip) of masks, one picture a frame (ours).

    Parameters
    ----------
    path : str or Path
        The folder or zip.
    values : {"binary", "tracks"} or mapping of int to str or None
        ``"binary"``: 0 is background, and 1 or 255 (one of them in all pictures) the one object, track 1.
        ``"tracks"``: the value is the track, 0 background. A mapping names the category of each value, None for
        background; the value is then the track and, for the first value of a name, the category's id. A value that is
        not mentioned is an error.
    void : sequence of int
        Values of pixels that count for nothing: one object a frame of the category ``void``, without track, marked as
        crowd.
    category : str
        The category of ``"binary"`` and ``"tracks"``.
    folder : str, optional
        Only files below this folder of the place are read, and named from there.
    pattern : str
        The names: ``"gt{frame:06d}.png"``, ``"{video}_f{frame}.png"``. Files with another ending are not looked at;
        every file with this ending must fit.
    start, stride, first_frame : int
        Number n is frame ``first_frame + (n - start) * stride``.
    numbers : (int, int), optional
        First and last number of ``pattern`` that are labels; others are left out.
    parse : callable, optional
        Used instead of ``pattern``: ``parse(file name) -> (video_id, frame_index, pts)``, such as
        ``evfr.video.parse_frame_file_name`` for masks named like the images of ``evfr extract``.
    frames : sequence of str, or mapping of str to int, optional
        Used instead of ``pattern``: names of the video's pictures in order (or name to frame); a mask belongs to the
        picture of the same name without ending.
    video_id : str, optional
        The video where names do not say it; the folder's or zip's name otherwise.

    Returns
    -------
    VideoAnnotations
        Every picture is an annotated frame, also where it shows background only.

    Raises
    ------
    AnnotationError
        If a name does not fit, a picture is broken or of another size, or a value is not allowed.
    ValueError
        If ``parse`` and ``frames`` are both given, or ``values`` is none of the above.
    """
    path = Path(path)
    if parse is not None and frames is not None:
        raise ValueError("give parse or frames, not both: each says which frame a picture is")
    table = _Values(values, void, category)
    suffix = NamePattern(pattern).suffix if parse is None and frames is None else ".png"
    with open_place(path) as place:
        names = _names(place, folder, suffix)
        places = place_files(
            names,
            str(path),
            video_id=video_id or path.stem,
            pattern=pattern,
            numbering=Numbering(start, stride, first_frame),
            parse=parse,
            frames=frames,
            numbers=numbers,
        )
        by_video: dict[str, list[Any]] = {}
        for item in places:
            by_video.setdefault(item.video_id, []).append(item)
        videos, rows = [], []
        for name, items in by_video.items():
            size: tuple[int, int] | None = None
            for item in items:
                where = f"{path}: {names[item.name]}"
                labels, _ = read_labels(place.read(names[item.name]), where, size)
                size = (labels.shape[1], labels.shape[0])
                rows += list(table.objects(labels, name, item.frame_index, where))
            assert size is not None
            index = np.array([item.frame_index for item in items], np.int64)
            videos.append(AnnotatedVideo(name, *size, index))
    return VideoAnnotations.build(videos, table.categories(), rows)


class _Values:
    """What the values of pixels mean; remembers which of 1 and 255 stands for the object of binary masks."""

    def __init__(self, values: Values, void: Sequence[int], category: str) -> None:
        self.void = tuple(void)
        self.names: dict[int, str | None] | None = None
        self.foreground: int | None = None
        self.is_binary = values == "binary"
        self._category = category
        self._has_void = False
        if isinstance(values, Mapping):
            self.names = dict(values)
            both = sorted(set(self.names) & set(self.void))
            if both:
                raise ValueError(f"the value {both[0]} stands in both values and void; leave it in one")
        elif values not in ("binary", "tracks"):
            raise ValueError(
                f"values must be 'binary', 'tracks' or a mapping of value to name, got {values!r}"
            )
        self._ids: dict[str, int] = {}
        for value, name in sorted((self.names or {}).items()):
            if name is not None:
                self._ids.setdefault(name, value)
        taken = set(self._ids.values())
        self._void_id = next(number for number in itertools.count(255) if number not in taken)

    def categories(self) -> tuple[Category, ...]:
        named = (
            [Category(i, n) for n, i in self._ids.items()] if self.names else [Category(1, self._category)]
        )
        if self._has_void:
            named.append(Category(self._void_id, "void"))
        return tuple(named)

    def objects(self, labels: NDArray[Any], video: str, frame: int, where: str) -> Iterator[ObjectRow]:
        found = [int(value) for value in np.unique(labels)]
        for value in found:
            if value in self.void:
                continue
            category = self._category_of(value, where)
            if category is None:
                continue
            track = 1 if self.is_binary else value
            yield ObjectRow(video, frame, category, track, None, Rle.from_mask(labels == value))
        hidden = [value for value in found if value in self.void]
        if hidden:
            self._has_void = True
            mask = Rle.from_mask(np.isin(labels, hidden))
            yield ObjectRow(video, frame, self._void_id, NO_TRACK, None, mask, is_crowd=True)

    def _category_of(self, value: int, where: str) -> int | None:
        if self.names is not None:
            if value not in self.names:
                raise AnnotationError(
                    f"{where} has pixels of {value}, which values= does not mention (but {sorted(self.names)[:20]}); "
                    "add it, with None if it is background, or to void="
                )
            name = self.names[value]
            return None if name is None else self._ids[name]
        if value == 0:
            return None
        if self.is_binary:
            allowed = (1, 255) if self.foreground is None else (self.foreground,)
            if value not in allowed:
                raise AnnotationError(
                    f"{where} has pixels of {value}; binary masks have 0 and {' or '.join(map(str, allowed))} in all "
                    "pictures: give values='tracks', or a mapping of value to name"
                )
            self.foreground = value
        return 1


def _names(place: Place, folder: str | None, suffix: str) -> dict[str, str]:
    """Return name from ``folder`` on -> name in the place, for files with the pattern's ending."""
    prefix = "" if folder is None else folder.strip("/") + "/"
    names = {
        name[len(prefix) :]: name
        for name in place.names
        if name.startswith(prefix) and name.lower().endswith(suffix)
    }
    if not names:
        below = f" below {folder!r}" if folder else ""
        raise AnnotationError(
            f"{place.path} has no file{below} that ends in {suffix!r}; give folder= and pattern="
        )
    return names


def write_masks(
    annotations: VideoAnnotations,
    path: str | Path,
    *,
    values: Literal["binary", "tracks", "categories"] = "tracks",
    foreground: int = 255,
    priority: Priority | None = None,
    pattern: str | None = None,
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
) -> Path:
    """Write one grey PNG a frame (ours).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels; every object needs a mask.
    path : str or Path
        A folder that is new or empty, or a path that ends in ``.zip``.
    values : {"binary", "tracks", "categories"}
        What pixels say: that there is an object (one a frame), its track, or its category's id. 8 bits, or 16 where
        a value needs them.
    foreground : {1, 255}
        The value of objects in ``"binary"``.
    priority : {"low", "high", "small"} or None
        Who is in front where objects of different values overlap; None makes that an error.
    pattern : str, optional
        The names: ``"{frame:05d}.png"`` for one video, ``"{video}/{frame:05d}.png"`` for several.
    start, stride, first_frame : int
        Frame ``first_frame + k * stride`` is picture ``start + k``.

    Returns
    -------
    Path
        The folder or zip.

    Raises
    ------
    AnnotationError
        If an object has no mask or no value that a picture can hold, objects overlap, there are several in a binary
        mask, a frame has no number, or the folder is not empty.
    ValueError
        If ``values`` or ``foreground`` is none of the above.
    """
    path = Path(path)
    if values not in ("binary", "tracks", "categories") or foreground not in (1, 255):
        raise ValueError(
            f"values must be 'binary', 'tracks' or 'categories' and foreground 1 or 255, got {values!r}, {foreground!r}"
        )
    several = len(annotations.videos) > 1
    shape = NamePattern(pattern or ("{video}/{frame:05d}.png" if several else "{frame:05d}.png"))
    if several and not shape.has_video:
        raise AnnotationError(
            f"{path}: labels of {len(annotations.videos)} videos need {{video}} in pattern="
        )
    numbering = Numbering(start, stride, first_frame)

    def value_of(row: ObjectRow, where: str) -> int:
        value = {"binary": foreground, "tracks": row.track_id, "categories": row.category_id}[values]
        if not 1 <= value <= 65535:
            raise AnnotationError(
                f"{where}: a picture holds {values} 1 to 65535, got {value}; number them anew"
            )
        return value

    def files() -> Iterator[tuple[str, bytes]]:
        for video in annotations.videos:
            part = annotations.of_video(video.video_id)
            objects = list(part.objects())
            for frame in video.frame_index.tolist():
                where = f"video {video.video_id!r}, frame {frame}"
                rows = [objects[row] for row in part.rows_at(video.video_id, frame)]
                if values == "binary" and len(rows) > 1:
                    raise AnnotationError(
                        f"{where}: {len(rows)} objects, and a binary mask holds one; give values='tracks'"
                    )
                picture = paint(
                    rows, [value_of(row, where) for row in rows], (video.width, video.height), priority, where
                )
                yield shape.format(video.video_id, numbering.number_of(frame, where)), write_labels(picture)

    return write_tree(path, files())

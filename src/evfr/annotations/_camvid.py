"""CamVid, as SegNet uses it: pictures of classes (Brostow et al. 2009; Badrinarayanan et al. 2017)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._label_pictures import write_tree
from evfr.annotations._numbering import NamePattern, Numbering
from evfr.annotations._palette import read_labels, write_labels
from evfr.annotations._parse import check_pixels
from evfr.annotations._paths import open_place
from evfr.annotations._semantic import class_masks
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr.annotations._paths import Place

__all__ = ["CAMVID_CLASSES", "read_camvid", "recognises_camvid", "write_camvid"]

CAMVID_CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
"""Values 0 to 10; 11 is void."""

_NAME = re.compile(r"(?P<video>.+)_f?(?P<frame>[0-9]{1,9})", re.DOTALL)
"""``0006R0_f00930`` and ``0016E5_07959``: a sequence and a number of its frames."""
_IMAGES = (".jpg", ".jpeg", ".png")


def read_camvid(
    path: str | Path,
    *,
    classes: Sequence[str] = CAMVID_CLASSES,
    void: int | None = None,
    components: bool = False,
    folder: str | None = None,
    pictures: str | None = None,
    pattern: str | None = None,
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
) -> VideoAnnotations:
    """Read pictures of classes as CamVid has them (Brostow et al. 2009; Badrinarayanan et al. 2017).

    Parameters
    ----------
    path : str or Path
        A folder or zip with ``labels`` and perhaps ``images`` in it, or with folders as ``trainannot`` and ``train``.
    classes : sequence of str
        Names of the values 0, 1, 2, ...
    void : int or None
        The value of pixels that count for nothing; None is the one after the last class.
    components : bool
        Make each connected part of a class an object of its own.
    folder, pictures : str or None
        The folder of the label pictures, and that of the pictures, where they are called otherwise.
    pattern : str or None
        The names, as ``"{video}/{frame:06d}.png"``; None: a sequence, ``_`` or ``_f``, and a number, as
        ``0006R0_f00930.png``.
    start, stride, first_frame : int
        Number n is frame ``first_frame + (n - start) * stride``.

    Returns
    -------
    VideoAnnotations
        A video for each sequence; for each value one object a frame, without track. Void is one of the category
        ``void``, marked as crowd. Where the pictures are there, videos name them as files.

    Raises
    ------
    AnnotationError
        If there is no such folder, a name does not fit, a picture is broken or of another size or has another value, or
        the picture of a label is missing.
    ValueError
        If a class is named twice, or ``void`` is the value of a class.

    References
    ----------
    Brostow, Fauqueur & Cipolla, "Semantic object classes in video", Pattern Recognition Letters 30, 2009.
    Badrinarayanan, Kendall & Cipolla, "SegNet", PAMI 2017.
    """
    path = Path(path)
    void_value = len(classes) if void is None else void
    _check_classes(classes, void_value)
    shape = None if pattern is None else NamePattern(pattern)
    numbering = Numbering(start, stride, first_frame)
    categories = [Category(value + 1, name) for value, name in enumerate(classes)]
    void_id = len(classes) + 1
    rows: list[ObjectRow] = []
    frames: dict[str, dict[int, str]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    with open_place(path) as place:
        images = _images(place, folder, pictures)
        for name, image in images.items():
            where = f"{path}: {name}"
            video, number = _parse(name, shape, folder, where)
            frame = numbering.index_of(number, where)
            labels, _ = read_labels(place.read(name), where, sizes.get(video))
            sizes[video] = (labels.shape[1], labels.shape[0])
            seen = frames.setdefault(video, {})
            if frame in seen:
                raise AnnotationError(
                    f"{where}: frame {frame} of {video!r} has two pictures of labels; keep one"
                )
            seen[frame] = image
            for value in np.unique(labels).tolist():
                member = np.asarray(labels == value, np.bool_)
                if value == void_value:
                    mask = Rle.from_mask(member)
                    rows.append(ObjectRow(video, frame, void_id, NO_TRACK, None, mask, is_crowd=True))
                elif 0 <= value < len(classes):
                    rows += [
                        ObjectRow(video, frame, value + 1, NO_TRACK, None, mask)
                        for mask in class_masks(member, components)
                    ]
                else:
                    raise AnnotationError(
                        f"{where} has pixels of {value}; values are 0 to {len(classes) - 1} ({classes[0]} to "
                        f"{classes[-1]}) and {void_value} (void): give classes= and void="
                    )
    if any(row.is_crowd for row in rows):
        categories.append(Category(void_id, "void"))
    videos = []
    for video, seen in frames.items():
        ordered = dict(sorted(seen.items()))
        names = tuple(ordered.values())
        videos.append(
            AnnotatedVideo(
                video,
                *sizes[video],
                np.array(list(ordered), np.int64),
                file_names=names if all(names) else (),
            )
        )
    return VideoAnnotations.build(videos, categories, rows)


def recognises_camvid(path: Path) -> bool:
    """Whether a folder or zip has label pictures beside pictures, named as CamVid's are, with its values."""
    try:
        with open_place(path) as place:
            images = _images(place, None, None)
            name = next(iter(images))
            labels, _ = read_labels(place.read(name), str(path))
            return _NAME.fullmatch(PurePosixPath(name).stem) is not None and int(labels.max()) <= 11
    except AnnotationError:
        return False


def _check_classes(classes: Sequence[str], void: int) -> None:
    if isinstance(classes, str) or len(set(classes)) != len(classes) or not all(classes):
        raise ValueError(f"classes must be different names, got {classes!r}")
    if not classes or 0 <= void < len(classes):
        raise ValueError(f"void must be no value of the {len(classes)} classes, got {void}")


def _images(place: Place, folder: str | None, pictures: str | None) -> dict[str, str]:
    """Return label picture -> picture (empty where there are none), in natural order."""
    prefix = None if folder is None else folder.strip("/") + "/"
    labels = [
        name
        for name in place.names
        if name.lower().endswith(".png")
        and (_picture_folder(name) is not None if prefix is None else name.startswith(prefix))
    ]
    if not labels:
        where = f"folder {folder!r}" if folder else "folder labels, or one as trainannot,"
        raise AnnotationError(f"{place.path} has no {where} with .png in it; give folder=")
    stems: dict[str, str] = {}
    for name in place.names:
        if name.lower().endswith(_IMAGES):
            pure = PurePosixPath(name)
            stems.setdefault(str(pure.with_suffix("")), name)
    found = {}
    for name in labels:
        pure = PurePosixPath(name)
        base = _picture_folder(name) if pictures is None else pictures.strip("/")
        found[name] = "" if base is None else stems.get(str(PurePosixPath(base) / pure.stem), "")
    if pictures is not None or any(found.values()):
        for name, image in found.items():
            if not image:
                raise AnnotationError(
                    f"{place.path}: {name} has no picture of the same name in {pictures or _picture_folder(name)!r}"
                )
    return found


def _picture_folder(name: str) -> str | None:
    """Return where the pictures of a folder of labels are by custom; None for a folder that is none of labels."""
    parent = PurePosixPath(name).parent
    if parent.name == "labels":
        return str(parent.with_name("images"))
    if parent.name.endswith("annot") and parent.name != "annot":
        return str(parent.with_name(parent.name.removesuffix("annot")))
    return None


def _parse(name: str, shape: NamePattern | None, folder: str | None, where: str) -> tuple[str, int]:
    pure = PurePosixPath(name)
    if shape is None:
        found = _NAME.fullmatch(pure.stem)
        if found is not None:
            return found["video"], int(found["frame"])
    else:
        below = name if folder is None else name.removeprefix(folder.strip("/") + "/")
        fits = shape.parse(below) or shape.parse(pure.name)
        if fits is not None and fits[0] is not None:
            return fits[0], fits[1]
    raise AnnotationError(
        f"{where}: the name does not say the sequence and the frame, as 0006R0_f00930.png does; give a pattern= with "
        "{video} and {frame}"
    )


def write_camvid(
    annotations: VideoAnnotations,
    path: str | Path,
    *,
    classes: Sequence[str] = CAMVID_CLASSES,
    void: int | None = None,
    rest: Literal["fail", "void"] = "fail",
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
) -> Path:
    """Write ``labels/<video>_<frame>.png`` with the values of CamVid (Badrinarayanan et al. 2017).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels; every object needs a mask and a category that is named in ``classes`` or ``void``.
    path : str or Path
        A folder that is new or empty, or a path that ends in ``.zip``.
    classes : sequence of str
        Names of the values 0, 1, 2, ...
    void : int or None
        The value of pixels that count for nothing; None is the one after the last class.
    rest : {"fail", "void"}
        What pixels without an object are: an error, because this format has no background, or void.
    start, stride, first_frame : int
        Frame ``first_frame + k * stride`` is number ``start + k``.

    Returns
    -------
    Path
        The folder or zip.

    Raises
    ------
    AnnotationError
        If an object has no mask or no such category, objects of different classes overlap, a pixel has no class, a
        frame has no number, or the folder is not empty.
    ValueError
        If an option is none of the above.
    """
    path = Path(path)
    void_value = len(classes) if void is None else void
    _check_classes(classes, void_value)
    if not 0 <= void_value <= 255 or len(classes) > 255:
        raise ValueError(
            f"values of classes and void must fit 8 bits, got {len(classes)} classes, void {void_value}"
        )
    if rest not in ("fail", "void"):
        raise ValueError(f"rest must be fail or void, got {rest!r}")
    numbering = Numbering(start, stride, first_frame)
    names = {item.category_id: item.name for item in annotations.categories}

    def files() -> Iterator[tuple[str, bytes]]:
        for video in annotations.videos:
            for frame in video.frame_index.tolist():
                where = f"video {video.video_id!r}, frame {frame}"
                check_pixels(video.height, video.width, where)
                picture = np.full((video.height, video.width), -1, np.int64)
                for row in annotations.rows_at(video.video_id, frame).tolist():
                    name, mask = names[int(annotations.category_id[row])], annotations.masks[row]
                    if mask is None:
                        raise AnnotationError(
                            f"{where}: an object has a box and no mask; this format holds pixels"
                        )
                    if name == "void":
                        value = void_value
                    elif name in classes and not annotations.is_crowd[row]:
                        value = list(classes).index(name)
                    else:
                        raise AnnotationError(
                            f"{where}: an object of the class {name!r} has no value: objects are of {list(classes)}, "
                            "crowds void; give classes="
                        )
                    dense = mask.to_mask()
                    if ((picture[dense] >= 0) & (picture[dense] != value)).any():
                        raise AnnotationError(
                            f"{where}: objects of different classes overlap; a pixel has one class"
                        )
                    picture[dense] = value
                if (picture < 0).any() and rest == "fail":
                    raise AnnotationError(
                        f"{where}: {int((picture < 0).sum())} pixels have no class, and this format has no background; "
                        "give rest='void', which says that nothing is known of them"
                    )
                picture[picture < 0] = void_value
                number = numbering.number_of(frame, where)
                yield f"labels/{video.video_id}_{number:05d}.png", write_labels(picture)

    return write_tree(path, files())

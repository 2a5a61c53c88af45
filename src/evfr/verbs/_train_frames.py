"""Labelled frames of videos, and labelled images, read one at a time: what sequence networks are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import AnnotatedVideo, Category, VideoAnnotations
    from evfr.training import LabelledPicture

__all__ = ["ImageFrames", "LabelledVideo", "VideoFrames", "labelled_images", "labelled_videos"]


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """Name one video and its labels; nothing is read yet.

    Attributes
    ----------
    path : Path
        The video.
    video : AnnotatedVideo
        Which frames are labelled; they need not be neighbours.
    labels : VideoAnnotations
        Of this video alone; every object has a mask and a track.
    """

    path: Path
    video: AnnotatedVideo
    labels: VideoAnnotations


def labelled_videos(videos: Sequence[str | Path], labels: VideoAnnotations) -> list[LabelledVideo]:
    """Find the labels of each video, and see that sequences can be learnt from them.

    Raises
    ------
    AnnotationError
        If a video has no labels by its name, fewer than two labelled frames or no object, or an object has no mask or
        no track.
    """
    from evfr._core.annotations import NO_TRACK
    from evfr.errors import AnnotationError

    found = []
    for path in map(Path, videos):
        names = {str(path), path.name, path.stem}
        named = [video for video in labels.videos if video.video_id in names]
        if len(named) != 1:
            known = ", ".join(video.video_id for video in labels.videos[:5])
            raise AnnotationError(
                f"{path}: {len(named)} videos of the labels are called {path.name} or {path.stem}; there are {known}"
            )
        own = labels.of_video(named[0].video_id)
        if len(named[0].frame_index) < 2:
            raise AnnotationError(
                f"{path}: {len(named[0].frame_index)} labelled frames, but a sequence needs two or more; "
                "leave the video out"
            )
        _check_masks(own)
        for row, track in enumerate(own.track_id.tolist()):
            if track == NO_TRACK and not own.is_crowd[row]:
                raise AnnotationError(
                    f"{named[0].video_id} frame {int(own.frame_index[row])}: an object has no track; sequences are "
                    "learnt from objects that are followed over time"
                )
        if not _has_object(own).any():
            raise AnnotationError(f"{path}: no labelled frame has an object; leave the video out")
        found.append(LabelledVideo(path, named[0], own))
    return found


class VideoFrames:
    """Read labelled frames of one video; frames of a video file are kept as PNG files after one pass.

    Parameters
    ----------
    labelled : LabelledVideo
        The video.
    folder : Path
        Where frames of a video file are kept.
    """

    def __init__(self, labelled: LabelledVideo, folder: Path) -> None:
        self._labels, self._video, self._path = labelled.labels, labelled.video, labelled.path
        index = self._video.frame_index
        shown = set(self._labels.frame_index[_has_object(self._labels)].tolist())
        self.starts = tuple(place for place, frame in enumerate(index.tolist()) if frame in shown)
        self._rows = {int(c.category_id): row for row, c in enumerate(self._labels.categories)}
        self._folder = folder
        self._places = self._open()

    def __len__(self) -> int:
        return len(self._video.frame_index)

    def load(self, place: int) -> LabelledPicture:
        """Read one labelled frame.

        Raises
        ------
        AnnotationError
            If it has another size than its labels.
        VideoError
            If the frame cannot be read.
        """
        from evfr.video import open_video

        frame = int(self._video.frame_index[place])
        if self._places is not None:
            with open_video(self._path) as reader:
                image = _image_reader(reader).read(self._places[place])
        else:
            with open_video(self._folder) as reader:
                image = _image_reader(reader).read(place)
        return _picture(image, self._labels, self._video.video_id, frame, self._rows, ())

    def _open(self) -> tuple[int, ...] | None:
        """Return the places of the frames in a folder or zip, or keep the frames of a video file."""
        from evfr.errors import AnnotationError
        from evfr.video import open_video

        index = self._video.frame_index.tolist()
        with open_video(self._path) as reader:
            if reader.info.kind != "file":
                return _places_of(self._path, self._video, _image_reader(reader).image_names())
            note = self._folder / "frames.txt"
            state = self._path.stat()
            wanted = (
                f"{self._path.name} of {state.st_size} bytes, changed at {state.st_mtime_ns} ns, "
                f"frames {','.join(map(str, index))}\n"
            )
            if note.is_file() and note.read_text("utf-8") == wanted:
                return None
            kept = self._keep(reader, set(index))
        if len(kept) != len(index):
            gone = next(frame for frame in index if frame not in kept)
            raise AnnotationError(
                f"{self._path}: frame {gone} is labelled, but only {len(kept)} of {len(index)} labelled frames decode"
            )
        from evfr._core.atomic import atomic_write_bytes

        atomic_write_bytes(note, wanted.encode())
        return None

    def _keep(self, reader: Any, wanted: set[int]) -> set[int]:
        import cv2
        import numpy as np

        from evfr._core.atomic import atomic_write_bytes, make_folder

        make_folder(self._folder)
        # Files are told apart by their order, so those of other labels must go.
        for old in self._folder.glob("*.png"):
            old.unlink()
        kept = set()
        for frame in reader:
            if frame.frame_index in wanted and not frame.is_suspect:
                _, data = cv2.imencode(".png", np.ascontiguousarray(frame.rgb()[..., ::-1]))
                name = f"{frame.frame_index:09d}.png"
                atomic_write_bytes(self._folder / name, data.tobytes(), is_durable=False)
                kept.add(int(frame.frame_index))
            if frame.frame_index >= max(wanted):
                break
        return kept


class ImageFrames:
    """Read labelled images one at a time; each is an object's only frame.

    Parameters
    ----------
    path : Path
        Folder or zip of the images.
    labels : VideoAnnotations
        One video of one frame for each image.
    categories : sequence of Category
        Of the videos; images have the same by name.
    is_left_out : sequence of bool
        For each class of the images, whether its objects are hidden instead of learnt.
    """

    def __init__(
        self,
        path: Path,
        labels: VideoAnnotations,
        categories: Sequence[Category],
        is_left_out: Sequence[bool],
    ) -> None:
        import numpy as np

        from evfr.video import open_video

        self._labels = labels
        names = [category.name for category in categories]
        self._hidden = tuple(
            c.category_id for c, is_out in zip(labels.categories, is_left_out, strict=True) if is_out
        )
        self._rows = {
            c.category_id: names.index(c.name) for c in labels.categories if c.category_id not in self._hidden
        }
        is_object = _has_object(labels) & ~np.isin(labels.category_id, np.array(self._hidden, np.int64))
        self.starts = tuple(np.unique(labels.video_row[is_object]).tolist())
        # Listed once: a folder may hold 10^5 images.
        self._reader = _image_reader(open_video(path))
        shown = [labels.videos[row] for row in self.starts]
        self._places = _image_places(path, shown, self._reader.image_names())

    def __len__(self) -> int:
        return len(self._labels.videos)

    def load(self, place: int) -> LabelledPicture:
        """Read one image; it must be one of ``starts``.

        Raises
        ------
        AnnotationError
            If it has another size than its labels.
        VideoError
            If it cannot be read.
        """
        name = self._labels.videos[place].video_id
        image = self._reader.read(self._places[name])
        return _picture(image, self._labels, name, 0, self._rows, self._hidden)

    def close(self) -> None:
        """Close the folder or zip."""
        self._reader.close()


def labelled_images(
    images: Path,
    image_labels: Path,
    categories: Sequence[Category],
    *,
    category_map: str = "by-name",
    other_classes: Literal["fail", "hide"] = "fail",
) -> ImageFrames:
    """Read COCO instances, and match their classes with those of the videos by name.

    Raises
    ------
    AnnotationError
        If labels cannot be read, an object has no mask, a class is none of the videos' (unless it is to be hidden), no
        object is left, or an image is not there.
    """
    from evfr.annotations import merge_categories, read, read_category_map
    from evfr.errors import AnnotationError

    found = read(image_labels, format="coco", stills=True)
    found = merge_categories(found, read_category_map(category_map), absent="skip")
    names = {category.name for category in categories}
    used = set(found.category_id.tolist())
    is_left_out = [c.name not in names for c in found.categories]
    unknown = [
        c.name
        for c, is_out in zip(found.categories, is_left_out, strict=True)
        if is_out and c.category_id in used
    ]
    if unknown and other_classes == "fail":
        raise AnnotationError(
            f"{image_labels}: the class {unknown[0]!r} ({len(unknown)} in all) is none of the videos' classes "
            f"{sorted(names)[:10]}; give a category map, or other_classes='hide'"
        )
    _check_masks(found)
    frames = ImageFrames(images, found, categories, is_left_out)
    if not frames.starts:
        raise AnnotationError(f"{image_labels}: no image has an object of the videos' classes")
    return frames


def _picture(
    image: NDArray[np.uint8],
    labels: VideoAnnotations,
    video_id: str,
    frame: int,
    rows: dict[int, int],
    hidden_classes: Sequence[int],
) -> LabelledPicture:
    import numpy as np

    from evfr.errors import AnnotationError
    from evfr.training import LabelledPicture

    size, video = image.shape[:2], labels.video(video_id)
    if (video.height, video.width) != size:
        raise AnnotationError(
            f"{video_id} frame {frame}: the labels are for {video.width}x{video.height}, the picture is "
            f"{size[1]}x{size[0]}"
        )
    shown: list[tuple[NDArray[np.bool_], int, int]] = []
    hidden = np.zeros(size, np.bool_)
    for row in labels.rows_at(video_id, frame).tolist():
        mask = labels.masks[row]
        if mask is None or mask.is_empty:
            continue
        category = int(labels.category_id[row])
        if labels.is_crowd[row] or category in hidden_classes:
            hidden |= mask.to_mask()
        else:
            shown.append((mask.to_mask(), rows[category], int(labels.track_id[row])))
    return LabelledPicture(
        image,
        np.array([mask for mask, _, _ in shown], np.bool_).reshape(-1, *size),
        np.array([category for _, category, _ in shown], np.int64),
        np.array([track for _, _, track in shown], np.int64),
        hidden,
    )


def _check_masks(labels: VideoAnnotations) -> None:
    from evfr.errors import AnnotationError

    for row, mask in enumerate(labels.masks):
        if mask is None:
            name = labels.videos[int(labels.video_row[row])].video_id
            raise AnnotationError(
                f"{name} frame {int(labels.frame_index[row])}: an object has a box and no mask; masks are learnt"
            )


def _has_object(labels: VideoAnnotations) -> NDArray[np.bool_]:
    import numpy as np

    is_drawn = np.array([mask is not None and not mask.is_empty for mask in labels.masks], np.bool_)
    return is_drawn & ~labels.is_crowd


def _image_reader(reader: Any) -> Any:
    """Return a reader of images, which can read out of order."""
    from evfr.errors import InputError

    if reader.info.kind == "file":
        reader.close()
        raise InputError(f"{reader.info.path} must be a folder or zip of images")
    return reader


def _places_of(path: Path, video: AnnotatedVideo, images: Sequence[str]) -> tuple[int, ...]:
    """Return which images the labelled frames are: those of the labels' file names, else by number."""
    from evfr.errors import AnnotationError

    places = {Path(name).name: place for place, name in enumerate(images)}
    named = [Path(name).name for name in video.file_names]
    if named and any(name in places for name in named):
        if missing := [name for name in named if name not in places]:
            raise AnnotationError(
                f"{path} has no image {missing[0]}, which the labels of {video.video_id} name"
            )
        return tuple(places[name] for name in named)
    last = int(video.frame_index[-1])
    if last >= len(images):
        raise AnnotationError(f"{path}: frame {last} is labelled, but there are {len(images)} images")
    return tuple(video.frame_index.tolist())


def _image_places(path: Path, videos: Sequence[AnnotatedVideo], images: Sequence[str]) -> dict[str, int]:
    from evfr.errors import AnnotationError

    places = {name: place for place, name in enumerate(images)}
    places |= {Path(name).name: place for place, name in enumerate(images)}
    found = {}
    for video in videos:
        place = places.get(video.video_id, places.get(Path(video.video_id).name))
        if place is None:
            raise AnnotationError(f"{path} has no image {video.video_id}, which is labelled")
        found[video.video_id] = place
    return found

"""Which video holds the pictures of which labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import AnnotatedVideo, VideoAnnotations
    from evfr.video import VideoSource

__all__ = ["ClipPlace", "find_places"]


@dataclass(frozen=True, slots=True, eq=False)
class ClipPlace:
    """Say where the labelled frames of one video are.

    Attributes
    ----------
    video : AnnotatedVideo
        The video in the labels.
    path : str or Path
        The video file, or the folder or zip of images.
    frames : (K,) int64
        Which of its labelled frames are wanted, increasing.
    images : tuple of str or None
        Names of the images of all labelled frames; None for a video file.
    """

    video: AnnotatedVideo
    path: Any
    frames: NDArray[np.int64]
    images: tuple[str, ...] | None

    @property
    def reading(self) -> list[str] | None:
        """What the pictures depend on besides the bytes of the video, JSON-ready."""
        return None if self.images is None else list(self.images)


def find_places(
    videos: Sequence[str | Path],
    labels: VideoAnnotations,
    *,
    frames: Mapping[str, Sequence[int] | NDArray[np.int64]] | None = None,
    pictures: str | None = None,
) -> list[ClipPlace]:
    """Find the video of each labelled video, and its wanted frames.

    Parameters
    ----------
    videos, frames, pictures
        As in `evfr.verbs._labelled_clips.labelled_clips`.
    labels : VideoAnnotations
        The labels.

    Returns
    -------
    list of ClipPlace
        In the order of the labels; without videos that ``frames`` does not name or takes no frame of.

    Raises
    ------
    AnnotationError
        If a video is not found, or could be several; if a given one has no labels; if a frame has none; if the content
        is another than the labelled one.
    InputError
        If there are no videos.
    """
    from evfr.errors import AnnotationError
    from evfr.video import resolve_inputs

    sources = [_Source(source) for source in resolve_inputs(videos)]
    pairs = _pairs(sources, labels.videos)
    given = {str(Path(path)) for path in videos}
    used = {id(source) for _, source in pairs}
    for source in sources:
        if id(source) not in used and str(source.path) in given:
            known = ", ".join(video.video_id for video in labels.videos[:5])
            raise AnnotationError(
                f"{source.path}: no video of the labels has this name; they have {known}: give the labels of this "
                "video, or leave it out"
            )
    wanted = _wanted(pairs, frames)
    found = []
    for video, source in pairs:
        if video.video_id in wanted and len(wanted[video.video_id]):
            _check_content(video, source)
            images = source.images_of(video, pictures)
            found.append(ClipPlace(video, source.path, wanted[video.video_id], images))
    if not found:
        raise AnnotationError(
            "no labelled frame is wanted of the videos that are given; check frames= and videos"
        )
    return found


class _Source:
    """One video on disk, and what its pictures are called where it is a folder or zip."""

    def __init__(self, source: VideoSource) -> None:
        from evfr.video import open_video

        self.video_id, self.path = source.video_id, source.path
        self.names: tuple[str, ...] | None = None
        if source.kind != "file":
            with open_video(source.path) as reader:
                named: Any = reader
                self.names = named.image_names()
        self._by_name: dict[str, list[str]] = {}
        for name in self.names or ():
            self._by_name.setdefault(PurePosixPath(name).name, []).append(name)

    def is_called(self, video_id: str) -> bool:
        """Whether a name is this video's, or the end of its path, with or without the ending."""
        if video_id in (self.video_id, str(self.path)):
            return True
        path = PurePosixPath(Path(self.path).absolute().as_posix())
        return any(_ends_with(one, PurePosixPath(video_id)) for one in (path, path.with_suffix("")))

    def lies_in(self, video_id: str) -> bool:
        """Whether it is a folder of pictures in a folder of this name, as ``MOT16-02/img1`` is."""
        path = PurePosixPath(Path(self.path).absolute().as_posix())
        return self.names is not None and _ends_with(path.parent, PurePosixPath(video_id))

    def is_alike(self, video_id: str) -> bool:
        """Whether the last part of a name is this video's, with or without endings."""
        return PurePosixPath(video_id).stem == Path(self.path).stem

    def holds(self, video: AnnotatedVideo, *, with_folders: bool) -> bool:
        """Whether all pictures that the labels name are here, below folders of the same names if asked."""
        names = _file_names(video)
        return bool(names) and all(self._image(name, with_folders) is not None for name in names)

    def images_of(self, video: AnnotatedVideo, pictures: str | None) -> tuple[str, ...] | None:
        """Return the names of the images of the labelled frames; None for a video file.

        Raises
        ------
        AnnotationError
            If one is not there, or nothing says which images are the frames.
        """
        from evfr.errors import AnnotationError

        if self.names is None:
            return None
        named = _file_names(video)
        for with_folders in (True, False):
            found = [self._image(name, with_folders) for name in named]
            images = tuple(name for name in found if name is not None)
            if images and len(images) == len(named):
                return images
            if images:
                raise AnnotationError(
                    f"{self.path} has no image {named[found.index(None)]}, which the labels of {video.video_id!r} name"
                )
        prefix = "" if pictures is None else pictures.strip("/") + "/"
        below = [name for name in self.names if name.startswith(prefix)]
        folders = sorted({str(PurePosixPath(name).parent) for name in below})
        if len(folders) != 1:
            raise AnnotationError(
                f"{self.path}: pictures lie in {len(folders)} folders {folders[:5]} below {pictures or '.'!r}, and the "
                f"labels of {video.video_id!r} name no files; say which with pictures="
            )
        last = int(video.frame_index[-1])
        if last >= len(below):
            raise AnnotationError(
                f"{self.path}: frame {last} of {video.video_id!r} is labelled, but there are {len(below)} images"
            )
        return tuple(below[frame] for frame in video.frame_index.tolist())

    def _image(self, name: str, with_folders: bool) -> str | None:
        found = self._by_name.get(PurePosixPath(name).name, [])
        if with_folders:
            base = PurePosixPath(Path(self.path).absolute().as_posix())
            found = [one for one in found if _ends_with(base / one, PurePosixPath(name))]
        return found[0] if len(found) == 1 else None


def _file_names(video: AnnotatedVideo) -> tuple[str, ...]:
    """Return the names of the pictures; a still is named by its video."""
    from evfr.video._natural import is_image_name

    if video.file_names:
        return video.file_names
    is_still = len(video.frame_index) == 1 and is_image_name(PurePosixPath(video.video_id).name)
    return (video.video_id,) if is_still else ()


def _ends_with(path: PurePosixPath, end: PurePosixPath) -> bool:
    parts = end.parts
    return bool(parts) and path.parts[-len(parts) :] == parts


def _pairs(
    sources: Sequence[_Source], videos: Sequence[AnnotatedVideo]
) -> list[tuple[AnnotatedVideo, _Source]]:
    """Match by rules of falling strength; the first that finds something must find one video only."""
    from evfr.errors import AnnotationError

    labelled = [video for video in videos if len(video.frame_index)]
    if len(sources) == len(labelled) == 1:
        return [(labelled[0], sources[0])]
    rules: tuple[Callable[[_Source, AnnotatedVideo], bool], ...] = (
        lambda source, video: source.is_called(video.video_id),
        lambda source, video: source.holds(video, with_folders=True),
        lambda source, video: source.lies_in(video.video_id),
        lambda source, video: source.is_alike(video.video_id),
        lambda source, video: source.holds(video, with_folders=False),
    )
    pairs = []
    for video in labelled:
        for rule in rules:
            found = [source for source in sources if rule(source, video)]
            if len(found) > 1:
                raise AnnotationError(
                    f"{video.video_id!r} of the labels could be {found[0].path} or {found[1].path}; give one of them"
                )
            if found:
                pairs.append((video, found[0]))
                break
    taken: dict[int, AnnotatedVideo] = {}
    for video, source in pairs:
        other = taken.setdefault(id(source), video)
        # A folder or zip may hold the pictures of many videos, a file is one.
        if other is not video and source.names is None:
            raise AnnotationError(
                f"{source.path} could be {other.video_id!r} or {video.video_id!r} of the labels; rename one of them"
            )
    return pairs


def _wanted(
    pairs: Sequence[tuple[AnnotatedVideo, _Source]],
    frames: Mapping[str, Sequence[int] | NDArray[np.int64]] | None,
) -> dict[str, NDArray[np.int64]]:
    import numpy as np

    from evfr.errors import AnnotationError

    if frames is None:
        return {video.video_id: video.frame_index for video, _ in pairs}
    wanted: dict[str, NDArray[np.int64]] = {}
    by_id = {video.video_id: video for video, _ in pairs}
    for name, given in frames.items():
        # A selection names the video by its file, labels perhaps otherwise.
        exact = by_id.get(name)
        found = [exact] if exact is not None else [video for video, source in pairs if source.is_called(name)]
        if len(found) != 1 or found[0].video_id in wanted:
            known = ", ".join(video.video_id for video, _ in pairs[:5])
            raise AnnotationError(
                f"frames: {name!r} names {len(found)} of the labelled videos that are given ({known}), or one that was "
                "named before"
            )
        index = np.unique(np.asarray(given, np.int64))
        if (missing := index[~np.isin(index, found[0].frame_index)]).size:
            raise AnnotationError(
                f"frames: frame {int(missing[0])} of {name!r} has no labels ({missing.size} of {index.size} have "
                "none); label it or leave it out"
            )
        wanted[found[0].video_id] = index
    return wanted


def _check_content(video: AnnotatedVideo, source: _Source) -> None:
    from evfr.errors import AnnotationError
    from evfr.video import content_hash

    if video.content_hash and video.content_hash != (found := content_hash(source.path)):
        raise AnnotationError(
            f"{video.video_id!r}: the labels were made on a video with the hash {video.content_hash}, {source.path} "
            f"has {found}; give the labelled video"
        )

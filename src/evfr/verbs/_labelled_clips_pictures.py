"""Read the labelled frames of one video after another; a folder or zip that holds many is opened and hashed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.verbs._labelled_clips_places import ClipPlace

__all__ = ["PictureReaders"]


class PictureReaders:
    """Hand out pictures of places; use it in a ``with``."""

    def __init__(self) -> None:
        self._path: Any = None
        self._reader: Any = None
        self._place_of: dict[str, int] = {}
        self._hashes: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def content_hash(self, path: Any, folder: Path) -> str:
        """Return the hash of a video's content, remembered below ``folder`` where that is safe.

        Raises
        ------
        StoreError
            If it cannot be remembered.
        VideoError
            If the video cannot be read.
        """
        from evfr._core.content_cache import cached_hash
        from evfr.video import content_hash

        key = str(path)
        if key not in self._hashes:
            self._hashes[key] = cached_hash(folder, Path(path), content_hash)
        return self._hashes[key]

    def pictures(
        self, place: ClipPlace, frames: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (frame, (H, W, 3) uint8 RGB) of some labelled frames of a place, increasing.

        Raises
        ------
        AnnotationError
            If a frame does not decode cleanly or lies behind the end.
        VideoError
            If the video cannot be read.
        """
        from evfr.video import open_video

        if place.images is None:
            with open_video(place.path) as reader:
                yield from _decoded(place, reader, frames)
            return
        if self._path != place.path:
            self._close()
            self._reader, self._path = open_video(place.path), place.path
            self._place_of = {name: number for number, name in enumerate(self._reader.image_names())}
        name_of = dict(zip(place.video.frame_index.tolist(), place.images, strict=True))
        for frame in frames.tolist():
            yield frame, self._reader.read(self._place_of[name_of[frame]])

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._path = self._reader = None


def _decoded(
    place: ClipPlace, reader: Iterable[Any], frames: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    from evfr.errors import AnnotationError

    wanted = iter(frames.tolist())
    frame = next(wanted, None)
    if frame is None:
        return
    for picture in reader:
        # A frame that does not decode is left out by the reader.
        if picture.frame_index > frame or (picture.frame_index == frame and picture.is_suspect):
            raise AnnotationError(
                f"{place.video.video_id}: frame {frame} is labelled, but does not decode cleanly; leave it out with "
                "frames="
            )
        if picture.frame_index == frame:
            yield frame, picture.rgb()
            frame = next(wanted, None)
            if frame is None:
                return
    raise AnnotationError(
        f"{place.video.video_id}: frame {frame} is labelled, but {place.path} ends before it; give the video that was "
        "labelled"
    )

"""Compare the pictures that came back from a tool with the frames they are said to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evfr.verbs._import_pictures import pixel_hash, read_picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.verbs._export_package import ExportFrame, ExportPackage
    from evfr.verbs._import_match import Picture
    from evfr.verbs._import_pictures import PictureFolder

__all__ = ["PixelCheck"]

_SIDE = 96
_MOST = 12.0
_NEARER = 0.6
_LEAST = 0.2
_AROUND = 2


class PixelCheck:
    """Hold the luma of the exported frames and of those around them, and compare pictures with it.

    A picture of the same bytes or the same pixels is the frame. Any other was stored anew, perhaps with loss: it must
    be nearer to its own frame than to any other exported frame of the video and to the two before and after it. The
    distance is the mean of the absolute difference of luma, both made small by area; a picture is another frame if one
    is nearer than 0.6 of the distance to its own (and that is above 0.2 levels of 255: below it no change can be
    seen), and a foreign picture above 12 levels.
    """

    def __init__(self, package: ExportPackage) -> None:
        self._package = package
        self._small: dict[str, dict[int, NDArray[np.float32]]] = {}
        self.missing: list[str] = []

    def compare(self, picture: Picture, frame: ExportFrame, images: PictureFolder) -> Picture:
        """Return what is known of a picture after its pixels were looked at.

        Parameters
        ----------
        picture : Picture
            Found by name.
        frame : ExportFrame
            Which frame it is said to be.
        images : PictureFolder
            Where the pictures are.

        Returns
        -------
        Picture
            Checked; with a reason where it is not this frame. As it was where ``images`` does not have it.
        """
        import hashlib

        from evfr.errors import AnnotationError

        file = images.find(picture.name) or images.find(frame.name)
        if picture.is_checked or file is None:
            return picture
        data = images.read(file)
        if hashlib.sha256(data).hexdigest() == frame.sha256:
            return replace(picture, is_checked=True)
        try:
            image = read_picture(data, f"{images.path}: {file}")
        except AnnotationError as error:
            return replace(picture, reason=str(error))
        height, width = image.shape[:2]
        if (width, height) != (frame.width, frame.height):
            return replace(
                picture,
                is_checked=True,
                reason=f"{file} has {width}x{height} pixels, the frame {frame.width}x{frame.height}",
            )
        if pixel_hash(image) == frame.pixels_sha256:
            return replace(picture, is_checked=True)
        return self._compare_luma(picture, frame, image)

    def _compare_luma(self, picture: Picture, frame: ExportFrame, image: NDArray[np.uint8]) -> Picture:
        import numpy as np

        frames = self._of_video(frame.video_id)
        own = frames.get(frame.frame_index)
        if own is None:
            return picture
        small = _shrink(image)
        distances = {index: float(np.abs(small - other).mean()) for index, other in frames.items()}
        distance = distances.pop(frame.frame_index)
        nearest = min(distances, key=distances.__getitem__, default=None)
        if nearest is not None and distance > _LEAST and distances[nearest] < _NEARER * distance:
            return replace(
                picture,
                is_checked=True,
                is_shifted=True,
                reason=(
                    f"its pixels are those of frame {nearest}, not of frame {frame.frame_index} of {frame.video_id!r} "
                    f"(mean difference of luma {distances[nearest]:.2f} and {distance:.2f}): the tool shifted it"
                ),
            )
        if distance > _MOST:
            return replace(
                picture,
                is_checked=True,
                reason=(
                    f"its pixels are not those of frame {frame.frame_index} of {frame.video_id!r} (mean difference of "
                    f"luma {distance:.1f} of 255)"
                ),
            )
        return replace(picture, is_checked=True)

    def _of_video(self, video_id: str) -> dict[int, NDArray[np.float32]]:
        """Return the small luma of the exported frames of a video, and of those around them."""
        if video_id not in self._small:
            frames = self._package.sequence(video_id)
            found = self._from_source(video_id, frames)
            if found is None:
                self.missing.append(video_id)
                found = self._from_package(frames)
            self._small[video_id] = found
        return self._small[video_id]

    def _from_source(
        self, video_id: str, frames: tuple[ExportFrame, ...]
    ) -> dict[int, NDArray[np.float32]] | None:
        """Decode the source once; None where it is gone, changed or remote."""
        from evfr.errors import EvfrError
        from evfr.video import content_hash, open_video

        video = next(video for video in self._package.videos if video.video_id == video_id)
        path = Path(video.path)
        wanted = {frame.frame_index + step for frame in frames for step in range(-_AROUND, _AROUND + 1)}
        found = {}
        try:
            if not path.exists() or (video.digest and content_hash(path) != video.digest):
                return None
            with open_video(path, damaged="keep") as reader:
                for frame in reader:
                    if frame.frame_index in wanted:
                        found[frame.frame_index] = _shrink(frame.rgb())
        except EvfrError:
            return None
        return found

    def _from_package(self, frames: tuple[ExportFrame, ...]) -> dict[int, NDArray[np.float32]]:
        """Read the export's own pictures, as far as they are there and unchanged."""
        import hashlib

        found = {}
        for frame in frames:
            path = self._package.path_of(frame)
            if path.is_file():
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() == frame.sha256:
                    found[frame.frame_index] = _shrink(read_picture(data, str(path)))
        return found


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luma of a picture, its longer side at most 96 pixels, each the mean of what it covers."""
    import cv2
    import numpy as np

    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
    height, width = grey.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)

"""Find runs of consecutive labelled frames in videos, and read one run at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["LabelledClip", "labelled_clips"]

LONGEST = 65
OBJECTS = 10


@dataclass(frozen=True, slots=True)
class LabelledClip:
    """Name one run of consecutive frames that are all labelled with masks.

    Attributes
    ----------
    path : Path
        The video.
    video_id : str
        Its name in the labels.
    first, stop : int
        Frame indices, ``stop`` exclusive.
    labels : VideoAnnotations
        Where the masks are.
    """

    path: Path
    video_id: str
    first: int
    stop: int
    labels: VideoAnnotations

    @property
    def name(self) -> str:
        """Return the video and its frames, in words."""
        return f"{self.video_id} frames {self.first}..{self.stop - 1}"

    def load(self) -> tuple[list[NDArray[np.uint8]], NDArray[np.bool_]]:
        """Read the frames, and the masks of all tracks: (T, H, W, 3) and (T, K, H, W).

        Raises
        ------
        AnnotationError
            If the masks have another size than the frames, or frames are missing.
        """
        import numpy as np

        from evfr.errors import AnnotationError
        from evfr.video import open_video

        frames = []
        with open_video(self.path) as reader:
            for frame in reader:
                if frame.frame_index >= self.stop:
                    break
                if frame.frame_index >= self.first:
                    frames.append(frame.rgb())
        if len(frames) != self.stop - self.first:
            raise AnnotationError(
                f"{self.path}: only {len(frames)} of {self.name} decode, but all are labelled"
            )
        rows = [self.labels.labels_at(self.video_id, t) for t in range(self.first, self.stop)]
        tracks = sorted({int(track) for row in rows for track in row.track_ids})
        if len(tracks) > OBJECTS:
            raise AnnotationError(
                f"{self.name}: {len(tracks)} tracks, but the decoder takes {OBJECTS}; leave some labels out"
            )
        masks = np.zeros((len(frames), len(tracks), *frames[0].shape[:2]), np.bool_)
        for t, row in enumerate(rows):
            for track, mask in zip(row.track_ids.tolist(), row.masks, strict=True):
                if mask is None:
                    raise AnnotationError(
                        f"{self.video_id} frame {self.first + t}: track {track} has no mask"
                    )
                if (mask.height, mask.width) != masks.shape[2:]:
                    raise AnnotationError(
                        f"{self.video_id} frame {self.first + t}: the mask is {mask.width}x{mask.height}, the frame "
                        f"{masks.shape[3]}x{masks.shape[2]}"
                    )
                masks[t, tracks.index(track)] = mask.to_mask()
        return frames, masks


def labelled_clips(
    videos: Sequence[str | Path], labels: VideoAnnotations, *, least: int = 3
) -> Iterator[LabelledClip]:
    """Yield the runs of ``least`` to 65 consecutive labelled frames of each video.

    Raises
    ------
    AnnotationError
        If a video has no labels by its name, or none of them are consecutive.
    """
    import numpy as np

    from evfr.errors import AnnotationError

    for path in map(Path, videos):
        names = {str(path), path.name, path.stem}
        found = [video for video in labels.videos if video.video_id in names]
        if len(found) != 1:
            known = ", ".join(video.video_id for video in labels.videos[:5])
            raise AnnotationError(
                f"{path}: {len(found)} videos of the labels are called {path.name} or {path.stem}; there are {known}"
            )
        index = found[0].frame_index
        starts = np.flatnonzero(np.diff(index, prepend=-2) != 1)
        runs = zip(starts.tolist(), [*starts[1:].tolist(), len(index)], strict=True)
        count = 0
        for begin, end in runs:
            for at in range(begin, end, LONGEST):
                stop = min(at + LONGEST, end)
                if stop - at >= least:
                    count += 1
                    yield LabelledClip(
                        path, found[0].video_id, int(index[at]), int(index[stop - 1]) + 1, labels
                    )
        if not count:
            raise AnnotationError(
                f"{path}: no {least} consecutive frames are labelled; a decoder is trained on labels of every frame"
            )

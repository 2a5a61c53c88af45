"""`evfr overlay`: a video with its labels drawn on it, to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations
    from evfr._core.types import FrameTable, Problem

__all__ = ["OverlayResult", "overlay"]


@dataclass(frozen=True, slots=True)
class OverlayResult:
    """Hold what `overlay` wrote.

    Attributes
    ----------
    out : Path
        The clip, or the folder of images.
    video_id : str
        The video.
    frame_count : int
        Frames that were drawn.
    labelled_count : int
        Those of them that have an annotation.
    object_count : int
        Objects drawn, over all frames.
    low_trust_count : int
        Those of them below LOW_TRUST.
    problems : tuple of Problem
        Of the video.
    """

    out: Path
    video_id: str
    frame_count: int
    labelled_count: int
    object_count: int
    low_trust_count: int
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {
            "out": str(self.out),
            "video_id": self.video_id,
            "frames": self.frame_count,
            "labelled": self.labelled_count,
            "objects": self.object_count,
            "low_trust": self.low_trust_count,
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def __str__(self) -> str:
        low = f", {self.low_trust_count} of low trust" if self.low_trust_count else ""
        return f"wrote {self.out}: {self.frame_count} frames, {self.object_count} objects{low}"


def overlay(
    video: str | Path,
    *,
    labels: str | Path | VideoAnnotations,
    out: Path,
    label_format: str = "auto",
    label_options: Mapping[str, int | float | str] | None = None,
    label_video: str | None = None,
    label_names: Literal["index", "extract", "pictures", "pts"] = "index",
    label_scale: float | None = None,
    low_trust: float = 0.5,
    labeled_only: bool = False,
    names: bool = True,
    caption: bool = True,
    image_format: Literal["jpg", "png"] = "jpg",
    quality: int = 92,
    crf: int = 20,
    damaged: Literal["drop", "keep", "fail"] = "drop",
    store: Path | None = None,
    executor: Literal["serial", "processes", "ray"] = "processes",
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
) -> OverlayResult:
    """Draw labels on a video: one colour a track, outlined where people labelled, filled where it was carried.

    Objects of low trust are outlined in dashed red. The clip keeps the times of the frames, also uneven ones.

    Parameters
    ----------
    video : path
        The video file, or a folder or zip of images.
    labels : path or VideoAnnotations
        Its labels, in any format of ``evfr.annotations``, for example what ``evfr propagate`` wrote.
    out : Path
        ``clip.mp4`` (H.264), or a new folder for images; it must not be there yet.
    label_format : str
        Format of the labels; ``auto`` tells it from ending and content, and is an error where that is not certain.
    label_options : mapping or None
        Keywords of that format's reader, for example how files are numbered.
    label_video : str or None
        Which video of the label file this is; None where it has only one, or one with the same bytes or name.
    label_names : {"index", "extract", "pictures", "pts"}
        How a labelled frame is found in the video: by its number; by file names as ``evfr extract`` writes them; by
        the names of the pictures of an image folder; by its time stamp.
    label_scale : float or None
        Factor from the labels' pixels to the video's, where they were made on pictures of another size.
    low_trust : float
        Trust in [0, 1] below which an object is marked.
    labeled_only : bool
        Draw annotated frames only, and leave the others out.
    names : bool
        Write track, category and trust beside each object.
    caption : bool
        Write frame, time and who labelled in the top left corner.
    image_format : {"jpg", "png"}
        For a folder of images.
    quality : int
        JPEG quality, 1 to 100.
    crf : int
        Quality of the clip: 0 (no loss) to 51, lower is better and larger.

    Returns
    -------
    OverlayResult
        Where it is, and what was drawn.

    Other Parameters
    ----------------
    damaged : {"drop", "keep", "fail"}
        What to do with damage: all but ``fail`` draw every frame that decodes.
    store : Path or None
        Where measurements are kept; None is the user's cache folder, or ``EVFR_STORE``.
    executor : {"serial", "processes", "ray"}
        Where the video is measured first.
    memory_limit_mb : int or None
        Memory limit of that child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give the video up when it makes no progress for this long; None waits for ever.
    allow_remote : sequence of str
        Read remote files below these prefixes, for example ``s3://bucket/folder``; without it none is read.

    Raises
    ------
    InputError
        If OUT is there already, or its ending is unknown.
    VideoError
        If the video cannot be used.
    AnnotationError
        If the labels cannot be read, are none, or do not fit the video: another size, frames that it does not have.
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import evfr
    >>> evfr.overlay("drive.mp4", labels="all.parquet", out="look.mp4")  # doctest: +SKIP
    """
    import numpy as np

    from evfr._core.atomic import refuse_remote
    from evfr._core.progress import current_progress
    from evfr.errors import AnnotationError
    from evfr.reports import draw_labels
    from evfr.verbs._labels import fit_labels
    from evfr.verbs._measure import measure_one
    from evfr.video import open_video

    out = Path(out)
    refuse_remote(out)
    _check(out, low_trust, quality, crf)
    measured, table, _ = measure_one(
        video,
        damaged=damaged,
        store=store,
        executor=executor,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
        allow_remote=allow_remote,
    )
    name = measured.source.video_id
    given = fit_labels(
        labels,
        measured,
        label_format=label_format,
        label_options=label_options or {},
        label_video=label_video,
        label_names=label_names,
        label_scale=label_scale,
    )
    if not len(given.videos[0].frame_index):
        raise AnnotationError(f"the labels have no annotated frame of {name}; there is nothing to draw")
    annotated = set(given.videos[0].frame_index.tolist())
    progress = current_progress()
    progress.start("drawing", len(annotated) if labeled_only else int(table.is_decoded.sum()))
    frames = drawn = low = 0
    with (
        _sink(out, table, name, image_format, quality, crf) as sink,
        open_video(measured.source.path, damaged=damaged) as reader,
    ):
        for frame in reader:
            index = frame.frame_index
            if labeled_only and index not in annotated:
                continue
            rows = given.rows_at(name, index) if index in annotated else np.zeros(0, np.int64)
            text = _caption(given, rows, index, frame.time_seconds, index in annotated) if caption else ""
            picture = draw_labels(
                _sized(frame.rgb(), table), given, rows, low_trust=low_trust, has_names=names, caption=text
            )
            sink.add(index, frame.time_seconds, int(frame.pts), picture)
            frames, drawn = frames + 1, drawn + len(rows)
            low += int((given.trust[rows] < low_trust).sum())
            progress.advance(1, name)
    progress.finish()
    shown = len(annotated & set(np.flatnonzero(table.is_decoded).tolist()))
    return OverlayResult(out, name, frames, shown, drawn, low, tuple(measured.problems))


def _check(out: Path, low_trust: float, quality: int, crf: int) -> None:
    from evfr.errors import InputError

    if not 0 <= low_trust <= 1:
        raise ValueError(f"low_trust must lie in 0..1, got {low_trust}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must lie in 1..100, got {quality}")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must lie in 0..51, got {crf}")
    if out.suffix.lower() not in ("", ".mp4"):
        raise InputError(
            f"{out}: give a name that ends in .mp4 for a clip, or a folder without ending for images"
        )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} is there already; give a new name, or remove it first")
    if out.is_dir() and out.suffix:
        raise InputError(f"{out} is a folder; give a file name for the clip")


def _caption(
    labels: VideoAnnotations, rows: NDArray[np.int64], index: int, seconds: float, is_annotated: bool
) -> str:
    from evfr._core.annotations import SOURCES

    minutes, rest = divmod(max(seconds, 0.0), 60)
    text = f"frame {index}  {int(minutes)}:{rest:05.2f}"
    if not is_annotated:
        return text + "  no label"
    kinds = [SOURCES[kind] for kind in sorted({int(labels.source[row]) for row in rows})]
    trust = labels.trust[rows][labels.source[rows] != SOURCES.index("human")]
    trust = trust[trust == trust]
    told = " + ".join("labelled" if kind == "human" else kind for kind in kinds) or "labelled: nothing here"
    return f"{text}  {told}" + (f"  least trust {trust.min():.2f}" if len(trust) else "")


def _sized(picture: NDArray[np.uint8], table: FrameTable) -> NDArray[np.uint8]:
    """Return the picture at the size that labels have: a stream may change its size in mid-course."""
    import cv2
    import numpy as np

    if picture.shape[:2] == (table.height, table.width):
        return picture
    return np.asarray(
        cv2.resize(picture, (table.width, table.height), interpolation=cv2.INTER_AREA), np.uint8
    )


class _Sink(Protocol):
    def add(self, index: int, seconds: float, pts: int, picture: NDArray[np.uint8]) -> None:
        """Take one drawn frame."""


@contextmanager
def _sink(
    out: Path, table: FrameTable, name: str, image_format: str, quality: int, crf: int
) -> Iterator[_Sink]:
    """Open what takes the pictures; a clip appears whole or not at all."""
    from evfr.verbs._overlay_sinks import ClipSink, FolderSink

    if not out.suffix:
        yield FolderSink(out, name, table, image_format, quality)
        return
    clip = ClipSink(out, table, crf)
    try:
        yield clip
        clip.finish()
    finally:
        clip.discard()

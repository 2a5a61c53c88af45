"""`evfr split`: which labelled frames are learnt from and which are judged on, without leaks between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._split_audit import SplitAudit
from evfr.verbs._split_looks import LookAudit, NearPair
from evfr.verbs._split_value import Split, parse_buffer, read_split

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations

__all__ = ["LookAudit", "NearPair", "SideCounts", "Split", "SplitAudit", "SplitResult", "read_split", "split"]


@dataclass(frozen=True, slots=True)
class SideCounts:
    """Count what is on one side of a split.

    Attributes
    ----------
    videos : int
        Videos with a frame there.
    frames : int
        Labelled frames.
    objects : tuple of int
        Objects of each class, crowds left out.
    """

    videos: int
    frames: int
    objects: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {item.name: getattr(self, item.name) for item in fields(self)} | {
            "objects": list(self.objects)
        }


@dataclass(frozen=True, slots=True)
class SplitResult:
    """Hold a split and what is known of it.

    Attributes
    ----------
    split : Split
        The two sides, and what was dropped between them.
    classes : tuple of str
        Names of the classes that are counted.
    train, val, dropped : SideCounts
        What is on each side.
    whole : tuple of str
        Videos too short for a block and a buffer: in train as a whole.
    audit : SplitAudit or None
        How near the sides are, where that was asked.
    out : Path or None
        Where the split was written.
    """

    split: Split
    classes: tuple[str, ...]
    train: SideCounts
    val: SideCounts
    dropped: SideCounts
    whole: tuple[str, ...]
    audit: SplitAudit | None
    out: Path | None

    @property
    def missing_classes(self) -> tuple[str, ...]:
        """Classes without an object in train or in val: they are not learnt, or not judged."""
        counts = zip(self.classes, self.train.objects, self.val.objects, strict=True)
        return tuple(name for name, learnt, judged in counts if not (learnt and judged))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "split": self.split.to_dict(),
            "classes": list(self.classes),
            "train": self.train.to_dict(),
            "val": self.val.to_dict(),
            "dropped": self.dropped.to_dict(),
            "whole": list(self.whole),
            "missing_classes": list(self.missing_classes),
            "audit": None if self.audit is None else self.audit.to_dict(),
            "out": None if self.out is None else str(self.out),
        }

    def __str__(self) -> str:
        wide = max(len("labelled frames"), *(len(name) for name in self.classes), 0)
        rows = [
            ("labelled frames", self.train.frames, self.val.frames, self.dropped.frames),
            *zip(self.classes, self.train.objects, self.val.objects, self.dropped.objects, strict=True),
        ]
        lines = [
            f"{'':{wide}}  {'train':>8}  {'val':>8}  {'dropped':>8}  val share",
            # A video may be on several sides, so its share says nothing.
            f"{'videos':{wide}}  {self.train.videos:8d}  {self.val.videos:8d}  {self.dropped.videos:8d}",
        ]
        for name, train, val, dropped in rows:
            share = f"{val / (train + val):9.1%}" if train + val else f"{'':9}"
            lines.append(f"{name:{wide}}  {train:8d}  {val:8d}  {dropped:8d}  {share}")
        if self.missing_classes:
            lines.append(f"on one side only, so not learnt or not judged: {', '.join(self.missing_classes)}")
        if self.whole:
            lines.append(
                f"{len(self.whole)} videos are too short for a block and a buffer, and are in train as a whole: "
                f"{', '.join(self.whole[:5])}"
            )
        if self.audit is not None:
            lines.append(str(self.audit))
        if self.out is not None:
            lines.append(f"wrote {self.out}")
        return "\n".join(lines)


def split(
    labels: str | Path | VideoAnnotations,
    *,
    val: float = 0.2,
    by: Literal["video", "time", "frame"] = "video",
    buffer: str = "5s",
    blocks: int = 1,
    fps: float | None = None,
    audit: bool = False,
    videos: Sequence[str | Path] = (),
    pictures: str | None = None,
    vectors: Path | None = None,
    distance: float | None = None,
    pairs: int = 5,
    seed: int = 0,
    from_: Path | None = None,
    out: Path | None = None,
    label_format: str = "auto",
    label_options: Mapping[str, int | float | str] | None = None,
    category_map: str | Path | None = None,
) -> SplitResult:
    """Split labelled frames into train and val so that nothing judged has been as good as learnt, or audit a split.

    Neighbouring frames are nearly the same picture: a split of single frames at random measures memory. Whole videos go
    to a side, or blocks of time with a buffer that is on neither.

    Parameters
    ----------
    labels : path or VideoAnnotations
        Labels in any format of ``evfr.annotations``.
    val : float
        Share of the labelled frames that is wanted in val, between 0 and 1.
    by : {"video", "time", "frame"}
        Whole videos, chosen so that frames and classes are shared out; blocks of time of each video; or single frames
        at random, which is there to see what an audit says of it.
    buffer : str
        What lies between the sides of one video by ``time``, and what counts as near in an audit: ``5s`` or ``150f``.
    blocks : int
        Blocks of val in each video, by ``time``.
    fps : float or None
        Frames per second, for a buffer in seconds where neither labels nor videos say when frames are.
    audit : bool
        Say what share of the val frames lies within the buffer of a train frame of the same video, and, with
        ``videos`` or ``vectors``, what share looks like a train frame of any video.
    videos : sequence of path
        The labelled videos: video files, folders or zips of images, or folders of those.
    pictures : str or None
        The folder inside zips that holds the pictures, where there are several.
    vectors : Path or None
        Take embeddings from this store of ``evfr embed`` for the audit, not thumbnails of the videos.
    distance : float or None
        Cosine distance up to which two frames look alike; None takes the median from one labelled frame to the next of
        its video.
    pairs : int
        How many pairs that look alike to list.
    seed : int
        Of everything drawn.
    from_ : Path or None
        Audit and count this split, instead of making one.
    out : Path or None
        Write the split to this file.
    label_format : str
        Format of the labels; ``auto`` tells it from ending and content.
    label_options : mapping or None
        Options of the format's reader, such as ``width=1920``.
    category_map : path, str or None
        Join classes first: a file, or the name of a published map.

    Returns
    -------
    SplitResult
        The split, counts and audit.

    Raises
    ------
    AnnotationError
        If the labels cannot be read, or do not fit the videos.
    InputError
        If a split cannot be made or read, or nothing says at what times frames lie.
    ValueError
        If an argument is out of range.

    Notes
    -----
    Labels that nothing is seen on are frames as well. Frames that are not labelled are on no side.

    Examples
    --------
    >>> import evfr.verbs.split
    >>> evfr.verbs.split.split("labels.json", by="time", buffer="150f", audit=True)  # doctest: +SKIP
    """
    from evfr._core.atomic import refuse_remote
    from evfr.verbs._labelled_clips import read_label_file
    from evfr.verbs._split_audit import audit_in_time, frame_times
    from evfr.verbs._split_looks import audit_looks
    from evfr.verbs._split_make import by_frame, by_time, by_video, labelled_frames

    _check(val, by, buffer, blocks, fps, distance, pairs)
    if vectors is not None and not audit:
        raise ValueError("vectors are compared in an audit; ask for the audit, or leave vectors out")
    if out is not None:
        refuse_remote(Path(out))
    found = read_label_file(labels, label_format, label_options, category_map)
    classes, counted = labelled_frames(found)
    whole: tuple[str, ...] = ()
    if from_ is not None:
        made = read_split(from_)
    elif by == "video":
        made = by_video(counted, val, buffer=buffer, seed=seed)
    elif by == "frame":
        made = by_frame(counted, val, buffer=buffer, seed=seed)
    else:
        names = [video.video_id for video in counted]
        times = frame_times(found, names, buffer=buffer, fps=fps, videos=videos)
        made, whole = by_time(
            counted, times, val, buffer=buffer, distance=parse_buffer(buffer)[0], blocks=blocks, seed=seed
        )
    said = None
    if audit:
        times = frame_times(found, made.shared, buffer=buffer, fps=fps, videos=videos)
        said = audit_in_time(made, found, times, buffer)
        if videos or vectors is not None:
            looks = audit_looks(
                made,
                found,
                videos=videos,
                pictures=pictures,
                vectors=vectors,
                distance=distance,
                pairs=pairs,
            )
            said = SplitAudit(said.buffer, said.frames, said.near, looks)
    train, held, dropped = (_count(made, found, side, classes) for side in ("train", "val", "dropped"))
    if out is not None:
        made.write(out)
    return SplitResult(made, classes, train, held, dropped, whole, said, None if out is None else Path(out))


def _check(
    val: float,
    by: str,
    buffer: str,
    blocks: int,
    fps: float | None,
    distance: float | None,
    pairs: int,
) -> None:
    import math

    if not 0 < val < 1:
        raise ValueError(f"val must be a share between 0 and 1, got {val}")
    if by not in ("video", "time", "frame"):
        raise ValueError(f"by must be video, time or frame, got {by!r}")
    parse_buffer(buffer)
    if blocks < 1:
        raise ValueError(f"blocks must be 1 or more, got {blocks}")
    if fps is not None and not 0 < fps < math.inf:
        raise ValueError(f"fps must be positive and finite, got {fps}")
    if distance is not None and not 0 <= distance <= 2:
        raise ValueError(f"distance must be a cosine distance, 0 to 2, got {distance}")
    if pairs < 0:
        raise ValueError(f"pairs must be 0 or more, got {pairs}")


def _count(made: Split, labels: VideoAnnotations, side: Any, classes: tuple[str, ...]) -> SideCounts:
    import numpy as np

    frames = made.frames(labels, side)
    names = {item.category_id: item.name for item in labels.categories}
    rows = {video.video_id: row for row, video in enumerate(labels.videos)}
    objects = dict.fromkeys(classes, 0)
    for name, index in frames.items():
        first, stop = np.searchsorted(labels.video_row, [rows[name], rows[name] + 1])
        is_there = np.isin(labels.frame_index[first:stop], index) & ~labels.is_crowd[first:stop]
        found = np.unique(labels.category_id[first:stop][is_there], return_counts=True)
        for number, count in zip(*found, strict=True):
            objects[names[int(number)]] += int(count)
    held = [index for index in frames.values() if len(index)]
    return SideCounts(len(held), sum(map(len, held)), tuple(objects.values()))

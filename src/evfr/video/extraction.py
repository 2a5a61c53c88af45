"""Hand out exactly the frames asked for, by decoding as little as possible, and never a wrong one.

A frame's identity is its row in the `FrameTable` of an earlier pass: index, integer pts and the hash of its luma
plane. Whatever way a picture was reached, it is handed out only if it is that row's picture; otherwise extraction
starts further back, then decodes from the first frame on, and then says that the file has changed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr.errors import ExtractionError, VideoError
from evfr.video._container import DEFAULT_MAX_PIXELS, open_container, printable, video_streams
from evfr.video._frames import Frame, orientation_of
from evfr.video._images import ImageFrame, ImageReader
from evfr.video._inputs import kind_of
from evfr.video._luma import rgb_of
from evfr.video._open import open_video
from evfr.video._plan import ExtractionPlan, Segment, key_frames, plan_images, plan_segments
from evfr.video._runs import Mismatch, RunDecoder, can_skip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from av.video.frame import VideoFrame as AvFrame

    from evfr._core.types import FrameTable

__all__ = ["ExtractionPlan", "extract_frames", "plan_extraction"]

PlanName = Literal["auto", "seek", "sequential"]


def plan_extraction(
    path: str | Path,
    frame_indices: Sequence[int],
    table: FrameTable,
    *,
    plan: PlanName = "auto",
) -> ExtractionPlan:
    """Say how `extract_frames` would go about it, and at what price; decodes nothing (ours).

    Parameters
    ----------
    path : str or Path
        A video file, or a folder or zip of images.
    frame_indices : sequence of int
        Wanted frames, strictly increasing, each in [0, N).
    table : FrameTable
        Identity of the N frames, from an earlier pass (`scan`, or a reader's `table`).
    plan : {"auto", "seek", "sequential"}
        Force a strategy, or take the cheaper.

    Returns
    -------
    ExtractionPlan
        The strategy, the number of seeks and of frames to decode, and the time relative to a sequential pass.

    Raises
    ------
    ValueError
        If the indices are not strictly increasing or out of range, or ``plan`` is unknown.
    VideoError
        If the file cannot be opened.
    """
    indices = _checked(frame_indices, table, plan)
    return _plan(path, indices, table, plan)


def extract_frames(
    path: str | Path,
    frame_indices: Sequence[int],
    table: FrameTable,
    *,
    threads: int = 1,
    plan: PlanName = "auto",
    damaged: Literal["drop", "keep", "fail"] = "keep",
) -> Iterator[Frame]:
    """Yield exactly the frames asked for, pixels equal to those of a sequential pass (ours).

    Parameters
    ----------
    path : str or Path
        A video file, or a folder or zip of images: the one that ``table`` was made from.
    frame_indices : sequence of int
        Wanted frames, strictly increasing, each in [0, N).
    table : FrameTable
        Identity of the N frames, from an earlier pass (`scan`, or a reader's `table`).
    threads : int
        Decoder threads, 1 or more.
    plan : {"auto", "seek", "sequential"}
        Force a strategy, or take the cheaper. The frames are the same.
    damaged : {"drop", "keep", "fail"}
        Whether to hand out frames that damage may have reached: as they decode (``"keep"``), or not at all.

    Yields
    ------
    Frame
        In the order asked for; the image is upright RGB at full resolution.

    Raises
    ------
    ValueError
        If the indices are not strictly increasing or out of range, or an option is unknown.
    ExtractionError
        If a wanted frame did not decode in the earlier pass or is refused as damaged, or if the file no longer
        holds the frame that the table describes.
    VideoError
        If the file cannot be opened.

    Notes
    -----
    A frame is decoded from the last key frame before it. Pictures that no other refers to are left out where the
    codec's standard proves that safe (H.264, MPEG-1, -2, MPEG-4 ASP, HEVC of one temporal layer). Packets are
    matched to rows by their pts where each row has its own, otherwise by counting both, never by the hash alone:
    still video repeats hashes. The hash then proves every frame before it is handed out.
    """
    indices = _checked(frame_indices, table, plan)
    if damaged not in ("drop", "keep", "fail"):
        raise ValueError(f'damaged must be "drop", "keep" or "fail", got {damaged!r}')
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    _refuse_damaged(path, indices, table, damaged)
    return _extract(path, indices, table, threads, plan)


def _extract(
    path: str | Path, indices: tuple[int, ...], table: FrameTable, threads: int, plan: PlanName
) -> Iterator[Frame]:
    chosen = _plan(path, indices, table, plan)
    if chosen.strategy == "images":
        yield from _from_images(path, indices, table)
        return
    done = 0
    is_plain = chosen.strategy == "sequential"
    for index, picture in _from_runs(path, chosen.segments, table, threads, is_careful=is_plain):
        done += 1
        yield _frame(picture, index, table)
    if done < len(indices):
        yield from _from_pass(path, indices[done:], table, threads)


def _checked(frame_indices: Iterable[int], table: FrameTable, plan: str) -> tuple[int, ...]:
    if plan not in ("auto", "seek", "sequential"):
        raise ValueError(f'plan must be "auto", "seek" or "sequential", got {plan!r}')
    indices = tuple(int(index) for index in frame_indices)
    for before, after in pairwise(indices):
        if after <= before:
            raise ValueError(
                f"frame_indices must be strictly increasing, got {before} then {after}; sort them"
            )
    for index in (*indices[:1], *indices[-1:]):
        if not 0 <= index < len(table):
            raise ValueError(f"frame_indices must be in [0, {len(table)}), got {index}")
    return indices


def _refuse_damaged(path: str | Path, indices: tuple[int, ...], table: FrameTable, damaged: str) -> None:
    wanted = np.array(indices, np.int64)
    missing = wanted[~table.is_decoded[wanted]]
    if len(missing):
        raise ExtractionError(
            f"{printable(path)}: frame {missing[0]} does not decode, so it has no pixels; choose another"
        )
    suspect = wanted[table.is_suspect[wanted]]
    if damaged != "keep" and len(suspect):
        raise ExtractionError(
            f"{printable(path)}: damage may have reached frame {suspect[0]}; choose another, or pass damaged='keep'"
        )


def _plan(path: str | Path, indices: tuple[int, ...], table: FrameTable, plan: PlanName) -> ExtractionPlan:
    if kind_of(path) != "file":
        return plan_images(indices)
    with open_container(path) as container:
        streams = video_streams(container)
        skips = bool(streams) and streams[0].codec_context is not None and can_skip(streams[0])
    return plan_segments(indices, table, can_skip=skips, plan=plan)


def _from_runs(
    path: str | Path, segments: tuple[Segment, ...], table: FrameTable, threads: int, *, is_careful: bool
) -> Iterator[tuple[int, AvFrame]]:
    """Yield wanted pictures run by run; stop early, without an error, where the runs cannot be trusted."""
    keys = key_frames(table)
    try:
        with RunDecoder(path, table, threads=threads) as decoder:
            for segment in segments:
                left = segment.wanted
                try:
                    for index, picture in decoder.frames(segment, is_careful=is_careful):
                        left = left[1:]
                        yield index, picture
                except Mismatch:
                    if segment.start < 0 and is_careful:
                        return
                    is_careful = True
                    earlier = int(np.searchsorted(keys, segment.start)) - 1
                    again = Segment(int(keys[earlier]) if earlier >= 0 else -1, left)
                    yield from decoder.frames(again, is_careful=True)
    except Mismatch:
        return


def _from_pass(
    path: str | Path, indices: tuple[int, ...], table: FrameTable, threads: int
) -> Iterator[Frame]:
    """Yield wanted frames of one sequential pass, each compared with its row."""
    wanted = iter(indices)
    index = next(wanted)
    with open_video(path, damaged="keep", threads=threads) as reader:
        for frame in reader:
            if frame.frame_index < index:
                continue
            if frame.frame_index > index:
                break
            if frame.pts != int(table.pts[index]) or frame.luma_hash != int(table.luma_hash[index]):
                raise _changed(path, index, "has another time stamp or other pixels than its row says")
            yield Frame(index, frame.pts, table.time_base, float(table.time_seconds[index]), frame.rgb())
            following = next(wanted, None)
            if following is None:
                return
            index = following
    raise _changed(path, index, "is not there")


def _from_images(path: str | Path, indices: tuple[int, ...], table: FrameTable) -> Iterator[Frame]:
    """Yield wanted images, each compared with its row."""
    kind: Literal["images", "archive"] = "images" if kind_of(path) == "images" else "archive"
    with ImageReader(path, kind=kind, damaged="keep", max_pixels=DEFAULT_MAX_PIXELS) as reader:
        for index in indices:
            if index >= len(reader.image_names()):
                raise _changed(path, index, "is not there")
            try:
                image = reader.read(index)
            except VideoError as error:
                raise _changed(path, index, "cannot be read any more") from error
            seconds = float(table.time_seconds[index])
            frame = ImageFrame(image, frame_index=index, time_seconds=seconds)
            if frame.luma_hash != int(table.luma_hash[index]):
                raise _changed(path, index, "has other pixels than its row says")
            yield Frame(index, int(table.pts[index]), table.time_base, seconds, image)


def _changed(path: str | Path, index: int, what: str) -> ExtractionError:
    return ExtractionError(
        f"{printable(path)}: frame {index} {what}; the file has changed since it was scored: run `evfr select` again"
    )


def _frame(picture: AvFrame, index: int, table: FrameTable) -> Frame:
    image = orientation_of(picture).apply(rgb_of(picture))
    return Frame(index, int(table.pts[index]), table.time_base, float(table.time_seconds[index]), image)

"""Make a frame table that is good enough to extract frames that are already known, without decoding."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.types import PTS_NONE, FrameTable
from evfr.errors import ExtractionError
from evfr.video._container import DEFAULT_MAX_PIXELS, open_container, printable, video_streams
from evfr.video._images import IMAGE_RATE, ImageReader
from evfr.video._inputs import kind_of
from evfr.video._open import scan

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["known_frames_table"]


def known_frames_table(
    path: str | Path,
    frame_indices: NDArray[np.int64],
    pts: NDArray[np.int64],
    luma_hash: NDArray[np.uint64],
    *,
    table: FrameTable | None = None,
) -> FrameTable:
    """Make a table that `extract_frames` can fetch known frames with, by reading packets alone (ours).

    Parameters
    ----------
    path : str or Path
        A video file, or a folder or zip of images.
    frame_indices : (n,) int64
        The frames that are known, for example the rows of a selection.
    pts : (n,) int64
        Their time stamps, `PTS_NONE` where there is none.
    luma_hash : (n,) uint64
        Their hashes.
    table : FrameTable or None
        A table from an earlier pass, where there is one; then nothing is read.

    Returns
    -------
    FrameTable
        Complete in length, pts and key frames; hashes are 0 except for the known frames. Where time stamps do not
        place every known frame, the video is decoded once and the table is complete.

    Raises
    ------
    ExtractionError
        If the video has fewer frames than are known: it has changed.
    VideoError
        If the video cannot be used.
    """
    kind = kind_of(path)
    if table is not None:
        pass
    elif kind != "file":
        with ImageReader(path, kind=kind, damaged="keep", max_pixels=DEFAULT_MAX_PIXELS) as reader:
            count = len(reader.image_names())
        stamps = np.full(count, PTS_NONE, np.int64)
        table = _bare(stamps, np.ones(count, np.bool_), 1 / IMAGE_RATE, (0, 0))
    else:
        table = _from_packets(path, frame_indices, pts) or scan(path, damaged="keep")[0]
    if len(frame_indices) and int(frame_indices.max()) >= len(table):
        raise ExtractionError(
            f"{printable(path)}: frame {int(frame_indices.max())} is not there, the video has {len(table)}; the file "
            "has changed since it was measured: run `evfr select` again, or restore the file"
        )
    # What is known has the last word: a picture that differs from it is never handed out.
    hashes, stamps = table.luma_hash.copy(), table.pts.copy()
    hashes[frame_indices] = luma_hash
    stamps[frame_indices] = pts
    return replace(table, luma_hash=hashes, pts=stamps)


def _from_packets(
    path: str | Path, frame_indices: NDArray[np.int64], pts: NDArray[np.int64]
) -> FrameTable | None:
    """Order the shown packets by pts; None if that does not put every known frame in its place."""
    stamps: list[int] = []
    keys: list[bool] = []
    with open_container(path) as container:
        streams = video_streams(container)
        if not streams or streams[0].codec_context is None:
            return None
        stream = streams[0]
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.pts is None:
                return None
            stamps.append(packet.pts)
            keys.append(packet.is_keyframe)
        size = (stream.codec_context.width, stream.codec_context.height)
        time_base = stream.time_base or Fraction(1)
    order = np.argsort(np.array(stamps, np.int64), kind="stable")
    sorted_stamps = np.array(stamps, np.int64)[order]
    if bool((np.diff(sorted_stamps) == 0).any()) or not len(sorted_stamps):
        return None
    if len(frame_indices) and int(frame_indices.max()) >= len(sorted_stamps):
        return None
    if not np.array_equal(sorted_stamps[frame_indices], pts):
        return None
    return _bare(sorted_stamps, np.array(keys, np.bool_)[order], time_base, size)


def _bare(
    pts: NDArray[np.int64], is_iframe: NDArray[np.bool_], time_base: Fraction, size: tuple[int, int]
) -> FrameTable:
    count = len(pts)
    has_times = count > 0 and pts[0] != PTS_NONE
    ticks = pts - pts[0] if has_times else np.arange(count)
    return FrameTable(
        pts=pts,
        time_base=time_base,
        time_seconds=ticks.astype(np.float64) * float(time_base),
        picture_type=np.full(count, b"?", "S1"),
        is_iframe=is_iframe,
        luma_hash=np.zeros(count, np.uint64),
        is_suspect=np.zeros(count, np.bool_),
        is_decoded=np.ones(count, np.bool_),
        is_time_estimated=not has_times,
        width=size[0],
        height=size[1],
    )

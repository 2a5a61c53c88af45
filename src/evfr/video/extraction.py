"""Hand out exactly the frames asked for, by decoding as little as possible, and never a wrong one.

A frame's identity is its row in the `FrameTable` of an earlier pass: index, integer pts and the hash of its luma
plane. Whatever way a picture was reached, it is handed out only if it is that row's picture; otherwise extraction
starts further back, then decodes from the first frame on, and then says that the file has changed.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr.errors import ExtractionError, VideoError
from evfr.video._container import DEFAULT_MAX_PIXELS, printable
from evfr.video._frames import Frame, Orientation, orientation_of
from evfr.video._images import ImageFrame, ImageReader
from evfr.video._inputs import kind_of
from evfr.video._luma import rgb_of
from evfr.video._open import open_video
from evfr.video._plan import ExtractionPlan, Segment, group, key_frames, plan_images, plan_segments
from evfr.video._runs import RunDecoder
from evfr.video._sieve import Mismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from av.video.frame import VideoFrame as AvFrame
    from numpy.typing import NDArray

    from evfr._core.types import FrameTable
    from evfr.video._reader import DamagedPolicy

__all__ = ["ExtractionPlan", "FrameExtractor", "extract_frames", "plan_extraction"]

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
    with FrameExtractor(path, table) as extractor:
        return extractor.plan(frame_indices, plan=plan)


def extract_frames(
    path: str | Path,
    frame_indices: Sequence[int],
    table: FrameTable,
    *,
    threads: int = 1,
    plan: PlanName = "auto",
    damaged: DamagedPolicy = "keep",
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
    extractor = FrameExtractor(path, table, threads=threads)
    frames = extractor.frames(frame_indices, plan=plan, damaged=damaged)
    return _closing(extractor, frames)


def _closing(extractor: FrameExtractor, frames: Iterator[Frame]) -> Iterator[Frame]:
    with extractor:
        yield from frames


class FrameExtractor:
    """Keep one video open for exact access in any order (ours).

    `extract_frames` makes one for a single call; a data loader keeps it from sample to sample.

    Parameters
    ----------
    path : str or Path
        A video file, or a folder or zip of images.
    table : FrameTable
        Identity of its frames.
    threads : int
        Decoder threads, 1 or more.

    Raises
    ------
    ValueError
        If ``threads`` is less than 1.
    """

    def __init__(self, path: str | Path, table: FrameTable, *, threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads}")
        self._path = path
        self._table = table
        self._threads = threads
        self._decoder: RunDecoder | None = None
        self._images: ImageReader | None = None
        self._keys = key_frames(table)

    def __enter__(self) -> FrameExtractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the video; the next call of `frames` opens it again."""
        if self._decoder is not None:
            self._decoder.close()
        if self._images is not None:
            self._images.close()
        self._decoder = self._images = None

    def plan(self, frame_indices: Iterable[int], *, plan: PlanName = "auto") -> ExtractionPlan:
        """Say how `frames` would go about it; see `plan_extraction`."""
        indices = _checked(frame_indices, self._table, plan)
        self._open()
        if self._images is not None:
            return plan_images(indices)
        can_skip = self._decoder is not None and self._decoder.can_skip
        return plan_segments(indices, self._table, can_skip=can_skip, plan=plan)

    def frames(
        self, frame_indices: Iterable[int], *, plan: PlanName = "auto", damaged: DamagedPolicy = "keep"
    ) -> Iterator[Frame]:
        """Yield exactly the frames asked for; see `extract_frames`. A new call ends the iterator before it."""
        indices = _checked(frame_indices, self._table, plan)
        if damaged not in ("drop", "keep", "fail"):
            raise ValueError(f'damaged must be "drop", "keep" or "fail", got {damaged!r}')
        _refuse_damaged(self._path, indices, self._table, damaged)
        return self._frames(indices, plan)

    def _open(self) -> None:
        if self._decoder is not None or self._images is not None:
            return
        kind = kind_of(self._path)
        if kind != "file":
            self._images = ImageReader(self._path, kind=kind, damaged="keep", max_pixels=DEFAULT_MAX_PIXELS)
            return
        with suppress(Mismatch):
            self._decoder = RunDecoder(self._path, self._table, threads=self._threads)

    def _frames(self, indices: tuple[int, ...], plan: PlanName) -> Iterator[Frame]:
        self._open()
        if self._images is not None:
            yield from self._from_images(self._images, indices)
            return
        done = 0
        turn = Orientation()
        rotation: int | None = None
        if self._decoder is not None and indices:
            for index, picture in self._from_runs(self._decoder, *self._choice(indices, plan)):
                done += 1
                if picture.rotation != rotation:
                    rotation, turn = picture.rotation, orientation_of(picture)
                yield self._frame(index, turn.apply(rgb_of(picture)))
        if done < len(indices):
            yield from self._from_pass(indices[done:])

    def _choice(self, indices: tuple[int, ...], plan: PlanName) -> tuple[tuple[Segment, ...], bool]:
        """Return the segments, and whether they are one plain pass."""
        if plan == "seek":
            # No estimate is needed, so a single frame of a long video costs no walk over its table.
            return group(indices, self._keys, self._table), False
        chosen = self.plan(indices, plan=plan)
        return chosen.segments, chosen.strategy == "sequential"

    def _frame(self, index: int, image: NDArray[np.uint8]) -> Frame:
        table = self._table
        return Frame(index, int(table.pts[index]), table.time_base, float(table.time_seconds[index]), image)

    def _from_runs(
        self, decoder: RunDecoder, segments: tuple[Segment, ...], is_careful: bool
    ) -> Iterator[tuple[int, AvFrame]]:
        """Yield wanted pictures run by run; stop early, without an error, where the runs cannot be trusted."""
        for number, segment in enumerate(segments):
            left = segment.wanted
            try:
                for index, picture in decoder.frames(segment, is_careful=is_careful):
                    left = left[1:]
                    yield index, picture
                continue
            except Mismatch:
                if is_careful and segment.start < 0:
                    return
            is_careful = True
            earlier = int(np.searchsorted(self._keys, segment.start)) - 1
            again = Segment(int(self._keys[earlier]) if earlier >= 0 else -1, left)
            try:
                for index, picture in decoder.frames(again, is_careful=True):
                    left = left[1:]
                    yield index, picture
                continue
            except Mismatch:
                if again.start < 0:
                    return
            rest = (*left, *(index for later in segments[number + 1 :] for index in later.wanted))
            with suppress(Mismatch):
                yield from decoder.frames(Segment(-1, rest), is_careful=True)
            return

    def _from_pass(self, indices: tuple[int, ...]) -> Iterator[Frame]:
        """Yield wanted frames of one sequential pass, each compared with its row."""
        table, wanted = self._table, iter(indices)
        index = next(wanted)
        with open_video(self._path, damaged="keep") as reader:
            for frame in reader:
                if frame.frame_index < index:
                    continue
                if frame.frame_index > index:
                    break
                if frame.pts != int(table.pts[index]) or frame.luma_hash != int(table.luma_hash[index]):
                    raise self._changed(index, "has another time stamp or other pixels than its row says")
                yield self._frame(index, frame.rgb())
                following = next(wanted, None)
                if following is None:
                    return
                index = following
        raise self._changed(index, "is not there")

    def _from_images(self, reader: ImageReader, indices: tuple[int, ...]) -> Iterator[Frame]:
        """Yield wanted images, each compared with its row."""
        table = self._table
        for index in indices:
            if index >= len(reader.image_names()):
                raise self._changed(index, "is not there")
            try:
                image = reader.read(index)
            except VideoError as error:
                raise self._changed(index, "cannot be read any more") from error
            seconds = float(table.time_seconds[index])
            frame = ImageFrame(image, frame_index=index, time_seconds=seconds)
            if frame.luma_hash != int(table.luma_hash[index]):
                raise self._changed(index, "has other pixels than its row says")
            yield self._frame(index, image)

    def _changed(self, index: int, what: str) -> ExtractionError:
        return ExtractionError(
            f"{printable(self._path)}: frame {index} {what}; the file has changed since it was measured: "
            "run `evfr select` again, or restore the file"
        )


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

"""Read a video in one sequential pass, with the truth about every frame.

The demux loop is our own, and an error is caught packet by packet. Each packet carries its place in decoding order
to the frame it makes, so that it is known which packets made no frame and which frames damage may have reached.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from evfr._core.types import PTS_NONE, Problem
from evfr.errors import ProblemCode, VideoError
from evfr.video._bytes import raise_failure, size_of
from evfr.video._container import (
    DEFAULT_MAX_PIXELS,
    fail,
    open_container,
    prepare_decoder,
    video_streams,
)
from evfr.video._facts import Outcome, final_facts, pass_problems
from evfr.video._frames import Orientation, VideoFrame, orientation_of
from evfr.video._info import VideoInfo
from evfr.video._pass import Pass
from evfr.video._reader import VideoReader
from evfr.video._table import TableBuilder
from evfr.video._truncation import missing_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.video.stream import VideoStream

    from evfr.video._reader import DamagedPolicy

__all__ = ["FileReader"]


class FileReader(VideoReader):
    """One sequential pass over a video file."""

    def __init__(
        self,
        path: str | Path,
        *,
        damaged: DamagedPolicy = "drop",
        motion_vectors: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        super().__init__(path, damaged=damaged)
        self._motion_vectors = motion_vectors
        self._max_pixels = max_pixels
        self._open()
        self._info = self._static_info()

    # -- opening -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._container = open_container(self._path, max_pixels=self._max_pixels)
        try:
            self._stream = self._choose_stream()
            prepare_decoder(
                self._stream,
                motion_vectors=self._motion_vectors,
                max_pixels=self._max_pixels,
            )
            self._stream.codec_context.copy_opaque = True
            try:
                self._stream.codec_context.open()
            except (av.FFmpegError, ValueError) as error:
                raise fail(
                    ProblemCode.E_CODEC,
                    f"the {self._stream.codec_context.name} decoder does not open; convert the video",
                    self._path,
                ) from error
        except BaseException:
            self._container.close()
            raise

    def _choose_stream(self) -> VideoStream:
        streams = video_streams(self._container)
        if not streams:
            raise fail(
                ProblemCode.E_NO_VIDEO, "no video stream (audio or cover art only); give a video", self._path
            )
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise fail(
                ProblemCode.E_CODEC, "FFmpeg has no decoder for the video stream; convert it", self._path
            )
        if context.codec_tag in ("encv", "drmi"):
            raise fail(ProblemCode.E_ENCRYPTED, "the video stream is encrypted; decrypt it first", self._path)
        pixels = context.width * context.height
        if pixels > self._max_pixels:
            raise fail(
                ProblemCode.E_TOO_LARGE,
                f"the picture is {context.width}x{context.height}, more than {self._max_pixels} pixels; "
                "raise max_pixels if that is meant",
                self._path,
            )
        if len(streams) > 1 and not self._is_started:
            self._report(
                ProblemCode.W_SEVERAL_STREAMS,
                f"{len(streams)} video streams; stream {stream.index} "
                f"({context.width}x{context.height}) is used; split the file to use another",
                None,
                len(streams),
            )
        return stream

    def _static_info(self) -> VideoInfo:
        stream, context = self._stream, self._stream.codec_context
        duration: float | None = None
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        elif self._container.duration:
            duration = self._container.duration / av.time_base
        return VideoInfo(
            path=self._name,
            container=self._container.format.name,
            codec=context.codec.canonical_name,
            pixel_format=context.pix_fmt or "",
            width=context.width,
            height=context.height,
            claimed_frame_count=stream.frames or None,
            claimed_duration_seconds=duration,
            size_bytes=size_of(self._path),
            problems=tuple(self._problems),
        )

    def close(self) -> None:
        """Close the file; the table and the facts stay readable."""
        self._container.close()

    @property
    def time_base(self) -> Fraction:
        """Seconds per pts unit."""
        return self._stream.time_base or Fraction(1, 1)

    # -- the pass ----------------------------------------------------------------------------------------------

    def _pass(self) -> Iterator[VideoFrame]:
        table = TableBuilder()
        size: tuple[int, int] | None = None
        orientation = Orientation()
        rotation: int | None = None
        resized = 0
        first_resized: int | None = None
        suspect_count = 0
        first_suspect: int | None = None
        start: int | None = None
        step = 1.0 / self._rate()
        base = float(self.time_base)
        run = Pass(self._container, self._stream)
        for frame, pts, is_suspect in run.frames():
            if is_suspect:
                raise_failure(self._path)
                if self._policy == "fail":
                    raise self._damage_error(run, len(table))
                suspect_count += 1
                first_suspect = len(table) if first_suspect is None else first_suspect
            stamp = PTS_NONE if pts is None else pts
            if frame is None:
                table.add_undecoded(stamp)
                continue
            if rotation != frame.rotation:
                rotation = frame.rotation
                orientation = orientation_of(frame)
            upright = (
                (frame.height, frame.width) if orientation.is_transposed else (frame.width, frame.height)
            )
            if size is None:
                size = upright
                self._info = replace(
                    self._info,
                    width=size[0],
                    height=size[1],
                    rotation=orientation.rotation,
                    pixel_format=frame.format.name,
                )
            if upright != size:
                resized += 1
                if first_resized is None:
                    first_resized = len(table)
            if start is None and pts is not None:
                start = pts
            seconds = (pts - start) * base if pts is not None and start is not None else len(table) * step
            view = VideoFrame(
                frame,
                orientation,
                pts=stamp,
                frame_index=len(table),
                time_seconds=seconds,
                is_suspect=is_suspect and self._policy == "drop",
            )
            table.add(view.pts, view.picture_type, view.is_iframe, view.is_suspect, view.luma_hash)
            yield view
        if resized:
            self._report(
                ProblemCode.W_SIZE_CHANGE,
                f"{resized} frames have another size than the first; they are given at their own size, "
                "and nothing is measured across the change",
                first_resized,
                resized,
            )
        self._finish(
            run, table, size or (self._info.width, self._info.height), (suspect_count, first_suspect)
        )

    def _rate(self) -> Fraction:
        """Return the frame rate that the container or codec states; used only where there are no time stamps."""
        for rate in (self._stream.guessed_rate, self._stream.average_rate, self._stream.base_rate):
            if rate and 0 < rate <= 1000:
                return rate
        return Fraction(25)

    def _finish(
        self,
        run: Pass,
        builder: TableBuilder,
        size: tuple[int, int],
        suspects: tuple[int, int | None],
    ) -> None:
        raise_failure(self._path)
        self._table = builder.build(self.time_base, self._rate(), *size)
        outcome = Outcome(
            run,
            *suspects,
            missing_bytes(self._path, self._info.container),
            is_alone=len(self._container.streams) == 1,
        )
        self._problems += pass_problems(self._name, self._info, self._table, outcome)
        self._info = final_facts(self._info, self._table, outcome.suspect_count, self._problems)
        if outcome.lacking_bytes and self._policy == "fail":
            raise fail(
                ProblemCode.E_DAMAGED,
                f"the file ends too early: at least {outcome.lacking_bytes} bytes are missing; copy it again, "
                'or allow damaged="drop"',
                self._path,
            )
        if run.is_encrypted:
            raise fail(ProblemCode.E_ENCRYPTED, "the video stream is encrypted; decrypt it first", self._path)
        usable = self._table.is_selectable if self._policy == "drop" else self._table.is_decoded
        if not usable.any():
            raise fail(
                ProblemCode.E_NO_FRAMES,
                f"not one frame decodes cleanly ({run.packet_count} packets, {run.error_count} failed); "
                "play it elsewhere to check, or copy it again",
                self._path,
            )

    def _damage_error(self, run: Pass, index: int) -> VideoError:
        message = (
            f"damaged: {run.error_count} packets failed, {run.corrupt_count} flagged corrupt up to here; "
            'repair it, or allow damaged="drop"'
        )
        return VideoError(Problem(ProblemCode.E_DAMAGED, message, self._name, index))

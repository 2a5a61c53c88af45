"""Read a folder or zip of images as a video: natural order, upright, a broken image keeps its place."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.types import PTS_NONE, Problem
from evfr.errors import ProblemCode, VideoError
from evfr.video._archive import FolderImages, ZipImages
from evfr.video._container import fail, printable
from evfr.video._facts import final_facts
from evfr.video._frames import MOTION_VECTOR_DTYPE, Orientation, VideoFrame
from evfr.video._hash import plane_hash
from evfr.video._info import VideoInfo
from evfr.video._luma import grey_of_rgb
from evfr.video._pictures import BadImageError, decode_image
from evfr.video._reader import VideoReader
from evfr.video._table import TableBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from evfr.video._reader import DamagedPolicy

__all__ = ["IMAGE_RATE", "ImageFrame", "ImageReader", "missing_numbers"]

IMAGE_RATE = Fraction(25)
"""Images have no times; they are taken to be 1/25 s apart (FFmpeg's convention), flagged as estimated."""

_NUMBER = re.compile(r"^(.*?)([0-9]+)([^0-9]*)$", re.DOTALL)


class ImageFrame(VideoFrame):
    """One image of a sequence, upright, as signals and embeddings see it."""

    __slots__ = ()

    def __init__(self, image: NDArray[np.uint8], *, frame_index: int, time_seconds: float) -> None:
        image.flags.writeable = False
        self.frame_index = frame_index
        self.pts = PTS_NONE
        self.time_seconds = time_seconds
        self.picture_type = b"I"
        self.is_iframe = True
        self.is_suspect = False
        self._rgb = image
        self._luma = None
        self._hash = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.rgb().shape[:2]
        return height, width

    @property
    def luma_hash(self) -> int:
        """XXH64 of the grey picture: the frame's identity, in [0, 2**64)."""
        if self._hash is None:
            self._hash = plane_hash(self.luma())
        return self._hash

    def luma(self) -> NDArray[np.uint8]:
        """Return the full-range grey picture (BT.601 luma), (H, W) uint8; do not write into it."""
        if self._luma is None:
            self._luma = grey_of_rgb(self.rgb())
        return self._luma

    def rgb(self) -> NDArray[np.uint8]:
        """Return the colour picture, (H, W, 3) uint8 RGB; do not write into it."""
        assert self._rgb is not None
        return self._rgb

    @property
    def decode_index(self) -> int:
        """Not known: images are not coded one after another."""
        return -1

    @property
    def orientation(self) -> Orientation:
        """Upright already."""
        return Orientation()

    def motion_vectors(self) -> NDArray[np.void]:
        """Return no motion vectors: images have none."""
        return np.empty(0, MOTION_VECTOR_DTYPE)


class ImageReader(VideoReader):
    """One pass over a folder or zip of images."""

    def __init__(
        self,
        path: str | Path,
        *,
        kind: Literal["images", "archive"],
        damaged: DamagedPolicy,
        max_pixels: int,
    ) -> None:
        super().__init__(path, damaged=damaged)
        self._max_pixels = max_pixels
        self._store: FolderImages | ZipImages = FolderImages(path) if kind == "images" else ZipImages(path)
        names = self._store.names
        suffixes = Counter(name.rsplit(".", 1)[-1].lower() for name in names)
        self._info = VideoInfo(
            path=self._name,
            kind=kind,
            container="folder" if kind == "images" else "zip",
            codec=suffixes.most_common(1)[0][0],
            pixel_format="rgb24",
            claimed_frame_count=len(names),
            is_time_estimated=True,
            size_bytes=self._store.size_bytes,
        )
        missing = missing_numbers(names)
        if missing:
            self._report(
                ProblemCode.W_NUMBERING,
                f"the numbering of the images has holes: {missing} numbers are missing; check that none were lost",
                None,
                missing,
            )

    def close(self) -> None:
        """Close the folder or zip; the table and the facts stay readable."""
        self._store.close()

    @property
    def time_base(self) -> Fraction:
        """Seconds per pts unit."""
        return 1 / IMAGE_RATE

    def image_names(self) -> tuple[str, ...]:
        """Return the names of the images, in the order of their frame indices."""
        return tuple(self._store.names)

    def read(self, frame_index: int) -> NDArray[np.uint8]:
        """Decode one image by its index, out of order.

        Raises
        ------
        VideoError
            ``W_IMAGE`` if it cannot be read.
        IndexError
            If there is no such index.
        """
        name = self._store.names[frame_index]
        try:
            return decode_image(self._store.read(name), max_pixels=self._max_pixels)
        except BadImageError as error:
            raise VideoError(self._bad(name, str(error), frame_index)) from error

    def _bad(self, name: str, reason: str, index: int) -> Problem:
        message = f"image {printable(name)} cannot be read: {printable(reason)}; it keeps its place"
        return Problem(ProblemCode.W_IMAGE, message, self._name, index)

    def _pass(self) -> Iterator[VideoFrame]:
        table = TableBuilder()
        size: tuple[int, int] | None = None
        odd: list[int] = []
        for index in range(len(self._store.names)):
            try:
                image = self.read(index)
            except VideoError as error:
                if self._policy == "fail":
                    message = f'{error.problem.message}; mend it, or allow damaged="drop"'
                    problem = replace(error.problem, code=ProblemCode.E_DAMAGED, message=message)
                    raise VideoError(problem) from error
                self._problems.append(error.problem)
                table.add_undecoded(PTS_NONE)
                continue
            frame = ImageFrame(image, frame_index=index, time_seconds=float(index / IMAGE_RATE))
            size = size or frame.shape
            if frame.shape != size:
                odd.append(index)
            table.add(PTS_NONE, b"I", True, False, frame.luma_hash)
            yield frame
        if odd:
            self._report(
                ProblemCode.W_IMAGE_SIZE,
                f"{len(odd)} images have another size than the first; they are given at their own size, "
                "and nothing is measured between different sizes",
                odd[0],
                len(odd),
            )
        self._finish(table, size)

    def _finish(self, builder: TableBuilder, size: tuple[int, int] | None) -> None:
        height, width = size or (0, 0)
        self._table = builder.build(self.time_base, IMAGE_RATE, width, height)
        lost = int((~self._table.is_decoded).sum())
        self._info = final_facts(
            replace(self._info, width=width, height=height), self._table, lost, self._problems
        )
        if size is None:
            raise fail(
                ProblemCode.E_NO_FRAMES, "not one image can be read; check the first by hand", self._path
            )


def missing_numbers(names: list[str]) -> int:
    """Return how many numbers are missing from names like ``img_0001.png``; 0 where they do not form one series.

    Names that count by tens have no holes; the step is the smallest between neighbours, if it divides all others.

    Examples
    --------
    >>> missing_numbers(["f1.png", "f2.png", "f5.png"]), missing_numbers(["f10.png", "f20.png", "f30.png"])
    (2, 0)
    """
    numbers = set()
    frames = set()
    for name in names:
        match = _NUMBER.match(name)
        if match is None:
            return 0
        frames.add((match[1], match[3].lower()))
        numbers.add(int(match[2]))
    if len(frames) != 1 or len(numbers) < 3:
        return 0
    ordered = sorted(numbers)
    steps = {b - a for a, b in pairwise(ordered)}
    step = min(steps)
    if any(s % step for s in steps):
        step = 1
    return (ordered[-1] - ordered[0]) // step + 1 - len(ordered)

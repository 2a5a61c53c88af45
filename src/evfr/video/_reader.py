"""What every reader of a video has in common: one pass, a policy for damage, facts, problems and a table."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Literal

from evfr._core.types import FrameTable, Problem
from evfr.video._container import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from evfr.errors import ProblemCode
    from evfr.video._frames import VideoFrame
    from evfr.video._info import VideoInfo

__all__ = ["DamagedPolicy", "VideoReader"]

DamagedPolicy = Literal["drop", "keep", "fail"]


class VideoReader(abc.ABC):
    """One sequential pass over a video; made by `open_video`.

    It is a context manager. Iterate over it once for the frames; then its `table`, `info` and `problems` are final.
    """

    def __init__(self, path: str | Path, *, damaged: DamagedPolicy) -> None:
        if damaged not in ("drop", "keep", "fail"):
            raise ValueError(f'damaged must be "drop", "keep" or "fail", got {damaged!r}')
        self._path = path
        self._name = printable(path)
        self._policy: DamagedPolicy = damaged
        self._problems: list[Problem] = []
        self._table: FrameTable | None = None
        self._is_started = False
        self._info: VideoInfo

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file; the table and the facts stay readable."""

    @property
    def info(self) -> VideoInfo:
        """Facts about the video; counts and problems are final after the pass."""
        return self._info

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems found so far; all of them after the pass."""
        return tuple(self._problems)

    @property
    @abc.abstractmethod
    def time_base(self) -> Fraction:
        """Seconds per pts unit."""

    def table(self) -> FrameTable:
        """Return the identity of every frame.

        Returns
        -------
        FrameTable
            In presentation order; a frame that did not decode keeps its place.

        Raises
        ------
        RuntimeError
            If the pass is not over.
        """
        if self._table is None:
            raise RuntimeError(
                "the table is known only after the pass; iterate over the reader to its end first"
            )
        return self._table

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the decoded frames in presentation order; a second pass needs a second reader.

        Raises
        ------
        VideoError
            ``E_NO_FRAMES`` if not one frame decodes cleanly; ``E_DAMAGED`` under ``damaged="fail"``.
        RuntimeError
            If the pass has begun before.
        """
        if self._is_started:
            raise RuntimeError("a reader makes one pass; open the video again for another")
        self._is_started = True
        return self._pass()

    @abc.abstractmethod
    def _pass(self) -> Iterator[VideoFrame]:
        """Make the pass."""

    def _report(self, code: ProblemCode, message: str, index: int | None = None, count: int = 1) -> None:
        self._problems.append(Problem(code, message, self._name, index, count))

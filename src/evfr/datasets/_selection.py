"""A torch dataset over a selection, decoded from video on demand."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from evfr._core.types import PTS_NONE
from evfr.video import FrameExtractor, known_frames_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from evfr._core.selection import Selection
    from evfr._core.types import FrameTable
    from evfr.video import Frame

__all__ = ["FrameSample", "SelectionDataset"]

# In-order access goes on in one decoder run; this bounds the plan, not the decoding.
_LOOKAHEAD = 64


class FrameSample(NamedTuple):
    """One selected frame; torch's default collation makes a `FrameSample` of batched fields.

    Attributes
    ----------
    image : torch.Tensor
        (3, H, W) uint8 RGB, upright, or what the transform makes of it.
    video_id : str
        Which video.
    frame_index : int
        0-based index in presentation order.
    pts : int
        Integer time stamp, -2**63 where the container has none.
    time_seconds : float
        Seconds from the stream's first pts.
    """

    image: Any
    video_id: str
    frame_index: int
    pts: int
    time_seconds: float


class SelectionDataset(torch.utils.data.Dataset[FrameSample]):
    """Read the frames of a selection straight from video, as a map-style torch dataset (ours).

    Parameters
    ----------
    selection : Selection
        What `evfr.select` returned or `Selection.load` read; sample i is its row i.
    transform : callable or None
        From the (3, H, W) uint8 image tensor to what the sample holds instead.
    threads : int
        Decoder threads of each open video; more workers are faster than more threads.
    open_videos : int
        Videos kept open at a time, per worker.
    tables : mapping of str to FrameTable, or None
        Frame tables by video id, where they are at hand. Else packets are read once per video and worker; only
        where a container has no usable time stamps is the video decoded once.

    Raises
    ------
    ValueError
        If ``threads`` or ``open_videos`` is less than 1.

    Notes
    -----
    Reading in order, or in batches (``__getitems__``, which torch's loader uses), decodes each group of pictures
    once; single random reads decode from the key frame before each. Works with forked and spawned workers.

    Examples
    --------
    >>> from evfr.datasets import SelectionDataset  # doctest: +SKIP
    >>> dataset = SelectionDataset(evfr.select("drive.mp4", ratio=0.1))  # doctest: +SKIP
    >>> loader = torch.utils.data.DataLoader(dataset, batch_size=8, num_workers=2)  # doctest: +SKIP
    """

    def __init__(
        self,
        selection: Selection,
        *,
        transform: Callable[[torch.Tensor], Any] | None = None,
        threads: int = 1,
        open_videos: int = 4,
        tables: Mapping[str, FrameTable] | None = None,
    ) -> None:
        for name, value in (("threads", threads), ("open_videos", open_videos)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        table = selection.table
        self._names: list[str] = []
        self._rows: list[_Rows] = []
        # Rows of one video stand together, in frame order.
        ids = table["video_id"].to_pylist()
        starts = [row for row, name in enumerate(ids) if row == 0 or name != ids[row - 1]]
        stamps = table["pts"].fill_null(PTS_NONE).to_numpy()
        for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
            self._names.append(ids[start])
            self._rows.append(
                _Rows(
                    Path(selection.sources[ids[start]]),
                    table["frame_index"].to_numpy()[start:stop],
                    stamps[start:stop],
                    table["luma_hash"].to_numpy()[start:stop],
                    table["time_seconds"].to_numpy()[start:stop],
                )
            )
        self._starts = np.array([*starts, len(ids)], np.int64)
        self._transform = transform
        self._threads = threads
        self._open_videos = open_videos
        self._tables = dict(tables or {})
        self._forget()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        return f"SelectionDataset({len(self)} frames of {len(self._names)} videos)"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_cursors", "_process")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __getitem__(self, index: int) -> FrameSample:
        """Return sample ``index``; negative indices count from the end.

        Raises
        ------
        IndexError
            If there is no such sample.
        ExtractionError
            If the video has changed since the selection was made.
        VideoError
            If the video cannot be opened.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[FrameSample]:
        """Return several samples, in the order asked for, each video read once in frame order."""
        count = len(self)
        places = []
        for index in indices:
            place = int(index) + count if index < 0 else int(index)
            if not 0 <= place < count:
                raise IndexError(f"index {index} is out of range for {count} samples")
            places.append(place)
        wanted = sorted(set(places))
        videos = np.searchsorted(self._starts, wanted, side="right") - 1
        samples: dict[int, FrameSample] = {}
        for video in dict.fromkeys(videos.tolist()):
            start = int(self._starts[video])
            rows = [place - start for place, other in zip(wanted, videos, strict=True) if other == video]
            for row, frame in zip(rows, self._cursor(video).take(rows), strict=True):
                samples[start + row] = self._sample(video, row, frame)
        return [samples[place] for place in places]

    def _sample(self, video: int, row: int, frame: Frame) -> FrameSample:
        image: Any = torch.from_numpy(np.ascontiguousarray(frame.image.transpose(2, 0, 1)))
        if self._transform is not None:
            image = self._transform(image)
        rows = self._rows[video]
        return FrameSample(
            image, self._names[video], frame.frame_index, int(rows.pts[row]), float(rows.time_seconds[row])
        )

    def _forget(self) -> None:
        self._cursors: OrderedDict[int, _Cursor] = OrderedDict()
        self._process = os.getpid()

    def _cursor(self, video: int) -> _Cursor:
        """Return the open video, one of the few used last."""
        if self._process != os.getpid():
            # A forked worker shares the parent's decoders: it must neither use nor free them.
            _INHERITED.append(self._cursors)
            self._forget()
        cursor = self._cursors.pop(video, None)
        if cursor is None:
            while len(self._cursors) >= self._open_videos:
                self._cursors.popitem(last=False)[1].close()
            rows = self._rows[video]
            table = known_frames_table(
                rows.path,
                rows.frame_index,
                rows.pts,
                rows.luma_hash,
                table=self._tables.get(self._names[video]),
            )
            cursor = _Cursor(FrameExtractor(rows.path, table, threads=self._threads), rows)
        self._cursors[video] = cursor
        return cursor


_INHERITED: list[object] = []


class _Rows(NamedTuple):
    """The selected frames of one video."""

    path: Path
    frame_index: np.ndarray[Any, np.dtype[np.int64]]
    pts: np.ndarray[Any, np.dtype[np.int64]]
    luma_hash: np.ndarray[Any, np.dtype[np.uint64]]
    time_seconds: np.ndarray[Any, np.dtype[np.float64]]


class _Cursor:
    """One open video and the run that is under way in it."""

    def __init__(self, extractor: FrameExtractor, rows: _Rows) -> None:
        self._extractor = extractor
        self._rows = rows
        self._stream: Iterator[Frame] = iter(())
        self._coming: deque[int] = deque()

    def close(self) -> None:
        self._extractor.close()

    def take(self, rows: list[int]) -> Iterator[Frame]:
        """Yield the frames of ``rows``, which are sorted; in-order calls go on where the last one stopped."""
        if list(islice(self._coming, len(rows))) != rows:
            is_run = rows[-1] - rows[0] == len(rows) - 1
            if is_run:
                stop = min(len(self._rows.frame_index), rows[0] + max(_LOOKAHEAD, len(rows)))
                rows_ahead = list(range(rows[0], stop))
            else:
                rows_ahead = rows
            self._coming = deque(rows_ahead)
            self._stream = self._extractor.frames(self._rows.frame_index[rows_ahead].tolist(), plan="seek")
        for _ in rows:
            try:
                frame = next(self._stream)
            except BaseException:
                self._coming.clear()
                raise
            self._coming.popleft()
            yield frame

"""The vectors of many entries as one (N, D) array: held in memory, or unpacked into a file, or as they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core._embedding_cache import MatrixFile, drop_superseded, write_matrix
from evfr._core._embedding_entries import EmbeddingEntry
from evfr._core._embedding_rows import regrouped, stored_rows, stored_vectors
from evfr.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["StoredMatrix"]

_FEW_ROWS = 4
_FEW_GATHERS = 8


class StoredMatrix:
    """Read rows and blocks of float16 from wherever they are cheapest; nothing is read before it is needed.

    Parameters
    ----------
    entries : sequence of EmbeddingEntry
        One per video, in order.
    offsets : (V + 1,) int64
        Where the rows of each begin.
    dimension : int
        D.
    path : Path
        Where the unpacked copy is or will be.
    scope : str
        An older copy of the same scope is deleted.
    memory_mb : int
        Largest array that is held in memory.
    """

    def __init__(
        self,
        entries: Sequence[EmbeddingEntry],
        offsets: NDArray[np.int64],
        dimension: int,
        *,
        path: Path,
        scope: str,
        memory_mb: int,
    ) -> None:
        self._entries, self._offsets, self._path, self._scope = tuple(entries), offsets, path, scope
        self.shape = (int(offsets[-1]), dimension)
        self._is_small = self.shape[0] * dimension * 2 <= memory_mb << 20
        self._array: NDArray[np.float16] | None = None
        self._file: MatrixFile | None = None
        self._gathers = 0

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Return the rows asked for, in that order."""
        if (array := self._in_memory()) is not None:
            return array[rows]
        if not self._has_copy() and 0 < len(rows) <= _FEW_ROWS and self._gathers < _FEW_GATHERS:
            self._gathers += 1  # a row or two do not pay for unpacking everything
            return stored_rows(self._entries, self._offsets, rows)
        return self._unpacked().gather(rows)

    def blocks(self, size: int) -> Iterator[NDArray[np.float16]]:
        """Yield all rows in order, ``size`` at a time."""
        if (array := self._in_memory()) is not None:
            yield from (array[start : start + size] for start in range(0, len(array), size))
        elif self._has_copy():
            file = self._unpacked()
            for start in range(0, self.shape[0], size):
                yield file.read(start, min(start + size, self.shape[0]))
        else:
            yield from regrouped(stored_vectors(self._entries), size)

    def to_array(self, dtype: DTypeLike) -> NDArray[Any]:
        """Return everything as a new array."""
        out = np.empty(self.shape, dtype)
        start = 0
        for block in [self._array] if self._array is not None else stored_vectors(self._entries):
            out[start : start + len(block)] = block
            start += len(block)
        return out

    def view(self) -> NDArray[np.float16]:
        """Return everything for reading: the array in memory, or a map of the copy."""
        array = self._in_memory()
        if array is None:
            return np.asarray(np.load(self._unpacked().path, mmap_mode="r"))
        view = array.view()
        view.flags.writeable = False
        return view

    def remove_copy(self) -> None:
        """Delete the unpacked copy; it is made again when it is needed."""
        self._file = None
        self._path.unlink(missing_ok=True)

    def __getstate__(self) -> dict[str, Any]:
        # A process that gets a copy opens the file itself.
        return {**self.__dict__, "_array": None, "_file": None}

    def _has_copy(self) -> bool:
        return self._file is not None or self._path.is_file()

    def _in_memory(self) -> NDArray[np.float16] | None:
        if self._array is None and self._is_small:
            self._array = self.to_array(np.float16)
        return self._array

    def _unpacked(self) -> MatrixFile:
        if self._file is None and self._path.is_file():
            try:
                self._file = MatrixFile(self._path, self.shape)
            except StoreError:
                self._file = None  # a cache: whatever is not exactly right is made again
        if self._file is None:
            write_matrix(self._path, stored_vectors(self._entries), self.shape)
            drop_superseded(self._path, self._scope)
            self._file = MatrixFile(self._path, self.shape)
        return self._file

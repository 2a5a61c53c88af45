"""A decompressed copy of many entries as one .npy file, read by position: random rows without a decoder."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.atomic import atomic_file
from evfr.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MatrixFile", "drop_superseded", "write_matrix"]


class MatrixFile:
    """Read blocks and rows of a (N, D) float16 .npy file without mapping it into memory.

    Reading by position costs a system call for each run of rows; a map would count against memory limits and
    kill the process if the file were cut under it. The file stays readable after it was deleted.

    Parameters
    ----------
    path : Path
        As written by `write_matrix`.
    shape : (int, int)
        What it must hold.

    Raises
    ------
    StoreError
        If it cannot be opened or is not that array.
    """

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape
        self._row_bytes = shape[1] * 2
        self._start = len(_header(shape))
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            found = os.pread(self._descriptor, self._start, 0)
            size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise StoreError(f"cannot read {str(path)!r}: {error.strerror}") from error
        if found != _header(shape) or size != self._start + shape[0] * self._row_bytes:
            raise StoreError(f"{str(path)!r} is damaged; delete it, and it will be made again")

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)

    def read(self, start: int, stop: int) -> NDArray[np.float16]:
        """Return rows ``start`` to ``stop`` as (stop - start, D) float16."""
        out = np.empty((stop - start, self.shape[1]), np.float16)
        self._fill(out, start)
        return out

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Return the rows asked for as (M, D) float16: neighbours in one read, in the file's order."""
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        out = np.empty((len(rows), self.shape[1]), np.float16)
        breaks = np.flatnonzero(np.diff(ordered) != 1) + 1
        edges = np.concatenate([[0], breaks, [len(rows)]]) if len(rows) else np.zeros(1, np.int64)
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            self._fill(out[low:high], int(ordered[low]))
        if np.array_equal(rows, ordered):
            return out
        back = np.empty_like(out)
        back[order] = out
        return back

    def _fill(self, out: NDArray[np.float16], row: int) -> None:
        view = out.data.cast("B") if out.size else memoryview(b"")
        position, done = self._start + row * self._row_bytes, 0
        try:
            while done < len(view):
                count = os.preadv(self._descriptor, [view[done:]], position + done)
                if count == 0:
                    raise StoreError(f"{str(self.path)!r} was cut; delete it, and it will be made again")
                done += count
        except OSError as error:
            raise StoreError(f"cannot read {str(self.path)!r}: {error.strerror}") from error


def write_matrix(path: Path, blocks: Iterator[NDArray[np.float16]], shape: tuple[int, int]) -> None:
    """Write (N, D) float16 as a .npy file, atomically, one block in memory at a time.

    Parameters
    ----------
    path : Path
        The file.
    blocks : iterator of (B, D) float16
        N rows in all.
    shape : (int, int)
        N and D.

    Raises
    ------
    StoreError
        If the system refuses, or the blocks do not add up to ``shape``.
    """
    count = 0
    with atomic_file(path, is_durable=False) as sink:
        sink.write(_header(shape))
        for block in blocks:
            count += len(block)
            sink.write(np.ascontiguousarray(block, np.float16).data.cast("B") if block.size else b"")
        if count != shape[0]:
            raise StoreError(f"{count} rows were read for {str(path)!r}, which needs {shape[0]}; run again")


def drop_superseded(path: Path, scope: str) -> None:
    """Delete the older caches of the same ``scope`` beside ``path``; who has one open can still read it."""
    for other in path.parent.glob(f"{scope}-*"):
        if not other.name.startswith(path.name):
            with contextlib.suppress(OSError):
                other.unlink()


def _header(shape: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return buffer.getvalue()

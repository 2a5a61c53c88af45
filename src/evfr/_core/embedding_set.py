"""All embeddings of one model in a store as one array that may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core._embedding_entries import (
    EmbeddingEntry,
    EmbeddingModel,
    choose_entries,
    embedding_models,
    scan_entries,
)
from evfr._core._embedding_matrix import StoredMatrix
from evfr._core._embedding_rows import (
    IDENTITY,
    EmbeddedFrame,
    sound_entries,
    stored_column,
    stored_identity,
)
from evfr._core.remote_store import RemoteRoot
from evfr._core.store import Store
from evfr._core.store_format import StoreKey, digest_of
from evfr.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import DTypeLike, NDArray

__all__ = ["EmbeddedFrame", "EmbeddingModel", "EmbeddingSet", "embedding_models"]


class EmbeddingSet:
    """See a store's embeddings of one model as one (N, D) array, row by row a known frame.

    Rows stand by video (natural order of the ids) and then by frame. A small set is held in memory as
    float16; a larger one is unpacked once into a file in the store's cache folder, which may be deleted at
    any time. Nothing is read before it is needed. Use `open`.

    Parameters
    ----------
    store : Store
        Where the entries are.
    model : EmbeddingModel
        What they are.
    entries : sequence of EmbeddingEntry
        One per video, in order.
    problems : sequence of str
        Entries left out, and why.
    scope : str
        Names the cache file; a newer one of the same scope replaces it.
    memory_mb : int
        Largest set that is held in memory.

    Attributes
    ----------
    model : EmbeddingModel
        By what and at which frames they were made.
    video_ids, video_hashes : tuple of str
        The V videos in order.
    keys : tuple of StoreKey
        The V entries in order.
    offsets : (V + 1,) int64
        Video v has the rows ``offsets[v]`` to ``offsets[v + 1]``.
    dimension : int
        D.
    problems : tuple of str
        Entries left out because they are damaged (only where that was asked for).
    digest : str
        32 hexadecimal digits that change when any entry does.
    """

    def __init__(
        self,
        store: Store,
        model: EmbeddingModel,
        entries: Sequence[EmbeddingEntry],
        problems: Sequence[str] = (),
        *,
        scope: str,
        memory_mb: int = 256,
    ) -> None:
        self.model = model
        self.video_ids = tuple(entry.video_id for entry in entries)
        self.video_hashes = tuple(entry.key.video_hash for entry in entries)
        self.keys = tuple(entry.key for entry in entries)
        self.offsets: NDArray[np.int64] = np.cumsum([0, *(entry.row_count for entry in entries)])
        self.dimension = model.dimension
        self.problems = tuple(problems)
        self.digest = digest_of([[entry.key.digest, *entry.stamp] for entry in entries])
        self._store, self._entries, self._scope = store, tuple(entries), scope
        self._identity: dict[int, pa.Table] = {}
        self._matrix = StoredMatrix(
            entries, self.offsets, self.dimension, path=self.cache_path, scope=scope, memory_mb=memory_mb
        )

    @classmethod
    def open(
        cls,
        store: Store | Path | RemoteRoot | str,
        model: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        keys: Sequence[StoreKey] | None = None,
        damaged: Literal["fail", "drop"] = "fail",
        memory_mb: int = 256,
    ) -> EmbeddingSet:
        """Open the embeddings of one model in a store.

        Parameters
        ----------
        store : Store or path
            The store.
        model : str, optional
            The model's name as given to ``evfr embed``, or the id that errors list. Not needed where the store
            has embeddings of one kind only.
        parameters : mapping, optional
            The key's parameters themselves, instead of a name.
        keys : sequence of StoreKey, optional
            Only these entries, for example those of the videos at hand; the order stays that of the ids.
        damaged : {"fail", "drop"}
            Refuse a store with a damaged entry, or leave such entries out and name them in `problems`; for
            that everything is read once.
        memory_mb : int
            Hold a set of at most so many MiB in memory; a larger one is unpacked into a file.

        Returns
        -------
        EmbeddingSet
            Nothing but the ends of the files has been read.

        Raises
        ------
        StoreError
            If there is no store, no such embeddings or several kinds, an entry is damaged, the vectors
            differ in length, or one video id stands for two videos.
        ValueError
            If ``damaged`` is unknown.
        """
        if damaged not in ("fail", "drop"):
            raise ValueError(f"damaged must be 'fail' or 'drop', got {damaged!r}")
        store = store if isinstance(store, Store) else Store(store)
        if not store.is_remote and not store.root.is_dir():
            raise StoreError(
                f"there is no store at {str(store.root)!r}; give the folder passed as --out to evfr embed"
            )
        entries, bad = scan_entries(store, keys)
        if bad and damaged == "fail":
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            raise StoreError(f"{bad[0][1]}{more}")
        found, chosen = choose_entries(entries, store.shown, model, parameters)
        if damaged == "drop":
            chosen, worse = sound_entries(chosen)
            bad = bad + worse
            if not chosen:
                raise StoreError(f"every entry of {found} is damaged: {bad[0][1]}")
            found = EmbeddingModel.of(chosen[0].key.parameters, chosen)
        scope = [found.id, None if keys is None else sorted(key.digest for key in keys)]
        return cls(
            store,
            found,
            chosen,
            [text for _, text in bad],
            scope=f"embedding-{digest_of(scope)[:16]}",
            memory_mb=memory_mb,
        )

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def __repr__(self) -> str:
        return (
            f"EmbeddingSet({self.model.name}: {len(self)} x {self.dimension} of {len(self.video_ids)} videos)"
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all vectors as float16."""
        return len(self) * self.dimension * 2

    @property
    def cache_path(self) -> Path:
        """Where the unpacked copy is or would be."""
        return self._store.cache_folder / f"{self._scope}-{self.digest}.npy"

    def cache_file(self, name: str, *parts: Any) -> tuple[Path, str]:
        """Return where something made from the whole set is kept, and the scope for `drop_superseded`.

        ``name`` says what it is and the file's suffix (``"index.faiss"``), ``parts`` what else it depends on.
        """
        stem, _, suffix = name.partition(".")
        scope = f"{stem}-{digest_of(self._scope, *parts)[:16]}"
        return self._store.cache_folder / f"{scope}-{self.digest}.{suffix}", scope

    @property
    def frame_index(self) -> NDArray[np.int64]:
        """(N,) int64: frame index of each row."""
        return self._column("frame_index", np.int64)

    @property
    def pts(self) -> NDArray[np.int64]:
        """(N,) int64: pts of each row, `PTS_NONE` where there is none."""
        return self._column("pts", np.int64)

    @property
    def time_seconds(self) -> NDArray[np.float64]:
        """(N,) float64: seconds from the stream's first pts of each row."""
        return self._column("time_seconds", np.float64)

    def video_of(self, rows: NDArray[np.int64] | Sequence[int]) -> NDArray[np.int64]:
        """Return the position in `video_ids` of each row."""
        return np.asarray(np.searchsorted(self.offsets, np.asarray(rows), side="right") - 1, np.int64)

    def locate(self, row: int) -> EmbeddedFrame:
        """Return which frame a row is; reads only its video's identity.

        Parameters
        ----------
        row : int
            In [0, N).

        Returns
        -------
        EmbeddedFrame
            Video, index and time.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        rows = self._checked(np.array([row]))
        video = int(self.video_of(rows)[0])
        place = int(rows[0] - self.offsets[video])
        table = self._identity_of(video)
        values = {name: table[name][place].as_py() for name in IDENTITY}
        return EmbeddedFrame(int(row), self.video_ids[video], **values)

    def find(
        self, video_id: str, frame_index: int | None = None, *, time_seconds: float | None = None
    ) -> EmbeddedFrame:
        """Return the row of a frame: of an index exactly, or the nearest in time.

        Parameters
        ----------
        video_id : str
            One of `video_ids`.
        frame_index : int, optional
            The frame, which must have an embedding.
        time_seconds : float, optional
            A time; the embedded frame nearest to it is taken, the earlier of two.

        Returns
        -------
        EmbeddedFrame
            The frame, with its row.

        Raises
        ------
        KeyError
            If there is no such video or frame; the text names the nearest that are.
        """
        if video_id not in self.video_ids:
            near = ", ".join(self.video_ids[:5])
            raise KeyError(f"no video {video_id!r} among the embeddings; there are {near}")
        video = self.video_ids.index(video_id)
        table = self._identity_of(video)
        if table.num_rows == 0:
            raise KeyError(f"{video_id} has no embedded frame")
        if frame_index is not None:
            index = table["frame_index"].to_numpy()
            place = int(np.argmin(np.abs(index - frame_index)))
            if index[place] != frame_index:
                raise KeyError(
                    f"frame {frame_index} of {video_id} has no embedding; the nearest that has one is {index[place]}"
                )
        elif time_seconds is not None and np.isfinite(time_seconds):
            place = int(np.nanargmin(np.abs(table["time_seconds"].to_numpy() - time_seconds)))
        else:
            raise ValueError(f"give a frame_index or a finite time_seconds, got {time_seconds}")
        return self.locate(int(self.offsets[video]) + place)

    def rows(self, indices: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float32]:
        """Gather rows, in the order asked for.

        Parameters
        ----------
        indices : (M,) array_like of int
            Rows, in [0, N); may repeat.

        Returns
        -------
        (M, D) float32
            The vectors.

        Raises
        ------
        IndexError
            If a row is outside of [0, N).
        StoreError
            If an entry is damaged, or the unpacked copy cannot be written.
        """
        return self._matrix.gather(self._checked(np.asarray(indices, np.int64))).astype(np.float32)

    def blocks(self, size: int = 16384) -> Iterator[NDArray[np.float32]]:
        """Go through all rows in order.

        Parameters
        ----------
        size : int
            Rows of a block, 1 or more.

        Yields
        ------
        (size, D) float32
            The next rows; the last block may be shorter.

        Raises
        ------
        ValueError
            If ``size`` is not 1 or more.
        StoreError
            If an entry is damaged.
        """
        if size < 1:
            raise ValueError(f"size must be 1 or more rows, got {size}")
        for block in self._matrix.blocks(size):
            yield block.astype(np.float32)

    def to_array(self, dtype: DTypeLike = np.float16) -> NDArray[Any]:
        """Read everything into memory.

        Parameters
        ----------
        dtype : dtype_like
            Of the array.

        Returns
        -------
        (N, D) array of dtype
            A new array.

        Raises
        ------
        StoreError
            If an entry is damaged.
        """
        return self._matrix.to_array(dtype)

    def view(self) -> NDArray[np.float16]:
        """Look at everything without a copy: in memory if the set is small, else a map of the unpacked copy.

        Returns
        -------
        (N, D) float16
            Read-only.

        Raises
        ------
        StoreError
            If an entry is damaged, or the unpacked copy cannot be written.
        """
        return self._matrix.view()

    def remove_cache(self) -> None:
        """Delete the unpacked copy; it is made again when it is needed."""
        self._matrix.remove_copy()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_identity": {}}

    def _checked(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            bad = rows[(rows < 0) | (rows >= len(self))][0]
            raise IndexError(f"row {bad} is outside of [0, {len(self)})")
        return rows

    def _identity_of(self, video: int) -> pa.Table:
        if video not in self._identity:
            if len(self._identity) >= 64:
                self._identity.pop(next(iter(self._identity)))
            self._identity[video] = stored_identity(self._entries[video])
        return self._identity[video]

    def _column(self, name: str, dtype: Any) -> NDArray[Any]:
        return stored_column(self._entries, name, np.empty(len(self), dtype))

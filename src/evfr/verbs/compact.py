"""`evfr compact`: many small files of a store into one table per stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CompactResult", "CompactedStage", "compact"]


@dataclass(frozen=True, slots=True)
class CompactedStage:
    """Hold what became of one stage.

    Attributes
    ----------
    stage : str
        Its name.
    path : Path
        The merged file.
    file_count : int
        How many files it was made from.
    row_count : int
        How many rows it has.
    """

    stage: str
    path: Path
    file_count: int
    row_count: int


@dataclass(frozen=True, slots=True)
class CompactResult:
    """Hold what `compact` wrote.

    Attributes
    ----------
    stages : tuple of CompactedStage
        One for each merged file, in the order of their names.
    """

    stages: tuple[CompactedStage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        stages = [
            {
                "stage": stage.stage,
                "path": str(stage.path),
                "file_count": stage.file_count,
                "row_count": stage.row_count,
            }
            for stage in self.stages
        ]
        return {"stages": stages}

    def __str__(self) -> str:
        lines = [f"{s.path}: {s.row_count} rows of {s.file_count} files" for s in self.stages]
        return "\n".join(lines) or "nothing to merge: the store has no files"


def compact(
    store: str | Path | None = None,
    *,
    stages: Sequence[str] = (),
    out: Path | None = None,
    remove_sources: bool = False,
    allow_remote: Sequence[str] = (),
) -> CompactResult:
    """Merge the many small files of a store into one Parquet file per stage, for pandas, polars or DuckDB.

    Columns for the video's hash and the parameters come first. The small files stay, since the store looks
    results up in them.

    Parameters
    ----------
    store : path or None
        Folder of the store, also ``s3://bucket/folder`` (then with ``out``); None is the user's cache folder,
        or ``EVFR_STORE``.
    stages : sequence of str
        Which stages, for example ``frames`` or ``signal-flow``; none means all.
    out : Path or None
        Folder for ``<stage>.parquet``; None is the store itself.
    remove_sources : bool
        Delete the small files afterwards. The store then forgets these results, and a next run computes them
        again.
    allow_remote : sequence of str
        Use a remote store below these prefixes, for example ``s3://bucket/folder``; without it none is used.

    Returns
    -------
    CompactResult
        What was written.

    Raises
    ------
    StoreError
        If a stage has no files, a file is corrupt, or the merged file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from evfr.verbs.compact import compact
    >>> compact(tempfile.mkdtemp()).stages
    ()
    """
    from evfr._core.remote_store import store_root
    from evfr._core.store import Store
    from evfr.errors import StoreError
    from evfr.verbs._measure import default_store

    root = store_root(default_store() if store is None else store, allow_remote)
    if isinstance(root, Path) and not root.is_dir():
        raise StoreError(f"there is no store at {str(root)!r}; give the folder passed as --out to evfr score")
    source = Store(root)
    folder = None if out is None else Path(out)
    wanted = [stages] if isinstance(stages, str) else list(dict.fromkeys(stages)) or source.stages()
    return CompactResult(
        tuple(
            CompactedStage(
                stage,
                *source.compact(
                    stage,
                    out=None if folder is None else folder / f"{stage}.parquet",
                    remove_sources=remove_sources,
                ),
            )
            for stage in wanted
        )
    )

"""Write a folder beside the place where it belongs, and put it there when it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from evfr.errors import StoreError

__all__ = ["check_free", "staged_folder"]


@contextlib.contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``out`` when the block ends without an exception.

    Parameters
    ----------
    out : Path
        The folder to make; it may be there if it is empty.

    Yields
    ------
    Path
        ``.evfr-export-<name>`` beside it, empty. If the block fails it is removed, and if the process is killed the
        next export to ``out`` removes it.

    Raises
    ------
    StoreError
        If ``out`` holds something already, another process writes it, or the system refuses.
    """
    from evfr._core.atomic import make_folder

    check_free(out)
    make_folder(out.parent)
    stage = out.parent / f".evfr-export-{out.name}"
    lock = stage.with_name(f"{stage.name}.lock")
    try:
        with lock.open("ab") as handle:
            _take(handle.fileno(), lock, out)
            _clear(stage)
            stage.mkdir()
            try:
                yield stage
                for path in sorted(stage.rglob("*")):
                    _sync(path)
                stage.replace(out)
                _sync(out.parent)
            finally:
                _clear(stage)
                lock.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"cannot write {str(out)!r}: {reason}; check the disk and run again") from error


def check_free(out: Path) -> None:
    """Raise `StoreError` if a folder is an address, or holds something already."""
    from evfr._core.atomic import refuse_remote

    refuse_remote(out)
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise StoreError(f"{out} is there already and not an empty folder; give a new folder, or remove it")


def _take(descriptor: int, lock: Path, out: Path) -> None:
    """Lock the file, or say that another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A process that just ended may have removed the name between our opening and locking it.
        is_ours = lock.exists() and lock.stat().st_ino == os.fstat(descriptor).st_ino
    except OSError:
        is_ours = False
    if not is_ours:
        raise StoreError(f"another process is exporting to {out}; wait for it, or give another folder")


def _clear(stage: Path) -> None:
    if stage.is_symlink() or stage.is_file():
        stage.unlink()
    elif stage.is_dir():
        shutil.rmtree(stage)


def _sync(path: Path) -> None:
    flags = os.O_RDONLY | (os.O_DIRECTORY if path.is_dir() else 0)
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

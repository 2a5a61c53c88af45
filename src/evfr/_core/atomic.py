"""Write files so that a reader sees the old content or the new one, never a part, whatever dies when."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from evfr.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

__all__ = ["TEMPORARY_GLOB", "atomic_file", "atomic_write_bytes", "make_folder", "refuse_remote"]

_REMOTE = ("s3:", "gs:", "https:", "http:")

TEMPORARY_GLOB = ".evfr-*.tmp"
"""Names of files in the making; one that stays behind was left by a process that died."""


@contextlib.contextmanager
def atomic_file(path: Path, *, is_durable: bool = True) -> Iterator[io.RawIOBase]:
    """Open a temporary file that becomes ``path`` when the block ends without an exception.

    The temporary file lies in the same folder (a rename across file systems is a copy), is fsynced, renamed
    over ``path``, and the folder is fsynced. If anything fails, it is removed and ``path`` stays as it was.

    Parameters
    ----------
    path : Path
        The file to make or replace; its folder is made where it is missing.
    is_durable : bool
        False leaves out the fsyncs: still atomic for other processes, but lost when the machine loses power.

    Yields
    ------
    io.RawIOBase
        An unbuffered sink whose ``write`` takes everything it is given.

    Raises
    ------
    StoreError
        If the system refuses any step (disk full, I/O error, permission).
    """
    path = Path(path)
    _check_name(path)
    make_folder(path.parent)
    temporary = path.parent / f".evfr-{os.getpid()}-{secrets.token_hex(6)}.tmp"
    is_replaced = False
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with _Sink(descriptor) as sink:
            yield sink
            if is_durable:
                os.fsync(descriptor)
        os.replace(temporary, path)  # noqa: PTH105  (the fault sweep of the tests counts os-level calls)
        is_replaced = True
        if is_durable:
            _fsync_folder(path.parent)
    except OSError as error:
        raise _store_error("write", path, error) from error
    finally:
        if not is_replaced:
            with contextlib.suppress(OSError):
                temporary.unlink()


def atomic_write_bytes(path: Path, data: bytes, *, is_durable: bool = True) -> None:
    """Make ``path`` hold exactly ``data``, or leave it as it was.

    Parameters
    ----------
    path : Path
        The file to make or replace; its folder is made where it is missing.
    data : bytes
        The whole content.
    is_durable : bool
        False leaves out the fsyncs (see `atomic_file`).

    Raises
    ------
    StoreError
        If the system refuses any step.
    """
    with atomic_file(path, is_durable=is_durable) as sink:
        sink.write(data)


def make_folder(path: Path) -> None:
    """Make a folder and its parents so that they outlive a power loss.

    Parameters
    ----------
    path : Path
        The folder; one that exists already is left alone.

    Raises
    ------
    StoreError
        If it cannot be made, a file stands in its place, or it is an address and not a folder.
    """
    path = Path(path)
    refuse_remote(path)
    _check_name(path)
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)  # noqa: PTH102  (counted by the fault sweep)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        _fsync_folder(path.parent)
    except OSError as error:
        raise _store_error("make the folder", path, error) from error


def refuse_remote(path: Path) -> None:
    """Refuse ``s3://bucket/folder`` where results are written, instead of making a local folder named ``s3:``.

    Raises
    ------
    StoreError
        If the path is an address.
    """
    if path.parts and path.parts[0] in _REMOTE:
        raise StoreError(
            f"results are written to local folders only, got {str(path)!r}; write to a local folder and copy it, "
            "for example with `aws s3 sync` (files of a store never change once they are there)"
        )


def _check_name(path: Path) -> None:
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        name = b"\0"
    if b"\0" in name:
        raise StoreError(
            f"no file can be called {str(path)!r:.300}: it has a zero byte or is no Unicode text; choose another name"
        )


class _Sink(io.RawIOBase):
    """A file descriptor whose ``write`` is never short, as writers of whole tables expect."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += os.write(self._descriptor, view[done:])
        return done

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no fsync of folders; there a rename is as durable as it gets.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _store_error(action: str, path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    advice = {
        errno.ENOSPC: "free some space and run again",
        errno.EDQUOT: "free some of your quota and run again",
        errno.EACCES: "choose a folder that you may write to",
        errno.EROFS: "choose a folder that can be written to",
        errno.ENOTDIR: "a file stands where a folder is needed: choose another place",
    }.get(error.errno or 0, "check the disk and run again")
    return StoreError(f"cannot {action} {str(path)!r}: {reason}; {advice}")

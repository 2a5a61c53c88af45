"""Pictures on their way from decoding child processes to the one process that has the model.

The children are those of any executor. Each one opens an `Outlet` for the item it works on and sends arrays; the
parent's `Intake` hands them out in the order they come, and takes no more than a number of bytes ahead of who
consumes them. A child that has to wait says so by its heartbeat, so waiting is never taken for hanging.

Arrays travel as raw bytes behind a fixed header over a Unix socket in a private folder: nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evfr.errors import WorkerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Arrays", "Intake", "Outlet"]

_HELLO = struct.Struct("<Q")
_HEADER = struct.Struct("<4Q")
_WAIT_SECONDS = 0.5
_LONGEST_NAME = 90  # of a Unix socket: 108 bytes in all
_MOST_BYTES = 1 << 31


@dataclass(frozen=True, slots=True)
class Arrays:
    """Some pictures of one item.

    Attributes
    ----------
    item_index : int
        Which item they belong to.
    stream : int
        Which connection brought them; one start of an item is one connection, later ones have higher numbers.
    pictures : (B, h, w, C) uint8
        The pictures, read-only.
    """

    item_index: int
    stream: int
    pictures: NDArray[np.uint8] = field(repr=False)


class Intake:
    """Receive pictures from child processes, bounded by bytes; a context manager.

    Parameters
    ----------
    limit_bytes : int
        Pictures that wait to be taken fill no more than this, and one message per child.

    Attributes
    ----------
    address : str
        What an `Outlet` connects to.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._waiting: deque[Arrays] = deque()
        self._bytes = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._readers: list[threading.Thread] = []
        self._connections: set[socket.socket] = set()
        self._streams = 0
        base = None if len(tempfile.gettempdir()) < _LONGEST_NAME - 20 else "/tmp"
        self._folder = Path(tempfile.mkdtemp(prefix="evfr-", dir=base))
        self.address = str(self._folder / "intake")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.address)
        self._listener.listen(128)
        self._listener.settimeout(_WAIT_SECONDS / 5)
        self._is_finishing = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="evfr-accept", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()
        self._is_finishing.set()
        self._acceptor.join()
        for reader in self._readers:
            reader.join()
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def take(self, timeout: float) -> Arrays | None:
        """Return the next pictures, or None if none came in time or all is over (see `is_over`)."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed, timeout)
            if not self._waiting:
                return None
            arrays = self._waiting.popleft()
            self._bytes -= arrays.pictures.nbytes
            self._changed.notify_all()
            return arrays

    @property
    def is_over(self) -> bool:
        """Whether nothing waits and nothing will come any more."""
        with self._changed:
            return self._is_closed and not self._waiting

    def finish(self) -> None:
        """Say that every child is done; returns when all they sent has been taken in, `take` still gives it."""
        self._is_finishing.set()
        self._acceptor.join()
        for reader in self._readers:
            reader.join()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Drop what waits and hang up, so that children which send fail at once."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            is_last_look = self._is_finishing.is_set()
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if is_last_look:  # children that were done before this look have all been accepted
                    return
                continue
            connection.settimeout(None)
            with self._changed:
                self._streams += 1
                stream = self._streams
                self._connections.add(connection)
            reader = threading.Thread(
                target=self._read, args=(connection, stream), name="evfr-read", daemon=True
            )
            self._readers = [known for known in self._readers if known.is_alive()] + [reader]
            reader.start()

    def _read(self, connection: socket.socket, stream: int) -> None:
        with connection:
            if (hello := _receive(connection, _HELLO.size)) is not None:
                (item_index,) = _HELLO.unpack(hello)
                while (header := _receive(connection, _HEADER.size)) is not None:
                    shape = _HEADER.unpack(header)
                    size = int(np.prod(shape))
                    data = _receive(connection, size) if size < _MOST_BYTES else None
                    if data is None:
                        break
                    pictures = np.frombuffer(data, np.uint8).reshape(shape)
                    if not self._put(Arrays(item_index, stream, pictures)):
                        break
            with self._changed:
                self._connections.discard(connection)

    def _put(self, arrays: Arrays) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < self._limit or self._is_closed)
            if self._is_closed:
                return False
            self._waiting.append(arrays)
            self._bytes += arrays.pictures.nbytes
            self._changed.notify_all()
            return True


class Outlet:
    """Send the pictures of one item to the `Intake` of the parent process; a context manager.

    Parameters
    ----------
    address : str
        `Intake.address`.
    item_index : int
        Which item.
    on_wait : callable
        Called twice a second while the parent takes nothing.

    Raises
    ------
    WorkerError
        If the parent does not listen any more.
    """

    def __init__(self, address: str, item_index: int, on_wait: Callable[[], None]) -> None:
        self._on_wait = on_wait
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_WAIT_SECONDS)
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise WorkerError("the process with the model takes no more pictures") from error
        self._write(_HELLO.pack(item_index))

    def __enter__(self) -> Outlet:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, pictures: NDArray[np.uint8]) -> None:
        """Send (B, h, w, C) uint8 pictures; waits while the parent is busy.

        Raises
        ------
        WorkerError
            If the parent has hung up.
        """
        self._write(_HEADER.pack(*pictures.shape))
        self._write(np.ascontiguousarray(pictures).reshape(-1).data)

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            try:
                view = view[self._socket.send(view) :]
            except TimeoutError:
                self._on_wait()
            except OSError as error:
                raise WorkerError("the process with the model takes no more pictures") from error


def _receive(connection: socket.socket, size: int) -> bytearray | None:
    """Return exactly ``size`` bytes, or None if the other side ends before."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        try:
            count = connection.recv_into(view)
        except OSError:
            return None
        if count == 0:
            return None
        view = view[count:]
    return data

"""A remote file as a value that every function of this package takes for a path."""

from __future__ import annotations

import contextlib
import io
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from evfr._core.remote import RemoteAccess, RemoteUrl
from evfr.errors import ProblemCode, StoreError, VideoError
from evfr.video._container import fail
from evfr.video._remote_cache import BLOCK_BYTES, CacheEntry, RemoteCache, remember
from evfr.video._remote_transport import Dropped, Identity, Transport

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["RemoteFile", "Traffic"]

TRIES = 5
BACKOFF_SECONDS = 0.5
_AHEAD_FIRST = 2
_AHEAD_MOST = 64


class Traffic:
    """Count what was asked of a server.

    Attributes
    ----------
    request_count, byte_count : int
        Requests sent, and bytes of files received; tries that failed count too.
    """

    def __init__(self) -> None:
        self.request_count = 0
        self.byte_count = 0

    def __repr__(self) -> str:
        return f"Traffic(request_count={self.request_count}, byte_count={self.byte_count})"


class RemoteFile(str):
    """A remote file: the text that names it in messages, and what is needed to read it.

    Which bytes it is (size and entity tag) is asked once, when it is first read; if the server has other bytes
    afterwards, reading fails instead of mixing the two. What was read is not fetched again: see `RemoteCache`.

    Parameters
    ----------
    url : RemoteUrl
        Where it is.
    access : RemoteAccess
        What may be read; ``url`` must be allowed.
    identity : Identity or None
        Which bytes, where a listing told it already.

    Attributes
    ----------
    url : RemoteUrl
        Where it is, secrets included.
    access : RemoteAccess
        What may be read.
    traffic : Traffic
        What was fetched through this value in this process.

    Raises
    ------
    InputError
        If it is not allowed.
    """

    url: RemoteUrl
    access: RemoteAccess
    traffic: Traffic
    _identity: Identity | None
    _name: str
    _failure: VideoError | None

    def __new__(cls, url: RemoteUrl, access: RemoteAccess, identity: Identity | None = None) -> RemoteFile:
        access.check(url)
        self = super().__new__(cls, url.shown)
        self.url, self.access, self.traffic = url, access, Traffic()
        self._failure, self._name = None, ""
        self._pin(identity)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.url, self.access, self._identity), {"_name": self._name}

    def __str__(self) -> str:
        return self.url.shown

    # -- who it is ---------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        """Return which bytes this is, asking the server the first time.

        Returns
        -------
        Identity
            Size and entity tag, version or time of modification.

        Raises
        ------
        VideoError
            If it cannot be reached, is not there, or is empty.
        """
        self.raise_failure()
        if self._identity is None:
            found: list[Identity] = []
            with contextlib.closing(self._transport()) as transport:
                self._retry(lambda: found.append(transport.identify()), lambda: len(found))
            self._pin(found[0])
            assert self._identity is not None
        if self._identity.size == 0:
            raise fail(ProblemCode.E_EMPTY, "the file is empty (0 bytes); copy it again", self)
        return self._identity

    def size_bytes(self) -> int:
        """Return the size of the file."""
        return self.identity().size

    def remote_identity(self) -> tuple[str, int, str] | None:
        """Return what a content hash can be remembered under; None if the server promises nothing, or is away."""
        try:
            identity = self.identity()
        except VideoError:
            return None
        return (self.url.identity, identity.size, identity.tag) if identity.tag else None

    def known_hash(self) -> str | None:
        """Return the content hash, if these bytes were hashed before."""
        self.identity()
        return RemoteCache().known_hash(self._name)

    def _pin(self, identity: Identity | None) -> None:
        from evfr._core.store_format import digest_of

        self._identity = identity
        if identity is not None and not self._name:
            # Without a promise of the server these bytes are known only as long as this value lives.
            tag = identity.tag or secrets.token_hex(16)
            self._name = digest_of("remote", self.url.identity, identity.size, tag)

    # -- reading -----------------------------------------------------------------------------------------------

    def local(self) -> Path | None:
        """Return the local file with all of its bytes, if they were read before."""
        self.identity()
        return RemoteCache().whole(self._name)

    def open_bytes(self) -> BinaryIO:
        """Open it for reading; what is not on local disk yet is fetched when it is read.

        Returns
        -------
        binary file
            Seekable.

        Raises
        ------
        VideoError
            If it cannot be reached; later reads raise it too.
        """
        identity = self.identity()
        if (path := self.local()) is not None:
            with contextlib.suppress(OSError):
                return path.open("rb")
        try:
            entry = RemoteCache().entry(self._name, identity.size)
        except StoreError as error:
            raise fail(ProblemCode.E_UNREADABLE, str(error), self) from error
        return cast("BinaryIO", io.BufferedReader(_HoleyFile(self, entry, identity), BLOCK_BYTES))

    def raise_failure(self) -> None:
        """Raise what went wrong while somebody read who does not tell a failure from an end (FFmpeg)."""
        if self._failure is not None:
            raise self._failure

    def finish(self, digest: str) -> None:
        """Name the local copy by its content's hash, once it has been read to the end."""
        with contextlib.suppress(StoreError, OSError):
            identity = self.identity()
            cache = RemoteCache()
            if cache.whole(self._name) is not None:
                return
            entry = cache.entry(self._name, identity.size)
            with contextlib.closing(entry):
                if all(entry.has(block) for block in range(entry.block_count)):
                    entry.finish(digest)
                else:
                    remember(cache, self._name, digest)

    def _transport(self) -> Transport:
        if self.url.is_web:
            from evfr.video._remote_http import HttpTransport

            return HttpTransport(self.url, self.access)
        from evfr.video._remote_cloud import cloud_transport

        return cloud_transport(self.url, self.access)

    def _retry(self, attempt: Callable[[], None], progress: Callable[[], int]) -> None:
        """Try until it works; tries that got further do not count."""
        failures, best = 0, progress()
        while True:
            self.traffic.request_count += 1
            try:
                attempt()
                return
            except Dropped as error:
                failures, best = (1 if progress() > best else failures + 1), progress()
                if failures >= TRIES:
                    raise self._fail_for_good(
                        fail(
                            ProblemCode.E_UNREADABLE,
                            f"cannot be fetched, tried {failures} times without getting further: {error}; "
                            "check the network and run again: what was fetched is kept",
                            self,
                        )
                    ) from error
                # Many processes that lost one server shall not come back at the same moment.
                wait = BACKOFF_SECONDS * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
                time.sleep(max(wait, error.wait_seconds))
            except VideoError as error:
                raise self._fail_for_good(error) from error.__cause__

    def _fail_for_good(self, error: VideoError) -> VideoError:
        self._failure = error
        return error


class _HoleyFile(io.RawIOBase):
    """A file whose holes are filled when they are read: by more and more bytes while reading goes on in order."""

    name = "remote"

    def __init__(self, source: RemoteFile, entry: CacheEntry, identity: Identity) -> None:
        super().__init__()
        self._source, self._entry, self._identity = source, entry, identity
        self._transport: Transport | None = None
        self._position = 0
        self._ahead = _AHEAD_FIRST
        self._next_block = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._identity.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._identity.size - self._position)
        if wanted <= 0:
            return 0
        block, offset = divmod(self._position, BLOCK_BYTES)
        self._source.raise_failure()
        if not self._entry.has(block):
            self._fill(block)
        data = self._entry.read(block)[offset : offset + wanted]
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._entry.close()
            if self._transport is not None:
                self._transport.close()

    def _fill(self, block: int) -> None:
        """Fetch the hole that begins at a block, up to the next block that is there, and no further than is wise."""
        entry, identity = self._entry, self._identity
        self._ahead = min(self._ahead * 2, _AHEAD_MOST) if block == self._next_block else _AHEAD_FIRST
        last = block + 1
        if identity.has_ranges:
            while last < min(block + self._ahead, entry.block_count) and not entry.has(last):
                last += 1
            first = block
        else:
            first, last = 0, entry.block_count  # all or nothing
        self._next_block = last
        stop = min(last * BLOCK_BYTES, identity.size)
        pending = bytearray()
        done = first * BLOCK_BYTES

        def sink(piece: bytes) -> None:
            nonlocal done
            self._source.traffic.byte_count += len(piece)
            pending.extend(piece)
            done += len(piece)
            at = (done - len(pending)) // BLOCK_BYTES
            while pending and (len(pending) >= BLOCK_BYTES or done == identity.size):
                entry.put(at, bytes(pending[:BLOCK_BYTES]))
                del pending[:BLOCK_BYTES]
                at += 1

        def attempt() -> None:
            if self._transport is None:
                self._transport = self._source._transport()
            self._transport.fetch(done, stop, identity, sink)

        try:
            self._source._retry(attempt, lambda: done)
        except StoreError as error:
            raise self._source._fail_for_good(
                fail(ProblemCode.E_UNREADABLE, str(error), self._source)
            ) from error

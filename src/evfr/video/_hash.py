"""Hash planes by XXH64 and whole files by BLAKE2b.

XXH64 is Yann Collet's hash (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md); it is written here in
numba so that it reads a plane with padded rows without a copy and needs no further package.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np
from numba import njit, uint64

from evfr.errors import ProblemCode, VideoError
from evfr.video._bytes import open_bytes
from evfr.video._container import fail
from evfr.video._natural import image_names
from evfr.video._remote import RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["content_hash", "plane_hash"]

_P1 = 0x9E3779B185EBCA87
_P2 = 0xC2B2AE3D27D4EB4F
_P3 = 0x165667B19E3779F9
_P4 = 0x85EBCA77C2B2AE63
_P5 = 0x27D4EB2F165667C5
_CHUNK = 1 << 20


@njit(cache=True, nogil=True, inline="always")
def _rotate(value, count):  # type: ignore[no-untyped-def]
    return (value << uint64(count)) | (value >> uint64(64 - count))


@njit(cache=True, nogil=True, inline="always")
def _round(lane, word):  # type: ignore[no-untyped-def]
    return _rotate(lane + word * uint64(_P2), 31) * uint64(_P1)


@njit(cache=True, nogil=True, inline="always")
def _merge(value, lane):  # type: ignore[no-untyped-def]
    return (value ^ _round(uint64(0), lane)) * uint64(_P1) + uint64(_P4)


@njit(cache=True, nogil=True)
def _xxh64(words, tail, total):  # type: ignore[no-untyped-def]
    """Hash rows of 64-bit words (the row length a multiple of 4), then the bytes of the tail."""
    height, width = words.shape
    if height * width > 0:
        a = uint64(_P1) + uint64(_P2)
        b = uint64(_P2)
        c = uint64(0)
        d = uint64(0) - uint64(_P1)
        for y in range(height):
            for x in range(0, width, 4):
                a = _round(a, words[y, x])
                b = _round(b, words[y, x + 1])
                c = _round(c, words[y, x + 2])
                d = _round(d, words[y, x + 3])
        value = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
        value = _merge(_merge(_merge(_merge(value, a), b), c), d)
    else:
        value = uint64(_P5)
    value += uint64(total)
    position = 0
    while position + 8 <= len(tail):
        word = uint64(0)
        for k in range(8):
            word |= uint64(tail[position + k]) << uint64(8 * k)
        value = _rotate(value ^ _round(uint64(0), word), 27) * uint64(_P1) + uint64(_P4)
        position += 8
    if position + 4 <= len(tail):
        word = uint64(0)
        for k in range(4):
            word |= uint64(tail[position + k]) << uint64(8 * k)
        value = _rotate(value ^ (word * uint64(_P1)), 23) * uint64(_P2) + uint64(_P3)
        position += 4
    while position < len(tail):
        value = _rotate(value ^ (uint64(tail[position]) * uint64(_P5)), 11) * uint64(_P1)
        position += 1
    value = (value ^ (value >> uint64(33))) * uint64(_P2)
    value = (value ^ (value >> uint64(29))) * uint64(_P3)
    return value ^ (value >> uint64(32))


def plane_hash(plane: NDArray[np.uint8]) -> int:
    """Hash the rows of a plane, without the padding between them, by XXH64 with seed 0.

    Parameters
    ----------
    plane : (H, W) uint8
        Bytes of the rows; the last axis must be contiguous, the rows need not be.

    Returns
    -------
    int
        In [0, 2**64); equal to XXH64 of the rows written one after the other.

    Raises
    ------
    ValueError
        If the plane is not a 2-D uint8 array.

    Examples
    --------
    >>> hex(plane_hash(np.zeros((0, 0), np.uint8)))
    '0xef46db3751d8e999'
    """
    if plane.ndim != 2 or plane.dtype != np.uint8:
        raise ValueError(
            f"plane must be (H, W) uint8, got {plane.shape} {plane.dtype}; pass the bytes of its rows"
        )
    height, width = plane.shape
    total = height * width
    if width % 32 == 0 and total and plane.strides[1] == 1 and plane.strides[0] % 8 == 0:
        words = plane.view("<u8")
        tail = np.empty(0, np.uint8)
    else:
        flat = np.ascontiguousarray(plane).reshape(-1)
        stripes = total // 32 * 32
        words = flat[:stripes].view("<u8").reshape(1, -1)
        tail = flat[stripes:]
    return int(_xxh64(words, tail, total))


def content_hash(path: str | os.PathLike[str], *, on_chunk: Callable[[], None] | None = None) -> str:
    """Hash the bytes of a video file, or the names and bytes of a folder of images in natural order.

    Parameters
    ----------
    path : str or path-like
        A regular file (of any kind), a folder of images, or a `RemoteFile`: that is fetched whole, once.
    on_chunk : callable, optional
        Called without arguments after every few MiB, so that a slow disk shows that it is alive.

    Returns
    -------
    str
        BLAKE2b-128 in lower-case hexadecimal, 32 characters. A copy has the same hash wherever it lies.

    Raises
    ------
    VideoError
        If it cannot be opened or read (``E_NOT_FOUND``, ``E_UNREADABLE``, ``E_NOT_REGULAR``, ``E_EMPTY``).
    """
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(path, RemoteFile):
        known = path.known_hash()
        if known is None:
            _update(digest, path, on_chunk)
            known = digest.hexdigest()
            path.finish(known)
        return known
    if not os.path.isdir(path):  # noqa: PTH112 (a path of undecodable bytes stays as it is)
        _update(digest, path, on_chunk)
        return digest.hexdigest()
    names = image_names(path)
    if not names:
        raise fail(
            ProblemCode.E_EMPTY, "the folder has no images; give a folder of pictures or a video", path
        )
    for name in names:
        data = os.fsencode(name)
        digest.update(len(data).to_bytes(8, "little") + data)
        inner = hashlib.blake2b(digest_size=16)
        try:
            _update(inner, os.path.join(path, name), on_chunk)  # noqa: PTH118
        except VideoError as error:
            # An image that cannot be read is part of what the folder is: the video is used without it.
            inner.update(b"\0" + str(error.problem.code).encode())
        digest.update(inner.digest())
    return digest.hexdigest()


def _update(
    digest: hashlib.blake2b, path: str | os.PathLike[str], on_chunk: Callable[[], None] | None
) -> None:
    try:
        with open_bytes(path) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                if on_chunk is not None:
                    on_chunk()
    except OSError as error:
        raise fail(
            ProblemCode.E_UNREADABLE, f"cannot be read: {error.strerror}; check the disk", path
        ) from error

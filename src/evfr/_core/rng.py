"""Turn a seed at the edge into generators inside, one independent stream per name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["generator", "spawn_seed"]


def spawn_seed(seed: int, *names: str) -> int:
    """Derive a 63-bit seed from ``seed`` and names, the same on every machine and worker.

    Parameters
    ----------
    seed : int
        The user's seed, 0 or more.
    *names : str
        What the stream is for, for example a video id; equal names give equal seeds.

    Returns
    -------
    int
        In [0, 2**63).

    Raises
    ------
    ValueError
        If ``seed`` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    digest = hashlib.blake2b(digest_size=8)
    for part in (str(seed), *names):
        data = part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little") >> 1


def generator(seed: int) -> Generator:
    """Return numpy's PCG64 generator for ``seed``.

    Parameters
    ----------
    seed : int
        0 or more.

    Returns
    -------
    numpy.random.Generator
        A fresh generator.

    Raises
    ------
    ValueError
        If ``seed`` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    return np.random.Generator(np.random.PCG64(seed))

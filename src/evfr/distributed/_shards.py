"""Static shards: which of several processes, started by anything, does which part of the work."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Shard", "local_device", "shard"]


@dataclass(frozen=True, slots=True)
class Shard:
    """Name one part of the work that is divided over ``world_size`` processes.

    Attributes
    ----------
    rank : int
        Which part, from 0.
    world_size : int
        How many parts, 1 or more.
    local_rank : int or None
        Which process of this machine, from 0, where a launcher said it; it chooses the GPU.
    """

    rank: int
    world_size: int
    local_rank: int | None = None

    def __post_init__(self) -> None:
        if self.world_size < 1 or not 0 <= self.rank < self.world_size:
            raise ValueError(
                f"a shard is RANK/COUNT with a rank from 0 to {max(self.world_size, 1) - 1}, "
                f"got {self.rank}/{self.world_size}"
            )

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> Shard:
        """Read ``"0/4"``, or ``"env"`` for what torchrun and its kin put into the environment.

        Parameters
        ----------
        text : str
            ``RANK/COUNT``, ranks from 0, or ``env``: ``RANK``, ``WORLD_SIZE`` and, where it is set,
            ``LOCAL_RANK``.
        environment : mapping of str to str, optional
            Instead of the process's own.

        Returns
        -------
        Shard

        Raises
        ------
        ValueError
            If it is neither, or the environment has no such variables.
        """
        if text == "env":
            found = os.environ if environment is None else environment
            missing = [name for name in ("RANK", "WORLD_SIZE") if not found.get(name, "").isdecimal()]
            if missing:
                raise ValueError(
                    f"shard env needs whole numbers in {' and '.join(missing)}; start it with torchrun, "
                    "or give RANK/COUNT"
                )
            local = found.get("LOCAL_RANK", "")
            return cls(
                int(found["RANK"]), int(found["WORLD_SIZE"]), int(local) if local.isdecimal() else None
            )
        rank, slash, count = text.partition("/")
        if not (slash and rank.isdecimal() and count.isdecimal()):
            raise ValueError(f"shard must be RANK/COUNT, for example 0/4, or env, got {text!r}")
        return cls(int(rank), int(count))


def shard(keys: Sequence[str], rank: int, world_size: int) -> list[int]:
    """Return the rows of ``keys`` that are the business of one rank.

    Parameters
    ----------
    keys : sequence of str
        What names each piece of work for good: a content hash or a printable id.
    rank : int
        Which shard, from 0.
    world_size : int
        How many shards there are.

    Returns
    -------
    list of int
        Rows, increasing. The shards of all ranks are disjoint and cover everything.

    Raises
    ------
    ValueError
        If ``rank`` is not in ``0..world_size - 1``.

    Notes
    -----
    Distinct keys are dealt in the order of their hashes: shards differ by one key at most, long and short videos
    of one folder are mixed, equal keys stay together, and the order of the list means nothing. All ranks must
    be given the same keys; where files came or went between their starts, running again does what was left out.

    Examples
    --------
    >>> shard(["a.mp4", "b.mp4", "c.mp4"], 0, 2), shard(["a.mp4", "b.mp4", "c.mp4"], 1, 2)
    ([0, 1], [2])
    """
    mine = Shard(rank, world_size)
    dealt = {key: place for place, key in enumerate(sorted(set(keys), key=_digest))}
    return [row for row, key in enumerate(keys) if dealt[key] % mine.world_size == mine.rank]


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def local_device(part: Shard) -> str:
    """Return the device that one of several processes on this machine shall take.

    Parameters
    ----------
    part : Shard
        With ``local_rank``, as `Shard.parse` reads it from the environment.

    Returns
    -------
    str
        ``"cuda:N"`` with N = local rank modulo the number of GPUs; ``"auto"`` without local rank, torch or GPU.
    """
    import importlib.util

    if part.local_rank is None or importlib.util.find_spec("torch") is None:
        return "auto"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{part.local_rank % count}" if count else "auto"

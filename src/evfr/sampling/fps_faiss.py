"""EVFR's name for farthest point sampling; see docs/how-to/from-evfr.md. Exact, and it needs no faiss."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evfr._core.distances import usable_rows
from evfr._core.lazy import require
from evfr._core.npz import DAMAGED, read_npz
from evfr.errors import InputError
from evfr.sampling._farthest import farthest

__all__ = ["FarthestPointSampler"]

METRIC_NAMES = {"L2": "euclidean", "cosine": "cosine"}


class FarthestPointSampler:
    """Take points one by one, each the farthest from all before (FPS), as EVFR (Yoon & Choi 2023) documents it.

    Parameters
    ----------
    metric : {"L2", "cosine"}
        Euclidean distance, or 1 - cosine.
    device : {"cpu", "gpu"}
        Where to compute. ``"gpu"`` is torch on CUDA, in float32: among distances that are equal up to rounding it
        may choose another point than ``"cpu"``, which is exact.
    seed : int
        Draws the first point, the same as EVFR.
    npz_key : str
        Name of the array in ``.npz`` files.

    Raises
    ------
    ValueError
        If the metric or the device is none of these.
    InputError
        If ``device="gpu"`` and there is no CUDA device.
    """

    def __init__(
        self,
        metric: Literal["L2", "cosine"] = "L2",
        device: Literal["cpu", "gpu"] = "cpu",
        seed: int = 0,
        npz_key: str = "embedding",
    ) -> None:
        if metric not in METRIC_NAMES:
            raise ValueError(f"metric must be 'L2' or 'cosine', got {metric!r}")
        if device not in ("cpu", "gpu"):
            raise ValueError(f"device must be 'cpu' or 'gpu', got {device!r}")
        if device == "gpu" and not require("torch", extra="torch").cuda.is_available():
            raise InputError("device 'gpu' needs a CUDA device, and torch finds none; use device='cpu'")
        self.metric, self.device, self.seed, self.npz_key = metric, device, seed, npz_key

    def sample(
        self,
        points: Any = None,
        paths: Sequence[str | Path] | None = None,
        k: int = 1,
    ) -> NDArray[np.int64]:
        """Choose k different points.

        Parameters
        ----------
        points : (N, D) array, optional
            The points.
        paths : sequence of paths, optional
            ``.npz`` files that hold them, each (D,) or (M, D), stacked in this order.
        k : int
            How many, 1 to N.

        Returns
        -------
        (k,) int64
            Row numbers in the order taken; any prefix is the choice for a smaller k.

        Raises
        ------
        ValueError
            If not exactly one of points and paths is given, they are no (N, D), or k is not in 1..N.
        InputError
            If a file cannot be read or has no such array.
        """
        if (points is None) == (paths is None):
            raise ValueError("give points or paths, one of them")
        rows = np.asarray(points) if paths is None else np.vstack([self._load(path) for path in paths])
        metric: Any = METRIC_NAMES[self.metric]
        if rows.ndim != 2:
            raise ValueError(f"points must be (N, D), got {rows.shape}")
        candidates = np.flatnonzero(usable_rows(rows, metric))
        if not 1 <= k <= len(candidates):
            raise ValueError(
                f"k must be 1 to {len(candidates)}, the number of points that can be compared "
                f"({len(rows)} in all), got {k}"
            )
        first = int(candidates[random.Random(self.seed).randrange(len(candidates))])
        if self.device == "gpu":
            return self._sample_on_gpu(rows, candidates, first, k)
        found = farthest(rows, k, metric=metric, start=first)
        return np.asarray(found.indices[np.argsort(found.rank)], np.int64)

    def _load(self, path: str | Path) -> NDArray[Any]:
        try:
            return np.atleast_2d(read_npz(Path(path))[self.npz_key])
        except KeyError as error:
            raise InputError(f"{path} has no array {self.npz_key!r}; name it by npz_key=") from error
        except DAMAGED as error:
            raise InputError(f"cannot read {path} as a file of numpy.savez: {error}") from error

    def _sample_on_gpu(
        self, rows: NDArray[Any], candidates: NDArray[np.int64], first: int, k: int
    ) -> NDArray[np.int64]:
        torch = require("torch", extra="torch")
        data = torch.as_tensor(rows[candidates], dtype=torch.float32, device="cuda")
        if self.metric == "cosine":
            data = torch.nn.functional.normalize(data, dim=1)
        nearest = torch.full((len(data),), torch.inf, device="cuda")
        taken = [int(np.searchsorted(candidates, first))]
        while len(taken) < k:
            nearest = torch.minimum(nearest, ((data - data[taken[-1]]) ** 2).sum(dim=1))
            nearest[taken[-1]] = -1.0  # never twice, also when only duplicates are left
            taken.append(int(torch.nonzero(nearest == nearest.max())[0, 0]))  # the lowest of equals
        return np.asarray(candidates[taken], np.int64)

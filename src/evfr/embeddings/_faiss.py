"""Load faiss, and keep its threads to what was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from evfr._core.lazy import require
from evfr.errors import MissingExtraError

__all__ = ["faiss_threads", "load_faiss"]


def load_faiss(device: str) -> Any:
    """Return faiss, or raise MissingExtraError if it is not there, or not for the GPU that is asked for."""
    faiss = require("faiss", extra="search")
    if device == "gpu" and not (hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0):
        raise MissingExtraError(
            "device 'gpu' needs a faiss that was built for GPUs, and a GPU; "
            "run: conda install -c pytorch -c nvidia faiss-gpu, or use device 'cpu'"
        )
    return faiss


@contextlib.contextmanager
def faiss_threads(faiss: Any, count: int, *, has_blas: bool = True) -> Iterator[None]:
    """Let faiss use so many threads, and no BLAS where its rounding would decide what is looked at."""
    before, threshold = faiss.omp_get_max_threads(), faiss.cvar.distance_compute_blas_threshold
    faiss.omp_set_num_threads(count)
    if not has_blas:
        faiss.cvar.distance_compute_blas_threshold = 1 << 30
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
        faiss.cvar.distance_compute_blas_threshold = threshold

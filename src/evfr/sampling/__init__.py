"""Choose frames: an array and a number in, strictly increasing frame indices out.

Samplers never see a video. The contract is one call, ``sampler(array, n, *, seed=0, <own options>) -> Sample``. The
name of the first parameter says what the array is: ``weights`` (N,) float64, 0 or more (NaN is counted and weighs
nothing), or ``embeddings`` (N, D) (rows with NaN are counted and never chosen). ``n`` is between 0 and N, and the
result has exactly n indices, the probability that the design includes each, and a rank and a reason for each.

`sample` runs any of them on one video under `Constraints`, exactly; `allocate` splits a budget over videos or shots.

To add one: write one file with one function, add one line to `SAMPLERS`. Options of the command line, contract tests
and the reference page follow from its signature and docstring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evfr._core.distances import METRICS, distances, usable_rows
from evfr.sampling._adaptive import adaptive, draw_weighted, successive_inclusion
from evfr.sampling._allocate import STRIDES, allocate, budget
from evfr.sampling._auto import auto
from evfr.sampling._cells import time_cells
from evfr.sampling._classes import ClassCheck, class_check
from evfr.sampling._constraints import Constraints
from evfr.sampling._coverage import Coverage, coverage
from evfr.sampling._dedup import Dedup, dedup
from evfr.sampling._embedded import Part, Together, is_greedy, sample_rows, sample_together
from evfr.sampling._facility import facility, facility_objective
from evfr.sampling._farthest import farthest, farthest_order
from evfr.sampling._feasible import feasible_range
from evfr.sampling._kmeans import kmeans
from evfr.sampling._kmedoids import kmedoids
from evfr.sampling._pools import Merged, Pool, cut_pools, merge_pools, pool_rows
from evfr.sampling._quality import quality_mask
from evfr.sampling._random import random
from evfr.sampling._sample import SUPPLIED, Sample, Sampler, Segment, takes_embeddings
from evfr.sampling._segment_medoid import segment_medoid
from evfr.sampling._select import sample
from evfr.sampling._sieve import sieve
from evfr.sampling._stream import stream_centres
from evfr.sampling._systematic import systematic
from evfr.sampling._uniform import uniform

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "METRICS",
    "SAMPLERS",
    "STRIDES",
    "SUPPLIED",
    "ClassCheck",
    "Constraints",
    "Coverage",
    "Dedup",
    "Merged",
    "Part",
    "Pool",
    "Sample",
    "Sampler",
    "Segment",
    "Together",
    "adaptive",
    "allocate",
    "auto",
    "budget",
    "class_check",
    "coverage",
    "cut_pools",
    "dedup",
    "distances",
    "draw_weighted",
    "facility",
    "facility_objective",
    "farthest",
    "farthest_order",
    "feasible_range",
    "is_greedy",
    "kmeans",
    "kmedoids",
    "merge_pools",
    "pool_rows",
    "quality_mask",
    "random",
    "sample",
    "sample_rows",
    "sample_together",
    "segment_medoid",
    "sieve",
    "stream_centres",
    "successive_inclusion",
    "systematic",
    "takes_embeddings",
    "time_cells",
    "uniform",
    "usable_rows",
]

SAMPLERS: dict[str, Callable[..., Sample]] = {
    "uniform": uniform,
    "random": random,
    "adaptive": adaptive,
    "systematic": systematic,
    "auto": auto,
    "farthest": farthest,
    "facility": facility,
    "kmeans": kmeans,
    "kmedoids": kmedoids,
    "segment-medoid": segment_medoid,
}

"""How much one frame differs from the next, and what follows from it: weights, dynamicity, cuts.

A signal keeps something of each frame (``prepare``) and turns two consecutive ones into a dissimilarity
(``compare``): 0 for equal frames, NaN where it cannot be measured. `score_frames` runs any number of them in
one pass over decoded frames; `fvi`, `dynamicity`, `activity` and `find_cuts` are pure functions of the arrays
that come out, and the measures under the signals are pure functions of two grey pictures.

To add a signal: write a frozen dataclass with ``prepare``, ``compare`` and a JSON-ready ``parameters`` (all
that its values depend on; raise the schema version when they change), a factory from profile and embedder,
and one line in `SIGNALS`. A signal of your own needs no entry: hand it to `score_frames` in a dict.
"""

from collections.abc import Callable

from evfr.signals._cuts import block_means, content_change, cuts_from_embeddings, find_cuts
from evfr.signals._fvi import FviResult, activity, dynamicity, fvi
from evfr.signals._measures import (
    FARNEBACK,
    difference,
    feature_dissimilarity,
    motion_magnitude,
    optical_flow_dissimilarity,
)
from evfr.signals._quality import clipped_share, sharpness
from evfr.signals._score import ScoredFrames, score_frames
from evfr.signals._signals import (
    PROFILES,
    Embedder,
    Signal,
    feature_dissimilarities,
    make_difference,
    make_feature,
    make_flow,
    make_motion,
    make_signals,
    make_ssim,
    signal_parameters,
)
from evfr.signals._ssim import ssim, ssim_dissimilarity

__all__ = [
    "FARNEBACK",
    "PROFILES",
    "SIGNALS",
    "Embedder",
    "FviResult",
    "ScoredFrames",
    "Signal",
    "activity",
    "block_means",
    "clipped_share",
    "content_change",
    "cuts_from_embeddings",
    "difference",
    "dynamicity",
    "feature_dissimilarities",
    "feature_dissimilarity",
    "find_cuts",
    "fvi",
    "make_signals",
    "motion_magnitude",
    "optical_flow_dissimilarity",
    "score_frames",
    "sharpness",
    "signal_parameters",
    "ssim",
    "ssim_dissimilarity",
]

SIGNALS: dict[str, Callable[[str, Embedder | None], Signal]] = {
    "flow": make_flow,
    "ssim": make_ssim,
    "feature": make_feature,
    "difference": make_difference,
    "motion": make_motion,
}
"""Signal factories by name: (profile, embedder) to a `Signal`."""

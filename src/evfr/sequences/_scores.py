"""From class probabilities frame by frame to the scores of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["SequenceScores", "score_sequences"]


@dataclass(frozen=True, slots=True, eq=False)
class SequenceScores:
    """Hold the scores of N sequences.

    Attributes
    ----------
    category_scores : (N, C) float64
        Score of each class, in [0, 1].
    score : (N,) float64
        C_agn, the largest of them; 0 without classes.
    is_background : (N,) bool
        Whether the sequence is nowhere; its scores are 0.
    """

    category_scores: NDArray[np.float64]
    score: NDArray[np.float64]
    is_background: NDArray[np.bool_]


def score_sequences(
    probabilities: ArrayLike, is_there: ArrayLike, *, over: Literal["present", "all"] = "present"
) -> SequenceScores:
    """Average class probabilities over the frames of a sequence (Lin et al. 2021, Eq. 1).

    Parameters
    ----------
    probabilities : (N, T, C) array_like of float
        Probability of each real class (the background left out) at the box of sequence n's mask in frame t, in
        [0, 1]; not read where there is no mask.
    is_there : (N, T) array_like of bool
        Where the sequence has a mask with pixels and was scored.
    over : {"present", "all"}
        Divide by the number of frames where it is there, as the released code does, or by T, as the paper says: a
        frame without a mask then counts as background.

    Returns
    -------
    SequenceScores
        Of N sequences.

    Raises
    ------
    ValueError
        If the shapes do not fit, an option is not known, or a probability that is read is NaN or outside [0, 1].

    Examples
    --------
    >>> score_sequences([[[0.9, 0.1], [0.5, 0.2], [0.0, 0.0]]], [[True, True, False]]).category_scores.round(3)
    array([[0.7 , 0.15]])
    """
    if over not in ("present", "all"):
        raise ValueError(f"over must be 'present' or 'all', got {over!r}")
    values = np.asarray(probabilities, np.float64)
    there = np.asarray(is_there, np.bool_)
    if values.ndim != 3 or values.shape[:2] != there.shape:
        raise ValueError(
            f"probabilities must be (N, T, C) and is_there (N, T), got {values.shape} and {there.shape}"
        )
    is_wrong = there[..., None] & ~((values >= 0.0) & (values <= 1.0))
    if is_wrong.any():
        n, t, c = (int(axis[0]) for axis in np.nonzero(is_wrong))
        raise ValueError(
            f"sequence {n}, frame {t}: the probability of class {c} must be in 0..1, got {values[n, t, c]:g}"
        )
    seen = there.sum(axis=1)
    divisor = np.maximum(seen if over == "present" else np.full(len(seen), there.shape[1]), 1)
    # A mean of numbers up to 1 may come out a rounding step above 1.
    means = np.minimum(np.where(there[..., None], values, 0.0).sum(axis=1) / divisor[:, None], 1.0)
    return SequenceScores(means, means.max(axis=1, initial=0.0), seen == 0)

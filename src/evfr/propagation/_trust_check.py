"""How far trust itself can be believed: rank, calibration, and the IoU to expect with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.rng import generator
from evfr.propagation._trust_model import BUILT_IN_TRUST, PRIOR_SPREAD, TrustModel, check_rows, fit_trust

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr.propagation._trust import HeldOut

__all__ = ["ExpectedIou", "TrustCheck", "calibration_error", "check_trust", "expected_iou", "spearman"]


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Return the rank correlation of two measurements (Spearman 1904).

    Parameters
    ----------
    a, b : (N,) float
        Pairs with a NaN are left out; ties share their mean rank.

    Returns
    -------
    float
        In [-1, 1]; NaN for fewer than two pairs, or where all values of one are equal.

    Raises
    ------
    ValueError
        If the lengths differ.

    Examples
    --------
    >>> spearman([1, 2, 3, 4], [10, 20, 40, 30])
    0.8
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"a and b must be (N,) and equally long, got {first.shape} and {second.shape}")
    usable = ~(np.isnan(first) | np.isnan(second))
    ranks = [_ranks(values[usable]) for values in (first, second)]
    ranks = [values - values.mean() if len(values) else values for values in ranks]
    size = float(np.sqrt(np.square(ranks[0]).sum() * np.square(ranks[1]).sum()))
    return round(float(ranks[0] @ ranks[1]) / size, 15) if size > 0 else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def calibration_error(trust: ArrayLike, true_iou: ArrayLike, *, bins: int = 10) -> float:
    """Return the expected calibration error: how far trust is from the IoU that came true (Naeini et al. 2015).

    Parameters
    ----------
    trust, true_iou : (N,) float
        Predicted and true, each in [0, 1].
    bins : int
        Bins of equal width in [0, 1].

    Returns
    -------
    float
        Mean over bins, weighted by their rows, of |mean trust - mean IoU|; NaN without rows. Few rows raise it: the
        mean of a bin with one row is that row.

    Raises
    ------
    ValueError
        If the arrays differ in length, a trust is not in [0, 1], or there is no bin.

    References
    ----------
    Naeini, Cooper & Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.

    Examples
    --------
    >>> calibration_error([0.75, 0.75, 0.25], [0.5, 1.0, 0.5])
    0.08333333333333333
    """
    predicted, came = np.asarray(trust, np.float64), np.asarray(true_iou, np.float64)
    if predicted.ndim != 1 or predicted.shape != came.shape:
        raise ValueError(f"trust and true_iou must be (N,), got {predicted.shape} and {came.shape}")
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    if not ((predicted >= 0) & (predicted <= 1)).all():
        raise ValueError("trust must be in [0, 1] without NaN; leave out what was not measured")
    if not len(predicted):
        return float("nan")
    place = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    return float(np.abs(np.bincount(place, predicted - came)).sum() / len(predicted))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrustCheck:
    """Hold how trust did on held-out frames that it was not fitted on.

    Attributes
    ----------
    trust : (N,) float64
        Predicted for each held-out object, by a model fitted on the other held-out frames.
    true_iou : (N,) float64
        What came true.
    calibration_error : float
        See `calibration_error`; NaN without rows.
    spearman : float
        Rank correlation of the two; NaN where it is not defined.
    """

    trust: NDArray[np.float64]
    true_iou: NDArray[np.float64]
    calibration_error: float
    spearman: float

    def __repr__(self) -> str:
        return (
            f"TrustCheck({len(self.trust)} held-out objects, calibration error {self.calibration_error:.3f}, "
            f"Spearman {self.spearman:.2f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; NaN is None."""
        return {
            "row_count": len(self.trust),
            "calibration_error": _or_none(self.calibration_error),
            "spearman": _or_none(self.spearman),
        }


def check_trust(rows: HeldOut, *, prior: TrustModel = BUILT_IN_TRUST, bins: int = 10) -> TrustCheck:
    """Predict each held-out frame by a model fitted on the others, and compare.

    Parameters
    ----------
    rows : HeldOut
        All held-out rows of a run.
    prior : TrustModel
        What each fit is drawn towards.
    bins : int
        Of the calibration error.

    Returns
    -------
    TrustCheck
        With one prediction per row on which anything was measured.
    """
    values, came, frames = check_rows(rows.features, rows.true_iou, rows.frames)
    trust = np.zeros(len(came))
    for frame in np.unique(frames):
        mine = frames == frame
        trust[mine] = fit_trust(values[~mine], came[~mine], frames[~mine], prior=prior).predict(values[mine])
    return TrustCheck(trust, came, calibration_error(trust, came, bins=bins), spearman(trust, came))


@dataclass(frozen=True, slots=True)
class ExpectedIou:
    """Hold what IoU to expect of the carried labels.

    Attributes
    ----------
    mean : float
        Mean trust over carried objects and frames; NaN if nothing was carried.
    low, high : float
        Interval that holds the true mean with the stated confidence, if the carried frames are like the held-out ones.
    confidence : float
        In (0, 1).
    held_out_frames : int
        Labelled frames behind it; with 0 the interval is that of the built-in model alone, and wide.
    """

    mean: float
    low: float
    high: float
    confidence: float
    held_out_frames: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; NaN is None."""
        return {
            "mean": _or_none(self.mean),
            "low": _or_none(self.low),
            "high": _or_none(self.high),
            "confidence": self.confidence,
            "held_out_frames": self.held_out_frames,
        }


def expected_iou(
    features: ArrayLike,
    rows: HeldOut,
    *,
    prior: TrustModel = BUILT_IN_TRUST,
    confidence: float = 0.9,
    draws: int = 200,
    seed: int = 0,
) -> ExpectedIou:
    """Estimate the mean IoU of what was carried, from what held-out labels showed.

    Parameters
    ----------
    features : (N, 5) float
        Of all carried objects and frames without a label, as `trust_features` makes them.
    rows : HeldOut
        Held-out rows of the same run.
    prior : TrustModel
        What the fits are drawn towards.
    confidence : float
        Of the interval, in (0, 1).
    draws : int
        Fits for the interval, 1 or more.
    seed : int
        Of the draws.

    Returns
    -------
    ExpectedIou
        Mean and interval.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Each draw takes as many held-out frames with replacement as there are (whole frames: objects on one frame fail
    together), moves the prior by its own spread, fits again, and adds the mean of as many of the frames' own
    deviations; the interval holds the middle of the draws.
    Held-out frames lie twice as far from the next label as carried ones do; the model's distance term carries that
    over, and is what the interval trusts most.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    if draws < 1:
        raise ValueError(f"draws must be 1 or more, got {draws}")
    values, came, frames = check_rows(rows.features, rows.true_iou, rows.frames)
    carried = np.asarray(features, np.float64)
    carried = carried[~np.isnan(carried).all(axis=-1)]
    groups = [np.flatnonzero(frames == frame) for frame in np.unique(frames)]
    if not len(carried):
        return ExpectedIou(np.nan, np.nan, np.nan, confidence, len(groups))
    fitted = fit_trust(values, came, frames, prior=prior)
    mean = float(fitted.predict(carried).mean())
    scatter = came - fitted.predict(values)
    scatter = np.array([scatter[group].mean() for group in groups])
    rng = generator(seed)
    means = []
    for _ in range(draws):
        picks = rng.integers(len(groups), size=len(groups)).tolist() if groups else []
        taken = np.concatenate([np.zeros(0, np.int64), *[groups[pick] for pick in picks]])
        copies = np.repeat(np.arange(len(picks)), [len(groups[pick]) for pick in picks])
        model = fit_trust(values[taken], came[taken], copies, prior=_moved(prior, rng))
        luck = float((rng.choice(scatter, len(groups)) - scatter.mean()).mean()) if groups else 0.0
        means.append(min(max(float(model.predict(carried).mean()) + luck, 0.0), 1.0))
    tail = (1.0 - confidence) / 2
    low, high = (float(value) for value in np.quantile(means, [tail, 1.0 - tail]))
    return ExpectedIou(mean, min(low, mean), max(high, mean), confidence, len(groups))


def _moved(prior: TrustModel, rng: np.random.Generator) -> TrustModel:
    """Return the prior with noise of its own spread: what another clip's model might be."""
    noise = rng.normal(size=len(PRIOR_SPREAD)) * np.array(PRIOR_SPREAD)
    weights = np.maximum(np.array(prior.weights) + noise[1:], 0.0)
    return TrustModel(prior.intercept + float(noise[0]), tuple(float(w) for w in weights), prior.fill)


def _or_none(value: float) -> float | None:
    return value if value == value else None

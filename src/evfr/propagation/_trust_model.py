"""A small monotone model from evidence to trust: more error, more disagreement or more distance never raises it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["BUILT_IN_TRUST", "TRUST_FEATURES", "TrustModel", "fit_trust", "trust_features"]

TRUST_FEATURES = ("residual", "disagreement", "area_jump", "shape_jump", "distance")
"""What trust falls with, in the order of the last axis of `trust_features`."""

_RESIDUAL_SCALE = 6.0
_LARGEST_LOGIT = 30.0


class _Evidence(Protocol):
    """The measured columns of a carry: each (T, K), NaN where not measured."""

    @property
    def residual(self) -> NDArray[np.float64]: ...
    @property
    def agreement(self) -> NDArray[np.float64]: ...
    @property
    def area_jump(self) -> NDArray[np.float64]: ...
    @property
    def shape_jump(self) -> NDArray[np.float64]: ...
    @property
    def distance(self) -> NDArray[np.float64]: ...


def trust_features(evidence: _Evidence) -> NDArray[np.float64]:
    """Turn evidence into features that only ever lower trust.

    Parameters
    ----------
    evidence : Evidence
        Columns ``residual`` (grey levels), ``agreement`` (0..1), ``area_jump`` (0 or more), ``shape_jump`` (0..1) and
        ``distance`` (frames), each (T, K), NaN where not measured.

    Returns
    -------
    (T, K, 5) float64
        In the order of `TRUST_FEATURES`, each 0 or more, 0 = no doubt: log(1 + residual / 6), 1 - agreement,
        area_jump / (1 + area_jump), the largest shape_jump on the way from the nearest label, log(1 + distance); NaN
        where not measured.

    Notes
    -----
    Behind an obstacle a carry may go on for many frames without a jump, all of them wrong: what counts is the worst
    jump on the way there.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> one = np.zeros((1, 1))
    >>> columns = SimpleNamespace(residual=one, agreement=one + 1, area_jump=one, shape_jump=one, distance=one)
    >>> trust_features(columns).tolist()
    [[[0.0, 0.0, 0.0, 0.0, 0.0]]]
    """
    area = np.abs(np.asarray(evidence.area_jump, np.float64))
    distance = np.asarray(evidence.distance, np.float64)
    columns = (
        np.log1p(np.asarray(evidence.residual, np.float64) / _RESIDUAL_SCALE),
        1.0 - np.asarray(evidence.agreement, np.float64),
        area / (1.0 + area),
        _worst_on_the_way(np.asarray(evidence.shape_jump, np.float64), distance),
        np.log1p(distance),
    )
    return np.stack(columns, axis=-1)


def _worst_on_the_way(jump: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest jump between the nearest label and each frame; distances tell on which side that label is."""
    from_right = np.zeros(jump.shape, np.bool_)
    from_right[:-1] = distance[1:] < distance[:-1]
    known = np.nan_to_num(jump)
    left = np.maximum.accumulate(np.where(from_right, 0.0, known), axis=0)
    right = np.maximum.accumulate(np.where(from_right, known, 0.0)[::-1], axis=0)[::-1]
    return np.where(np.isnan(jump), np.nan, np.where(from_right, right, left))


@dataclass(frozen=True, slots=True)
class TrustModel:
    """Hold a fitted model: trust = sigmoid(intercept - sum of weight x feature).

    Attributes
    ----------
    intercept : float
        Log odds of the expected IoU where no evidence speaks against a carry.
    weights : tuple of float
        One per feature of `TRUST_FEATURES`, 0 or more: that is what makes the model monotone.
    fill : tuple of float
        One per feature: stands in where a feature was not measured.
    row_count, frame_count : int
        Held-out objects and frames it was fitted on; 0 for the built-in model.
    origin : str
        Where the coefficients come from.

    Raises
    ------
    ValueError
        If a number is missing, not finite, or a weight or fill is negative.
    """

    intercept: float
    weights: tuple[float, ...]
    fill: tuple[float, ...]
    row_count: int = 0
    frame_count: int = 0
    origin: str = ""

    def __post_init__(self) -> None:
        count = len(TRUST_FEATURES)
        if len(self.weights) != count or len(self.fill) != count:
            raise ValueError(
                f"a trust model needs {count} weights and {count} fill values, one per feature "
                f"{TRUST_FEATURES}, got {len(self.weights)} and {len(self.fill)}"
            )
        if not np.isfinite([self.intercept, *self.weights, *self.fill]).all():
            raise ValueError("the numbers of a trust model must be finite")
        if min(*self.weights, *self.fill) < 0:
            raise ValueError(f"weights and fill values must be 0 or more, got {self.weights} and {self.fill}")

    def predict(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return trust: the IoU that is expected of a carry with these features.

        Parameters
        ----------
        features : (..., 5) float
            As `trust_features` makes them; NaN = not measured, filled with ``fill``.

        Returns
        -------
        (...) float64
            In [0, 1]; NaN where nothing at all was measured.

        Raises
        ------
        ValueError
            If the last axis is not one feature each.
        """
        values = _checked(features)
        logit = self.intercept - self.filled(values) @ np.array(self.weights)
        with np.errstate(over="ignore"):
            trust = 1.0 / (1.0 + np.exp(-logit))
        return np.where(np.isnan(values).all(axis=-1), np.nan, trust)

    def filled(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return the features with the model's stand-ins where they were not measured.

        Parameters
        ----------
        features : (..., 5) float
            As `trust_features` makes them.

        Returns
        -------
        (..., 5) float64
            Without NaN.
        """
        values = np.asarray(features, np.float64)
        return np.where(np.isnan(values), np.array(self.fill), values)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict that `from_dict` reads."""
        return {
            "intercept": self.intercept,
            "weights": dict(zip(TRUST_FEATURES, self.weights, strict=True)),
            "fill": dict(zip(TRUST_FEATURES, self.fill, strict=True)),
            "row_count": self.row_count,
            "frame_count": self.frame_count,
            "origin": self.origin,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrustModel:
        """Read what `to_dict` made.

        Parameters
        ----------
        data : mapping
            The dict.

        Returns
        -------
        TrustModel
            An equal model.

        Raises
        ------
        ValueError
            If a feature is missing.
        """
        try:
            weights, fill = (
                tuple(float(data[part][name]) for name in TRUST_FEATURES) for part in ("weights", "fill")
            )
            intercept = float(data["intercept"])
        except KeyError as error:
            raise ValueError(f"a trust model lacks {error.args[0]!r}; it needs {TRUST_FEATURES}") from error
        rows, frames = (int(data.get(name, 0)) for name in ("row_count", "frame_count"))
        return cls(intercept, weights, fill, rows, frames, str(data.get("origin", "")))


BUILT_IN_TRUST = TrustModel(
    intercept=2.97,
    weights=(0.32, 1.03, 1.32, 2.02, 0.16),
    fill=(1.22, 0.4, 0.03, 0.14, 1.79),
    origin="built in: 11 clips, labels every 10 and 25 frames, default method",
)
"""What is used before any labelled frame was held out, and what few held-out frames are drawn towards.

Printed by ``benchmarks/bench_trust.py``: fitted on the default method's carries in the nine DAVIS clips, chair and
highway, at half size, with labels every 10 and 25 frames and across each of these. What the benchmark judges is never
this model but, for each clip, one fitted the same way on the other ten."""

PRIOR_SPREAD = (1.0, 0.2, 0.3, 0.5, 0.6, 0.1)
"""How far intercept and weights of single clips may lie from the built-in ones (standard deviations).

The intercepts of the eleven clips lie 0.7 apart, their weights closer; other footage will be further away."""

DISPERSION = 0.1
"""Variance of the IoU around its mean m as a share of m (1 - m): how much more a row says than a toss of a coin.

The eleven clips have 0.05; held-out frames of one clip are alike, so each says half of that."""


def fit_trust(
    features: ArrayLike,
    true_iou: ArrayLike,
    frames: ArrayLike,
    *,
    prior: TrustModel = BUILT_IN_TRUST,
    spread: tuple[float, ...] = PRIOR_SPREAD,
) -> TrustModel:
    """Fit trust on labelled frames that were held out: what the evidence said, and how good the carry was.

    Parameters
    ----------
    features : (N, 5) float
        One row per object on a held-out frame, as `trust_features` makes them; NaN = not measured. Rows of NaN
        alone are left out.
    true_iou : (N,) float
        IoU of the carried object with its label, in [0, 1].
    frames : (N,) int
        Which held-out frame a row belongs to.
    prior : TrustModel
        What the fit is drawn towards: alone where there are no rows, hardly where there are many.
    spread : tuple of float
        Standard deviations of the prior's intercept and weights: infinite ones let the rows alone decide.

    Returns
    -------
    TrustModel
        Monotone: no weight is below 0.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, or an IoU is not in [0, 1].

    Notes
    -----
    Maximum of the binomial quasi-likelihood of the IoU (Papke & Wooldridge 1996) with a dispersion of 0.1, times a
    normal prior, under weights >= 0: Newton steps whose quadratic is solved by cyclic coordinate descent with
    clipping, halved where the objective would rise. A frame counts as one observation however many objects it has,
    because objects on one frame fail together.

    References
    ----------
    Papke & Wooldridge, "Econometric methods for fractional response variables", Journal of Applied Econometrics 11
    (1996), doi:10.1002/(SICI)1099-1255(199611)11:6<619::AID-JAE418>3.0.CO;2-1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.random((200, 5)) * [2, 1, 1, 1, 3]
    >>> iou = 1 / (1 + np.exp(-(2.5 - 3 * rows[:, 1])))
    >>> model = fit_trust(rows, iou, np.arange(200), spread=(np.inf,) * 6)
    >>> round(model.intercept, 2), round(model.weights[1], 2)
    (2.5, 3.0)
    """
    values, iou, keys = check_rows(features, true_iou, frames)
    if len(spread) != len(TRUST_FEATURES) + 1 or not min(spread) > 0:
        raise ValueError(f"spread must be {len(TRUST_FEATURES) + 1} numbers above 0, got {spread}")
    measured = ~np.isnan(values)
    fill = np.array(prior.fill)
    for column in np.flatnonzero(measured.any(axis=0)):
        fill[column] = np.median(values[measured[:, column], column])
    values = np.where(measured, values, fill)
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    shares = np.asarray(1.0 / (DISPERSION * sizes[group]), np.float64)
    start = np.array([prior.intercept, *prior.weights])
    found = _maximise(values, iou, shares, start, 1.0 / np.square(np.array(spread)))
    return TrustModel(
        float(found[0]),
        tuple(float(value) for value in found[1:]),
        tuple(float(value) for value in fill),
        row_count=len(values),
        frame_count=len(sizes),
        origin=f"{len(values)} objects on {len(sizes)} held-out frames, drawn towards: {prior.origin or 'a prior'}",
    )


def check_rows(
    features: ArrayLike, true_iou: ArrayLike, frames: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return held-out rows as arrays that fit each other, without those on which nothing was measured."""
    values = _checked(features)
    iou, keys = np.asarray(true_iou, np.float64), np.asarray(frames, np.int64)
    if values.ndim != 2 or iou.shape != values.shape[:1] or keys.shape != iou.shape:
        raise ValueError(
            f"features (N, {len(TRUST_FEATURES)}), true_iou (N,) and frames (N,) must fit each other, got "
            f"{values.shape}, {iou.shape} and {keys.shape}"
        )
    bad = np.flatnonzero(~((iou >= 0.0) & (iou <= 1.0)))
    if len(bad):
        raise ValueError(f"true_iou[{bad[0]}] must be in [0, 1], got {iou[bad[0]]}")
    known = ~np.isnan(values).all(axis=1)
    return values[known], iou[known], keys[known]


def _checked(features: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(features, np.float64)
    if values.ndim < 1 or values.shape[-1] != len(TRUST_FEATURES):
        raise ValueError(f"the last axis of features must be {TRUST_FEATURES}, got shape {values.shape}")
    return values


def _maximise(
    values: NDArray[np.float64],
    iou: NDArray[np.float64],
    shares: NDArray[np.float64],
    start: NDArray[np.float64],
    precision: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return intercept and weights: columns enter with a minus, so that weights are the falls of the logit."""
    design = np.column_stack([np.ones(len(values)), -values])

    def cost(point: NDArray[np.float64]) -> float:
        logit = design @ point
        fit = np.logaddexp(0.0, logit) - iou * logit
        return float(shares @ fit + 0.5 * precision @ np.square(point - start))

    point = start.copy()
    # Without a prior, rows that separate perfectly would send the logit to infinity.
    damp = 1e-9
    now = cost(point)
    for _ in range(100):
        logit = np.clip(design @ point, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        chance = 1.0 / (1.0 + np.exp(-logit))
        slope = design.T @ (shares * (chance - iou)) + precision * (point - start)
        curve = design.T @ (design * (shares * chance * (1.0 - chance))[:, None]) + np.diag(precision + damp)
        step = _clipped_newton(curve, slope, point) - point
        length = 1.0
        while length > 1e-6 and cost(point + length * step) > now:
            length /= 2
        point = point + length * step if length > 1e-6 else point
        then, now = now, cost(point)
        if then - now <= 1e-12 * (1.0 + abs(now)):
            break
    return np.concatenate([point[:1], np.maximum(point[1:], 0.0)])


@numba.njit(cache=True, nogil=True)
def _clipped_newton(
    curve: NDArray[np.float64], slope: NDArray[np.float64], point: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the minimum of the quadratic around ``point`` with all but the first coordinate 0 or more."""
    found = point.copy()
    gradient = slope.copy()
    for _ in range(1000):
        largest = 0.0
        for axis in range(len(found)):
            target = found[axis] - gradient[axis] / curve[axis, axis]
            if axis > 0 and target < 0.0:
                target = 0.0
            move = target - found[axis]
            if move != 0.0:
                gradient += curve[:, axis] * move
                found[axis] = target
                largest = max(largest, abs(move))
        if largest < 1e-10:
            break
    return found

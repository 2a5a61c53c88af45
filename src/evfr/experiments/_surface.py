"""Two kinds of labels, clips and frames: a - b clips^-c - d frames^-e, and which of the two to add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr.errors import InputError
from evfr.experiments._curve import REACH
from evfr.experiments._curve_fit import check_fit_options, fit_and_draw, percentiles

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Surface", "fit_surface"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Surface:
    """Hold score(clips, frames) = a - b clips^-c - d frames^-e with what the bootstrap says of it.

    Attributes
    ----------
    a, b, c, d, e : float
        Plateau; loss at one clip and its exponent; loss at one frame and its exponent.
    clips_max, frames_max : int
        Largest numbers measured.
    clips_min, frames_min : int
        Smallest.
    clip_gain, frame_gain : float
        What twice the clips (at as many frames), and twice the frames (in as many clips), would gain.
    clip_gain_interval, frame_gain_interval : tuple of float
        Their intervals.
    clip_advantage : tuple of float
        Interval of ``clip_gain - frame_gain``.
    verdict : {"clips", "frames", "either", "neither"}
        What to add: the one that gains more for sure; either, where that is not sure; neither, where both gain less
        than the tolerance for sure.
    text : str
        The verdict in one sentence.
    samples : (draws, 5) float64
        Bootstrapped a, losses at the largest numbers (clips, frames), exponents (clips, frames).
    confidence : float
        Of the intervals.
    """

    a: float
    b: float
    c: float
    d: float
    e: float
    clips_max: int
    frames_max: int
    clips_min: int
    frames_min: int
    clip_gain: float
    frame_gain: float
    clip_gain_interval: tuple[float, float]
    frame_gain_interval: tuple[float, float]
    clip_advantage: tuple[float, float]
    verdict: Literal["clips", "frames", "either", "neither"]
    text: str
    samples: NDArray[np.float64]
    confidence: float

    def __repr__(self) -> str:
        return (
            f"Surface({self.a:.3f} - {self.b:.3g} clips^-{self.c:.2f} - {self.d:.3g} frames^-{self.e:.2f}, "
            f"add {self.verdict})"
        )

    def score(self, clips: float, frames: float) -> float:
        """Return the fitted score.

        Parameters
        ----------
        clips, frames : float
            From the smallest measured to twice the largest; frames are those of all clips together.

        Returns
        -------
        float
            a - b clips^-c - d frames^-e.

        Raises
        ------
        ValueError
            If one is outside.
        """
        self._check(clips, frames)
        return float(self.a - self.b * clips**-self.c - self.d * frames**-self.e)

    def score_interval(self, clips: float, frames: float) -> tuple[float, float]:
        """Return the interval of the mean score.

        Parameters
        ----------
        clips, frames : float
            As in `score`.

        Returns
        -------
        low, high : float
            By the bootstrap's percentiles.

        Raises
        ------
        ValueError
            If one is outside.
        """
        self._check(clips, frames)
        a, b, d, c, e = self.samples.T
        drawn = a - b * (clips / self.clips_max) ** -c - d * (frames / self.frames_max) ** -e
        return percentiles(drawn, self.confidence)

    def _check(self, clips: float, frames: float) -> None:
        for name, value, low, high in (
            ("clips", clips, self.clips_min, self.clips_max),
            ("frames", frames, self.frames_min, self.frames_max),
        ):
            if not low <= value <= REACH * high:
                raise ValueError(
                    f"{value:g} {name} is outside {low} to {REACH * high:g}: measured was {low} to {high}, and "
                    "nothing is said beyond twice that; measure more"
                )


def fit_surface(
    clips: ArrayLike,
    frames: ArrayLike,
    score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
    draws: int = 200,
    tolerance: float = 0.01,
    ceiling: float = 1.0,
    confidence: float = 0.95,
) -> Surface:
    """Fit a - b clips^-c - d frames^-e by soft-L1 and bootstrap it (METHODS, statistics; ours).

    Parameters
    ----------
    clips, frames : (N,) array_like
        Labelled clips, and labelled frames of all of them together, of each run.
    score : (N,) array_like
        What each run reached; NaN is a run without a score and is left out.
    groups : (N,) array_like or None
        Seed of each run.
    seed : int
        Of the bootstrap.
    draws : int
        Bootstrapped data sets, 20 or more.
    tolerance : float
        Gain of twice the labels that is not worth them, above 0.
    ceiling : float
        Largest possible score.
    confidence : float
        In (0.5, 1).

    Returns
    -------
    Surface
        With b or d 0 where no rise is seen.

    Raises
    ------
    ValueError
        If shapes or options do not fit.
    InputError
        If fewer than three numbers of either have a score, fewer than six runs do, or both always change together: the
        two cannot be told apart.

    Notes
    -----
    Like the variance of a mean over clips and frames, the loss has a part that only more clips lower and one
    that any more frames lower.
    """
    check_fit_options(draws, tolerance, confidence)
    sizes = np.column_stack([np.asarray(clips, dtype=np.float64), np.asarray(frames, dtype=np.float64)])
    scores = np.asarray(score, dtype=np.float64)
    if scores.shape != (len(sizes),):
        raise ValueError(
            f"clips, frames and score must have one shape (N,), got {len(sizes)} and {scores.shape}"
        )
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError("clips and frames must be whole numbers above 0")
    usable = np.isfinite(scores)
    sizes, scores = sizes[usable], scores[usable]
    different = [len(np.unique(column)) for column in sizes.T]
    if min(different) < 3 or len(scores) < 6:
        raise InputError(
            f"two axes need 6 runs at 3 or more numbers of clips and of frames, got {len(scores)} runs with a score at "
            f"{different[0]} and {different[1]}; plan one: evfr experiment plan two-axis"
        )
    logs = np.log(sizes)
    correlation = float(np.corrcoef(logs.T)[0, 1])
    if abs(correlation) > 0.98:
        raise InputError(
            f"clips and frames always change together (correlation {correlation:.3f}), so that their effects cannot be "
            "told apart; plan runs that change one alone: evfr experiment plan two-axis"
        )
    largest = sizes.max(axis=0)
    seeds = None
    if groups is not None:
        values, numbers = np.unique(np.asarray(groups)[usable], return_inverse=True)
        seeds = numbers.astype(np.int64) if len(values) > 1 and np.bincount(numbers).min() > 1 else None
    (a, b, d, c, e), _, samples, _ = fit_and_draw(sizes / largest, scores, seeds, ceiling, draws, seed)
    drawn = samples[:, 1:3] * (1.0 - REACH ** -samples[:, 3:5])
    gains = np.array([b, d]) * (1.0 - REACH ** -np.array([c, e]))
    advantage = percentiles(drawn[:, 0] - drawn[:, 1], confidence)
    is_low = (np.quantile(drawn, confidence, axis=0) < tolerance).all()
    verdict: Literal["clips", "frames", "either", "neither"] = (
        "neither" if is_low else "clips" if advantage[0] > 0 else "frames" if advantage[1] < 0 else "either"
    )
    clip_interval, frame_interval = (percentiles(column, confidence) for column in drawn.T)
    k, n = (int(value) for value in largest)
    level = f"{100 * confidence:.4g} %"
    parts = (
        f"twice the clips ({2 * k}, at {n} frames) would gain {gains[0]:.3f} ({level} interval {clip_interval[0]:.3f} "
        f"to {clip_interval[1]:.3f}), twice the frames ({2 * n}, in {k} clips) {gains[1]:.3f} "
        f"({frame_interval[0]:.3f} to {frame_interval[1]:.3f})"
    )
    lead = {
        "clips": "not saturated: label other clips rather than more frames of these",
        "frames": "not saturated: label more frames of these clips rather than other clips",
        "either": "not saturated: more clips or more frames, which of them is not proven",
        "neither": f"saturated: neither gains {tolerance:g}",
    }[verdict]
    return Surface(
        a=float(a),
        b=float(b * largest[0] ** c),
        c=float(c),
        d=float(d * largest[1] ** e),
        e=float(e),
        clips_max=k,
        frames_max=n,
        clips_min=int(sizes[:, 0].min()),
        frames_min=int(sizes[:, 1].min()),
        clip_gain=float(gains[0]),
        frame_gain=float(gains[1]),
        clip_gain_interval=clip_interval,
        frame_gain_interval=frame_interval,
        clip_advantage=advantage,
        verdict=verdict,
        text=f"{lead}; {parts}",
        samples=samples,
        confidence=confidence,
    )

"""One fitted learning curve as a value; it says nothing beyond twice what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evfr.experiments._curve_fit import percentiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["REACH", "Curve", "show_bound", "state_text", "whole_n"]

REACH = 2.0
"""No statement is made beyond this many times the largest number of labels that was measured."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Curve:
    """Hold score(n) = a - b n^-c with what the bootstrap says of it.

    Attributes
    ----------
    a, b, c : float
        Plateau, loss at n = 1, exponent.
    a_interval, b_interval, c_interval : tuple of float
        Intervals, low and high.
    n_min, n_max : int
        Smallest and largest n measured.
    gain : float
        What twice ``n_max`` would gain: b n_max^-c (1 - 2^-c).
    gain_interval : tuple of float
        Its interval.
    enough : int
        Smallest n, at least ``n_min``, from which twice as many gain no more than ``tolerance``; where it is above
        ``n_max`` REACH it is a guess that no text states.
    enough_interval : tuple of float
        Its interval; the high end may be infinite.
    tolerance : float
        Gain of twice the labels that is not worth them.
    confidence : float
        Of the intervals.
    noise : float
        Standard deviation of a score around the curve.
    state : {"saturated", "not saturated", "unsure"}
        ``gain`` below ``tolerance``, for sure (one-sided); at or above it; below it, but not for sure.
    has_misfit : bool
        Whether the scores leave the curve by more than their noise, so that its numbers are rough.
    text : str
        The state in one sentence, with what to do.
    unit : str
        What n counts, for the texts.
    samples : (draws, 3) float64
        Bootstrapped plateau, loss at ``n_max``, exponent.
    """

    a: float
    b: float
    c: float
    a_interval: tuple[float, float]
    b_interval: tuple[float, float]
    c_interval: tuple[float, float]
    n_min: int
    n_max: int
    gain: float
    gain_interval: tuple[float, float]
    enough: int
    enough_interval: tuple[float, float]
    tolerance: float
    confidence: float
    noise: float
    state: Literal["saturated", "not saturated", "unsure"]
    has_misfit: bool
    text: str
    unit: str
    samples: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"Curve({self.a:.3f} - {self.b:.3g} n^-{self.c:.2f}, n {self.n_min} to {self.n_max}, {self.state})"

    @property
    def is_saturated(self) -> bool:
        """Whether twice the labels would gain less than the tolerance, for sure."""
        return self.state == "saturated"

    @property
    def n_limit(self) -> int:
        """Largest n about which anything is said."""
        return math.floor(REACH * self.n_max)

    def score(self, n: float) -> float:
        """Return the fitted score at n.

        Parameters
        ----------
        n : float
            From ``n_min`` to ``n_limit``.

        Returns
        -------
        float
            a - b n^-c.

        Raises
        ------
        ValueError
            If n is outside: the curve is not known there.
        """
        self._check(n)
        return float(self.a - self.b * n**-self.c)

    def score_interval(self, n: float) -> tuple[float, float]:
        """Return the interval of the mean score at n.

        Parameters
        ----------
        n : float
            From ``n_min`` to ``n_limit``.

        Returns
        -------
        low, high : float
            By the bootstrap's percentiles.

        Raises
        ------
        ValueError
            If n is outside.
        """
        self._check(n)
        a, loss, c = self.samples.T
        return percentiles(a - loss * (n / self.n_max) ** -c, self.confidence)

    def _check(self, n: float) -> None:
        if not self.n_min <= n <= self.n_limit:
            raise ValueError(
                f"n = {n:g} is outside {self.n_min} to {self.n_limit}: measured was {self.n_min} to {self.n_max} "
                f"{self.unit}, and a curve says nothing beyond twice that; measure more"
            )


def whole_n(value: float, limit: int) -> int | None:
    """Round a number of labels up; None beyond the limit."""
    return math.ceil(value - 1e-9) if value <= limit else None


def show_bound(value: int | None, limit: int) -> str:
    """Show an end of an interval of numbers of labels."""
    return f"more than {limit}" if value is None else str(value)


def state_text(curve: Curve) -> str:
    """Say whether more labels are worth it, and what to do."""
    rough = "; but the scores leave this curve by more than their noise, so its numbers are rough"
    return _state(curve) + (rough if curve.has_misfit else "")


def _state(curve: Curve) -> str:
    unit, level = curve.unit, f"{100 * curve.confidence:.4g} %"
    low, high = curve.gain_interval
    twice = (
        f"{curve.n_limit} {unit} instead of {curve.n_max} would gain {curve.gain:.3f} "
        f"({level} interval {low:.3f} to {high:.3f})"
    )
    if curve.state == "not saturated":
        more = min(curve.enough, curve.n_limit) - curve.n_max
        again = " and measure again" if curve.enough >= curve.n_limit else ""
        return f"not saturated: label {more} more{again}; {twice}"
    if curve.state == "unsure":
        return (
            f"not proven saturated: {twice}, and a gain of {curve.tolerance:g} is not excluded; "
            f"run more seeds, or label {curve.n_limit - curve.n_max} more and measure again"
        )
    if curve.b == 0.0 and curve.enough <= curve.n_min:
        return f"saturated: no rise is seen from {curve.n_min} to {curve.n_max} {unit}; {twice}"
    enough = f"{curve.enough} {unit}" + (" or fewer" if curve.enough <= curve.n_min else "")
    ends = " to ".join(
        show_bound(whole_n(end, curve.n_limit), curve.n_limit) for end in curve.enough_interval
    )
    return (
        f"saturated: from {enough} on ({level} interval {ends}), twice as many gain no more than "
        f"{curve.tolerance:g}; {twice}"
    )

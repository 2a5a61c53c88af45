"""Say in words what two arms' scores over common seeds prove, and how many more seeds would."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr.experiments._statistics import PairedDifference, paired
from evfr.experiments._student import combine_errors, t_quantile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Verdict", "judge", "seeds_needed"]

MOST_SEEDS = 100
"""More seeds than this are not counted: the difference is too small for this experiment."""
FEWEST_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold one verdict on a - b.

    Attributes
    ----------
    word : {"better", "not worse", "worse", "undecided"}
        What is proven.
    text : str
        The verdict in one sentence, with its figures.
    difference : float
        Mean of a - b; NaN without a pair.
    low, high : float
        Two-sided interval of it.
    one_sided_low : float
        One-sided bound that "not worse" rests on.
    margin : float
        Largest loss that "not worse" allows.
    seeds : int
        Pairs used.
    missing : int
        Seeds without a score in one of the arms.
    more_seeds : int
        Seeds to add, by the power calculation of `seeds_needed`; 0 where decided or where seeds would not help.
    """

    word: Literal["better", "not worse", "worse", "undecided"]
    text: str
    difference: float
    low: float
    high: float
    one_sided_low: float
    margin: float
    seeds: int
    missing: int
    more_seeds: int


def judge(
    a: ArrayLike,
    b: ArrayLike,
    *,
    margin: float,
    confidence: float = 0.95,
    clip_sd: float = 0.0,
    clip_degrees: float | None = None,
    name_a: str = "A",
    name_b: str = "B",
) -> Verdict:
    """Judge arm a against arm b by the paired interval over seeds (METHODS, statistics).

    Parameters
    ----------
    a, b : (S,) array_like
        Scores, higher is better; place s of both is the same seed. NaN: no score, left out and counted.
    margin : float
        Largest loss that still counts as "not worse", 0 or more, in the score's unit. Choose it before you look.
    confidence : float
        In (0.5, 1); "better" and "worse" are each right but for (1 - confidence) / 2, "not worse" but for
        1 - confidence, at equality and at a loss of the margin.
    clip_sd : float
        What the choice of test clips adds to the difference's standard error (`Interval.clip_sd`); 0 judges on these
        test clips alone.
    clip_degrees : float or None
        Its degrees of freedom (`Interval.clip_degrees`).
    name_a, name_b : str
        Names of the arms in the text.

    Returns
    -------
    Verdict
        "better": the interval is above 0. "not worse": the one-sided bound is above -margin. "worse": the interval is
        below 0. Otherwise "undecided". The first that holds.

    Raises
    ------
    ValueError
        If an option is out of range, or the arms do not have equally many seeds.

    Notes
    -----
    A difference that is proven but smaller than the margin is "not worse", and the text says that it is lower. Two
    traps give "undecided": scores that are all the same number (nothing was learned, or the metric has no signal), and
    differences equal in every seed but not 0 (the seeds do not vary, so that they cannot tell an error).

    Examples
    --------
    >>> judge([0.31, 0.30, 0.33], [0.30, 0.28, 0.32], margin=0.01, name_a="S5", name_b="S1").text
    'S5 is not worse than S1 by more than 0.010 (difference 0.013, 95 % interval -0.001 to 0.028, 3 seeds)'
    """
    if not (margin >= 0.0 and math.isfinite(margin)):
        raise ValueError(f"margin must be 0 or more, in the score's unit, got {margin}")
    found = paired(a, b, confidence=confidence, clip_sd=clip_sd, clip_degrees=clip_degrees)
    pair = f"{name_a} - {name_b}"
    figures = _figures(found, margin)
    if found.n < 2:
        more = FEWEST_SEEDS - found.n
        why = "one seed has no spread" if found.n else "no seed has both scores"
        score = f"difference {_number(found.mean, 3)}, " if found.n else ""
        return _verdict(
            "undecided",
            f"undecided: {more} more seeds ({pair}: {score}{why}{_missing(found)})",
            found,
            margin,
            more,
        )
    if found.seed_sd == 0.0 and (trap := _trap(a, b, found)):
        return _verdict("undecided", f"undecided: {trap} ({pair}: {figures})", found, margin, 0)
    if found.low > 0.0:
        return _verdict("better", f"{name_a} is better than {name_b} ({figures})", found, margin, 0)
    if found.one_sided_low > -margin:
        lower = ", though lower" if found.high < 0.0 else ""
        text = f"{name_a} is not worse than {name_b} by more than {_number(margin, _digits(found, margin))}{lower}"
        return _verdict("not worse", f"{text} ({figures})", found, margin, 0)
    if found.high < 0.0:
        return _verdict("worse", f"{name_a} is worse than {name_b} ({figures})", found, margin, 0)
    needed = seeds_needed(found, margin=margin)
    if needed is None:
        return _verdict("undecided", f"undecided: {_hopeless(found)} ({pair}: {figures})", found, margin, 0)
    more = needed - found.n
    return _verdict(
        "undecided", f"undecided: {more} more seed{'s' * (more > 1)} ({pair}: {figures})", found, margin, more
    )


def seeds_needed(found: PairedDifference, *, margin: float, power: float = 0.8) -> int | None:
    """Return the seeds in all with which a verdict is likely, if mean and spread are as they were found.

    Parameters
    ----------
    found : PairedDifference
        Of two seeds or more.
    margin : float
        As given to `judge`.
    power : float
        Chance of a verdict to plan for, in (0, 1).

    Returns
    -------
    int or None
        Smallest S above ``found.n``, at most `MOST_SEEDS` more, with (t_(1 - alpha) + t_power) SE(S) below the
        distance from the mean to what one of "better", "worse" and "not worse" must exclude; None where there is none.

    Raises
    ------
    ValueError
        If ``power`` is not in (0, 1).

    Notes
    -----
    A plan, not a promise: with few seeds, mean and spread are rough, and looking again after each seed
    raises the error rate. Add the seeds it says, then judge once.
    """
    if not 0.0 < power < 1.0:
        raise ValueError(f"power must be in (0, 1), got {power}")
    claims = [(abs(found.mean), 0.5 + found.confidence / 2), (found.mean + margin, found.confidence)]
    needed = [_seeds_for(found, gap, level, power) for gap, level in claims if gap > 0.0]
    return min((seeds for seeds in needed if seeds is not None), default=None)


def _seeds_for(found: PairedDifference, gap: float, level: float, power: float) -> int | None:
    """Return the fewest seeds for which (t_level + t_power) SE is below the gap."""
    last = found.n + MOST_SEEDS
    normal = NormalDist()
    room = (gap / (normal.inv_cdf(level) + normal.inv_cdf(power))) ** 2 - found.clip_sd**2
    if room <= 0.0 or found.seed_sd**2 / room > last:
        return None
    # t is above the normal law, so that no fewer seeds are enough.
    for seeds in range(max(found.n + 1, math.ceil(found.seed_sd**2 / room)), last + 1):
        error, degrees = combine_errors(found.seed_sd, seeds, found.clip_sd, found.clip_degrees)
        degrees = max(degrees, found.degrees)
        if (t_quantile(level, degrees) + t_quantile(power, degrees)) * error < gap:
            return seeds
    return None


def _trap(a: ArrayLike, b: ArrayLike, found: PairedDifference) -> str | None:
    """Say why seeds without any spread prove nothing, where they do not."""
    both = np.stack([np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)])
    both = both[:, np.isfinite(both).all(axis=0)]
    if np.ptp(both) == 0.0:
        return f"every score is {_number(float(both.flat[0]), 3)}, so there is no signal"
    if found.clip_sd == 0.0 and found.mean != 0.0 and found.low == found.high:
        return "the difference is the same in every seed, so the seeds tell no error; judge over test clips"
    return None


def _hopeless(found: PairedDifference) -> str:
    if found.clip_sd > found.seed_sd / math.sqrt(found.n):
        return "more seeds would not settle it, more test clips may"
    return f"more than {MOST_SEEDS} more seeds"


def _figures(found: PairedDifference, margin: float) -> str:
    digits = _digits(found, margin)
    level = f"{100 * found.confidence:.4g} %"
    parts = [
        f"difference {_number(found.mean, digits)}",
        f"{level} interval {_number(found.low, digits)} to {_number(found.high, digits)}",
    ]
    if found.low <= -margin < found.one_sided_low:  # the bound decides where the interval does not
        parts.append(f"one-sided bound {_number(found.one_sided_low, digits)}")
    return ", ".join([*parts, f"{found.n} seeds"]) + _missing(found)


def _missing(found: PairedDifference) -> str:
    return f"; {found.missing} of {found.n + found.missing} seeds without a score" if found.missing else ""


def _digits(found: PairedDifference, margin: float) -> int:
    """Return decimals: 3, or as many as show the interval's width and the margin."""
    widths = [w for w in (found.high - found.low, margin) if w > 0.0 and math.isfinite(w)]
    return max([3, *(min(9, -math.floor(math.log10(w))) for w in widths)])


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text


def _verdict(
    word: Literal["better", "not worse", "worse", "undecided"],
    text: str,
    found: PairedDifference,
    margin: float,
    more: int,
) -> Verdict:
    return Verdict(
        *(word, text, found.mean, found.low, found.high, found.one_sided_low),
        *(margin, found.n, found.missing, more),
    )

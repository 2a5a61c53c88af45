"""Turn the runs of one group into a curve, a table of levels and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.errors import InputError
from evfr.experiments._advise_result import Effort, GroupAdvice, Level
from evfr.experiments._curves import fit_learning_curve, frames_for
from evfr.experiments._surface import fit_surface

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.experiments._advise_table import Runs

__all__ = ["Prices", "advise_both", "advise_one", "without_advice"]


@dataclass(frozen=True, slots=True)
class Prices:
    """Hold what labels cost; None is not asked.

    Attributes
    ----------
    seconds_per_frame, seconds_per_object, seconds_per_clip : float or None
        A person's time.
    per_hour : float or None
        Price of an hour of it.
    per_frame : float or None
        Price of a frame.

    Raises
    ------
    ValueError
        If one is negative or not finite, or an hour has a price but nothing takes time.
    """

    seconds_per_frame: float | None
    seconds_per_object: float | None
    seconds_per_clip: float | None
    per_hour: float | None
    per_frame: float | None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not (value >= 0.0 and math.isfinite(value)):
                option = {"per_hour": "cost_per_hour", "per_frame": "cost_per_frame"}.get(name, name)
                raise ValueError(f"{option} must be 0 or more, got {value}")
        times = (self.seconds_per_frame, self.seconds_per_object, self.seconds_per_clip)
        if self.per_hour is not None and all(time is None for time in times):
            raise ValueError(
                "cost_per_hour needs a time to go with: seconds_per_frame, seconds_per_object or seconds_per_clip"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a table must have to tell the cost."""
        wanted = {"n_objects": self.seconds_per_object, "n_clips": self.seconds_per_clip}
        return tuple(name for name, price in wanted.items() if price is not None)

    def effort(self, frames: float, clips: float, objects: float) -> Effort:
        """Return what so many labels cost in all."""
        parts = [
            (self.seconds_per_frame, frames),
            (self.seconds_per_object, objects),
            (self.seconds_per_clip, clips),
        ]
        seconds = [price * count for price, count in parts if price is not None]
        hours = sum(seconds) / 3600 if seconds else None
        money = hours * self.per_hour if hours is not None and self.per_hour is not None else None
        if self.per_frame is not None:
            money = (money or 0.0) + self.per_frame * frames
        return Effort(hours, money)


def advise_one(
    runs: Runs, axis: str, options: Mapping[str, Any], *, target: float | None, prices: Prices
) -> GroupAdvice:
    """Advise on the number of frames, or of clips.

    Parameters
    ----------
    runs : Runs
        Of one group.
    axis : {"frames", "clips"}
        What is counted.
    options : mapping
        Of `fit_learning_curve`.
    target : float or None
        Score to reach; None is that of the most labels measured, less the tolerance.
    prices : Prices
        What labels cost.

    Returns
    -------
    GroupAdvice
        With a curve.

    Raises
    ------
    InputError
        If there are too few runs, or a number of labels is missing.
    """
    sizes, other = (runs.frames, runs.clips) if axis == "frames" else (runs.clips, runs.frames)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise InputError(f"a run has no number of {axis}")
    curve = fit_learning_curve(sizes, runs.scores, groups=runs.seeds, unit=axis, **options)
    usable = np.isfinite(runs.scores)
    measured = np.unique(sizes[usable])
    beside = np.array([other[usable & (sizes == value)].mean() for value in measured])

    def effort(n: float) -> Effort:
        frames, clips = n, _beside(n, measured, beside, grows=axis == "clips")
        if axis == "clips":
            frames, clips = clips, frames
        return prices.effort(frames, clips, frames * runs.objects_per_frame)

    levels = []
    for value in (*measured, curve.n_limit):
        n = int(value)
        low, high = curve.score_interval(n)
        levels.append(Level(n, n <= curve.n_max, curve.score(n), low, high, effort(n)))
    advice = frames_for(curve, curve.score(curve.n_max) - curve.tolerance if target is None else target)
    lead = f"within {curve.tolerance:g} of all {curve.n_max}: " if target is None else ""
    lines = [curve.text, lead + advice.text]
    whole = effort(curve.n_max)
    if str(whole):
        if advice.n is not None:
            lines.append(
                f"{advice.n} {axis} cost {effort(advice.n)} in all; the {curve.n_max} measured cost {whole}"
            )
        needed = min(curve.enough, curve.n_limit) - curve.n_max if curve.state == "not saturated" else 0
        lines += [
            f"{more} more {axis} cost {_difference(effort(curve.n_max + more), whole)}"
            for more in sorted({needed, advice.more})
            if more > 0
        ]
    return GroupAdvice(
        name=runs.name,
        run_count=int(usable.sum()),
        missing_count=int((~usable).sum()),
        curve=curve,
        surface=None,
        advice=advice,
        levels=tuple(levels),
        lines=tuple(lines),
    )


def advise_both(runs: Runs, options: Mapping[str, Any]) -> GroupAdvice:
    """Advise whether other clips or more frames of the same are worth more.

    Parameters
    ----------
    runs : Runs
        Of one group.
    options : mapping
        Of `fit_surface`.

    Returns
    -------
    GroupAdvice
        With a surface.

    Raises
    ------
    InputError
        If there are too few runs, or the two cannot be told apart.
    """
    for name, values in (("clips", runs.clips), ("frames", runs.frames)):
        if not (np.isfinite(values) & (values > 0)).all():
            raise InputError(f"a run has no number of {name}")
    surface = fit_surface(runs.clips, runs.frames, runs.scores, groups=runs.seeds, **options)
    usable = int(np.isfinite(runs.scores).sum())
    return GroupAdvice(
        name=runs.name,
        run_count=usable,
        missing_count=len(runs.scores) - usable,
        curve=None,
        surface=surface,
        advice=None,
        levels=(),
        lines=(surface.text,),
    )


def without_advice(runs: Runs, reason: str) -> GroupAdvice:
    """Return a group that has too few runs, and says so.

    Parameters
    ----------
    runs : Runs
        Of the group.
    reason : str
        Why there is no curve.

    Returns
    -------
    GroupAdvice
        Without a curve.
    """
    usable = int(np.isfinite(runs.scores).sum())
    missing = len(runs.scores) - usable
    return GroupAdvice(runs.name, usable, missing, None, None, None, (), (f"no advice: {reason}",))


def _beside(n: float, measured: NDArray[np.float64], beside: NDArray[np.float64], *, grows: bool) -> float:
    """Return how many clips n frames lie in, or how many frames n clips have: as in the runs, and beyond them in
    proportion for frames of clips, unchanged for clips of frames."""
    if n <= measured[-1]:
        return float(np.interp(n, measured, beside))
    return float(beside[-1] * n / measured[-1]) if grows else float(beside[-1])


def _difference(more: Effort, less: Effort) -> Effort:
    hours = None if more.hours is None or less.hours is None else more.hours - less.hours
    money = None if more.money is None or less.money is None else more.money - less.money
    return Effort(hours, money)

"""What `evfr advise` says, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.experiments._curves import Advice, Curve
    from evfr.experiments._surface import Surface

__all__ = ["AdviseResult", "Effort", "GroupAdvice", "Level"]


@dataclass(frozen=True, slots=True)
class Effort:
    """Say what labels cost.

    Attributes
    ----------
    hours : float or None
        Of a person's work; None where no time per frame, object or clip was given.
    money : float or None
        None where no price was given.
    """

    hours: float | None = None
    money: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.hours is not None:
            parts.append(f"{self.hours:.1f} h" if self.hours < 100 else f"{self.hours:.0f} h")
        if self.money is not None:
            parts.append(f"{self.money:,.2f}" if self.money < 1000 else f"{self.money:,.0f}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Level:
    """Hold one row of the advice: so many labels, this score, that cost.

    Attributes
    ----------
    n : int
        Labels.
    is_measured : bool
        Whether runs had so many; False where the curve alone says it.
    score, low, high : float
        Of the fitted curve, with its interval.
    effort : Effort
        What so many labels cost in all.
    """

    n: int
    is_measured: bool
    score: float
    low: float
    high: float
    effort: Effort

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {
            "n": self.n,
            "is_measured": self.is_measured,
            "score": self.score,
            "low": self.low,
            "high": self.high,
            "hours": self.effort.hours,
            "money": self.effort.money,
        }


@dataclass(frozen=True, slots=True)
class GroupAdvice:
    """Hold the advice for the runs that differ by their number of labels only.

    Attributes
    ----------
    name : str
        What they have in common, for example ``sampler=uniform``; ``all runs`` where nothing tells runs apart.
    run_count : int
        Runs with a score.
    missing_count : int
        Runs without one, which were left out.
    curve : Curve or None
        For ``axis`` frames and clips.
    surface : Surface or None
        For ``axis`` both.
    advice : Advice or None
        What reaches the target.
    levels : tuple of Level
        The numbers measured, and twice the largest; empty for ``axis`` both.
    lines : tuple of str
        The advice in sentences, or why there is none.
    """

    name: str
    run_count: int
    missing_count: int
    curve: Curve | None
    surface: Surface | None
    advice: Advice | None
    levels: tuple[Level, ...]
    lines: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; bootstrapped samples are left out, what is infinite is None."""
        fitted = self.curve if self.curve is not None else self.surface
        skipped = ("samples", "text")
        values = (
            None
            if fitted is None
            else {name: _plain(getattr(fitted, name)) for name in fitted.__slots__ if name not in skipped}
        )
        advice = (
            None
            if self.advice is None
            else {name: getattr(self.advice, name) for name in self.advice.__slots__}
        )
        return {
            "name": self.name,
            "run_count": self.run_count,
            "missing_count": self.missing_count,
            "fit": values,
            "advice": advice,
            "levels": [level.to_dict() for level in self.levels],
            "lines": list(self.lines),
        }


@dataclass(frozen=True, slots=True, repr=False)
class AdviseResult:
    """Hold what the measured runs say about the number of labels.

    Attributes
    ----------
    table : Path
        The table that was read.
    score : str
        The column of scores.
    axis : str
        What was counted: frames, clips or both.
    test : str or None
        The test set, where the table has several.
    groups : tuple of GroupAdvice
        One for each way of choosing and training.
    alternative : str
        The command that brings labels to more frames without a person.
    """

    table: Path
    score: str
    axis: str
    test: str | None
    groups: tuple[GroupAdvice, ...]
    alternative: str

    def __repr__(self) -> str:
        return f"AdviseResult({self.score} by {self.axis}: {len(self.groups)} curves)"

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """The whole advice, as `evfr advise` prints it."""
        where = f", test {self.test}" if self.test is not None else ""
        lines = [f"{self.score}{where}, from {self.table}"]
        for group in self.groups:
            without = f", {group.missing_count} without a score left out" if group.missing_count else ""
            lines += ["", f"{group.name} ({group.run_count} runs{without})"]
            if group.levels:
                unit = self.axis
                has_cost = any(str(level.effort) for level in group.levels)
                lines.append(f"    {unit:>8}   score   interval" + ("          cost" if has_cost else ""))
                for level in group.levels:
                    mark = " " if level.is_measured else "*"
                    lines.append(
                        f"    {level.n:>8}{mark}  {level.score:.3f}   {level.low:.3f} to {level.high:.3f}"
                        + (f"   {level.effort}" if has_cost else "")
                    )
                lines.append("    (* not measured: the curve)")
            lines += [f"    {line}" for line in group.lines]
        lines += ["", "Instead of labelling more by hand, carry the labels you have to the frames between:"]
        return "\n".join([*lines, f"    {self.alternative}"])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {
            "table": str(self.table),
            "score": self.score,
            "axis": self.axis,
            "test": self.test,
            "groups": [group.to_dict() for group in self.groups],
            "alternative": self.alternative,
        }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value

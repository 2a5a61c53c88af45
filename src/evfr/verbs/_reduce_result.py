"""What `evfr reduce` returns: what came in, what became of it by which step and survivor, what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.types import Problem
    from evfr.sequences import ReductionCounts

__all__ = ["ReduceResult", "ReducedVideo", "SequenceChange"]

MOST_ROWS = 20
_COLUMNS = {
    "in": ("given",),
    "empty": ("empty",),
    "low": ("below_agnostic_floor",),
    "suppressed": ("suppressed",),
    "lowered": ("lowered",),
    "removed": ("without_class", "below_floor"),
    "over limit": ("over_limit",),
    "out": ("kept",),
    "labels": ("labels",),
}


@dataclass(frozen=True, slots=True)
class SequenceChange:
    """Say what happened to one sequence.

    Attributes
    ----------
    sequence : str
        The sequence as the file has it: ``"result 12"`` (the entry's number from 0; the first, where several classes
        are several entries), ``"track 12"``, or ``"sequence 12"`` where it has no track.
    step : str
        A key of `evfr.sequences.STEPS`.
    category : str or None
        The class in which its score changed; None for the whole sequence.
    survivor : str or None
        The sequence that did it, or that did most of it.
    before, after : float
        The score; 0 where it is no longer there.
    iou : float or None
        Sequence IoU with the survivor.
    """

    sequence: str
    step: str
    category: str | None
    survivor: str | None
    before: float
    after: float
    iou: float | None

    def __str__(self) -> str:
        from evfr.sequences import STEPS

        of = "" if self.category is None else f" as {self.category}"
        by = "" if self.survivor is None else f" ({self.survivor}, IoU {self.iou:.3f})"
        return f"{self.sequence}{of}: {self.before:.3f} to {self.after:.3f}, {STEPS[self.step]}{by}"


@dataclass(frozen=True, slots=True)
class ReducedVideo:
    """Say what became of the sequences of one video.

    Attributes
    ----------
    video_id : str
        Its name.
    counts : ReductionCounts
        How many were given, dropped, lowered and kept, by step.
    changes : tuple of SequenceChange
        Each of them.
    """

    video_id: str
    counts: ReductionCounts
    changes: tuple[SequenceChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {
            "video_id": self.video_id,
            "counts": asdict(self.counts),
            "changes": [asdict(change) for change in self.changes],
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReduceResult:
    """Hold what `evfr.reduce` did and wrote.

    Attributes
    ----------
    out : Path
        The file.
    out_format : str
        ``results``, or a key of `evfr.annotations.FORMATS`.
    step : str
        Which steps ran.
    videos : tuple of ReducedVideo
        The videos that had sequences, in the order of the file.
    video_count : int
        All videos, with or without sequences.
    notes : tuple of str
        What the output does not say.
    problems : tuple of Problem
        Videos that were left out because their sequences are wrong.
    explain : bool
        Whether the text lists every change.
    """

    out: Path
    out_format: str
    step: str
    videos: tuple[ReducedVideo, ...]
    video_count: int
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
    explain: bool = False

    def __repr__(self) -> str:
        total = self.counts
        return f"ReduceResult({total['given']} sequences in, {total['kept']} out, {len(self.videos)} videos)"

    @property
    def counts(self) -> dict[str, int]:
        """Sums of all videos, named as in `evfr.sequences.ReductionCounts`."""
        from dataclasses import fields

        from evfr.sequences import ReductionCounts

        names = [item.name for item in fields(ReductionCounts)]
        return {name: sum(getattr(video.counts, name) for video in self.videos) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict: every change of every video."""
        return {
            "out": str(self.out),
            "out_format": self.out_format,
            "step": self.step,
            "counts": self.counts,
            "video_count": self.video_count,
            "videos": [video.to_dict() for video in self.videos],
            "notes": list(self.notes),
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        shown = self.videos[:MOST_ROWS] if len(self.videos) > 1 else ()
        rows = [(video.video_id, _cells(asdict(video.counts))) for video in shown]
        total = self.counts
        rows.append(("all" if shown else "reduced", _cells(total)))
        width = max(len(name) for name, _ in rows) + 2
        yield " " * width + "".join(f"{name:>{len(name) + 2}}" for name in _COLUMNS)
        for name, cells in rows[:-1]:
            yield _row(name, cells, width)
        if len(self.videos) > MOST_ROWS:
            yield f"... and {len(self.videos) - MOST_ROWS} more videos, all in --json"
        yield _row(*rows[-1], width)
        idle = self.video_count - len(self.videos) - len(self.problems)
        if idle:
            yield f"without sequences: {idle} of {self.video_count} videos"
        if self.explain:
            for video in self.videos:
                yield from (f"{video.video_id}: {change}" for change in video.changes)
        yield from (f"note      {note}" for note in self.notes)
        yield f"wrote     {self.out}: {total['kept']} sequences, {total['labels']} labels ({self.out_format})"


def _cells(counts: dict[str, int]) -> list[int]:
    return [sum(counts[name] for name in names) for names in _COLUMNS.values()]


def _row(name: str, cells: Sequence[int], width: int) -> str:
    return f"{name:<{width}}" + "".join(
        f"{value:>{len(column) + 2}}" for column, value in zip(_COLUMNS, cells, strict=True)
    )

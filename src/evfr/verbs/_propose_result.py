"""What `evfr propose` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr._core.sequences import SequenceSet
    from evfr._core.types import Problem
    from evfr.sequences import Reduction

__all__ = ["ProposeResult"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ProposeResult:
    """Hold the sequences of a video, and how many there were at each step.

    Attributes
    ----------
    annotations : VideoAnnotations
        What was written: a track for each sequence and class.
    proposals : SequenceSet
        All sequences before the reduction, at the size of the carry.
    reduction : Reduction or None
        What happened to each of them; None where nothing was reduced.
    video_id : str
        The video.
    method : str
        The propagator.
    key_frames : tuple of K int
        Frames that were detected on.
    detections : tuple of K int
        Objects carried from each.
    carry_size : tuple of (int, int)
        Height and width at which they were carried.
    scored_frames : int
        Frames on which boxes were scored.
    ends : mapping of str to int
        How many carries of an object in one direction stopped before the end of the video, by reason.
    notes : tuple of str
        What ran, and what was not as asked.
    out : Path
        The file.
    problems : tuple of Problem
        Of the video.
    stage_seconds : mapping of str to float
        Wall time of each stage; they add up to the whole.
    """

    annotations: VideoAnnotations
    proposals: SequenceSet
    reduction: Reduction | None
    video_id: str
    method: str
    key_frames: tuple[int, ...]
    detections: tuple[int, ...]
    carry_size: tuple[int, int]
    scored_frames: int
    ends: Mapping[str, int]
    notes: tuple[str, ...]
    out: Path
    problems: tuple[Problem, ...]
    stage_seconds: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Return the wall time of all stages."""
        return sum(self.stage_seconds.values())

    @property
    def counts(self) -> dict[str, int]:
        """Return how many there were of what, from the key frames to the file."""
        found = {
            "key_frames": len(self.key_frames),
            "detections": sum(self.detections),
            "proposals": len(self.proposals),
        }
        if self.reduction is not None:
            counts = self.reduction.counts
            found |= {
                "below_agnostic_floor": counts.below_agnostic_floor,
                "suppressed": counts.suppressed,
                "without_class": counts.without_class,
                "lowered": counts.lowered,
                "below_floor": counts.below_floor,
                "over_limit": counts.over_limit,
                "sequences": counts.kept,
            }
        else:
            found["sequences"] = len(self.proposals)
        found["labels"] = len({int(track) for track in self.annotations.track_id})
        return found

    def __repr__(self) -> str:
        counts = self.counts
        told = ", ".join(f"{counts[name]} {name}" for name in ("proposals", "sequences", "labels"))
        return f"ProposeResult({told})"

    def __str__(self) -> str:
        counts = self.counts
        lines = [
            f"wrote {self.out}: {counts['sequences']} sequences, {counts['labels']} with their classes, of "
            f"{self.video_id}",
            f"{counts['detections']} objects on {counts['key_frames']} key frames, carried by {self.method}",
        ]
        if self.reduction is not None:
            lines.append(
                f"{counts['suppressed']} suppressed by a better sequence of any class, "
                f"{counts['below_agnostic_floor']} below the floor; within classes {counts['lowered']} lowered, "
                f"{counts['below_floor'] + counts['over_limit']} dropped"
            )
        lines += self.notes
        stages = ", ".join(f"{name} {value:.1f}" for name, value in self.stage_seconds.items())
        lines.append(f"{self.seconds:.1f} s: {stages}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; the sequences themselves are in the file."""
        return {
            "video_id": self.video_id,
            "method": self.method,
            "key_frames": list(self.key_frames),
            "detections": list(self.detections),
            "carry_size": list(self.carry_size),
            "scored_frames": self.scored_frames,
            "counts": self.counts,
            "reduction": None if self.reduction is None else asdict(self.reduction.counts),
            "ends": dict(self.ends),
            "notes": list(self.notes),
            "out": str(self.out),
            "problems": [problem.to_dict() for problem in self.problems],
            "stage_seconds": dict(self.stage_seconds),
            "seconds": self.seconds,
        }

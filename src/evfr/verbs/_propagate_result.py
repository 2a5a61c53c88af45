"""What `evfr propagate` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr._core.types import Problem
    from evfr.propagation import CarryEnd, ExpectedIou, ReviewQueue, TrustCheck

__all__ = ["PropagateResult"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PropagateResult:
    """Hold the labels of a whole video, and what is known of their quality.

    Attributes
    ----------
    annotations : VideoAnnotations
        What was written: the labels of people unchanged, and carried ones with a trust.
    asked : VideoAnnotations
        Carried objects that wait for a person (``low_trust="ask"``); not in ``annotations``.
    video_id : str
        The video.
    method : str
        The propagator.
    label_count : int
        Labelled frames.
    kept_count, dropped_count, ask_count : int
        Carried objects by what became of them; they add up to all that were carried.
    frame_counts : mapping of str to int
        ``video`` frames, ``labelled``, ``annotated`` (in the file), ``unreached`` (no label reaches them).
    expected_iou : ExpectedIou
        Mean overlap to be expected of carried objects, with its interval.
    trust_check : TrustCheck
        How trust did on labels that were held out.
    review : ReviewQueue
        Frames to look at next.
    ends : tuple of CarryEnd
        Where objects stopped before the next label, and why.
    notes : tuple of str
        What ran: step fields, costs, what was read from the store.
    out : Path
        The label file.
    review_folder : Path or None
        Selection and page of what to look at next.
    problems : tuple of Problem
        Of the video.
    seconds : float
        Wall time.
    """

    annotations: VideoAnnotations
    asked: VideoAnnotations
    video_id: str
    method: str
    label_count: int
    kept_count: int
    dropped_count: int
    ask_count: int
    frame_counts: Mapping[str, int]
    expected_iou: ExpectedIou
    trust_check: TrustCheck
    review: ReviewQueue
    ends: tuple[CarryEnd, ...]
    notes: tuple[str, ...]
    out: Path
    review_folder: Path | None
    problems: tuple[Problem, ...]
    seconds: float

    def __repr__(self) -> str:
        return (
            f"PropagateResult({self.method}: {self.kept_count} kept, {self.dropped_count} dropped, "
            f"{self.ask_count} to ask, expected IoU {self.expected_iou.mean:.3f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; the labels themselves are in the file."""
        return {
            "video_id": self.video_id,
            "method": self.method,
            "labelled_frames": self.label_count,
            "kept": self.kept_count,
            "dropped": self.dropped_count,
            "ask": self.ask_count,
            "frames": dict(self.frame_counts),
            "expected_iou": self.expected_iou.to_dict(),
            "trust_check": self.trust_check.to_dict(),
            "review": self.review.to_dict(),
            "ends": [asdict(end) for end in self.ends],
            "notes": list(self.notes),
            "out": str(self.out),
            "review_folder": None if self.review_folder is None else str(self.review_folder),
            "problems": [problem.to_dict() for problem in self.problems],
            "seconds": self.seconds,
        }

"""`evfr reduce`: of many proposed sequences of one object, keep the best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr.verbs._reduce_result import ReducedVideo, ReduceResult, SequenceChange

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.sequences import Reduction, SequenceSet
    from evfr.verbs._reduce_io import Proposed

__all__ = ["ReduceResult", "ReducedVideo", "SequenceChange", "reduce"]


def reduce(
    predicted: str | Path | VideoAnnotations,
    *,
    out: Path,
    companion: str | Path | None = None,
    format: str = "auto",
    format_options: Mapping[str, int | float | str] | None = None,
    out_format: str = "auto",
    step: Literal["both", "agnostic", "aware", "unsupervised"] = "both",
    agnostic_threshold: float | None = None,
    agnostic_floor: float = 0.05,
    decay: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    linear_threshold: float = 0.5,
    floor: float = 1e-3,
    per_category: int | None = None,
    on_boxes: Literal["refuse", "fill"] = "refuse",
    explain: bool = False,
) -> ReduceResult:
    """Reduce redundant sequences: drop copies whatever their class, then lower scores within each class.

    ``predicted`` is a list of results of YouTube-VIS by any tool, with ``companion``, or labels with masks and scores.
    Entries with equal masks and different classes are one sequence; each video is reduced on its own (Propose-Reduce,
    Lin et al. 2021).

    Parameters
    ----------
    predicted : path or VideoAnnotations
        The sequences: a list of results, or labels in any format of ``evfr.annotations``.
    out : Path
        The file to write.
    companion : path or None
        The annotation file that says the videos and categories of a list of results, read or to be written; its ids
        are kept.
    format : str
        Format of the sequences: ``results``, or one of ``evfr.annotations``; ``auto`` tells it from ending and content.
    format_options : mapping or None
        Options of that format's reader, for example ``first_frame=1``.
    out_format : str
        ``results``, or a format of ``evfr.annotations``; ``auto`` takes evfr's own for .parquet, and for .json
        ``results`` where there is a companion, ``ytvis`` otherwise.
    step : {"both", "agnostic", "aware", "unsupervised"}
        Both steps, the one whatever the class, the one within each class, or that of DAVIS's unsupervised task: lower
        scores whatever the class and keep the best.
    agnostic_threshold : float or None
        Sequence IoU at which a better sequence of any class suppresses; None is .9, or .5 with ``agnostic``.
    agnostic_floor : float
        Least score, whatever the class, of a sequence that is looked at.
    decay : {"gaussian", "linear"}
        How scores are lowered within a class: by exp(-IoU^2 / sigma), or by 1 - IoU from a threshold on.
    sigma : float
        Of the Gaussian, above 0.
    linear_threshold : float
        Of the linear decay, in [0, 1].
    floor : float
        Least score of a sequence in a class.
    per_category : int or None
        Most sequences of a class in one video; None is 10, or 20 with ``unsupervised``.
    on_boxes : {"refuse", "fill"}
        What to do with a box without a mask: stop, or fill it.
    explain : bool
        List every change: which sequence, which step, by which survivor, score before and after.

    Returns
    -------
    ReduceResult
        What came in, what became of it, and what is left, by video.

    Raises
    ------
    AnnotationError
        If the file is wrong, or the sequences of every video are; wrong ones of some videos are problems, and those
        videos are left out.
    ValueError
        If an option is out of range, or there is no such format.

    Examples
    --------
    >>> import evfr
    >>> evfr.reduce("results.json", companion="valid.json", out=Path("reduced.json"))  # doctest: +SKIP
    ReduceResult(8420 sequences in, 5210 out, 421 videos)
    """
    from evfr._core.progress import current_progress
    from evfr._core.types import Problem
    from evfr.errors import AnnotationError, ProblemCode
    from evfr.sequences import reduce_sequences
    from evfr.verbs._reduce_io import check_out, open_proposed, write_reduced

    out = Path(out)
    if on_boxes not in ("refuse", "fill"):
        raise ValueError(f"on_boxes must be refuse or fill, got {on_boxes!r}")
    if isinstance(predicted, str | Path) and Path(predicted).resolve() == out.resolve():
        raise ValueError(f"out is the file to reduce itself, {out}; give another")
    proposed = open_proposed(predicted, companion, format, dict(format_options or {}))
    out_format = check_out(out, out_format, proposed)
    videos: list[ReducedVideo] = []
    problems: list[Problem] = []
    sets: list[tuple[int, SequenceSet]] = []
    first: AnnotationError | None = None
    progress = current_progress()
    progress.start("reducing", len(proposed.videos))
    for place, (name, make) in enumerate(proposed.videos):
        try:
            given = make(on_boxes)
        except AnnotationError as error:
            first = first or error
            problems.append(Problem(ProblemCode.E_FAILED, str(error), f"video {name!r}"))
        else:
            reduction = reduce_sequences(
                given,
                agnostic_threshold=agnostic_threshold,
                agnostic_floor=agnostic_floor,
                decay=decay,
                sigma=sigma,
                linear_threshold=linear_threshold,
                floor=floor,
                per_category=per_category,
                step=step,
            )
            sets.append((place, reduction.sequence_set))
            if len(given):
                videos.append(ReducedVideo(name, reduction.counts, _changes(proposed, given, reduction)))
        progress.advance(1, name)
    progress.finish()
    if first is not None and not videos:
        raise first
    notes = write_reduced(sets, proposed, out, out_format)
    return ReduceResult(
        out, out_format, step, tuple(videos), len(proposed.videos), notes, tuple(problems), explain
    )


def _changes(proposed: Proposed, given: SequenceSet, reduction: Reduction) -> tuple[SequenceChange, ...]:
    from evfr.verbs._reduce_io import sequence_name

    names = [sequence_name(proposed, sequence, place) for place, sequence in enumerate(given.sequences)]
    return tuple(
        SequenceChange(
            names[change.sequence],
            change.step,
            None if change.category < 0 else given.categories[change.category].name,
            None if change.survivor < 0 else names[change.survivor],
            change.before,
            change.after,
            change.iou,
        )
        for change in reduction.log
    )

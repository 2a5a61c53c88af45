"""`evfr evaluate`: how good labels are, against a truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._evaluate_result import EvaluateResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.metrics import TrackingScores
    from evfr.verbs._evaluate_inputs import Pairs

__all__ = ["EvaluateResult", "evaluate"]


def evaluate(
    what: Literal["vos", "boxes", "masks"],
    predicted: str | Path,
    *,
    truth: str | Path,
    predicted_format: str = "auto",
    truth_format: str = "auto",
    predicted_options: Mapping[str, int | float | str] | None = None,
    truth_options: Mapping[str, int | float | str] | None = None,
    keys: str | Path | None = None,
    all_frames: bool = False,
    missing: Literal["fail", "skip", "empty"] = "fail",
    unseen: Sequence[str] = (),
    tracking: bool = False,
    iou_threshold: float = 0.5,
) -> EvaluateResult:
    """Compare labels with a truth: video object segmentation, boxes, or pixels.

    ``vos``: DAVIS' J, F and J&F with mean, recall and decay per object, by size, and YouTube-VOS' G. ``boxes``: IoU
    per object and frame, and with ``--tracking`` MOTA, IDF1 and HOTA. ``masks``: accuracy, IoU and gscore (precision
    times recall) of pixels per class. Objects are the same where their track ids are.

    Parameters
    ----------
    what : {"vos", "boxes", "masks"}
        What to compare.
    predicted : path
        The labels to judge, in any format that evfr reads.
    truth : path
        The true labels, in any format that evfr reads.
    predicted_format, truth_format : str
        Their formats; ``auto`` tells them by ending and content.
    predicted_options, truth_options : mapping or None
        Options of their readers, for example ``first_frame=1``.
    keys : str, path or None
        Frames that had labels when the prediction was made, which do not count: a selection, or ``labels`` for the
        frames on which the prediction holds an object that a person made.
    all_frames : bool
        Count every annotated frame. Otherwise ``vos`` leaves out the labelled frames, or, without ``keys``, the first
        and the last one, as DAVIS does; ``boxes`` and ``masks`` leave out the labelled frames.
    missing : {"fail", "skip", "empty"}
        What to do about videos and frames that the truth annotates and the prediction does not: stop, leave them out
        and count them, or take them as empty.
    unseen : sequence of str
        ``vos``: names of classes that were not in training; gives YouTube-VOS' G.
    tracking : bool
        ``boxes``, ``vos``: also MOTA, IDF1 and HOTA over all annotated frames, for which track ids need not be the
        same.
    iou_threshold : float
        Smallest IoU at which tracking matches two boxes.

    Returns
    -------
    EvaluateResult
        Overall, per video, per object.

    Raises
    ------
    AnnotationError
        If a file is wrong, or truth and prediction do not fit each other.
    ValueError
        If an option is out of range, or belongs to something else.

    Examples
    --------
    >>> import evfr
    >>> evfr.evaluate("vos", "carried.parquet", truth="Annotations/480p", keys="labels")  # doctest: +SKIP
    EvaluateResult(vos: j_and_f 0.842, j_mean 0.811, j_recall 0.967, j_decay 0.012)
    """
    from dataclasses import replace

    from evfr._core.progress import current_progress
    from evfr.annotations import read
    from evfr.verbs._evaluate_inputs import labelled_frames, pair_videos

    _check(what, unseen, tracking, iou_threshold, missing)
    true_labels = read(truth, format=truth_format, **dict(truth_options or {}))
    labels = read(predicted, format=predicted_format, **dict(predicted_options or {}))
    pairs = pair_videos(true_labels, labels, missing)
    marks = {} if keys is None else labelled_frames(pairs, keys)
    progress = current_progress()
    progress.start("evaluating", len(pairs.video_ids))
    parts = []
    for name in pairs.video_ids:
        scores, skipped = _scores(what, pairs, name, marks.get(name), missing, all_frames)
        found = ((name, _tracking(what, pairs, name, missing, iou_threshold)),) if tracking else ()
        parts.append(
            EvaluateResult(what, scores, keys is not None, all_frames, tuple(unseen), skipped, tracking=found)
        )
        progress.advance(1, name)
    progress.finish()
    lost = () if missing == "empty" else pairs.missing
    result = replace(EvaluateResult.merge(parts), missing_videos=lost, ignored_videos=pairs.ignored)
    if what == "vos" and unseen:
        result.overall()  # refuses names that are no class of the truth
    return result


def _check(what: str, unseen: Sequence[str], tracking: bool, iou_threshold: float, missing: str) -> None:
    if what not in ("vos", "boxes", "masks"):
        raise ValueError(f"what to evaluate must be vos, boxes or masks, got {what!r}")
    if unseen and what != "vos":
        raise ValueError(f"unseen classes belong to vos, not to {what}; leave them out")
    if tracking and what == "masks":
        raise ValueError("tracking belongs to boxes and vos, not to masks; leave it out")
    if not 0.0 < iou_threshold <= 1.0:
        raise ValueError(f"iou_threshold must be in (0, 1], got {iou_threshold}")
    if missing not in ("fail", "skip", "empty"):
        raise ValueError(f"missing must be fail, skip or empty, got {missing!r}")


def _scores(
    what: str,
    pairs: Pairs,
    name: str,
    keys: NDArray[np.int64] | None,
    missing: str,
    all_frames: bool,
) -> tuple[Any, int]:
    """Return the scores of one video, and how many annotated frames the prediction lacks."""
    import numpy as np

    from evfr.metrics import box_scores, mask_scores, pixel_scores

    both = pairs.truth, pairs.predicted
    wanted, there = (labels.video(name).frame_index for labels in both)
    skipped = len(np.setdiff1d(wanted, there)) if missing == "skip" else 0
    if what == "vos":
        return mask_scores(*both, name, keys=keys, missing=missing), skipped
    if what == "boxes":
        return box_scores(*both, name, keys=keys, missing=missing), skipped
    without_keys = keys is not None and not all_frames
    return pixel_scores(*both, name, keys=keys, without_keys=without_keys, missing=missing), skipped


def _tracking(what: str, pairs: Pairs, name: str, missing: str, iou_threshold: float) -> TrackingScores:
    """Return the tracking scores of one video, on the frames that are scored."""
    from dataclasses import replace

    import numpy as np

    from evfr.metrics import tracking_scores

    truth = pairs.truth.of_video(name)
    if missing == "skip":
        (video,) = truth.videos
        here = np.isin(video.frame_index, pairs.predicted.video(name).frame_index)
        kept = replace(video, frame_index=video.frame_index[here], pts=video.pts[here], file_names=())
        truth = truth.take(np.isin(truth.frame_index, kept.frame_index))
        truth = replace(truth, videos=(kept,))
    return tracking_scores(
        truth, pairs.predicted, name, iou_threshold, on="masks" if what == "vos" else "boxes"
    )

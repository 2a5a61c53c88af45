"""`evfr evaluate`: how good labels are, against a truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._evaluate_result import BY_CLASS, EvaluateResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.metrics import TrackingScores
    from evfr.verbs._evaluate_coco import CocoTruth
    from evfr.verbs._evaluate_inputs import Pairs

__all__ = ["EvaluateResult", "evaluate"]


def evaluate(
    what: Literal["vos", "boxes", "masks", "vis", "coco"],
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
    unsupervised: bool = False,
    on: Literal["masks", "boxes"] = "masks",
    strict_official: bool = False,
    category_map: str | Path | None = None,
) -> EvaluateResult:
    """Compare labels with a truth: video object segmentation, boxes, pixels, video instances, or COCO's detections.

    ``vos``: DAVIS' J, F and J&F with mean, recall and decay per object, by size, and YouTube-VOS' G. ``boxes``: IoU
    per object and frame, and with ``--tracking`` MOTA, IDF1 and HOTA. ``masks``: accuracy, IoU and gscore (precision
    times recall) of pixels per class. ``vis``: YouTube-VIS' AP and AR of scored sequences, per class and by area.
    ``coco``: COCO's AP and AR of scored detections in the annotated frames, or in the pictures of a COCO file, per
    class, per video and by area. Objects are the same where their track ids are; ``vis``, ``coco`` and
    ``--unsupervised`` match them by overlap.

    Parameters
    ----------
    what : {"vos", "boxes", "masks", "vis", "coco"}
        What to compare.
    predicted : path
        The labels to judge, in any format that evfr reads; a list of results of YouTube-VIS or COCO takes its videos or
        pictures and its classes from the truth.
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
    unsupervised : bool
        ``vos``: DAVIS' unsupervised protocol: the best 20 proposals of a video are matched to its objects one to one,
        and all frames count.
    on : {"masks", "boxes"}
        ``vis``, ``coco``: what the IoU is of.
    strict_official : bool
        ``vis``: do as the official code does where it is known to be wrong: cut the longer of two lists of frames,
        count what takes the true object 0 as unmatched; areas are those that the truth's file states.
    category_map : str, path or None
        Classes that become one, in truth and prediction, which are then matched by name: a file ``.json`` or ``.toml``
        (target = [names]), or ``by-name``, ``ytvis-2019-to-2021``, ``openimages-to-ytvis``, ``coco-lvis-to-ytvis``.

    Returns
    -------
    EvaluateResult
        Overall, per video, per object (``vis``, ``coco``: per class).

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
    from evfr.verbs._evaluate_coco import coco_parts, read_coco_sides
    from evfr.verbs._evaluate_inputs import labelled_frames, map_categories, pair_videos, read_sides
    from evfr.verbs._evaluate_vis import empty_results, is_results

    _check(what, unseen, tracking, iou_threshold, missing)
    _check_vis(what, keys, all_frames, unsupervised, on, strict_official, category_map)
    if strict_official and missing != "fail":
        raise ValueError(
            "the official code compares frames by their place; leave strict_official or missing out"
        )
    # Options of the readers change what a file says, which the official code cannot.
    is_official = strict_official and on == "masks" and not predicted_options and not truth_options
    if is_official and (official := _official(predicted, truth, predicted_format, truth_format)) is not None:
        return official
    sides = (truth, truth_format, truth_options), (predicted, predicted_format, predicted_options)
    stated: CocoTruth | None = None
    if what == "coco":
        true_labels, labels, stated = read_coco_sides(*sides)
    else:
        true_labels, labels = read_sides(*sides)
    true_labels, labels, merged = map_categories(true_labels, labels, category_map)
    pairs = pair_videos(true_labels, labels, missing)
    marks = {} if keys is None else labelled_frames(pairs, keys)
    all_frames = all_frames or unsupervised
    variant = "unsupervised" if unsupervised else _variant(on, strict_official) if what in BY_CLASS else ""
    progress = current_progress()
    progress.start("evaluating", len(pairs.video_ids))
    parts = []
    if stated is not None:
        for names, scores, skipped in coco_parts(pairs, stated, on=on, missing=missing):
            parts.append(EvaluateResult("coco", scores, skipped_count=skipped, variant=variant))
            progress.advance(len(names), names[-1])
    for name in () if stated is not None else pairs.video_ids:
        scores, skipped = _scores(what, pairs, name, marks.get(name), missing, all_frames, variant)
        found = ((name, _tracking(what, pairs, name, missing, iou_threshold)),) if tracking else ()
        notes = _proposal_notes(pairs, name) if unsupervised else ()
        parts.append(
            EvaluateResult(
                *(what, scores, keys is not None, all_frames, tuple(unseen), skipped),
                tracking=found,
                variant=variant,
                notes=notes,
            )
        )
        progress.advance(1, name)
    progress.finish()
    lost = () if missing == "empty" else pairs.missing
    result = replace(
        EvaluateResult.merge(parts),
        missing_videos=lost,
        ignored_videos=pairs.ignored,
        merged_categories=merged,
    )
    empty = empty_results(Path(predicted)) if what == "vis" and is_results(Path(predicted)) else 0
    if empty:
        note = (
            f"not scored: {empty} results without a mask on any frame (strict_official counts them as wrong)"
        )
        result = replace(result, notes=(note, *result.notes))
    if what == "vos" and unseen:
        result.overall()  # refuses names that are no class of the truth
    return result


def _official(
    predicted: str | Path, truth: str | Path, predicted_format: str, truth_format: str
) -> EvaluateResult | None:
    """Score a list of results as the official code reads it; None where the files are of other kinds."""
    from evfr.verbs._evaluate_vis import official_scores

    if not {predicted_format, truth_format} <= {"auto", "ytvis"}:
        return None
    scores = official_scores(Path(predicted), Path(truth))
    return None if scores is None else EvaluateResult("vis", scores, variant=_variant("masks", True))


def _variant(on: str, strict_official: bool) -> str:
    return f"{on}, strict official" if strict_official else on


def _proposal_notes(pairs: Pairs, name: str) -> tuple[str, ...]:
    from evfr.metrics import pick_proposals

    picked = pick_proposals(pairs.predicted, name)
    count = len(picked.left_out)
    notes = []
    if count:
        notes.append(f"video {name}: {count + 20} proposals, only the best 20 by score count")
    if picked.overlap_count:
        notes.append(
            f"video {name}: {picked.overlap_count} pixels lie in several proposals, each counts for the best by score"
        )
    return tuple(notes)


def _check(what: str, unseen: Sequence[str], tracking: bool, iou_threshold: float, missing: str) -> None:
    if what not in ("vos", "boxes", "masks", *BY_CLASS):
        raise ValueError(f"what to evaluate must be vos, boxes, masks, vis or coco, got {what!r}")
    if unseen and what != "vos":
        raise ValueError(f"unseen classes belong to vos, not to {what}; leave them out")
    if tracking and what not in ("boxes", "vos"):
        raise ValueError(f"tracking belongs to boxes and vos, not to {what}; leave it out")
    if not 0.0 < iou_threshold <= 1.0:
        raise ValueError(f"iou_threshold must be in (0, 1], got {iou_threshold}")
    if missing not in ("fail", "skip", "empty"):
        raise ValueError(f"missing must be fail, skip or empty, got {missing!r}")


def _check_vis(
    what: str,
    keys: str | Path | None,
    all_frames: bool,
    unsupervised: bool,
    on: str,
    strict_official: bool,
    category_map: str | Path | None,
) -> None:
    if unsupervised and what != "vos":
        raise ValueError(f"unsupervised belongs to vos, not to {what}; leave it out")
    if strict_official and what != "vis":
        raise ValueError(f"strict_official belongs to vis, not to {what}; leave it out")
    if on not in ("masks", "boxes"):
        raise ValueError(f"on must be masks or boxes, got {on!r}")
    if on != "masks" and what not in BY_CLASS:
        raise ValueError(f"on belongs to vis and coco, not to {what}; leave it out")
    if keys is not None and (unsupervised or what in BY_CLASS):
        kind = "an unsupervised prediction" if unsupervised else what
        raise ValueError(f"keys name frames that a person labelled; {kind} has none: leave them out")
    if all_frames and what in BY_CLASS:
        raise ValueError(f"{what} counts every annotated frame; leave all_frames out")
    if strict_official and category_map is not None:
        raise ValueError("the official code joins no classes; leave strict_official or category_map out")


def _scores(
    what: str,
    pairs: Pairs,
    name: str,
    keys: NDArray[np.int64] | None,
    missing: str,
    all_frames: bool,
    variant: str,
) -> tuple[Any, int]:
    """Return the scores of one video, and how many annotated frames the prediction lacks."""
    import numpy as np

    from evfr.metrics import (
        box_scores,
        mask_scores,
        pixel_scores,
        unsupervised_scores,
        vis_scores,
    )

    both = pairs.truth, pairs.predicted
    wanted, there = (labels.video(name).frame_index for labels in both)
    skipped = len(np.setdiff1d(wanted, there)) if missing == "skip" else 0
    on: Literal["masks", "boxes"] = "boxes" if variant.startswith("boxes") else "masks"
    if what == "vis":
        is_strict = variant.endswith("strict official")
        return vis_scores(*both, name, on=on, strict_official=is_strict, missing=missing), skipped
    if variant == "unsupervised":
        return unsupervised_scores(*both, name, missing=missing), skipped
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

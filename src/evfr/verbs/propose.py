"""`evfr propose`: objects of a few key frames, carried through the whole video, scored and reduced (Propose-Reduce)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._propose_result import ProposeResult

if TYPE_CHECKING:
    from evfr.models import Detector
    from evfr.propagation import Propagator

__all__ = ["ProposeResult", "propose"]


def propose(
    video: str | Path,
    *,
    detector: str | Path | Detector,
    out: Path,
    key_frames: int = 5,
    frames: Sequence[str | int] = (),
    per_frame: int = 10,
    min_score: float = 0.2,
    box_nms: float = 0.5,
    mask_nms: float = 0.2,
    box_masks: Literal["grabcut", "box"] = "grabcut",
    detector_kind: str = "auto",
    detector_names: Path | None = None,
    detector_options: Mapping[str, int | float | str] | None = None,
    method: str | Propagator = "default",
    method_options: Mapping[str, object] | None = None,
    working_size: Sequence[int] = (480, 270),
    cuts: bool = True,
    classifier: Path | None = None,
    classifier_names: Path | None = None,
    classifier_options: Mapping[str, int | float | str] | None = None,
    score_every: int = 1,
    score_over: Literal["present", "all"] = "present",
    unseen_below: float = 0.1,
    unseen_seconds: float | None = 1.0,
    reduce: bool = True,
    reduce_step: Literal["both", "agnostic", "aware", "unsupervised"] = "both",
    agnostic_threshold: float | None = None,
    agnostic_floor: float = 0.05,
    decay: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    linear_threshold: float = 0.5,
    floor: float = 1e-3,
    per_category: int | None = None,
    write_floor: float = 0.05,
    out_format: str = "auto",
    companion: Path | None = None,
    detector_device: str = "cpu",
    damaged: Literal["drop", "keep", "fail"] = "drop",
    store: Path | None = None,
    executor: Literal["serial", "processes", "ray"] = "processes",
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
) -> ProposeResult:
    """Detect on a few key frames, carry every object through the video both ways, score and reduce the sequences.

    Propose-Reduce (Lin et al. 2021, arXiv:2103.13746). Key frames, chunks and scores that are done are kept in the
    store, so an interrupted run goes on where it was.

    Parameters
    ----------
    video : path
        The video file, or a folder or zip of images.
    detector : path, Detector or callable
        A file of weights (``.onnx``, or a torch network, see DETECTOR_KIND); from Python also a detector, or a function
        of a picture (H, W, 3) uint8 RGB that returns `evfr.models.Detections`.
    out : Path
        The file to write: ``.parquet`` keeps everything, ``.json`` is YouTube-VIS, others see OUT_FORMAT.
    key_frames : int
        Evenly spaced frames to detect on, first and last included; a single one is in the middle. A damaged one gives
        way to the nearest that is not.
    frames : sequence of str or int
        Detect on these frames instead: frame numbers, or a ``.csv``, ``.parquet`` or selection folder.
    per_frame : int
        Most objects of one key frame.
    min_score : float
        Only detections with a higher score, in [0, 1], are carried.
    box_nms : float
        Of two boxes of one class with a higher IoU the one of less score goes.
    mask_nms : float
        Of two masks of one key frame with this IoU or more the one of less score goes, whatever the classes.
    box_masks : {"grabcut", "box"}
        Masks of a detector that gives boxes alone.
    detector_kind : str
        Which detector a file is for; ``auto`` tells an ``.onnx`` file.
    detector_names : Path or None
        Text file with the detector's class names, one a line; None takes those in the file of weights. From Python
        also a sequence of names.
    detector_options : mapping or None
        Keywords of that kind of detector.
    method : str or callable
        ``default`` (best step field and matching), ``motion`` (vectors of a codec, faster), ``flow``, ``tracker``,
        ``covos``, ``session`` (a learned propagator of yours), ``copy``, "detector" (the detector's own propagation
        head), or a callable like `evfr.propagation.Propagator`.
    method_options : mapping or None
        Own options of the method.
    working_size : sequence of int
        Longer and shorter side, in pixels, within which objects are carried and compared; larger pictures are shrunk
        with their aspect kept, and sequences written at full size. Published is 640, 320; empty carries at full size.
    cuts : bool
        End the carry at hard cuts.
    classifier : path, BoxClassifier or None
        An ONNX classifier that scores the boxes instead of the detector: its classes are those of the output.
    classifier_names : Path or None
        Text file with its class names.
    classifier_options : mapping or None
        Keywords of `evfr.models.OnnxClassifier`.
    score_every : int
        Score every so many frames; key frames are always scored.
    score_over : {"present", "all"}
        Mean over the scored frames where a sequence is there (the released code), or over all scored frames (the
        paper).
    unseen_below : float
        An object is not seen where the class that was its best on the key frame scores less.
    unseen_seconds : float or None
        A sequence ends, going away from its key frame, where it is not seen for so long: what carries masks without
        learning goes on with the background when an object has left. None ends none, as published.
    reduce : bool
        Reduce the sequences; without it all proposals are written.
    reduce_step : {"both", "agnostic", "aware", "unsupervised"}
        Parts of the reduction, see ``evfr reduce``.
    agnostic_threshold : float or None
        Sequence IoU at which a better sequence of any class suppresses; None is .9, or .5 where REDUCE_STEP is
        ``agnostic``.
    agnostic_floor : float
        Least score, whatever the class, of a sequence that is looked at; the best is kept in any case.
    decay : {"gaussian", "linear"}
        How the scores of redundant sequences of one class are lowered.
    sigma : float
        Of the Gaussian.
    linear_threshold : float
        Overlap from which the linear decay lowers.
    floor : float
        Least score of a sequence in a class that takes part in the reduction.
    per_category : int or None
        Most sequences of one class; None is 10, or 20 with REDUCE_STEP ``unsupervised``.
    write_floor : float
        Least score of a sequence in a class that is written. A sequence is written once for each class, and a network
        leaves a little in every class: 0 writes all that the reduction leaves.
    out_format : str
        Format of the output: ``auto`` is ``evfr`` for ``.parquet``, and for ``.json`` ``results`` where there is a
        companion, ``ytvis`` otherwise; ``results`` is the list that YouTube-VIS's evaluation reads, without names of
        videos and classes.
    companion : Path or None
        Annotation file of YouTube-VIS whose ids ``results`` takes.
    detector_device : str
        For torch networks.

    Returns
    -------
    ProposeResult
        Sequences, counts of each step, time of each stage.

    Other Parameters
    ----------------
    damaged : {"drop", "keep", "fail"}
        What to do with frames that damage may have reached: nothing is carried onto or across them with ``drop``.
    store : Path or None
        Where measurements, detections, finished chunks and scores are kept; None is the user's cache folder, or
        ``EVFR_STORE``.
    executor : {"serial", "processes", "ray"}
        Where the video is measured, and carried forward and backward at once.
    memory_limit_mb : int or None
        Memory limit of each child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give the video up when measuring makes no progress for this long; None waits for ever.
    allow_remote : sequence of str
        Read remote files below these prefixes, for example ``s3://bucket/folder``; without it none is read.

    Raises
    ------
    VideoError
        If the video cannot be used.
    InputError
        If detector, classifier or selection cannot be used, or the detector fails on a frame.
    AnnotationError
        If the sequences cannot stand in the output format.
    ValueError
        If an argument is out of range.
    MissingExtraError
        If the detector or the method needs what is not installed.

    Notes
    -----
    The objects of one key frame compete for pixels, those of different key frames do not: each key frame is carried
    on its own. Pictures are held for one chunk of at most 300 frames and direction, so memory grows with the length
    of the video only by the masks that are found.

    Examples
    --------
    >>> import evfr
    >>> evfr.propose("drive.mp4", detector="fastestdet.onnx", out="sequences.json")  # doctest: +SKIP
    """
    from collections import Counter

    import numpy as np

    from evfr._core.atomic import refuse_remote
    from evfr._core.store import Store
    from evfr.sequences import reduce_sequences
    from evfr.signals import find_cuts
    from evfr.verbs._measure import measure_one
    from evfr.verbs._propose_carry import CarryPass, carry_both_ways, masks_by_track
    from evfr.verbs._propose_detect import Picking, detect_keys, key_labels, open_classifier, open_given
    from evfr.verbs._propose_keys import choose_keys
    from evfr.verbs._propose_method import choose_method
    from evfr.verbs._propose_plan import Clock, carry_size, check_options, run_notes
    from evfr.verbs._propose_score import Unseen, score_video
    from evfr.verbs._propose_watch import Watch
    from evfr.verbs._propose_write import check_out, full_size, sequence_set, write_sequences

    clock = Clock()
    out = Path(out)
    refuse_remote(out)
    chosen_format = check_out(out, out_format, companion)
    for name, number in (
        ("key_frames", key_frames),
        ("per_frame", per_frame),
        ("score_every", score_every),
    ):
        if number < 1:
            raise ValueError(f"{name} must be 1 or more, got {number}")
    for name, word, known in (
        ("score_over", score_over, ("present", "all")),
        ("box_masks", box_masks, ("grabcut", "box")),
    ):
        if word not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {word!r}")
    reduction_options: dict[str, Any] = {
        "step": reduce_step,
        "agnostic_threshold": agnostic_threshold,
        "agnostic_floor": agnostic_floor,
        "decay": decay,
        "sigma": sigma,
        "linear_threshold": linear_threshold,
        "floor": floor,
        "per_category": per_category,
    }
    for name, share in (("write_floor", write_floor), ("unseen_below", unseen_below)):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"{name} must lie in 0..1, got {share}")
    if unseen_seconds is not None and not unseen_seconds > 0:
        raise ValueError(f"unseen_seconds must be above 0, or None to end no sequence, got {unseen_seconds}")
    picking = Picking(per_frame, min_score, box_nms, mask_nms, box_masks)
    check_options(picking, reduction_options, working_size)
    opened = open_given(
        detector,
        kind=detector_kind,
        names=detector_names,
        device=detector_device,
        options=detector_options or {},
    )
    judge = opened
    if classifier is not None:
        judge = open_classifier(classifier, names=classifier_names, options=classifier_options or {})
    elif classifier_names is not None or classifier_options:
        raise ValueError("classifier_names and classifier_options go with a classifier; give one")
    measured, table, root = measure_one(
        video,
        damaged=damaged,
        store=store,
        executor=executor,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
        allow_remote=allow_remote,
    )
    kept, content = Store(root), measured.content
    clock.stop("measure")
    usable = table.is_decoded if damaged == "keep" else table.is_selectable
    keys = choose_keys(measured, usable, key_frames, frames)
    detected = detect_keys(opened, measured, keys.frame_index, picking, damaged=damaged, store=kept)
    clock.stop("detect")
    bound, travels = choose_method(method, method_options or {}, opened, measured, damaged)
    size, size_note = carry_size(table, working_size, bound.name, method_options or {})
    labels = key_labels(detected, size)
    unseen = None if unseen_seconds is None else Unseen.within(unseen_seconds, unseen_below, table)
    watch = None
    if unseen is not None and judge.identity is not None:
        watch = Watch(judge, unseen, score_every, labels, measured, damaged)
    job = CarryPass(
        measured,
        root,
        bound.name,
        dict(method_options or {}),
        damaged,
        find_cuts(content) if cuts and content is not None else np.zeros(0, np.int64),
        "left",
        labels,
        size,
        watch,
    )
    passes = carry_both_ways(
        job, None if travels else bound, executor=executor, memory_limit_mb=memory_limit_mb
    )
    tracks = masks_by_track(passes, labels, len(table))
    clock.stop("carry")
    scored = score_video(
        judge,
        measured,
        tracks,
        keys.frame_index,
        [
            index
            for index, found in zip(keys.frame_index, detected.found, strict=True)
            for _ in range(len(found))
        ],
        unseen,
        every=score_every,
        over=score_over,
        damaged=damaged,
        store=kept,
    )
    clock.stop("score")
    proposals = sequence_set(measured, size, judge, detected, scored.masks, scored.scores)
    reduction = None
    if reduce:
        reduction = reduce_sequences(proposals, **reduction_options)
    clock.stop("reduce")
    left = proposals if reduction is None else reduction.sequence_set
    written = full_size(left, measured, detected, write_floor)
    write_sequences(written, out, chosen_format, companion)
    clock.stop("write")
    return ProposeResult(
        written,
        proposals,
        reduction,
        measured.source.video_id,
        bound.name,
        keys.frame_index,
        tuple(len(found) for found in detected.found),
        size,
        scored.frame_count,
        dict(sorted(Counter(end.reason for one in passes for end in one.ends).items())),
        (*keys.notes, *size_note, *run_notes(detected, passes, scored, left, write_floor)),
        out,
        measured.problems,
        clock.seconds,
    )

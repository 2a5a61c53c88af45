"""`evfr propagate`: labels on a few frames reach every frame, with how far each can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._propagate_result import PropagateResult

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.propagation import Propagator

__all__ = ["PropagateResult", "propagate"]


def propagate(
    video: str | Path,
    *,
    labels: str | Path | VideoAnnotations,
    out: Path,
    method: str | Propagator = "default",
    method_options: Mapping[str, object] | None = None,
    min_trust: float | None = None,
    low_trust: Literal["ask", "drop", "keep"] = "ask",
    review: Path | None = None,
    review_n: int = 20,
    label_format: str = "auto",
    label_options: Mapping[str, int | float | str] | None = None,
    label_video: str | None = None,
    label_names: Literal["index", "extract", "pictures", "pts"] = "index",
    label_frames: Sequence[str | int] = (),
    label_scale: float | None = None,
    out_format: str = "auto",
    drop_by: Literal["frame", "object"] = "frame",
    held_out: int = 8,
    cuts: bool = True,
    seed: int = 0,
    damaged: Literal["drop", "keep", "fail"] = "drop",
    store: Path | None = None,
    executor: Literal["serial", "processes", "ray"] = "processes",
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
) -> PropagateResult:
    """Carry the labels of some frames of a video to all others, with a trust score for each carried object.

    The labels of people come back unchanged. Some of them are held out in turn to learn what the carry is worth on
    this very video. Finished stretches are kept in the store, so an interrupted run goes on where it was.

    Parameters
    ----------
    video : path
        The video file, or a folder or zip of images.
    labels : path or VideoAnnotations
        Labels of some of its frames, in any format of ``evfr.annotations``; each object with a track.
    out : Path
        The label file to write: ``.parquet`` keeps everything, other endings see OUT_FORMAT.
    method : str or callable
        ``default`` (best step field, residual-weighted from both sides, matching; drift-corrected flow for boxes),
        ``motion`` (fast), ``flow``, ``copy``, ``linear`` (boxes), ``tracker``, ``covos``, ``session`` (a learned
        propagator of yours), or a callable like `evfr.propagation.Propagator`.
    method_options : mapping or None
        Own options of the method.
    min_trust : float or None
        Carried objects below this trust, in [0, 1], are treated as LOW_TRUST says; None keeps all.
    low_trust : {"ask", "drop", "keep"}
        ``ask`` writes them for a person into the review folder and leaves them out of the file, ``drop`` leaves them
        out, ``keep`` keeps and counts them.
    review : Path or None
        Folder for what a person looks at next: a selection that ``evfr extract`` takes, labels to correct, and a page;
        None is a folder beside OUT, named after it.
    review_n : int
        How many frames to look at next.
    label_format : str
        Format of the labels; ``auto`` tells it from ending and content, and is an error where that is not certain.
    label_options : mapping or None
        Keywords of that format's reader, for example how files are numbered.
    label_video : str or None
        Which video of the label file this is; None where it has only one, or one with the same bytes or name.
    label_names : {"index", "extract", "pictures", "pts"}
        How a labelled frame is found in the video: by its number; by file names as ``evfr extract`` writes them; by
        the names of the pictures of an image folder; by its time stamp.
    label_frames : sequence of str or int
        Use the labels of these frames only: frame numbers, or a ``.csv``, ``.parquet`` or selection folder; empty
        uses all.
    label_scale : float or None
        Factor from the labels' pixels to the video's, where they were made on pictures of another size.
    out_format : str
        Format of the output; ``auto`` is ``evfr`` for ``.parquet`` and ``coco`` for ``.json``.
    drop_by : {"frame", "object"}
        Leave a frame out whole where one of its objects is left out (the object would pass for background), or the
        object alone.
    held_out : int
        Labelled frames that are held out in turn to learn trust, at most; each costs the carry across it. 0 uses the
        built-in trust.
    cuts : bool
        End the carry at hard cuts.
    seed : int
        Of the interval of the expected overlap.

    Returns
    -------
    PropagateResult
        Labels, counts, trust and what to look at next.

    Other Parameters
    ----------------
    damaged : {"drop", "keep", "fail"}
        What to do with frames that damage may have reached: nothing is carried onto or across them with ``drop``.
    store : Path or None
        Where measurements and finished stretches are kept; None is the user's cache folder, or ``EVFR_STORE``.
    executor : {"serial", "processes", "ray"}
        Where the video is measured first.
    memory_limit_mb : int or None
        Memory limit of that child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give the video up when it makes no progress for this long; None waits for ever.
    allow_remote : sequence of str
        Read remote files below these prefixes, for example ``s3://bucket/folder``; without it none is read.

    Raises
    ------
    VideoError
        If the video cannot be used.
    AnnotationError
        If the labels cannot be read, do not fit the video, or cannot stand in the output format.
    ValueError
        If an argument is out of range.
    MissingExtraError
        If the method needs what is not installed.

    Examples
    --------
    >>> import evfr
    >>> evfr.propagate("drive.mp4", labels="labels.json", out="all.parquet")  # doctest: +SKIP
    """
    words = _command(locals())
    import time

    import numpy as np

    from evfr._core.atomic import refuse_remote
    from evfr._core.store import Store
    from evfr.verbs._carry import CarryJob, carry_video
    from evfr.verbs._carry_labels import assemble_labels, judge, whole_video
    from evfr.verbs._carry_method import bind_method
    from evfr.verbs._carry_write import check_out, write_labels, write_review
    from evfr.verbs._labels import read_labels
    from evfr.verbs._measure import measure_one

    began = time.perf_counter()
    out = Path(out)
    folder = out.with_name(f"{out.stem}-review") if review is None else Path(review)
    for path in (out, folder):
        refuse_remote(path)
    if min_trust is not None and not 0.0 <= min_trust <= 1.0:
        raise ValueError(f"min_trust must lie in 0..1, got {min_trust}")
    if review_n < 0 or held_out < 0:
        raise ValueError(f"review_n and held_out must be 0 or more, got {review_n} and {held_out}")
    chosen_format = check_out(out, out_format)
    measured, table, root = measure_one(
        video,
        damaged=damaged,
        store=store,
        executor=executor,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
        allow_remote=allow_remote,
    )
    given = read_labels(
        labels,
        measured,
        label_format=label_format,
        label_options=label_options or {},
        label_video=label_video,
        label_names=label_names,
        label_scale=label_scale,
        label_frames=label_frames,
    )
    found_cuts = _cuts(measured) if cuts else np.zeros(0, np.int64)
    bound = bind_method(method, method_options or {}, measured, damaged)
    carried = carry_video(
        CarryJob(
            measured,
            given,
            bound.name,
            bound.propagator,
            bound.parameters,
            damaged,
            found_cuts,
            held_out,
            Store(root),
        )
    )
    whole = whole_video(carried, given, table, found_cuts, damaged)
    judged = judge(
        whole,
        carried.held,
        min_trust=min_trust,
        low_trust=low_trust,
        review_n=review_n,
        table=table,
        cuts=found_cuts,
        seed=seed,
    )
    result = assemble_labels(whole, judged, given, table, drop_by=drop_by)
    asked = assemble_labels(whole, judged, given, table, drop_by="object", wanted=judged.is_asked)
    write_labels(result, out, chosen_format)
    notes = (*bound.notes(), *_notes(carried, len(given.videos[0].frame_index)))
    write_review(
        folder,
        measured=measured,
        given=given,
        whole=whole,
        judged=judged,
        asked=asked,
        cuts=found_cuts,
        method=bound.name,
        damaged=damaged,
        min_trust=min_trust,
        notes=notes,
        command=words,
    )
    annotated = len(result.videos[0].frame_index)
    return PropagateResult(
        result,
        asked,
        measured.source.video_id,
        bound.name,
        len(given.videos[0].frame_index),
        int(judged.is_kept.sum()),
        int(judged.is_dropped.sum()),
        int(judged.is_asked.sum()),
        {
            "video": len(table),
            "labelled": len(given.videos[0].frame_index),
            "annotated": annotated,
            "unreached": int((~whole.is_reached).sum()),
        },
        judged.expected,
        judged.check,
        judged.queue,
        whole.ends,
        notes,
        out,
        folder,
        measured.problems,
        time.perf_counter() - began,
    )


def _cuts(measured: Any) -> Any:
    from evfr.signals import find_cuts

    return find_cuts(measured.content)


def _notes(carried: Any, labelled: int) -> list[str]:
    notes = []
    if carried.cached:
        notes.append(f"{carried.cached} of {len(carried.stretches)} stretches were in the store")
    frames = len({int(frame) for frame in carried.held.frames})
    if frames:
        missed = f"; {carried.held.missed} more were not carried there" if carried.held.missed else ""
        notes.append(
            f"trust was fitted on {len(carried.held)} objects of {frames} labelled frames held out in turn{missed}"
        )
    else:
        notes.append(
            f"trust is the built-in one: none of the {labelled} labelled frames could be held out between two others"
        )
    return notes


def _command(given: Mapping[str, Any]) -> str:
    """Return the command line that does the same, with every option that is not the default."""
    import inspect
    import shlex

    words = ["evfr", "propagate", str(given["video"])]
    for name, parameter in inspect.signature(propagate).parameters.items():
        value = given[name]
        if name == "video" or value is None or value == parameter.default:
            continue
        option = f"--{name.replace('_', '-')}"
        if name == "method_options":
            words += [
                word for key, item in value.items() for word in _option(f"--{key.replace('_', '-')}", item)
            ]
        elif name == "labels" and not isinstance(value, str | Path):
            words += [option, "LABELS"]
        elif callable(value):
            words += [option, getattr(value, "__name__", type(value).__name__)]
        else:
            words += _option(option, value)
    return shlex.join(words)


def _option(option: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    if isinstance(value, Mapping):
        return [word for key, item in value.items() for word in (option, f"{key}={item}")]
    if isinstance(value, list | tuple):
        return [option, ",".join(str(item) for item in value)] if value else []
    return [option, str(value)]

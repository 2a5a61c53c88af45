"""`evfr select`: the main job, the frames of real video worth labelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evfr._core.selection import Selection
    from evfr.verbs._finish import Run
    from evfr.verbs._measure import Measured
    from evfr.verbs._request import Request
    from evfr.video import VideoSource

__all__ = ["select"]


def select(
    paths: str | Path | Sequence[str | Path] = (),
    *,
    n: int | None = None,
    ratio: float | None = None,
    stride: int | None = None,
    method: str = "auto",
    method_options: Mapping[str, object] | None = None,
    signal: Literal["flow", "ssim", "feature", "difference", "motion", "none"] = "flow",
    profile: Literal["fast", "default", "reference"] = "default",
    embedding: str | None = None,
    seed: int = 0,
    out: Path | None = None,
    from_: Path | None = None,
    allocation: Literal["duration", "equal", "activity"] = "duration",
    per_video_min: int | None = None,
    per_video_max: int | None = None,
    min_gap: int | None = None,
    max_gap: int | None = None,
    min_gap_seconds: float | None = None,
    max_gap_seconds: float | None = None,
    include: Sequence[str | int] = (),
    exclude: Sequence[str | int] = (),
    labeled: Sequence[str | int] = (),
    min_sharpness: float | None = None,
    max_clipped: float | None = None,
    strides: Sequence[int] = (),
    labels: Path | None = None,
    damaged: Literal["drop", "keep", "fail"] = "drop",
    dry_run: bool = False,
    image_format: Literal["jpg", "png"] = "jpg",
    quality: int = 95,
    no_frames: bool = False,
    no_report: bool = False,
    store: Path | None = None,
    executor: Literal["serial", "processes", "ray"] = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
) -> Selection:
    """Choose the frames worth labelling: measure, divide the budget, sample, extract, and write down why.

    With ``out`` the folder gets ``selection.parquet``, ``selection.json``, ``frames/`` and ``report.html``. With
    nothing but a path, 10 % of the frames are taken by ``auto``.

    Parameters
    ----------
    paths : path or sequence of paths
        Video files, folders, globs, folders or zips of images, or ``@list.txt`` with a path per line.
    n : int or None
        Budget: frames to select, over all videos together.
    ratio : float or None
        Budget as a share of all usable frames, in (0, 1], rounded; 0.1 when no budget is given.
    stride : int or None
        Budget as one frame in so many of each video, rounded up; with ``uniform`` exactly every stride-th frame.
    method : str, a key of `evfr.sampling.SAMPLERS`
        How to sample (UFS, RFS, AFS of Yoon & Choi 2023; systematic and auto are ours).
    method_options : mapping or None
        Options of the method itself, by name; on the command line they are options of their own.
    signal : {"flow", "ssim", "feature", "difference", "motion", "none"}
        What weighs the frames; ``none`` measures nothing, for ``uniform`` and ``random``.
    profile : {"fast", "default", "reference"}
        Flow at 160 px, at 320 px, or at full size; SSIM in 8x8 blocks or, for the reference, in Gaussian windows.
    embedding : str or None
        What ``feature`` compares: ``thumbnail``, ``hsv``, ``hog``, ``dct`` or an ONNX file; None is ``thumbnail``.
    seed : int
        Seed of every random draw; the same seed gives the same frames on any number of workers.
    out : Path or None
        Folder to write to; None writes nothing and returns the selection alone.
    from_ : Path or None
        Repeat a ``selection.json``, or apply one that the report page exported; takes no other choice but ``out``.
    allocation : {"duration", "equal", "activity"}
        How one budget is divided over videos: by length, equally, or by sqrt(activity x length).
    per_video_min : int or None
        Fewest frames of each video; None is 1 while the budget reaches for all videos.
    per_video_max : int or None
        Most frames of each video.
    min_gap : int or None
        Smallest distance between selected frames, in frames.
    max_gap : int or None
        Largest distance between selected frames, in frames; the head and the tail of a video count too.
    min_gap_seconds : float or None
        Smallest distance in seconds of true time.
    max_gap_seconds : float or None
        Largest distance in seconds of true time.
    include : sequence of str or int
        Frames that must be taken: INDEX, VIDEO:INDEX, or a .csv or .parquet file with video_id and frame_index.
    exclude : sequence of str or int
        Frames that must not be taken, written like ``include``.
    labeled : sequence of str or int
        Frames that are labelled already, written like ``include``, or the folder of an earlier selection: they
        are not taken again and count for the gaps.
    min_sharpness : float or None
        Quality gate: refuse frames less sharp than this share of the video's median sharpness, in [0, 1].
    max_clipped : float or None
        Quality gate: refuse frames with a larger share of too dark or too bright pixels, in [0, 1].
    strides : sequence of int
        Write the reduced datasets S1, S2, ... of these strides, one selection each (Yoon & Choi 2023, §4.2).
    labels : Path or None
        With ``strides``: a CSV with video_id, frame_index and category, one row per labelled object, for the class
        check (Fig. 4).
    damaged : {"drop", "keep", "fail"}
        Frames that damage may have reached: never take them, treat them as sound, or give the video up.
    dry_run : bool
        Decode nothing but a probe: say what would be decoded and how long it would take.

    Returns
    -------
    Selection
        The selected frames; with ``strides`` those of the smallest stride, all of them in ``reduced``; after a dry
        run no frames and a ``plan``.

    Other Parameters
    ----------------
    image_format : {"jpg", "png"}
        JPEG is small, PNG keeps every pixel.
    quality : int
        JPEG quality, 1 to 100.
    no_frames : bool
        Write no images.
    no_report : bool
        Write no report page.
    store : Path or None
        Where measurements are kept; None is the user's cache folder, or ``EVFR_STORE``.
    executor : {"serial", "processes", "ray"}
        Decode in this process, in child processes that a damaged file cannot take down, or in those of a Ray cluster.
    jobs : int or None
        Child processes at a time; None is one per core, of the whole cluster where there is one.
    memory_limit_mb : int or None
        Memory limit of a child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give a video up when it makes no progress for this long; None waits for ever.

    Raises
    ------
    InputError
        If no path resolves to anything, or no video has a usable frame.
    ConstraintError
        If the constraints cannot hold together.
    SelectionFileError
        If ``from_`` is no manifest, or a video has changed since it was made.
    ValueError
        If an argument is out of range, or arguments contradict each other.

    References
    ----------
    Yoon & Choi, "Exploring Video Frame Redundancies for Efficient Data Sampling and Annotation in Instance
    Segmentation", CVPR Workshops 2023.

    Examples
    --------
    >>> import evfr
    >>> chosen = evfr.select("drive.mp4", ratio=0.2, method="systematic", seed=0)  # doctest: +SKIP
    >>> chosen.indices[:3]  # doctest: +SKIP
    array([ 2,  7, 12])
    """
    from evfr.verbs._finish import Run, finish
    from evfr.verbs._measure import default_store
    from evfr.verbs._request import Request, frame_names

    run = Run(
        out=None if out is None else Path(out),
        store=default_store() if store is None else Path(store),
        has_frames=not no_frames,
        has_report=not no_report,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    inputs = [paths] if isinstance(paths, str | Path) else list(paths)
    request = Request(
        n=n,
        ratio=ratio,
        stride=stride,
        method=method,
        method_options=dict(method_options or {}),
        signal=signal,
        profile=profile,
        embedding=embedding,
        seed=seed,
        allocation=allocation,
        per_video_min=per_video_min,
        per_video_max=per_video_max,
        min_gap=min_gap,
        max_gap=max_gap,
        min_gap_seconds=min_gap_seconds,
        max_gap_seconds=max_gap_seconds,
        include=frame_names(include, "include"),
        exclude=frame_names(exclude, "exclude"),
        labeled=frame_names(labeled, "labeled"),
        min_sharpness=min_sharpness,
        max_clipped=max_clipped,
        damaged=damaged,
        image_format=image_format,
        quality=quality,
    )
    if from_ is not None:
        _refuse_choices(inputs, request, strides, labels, dry_run)
        return _repeat(Path(from_), run)
    if not inputs:
        raise ValueError("give at least one video, folder, glob or list, or with --from (from_) a manifest")
    _check(request, strides, labels)
    from evfr.video import printable, resolve_inputs

    sources = resolve_inputs(inputs)
    shown = tuple(printable(str(path)) for path in inputs)
    if dry_run:
        return _dry_run(sources, shown, request, run)
    measured = _measure(sources, request, run)
    if strides:
        from evfr.verbs._strides import reduce_by_strides

        return reduce_by_strides(measured, shown, request, run, tuple(strides), labels)
    return finish(measured, shown, request, run)


def _refuse_choices(
    inputs: Sequence[str | Path],
    request: Request,
    strides: Sequence[int],
    labels: Path | None,
    dry_run: bool,
) -> None:
    """Refuse whatever a manifest decides itself: it would be ignored in silence."""
    if inputs:
        raise ValueError("from_ brings its own inputs; give a manifest or paths, not both")
    asked = request.to_dict()
    given = [name for name, value in type(request)().to_dict().items() if asked[name] != value]
    more = {"strides": strides, "labels": labels, "dry_run": dry_run}
    given += [name for name, value in more.items() if value]
    if given:
        raise ValueError(
            f"from_ repeats what its manifest says; leave out {', '.join(given)}, or select from the videos again"
        )


def _check(request: Request, strides: Sequence[int], labels: Path | None) -> None:
    from inspect import signature

    from evfr.sampling import SAMPLERS
    from evfr.signals import PROFILES, SIGNALS

    for name, value, allowed in (
        ("method", request.method, tuple(SAMPLERS)),
        ("signal", request.signal, (*SIGNALS, "none")),
        ("profile", request.profile, tuple(PROFILES)),
        ("allocation", request.allocation, ("duration", "equal", "activity")),
        ("damaged", request.damaged, ("drop", "keep", "fail")),
        ("image_format", request.image_format, ("jpg", "png")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    parameters = signature(SAMPLERS[request.method]).parameters.values()
    options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ("seed", "cuts")]
    unknown = sorted(set(request.method_options) - set(options))
    if unknown:
        raise TypeError(
            f"method {request.method} has no option {', '.join(unknown)}; it has {', '.join(options)}"
        )
    if request.signal == "none" and request.method not in ("uniform", "random"):
        raise ValueError(f"method {request.method} needs a signal; choose one, or method uniform or random")
    if request.signal == "none" and request.allocation == "activity":
        raise ValueError("allocation by activity needs a signal; choose one, or another allocation")
    if request.embedding is not None and request.signal != "feature":
        raise ValueError(f"embedding is what the signal feature compares; signal is {request.signal}")
    if strides:
        if any(stride < 1 for stride in strides) or len(set(strides)) != len(strides):
            raise ValueError(f"strides must be different and 1 or more, got {list(strides)}")
        if any(value is not None for value in (request.n, request.ratio, request.stride)):
            raise ValueError("strides are the budgets; do not give n, ratio or stride as well")
    if labels is not None and not strides:
        raise ValueError("labels are for the class check of strides; give strides as well")


def _signals(request: Request) -> tuple[str, ...]:
    return () if request.signal == "none" else (request.signal,)


def _measure(sources: Sequence[VideoSource], request: Request, run: Run) -> list[Measured]:
    from evfr.verbs._measure import measure

    return measure(
        sources,
        signals=_signals(request),
        profile=request.profile,
        embedding=request.embedding,
        damaged=request.damaged,
        **run.execution,
    )


def _repeat(path: Path, run: Run) -> Selection:
    from evfr.errors import SelectionFileError
    from evfr.verbs._finish import finish
    from evfr.verbs._manifest import request_from_manifest
    from evfr.verbs.extract import check_unchanged

    request, sources, shown, hashes = request_from_manifest(path)
    _check(request, (), None)
    measured = _measure(sources, request, run)
    for video in measured:
        now = check_unchanged(video, hashes.get(video.source.video_id))
        if now.status == "failed" and hashes.get(video.source.video_id):
            raise SelectionFileError(f"{path}: {now.problems[0]}")
    return finish(measured, shown, request, run)


def _dry_run(sources: Sequence[VideoSource], shown: Sequence[str], request: Request, run: Run) -> Selection:
    from evfr._core.selection import SELECTION_SCHEMA, Selection
    from evfr.verbs._manifest import build_manifest
    from evfr.verbs._measure import Measured
    from evfr.verbs._plan import plan

    unread = [Measured(source, "unread") for source in sources]
    manifest = build_manifest(shown, request, unread, (), ())
    manifest["plan"] = plan(sources, request, _signals(request), run.store, run.jobs)
    return Selection(SELECTION_SCHEMA.empty_table(), manifest)

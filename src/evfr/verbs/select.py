"""`evfr select`: the main job, the frames of real video worth labelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evfr._core.selection import Selection
    from evfr.verbs._embedding import EmbeddedVideo
    from evfr.verbs._finish import Run
    from evfr.verbs._measure import Measured
    from evfr.verbs._pooling import Pooled
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
    signal: Literal["flow", "ssim", "feature", "difference", "motion", "none"] | None = None,
    profile: Literal["fast", "default", "reference"] = "default",
    embedding: str | None = None,
    weights: Path | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    model_options: Mapping[str, int | float | str] | None = None,
    every: int | None = None,
    fps: float | None = None,
    pool: float | None = None,
    seed: int = 0,
    out: Path | None = None,
    from_: Path | None = None,
    allocation: Literal["duration", "equal", "activity"] = "duration",
    per_video_min: int | None = None,
    per_video_max: int | None = None,
    per_scene_min: int | None = None,
    floor_share: float | None = None,
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
    device: str = "auto",
    executor: Literal["serial", "processes", "ray"] = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
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
        How to sample: by the FVI (UFS, RFS, AFS of Yoon & Choi 2023; systematic and auto are ours), or by embeddings,
        from ``farthest`` on.
    method_options : mapping or None
        Options of the method itself, by name; on the command line they are options of their own.
    signal : {"flow", "ssim", "feature", "difference", "motion", "none"} or None
        What weighs the frames; ``none`` measures nothing, for ``uniform``, ``random`` and methods on embeddings.
        None is ``flow``; with methods on embeddings ``feature``, which the report then shows.
    profile : {"fast", "default", "reference"}
        Flow at 160 px, at 320 px, or at full size; SSIM in 8x8 blocks or, for the reference, in Gaussian windows.
    embedding : str or None
        What methods on embeddings and ``feature`` compare: ``thumbnail``, ``hsv``, ``hog``, ``dct``, an ONNX file, or a
        model as in ``evfr embed``; None is ``thumbnail``.
    weights : Path or None
        The embedding model's weights file, for models that need one.
    precision : {"auto", "fp32", "bf16", "fp16"}
        What the embedding model computes in.
    model_options : mapping or None
        Options of the embedding model itself, by name, as in ``evfr embed``.
    every : int or None
        Embed only every so many-th frame; only these can be chosen.
    fps : float or None
        Embed only so many frames per second of true time; only these can be chosen.
    pool : float or None
        For more frames than memory holds: keep this share of the embedded frames, in (0, 1], in pools, by the greedy
        order of each video, and choose from the pools alone; 0.03 comes close to all. None chooses from all.
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
    per_scene_min : int or None
        Fewest frames of each scene (stretch between hard cuts), spread over it.
    floor_share : float or None
        Share of the budget, in [0, 1], that is spread evenly over time and scenes before distance decides; 0 is plain
        distance, which starves quiet scenes. None is 0.5 for ``farthest`` and 0 for all others.
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
        Where measurements are kept, also ``s3://bucket/folder`` where ``allow_remote`` names it; None is the user's
        cache folder, or ``EVFR_STORE``.
    device : str
        Where the embedding model runs: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
    executor : {"serial", "processes", "ray"}
        Decode in this process, in child processes that a damaged file cannot take down, or in those of a Ray cluster.
    jobs : int or None
        Child processes at a time; None is one per core, of the whole cluster where there is one.
    memory_limit_mb : int or None
        Memory limit of a child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give a video up when it makes no progress for this long; None waits for ever.
    allow_remote : sequence of str
        Read remote files, and use a remote store, below these prefixes, for example ``s3://bucket/folder``; without
        it none is used.

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
    from evfr._core.atomic import refuse_remote
    from evfr._core.remote_store import store_root
    from evfr.verbs._check_select import check_request, default_signal, refuse_choices
    from evfr.verbs._finish import Run, finish
    from evfr.verbs._measure import default_store
    from evfr.verbs._request import Request, frame_names

    if out is not None:
        refuse_remote(Path(out))
    run = Run(
        out=None if out is None else Path(out),
        store=store_root(default_store() if store is None else store, allow_remote),
        has_frames=not no_frames,
        has_report=not no_report,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
        device=device,
    )
    if signal is None:
        signal = default_signal(method, every, fps, pool)
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
        weights=None if weights is None else str(weights),
        precision=precision,
        model_options=dict(model_options or {}),
        every=every,
        fps=fps,
        pool=pool,
        seed=seed,
        allocation=allocation,
        per_video_min=per_video_min,
        per_video_max=per_video_max,
        per_scene_min=per_scene_min,
        floor_share=floor_share,
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
        refuse_choices(inputs, request, strides, labels, dry_run)
        return _repeat(Path(from_), run, allow_remote)
    if not inputs:
        raise ValueError("give at least one video, folder, glob or list, or with --from (from_) a manifest")
    check_request(request, strides, labels)
    from evfr.video import resolve_inputs, shown_input

    sources = resolve_inputs(inputs, allow_remote=allow_remote)
    shown = tuple(shown_input(path) for path in inputs)
    if dry_run:
        return _dry_run(sources, shown, request, run)
    measured, embedded, pooled = _prepare(sources, request, run)
    if strides:
        from evfr.verbs._strides import reduce_by_strides

        return reduce_by_strides(measured, shown, request, run, tuple(strides), labels, embedded)
    return finish(measured, shown, request, run, embedded=embedded, pooled=pooled)


def _signals(request: Request) -> tuple[str, ...]:
    return () if request.signal == "none" else (request.signal,)


def _prepare(
    sources: Sequence[VideoSource], request: Request, run: Run
) -> tuple[list[Measured], list[EmbeddedVideo] | None, Pooled | None]:
    """Measure all videos; for methods on embeddings embed them first, which leaves little to measure."""
    from evfr.sampling import SAMPLERS, takes_embeddings

    if not takes_embeddings(SAMPLERS[request.method]):
        return _measure(sources, request, run), None, None
    from evfr.verbs._embedding import locate, read_embedded
    from evfr.verbs._pooling import pool_videos

    located, parameters = locate(
        sources,
        model=request.embedding or "thumbnail",
        weights=None if request.weights is None else Path(request.weights),
        every=request.every,
        fps=request.fps,
        damaged=request.damaged,
        device=run.device,
        precision=request.precision,
        batch_size=None,
        model_options=request.model_options,
        **run.execution,
    )
    measured = _measure(sources, request, run)
    if request.pool is not None:
        pooled = pool_videos(measured, located, request, run)
        return measured, pooled.embedded, pooled
    embedded = [
        read_embedded(run.store, source, found, parameters)
        for source, found in zip(sources, located, strict=True)
    ]
    return measured, embedded, None


def _measure(sources: Sequence[VideoSource], request: Request, run: Run) -> list[Measured]:
    from evfr.verbs._embed_job import ModelSpec
    from evfr.verbs._measure import measure

    return measure(
        sources,
        signals=_signals(request),
        profile=request.profile,
        embedding=request.embedding,
        model=ModelSpec(
            request.embedding,
            None if request.weights is None else Path(request.weights),
            run.device,
            request.precision,
            None,
            tuple(sorted(request.model_options.items())),
        ),
        damaged=request.damaged,
        **run.execution,
    )


def _repeat(path: Path, run: Run, allow_remote: Sequence[str]) -> Selection:
    from evfr.errors import SelectionFileError
    from evfr.verbs._check_select import check_request
    from evfr.verbs._finish import finish
    from evfr.verbs._manifest import request_from_manifest
    from evfr.verbs.extract import check_unchanged

    request, sources, shown, hashes = request_from_manifest(path, allow_remote)
    check_request(request, (), None)
    measured, embedded, pooled = _prepare(sources, request, run)
    for video in measured:
        now = check_unchanged(video, hashes.get(video.source.video_id))
        if now.status == "failed" and hashes.get(video.source.video_id):
            raise SelectionFileError(f"{path}: {now.problems[0]}")
    return finish(measured, shown, request, run, embedded=embedded, pooled=pooled)


def _dry_run(sources: Sequence[VideoSource], shown: Sequence[str], request: Request, run: Run) -> Selection:
    from evfr._core.selection import SELECTION_SCHEMA, Selection
    from evfr.verbs._manifest import build_manifest
    from evfr.verbs._measure import Measured
    from evfr.verbs._plan import plan

    unread = [Measured(source, "unread") for source in sources]
    manifest = build_manifest(shown, request, unread, (), ())
    manifest["plan"] = plan(sources, request, _signals(request), run.store, run.jobs, run.device)
    return Selection(SELECTION_SCHEMA.empty_table(), manifest)

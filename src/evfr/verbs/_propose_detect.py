"""Detect objects on the key frames, give each a mask, and keep what was found in the store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import Category, FrameLabels
    from evfr._core.masks import Rle
    from evfr._core.store import Store, StoreKey
    from evfr.models import Detections
    from evfr.verbs._measure import Measured

__all__ = ["KeyDetections", "Opened", "Picking", "detect_keys", "key_labels", "open_classifier", "open_given"]

STAGE = "propose-detect"
SCHEMA = 1


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """Hold a detector or classifier that is ready to use.

    Attributes
    ----------
    model : Detector or BoxClassifier
        It.
    categories : tuple of C Category
        Its classes.
    identity : dict or None
        All that its answers depend on, for keys of the store; None for an object of the caller's.
    name : str
        For notes.
    """

    model: Any
    categories: tuple[Category, ...]
    identity: dict[str, Any] | None
    name: str


@dataclass(frozen=True, slots=True)
class Picking:
    """Say which detections of a key frame are carried; see `evfr.models.pick`.

    Attributes
    ----------
    per_frame : int
        At most so many.
    min_score, box_nms, mask_nms : float
        Limits, in [0, 1].
    masks : {"grabcut", "box"}
        Masks of detections that are boxes.
    """

    per_frame: int
    min_score: float
    box_nms: float
    mask_nms: float
    masks: Literal["grabcut", "box"]


@dataclass(frozen=True, slots=True, eq=False)
class KeyDetections:
    """Hold what was found on the key frames.

    Attributes
    ----------
    frame_index : tuple of K int
        The key frames.
    found : tuple of K Detections
        What is carried from each, every one with a mask.
    cached : int
        Key frames that were read from the store.
    empty : int
        Detections that were left out, as no pixel of their mask was set.
    boxed : int
        Boxes in which GrabCut found no object, so that the mask is the box.
    """

    frame_index: tuple[int, ...]
    found: tuple[Detections, ...]
    cached: int
    empty: int
    boxed: int


def open_given(detector: Any, *, kind: str, names: Any, device: str, options: Mapping[str, Any]) -> Opened:
    """Open a detector by its file, or take one that is open.

    Parameters
    ----------
    detector : path, Detector or callable
        A file of weights, a detector, or ``(image) -> Detections``.
    kind, names, device, options
        As in `evfr.models.open_detector`; of a callable only ``names`` counts.

    Returns
    -------
    Opened
        Ready to use.

    Raises
    ------
    InputError
        If there is no such file, or it is none.
    ValueError
        If an option does not fit.
    """
    from evfr.models import as_detector, open_detector
    from evfr.verbs._carry_method import option_identity

    if isinstance(detector, str | Path):
        model = open_detector(detector, kind=kind, names=names, device=device, **options)
        named = {"detector": Path(detector), "kind": kind, "device": device, **options}
        identity = option_identity({**named, **_names_option(names)})
        return Opened(model, model.categories, identity, Path(detector).name)
    if options or kind != "auto":
        raise ValueError("detector_kind and detector_options go with a file; this detector is open already")
    model = as_detector(detector, names)
    return Opened(
        model, model.categories, None, getattr(detector, "__name__", None) or type(detector).__name__
    )


def open_classifier(classifier: Any, *, names: Any, options: Mapping[str, Any]) -> Opened:
    """Open a classifier of boxes, the "stronger classifier" of Propose-Reduce.

    Parameters
    ----------
    classifier : path or BoxClassifier
        An ONNX file, or anything with ``score_boxes`` and ``categories``.
    names : path, sequence of str, or None
        Its classes.
    options : mapping
        Keywords of `evfr.models.OnnxClassifier`.

    Returns
    -------
    Opened
        Ready to use.

    Raises
    ------
    InputError
        If there is no such file, or it is none.
    ValueError
        If it cannot score boxes, or an option does not fit.
    """
    import inspect

    from evfr.models import OnnxClassifier
    from evfr.verbs._carry_method import option_identity

    if isinstance(classifier, str | Path):
        known = [
            name for name in inspect.signature(OnnxClassifier).parameters if name not in ("path", "names")
        ]
        if unknown := [name for name in options if name not in known]:
            raise ValueError(f"classifier_options has no {unknown[0]!r}; it has {', '.join(known)}")
        model = OnnxClassifier(Path(classifier), names=names, **options)
        identity = option_identity({"classifier": Path(classifier), **options, **_names_option(names)})
        return Opened(model, tuple(model.categories), identity, Path(classifier).name)
    if options or names is not None:
        raise ValueError(
            "classifier_names and classifier_options go with a file; this classifier is open already"
        )
    if not hasattr(classifier, "score_boxes") or not hasattr(classifier, "categories"):
        raise ValueError(
            f"a classifier needs score_boxes(image, boxes_xyxy) and categories, got {type(classifier).__name__}"
        )
    return Opened(classifier, tuple(classifier.categories), None, type(classifier).__name__)


def _names_option(names: Any) -> dict[str, Any]:
    """Return class names as words, so that they can stand in a key."""
    if names is None or isinstance(names, str | Path):
        return {"names": names}
    return {"names": "\n".join(getattr(name, "name", None) or str(name) for name in names)}


def detect_keys(
    opened: Opened,
    measured: Measured,
    keys: Sequence[int],
    picking: Picking,
    *,
    damaged: Any,
    store: Store,
) -> KeyDetections:
    """Detect on each key frame and pick what is carried.

    Parameters
    ----------
    opened : Opened
        The detector.
    measured : Measured
        The video.
    keys : sequence of K int
        Key frames, increasing.
    picking : Picking
        What is picked.
    damaged : str
        As in `evfr.select`.
    store : Store
        Where it is kept.

    Returns
    -------
    KeyDetections
        Of all key frames; a frame may have none.

    Raises
    ------
    InputError
        If the detector fails on a frame.
    """
    import numpy as np

    from evfr._core.progress import current_progress
    from evfr.verbs._measure_keys import is_intact
    from evfr.verbs._propose_store import detections_from_table, detections_to_table
    from evfr.video import extract_frames

    table = measured.table
    assert table is not None
    size = (table.height, table.width)
    found: dict[int, Detections] = {}
    told: dict[int, dict[str, int]] = {}
    for index in keys:
        key = _key(opened, measured, index, picking, damaged, store)
        if key is not None and is_intact(store, key):
            entry = store.read_entry(key)
            found[index] = detections_from_table(entry.table, size, len(opened.categories))
            told[index] = dict(entry.metadata)
    todo = [index for index in keys if index not in found]
    cached = len(found)
    progress = current_progress()
    progress.start("detecting", len(todo))
    try:
        for frame in extract_frames(measured.source.path, todo, table, damaged=damaged) if todo else ():
            index = frame.frame_index
            where = f"{measured.source.video_id}: the detector {opened.name} failed on frame {index}"
            picked, boxed = guarded(where, functools.partial(_detect, opened.model, frame.image, picking))
            has_pixels = np.array([mask is not None and not mask.is_empty for mask in picked.masks], np.bool_)
            found[index] = picked.take(has_pixels)
            told[index] = {"empty": int((~has_pixels).sum()), "boxed": boxed}
            if (key := _key(opened, measured, index, picking, damaged, store)) is not None:
                store.write(key, detections_to_table(found[index]), told[index])
            progress.advance(1, f"{measured.source.video_id} (frame {index})")
    finally:
        progress.finish()
    return KeyDetections(
        tuple(keys),
        tuple(found[index] for index in keys),
        cached,
        sum(one["empty"] for one in told.values()),
        sum(one["boxed"] for one in told.values()),
    )


def guarded(where: str, work: Callable[[], Any]) -> Any:
    """Run a detector or classifier, which may be foreign code; what it raises is told with its frame.

    Parameters
    ----------
    where : str
        Video, model and frame.
    work : callable
        What to run.

    Returns
    -------
    object
        What it returns.

    Raises
    ------
    InputError
        If it fails.
    """
    from evfr.errors import EvfrError, InputError, MissingExtraError

    try:
        return work()
    except MissingExtraError:
        raise
    except EvfrError as error:
        raise InputError(f"{where}: {error}") from error
    except Exception as error:  # a detector is foreign code; the frame it fails on is told
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{where}: {type(error).__name__}{': ' if text else ''}{text}") from error


def _detect(detector: Any, image: NDArray[np.uint8], picking: Picking) -> tuple[Detections, int]:
    """Return what is carried from a picture, and in how many boxes GrabCut found no object."""
    from evfr.models import box_masks, pick

    raw = detector.detect(image)
    boxed = 0

    def make(boxes: NDArray[np.float64]) -> Sequence[Rle]:
        nonlocal boxed
        made = box_masks(image, boxes, kind=picking.masks)
        boxed = sum(made.is_box) if picking.masks == "grabcut" else 0
        return made.masks

    picked = pick(
        raw,
        min_score=picking.min_score,
        box_nms=picking.box_nms,
        mask_nms=picking.mask_nms,
        limit=picking.per_frame,
        make_masks=make if any(mask is None for mask in raw.masks) else None,
    )
    return picked, boxed


def key_labels(detected: KeyDetections, size: tuple[int, int]) -> tuple[FrameLabels, ...]:
    """Return the detections of each key frame as labels at the size of the carry, with tracks from 1 on.

    Parameters
    ----------
    detected : KeyDetections
        What was found.
    size : tuple of (int, int)
        (height, width) of the carry.

    Returns
    -------
    tuple of K FrameLabels
        Tracks count through all key frames.
    """
    import numpy as np

    from evfr._core.annotations import FrameLabels
    from evfr.verbs._propose_resize import shrink

    out, first = [], 1
    for index, found in zip(detected.frame_index, detected.found, strict=True):
        count = len(found)
        out.append(
            FrameLabels(
                index,
                np.arange(first, first + count, dtype=np.int64),
                found.category.astype(np.int64),
                np.full((count, 4), np.nan),
                tuple(None if mask is None else shrink(mask, *size) for mask in found.masks),
            )
        )
        first += count
    return tuple(out)


# -- the store -----------------------------------------------------------------------------------------------------


def _key(
    opened: Opened, measured: Measured, index: int, picking: Picking, damaged: Any, store: Store
) -> StoreKey | None:
    from dataclasses import asdict

    if opened.identity is None:
        return None
    return store.key(
        measured.digest,
        STAGE,
        {**opened.identity, **asdict(picking), "schema": SCHEMA, "frame": index, "damaged": damaged},
    )

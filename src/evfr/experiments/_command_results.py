"""Read what a trainer found, and refuse what cannot be meant."""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from evfr._core.labelled import FrameObjects
from evfr._core.masks import Rle
from evfr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip
    from evfr.experiments._command_files import ExportedFrame

__all__ = ["MASKS", "RESULTS", "read_masks", "read_results"]

RESULTS, MASKS = "results.json", "masks"


def read_results(
    path: Path, frames: Sequence[ExportedFrame], clips: Sequence[LabelledClip]
) -> list[list[FrameObjects]]:
    """Read a list of COCO results.

    Parameters
    ----------
    path : Path
        JSON: ``[{"image_id", "category_id", "score", "bbox" and/or "segmentation"}, ...]``; boxes are x, y, width,
        height in pixels, segmentations run lengths or polygons. Images without an entry have nothing on them.
    frames : sequence of ExportedFrame
        Which image is which frame.
    clips : sequence of LabelledClip
        For sizes and classes.

    Returns
    -------
    list of list of FrameObjects
        Of each clip, in the order of the file; of masks without a box, the tight box.

    Raises
    ------
    InputError
        If the file is missing or no such list, or an entry is of an unknown image or class, has no finite score or
        box, or only some have masks.
    """
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"the command ended well but left no {path}: {error.strerror}; it must write COCO results there"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error!s:.200}") from error
    if not isinstance(entries, list):
        raise InputError(f"{path} must be a list of COCO results, got {type(entries).__name__}")
    by_id = {frame.image_id: frame for frame in frames}
    rows: dict[tuple[int, int], list[tuple[int, list[float], Rle | None, float]]] = {
        (frame.clip, frame.place): [] for frame in frames
    }
    first_has_mask: bool | None = None
    for number, entry in enumerate(entries):
        where = f"{path}: entry {number}"
        if not isinstance(entry, dict):
            raise InputError(f"{where} must be a JSON object, got {type(entry).__name__}")
        frame = by_id.get(_whole(entry, "image_id", where))
        if frame is None:
            raise InputError(
                f"{where}: image_id {entry['image_id']} is unknown; val/instances.json has 1 to {len(by_id)}"
            )
        clip = clips[frame.clip]
        category = _whole(entry, "category_id", where)
        if not 1 <= category <= len(clip.classes):
            raise InputError(
                f"{where}: category_id {category} is unknown; val/instances.json has 1 to {len(clip.classes)}"
            )
        score = _number(entry.get("score"), f"{where}: score")
        mask = _mask(entry.get("segmentation"), clip.images.shape[1:3], where)
        if first_has_mask is None:
            first_has_mask = mask is not None
        if (mask is not None) != first_has_mask:
            raise InputError(
                f"{where} has {'a' if mask is not None else 'no'} segmentation, unlike those before it; "
                "give masks for all or for none"
            )
        box = _box(entry.get("bbox"), mask, where)
        rows[frame.clip, frame.place].append((category - 1, box, mask, score))
    return [
        [_objects(rows[number, place]) for place in range(len(clip))] for number, clip in enumerate(clips)
    ]


def read_masks(
    folder: Path, frames: Sequence[ExportedFrame], clips: Sequence[LabelledClip]
) -> list[NDArray[np.uint8]]:
    """Read one map of classes for each frame.

    Parameters
    ----------
    folder : Path
        PNG files called as the images, 8 bit grey or with a palette: 0 for background, 1 + class.
    frames : sequence of ExportedFrame
        Which image is which frame.
    clips : sequence of LabelledClip
        For sizes and classes.

    Returns
    -------
    list of (F, H, W) uint8
        Of each clip.

    Raises
    ------
    InputError
        If a file is missing, cannot be read, or has another form, size or class.
    """
    found = [np.zeros(clip.ids.shape, np.uint8) for clip in clips]
    for frame in frames:
        path = folder / frame.name
        clip = clips[frame.clip]
        try:
            # Its size is checked before its pixels are decoded: the command is the user's, what it wrote is not known.
            with (
                warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
                Image.open(io.BytesIO(path.read_bytes()), formats=["PNG"]) as picture,
            ):
                mode, size = picture.mode, (picture.height, picture.width)
                plane = np.asarray(picture) if size == clip.ids.shape[1:] else np.zeros((0, 0), np.uint8)
        except FileNotFoundError as error:
            others = sorted(other.name for other in folder.glob("*.png"))
            there = f"it has {len(others)} others, for example {others[0]}" if others else "it has none"
            raise InputError(
                f"the command ended well but {folder} lacks {frame.name}, the mask of that image ({there})"
            ) from error
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path} cannot be read as PNG: {error}") from error
        if mode not in ("L", "P"):
            raise InputError(f"{path} must be 8 bit grey or palette, with classes as values, got mode {mode}")
        if size != clip.ids.shape[1:]:
            raise InputError(
                f"{path} is {size[1]}x{size[0]}, its image {clip.ids.shape[2]}x{clip.ids.shape[1]}"
            )
        if plane.max() > len(clip.classes):
            raise InputError(
                f"{path} has the value {int(plane.max())}; values are 0 for background and 1 to "
                f"{len(clip.classes)} for classes"
            )
        found[frame.clip][frame.place] = plane
    return found


def _objects(rows: list[tuple[int, list[float], Rle | None, float]]) -> FrameObjects:
    return FrameObjects(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64).reshape(-1, 4),
        tuple(row[2] for row in rows),
        np.array([row[3] for row in rows], np.float64),
        np.zeros(len(rows), np.bool_),
    )


def _whole(entry: dict[str, Any], name: str, where: str) -> int:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{where}: {name} must be a whole number, got {value!r:.80}")
    return value


def _number(value: Any, where: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where} must be a finite number, got {value!r:.80}")
    return number


def _mask(value: Any, size: tuple[int, ...], where: str) -> Rle | None:
    if value is None or value == []:
        return None
    height, width = size
    try:
        mask = Rle.from_polygons(value, height, width) if isinstance(value, list) else Rle.from_coco(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: segmentation cannot be read: {error}") from error
    if (mask.height, mask.width) != (height, width):
        raise InputError(f"{where}: segmentation is {mask.width}x{mask.height}, its image {width}x{height}")
    return mask


def _box(value: Any, mask: Rle | None, where: str) -> list[float]:
    if value is None and mask is not None:
        return list(mask.box_xyxy)
    if not isinstance(value, list) or len(value) != 4:
        raise InputError(f"{where}: bbox must be x, y, width, height, got {value!r:.80}")
    x, y, width, height = (_number(part, f"{where}: bbox") for part in value)
    if width < 0 or height < 0:
        raise InputError(f"{where}: bbox must have a width and height of 0 or more, got {value}")
    return [x, y, x + width, y + height]

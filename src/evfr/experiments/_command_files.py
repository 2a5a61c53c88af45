"""Write labelled clips as other trainers read them: pictures, COCO instances, maps of classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from evfr._core.atomic import atomic_write_bytes, make_folder
from evfr._core.progress import current_progress
from evfr._core.rng import generator, spawn_seed
from evfr.augmentation import noised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip

__all__ = ["ExportedFrame", "export_clips"]

_SWIFT = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class ExportedFrame(NamedTuple):
    """Say which frame an image is.

    Attributes
    ----------
    image_id : int
        In ``instances.json``, from 1.
    name : str
        Of the PNG files.
    clip, place : int
        Which clip, and which of its frames.
    """

    image_id: int
    name: str
    clip: int
    place: int


def export_clips(
    clips: Sequence[LabelledClip], folder: Path, *, is_labelled: bool = True, seed: int = 0
) -> list[ExportedFrame]:
    """Write ``images/*.png``, ``instances.json`` (COCO) and ``labels/*.png`` (0 background, 1 + class, 255 ignore).

    Parameters
    ----------
    clips : sequence of LabelledClip
        Of one list of classes; sizes may differ.
    folder : Path
        Emptied of earlier ones first.
    is_labelled : bool
        False leaves out labels: ``instances.json`` then has images and classes only.
    seed : int
        Of the noise of noised copies, each of which becomes an image of its own.

    Returns
    -------
    list of ExportedFrame
        Of all images in order.

    Raises
    ------
    StoreError
        If something cannot be written.
    ValueError
        If there is no frame, or clips differ in classes.

    Notes
    -----
    Masks are COCO's compressed run lengths. Pixels that nothing is to be learnt from are a crowd of every class.
    """
    if not any(len(clip) for clip in clips):
        raise ValueError(f"there is no frame to write in {len(clips)} clips")
    for clip in clips:
        if clip.classes != clips[0].classes:
            raise ValueError(
                f"clips must share classes, got {', '.join(clips[0].classes)} of {clips[0].video_id} and "
                f"{', '.join(clip.classes)} of {clip.video_id}"
            )
    for part in ("images", "labels"):
        make_folder(folder / part)
        for old in (folder / part).glob("*.png"):
            old.unlink()
    frames: list[ExportedFrame] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    progress = current_progress()
    progress.start(f"writing {folder.name} frames", sum(len(clip) * clip.copies for clip in clips))
    for number, clip in enumerate(clips):
        height, width = clip.images.shape[1:3]
        for place in range(len(clip)):
            index = int(clip.frame_index[place])
            truth = _truth(clip, place) if is_labelled else []
            label_map = _png(clip.label_map(place)) if is_labelled else None
            for copy in range(clip.copies):
                name = f"{number:04d}_{index:09d}" + (f"_{copy:04d}" if clip.copies > 1 else "") + ".png"
                frame = ExportedFrame(len(frames) + 1, name, number, place)
                _write(folder / "images" / name, _png(_picture(clip, place, name, seed)[..., ::-1]))
                if label_map is not None:
                    _write(folder / "labels" / name, label_map)
                images.append(
                    {
                        "id": frame.image_id,
                        "file_name": name,
                        "width": width,
                        "height": height,
                        "video_id": number + 1,
                        "frame_id": index,
                    }
                )
                first = len(annotations) + 1
                annotations += [
                    {"id": first + row, "image_id": frame.image_id, **entry}
                    for row, entry in enumerate(truth)
                ]
                frames.append(frame)
                progress.advance(1, name)
    data = {
        "videos": [{"id": number + 1, "name": clip.video_id} for number, clip in enumerate(clips)],
        "images": images,
        # As in COCO's own test sets: tools then write results and judge nothing.
        **({"annotations": annotations} if is_labelled else {}),
        "categories": [{"id": row + 1, "name": name} for row, name in enumerate(clips[0].classes)],
    }
    atomic_write_bytes(folder / "instances.json", json.dumps(data).encode(), is_durable=False)
    progress.finish()
    return frames


def _truth(clip: LabelledClip, place: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    objects = clip.objects(place)
    for row, mask in enumerate(objects.masks):
        x0, y0, x1, y1 = objects.boxes_xyxy[row].tolist()
        entry = {
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": 0 if mask is None else mask.area,
            "segmentation": [] if mask is None else mask.to_coco(),
            "iscrowd": int(objects.is_crowd[row]),
        }
        category = int(objects.category[row])
        of_classes = range(len(clip.classes)) if category < 0 else [category]
        found += [{"category_id": number + 1, **entry} for number in of_classes]
    return found


def _picture(clip: LabelledClip, place: int, name: str, seed: int) -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = clip.images[place]
    if clip.noise_std is None:
        return image
    return noised(image, clip.noise_std[place], generator(spawn_seed(seed, "noise", name)))


def _png(picture: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(picture), _SWIFT)
    return data.tobytes()


def _write(path: Path, data: bytes) -> None:
    atomic_write_bytes(path, data, is_durable=False)

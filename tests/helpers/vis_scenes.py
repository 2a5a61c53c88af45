"""Drawn truths and detections of video instances, as plain dicts, as labels and as files of YouTube-VIS."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle

SIZE = (320, 400)


def rectangle(x: int, y: int, w: int, h: int, size=SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
    return mask


def annotations(videos: list[dict], side: str, categories, size=SIZE) -> VideoAnnotations:
    """Make labels out of the oracle's dicts; entries of one id and class are a track."""
    heads, rows = [], []
    for number, video in enumerate(videos):
        name = f"v{number}"
        heads.append(AnnotatedVideo(name, size[1], size[0], np.arange(video["length"])))
        for entry in video[side]:
            for frame, mask in enumerate(entry["masks"]):
                if mask is not None:
                    rows.append(
                        ObjectRow(
                            name,
                            frame,
                            entry["category"],
                            entry["id"],
                            mask=Rle.from_mask(mask),
                            score=entry.get("score", math.nan),
                            is_crowd=entry.get("crowd", False),
                        )
                    )
    return VideoAnnotations.build(heads, [Category(k, f"class {k}") for k in categories], rows)


def scene(
    rng: np.random.Generator, *, length: int, objects: int, detections: int, crowds: bool, videos: int = 2
):
    """Draw moving rectangles, small to large, and detections that are shifted copies, with many equal scores."""
    found = []
    for _ in range(videos):
        truth, boxes = [], []
        for number in range(rng.integers(0, objects + 1)):
            w, h = rng.integers(20, 301, 2)
            x, y, dx = rng.integers(0, 200), rng.integers(0, 150), rng.integers(-8, 9)
            boxes.append((x, y, w, h, dx))
            masks = [
                None if length > 1 and rng.random() < 0.2 else rectangle(x + t * dx, y, w, h)
                for t in range(length)
            ]
            if all(mask is None for mask in masks):
                masks[0] = rectangle(x, y, w, h)
            crowd = bool(crowds and rng.random() < 0.3)
            truth.append(
                {"id": number + 1, "category": int(rng.integers(1, 4)), "masks": masks, "crowd": crowd}
            )
        guesses = []
        for number in range(rng.integers(0, detections + 1)):
            if boxes and rng.random() < 0.8:
                pick = int(rng.integers(len(boxes)))
                x, y, w, h, dx = boxes[pick]
                category = truth[pick]["category"] if rng.random() < 0.8 else int(rng.integers(1, 4))
            else:
                x, y, w, h, dx = (*rng.integers(0, 150, 2), *rng.integers(20, 200, 2), 0)
                category = int(rng.integers(1, 4))
            sx, sy = (rng.integers(-2, 3, 2) * rng.choice([0, 1, 5])).tolist()
            masks = [
                None if length > 1 and rng.random() < 0.15 else rectangle(x + sx + t * dx, y + sy, w, h)
                for t in range(length)
            ]
            if all(mask is None for mask in masks):
                masks[-1] = rectangle(x, y, w, h)
            value = float(rng.integers(1, 8)) / 8
            guesses.append({"id": number + 1, "category": category, "masks": masks, "score": value})
        found.append({"length": length, "truth": truth, "detections": guesses})
    return found


def save_official(videos: list[dict], categories, folder: Path, size=SIZE) -> tuple[Path, Path]:
    """Write the truth and the list of results; lists of frames are as long as the entries' masks."""

    def masks(entry):
        return [None if mask is None else Rle.from_mask(mask).to_coco() for mask in entry["masks"]]

    heads, truth, results = [], [], []
    for number, video in enumerate(videos):
        key = video.get("id", number + 1)
        files = [f"v{number}/{frame:05d}.jpg" for frame in range(video["length"])]
        heads.append({"id": key, "width": size[1], "height": size[0], "file_names": files})
        for entry in video["truth"]:
            areas = entry.get("areas") or [
                None if mask is None else int(mask.sum()) for mask in entry["masks"]
            ]
            truth.append(
                {
                    "id": entry["id"],
                    "video_id": key,
                    "category_id": entry["category"],
                    "iscrowd": int(entry["crowd"]),
                    "segmentations": masks(entry),
                    "areas": areas,
                }
            )
        results += [
            {
                "video_id": key,
                "category_id": entry["category"],
                "score": entry["score"],
                "segmentations": masks(entry),
            }
            for entry in video["detections"]
        ]
    kinds = [{"id": k, "name": f"class {k}"} for k in categories]
    paths = folder / "truth.json", folder / "results.json"
    paths[0].write_text(json.dumps({"videos": heads, "annotations": truth, "categories": kinds}))
    paths[1].write_text(json.dumps(results))
    return paths

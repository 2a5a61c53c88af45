"""Drawn truths and detections of pictures, as values of ours and as what pycocotools reads."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evfr._core.labelled import FrameObjects
from evfr._core.masks import Rle

SIZE = (160, 200)


def frame(boxes, category, *, score=None, crowd=(), masks=None) -> FrameObjects:
    """Make the objects of one picture; a mask is the box unless given."""
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    n = len(boxes)
    return FrameObjects(
        np.array(category, np.int64).reshape(n),
        boxes,
        tuple(masks) if masks is not None else tuple(Rle.from_box(box, *SIZE) for box in boxes),
        np.full(n, np.nan) if score is None else np.array(score, np.float64).reshape(n),
        np.isin(np.arange(n), crowd),
    )


def draw(
    rng: np.random.Generator, *, images=10, classes=3, objects=6, detections=12, ties=False, crowds=True
):
    """Draw notched boxes, small to large, and detections that are mostly shifted copies; some pictures are empty.

    Corners are quarters of a pixel, so that sums of sides are exact in either form of a box.
    """
    truth, found = [], []
    for _ in range(images):
        there = _objects(rng, int(rng.integers(0, objects + 1)) * int(rng.random() < 0.85), [])
        n = len(there)
        is_crowd = np.flatnonzero(rng.random(n) < 0.25) if crowds else []
        category = rng.integers(0, classes, n)
        category[is_crowd] = np.where(rng.random(len(is_crowd)) < 0.3, -1, category[is_crowd])
        masks = [_notched(rng, box) for box in there]
        truth.append(frame(there, category, crowd=is_crowd, masks=masks))
        boxes = _objects(rng, int(rng.integers(0, detections + 1)) * int(rng.random() < 0.85), there)
        score = rng.integers(1, 6, len(boxes)) / 5 if ties else rng.random(len(boxes))
        masks = [_notched(rng, box) for box in boxes]
        found.append(frame(boxes, rng.integers(0, classes, len(boxes)), score=score, masks=masks))
    return truth, found


def _objects(rng, count, near):
    boxes = []
    for _ in range(count):
        if len(near) and rng.random() < 0.75:
            box = near[rng.integers(len(near))] + np.round(rng.normal(0, 2.5, 4) * 4) / 4
        else:
            side = rng.choice([12, 45, 130])
            x, y = rng.integers(-8, 4 * SIZE[1]) / 4, rng.integers(-8, 4 * SIZE[0]) / 4
            box = np.array([x, y, x + np.round(rng.uniform(2, 4) * side) / 4, y + side])
        box = np.clip(np.sort(box.reshape(2, 2), axis=0).ravel(), 0, [*SIZE[::-1], *SIZE[::-1]])
        boxes.append(box)
    return boxes


def _notched(rng, box) -> Rle:
    mask = Rle.from_box(box, *SIZE).to_mask()
    x, y = (box[:2] + rng.random(2) * (box[2:] - box[:2])).astype(int)
    mask[y : y + 9, x : x + 9] = False
    return Rle.from_mask(mask)


def entries(pictures, classes: int, *, on="masks", areas=None) -> list[dict]:
    """Return COCO's entries; a crowd of every class is one entry a class."""
    out = []
    for number, objects in enumerate(pictures, 1):
        for k, (x0, y0, x1, y1) in enumerate(objects.boxes_xyxy.tolist()):
            kind = int(objects.category[k])
            mask = objects.masks[k]
            box, outline = [x0, y0, x1 - x0, y1 - y0], mask.to_coco() if mask else []
            entry: dict = {"image_id": number}
            if np.isfinite(objects.score[k]):
                # Only what is compared: pycocotools takes the area of a result's box wherever it has one.
                entry |= {"score": float(objects.score[k])}
                entry |= {"bbox": box} if on == "boxes" else {"segmentation": outline}
            else:
                area = (
                    (mask.area if mask else box[2] * box[3]) if areas is None else float(areas[number - 1][k])
                )
                entry |= {"bbox": box, "segmentation": outline, "area": area}
                entry["iscrowd"] = int(objects.is_crowd[k])
            for label in range(classes) if kind < 0 else (kind,):
                out.append({**entry, "id": len(out) + 1, "category_id": label + 1})
    return out


def official(truth, found, classes: int, *, on: str, areas=None) -> COCOeval:
    """Return pycocotools' evaluation; it needs a detection at least."""
    data = COCO()
    data.dataset = {
        "info": {},
        "images": [{"id": n, "width": SIZE[1], "height": SIZE[0]} for n in range(1, len(truth) + 1)],
        "categories": [{"id": k + 1, "name": str(k)} for k in range(classes)],
        "annotations": entries(truth, classes, areas=areas),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        data.createIndex()
        run = COCOeval(
            data, data.loadRes(entries(found, classes, on=on)), {"boxes": "bbox", "masks": "segm"}[on]
        )
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run

"""Average precision of video instances: ours against the official way, the same figures out of both.

The official code is a changed copy of pycocotools' COCOeval whose IoU of two sequences merges run lengths frame by
frame, for every pair of one video and class. Here COCOeval itself does the rest: videos stand for its pictures, mean
areas for its areas, and only the IoU is replaced. Objects are the people of PETS 2009 S2.L1 with the ellipse in each
true box as mask, in windows of 36 frames; detections are moved and stretched copies of them, each reported for one
class or for all three, as methods that score every class do. Equal: all twelve figures, to 1e-12.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pycocotools.mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import _measure
from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations import read
from evfr.metrics import VIS_AREAS, VIS_FIGURES, VisScores, summarise_vis, vis_scores

SIZE = (288, 384)
LENGTH = 36
WINDOWS = 6
COPIES = 6
KINDS = (Category(1, "person"), Category(2, "rider"), Category(3, "dummy"))


def ellipse(box: np.ndarray) -> Rle:
    """Return the ellipse in a box."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    centre, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 1.0)
    return Rle.from_mask(((columns - centre[0]) / half[0]) ** 2 + ((rows - centre[1]) / half[1]) ** 2 <= 1)


def draw(rng: np.random.Generator, class_count: int) -> tuple[VideoAnnotations, VideoAnnotations]:
    """Return truth and detections."""
    people = read(_measure.data_folder() / "research" / "pets_gt.txt", format="mot", width=768, height=576)
    heads, truth, found = [], [], []
    for number in range(WINDOWS):
        name, first = f"window {number}", number * 120
        heads.append(AnnotatedVideo(name, SIZE[1], SIZE[0], np.arange(LENGTH)))
        here = (people.frame_index >= first) & (people.frame_index < first + LENGTH)
        key = 0
        for track in np.unique(people.track_id[here]).tolist():
            rows = np.flatnonzero(here & (people.track_id == track))
            frames = people.frame_index[rows] - first
            boxes = people.boxes_xyxy[rows] / 2
            kind = 1 + track % class_count
            masks = [ellipse(box) for box in boxes]
            for frame, mask in zip(frames.tolist(), masks, strict=True):
                truth.append(ObjectRow(name, frame, kind, track, mask=mask))
            for _ in range(COPIES):
                noise = rng.normal(0, 0.08, 4) * np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))
                masks = [ellipse(np.sort(box.reshape(2, 2), axis=0).ravel()) for box in boxes + noise]
                scores = rng.integers(1, 100, class_count) / 100
                for label in range(class_count):
                    key += 1
                    for frame, mask in zip(frames.tolist(), masks, strict=True):
                        found.append(
                            ObjectRow(name, frame, label + 1, key, mask=mask, score=float(scores[label]))
                        )
    kinds = KINDS[:class_count]
    return VideoAnnotations.build(heads, kinds, truth), VideoAnnotations.build(heads, kinds, found)


def ours(truth: VideoAnnotations, found: VideoAnnotations) -> dict[str, float]:
    """Return the twelve figures by evfr."""
    parts = [vis_scores(truth, found, video.video_id) for video in truth.videos]
    summary = summarise_vis(VisScores.merge(parts))
    return {name: getattr(summary, name) for name in VIS_FIGURES}


class SequenceEval(COCOeval):
    """COCOeval with the IoU of sequences of run lengths."""

    def computeIoU(self, imgId: int, catId: int) -> Any:
        """Return the IoU of each detection and true object of one video and class."""
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not truth and not found:
            return []
        order = np.argsort([-entry["score"] for entry in found], kind="mergesort")
        found = [found[row] for row in order][: self.params.maxDets[-1]]
        out = np.zeros((len(found), len(truth)))
        for i, j in np.ndindex(out.shape):
            shared = joint = 0.0
            for a, b in zip(found[i]["masks"], truth[j]["masks"], strict=True):
                if a and b:
                    shared += pycocotools.mask.area(pycocotools.mask.merge([a, b], True))
                    joint += pycocotools.mask.area(pycocotools.mask.merge([a, b], False))
                elif a or b:
                    joint += pycocotools.mask.area(a or b)
            out[i, j] = shared / joint if joint else 0.0
        return out


def entries(labels: VideoAnnotations) -> list[dict[str, Any]]:
    """Return one entry a video and track, as YouTube-VIS has them."""
    places = {video.video_id: number for number, video in enumerate(labels.videos)}
    out: dict[tuple[int, int], dict[str, Any]] = {}
    for item in labels.objects():
        key = places[item.video_id], item.track_id
        entry = out.setdefault(
            key,
            {
                "image_id": key[0],
                "category_id": item.category_id,
                "iscrowd": 0,
                "masks": [None] * LENGTH,
                "areas": [],
                "bbox": [0, 0, 1, 1],
            },
        )
        assert item.mask is not None
        entry["masks"][item.frame_index] = item.mask.to_coco()
        entry["areas"].append(item.mask.area)
        entry["score"] = item.score
    # In the order of tracks, which is that of equal scores.
    found = [out[key] for key in sorted(out)]
    for number, entry in enumerate(found, 1):
        entry["id"], entry["area"] = number, float(np.mean(entry["areas"]))
    return found


def coco_of(found: list[dict[str, Any]], count: int, class_count: int) -> COCO:
    """Return a COCO value that holds the entries."""
    value = COCO()
    value.dataset = {
        "images": [{"id": number} for number in range(count)],
        "categories": [{"id": kind.category_id, "name": kind.name} for kind in KINDS[:class_count]],
        "annotations": found,
    }
    value.createIndex()
    return value


def official(truth: list[dict[str, Any]], found: list[dict[str, Any]], class_count: int) -> dict[str, float]:
    """Return the twelve figures by COCOeval with the official IoU."""
    with contextlib.redirect_stdout(io.StringIO()):
        run = SequenceEval(coco_of(truth, WINDOWS, class_count), coco_of(found, WINDOWS, class_count), "bbox")
        run.params.areaRng = [list(limits) for limits in VIS_AREAS.values()]
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(zip(VIS_FIGURES, [np.nan if value == -1 else value for value in run.stats], strict=True))


def keep(results: dict[str, Any], name: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function and keep what it returns."""
    results[name] = function(*arguments)


def main() -> None:
    """Print both sides for detections of one class and of three."""
    _measure.print_header(
        "Average precision of video instances",
        f"pets_gt.txt: {WINDOWS} windows of {LENGTH} frames at {SIZE[1]}x{SIZE[0]}, {COPIES} detections an object",
    )
    print("classes | true, detections | AP ours / official | ours s | official s | ratio")
    for class_count in (1, 3):
        truth, found = draw(np.random.default_rng(0), class_count)
        lists = entries(truth), entries(found)
        results: dict[str, dict[str, float]] = {}
        cases = {
            "ours": partial(keep, results, "ours", ours, truth, found),
            "official": partial(keep, results, "official", official, *lists, class_count),
        }
        times = _measure.cpu_seconds(cases, 3)
        for name in VIS_FIGURES:
            np.testing.assert_allclose(results["ours"][name], results["official"][name], rtol=0, atol=1e-12)
        print(
            f"{class_count} | {len(lists[0])}, {len(lists[1])} | {results['ours']['ap']:.6f} / "
            f"{results['official']['ap']:.6f} | {times['ours']:.3f} | {times['official']:.3f} | "
            f"{times['official'] / times['ours']:.1f}x"
        )


if __name__ == "__main__":
    main()

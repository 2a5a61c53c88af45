"""COCO's average precision of pictures: ours against pycocotools and faster-coco-eval, the same figures out of all.

Pictures are 500 frames of PETS 2009 S2.L1 at half size, with the ellipse in each true box as mask and five classes by
track. Detections are six moved and stretched copies of each, and forty boxes a frame where there is nothing. Every
tenth track is a crowd. What is timed is matching and summing up, from values in memory: reading files is left out on
all sides. The draws of a bootstrap are timed too: ours sums up again with weights, pycocotools' ``accumulate`` (which
knows no weights) is what it could do at best. Equal: all twelve figures, to 1e-9.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import faster_coco_eval
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import _measure
from evfr._core.labelled import FrameObjects
from evfr._core.masks import Rle
from evfr.annotations import read
from evfr.metrics import VIS_FIGURES, CocoMatches, coco_ap, coco_matches, summarise_coco

SIZE = (288, 384)
FRAMES = 500
CLASSES = 5
COPIES = 6
EXTRA = 40
DRAWS = 200


def ellipse(box: np.ndarray) -> Rle:
    """Return the ellipse in a box."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    centre, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 1.0)
    return Rle.from_mask(((columns - centre[0]) / half[0]) ** 2 + ((rows - centre[1]) / half[1]) ** 2 <= 1)


def objects(boxes: np.ndarray, category: np.ndarray, score: np.ndarray, crowd: np.ndarray) -> FrameObjects:
    """Return the objects of one frame."""
    return FrameObjects(category, boxes, tuple(ellipse(box) for box in boxes), score, crowd)


def draw(rng: np.random.Generator) -> tuple[list[FrameObjects], list[FrameObjects]]:
    """Return truth and detections, picture by picture."""
    people = read(_measure.data_folder() / "research" / "pets_gt.txt", format="mot", width=768, height=576)
    truth, found = [], []
    for frame in range(FRAMES):
        rows = np.flatnonzero(people.frame_index == frame)
        tracks, boxes = people.track_id[rows], people.boxes_xyxy[rows] / 2
        nobody = np.full(len(rows), np.nan)
        truth.append(objects(boxes, tracks % CLASSES, nobody, tracks % 10 == 9))
        near = np.repeat(boxes, COPIES, axis=0)
        near = near + rng.normal(0, 0.08, near.shape) * np.tile(near[:, 2:] - near[:, :2], (1, 2))
        corner = rng.uniform(0, (SIZE[1] - 50, SIZE[0] - 50), (EXTRA, 2))
        far = np.hstack([corner, corner + rng.uniform(8, 50, (EXTRA, 2))])
        all_boxes = np.sort(np.vstack([near, far]).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        category = np.append(np.repeat(tracks % CLASSES, COPIES), rng.integers(0, CLASSES, EXTRA))
        score = rng.random(len(all_boxes))
        found.append(objects(all_boxes, category, score, np.zeros(len(score), np.bool_)))
    return truth, found


def entries(pictures: list[FrameObjects], on: str) -> list[dict[str, Any]]:
    """Return COCO's annotations, or results with what is compared."""
    out: list[dict[str, Any]] = []
    for number, item in enumerate(pictures, 1):
        for k, (x0, y0, x1, y1) in enumerate(item.boxes_xyxy.tolist()):
            mask = item.masks[k]
            assert mask is not None
            entry = {"id": len(out) + 1, "image_id": number, "category_id": int(item.category[k]) + 1}
            box, outline = [x0, y0, x1 - x0, y1 - y0], mask.to_coco()
            if np.isnan(item.score[k]):
                entry |= {"bbox": box, "segmentation": outline, "area": mask.area}
                entry["iscrowd"] = int(item.is_crowd[k])
            else:
                entry |= {"score": float(item.score[k])}
                entry |= {"bbox": box} if on == "boxes" else {"segmentation": outline}
            out.append(entry)
    return out


def dataset(truth: list[FrameObjects]) -> dict[str, Any]:
    """Return COCO's instances."""
    heads = [
        {"id": n + 1, "width": SIZE[1], "height": SIZE[0], "file_name": f"{n}.jpg"} for n in range(FRAMES)
    ]
    kinds = [{"id": k + 1, "name": str(k)} for k in range(CLASSES)]
    return {"info": {}, "images": heads, "annotations": entries(truth, "masks"), "categories": kinds}


def ours(truth: list[FrameObjects], found: list[FrameObjects], on: Literal["boxes", "masks"]) -> np.ndarray:
    """Return the twelve figures by evfr."""
    summary = summarise_coco(match(truth, found, on))
    return np.array([getattr(summary, name) for name in VIS_FIGURES])


def match(truth: list[FrameObjects], found: list[FrameObjects], on: Literal["boxes", "masks"]) -> CocoMatches:
    """Return the matches by evfr."""
    return coco_matches(truth, found, class_count=CLASSES, on=on, height=SIZE[0], width=SIZE[1])


def theirs(evaluation: Callable[..., Any], truth: Any, found: Any, kind: str) -> np.ndarray:
    """Return the twelve figures by an evaluation with COCOeval's three steps."""
    with contextlib.redirect_stdout(io.StringIO()):
        run = evaluation(truth, found, kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
    stats = np.array(run.stats[:12], np.float64)
    return np.where(stats < 0, np.nan, stats)


def keep(results: dict[str, Any], name: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function and keep what it returns."""
    results[name] = function(*arguments)


def main() -> None:
    """Print all sides for boxes and for masks, then the draws of a bootstrap."""
    truth, found = draw(np.random.default_rng(0))
    counts = [sum(len(item) for item in side) for side in (truth, found)]
    _measure.print_header(
        "COCO's average precision of pictures",
        f"pets_gt.txt: {FRAMES} frames at {SIZE[1]}x{SIZE[0]}, {CLASSES} classes, {counts[0]} true objects, "
        f"{counts[1]} detections",
    )
    print(f"faster-coco-eval {faster_coco_eval.__version__}")
    print("on | AP ours / pycocotools / faster | CPU s ours | pycocotools | faster-coco-eval | ratios")
    heads = dataset(truth)
    for on, kind in (("boxes", "bbox"), ("masks", "segm")):
        sides = {}
        for name, kit in (("pycocotools", COCO), ("faster", faster_coco_eval.COCO)):
            with contextlib.redirect_stdout(io.StringIO()):
                value = kit()
                value.dataset = {**heads, "annotations": [dict(entry) for entry in heads["annotations"]]}
                value.createIndex()
                sides[name] = value, value.loadRes(entries(found, on))
        results: dict[str, np.ndarray] = {}
        cases = {
            "ours": partial(keep, results, "ours", ours, truth, found, on),
            "pycocotools": partial(
                keep, results, "pycocotools", theirs, COCOeval, *sides["pycocotools"], kind
            ),
            "faster": partial(
                keep, results, "faster", theirs, faster_coco_eval.COCOeval_faster, *sides["faster"], kind
            ),
        }
        times = _measure.cpu_seconds(cases, 3)
        for name in ("pycocotools", "faster"):
            np.testing.assert_allclose(results["ours"], results[name], rtol=0, atol=1e-9, err_msg=name)
        print(
            f"{on} | {results['ours'][0]:.6f} / {results['pycocotools'][0]:.6f} / {results['faster'][0]:.6f} | "
            f"{times['ours']:.3f} | {times['pycocotools']:.3f} | {times['faster']:.3f} | "
            f"{times['pycocotools'] / times['ours']:.1f}x, {times['faster'] / times['ours']:.1f}x"
        )
        bootstrap(match(truth, found, on), *sides["pycocotools"], kind)


def bootstrap(matches: CocoMatches, truth: Any, found: Any, kind: str) -> None:
    """Print the time of a draw."""
    rng = np.random.default_rng(0)
    draws = [
        np.bincount(rng.integers(0, FRAMES, FRAMES), minlength=FRAMES).astype(np.float64)
        for _ in range(DRAWS)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(truth, found, kind)
        run.evaluate()

    def again() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            run.accumulate()

    cases = {"ours": lambda: [coco_ap(matches, weights) for weights in draws], "theirs": again}
    times = _measure.cpu_seconds(cases, 3)
    low, high = np.quantile([coco_ap(matches, weights) for weights in draws], [0.025, 0.975])
    print(
        f"    one draw: AP by ours {1e3 * times['ours'] / DRAWS:.2f} ms, accumulate of pycocotools "
        f"{1e3 * times['theirs']:.0f} ms ({times['theirs'] / times['ours'] * DRAWS:.0f}x); 95 % of {DRAWS} draws: "
        f"{low:.3f} to {high:.3f}"
    )


if __name__ == "__main__":
    main()

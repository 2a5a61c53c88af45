"""Average precision of video instance segmentation: against pycocotools, against plain loops, and by hand."""

from __future__ import annotations

import contextlib
import io
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.metrics import VIS_AREAS, VIS_FIGURES, VisScores, summarise_vis, vis_scores
from evfr.metrics._vis_summary import accumulate
from helpers import vis_plain

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


def score(videos: list[dict], categories, **options) -> VisScores:
    truth, predicted = (annotations(videos, side, categories) for side in ("truth", "detections"))
    return VisScores.merge([vis_scores(truth, predicted, v.video_id, **options) for v in truth.videos])


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


def coco_figures(videos: list[dict], categories) -> tuple[dict[str, float], COCOeval]:
    """Evaluate single-frame videos as pictures by pycocotools, with the area ranges of videos."""
    head = {
        "images": [{"id": n, "width": SIZE[1], "height": SIZE[0]} for n in range(len(videos))],
        "categories": [{"id": k, "name": str(k)} for k in categories],
    }
    entries, results, key = [], [], itertools.count(1)
    for n, video in enumerate(videos):
        for entry in video["truth"]:
            rle = Rle.from_mask(entry["masks"][0])
            entries.append(
                {
                    "id": next(key),
                    "image_id": n,
                    "category_id": entry["category"],
                    "segmentation": rle.to_coco(),
                    "area": rle.area,
                    "iscrowd": 0,
                }
            )
        for entry in video["detections"]:
            rle = Rle.from_mask(entry["masks"][0])
            results.append(
                {
                    "image_id": n,
                    "category_id": entry["category"],
                    "segmentation": rle.to_coco(),
                    "score": entry["score"],
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {**head, "annotations": entries}
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results), "segm")
        run.params.areaRng = [list(item) for item in VIS_AREAS.values()]
        run.evaluate()
        run.accumulate()
        run.summarize()
    values = [math.nan if value == -1 else value for value in run.stats.tolist()]
    return dict(zip(VIS_FIGURES, values, strict=True)), run


def agree(summary, expected: dict[str, float]) -> None:
    for name in VIS_FIGURES:
        np.testing.assert_allclose(getattr(summary, name), expected[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("seed", range(12))
def test_single_frames_are_coco(seed):
    """Videos of one frame: every figure, and the whole precision and recall arrays, are pycocotools'."""
    rng = np.random.default_rng(seed)
    videos = scene(rng, length=1, objects=5, detections=(12, 130)[seed % 2], crowds=False, videos=4)
    if not any(video["detections"] for video in videos):
        pytest.skip("pycocotools refuses an empty list of results")
    scores = score(videos, (1, 2, 3))
    expected, run = coco_figures(videos, (1, 2, 3))
    agree(summarise_vis(scores), expected)
    for mine, theirs in zip(
        accumulate(scores, np.arange(4)), (run.eval["precision"], run.eval["recall"]), strict=True
    ):
        np.testing.assert_allclose(np.where(np.isnan(mine), -1, mine), theirs, rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 4))
def test_videos_against_plain_loops(seed, length):
    """Several frames, holes, crowds, ties, all areas: every figure is the definition's."""
    videos = scene(np.random.default_rng(seed), length=length, objects=4, detections=8, crowds=True)
    expected = vis_plain.evaluate(videos, [1, 2, 3])
    agree(summarise_vis(score(videos, (1, 2, 3))), expected)
    # Strict changes nothing where lists fit and no id is 0.
    agree(summarise_vis(score(videos, (1, 2, 3), strict_official=True)), expected)

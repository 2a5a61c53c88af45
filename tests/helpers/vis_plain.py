"""YouTube-VIS average precision by plain loops over dense masks, written from its definition: an oracle, slow."""

from __future__ import annotations

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
POINTS = np.linspace(0.0, 1.0, 101)
AREAS = [(0, 1e10), (0, 128**2), (128**2, 256**2), (256**2, 1e10)]
LIMITS = [1, 10, 100]


def sequence_iou(a: list, b: list) -> float:
    """Return shared by joint pixels over frames; the longer list is cut, None and empty are alike."""
    shared = joint = 0
    for one, other in zip(a, b, strict=False):
        if one is None and other is None:
            continue
        one = np.zeros_like(other) if one is None else one
        other = np.zeros_like(one) if other is None else other
        shared += int((one & other).sum())
        joint += int((one | other).sum())
    return shared / joint if joint else 0.0


def cached_iou(detection: dict, entry: dict) -> float:
    """Return the IoU, which is the same in all areas; entries remember it by the other's list of masks."""
    known = detection.setdefault("iou", {})
    key = id(entry["masks"])
    if key not in known:
        known[key] = sequence_iou(detection["masks"], entry["masks"])
    return known[key]


def mean_area(entry: dict) -> float:
    if "mean" not in entry:
        entry["mean"] = _mean_area(entry)
    return entry["mean"]


def _mean_area(entry: dict) -> float:
    areas = entry.get("areas") or [0 if mask is None else int(mask.sum()) for mask in entry["masks"]]
    areas = [area for area in areas if area]
    return float(np.mean(areas)) if areas else 0.0


def match(truth: list[dict], detections: list[dict], low: float, high: float) -> tuple:
    """Return (scores, matched id or 0 (T, D), ignored (T, D), truth ignored (G,)) of one video and class."""
    truth = [
        dict(entry, ignore=bool(entry["crowd"] or mean_area(entry) < low or mean_area(entry) > high))
        for entry in truth
    ]
    truth = [entry for entry in truth if not entry["ignore"]] + [entry for entry in truth if entry["ignore"]]
    detections = sorted(detections, key=lambda entry: -entry["score"])[: LIMITS[-1]]
    iou = [[cached_iou(d, g) for g in truth] for d in detections]
    got = np.zeros((len(THRESHOLDS), len(detections)), int)
    ignored = np.zeros((len(THRESHOLDS), len(detections)), bool)
    for t, threshold in enumerate(THRESHOLDS):
        taken = set()
        for i, detection in enumerate(detections):
            best, choice = min(threshold, 1 - 1e-10), None
            for j, entry in enumerate(truth):
                if j in taken and not entry["crowd"]:
                    continue
                if choice is not None and not truth[choice]["ignore"] and entry["ignore"]:
                    break
                if iou[i][j] < best:
                    continue
                best, choice = iou[i][j], j
            if choice is not None:
                taken.add(choice)
                got[t, i] = truth[choice]["id"]
                ignored[t, i] = truth[choice]["ignore"]
            if got[t, i] == 0 and not low <= mean_area(detection) <= high:
                ignored[t, i] = True
    return [d["score"] for d in detections], got, ignored, np.array([g["ignore"] for g in truth], bool)


def evaluate(videos: list[dict], categories: list[int]) -> dict[str, float]:
    """Return the twelve figures; NaN where none is defined.

    Each video has ``truth`` and ``detections``: dicts with id, category, masks (dense or None), and crowd or score.
    """
    videos = [
        {side: [dict(entry) for entry in video[side]] for side in ("truth", "detections")} for video in videos
    ]
    precision = np.full((len(THRESHOLDS), len(POINTS), len(categories), 4, 3), np.nan)
    recall = np.full((len(THRESHOLDS), len(categories), 4, 3), np.nan)
    for k, category in enumerate(categories):
        for a, (low, high) in enumerate(AREAS):
            found = []
            for video in videos:
                sides = [
                    [entry for entry in video[side] if entry["category"] == category]
                    for side in ("truth", "detections")
                ]
                if sides[0] or sides[1]:
                    found.append(match(*sides, low, high))
            count = sum(int((~part[3]).sum()) for part in found)
            if not count:
                continue
            for m, limit in enumerate(LIMITS):
                scores = np.array([score for part in found for score in part[0][:limit]])
                order = sorted(range(len(scores)), key=lambda row: -scores[row])
                for t in range(len(THRESHOLDS)):
                    got = [x for part in found for x in part[1][t][:limit]]
                    ignored = [x for part in found for x in part[2][t][:limit]]
                    right = wrong = 0
                    curve = []
                    for row in order:
                        if not ignored[row]:
                            right += got[row] != 0
                            wrong += got[row] == 0
                        curve.append((right / count, right / (right + wrong) if right + wrong else 0.0))
                    recall[t, k, a, m] = curve[-1][0] if curve else 0.0
                    for p, point in enumerate(POINTS):
                        precision[t, p, k, a, m] = max((y for x, y in curve if x >= point), default=0.0)

    def mean(values: np.ndarray) -> float:
        return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")

    return {
        "ap": mean(precision[..., 0, 2]),
        "ap50": mean(precision[0, ..., 0, 2]),
        "ap75": mean(precision[5, ..., 0, 2]),
        "ap_small": mean(precision[..., 1, 2]),
        "ap_medium": mean(precision[..., 2, 2]),
        "ap_large": mean(precision[..., 3, 2]),
        "ar1": mean(recall[..., 0, 0]),
        "ar10": mean(recall[..., 0, 1]),
        "ar100": mean(recall[..., 0, 2]),
        "ar_small": mean(recall[..., 1, 2]),
        "ar_medium": mean(recall[..., 2, 2]),
        "ar_large": mean(recall[..., 3, 2]),
    }

"""`evfr propose` end to end with a real ONNX detector, against detecting on every frame and linking boxes by IoU.

Both sides read the same video and use the same network (FastestDet, 80 classes of COCO, 352 x 352). The other side is
what one would write without this package: detect on every frame, give each box to the track whose last box overlaps it
by .3 or more, end a track after 10 frames without one. All files and the store are fresh, so the measuring pass counts.

Truth of PETS S2.L1: 4,650 boxes of 19 people, 768 x 576 scaled by .625. A truth box is covered where a sequence of any
class has a box with IoU .5 or more there; precision is the share of boxes of sequences that do so for a truth box.
AP is that of video instance segmentation on boxes, of the class person. The default method, GrabCut and the time after
which an object counts as gone were chosen with PETS in view: its coverage and precision are not those of a fresh clip.

``--keys 5 20 50`` adds key frames, ``--methods default motion`` and ``--masks grabcut box`` compare methods and masks,
``--clips pets`` makes it shorter, ``--working-size 640 320`` carries at the published size.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import _measure
import evfr
from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import box_iou
from evfr.metrics import summarise_vis, vis_scores
from evfr.models import OnnxDetector
from evfr.video import open_video, scan

CLIPS = {
    "people": ("video/people_one_by_one.mp4", 139.4),
    "pets": ("research/pets_vtest_h264.avi", 79.5),
}
SCALE = 0.625
LINK, PATIENCE = 0.3, 10


def cpu() -> float:
    """Return the CPU seconds of this process and its finished children, all threads."""
    return sum(os.times()[:4])


def pets_truth(folder: Path, video_id: str, count: int) -> VideoAnnotations:
    """Read the boxes of people, by frame."""
    rows = []
    for line in (folder / "research" / "pets_gt.txt").read_text().split():
        frame, track, x, y, w, h = (float(value) for value in line.split(",")[:6])
        if frame - 1 >= count:
            continue
        box = tuple(np.clip(np.array([x, y, x + w, y + h]) * SCALE, 0, [480, 360, 480, 360]).tolist())
        rows.append(ObjectRow(video_id, int(frame) - 1, 1, int(track), box_xyxy=box))
    video = AnnotatedVideo(video_id, 480, 360, np.arange(count))
    return VideoAnnotations.build([video], [Category(1, "person")], rows)


def linked(path: Path, weights: Path, names: Path) -> VideoAnnotations:
    """Detect on every frame and link boxes of one class by IoU: what a user would write."""
    detector = OnnxDetector(weights, names=names)
    live: list[dict[str, Any]] = []
    done: list[dict[str, Any]] = []
    count = 0
    with open_video(path) as video:
        for frame in video:
            t, count = frame.frame_index, frame.frame_index + 1
            found = detector.detect(frame.rgb())
            found = found.take(found.scores > 0.2)
            free = list(range(len(found)))
            for track in sorted(live, key=lambda one: -one["scores"][-1]):
                same = [row for row in free if found.category[row] == track["category"]]
                if same:
                    overlap = box_iou([track["boxes"][-1]], found.boxes_xyxy[same])[0]
                    if overlap.max() >= LINK:
                        row = same[int(overlap.argmax())]
                        free.remove(row)
                        track["frames"].append(t)
                        track["boxes"].append(found.boxes_xyxy[row])
                        track["scores"].append(found.scores[row])
            live += [
                {
                    "category": found.category[row],
                    "frames": [t],
                    "boxes": [found.boxes_xyxy[row]],
                    "scores": [found.scores[row]],
                }
                for row in free
            ]
            done += [track for track in live if t - track["frames"][-1] > PATIENCE]
            live = [track for track in live if t - track["frames"][-1] <= PATIENCE]
        size = frame.rgb().shape
    rows = [
        ObjectRow(
            path.name,
            t,
            int(detector.categories[track["category"]].category_id),
            number,
            tuple(float(value) for value in box),
            score=float(np.mean(track["scores"])),
            source="detected",
        )
        for number, track in enumerate(done + live, 1)
        for t, box in zip(track["frames"], track["boxes"], strict=True)
    ]
    video = AnnotatedVideo(path.name, size[1], size[0], np.arange(count))
    return VideoAnnotations.build([video], detector.categories, rows)


def boxes_of(found: VideoAnnotations) -> dict[int, np.ndarray]:
    """Return the boxes of all sequences by frame, each once however many classes it has."""
    boxes: dict[int, set[tuple[float, ...]]] = {}
    for t, box in zip(found.frame_index.tolist(), found.boxes_xyxy.tolist(), strict=True):
        boxes.setdefault(t, set()).add(tuple(box))
    return {t: np.array(sorted(some)) for t, some in boxes.items()}


def proposal_boxes(result: Any) -> dict[int, np.ndarray]:
    """Return the boxes of all proposals by frame, in pixels of the video."""
    scale = result.annotations.videos[0].width / result.carry_size[1]
    boxes: dict[int, list[np.ndarray]] = {}
    for one in result.proposals.sequences:
        for t, mask in enumerate(one.masks):
            if mask is not None:
                boxes.setdefault(t, []).append(np.array(mask.box_xyxy) * scale)
    return {t: np.array(some) for t, some in boxes.items()}


def overlap_with(truth: VideoAnnotations, boxes: dict[int, np.ndarray]) -> tuple[float, float]:
    """Return the share of truth boxes that are covered, and the share of boxes that cover one."""
    covered, right, total = 0, 0, sum(len(some) for some in boxes.values())
    for t in range(int(truth.videos[0].frame_index[-1]) + 1):
        real = truth.boxes_xyxy[truth.rows_at(truth.videos[0].video_id, t)]
        if len(real) and t in boxes:
            near = box_iou(real, boxes[t]) >= 0.5
            covered += int(near.any(axis=1).sum())
            right += int(near.any(axis=0).sum())
    return covered / len(truth), right / max(total, 1)


def average_precision(truth: VideoAnnotations, found: VideoAnnotations) -> tuple[float, float]:
    """Return AP and AP50 on boxes, of the class person."""
    scores = vis_scores(truth, found.with_boxes(), truth.videos[0].video_id, on="boxes", missing="empty")
    summary = summarise_vis(scores)
    return summary.ap, summary.ap50


def report(name: str, seconds: float, wall: float, busy: float, quality: Iterable[float] = ()) -> None:
    """Print one row."""
    told = "".join(f"{value:9.3f}" for value in quality)
    print(
        f"  {name:38s} wall {wall:6.1f} s  CPU {busy:6.1f} s  video / (CPU / 2) {2 * seconds / busy:5.2f}{told}",
        flush=True,
    )


def main() -> None:
    """Run both sides on each clip, print time and quality, and judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, nargs="+", default=[5])
    parser.add_argument("--clips", nargs="+", default=list(CLIPS), choices=list(CLIPS))
    parser.add_argument("--masks", nargs="+", default=["grabcut"])
    parser.add_argument("--methods", nargs="+", default=["default"])
    parser.add_argument("--working-size", type=int, nargs=2, default=[480, 270])
    chosen = parser.parse_args()
    folder = _measure.data_folder()
    print("evfr propose end to end: measure, detect, carry both ways, score, reduce, write")
    print(f"command: python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".rstrip())
    print(f"machine: {_measure._processor()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(
        "CPU is that of all threads and child processes; on an idle machine of 2 cores wall is about half of it\n"
    )
    claims: dict[str, bool] = {}
    weights = folder / "weights" / "fastestdet_coco80.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        with zipfile.ZipFile(folder / "weights" / "labels_photos.zip") as packed:
            names = Path(packed.extract("coco80.txt", work))
        for clip in chosen.clips:
            path, seconds = folder / CLIPS[clip][0], CLIPS[clip][1]
            count = len(scan(path)[0])
            truth = pets_truth(folder, path.name, count) if clip == "pets" else None
            print(f"{clip}: {count} frames, {seconds} s of video")
            if truth is not None:
                print("  after the times: covered by proposals, covered, precision, AP, AP50")
            for keys in chosen.keys:
                for method, masks in itertools.product(chosen.methods, chosen.masks):
                    began, busy = time.perf_counter(), cpu()
                    result = evfr.propose(
                        path,
                        detector=weights,
                        detector_names=names,
                        key_frames=keys,
                        box_masks=masks,
                        method=method,
                        working_size=chosen.working_size,
                        out=work / "found.parquet",
                        store=work / f"store-{clip}-{keys}-{method}-{masks}",
                    )
                    wall, busy = time.perf_counter() - began, cpu() - busy
                    quality: list[float] = []
                    if truth is not None:
                        quality = [
                            overlap_with(truth, proposal_boxes(result))[0],
                            *overlap_with(truth, boxes_of(result.annotations)),
                            *average_precision(truth, result.annotations),
                        ]
                    report(f"propose, {keys} key frames, {method}, {masks}", seconds, wall, busy, quality)
                    print(f"    {json.dumps({k: round(v, 1) for k, v in result.stage_seconds.items()})}")
                    print(f"    {json.dumps(result.counts)}", flush=True)
                    if keys == 5:
                        claims[f"{clip}, {method}, {masks}: CPU on two cores under the video's time"] = (
                            busy / 2 < seconds
                        )
            began, busy = time.perf_counter(), cpu()
            other = linked(path, weights, names)
            wall, busy = time.perf_counter() - began, cpu() - busy
            quality = []
            if truth is not None:
                quality = [
                    float("nan"),
                    *overlap_with(truth, boxes_of(other)),
                    *average_precision(truth, other),
                ]
            report("every frame, linked by IoU", seconds, wall, busy, quality)
            print(f"    {len(set(other.track_id.tolist()))} tracks, boxes alone\n", flush=True)
    _measure.judge(claims)


if __name__ == "__main__":
    main()

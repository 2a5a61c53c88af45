"""Boxes carried between labelled frames: `carry_boxes` against straight lines, and CSRT on two clips.

Every 5th, 10th or 25th frame is labelled; scored are the frames in between, for the tracks that both labelled frames
name and where the truth has a box. IoU is the mean over frames and tracks of a clip; means over clips weigh each clip
alike. Truth: boxes of the flies' body points (MOT text), PETS 2009 S2L1 (MOT text, scaled to the video), tight boxes of
the masks of DAVIS and of the chair. Nothing was chosen on the clips marked "new"; the size at which points are tracked,
their window and the inlier distance, which no paper states, were chosen on the others.

What a user would do instead: interpolate linearly, as annotation tools do. The straight line is computed twice, by
``linear`` and by ``numpy.interp``, and compared. CPU time per carried frame and object includes greys, motion, fusion
and the evidence for trust; decoding is not counted. CSRT runs from both labels with its default options.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image

import _measure
from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle, box_iou
from evfr.propagation import Carried, Interval, carry_boxes, linear, tracker

GAPS = (5, 10, 25)
FLIES = 750
CHOSEN_ON = ("blackswan", "car-shadow", "chair", "dog")
WITH_CSRT = ("car-shadow", "libby")
Clip = tuple[Callable[[], Iterator[np.ndarray]], dict[int, np.ndarray]]


def video_frames(path: Path) -> Iterator[np.ndarray]:
    """Decode RGB frames one by one."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def pictures(path: Path, suffix: str, mode: str | None) -> list[np.ndarray]:
    """Read the pictures of a zip file in the order of their names."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(suffix))
        images = [Image.open(io.BytesIO(archive.read(name))) for name in names]
        return [np.asarray(image.convert(mode) if mode else image) for image in images]


def mask_boxes(masks: list[np.ndarray], threshold: int) -> dict[int, np.ndarray]:
    """Return the tight boxes of one object."""
    rles = [Rle.from_mask(mask > threshold) for mask in masks]
    return {1: np.array([np.full(4, np.nan) if rle.is_empty else rle.box_xyxy for rle in rles])}


def mot_boxes(path: Path, count: int, scale: float) -> dict[int, np.ndarray]:
    """Read boxes of MOT text: frame from 1, id, x, y, width, height."""
    tracks: dict[int, np.ndarray] = {}
    for row in np.loadtxt(path, delimiter=","):
        boxes = tracks.setdefault(int(row[1]), np.full((count, 4), np.nan))
        x, y, width, height = row[2:6] * scale
        if 1 <= row[0] <= count:
            boxes[int(row[0]) - 1] = x, y, x + width, y + height
    return tracks


def clips(data: Path) -> dict[str, Clip]:
    """Return each clip's frames and true boxes."""
    found: dict[str, Clip] = {}
    for path in sorted((data / "seq").glob("davis_*.zip")):
        images = pictures(path, ".jpg", "RGB")
        found[path.stem.removeprefix("davis_")] = (
            lambda images=images: iter(images),
            mask_boxes(pictures(path, ".png", "L"), 127),
        )
    chair = data / "seq" / "chair.mp4"
    truth = mask_boxes(pictures(data / "seq" / "chair_masks.zip", ".png", None), 0)
    found["chair"] = (lambda: video_frames(chair), truth)
    flies, pets = data / "video" / "flies_clip.mp4", data / "research" / "pets_vtest_h264.avi"
    found["flies"] = (
        lambda: islice(video_frames(flies), FLIES),
        mot_boxes(data / "video" / "flies_clip_gt.txt", FLIES, 1.0),
    )
    found["PETS"] = (lambda: video_frames(pets), mot_boxes(data / "research" / "pets_gt.txt", 795, 0.625))
    return found


def labels_of(truth: dict[int, np.ndarray], t: int) -> FrameLabels:
    """Label a frame with the truth."""
    tracks = [track for track in sorted(truth) if not np.isnan(truth[track][t]).any()]
    boxes = np.array([truth[track][t] for track in tracks]).reshape(-1, 4)
    return FrameLabels(
        t, np.array(tracks, np.int64), np.ones(len(tracks), np.int64), boxes, (None,) * len(tracks)
    )


def intervals(clip: Clip, gap: int) -> Iterator[Interval]:
    """Cut a clip at its labelled frames: every gap-th one, and the last."""
    frames, truth = clip
    count = len(next(iter(truth.values())))
    held: list[np.ndarray] = []
    for t, frame in enumerate(frames()):
        held.append(frame)
        if t > 0 and (t % gap == 0 or t == count - 1):
            first = t - len(held) + 1
            ends = labels_of(truth, first), labels_of(truth, t)
            if len(held) > 2 and len(np.intersect1d(ends[0].track_ids, ends[1].track_ids)):
                yield Interval(held, np.arange(first, t + 1), *ends)
            held = [frame]


def score(carried: Carried, interval: Interval, truth: dict[int, np.ndarray]) -> list[float]:
    """Return the IoU of each frame in between and track that both ends name; an absent box scores 0."""
    both = np.intersect1d(interval.left.track_ids, interval.right.track_ids)
    values = []
    for k in np.flatnonzero(np.isin(carried.track_ids, both)):
        true = truth[int(carried.track_ids[k])][interval.frame_index]
        inner = np.flatnonzero(~np.isnan(true).any(axis=1))
        inner = inner[(inner > 0) & (inner < len(interval) - 1)]
        found = np.diagonal(box_iou(carried.boxes_xyxy[inner, k], true[inner]))
        values += np.nan_to_num(found).tolist()
    return values


def score_leaving(carried: Carried, interval: Interval, truth: dict[int, np.ndarray]) -> list[float]:
    """Return the same for tracks that one end names only; where the truth has no box, no box scores 1 and a box 0."""
    one = np.setxor1d(interval.left.track_ids, interval.right.track_ids)
    values = []
    for k in np.flatnonzero(np.isin(carried.track_ids, one)):
        true = truth[int(carried.track_ids[k])][interval.frame_index[1:-1]]
        found = carried.boxes_xyxy[1:-1, k]
        is_true, is_found = ~np.isnan(true).any(axis=1), ~np.isnan(found).any(axis=1)
        overlap = np.diagonal(box_iou(found, true)).copy()
        overlap[~(is_true & is_found)] = 0.0
        overlap[~is_true & ~is_found] = 1.0
        values += overlap.tolist()
    return values


def straight_difference(carried: Carried, interval: Interval) -> float:
    """Return how far `linear` lies from numpy's interpolation at most, in pixels."""
    far = 0.0
    both = np.intersect1d(interval.left.track_ids, interval.right.track_ids)
    for track in both:
        k = int(np.flatnonzero(carried.track_ids == track)[0])
        ends = [
            side.boxes_xyxy[list(side.track_ids).index(track)] for side in (interval.left, interval.right)
        ]
        index = interval.frame_index
        for corner in range(4):
            line = np.interp(index, index[[0, -1]], [ends[0][corner], ends[1][corner]])
            far = max(far, float(np.abs(line - carried.boxes_xyxy[:, k, corner]).max()))
    return far


def measure(
    clip: Clip, gap: int, methods: dict[str, Callable[[Interval], Carried]]
) -> dict[str, tuple[float, float]]:
    """Return mean IoU, and CPU milliseconds per carried frame and object, of each method."""
    values: dict[str, list[float]] = {name: [] for name in methods}
    spent, objects = dict.fromkeys(methods, 0.0), 0
    for interval in intervals(clip, gap):
        objects += (len(interval) - 2) * len(interval.track_ids)
        for name, method in methods.items():
            begin = time.process_time()
            carried = method(interval)
            spent[name] += time.process_time() - begin
            values[name] += score(carried, interval, clip[1])
            if name == "linear" and straight_difference(carried, interval) > 1e-9:
                raise SystemExit(f"does not hold: linear differs from numpy.interp in {interval}")
    return {name: (float(np.mean(values[name])), 1e3 * spent[name] / objects) for name in methods}


def main() -> None:
    """Measure all clips, print a row each, and judge."""
    _measure.print_header(
        "Boxes between labelled frames",
        f"nine clips of DAVIS, chair, {FLIES} frames of the flies, PETS 2009 S2L1",
        of_turns="one instead",
    )
    found = clips(_measure.data_folder())
    warm = next(intervals(found["dog"], 5))
    carry_boxes(warm), linear(warm)
    rows: dict[tuple[str, int], tuple[float, float]] = {}
    print(f"{'clip':<20} {'':<6} gap  linear  carry_boxes  difference  CPU ms: carry_boxes, linear")
    for name, clip in found.items():
        for gap in GAPS:
            result = measure(clip, gap, {"linear": linear, "carry_boxes": carry_boxes})
            (line, fast), (ours, slow) = result["linear"], result["carry_boxes"]
            rows[name, gap] = ours - line, slow
            kind = "chosen" if name in CHOSEN_ON else "new"
            print(
                f"{name:<20} {kind:<6} {gap:3}   {line:.3f}        {ours:.3f}      {ours - line:+.3f}   "
                f"{slow:.2f}, {fast:.2f}"
            )
    claims = {}
    for gap, least in zip(GAPS, (None, 0.005, 0.01), strict=True):
        every = np.array([rows[name, gap] for name in found])
        new = np.array([rows[name, gap] for name in found if name not in CHOSEN_ON])
        print(
            f"gap {gap}: mean difference {every[:, 0].mean():+.3f} ({len(every)} clips), {new[:, 0].mean():+.3f} "
            f"({len(new)} new ones); worst {every[:, 0].min():+.3f}; {every[:, 1].mean():.2f} ms a frame and object"
        )
        if least is not None:
            claims[f"gap {gap}: {least:+.3f} on new clips"] = bool(new[:, 0].mean() >= least)
            claims[f"gap {gap}: worst clip -.04"] = bool(every[:, 0].min() >= -0.04)
            claims[f"gap {gap}: 3 ms a frame and object"] = bool(every[:, 1].mean() <= 3.0)
    print(
        "\nPETS: tracks that only one of the two labelled frames names (no box where there is none scores 1)"
    )
    for gap in GAPS[1:]:
        means = {}
        for method in (linear, carry_boxes):
            whole = intervals(found["PETS"], gap)
            values = [value for one in whole for value in score_leaving(method(one), one, found["PETS"][1])]
            means[method.__name__] = f"{method.__name__} {np.mean(values):.3f}"
        print(f"gap {gap:2}  {len(values)} frames of tracks  {'  '.join(means.values())}")
    print("\nCSRT from both sides")
    for name in WITH_CSRT:
        for gap in GAPS[1:]:
            result = measure(
                found[name], gap, {"linear": linear, "csrt": tracker, "carry_boxes": carry_boxes}
            )
            row = "  ".join(
                f"{method} {value:.3f} at {cost:.1f} ms" for method, (value, cost) in result.items()
            )
            print(f"{name:<20} gap {gap:2}  {row}", flush=True)
    _measure.judge(claims)


if __name__ == "__main__":
    main()

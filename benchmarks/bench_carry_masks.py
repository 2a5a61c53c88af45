"""Carried masks: nearest copy and a chain of DIS flow as a user writes it, against our methods, on eleven real clips.

Key frames are uniformly spaced; J is the mean IoU on the frames between them (empty truth and empty mask count as 1).
Clips: nine of DAVIS, chair.mp4 (PUMaVOS) and highway (CDnet 2014, all vehicles as one object, ignored pixels left out).
Nothing was tuned on these clips: the numbers in the methods were fixed on other ones. Both sides run in turn, in
one process; times are CPU time per carried frame, what makes the step fields included (encoding the proxy, too).

The chain: DIS flow (preset medium) between neighbours, both ways; soft masks warped hop by hop from both key frames;
the mean of both weighted by 1 / distance, cut at one half.
"""

from __future__ import annotations

import argparse
import io
import itertools
import time
import zipfile
from collections.abc import Callable, Sequence

import av
import cv2
import numpy as np
from PIL import Image

import _measure
from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.propagation import PROPAGATORS, Interval
from evfr.video import proxy_step_fields

Masks = list[np.ndarray]
Carry = Callable[[list[np.ndarray], np.ndarray, np.ndarray], Masks]
HIGHWAY = 600, 750


def davis(name: str) -> tuple[list[np.ndarray], Masks, Masks]:
    """Return RGB frames, masks and counted pixels of a DAVIS clip."""
    with zipfile.ZipFile(_measure.data_folder() / "seq" / f"davis_{name}.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.startswith("images/"))
        frames = [np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in names]
        paths = [n.replace("images", "masks").replace(".jpg", ".png") for n in names]
        masks = [np.asarray(Image.open(io.BytesIO(archive.read(n)))) > 127 for n in paths]
    return frames, masks, [np.ones_like(mask) for mask in masks]


def chair() -> tuple[list[np.ndarray], Masks, Masks]:
    """Return RGB frames, masks and counted pixels of chair.mp4."""
    folder = _measure.data_folder() / "seq"
    with av.open(str(folder / "chair.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with zipfile.ZipFile(folder / "chair_masks.zip") as archive:
        masks = [
            np.asarray(Image.open(io.BytesIO(archive.read(f"{t:05d}.png")))) > 0 for t in range(len(frames))
        ]
    return frames, masks, [np.ones_like(mask) for mask in masks]


def highway() -> tuple[list[np.ndarray], Masks, Masks]:
    """Return RGB frames, vehicle masks and known pixels of highway, frames 600 to 749."""
    folder = _measure.data_folder() / "research"
    first, stop = HIGHWAY
    with av.open(str(folder / "highway_asp.avi")) as container:
        decoded = itertools.islice(container.decode(video=0), first, stop)
        frames = [frame.to_ndarray(format="rgb24") for frame in decoded]
    with zipfile.ZipFile(folder / "highway_gt.zip") as archive:
        truth = [
            np.asarray(Image.open(io.BytesIO(archive.read(f"gt{t + 1:06d}.png"))).convert("L"))
            for t in range(first, stop)
        ]
    return frames, [g == 255 for g in truth], [(g != 85) & (g != 170) for g in truth]


DAVIS = (
    "blackswan",
    "car-roundabout",
    "car-shadow",
    "dog",
    "horsejump-high",
    "kite-surf",
    "libby",
    "paragliding-launch",
    "scooter-black",
)
CLIPS: dict[str, Callable[[], tuple[list[np.ndarray], Masks, Masks]]] = {
    **{name: lambda name=name: davis(name) for name in DAVIS},
    "chair": chair,
    "highway": highway,
}


def nearest(frames: list[np.ndarray], left: np.ndarray, right: np.ndarray) -> Masks:
    """Copy the nearer key frame's mask."""
    last = len(frames) - 1
    return [left if t <= last - t else right for t in range(last + 1)]


def dis_chain(frames: list[np.ndarray], left: np.ndarray, right: np.ndarray) -> Masks:
    """Warp soft masks hop by hop with DIS medium from both sides, and average by distance."""
    last = len(frames) - 1
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = left.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))

    def hop(soft: np.ndarray, at: int, before: int) -> np.ndarray:
        field = flow.calc(grey[at], grey[before], None)
        places = (x + field[..., 0], y + field[..., 1])
        return cv2.remap(soft, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    forward = [left.astype(np.float32)]
    backward = [right.astype(np.float32)]
    for t in range(1, last):
        forward.append(hop(forward[-1], t, t - 1))
        backward.append(hop(backward[-1], last - t, last - t + 1))
    middle = [((last - t) * forward[t] + t * backward[last - t]) / last > 0.5 for t in range(1, last)]
    return [left, *middle, right]


def by_method(name: str, **options: str) -> Carry:
    """Return one of our methods, with the proxy at hand."""

    def label(at: int, mask: np.ndarray) -> FrameLabels:
        one = np.ones(1, np.int64)
        return FrameLabels(at, one, one, np.full((1, 4), np.nan), (Rle.from_mask(mask),))

    def carry(frames: list[np.ndarray], left: np.ndarray, right: np.ndarray) -> Masks:
        last = len(frames) - 1
        interval = Interval(frames, np.arange(last + 1), label(0, left), label(last, right))
        carried = PROPAGATORS[name](interval, steps={"proxy": proxy_step_fields}, **options)
        empty = np.zeros_like(left)
        return [empty if row[0] is None else row[0].to_mask() for row in carried.masks]

    return carry


METHODS: dict[str, Carry] = {
    "copy": nearest,
    "DIS chain": dis_chain,
    "motion": by_method("motion"),
    "default": by_method("default"),
}
MORE: dict[str, Carry] = {
    "flow dis": by_method("flow", step="dis"),
    "flow, by distance": by_method("flow", step="dis", fusion="distance"),
    "best, no match": by_method("flow", step="best"),
    "portable": by_method("default", step="dis"),
}


def overlap(mask: np.ndarray, truth: np.ndarray, is_known: np.ndarray) -> float:
    """Return the IoU over the known pixels; 1 where both are empty."""
    union = np.count_nonzero((mask | truth) & is_known)
    return np.count_nonzero(mask & truth & is_known) / union if union else 1.0


def measure(
    methods: dict[str, Carry], clip: tuple[list[np.ndarray], Masks, Masks], gap: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return mean J on the frames between keys, and CPU seconds per such frame, of every method."""
    frames, truth, known = clip
    keys = range(0, len(frames), gap)
    scores: dict[str, list[float]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    for left, right in itertools.pairwise(keys):
        for name, carry in methods.items():
            begin = time.process_time()
            masks = carry(frames[left : right + 1], truth[left], truth[right])
            seconds[name] += time.process_time() - begin
            scores[name] += [overlap(masks[t - left], truth[t], known[t]) for t in range(left + 1, right)]
    count = len(scores["copy"])
    return {name: float(np.mean(values)) for name, values in scores.items()}, {
        name: value / count for name, value in seconds.items()
    }


def judge(
    gaps: Sequence[int],
    results: dict[tuple[int, str], tuple[dict[str, float], dict[str, float]]],
    *,
    is_whole: bool,
) -> None:
    """Print means and ratios, and exit with an error where a limit on all clips does not hold."""
    claims: dict[str, bool] = {}
    for gap in gaps:
        clips = [value for (at, _), value in results.items() if at == gap]
        mean = {name: float(np.mean([j[name] for j, _ in clips])) for name in clips[0][0]}
        cost = {name: float(np.sum([s[name] for _, s in clips])) for name in clips[0][0]}
        print(f"gap {gap}: mean J " + "  ".join(f"{name} {value:.3f}" for name, value in mean.items()))
        chain = cost["DIS chain"]
        print("  time against the DIS chain: " + "  ".join(f"{n} {v / chain:.2f}x" for n, v in cost.items()))
        gain = {name: mean["default"] - mean[name] for name in ("copy", "DIS chain")}
        behind = mean["motion"] - mean["DIS chain"]
        worst, where = min(
            (j["default"] - j["copy"], clip) for (at, clip), (j, _) in results.items() if at == gap
        )
        print(
            f"  default - copy {gain['copy']:+.3f}  default - DIS chain {gain['DIS chain']:+.3f}  "
            f"motion - DIS chain {behind:+.3f}  worst clip against copy {worst:+.3f} ({where})\n"
        )
        claims[f"gap {gap}: no clip where default is worse than copy by more than .02"] = worst >= -0.02
        if gap in (10, 25):
            claims[f"gap {gap}: default - copy"] = gain["copy"] >= (0.12 if gap == 10 else 0.14)
            claims[f"gap {gap}: default - DIS chain >= .015"] = gain["DIS chain"] >= 0.015
            claims[f"gap {gap}: default at <= 1.2x its time"] = cost["default"] <= 1.2 * chain
            claims[f"gap {gap}: motion - DIS chain >= -.005"] = behind >= -0.005
            claims[f"gap {gap}: motion at <= .5x its time"] = cost["motion"] <= 0.5 * chain
    if is_whole:
        _measure.judge(claims)


def main() -> None:
    """Measure every method on every clip and gap, print rows, means and ratios, and judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", nargs="+", choices=list(CLIPS), default=list(CLIPS))
    parser.add_argument("--gaps", nargs="+", type=int, default=[5, 10, 25])
    parser.add_argument("--more", action="store_true", help="also the parts of the default, one by one")
    options = parser.parse_args()
    _measure.print_header("Carried masks", ", ".join(options.clips), of_turns="one")
    methods = METHODS | (MORE if options.more else {})
    warm = davis("dog")
    measure(methods, tuple(part[:7] for part in warm), 3)
    results = {}
    print(f"{'clip':<20}{'gap':>4}  " + "".join(f"{name:>18}" for name in methods) + "   (J, ms per frame)")
    for clip in options.clips:
        loaded = CLIPS[clip]()
        for gap in options.gaps:
            scores, seconds = results[gap, clip] = measure(methods, loaded, gap)
            cells = "".join(f"{scores[name]:>10.3f} {1e3 * seconds[name]:>7.1f}" for name in methods)
            print(f"{clip:<20}{gap:>4}  {cells}", flush=True)
    print()
    judge(options.gaps, results, is_whole=options.clips == list(CLIPS))


if __name__ == "__main__":
    main()

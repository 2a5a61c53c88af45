"""Candidate search: how much better it predicts than naive references, and how near it comes to the exact ones.

Prediction: each cell of a P or B frame is fetched bilinearly from the reference of each of its vectors (the mean of
two where both lists have one) and compared in grey with the decoded frame; cells without vectors are left out on all
sides. Naive: list 0 points to the frame before, list 1 to the frame after. Gain is in dB of the squared error over
all frames of a clip. Default: x264's own defaults, whose references nobody knows. Controls, whose references are
known: IPPP (the frame before), where naive is exact too; and 3 B without a pyramid, one reference, where the search
may find a better picture than the exact one: cells of two vectors are fitted as a mean. Times: search alone, a frame;
search and choice of both steps by `StreamVectors.step_fields`, a step.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

import _measure
from _coding import X264_DEFAULT, X264_IBBB, X264_IPPP, davis, encode, stretch
from evfr._core.gop import ListField
from evfr.video import StreamVectors, frames
from evfr.video._luma import grey_of_rgb

COUNT = 24


def fetch(picture: np.ndarray, flow: np.ndarray, cell: int) -> np.ndarray:
    """Read a grey picture bilinearly at the places of a field on cells, (H, W) float32."""
    height, width = picture.shape
    dense = np.repeat(np.repeat(flow, cell, 0), cell, 1)[:height, :width]
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(
        picture.astype(np.float32), xs + dense[..., 0], ys + dense[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def squared_error(
    greys: Sequence[np.ndarray], t: int, lists: tuple[ListField, ListField], references: Sequence[np.ndarray]
) -> tuple[float, int]:
    """Return the squared error of frame t predicted from ``references`` per list and cell, and the pixels counted."""
    height, width = greys[t].shape
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for field, reference in zip(lists, references, strict=True):
        for named in np.unique(reference[field.has]):
            if not 0 <= named < len(greys):
                continue
            mask = np.repeat(np.repeat(field.has & (reference == named), 8, 0), 8, 1)[:height, :width]
            total[mask] += fetch(greys[named], field.flow, 8)[mask]
            count += mask
    used = np.repeat(np.repeat(lists[0].has | lists[1].has, 8, 0), 8, 1)[:height, :width] & (count > 0)
    error = (total[used] / count[used] - greys[t][used]) ** 2
    return float(error.sum()), int(used.sum())


def main() -> None:
    """Print a row per clip and coding."""
    folder = _measure.data_folder()
    _measure.print_header(
        "Candidate search: dB of prediction gained over naive references",
        f"{COUNT} frames of each clip, coded again by x264",
    )
    clips = {
        name: davis(folder, name, COUNT)
        for name in ("blackswan", "car-shadow", "dog", "horsejump-high", "libby")
    }
    for name, start in (("bottles", 40), ("basketball", 40), ("driving_highway", 40), ("cars_topdown", 100)):
        clips[name] = stretch(folder / "video" / f"{name}.mp4", start, COUNT)
    clips["chair"] = stretch(folder / "seq" / "chair.mp4", 0, COUNT)
    print(
        f"{'clip':<17}{'coding':<10}{'types':<14}{'naive':>8}{'found':>8}{'exact':>8}{'gain':>8}{'to exact':>10}"
        f"{'named right':>13}{'ms/frame':>10}{'ms/step':>9}"
    )
    gains: dict[str, list[float]] = {"default": [], "IPPP": [], "3 B": []}
    short: dict[str, list[float]] = {"IPPP": [], "3 B": []}
    with tempfile.TemporaryDirectory() as temporary:
        for name, pictures in clips.items():
            for coding, options in (("default", X264_DEFAULT), ("IPPP", X264_IPPP), ("3 B", X264_IBBB)):
                path = encode(pictures, Path(temporary) / "clip.mp4", options)
                greys = [grey_of_rgb(frame.image) for frame in frames(path)]
                with StreamVectors(path) as stream:
                    stream.coded_clip(0, COUNT)
                    begin = time.process_time()
                    clip = stream.coded_clip(0, COUNT)
                    took = (time.process_time() - begin) / COUNT
                    shown = [grey[..., None].repeat(3, 2) for grey in greys]
                    stream.step_fields(shown[:3], np.arange(3))
                    begin = time.process_time()
                    stream.step_fields(shown, np.arange(COUNT))
                    steps = (time.process_time() - begin) / (COUNT - 1)
                sums = {kind: np.zeros(2) for kind in ("naive", "found", "exact")}
                right = total = 0
                anchors = [t for t, kind in enumerate(clip.picture_types) if kind != "B"]
                for t, lists in enumerate(clip.fields):
                    if lists is None or t == COUNT - 1:
                        continue
                    grid = lists[0].reference.shape
                    before = max((anchor for anchor in anchors if anchor < t), default=-1)
                    after = min((anchor for anchor in anchors if anchor > t), default=-1)
                    options_of = {
                        "naive": (np.full(grid, t - 1), np.full(grid, t + 1)),
                        "found": (lists[0].reference, lists[1].reference),
                        "exact": (np.full(grid, before), np.full(grid, after)),
                    }
                    for kind, references in options_of.items():
                        sums[kind] += squared_error(greys, t, lists, references)
                    for field, reference in zip(lists, options_of["exact"], strict=True):
                        right += int((field.reference == reference)[field.has].sum())
                        total += int(field.has.sum())
                psnr = {
                    kind: 10 * np.log10(255**2 / (error / pixels)) for kind, (error, pixels) in sums.items()
                }
                gain = psnr["found"] - psnr["naive"]
                gains[coding].append(gain)
                is_known = coding != "default"
                if is_known:
                    short[coding].append(psnr["exact"] - psnr["found"])
                print(
                    f"{name:<17}{coding:<10}{clip.picture_types[:12]:<14}{psnr['naive']:>8.2f}{psnr['found']:>8.2f}"
                    + (f"{psnr['exact']:>8.2f}" if is_known else f"{'':>8}")
                    + f"{gain:>+8.2f}"
                    + (
                        f"{psnr['found'] - psnr['exact']:>+10.2f}{right / total:>13.1%}"
                        if is_known
                        else f"{'':>23}"
                    )
                    + f"{took * 1e3:>10.2f}{steps * 1e3:>9.2f}"
                )
    print(f"default: mean gain {np.mean(gains['default']):+.2f} dB, least {min(gains['default']):+.2f}")
    for coding, values in short.items():
        print(
            f"{coding}: short of the exact references by {np.mean(values):.2f} dB, at most {max(values):.2f}"
        )
    _measure.judge(
        {
            "default x264: mean gain of 3 dB or more": float(np.mean(gains["default"])) >= 3,
            "IPPP: within .3 dB of the exact references on each clip": max(short["IPPP"]) <= 0.3,
        }
    )


if __name__ == "__main__":
    main()

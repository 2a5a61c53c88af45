"""From a vector list to warped objects: against decoding the clip, and against a plain Python loop.

Per B frame: the vector list is laid on cells, and 4 objects are warped from the references of both lists (Eq. 6-7 of
Xu & Yao 2022): at 1/4 size, where CoVOS warps, as float32; and at full size as masks. Decoding is FFmpeg's of the
same clip in one thread, without exporting vectors. Both references are taken to be the anchors around the frame:
times do not depend on which pictures they are. The loop computes the same from the same list, pixel by pixel.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np

import _measure
from _coding import DAVIS, X264_DEFAULT, davis, davis_masks, encode
from evfr.video import block_fields, motion_vectors, warp_two_sided

COUNT = 24
OBJECTS = 4
TURNS = 3


def decode(path: Path) -> int:
    """Decode a clip in one thread, and return its number of frames."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_type = "NONE"
        return sum(1 for _ in container.decode(video=0))


def objects(mask: np.ndarray, scale: int) -> np.ndarray:
    """Cut a mask into 4 objects by quadrants of its box, at 1 / scale of the size, (4, h, w)."""
    ys, xs = np.nonzero(mask)
    y, x = int(ys.mean()), int(xs.mean())
    parts = np.zeros((OBJECTS, *mask.shape), bool)
    for k, (rows, columns) in enumerate(
        ((slice(0, y), slice(0, x)), (slice(0, y), slice(x, None)), (slice(y, None), slice(0, x)),
         (slice(y, None), slice(x, None)))
    ):  # fmt: skip
        parts[k, rows, columns] = mask[rows, columns]
    if scale == 1:
        return parts
    size = (-(-mask.shape[1] // scale), -(-mask.shape[0] // scale))
    return np.stack(
        [cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA) for part in parts]
    )


def fast(
    vectors: np.ndarray, one: np.ndarray, other: np.ndarray, shape: tuple[int, int], scale: int
) -> np.ndarray:
    """Warp with evfr's functions."""
    fields = block_fields(vectors, shape, cell=8)
    return warp_two_sided(
        *(one, fields.flow0 / scale, fields.has0),
        *(other, fields.flow1 / scale, fields.has1),
        cell=8 // scale,
    )


def loop(
    vectors: np.ndarray, one: np.ndarray, other: np.ndarray, shape: tuple[int, int], scale: int
) -> np.ndarray:
    """Warp in plain Python: for each vector, each pixel of its block, each object."""
    sums, counts = np.zeros(one.shape, np.float32), np.zeros(one.shape[1:], np.float32)
    height, width = one.shape[1:]
    for row in vectors:
        reference = one if row["source"] < 0 else other
        dx = int(row["motion_x"]) / int(row["motion_scale"]) / scale
        dy = int(row["motion_y"]) / int(row["motion_scale"]) / scale
        left, top = (
            (int(row["dst_x"]) - int(row["w"]) // 2) // scale,
            (int(row["dst_y"]) - int(row["h"]) // 2) // scale,
        )
        for y in range(max(top, 0), min(top + int(row["h"]) // scale, height)):
            v = min(max(math.floor(y + dy + 0.5), 0), height - 1)
            for x in range(max(left, 0), min(left + int(row["w"]) // scale, width)):
                u = min(max(math.floor(x + dx + 0.5), 0), width - 1)
                counts[y, x] += 1
                for k in range(OBJECTS):
                    sums[k, y, x] += reference[k, v, u]
    return sums / np.maximum(counts, 1)


def main() -> None:
    """Print a row per clip and size."""
    folder = _measure.data_folder()
    _measure.print_header(
        "Vector list -> fields on cells -> two-sided warp of 4 objects, ms a B frame",
        f"DAVIS 480p, first {COUNT} frames each, coded by x264 with its defaults",
    )
    print(
        f"{'clip':<16}{'size':>6}{'B':>4}{'vectors':>9}{'decode':>8}{'evfr':>8}{'ratio':>8}{'loop':>9}"
        f"{'loop / evfr':>13}"
    )
    ratios: dict[int, list[float]] = {1: [], 4: []}
    speedups: dict[int, list[float]] = {1: [], 4: []}
    with tempfile.TemporaryDirectory() as temporary:
        for name in DAVIS:
            clip = encode(davis(folder, name, COUNT), Path(temporary) / f"{name}.mp4", X264_DEFAULT)
            masks = davis_masks(folder, name, COUNT)
            decoded = (
                _measure.cpu_seconds({"decode": lambda clip=clip: decode(clip)}, TURNS)["decode"] / COUNT
            )
            coded = [frame for frame in motion_vectors(clip) if frame.picture_type == b"B"]
            for scale in (4, 1):
                one, other = objects(masks[0], scale), objects(masks[4], scale)
                jobs = [(frame.vectors, one, other, frame.shape, scale) for frame in coded]
                took = _measure.cpu_seconds({"evfr": lambda jobs=jobs: [fast(*job) for job in jobs]}, TURNS)[
                    "evfr"
                ]
                took /= len(jobs)
                begin = time.process_time()
                plain = loop(*jobs[0])
                slow = time.process_time() - begin
                np.testing.assert_allclose(fast(*jobs[0]), plain, atol=1e-6)
                begin = time.process_time()
                for _ in range(20):
                    fast(*jobs[0])
                same = (time.process_time() - begin) / 20
                ratios[scale].append(took / decoded)
                speedups[scale].append(slow / same)
                mean = sum(len(frame.vectors) for frame in coded) / len(coded)
                print(
                    f"{name:<16}{'1/4' if scale == 4 else 'full':>6}{len(coded):>4}{mean:>9.0f}{decoded * 1e3:>8.2f}"
                    f"{took * 1e3:>8.2f}{took / decoded:>7.2f}x{slow * 1e3:>9.0f}{slow / same:>12.0f}x"
                )
    for scale, size in ((4, "1/4 size"), (1, "full size")):
        print(
            f"{size}: {np.median(ratios[scale]):.2f}x of decoding (worst {max(ratios[scale]):.2f}x), "
            f"{np.median(speedups[scale]):.0f}x the loop (worst {min(speedups[scale]):.0f}x), equal output"
        )
    _measure.judge(
        {
            "1/4 size: at most .3x of decoding": max(ratios[4]) <= 0.3,
            "1/4 size: at least 50x the loop": min(speedups[4]) >= 50,
            "full size: at least 50x the loop": min(speedups[1]) >= 50,
        }
    )


if __name__ == "__main__":
    main()

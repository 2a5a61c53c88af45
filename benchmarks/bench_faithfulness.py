"""How faithful the cheaper profiles are to full resolution, on real clips: ranks and weights.

For each clip: flow at 320 and 160 px width and the grey difference against flow at full size, block SSIM against
exact SSIM. TV is the total-variation distance of the weights that `fvi` makes, Spearman that of the values. Pairs of
consecutive frames are taken evenly over the whole clip, all of them in a short one. The clips are all those of the data
folder that are wider than 320 px (others would be trivially equal) and longer than 20 frames, one of each recording.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import _measure
from evfr.signals import (
    block_means,
    content_change,
    difference,
    find_cuts,
    fvi,
    optical_flow_dissimilarity,
    ssim_dissimilarity,
)
from evfr.video import open_video

CLIPS = (
    "video/driving_highway.mp4",
    "video/basketball.mp4",
    "video/bikes_cuts.mp4",
    "video/cars_topdown.mp4",
    "video/people_one_by_one.mp4",
    "video/bottles.mp4",
    "video/flies_clip.mp4",
    "codec/roof_hevc10.mp4",
    "codec/bear_av1.mp4",
    "mv/bbb_h264_b.264",
    "research/pets_vtest_h264.avi",
    "seq/chair.mp4",
    "seq/davis_blackswan.zip",
    "seq/davis_car-roundabout.zip",
    "seq/davis_car-shadow.zip",
    "seq/davis_dog.zip",
    "seq/davis_horsejump-high.zip",
    "seq/davis_kite-surf.zip",
    "seq/davis_libby.zip",
    "seq/davis_paragliding-launch.zip",
    "seq/davis_scooter-black.zip",
)
MEASURES = {
    "flow": lambda a, b: optical_flow_dissimilarity(a, b, width=None),
    "flow 320": lambda a, b: optical_flow_dissimilarity(a, b, width=320),
    "flow 160": lambda a, b: optical_flow_dissimilarity(a, b, width=160),
    "difference": difference,
    "ssim": ssim_dissimilarity,
    "block ssim": lambda a, b: ssim_dissimilarity(a, b, window="block"),
    "content": lambda a, b: content_change(block_means(a), block_means(b)),
}
COLUMNS = {"flow 320": "flow", "flow 160": "flow", "difference": "flow", "block ssim": "ssim"}


def greys(path: Path) -> Iterator[np.ndarray]:
    """Yield a clip's grey pictures; those of a zip are its JPEG files."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in sorted(name for name in archive.namelist() if name.endswith(".jpg")):
                yield np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L"))
        return
    with open_video(path) as video:
        for frame in video:
            yield frame.luma().copy()


def compare(path: Path, most: int) -> tuple[int, dict[str, tuple[float, float]]]:
    """Return the number of pairs, and (TV, Spearman) of each column of the table, on one clip."""
    length = sum(1 for _ in greys(path))
    chosen = {i * (length - 1) // most for i in range(most)}
    rows = []
    previous = None
    for index, grey in enumerate(greys(path)):
        if index - 1 in chosen and previous is not None:
            rows.append([measure(previous, grey) for measure in MEASURES.values()])
        previous = grey
    values = dict(zip(MEASURES, np.array(rows).T, strict=True))
    # Cuts are no motion: the pipeline leaves them out, so they must not flatter the ranks either.
    across = find_cuts(np.append(values["content"], 0.0), ratio=1) - 1
    kept = {name: np.delete(column, across) for name, column in values.items()}
    weights = {name: fvi(np.append(column, 0.0), last="zero").weights for name, column in kept.items()}
    result = {
        name: (
            _measure.total_variation(weights[name], weights[full]),
            _measure.spearman(kept[name], kept[full]),
        )
        for name, full in COLUMNS.items()
    }
    count = len(kept["flow"])
    uniform = np.append(np.full(count, 1 / count), 0.0)
    return count, result | {"uniform": (_measure.total_variation(uniform, weights["flow"]), np.nan)}


def main() -> None:
    """Compare on every clip, print the table, and fail where a limit does not hold."""
    parser = argparse.ArgumentParser(description="How faithful the cheaper profiles are to full resolution.")
    parser.add_argument("--pairs", type=int, default=120, help="most pairs of frames per clip")
    pairs = parser.parse_args().pairs
    _measure.print_header(
        "Faithfulness to full resolution", f"{len(CLIPS)} clips, up to {pairs} pairs over each"
    )
    names = (*COLUMNS, "uniform")
    print(f"{'clip: TV and Spearman':>32} {'pairs':>5}", *(f"{name:>14}" for name in names))
    rows = []
    for clip in CLIPS:
        count, found = compare(_measure.data_folder() / clip, pairs)
        rows.append([found[name] for name in names])
        print(f"{clip:>32} {count:>5}", *(f"{tv:7.3f} {rank:6.3f}" for tv, rank in rows[-1]), flush=True)
    table = np.array(rows)
    for label, (tvs, ranks) in {
        "median": np.median(table, axis=0).T,
        "worst": (table[..., 0].max(axis=0), table[..., 1].min(axis=0)),
    }.items():
        print(f"{label:>38}", *(f"{tv:7.3f} {rank:6.3f}" for tv, rank in zip(tvs, ranks, strict=True)))
    tv, rank = np.median(table[:, 0], axis=0)
    _measure.judge(
        {
            f"default: median TV {tv:.3f} <= .05": tv <= 0.05,
            f"default: median Spearman {rank:.3f} >= .95": rank >= 0.95,
        }
    )


if __name__ == "__main__":
    main()

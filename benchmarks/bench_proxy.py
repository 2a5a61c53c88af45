"""The H.264 proxy as a source of motion: time and error against OpenCV's DIS, and how exact its references are.

Step: motion from a frame to both neighbours. Error: mean absolute grey difference of a frame and what the field
fetches from its neighbour, bilinear, over both directions. Designed: of the cells with texture (standard deviation
above 8 grey levels) and a vector, the share where no other picture that could be a reference (an I or P picture
decoded before, among the 3 nearest on each side) explains the cell better than the designed one by more than 0.5
grey levels. Cells of B pictures with two vectors are told apart: the encoder fits the mean of both fetches, so
that one alone need not fit. Translations: known pixels, moved by whole pixels.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import cv2
import numpy as np

import _measure
from _coding import DAVIS, davis, stretch
from evfr.video import compensated_residual, proxy_clip, proxy_step_fields
from evfr.video._luma import grey_of_rgb

COUNT = 16
TIE = 0.5
MOTIONS = ((0, 0), (3, 1), (-5, 2), (7, -6), (12, 9))


def dis_steps(pictures: Sequence[np.ndarray], preset: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return dense fields of each step to the frame before and the frame after."""
    dis = cv2.DISOpticalFlow_create(preset)
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    return [(dis.calc(b, a, None), dis.calc(a, b, None)) for a, b in itertools.pairwise(greys)]


def step_error(
    greys: Sequence[np.ndarray], steps: Sequence[tuple[np.ndarray, np.ndarray]], cell: int
) -> float:
    """Return the mean compensated error of all steps in both directions."""
    errors = []
    for t, (back, on) in enumerate(steps):
        errors.append(compensated_residual(greys[t + 1], greys[t], back, cell=cell, window=1).mean())
        errors.append(compensated_residual(greys[t], greys[t + 1], on, cell=cell, window=1).mean())
    return float(np.mean(errors))


def cell_means(values: np.ndarray) -> np.ndarray:
    """Return the means of whole 8 px cells."""
    height, width = values.shape[0] // 8, values.shape[1] // 8
    return values[: 8 * height, : 8 * width].reshape(height, 8, width, 8).mean(axis=(1, 3))


def designed_shares(pictures: Sequence[np.ndarray], b_count: int) -> tuple[float, float]:
    """Return the share of textured cells whose designed reference is best or tied: cells of one vector, of two."""
    greys = [grey_of_rgb(picture) for picture in pictures]
    clip = proxy_clip(pictures, b_count=b_count)
    anchors = [t for t in clip.decode_order.tolist() if clip.picture_types[t] != "B"]
    place = {t: k for k, t in enumerate(clip.decode_order.tolist())}
    good, total = np.zeros(2), np.zeros(2)
    for t, lists in enumerate(clip.fields):
        if lists is None:
            continue
        mean = cell_means(greys[t].astype(np.float64))
        spread = np.sqrt(np.maximum(cell_means(greys[t].astype(np.float64) ** 2) - mean**2, 0))
        rows, columns = spread.shape
        earlier = [k for k in anchors if place[k] < place[t]]
        near = sorted([k for k in earlier if k < t])[-3:] + sorted([k for k in earlier if k > t])[:3]
        is_double = lists[0].has & lists[1].has
        for field in lists:
            if not field.has.any():
                continue
            designed = int(np.unique(field.reference[field.has])[0])
            errors = {
                k: cell_means(compensated_residual(greys[t], greys[k], field.flow, cell=8, window=1))
                for k in near
            }
            is_best = errors[designed] <= np.min([errors[k] for k in near], axis=0) + TIE
            for kind, cells in enumerate((field.has & ~is_double, field.has & is_double)):
                chosen = cells[:rows, :columns] & (spread > 8)
                good[kind] += is_best[chosen].sum()
                total[kind] += chosen.sum()
    return good[0] / total[0], good[1] / total[1] if total[1] else np.nan


def translation_error(motion: tuple[int, int], world: np.ndarray) -> float:
    """Return the median length of the error of vectors on textured cells of a known translation."""
    dx, dy = motion
    places = [(60 + dx * k, 60 + dy * k) for k in range(8)]
    pictures = [np.ascontiguousarray(world[y : y + 240, x : x + 320]) for x, y in places]
    fields = proxy_step_fields(pictures)
    errors = []
    for t in range(len(fields)):
        grey = grey_of_rgb(pictures[t + 1]).astype(np.float64)
        chosen = cell_means(grey**2) - cell_means(grey) ** 2 > 64
        chosen[:2] = chosen[-2:] = chosen[:, :2] = chosen[:, -2:] = False
        errors.append(np.hypot(*(fields.to_previous[t] - motion)[chosen].T))
    return float(np.median(np.concatenate(errors)))


def main() -> None:
    """Print a row per clip, then the translations."""
    folder = _measure.data_folder()
    _measure.print_header(
        "H.264 proxy: ms a step (both directions), error in grey levels, exactness of references",
        f"DAVIS 480p and others, {COUNT} frames each",
    )
    clips = {name: davis(folder, name, COUNT) for name in DAVIS}
    for path, start in (
        ("video/basketball.mp4", 40),
        ("video/driving_highway.mp4", 40),
        ("seq/chair.mp4", 0),
    ):
        clips[path.split("/")[1]] = stretch(folder / path, start, COUNT)
    print(
        f"{'clip':<22}{'proxy':>7}{'ultra':>7}{'medium':>8}{'/ medium':>10}{'no motion':>11}{'proxy':>7}{'ultra':>7}"
        f"{'medium':>8}{'no vector':>11}{'IPPP':>8}{'3 B':>8}{'3 B, 2':>8}"
    )
    ratios, shares, doubles = [], [], []
    for name, pictures in clips.items():
        greys = [grey_of_rgb(picture) for picture in pictures]
        cases = {
            "proxy": lambda pictures=pictures: proxy_step_fields(pictures),
            "ultra": lambda pictures=pictures: dis_steps(pictures, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
            "medium": lambda pictures=pictures: dis_steps(pictures, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
        }
        times, results = {}, {}
        for case, run in cases.items():
            begin = time.process_time()
            results[case] = run()
            times[case] = (time.process_time() - begin) / (COUNT - 1) * 1e3
        proxy = results["proxy"]
        steps = list(zip(proxy.to_previous, proxy.to_next, strict=True))
        still = [(step[0] * 0, step[1] * 0) for step in steps]
        ratios.append(times["proxy"] / times["medium"])
        (one, _), (other, double) = (designed_shares(pictures, b_count) for b_count in (0, 3))
        shares += [one, other]
        doubles.append(double)
        print(
            f"{name:<22}{times['proxy']:>7.1f}{times['ultra']:>7.1f}{times['medium']:>8.1f}{ratios[-1]:>9.2f}x"
            f"{step_error(greys, still, 8):>11.2f}{step_error(greys, steps, 8):>7.2f}"
            f"{step_error(greys, results['ultra'], 1):>7.2f}{step_error(greys, results['medium'], 1):>8.2f}"
            f"{1 - proxy.has_previous.mean():>11.1%}{one:>8.1%}{other:>8.1%}{double:>8.1%}"
        )
    print(f"proxy: {np.mean(ratios):.2f}x the time of DIS medium (worst {max(ratios):.2f}x)")
    print(
        f"designed reference best or tied: {np.mean(shares):.1%} of textured cells of one vector (worst "
        f"{min(shares):.1%}), {np.mean(doubles):.1%} of two (worst {min(doubles):.1%})"
    )
    world = davis(folder, "blackswan", 1)[0]
    errors = {motion: translation_error(motion, world) for motion in MOTIONS}
    print(
        "translation (dx, dy): median vector error, px: "
        + ", ".join(f"{m}: {e:.3f}" for m, e in errors.items())
    )
    _measure.judge(
        {
            "designed reference best or tied in 95 % of textured cells of one vector, each clip": min(shares)
            >= 0.95,
            "translations: median vector error at most .05 px": max(errors.values()) <= 0.05,
        }
    )


if __name__ == "__main__":
    main()

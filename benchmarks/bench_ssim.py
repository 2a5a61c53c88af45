"""SSIM of 720p grey pairs against scikit-image: the exact Gaussian window, and 8 x 8 blocks at stride 4."""

from __future__ import annotations

from itertools import pairwise

import av
import cv2
import numpy as np
from skimage.metrics import structural_similarity

import _measure
from evfr.signals import ssim

PAIRS = 8
LIMITS = {"gaussian": 7.0, "block": 100.0}


def main() -> None:
    """Measure, compare the results, print the ratios, and fail where a limit does not hold."""
    source = _measure.data_folder() / "video" / "driving_highway.mp4"
    _measure.print_header("SSIM", f"{PAIRS} pairs of {source.name}, grey, enlarged to 1280x720")
    greys = []
    with av.open(str(source)) as container:
        for frame in container.decode(video=0):
            greys.append(cv2.resize(frame.to_ndarray(format="gray"), (1280, 720)))
            if len(greys) > PAIRS:
                break
    pairs = list(pairwise(greys))

    def oracle() -> list[float]:
        return [
            structural_similarity(
                a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
            )
            for a, b in pairs
        ]

    expected = np.array(oracle())
    exact = np.array([ssim(a, b) for a, b in pairs])
    block = np.array([ssim(a, b, window="block") for a, b in pairs])
    print(f"largest difference, gaussian: {np.abs(exact - expected).max():.1e} (must be <= 1e-6)")
    print(
        f"largest difference, block: {np.abs(block - expected).max():.3f} (another window: only ranks compare)"
    )
    cases = {
        "scikit-image": oracle,
        "gaussian": lambda: [ssim(a, b) for a, b in pairs],
        "block": lambda: [ssim(a, b, window="block") for _ in range(10) for a, b in pairs],
    }
    times = _measure.cpu_seconds(cases, turns=5)
    times["block"] /= 10
    claims = {"gaussian equals scikit-image to 1e-6": bool(np.abs(exact - expected).max() <= 1e-6)}
    print()
    for name, seconds in times.items():
        ratio = times["scikit-image"] / seconds
        limit = f", {ratio:.1f}x (must be >= {LIMITS[name]:g}x)" if name in LIMITS else ""
        print(f"{name:>14}: {seconds / PAIRS * 1e3:7.2f} ms a pair{limit}")
        if name in LIMITS:
            claims[f"{name} >= {LIMITS[name]:g}x scikit-image"] = ratio >= LIMITS[name]
    _measure.judge(claims)


if __name__ == "__main__":
    main()

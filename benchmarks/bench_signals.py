"""One fused pass over 720p H.264 against what one would write by hand, and against bare decoding.

By hand: cv2.VideoCapture, grey, Farneback's flow at full size, scikit-image's SSIM, mean grey difference. Ours:
`open_video` and `score_frames` with flow, ssim and difference in one pass. The limits are those of the README.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
from skimage.metrics import structural_similarity

import _measure
from evfr.signals import make_signals, score_frames
from evfr.video import open_video

SIGNALS = ("flow", "ssim", "difference")
BY_HAND_FRAMES = 24
LIMITS = {"default": (15.0, 8.0), "fast": (35.0, 3.5)}


def by_hand(path: Path, limit: int) -> dict[str, np.ndarray]:
    """Measure the first frames with OpenCV and scikit-image, as one would without evfr."""
    capture = cv2.VideoCapture(str(path))
    rows = []
    previous = None
    for _ in range(limit):
        ok, picture = capture.read()
        if not ok:
            break
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        if previous is not None:
            flow = cv2.calcOpticalFlowFarneback(previous, grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)
            similarity = structural_similarity(
                previous, grey, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
            )
            rows.append(
                (
                    np.hypot(*np.moveaxis(flow, 2, 0)).mean(),
                    1 - similarity,
                    cv2.absdiff(previous, grey).mean(),
                )
            )
        previous = grey
    capture.release()
    return dict(zip(SIGNALS, np.array(rows).T, strict=True))


def decode(path: Path) -> int:
    """Decode without looking at the pixels, by PyAV in one thread."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def ours(path: Path, profile: str) -> dict[str, np.ndarray]:
    """Measure the whole clip in one pass."""
    with open_video(path) as video:
        return score_frames(video, make_signals(SIGNALS, profile=profile)).values


def main() -> None:
    """Measure, compare the results, print the ratios, and fail where a limit does not hold."""
    source = _measure.data_folder() / "video" / "driving_highway.mp4"
    _measure.print_header(
        "Fused pass over 720p H.264", f"{source.name} enlarged to 1280x720, libx264 crf 20, 3 B"
    )
    claims = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "720p.mp4"
        count = _measure.encode_720p(source, path)
        expected = by_hand(path, BY_HAND_FRAMES)
        for profile in ("reference", *LIMITS):
            found = {name: values[: BY_HAND_FRAMES - 1] for name, values in ours(path, profile).items()}
            ranks = {name: _measure.spearman(expected[name], found[name]) for name in SIGNALS}
            print(f"{profile}: Spearman to the values by hand", {k: round(v, 3) for k, v in ranks.items()})
            # Few frames of even motion: `bench_faithfulness.py` is what measures the cheaper profiles.
            least = 0.98 if profile == "reference" else 0.7
            claims[f"{profile} ranks frames as by hand (>= {least})"] = min(ranks.values()) >= least
            if profile == "reference":
                worst = max(float(np.abs(found[k] / expected[k] - 1).max()) for k in ("flow", "ssim"))
                print(
                    f"reference: largest relative difference of flow and ssim to the values by hand {worst:.4f}"
                )
                claims["reference equals the values by hand, but for grey from RGB"] = worst < 0.03
        times = _measure.cpu_seconds({"by hand": lambda: by_hand(path, BY_HAND_FRAMES)}, turns=3)
        per_frame = {"by hand": times["by hand"] / BY_HAND_FRAMES}
        cases = {"bare decoding": lambda: decode(path)}
        cases |= {profile: lambda profile=profile: ours(path, profile) for profile in LIMITS}
        times = _measure.cpu_seconds(cases, turns=5)
        per_frame |= {name: seconds / count for name, seconds in times.items()}
    print()
    for name, seconds in per_frame.items():
        print(f"{name:>14}: {seconds * 1e3:8.2f} ms a frame")
    for profile, (least, most) in LIMITS.items():
        faster = per_frame["by hand"] / per_frame[profile]
        slower = per_frame[profile] / per_frame["bare decoding"]
        print(
            f"{profile:>14}: {faster:.1f}x faster than by hand (must be >= {least:g}x), "
            f"{slower:.1f}x bare decoding (must be <= {most:g}x)"
        )
        claims[f"{profile} >= {least:g}x faster than by hand"] = faster >= least
        claims[f"{profile} <= {most:g}x bare decoding"] = slower <= most
    _measure.judge(claims)


if __name__ == "__main__":
    main()

"""CoVOS on real clips: which warp to use, what intra cells should get, what a trained decoder adds.

Key frames (I and P pictures of an H.264 proxy with a known number of B pictures) get their true masks, so that what is
measured is the carry alone: mean region IoU J on B pictures, of the first 33 frames of nine DAVIS clips and
``chair``.

First part, default: the paper's warp (mean of both references at a quarter of the size, intra cells empty), the same
with intra cells filled, and at full size; against ours, which weighs the references by their compensated residuals. All
of them without a decoder; then our correction, and the paper's, which is meant to be followed by its decoder.

Second part, ``--decoder [ITERATIONS [FOLDS]]``: a decoder trained on six clips in minutes of CPU, tried on the other
three, in three folds; half size and the first 17 frames for the sake of time. Its low-level features are random: no
ImageNet weights of ResNet-50 come with evfr, and the paper's decoder had them.
"""

from __future__ import annotations

import io
import sys
import time
import zipfile
from collections.abc import Sequence

import av
import cv2
import numpy as np

import _measure
from evfr._core.gop import CodedClip
from evfr.propagation._covos_clip import covos_frames
from evfr.propagation._covos_cost import CovosCost
from evfr.video import proxy_clip

CLIPS = (
    *("blackswan", "car-roundabout", "car-shadow", "dog", "horsejump-high"),
    *("kite-surf", "libby", "paragliding-launch", "scooter-black"),
)
FRAMES = 33
"""Frames of each clip that the warps are compared on."""
SHORT = 17
"""Frames of each clip that decoders are trained and tried on, at half size."""
VARIANTS = {
    "paper": {"warp": "mean", "intra": "zero", "step": 4, "correction": "none"},
    "mean, filled": {"warp": "mean", "step": 4, "correction": "none"},
    "mean, full size": {"warp": "mean", "step": 1, "correction": "none"},
    "weighted": {"warp": "weighted", "step": 1, "correction": "none"},
    "weighted, 1/4": {"warp": "weighted", "step": 4, "correction": "none"},
    "+ our matching": {"warp": "weighted", "step": 1, "correction": "local"},
    "+ the paper's": {"warp": "weighted", "step": 1, "correction": "paper"},
}


def davis(name: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the RGB frames of a clip and its (T, H, W) masks."""
    with zipfile.ZipFile(_measure.data_folder() / "seq" / f"davis_{name}.zip") as archive:
        names = sorted(archive.namelist())
        pictures = [
            cv2.imdecode(np.frombuffer(archive.read(n), np.uint8), 1) for n in names if n.endswith("jpg")
        ]
        masks = [
            cv2.imdecode(np.frombuffer(archive.read(n), np.uint8), 0) > 127
            for n in names
            if n.endswith("png")
        ]
    return [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in pictures], np.stack(masks)


def chair() -> tuple[list[np.ndarray], np.ndarray]:
    """Return the frames and masks of the clip that comes as a coded file."""
    folder = _measure.data_folder() / "seq"
    with av.open(str(folder / "chair.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with zipfile.ZipFile(folder / "chair_masks.zip") as archive:
        from PIL import Image

        names = sorted(n for n in archive.namelist() if n.endswith(".png"))
        masks = [np.asarray(Image.open(io.BytesIO(archive.read(n)))) > 0 for n in names]
    return frames, np.stack(masks)


def region_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return J; 1 where both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def run(
    frames: Sequence[np.ndarray], masks: np.ndarray, coded: CodedClip, **options: object
) -> tuple[float, int, CovosCost, float]:
    """Carry a clip, and return mean J on B pictures, the most hops, the cost and the CPU seconds per B picture."""
    cost, scores, hops = CovosCost(), [], 0
    begin = time.process_time()
    for made in covos_frames(
        frames, coded, lambda t: masks[t][None], coded.is_key, object_count=1, cost=cost, **options
    ):
        hops = max(hops, made.hops)
        if not made.is_key:
            scores.append(region_iou(made.masks()[0], masks[made.position]))
    spent = (time.process_time() - begin) / max(len(scores), 1)
    return float(np.mean(scores)), hops, cost, spent


def compare_warps(b_count: int, names: Sequence[str]) -> dict[str, bool]:
    """Print J of the variants on every clip, and return the claims."""
    variants = {name: VARIANTS[name] for name in names}
    print(f"proxy with {b_count} B pictures between anchors: mean J on B pictures")
    print(f"{'clip':<20}" + "".join(f"{name:>17}" for name in variants))
    rows: dict[str, list[float]] = {name: [] for name in variants}
    spent: dict[str, list[float]] = {name: [] for name in variants}
    cost, hops = CovosCost(), 0
    for clip in (*CLIPS, "chair"):
        frames, masks = (part[:FRAMES] for part in (chair() if clip == "chair" else davis(clip)))
        coded = proxy_clip(frames, b_count=b_count)
        for name, options in variants.items():
            score, most, found, seconds = run(frames, masks, coded, **options)
            rows[name].append(score)
            spent[name].append(seconds)
            hops = max(hops, most)
            if name == names[-2]:
                for part in (
                    "key_count",
                    "carried_count",
                    *(f"{n}_seconds" for n in ("base", "propagation", "correction")),
                ):
                    setattr(cost, part, getattr(cost, part) + getattr(found, part))
        print(f"{clip:<20}" + "".join(f"{values[-1]:17.3f}" for values in rows.values()), flush=True)
    means = {name: float(np.mean(values)) for name, values in rows.items()}
    print(f"{'mean':<20}" + "".join(f"{value:17.3f}" for value in means.values()))
    print(f"{'CPU ms per B':<20}" + "".join(f"{1e3 * np.mean(v):17.0f}" for v in spent.values()))
    print(f"hops at most: {hops}; {cost} (the base here only looks labels up)")
    base = 1 / 14.9
    print(
        f"with a base of 14.9 frames a second (the paper's STM): T {1e3 * cost.predicted(base):.1f} ms; base alone 67.1"
    )
    for other in ("mean, full size", "mean, filled", "paper"):
        print(f"weighted - {other}: {means['weighted'] - means[other]:+.3f}")
    print(f"filled - zeroed intra cells: {means['mean, filled'] - means['paper']:+.3f}\n")
    gain = means["weighted"] - means["mean, full size"]
    return {
        f"{b_count} B: residual-weighted at least .05 J above the mean of both at full size": gain >= 0.05,
        f"{b_count} B: filling intra cells is not worse": means["mean, filled"] >= means["paper"],
    }


class Cached:
    """Keep the features of each picture, which all variants share."""

    def __init__(self, network: object) -> None:
        self.network, self.kept = network, {}

    def features(self, image: np.ndarray) -> np.ndarray:
        """Return them from memory if they are known."""
        key = hash(image.tobytes())
        if key not in self.kept:
            self.kept[key] = self.network.features(image).astype(np.float16)
        return self.kept[key].astype(np.float32)

    def decode(self, *inputs: object) -> np.ndarray:
        """Decode by the network."""
        return self.network.decode(*inputs)


def compare_decoder(iterations: int, folds: Sequence[int]) -> dict[str, bool]:
    """Train on two thirds of the clips and try on the others, in three folds."""
    import torch

    from evfr.models import CovosNetwork, covos_decoder, low_level_features
    from evfr.training import CovosSamples, Recipe, covos_samples, train_covos

    torch.set_num_threads(1)
    features = low_level_features(seed=0)
    network = Cached(CovosNetwork(features, covos_decoder(seed=0)))
    data, samples = {}, {}
    begin = time.process_time()
    for clip in CLIPS:
        frames, masks = davis(clip)
        small = [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in frames[:SHORT]]
        size = small[0].shape[1], small[0].shape[0]
        planes = np.stack(
            [
                cv2.resize(m.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
                for m in masks[:SHORT]
            ]
        )
        coded = proxy_clip(small, b_count=3)
        data[clip] = small, planes, coded
        samples[clip] = covos_samples(
            [(small, planes[:, None], coded)],
            network,
            rng=np.random.default_rng(0),
            crops_per_frame=2,
            crop=24,
        )
        print(f"{clip}: {samples[clip]}, {time.process_time() - begin:.0f} s CPU", flush=True)
    rows = []
    print(f"{'held out':<20}{'untrained':>12}{'own warp':>12}{'decoded':>12}{'gain':>9}{'full size':>12}")
    for fold in folds:
        held = CLIPS[fold * 3 : fold * 3 + 3]
        parts = [samples[clip] for clip in CLIPS if clip not in held]
        joined = CovosSamples(
            *(
                np.concatenate([getattr(p, n) for p in parts])
                for n in ("current", "warped", "probabilities", "corrected", "target")
            )
        )
        decoder = covos_decoder(seed=0)
        begin = time.process_time()
        done = train_covos(
            decoder, joined, Recipe(iterations=iterations, learning_rate=5e-4, warmup=20), batch_size=4
        )
        seconds = time.process_time() - begin
        trained, fresh = (
            Cached(CovosNetwork(features, decoder)),
            Cached(CovosNetwork(features, covos_decoder(seed=0))),
        )
        trained.kept = fresh.kept = network.kept
        for clip in held:
            frames, masks, coded = data[clip]
            scores = [
                run(frames, masks, coded, decoder=fresh)[0],
                run(frames, masks, coded, step=4, correction="none")[0],
                run(frames, masks, coded, decoder=trained)[0],
                run(frames, masks, coded)[0],
            ]
            rows.append(scores)
            print(
                f"{clip:<20}"
                + "".join(f"{score:12.3f}" for score in scores[:3])
                + f"{scores[2] - scores[1]:+9.3f}{scores[3]:12.3f}",
                flush=True,
            )
        print(f"  {done}, {seconds:.0f} s CPU", flush=True)
    means = np.mean(rows, axis=0)
    print(
        f"{'mean':<20}{means[0]:12.3f}{means[1]:12.3f}{means[2]:12.3f}{means[2] - means[1]:+9.3f}{means[3]:12.3f}\n"
    )
    return {
        "the trained decoder is at least .02 J above its own undecoded warp": bool(
            means[2] - means[1] >= 0.02
        )
    }


def main() -> None:
    """Run one part, print it, and judge."""
    _measure.print_header(
        "CoVOS", "9 DAVIS clips (480p), chair.mp4; ground truth on key frames", of_turns="one"
    )
    if "--decoder" in sys.argv:
        rest = [word for word in sys.argv[1:] if word.isdigit()]
        claims = compare_decoder(int(rest[0]) if rest else 200, [int(word) for word in rest[1:]] or range(3))
    else:
        claims = compare_warps(3, tuple(VARIANTS)) | compare_warps(
            4, ("paper", "mean, filled", "mean, full size", "weighted")
        )
    _measure.judge(claims)


if __name__ == "__main__":
    main()

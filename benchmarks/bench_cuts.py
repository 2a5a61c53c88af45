"""Hard cuts: our detector against PySceneDetect, on two real clips whose cuts are known and on drawn ones.

Truth. ``bikes_cuts.mp4``: four cuts in the README of the clips, and 76, seen by eye. ``interleaved_scenes.264``: two
scenes in turn with shots of 1, 1, 2, 2, ... frames; all 1,700 frames were looked at on contact sheets, with the
cuts that any of the detectors below reports marked: 237 are cuts, AdaptiveDetector's 1600 is not, and no cut is
unmarked. They follow the rule that `interleaved_truth` writes down. Drawn clips: textures under a moving camera with a
moving object and noise, hard cuts at random places; half of them also with flashes, fades and dissolves, which are
no hard cuts. Nothing was tuned on the drawn clips.

PySceneDetect runs twice: with its defaults, which drop or merge shots under 15 frames, and with min_scene_len=1.
Times are CPU time per frame beyond decoding: ours has its content from the pass that scores the video, so that
the measure (per frame) and the rule are given apart.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import av
import cv2
import numpy as np

import _measure
from evfr.embeddings import make_embedder
from evfr.signals import block_means, content_change, cuts_from_embeddings, find_cuts

BIKES = [30, 76, 137, 187, 242]
DRAWN = 8
LENGTH = 300
SIZE = (320, 180)
EMBEDDINGS = ("thumbnail", "hsv", "hog", "dct")


def interleaved_truth() -> list[int]:
    """Return the cuts of interleaved_scenes.264: rounds of shots of 1, 1, 2, 2, ... frames."""
    rounds = [14, 14, 12, 14, 14, 12, 14, 14, 8]
    lengths: list[int] = []
    for number, longest in enumerate(rounds):
        lengths += [length for length in range(1, longest + 1) for _ in range(2)]
        lengths += [12, 12] if longest == 12 else [4] if number == 8 else []
    return [int(cut) for cut in np.cumsum(lengths) if cut < 1700]


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw coloured noise with most of its power in coarse structures, as natural pictures have."""
    picture = np.zeros((height, width, 3), np.float32)
    for scale in (4, 8, 16, 32, 64, 128):
        small = rng.normal(size=(height // scale + 3, width // scale + 3, 3)).astype(np.float32)
        picture += scale**0.7 * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(picture, [2, 98])
    tint = rng.uniform(0.5, 1.0, 3).astype(np.float32)
    contrast = rng.uniform(0.4, 1.0)
    return np.clip(((picture - low) / (high - low) * contrast + (1 - contrast) / 2) * 255 * tint, 0, 255)


def shot(rng: np.random.Generator, count: int, world: np.ndarray) -> list[np.ndarray]:
    """Move a camera over a world: pan, zoom, shake, one moving object, noise."""
    grain = rng.normal(0, 3, (SIZE[1], 2 * SIZE[0], 3)).astype(np.float32)
    width, height = SIZE
    speed, shake = rng.choice([0.0, 1.0, 4.0, 10.0]), rng.choice([0.0, 0.0, 2.0])
    angle, zoom = rng.uniform(0, 2 * np.pi), 1.0 + rng.choice([0.0, 0.0, 0.004])
    centre = np.array([rng.uniform(320, 480), rng.uniform(240, 320)])
    spot, step = rng.uniform(0, 1, 2) * SIZE, rng.normal(0, 4, 2)
    colour = rng.uniform(0, 255, 3).tolist()
    frames = []
    for t in range(count):
        at = centre + speed * t * np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0, 1, 2) * shake
        at = 180 + np.abs((at - 180) % (2 * 260) - 260) * [1.0, 0.6]
        size = zoom ** (t % 60)
        corner = at - np.array([width, height]) * size / 2
        matrix = np.array([[size, 0.0, corner[0]], [0.0, size, corner[1]]])
        frame = cv2.warpAffine(
            world, matrix, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
        cv2.circle(frame, tuple(int(v) for v in (spot + step * t) % SIZE), 22, colour, -1)
        frames.append(frame + grain[:, (at_grain := int(rng.integers(SIZE[0]))) : at_grain + SIZE[0]])
    return frames


def drawn_clip(seed: int, *, has_effects: bool) -> tuple[list[np.ndarray], list[int]]:
    """Return the BGR frames of a drawn clip and its hard cuts."""
    rng = np.random.default_rng(seed)
    worlds = [texture(rng, 560, 800) for _ in range(4)]
    frames: list[np.ndarray] = []
    cuts = []
    while len(frames) < LENGTH:
        part = shot(rng, int(rng.integers(3, 70)), worlds[rng.integers(len(worlds))])
        kind = rng.choice(["cut", "cut", "cut", "fade", "dissolve"]) if has_effects and frames else "cut"
        if kind == "cut" and frames:
            cuts.append(len(frames))
        elif kind == "fade":
            over = min(12, len(frames), len(part))
            for k in range(over):
                frames[-1 - k] = frames[-1 - k] * (k + 0.5) / over
                part[k] = part[k] * (k + 0.5) / over
        elif kind == "dissolve":
            over = min(12, len(part))
            for k in range(over):
                share = (k + 1) / (over + 1)
                part[k] = share * part[k] + (1 - share) * frames[-1]
        if has_effects and rng.random() < 0.3 and len(part) > 12:
            at = int(rng.integers(5, len(part) - 5))
            for k in range(int(rng.integers(1, 3))):
                part[at + k] = part[at + k] * 0.5 + rng.uniform(90, 150)
        frames += part
    ready = [np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in frames[:LENGTH]]
    return ready, [cut for cut in cuts if cut < LENGTH]


def ours(frames: Sequence[np.ndarray]) -> tuple[list[int], float]:
    """Return our cuts, and the CPU seconds of measure and rule."""
    greys = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    begin = time.process_time()
    means = [block_means(grey) for grey in greys]
    content = [content_change(a, b) for a, b in itertools.pairwise(means)]
    found = find_cuts([*content, 0.0]).tolist()
    return found, time.process_time() - begin


def by_embedding(name: str) -> Callable[[Sequence[np.ndarray]], tuple[list[int], float]]:
    """Return a detector on stored embeddings; the time is that of the rule alone."""
    embedder = make_embedder(name)

    def detect(frames: Sequence[np.ndarray]) -> tuple[list[int], float]:
        rows = embedder(np.ascontiguousarray(np.stack(frames)[..., ::-1]))
        begin = time.process_time()
        found = cuts_from_embeddings(rows).tolist()
        return found, time.process_time() - begin

    return detect


def by_scenedetect(name: str, **options: int) -> Callable[[Sequence[np.ndarray]], tuple[list[int], float]]:
    """Return a detector of PySceneDetect, fed with decoded frames."""
    import scenedetect

    def detect(frames: Sequence[np.ndarray]) -> tuple[list[int], float]:
        detector = getattr(scenedetect, name)(**options)
        begin = time.process_time()
        found = []
        for index, frame in enumerate(frames):
            found += detector.process_frame(scenedetect.FrameTimecode(index, 25.0), frame)
        found += detector.post_process(scenedetect.FrameTimecode(len(frames) - 1, 25.0))
        return [int(cut.frame_num) for cut in found], time.process_time() - begin

    return detect


def score(found: Sequence[int], truth: Sequence[int]) -> np.ndarray:
    """Return the numbers of hits, of cuts reported and of cuts there are; a hit is the exact frame."""
    return np.array([len(set(found) & set(truth)), len(set(found)), len(truth)])


def f1(counts: np.ndarray) -> float:
    """Return the harmonic mean of precision and recall."""
    return 2.0 * float(counts[0]) / max(float(counts[1] + counts[2]), 1.0)


def real_clip(name: str) -> list[np.ndarray]:
    """Decode a clip to BGR frames."""
    with av.open(str(_measure.data_folder() / "video" / name)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def main() -> None:
    """Run every detector on every clip, print precision, recall, F1 and time, and judge."""
    _measure.print_header("Hard cuts", f"two real clips, and 2 x {DRAWN} drawn ones of {LENGTH} frames")
    detectors = {"ours, content": ours}
    for name in ("ContentDetector", "AdaptiveDetector", "HashDetector"):
        detectors[name] = by_scenedetect(name)
        detectors[f"{name}, 1"] = by_scenedetect(name, min_scene_len=1)
    detectors |= {f"ours, {name}": by_embedding(name) for name in EMBEDDINGS}
    sets = {
        "bikes_cuts": [(real_clip("bikes_cuts.mp4"), BIKES)],
        "interleaved": [(real_clip("interleaved_scenes.264"), interleaved_truth())],
        "drawn, cuts": [drawn_clip(seed, has_effects=False) for seed in range(DRAWN)],
        "drawn, effects": [drawn_clip(1_000 + seed, has_effects=True) for seed in range(DRAWN)],
    }
    for detect in detectors.values():
        detect(sets["bikes_cuts"][0][0][:40])
    results: dict[tuple[str, str], float] = {}
    for title, clips in sets.items():
        print(f"{title}: {sum(len(truth) for _, truth in clips)} cuts")
        for name, detect in detectors.items():
            counts, seconds = np.zeros(3, np.int64), 0.0
            for frames, truth in clips:
                found, spent = detect(frames)
                counts += score(found, truth)
                seconds += spent
            results[title, name] = f1(counts)
            per_frame = seconds / sum(len(frames) for frames, _ in clips) * 1e6
            precision, recall = counts[0] / max(counts[1], 1), counts[0] / max(counts[2], 1)
            print(
                f"  {name:<20} precision {precision:.3f}  recall {recall:.3f}  F1 {f1(counts):.3f}  "
                f"{per_frame:7.1f} us per frame"
            )
    claims = {}
    for title in ("bikes_cuts", "interleaved", "drawn, cuts"):
        best = max(value for (at, name), value in results.items() if at == title and "Detector" in name)
        claims[f"{title}: F1 no lower than the best of PySceneDetect"] = (
            results[title, "ours, content"] >= best - 1e-9
        )
    _measure.judge(claims)


if __name__ == "__main__":
    main()

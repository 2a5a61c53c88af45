"""`evfr embed` end to end against the model's forward time alone, and against dumping JPEGs first.

"forward" runs the model on batches that are ready in memory. "embed" is `evfr.embed` into an empty store: child
process, decoding, checking, preparing, model, writing and all, the model already loaded in both. "usual" writes every
frame as JPEG with OpenCV, then reads the files with Pillow, prepares them the same way and runs the same batches, in
one process. The model uses one thread, one child process decodes. Models: MobileNetV2 (ONNX, trained weights) on every
frame, and a DINOv2 of the size of facebook/dinov2-base with seeded random weights on one frame in 30.

Must: the process with the model needs <= 1.15x the CPU time of forward, with rows equal to those of ready batches.
Decoding runs beside it in other processes; where they have a core of their own the wall time follows, which is printed
too and means nothing on a busy machine.

    python benchmarks/bench_embed.py [--turns 3] [--model onnx|dinov2]
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import _measure
import evfr
from evfr.embeddings import make_embedder
from evfr.verbs._embedding import embed_sources
from evfr.video import frames, resolve_inputs

CLIPS = ("video/basketball.mp4", "video/bottles.mp4")
MOST = 1.15
EVERY = {"onnx": 1, "dinov2": 30}


def make_model(kind: str, folder: Path) -> Any:
    """Return a loaded embedder that uses one thread."""
    if kind == "onnx":
        weights = _measure.data_folder() / "weights" / "mobilenetv2_imagenet.onnx"
        return make_embedder(weights, options={"mean": 128.0, "scale": 128.0, "threads": 1})
    import torch
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model, logging

    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.disable_progress_bar()
    Dinov2Model(Dinov2Config()).save_pretrained(folder)
    size = {"shortest_edge": 256}
    BitImageProcessor(size=size, crop_size={"height": 224, "width": 224}).save_pretrained(folder)
    model = make_embedder(folder, device="cpu", precision="fp32")
    model.load()
    return model


def forward(model: Any, ready: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the model on ready pictures, batch by batch."""
    size = model.batch_size
    return np.concatenate([model.embed_prepared(ready[k : k + size]) for k in range(0, len(ready), size)])


def end_to_end(model: Any, clips: list[Path], every: int) -> None:
    """Embed the clips into a new store, which is thrown away."""
    store = Path(tempfile.mkdtemp())
    result = evfr.embed(clips, model=model, every=every, out=store, jobs=1)
    shutil.rmtree(store)
    assert result.failed_count == 0


def usual_way(model: Any, clips: list[Path], every: int) -> NDArray[np.float32]:
    """Dump JPEGs with OpenCV, read them with Pillow, run the model."""
    folder = Path(tempfile.mkdtemp())
    names = []
    for clip in clips:
        capture = cv2.VideoCapture(str(clip))
        index = 0
        while True:
            is_ok, picture = capture.read()
            if not is_ok:
                break
            if index % every == 0:
                names.append(folder / f"{clip.stem}_{index:06}.jpg")
                cv2.imwrite(str(names[-1]), picture)
            index += 1
        capture.release()
    parts, batch = [], []
    for name in names:
        with Image.open(name) as image:
            batch.append(model.preprocess(np.asarray(image.convert("RGB"))))
        if len(batch) == model.batch_size:
            parts.append(model.embed_prepared(np.stack(batch)))
            batch = []
    if batch:
        parts.append(model.embed_prepared(np.stack(batch)))
    shutil.rmtree(folder)
    return np.concatenate(parts)


def timed(work: Callable[[], Any]) -> tuple[NDArray[np.float64], Any]:
    """Return wall seconds, CPU seconds of this process, CPU seconds of its children, and the value."""

    def clocks() -> NDArray[np.float64]:
        own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return np.array([time.perf_counter(), own.ru_utime + own.ru_stime, others.ru_utime + others.ru_stime])

    start = clocks()
    value = work()
    return clocks() - start, value


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosine of each row of one array and of the other."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / lengths)


def main() -> None:
    """Measure both models and judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", choices=tuple(EVERY), default=None)
    given = parser.parse_args()
    _measure.print_header("evfr embed, end to end", ", ".join(CLIPS), of_turns="least")
    clips = [_measure.data_folder() / name for name in CLIPS]
    claims: dict[str, bool] = {}
    for kind in (given.model,) if given.model else EVERY:
        with tempfile.TemporaryDirectory() as folder:
            claims |= measure(kind, Path(folder), clips, given.turns)
    _measure.judge(claims)


def measure(kind: str, folder: Path, clips: list[Path], turns: int) -> dict[str, bool]:
    """Measure one model in turns, print a table, return what must hold."""
    model = make_model(kind, folder / "model")
    every = EVERY[kind]
    ready = np.stack(
        [model.preprocess(f.image) for clip in clips for f in frames(clip) if f.frame_index % every == 0]
    )
    forward(model, ready[: model.batch_size])
    cases: dict[str, Callable[[], Any]] = {
        "forward": lambda: forward(model, ready),
        "embed": lambda: end_to_end(model, clips, every),
        "usual": lambda: usual_way(model, clips, every),
    }
    clocks: dict[str, list[NDArray[np.float64]]] = {name: [] for name in cases}
    values: dict[str, Any] = {}
    for _ in range(turns):
        for name, case in cases.items():
            seconds, values[name] = timed(case)
            clocks[name].append(seconds)
    best = {name: np.min(rows, axis=0) for name, rows in clocks.items()}
    base = best["forward"]
    print(f"{kind}: {len(ready)} frames, one in {every}, batches of {model.batch_size}")
    print("             wall s   x forward   CPU here s   CPU children s   all CPU x forward")
    for name, (wall, own, others) in best.items():
        print(
            f"  {name:<8} {wall:8.1f} {wall / base[0]:11.2f} {own:12.1f} {others:16.1f} "
            f"{(own + others) / base[1]:19.2f}"
        )
    ratios = [float(e[0] / f[0]) for e, f in zip(clocks["embed"], clocks["forward"], strict=True)]
    print(f"  wall, embed over forward, turn by turn: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    store = folder / "store"
    videos = embed_sources(resolve_inputs(clips), model=model, every=every, store=store, jobs=1)
    rows = np.concatenate([video.vectors for video in videos])
    same, jpeg = cosines(rows, values["forward"]), cosines(rows, values["usual"])
    print(f"  rows: least cosine to ready batches {same.min():.7f}; to JPEGs, median {np.median(jpeg):.4f}\n")
    return {
        f"{kind}: the model's process <= {MOST}x forward (CPU)": best["embed"][1] <= MOST * base[1],
        f"{kind}: the same rows as ready batches": bool(same.min() > 0.99999),
    }


if __name__ == "__main__":
    main()

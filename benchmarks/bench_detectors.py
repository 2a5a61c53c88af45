"""FastestDet through `OnnxDetector` against decoding its cells in plain Python, as its repository's example does.

Both sides run the same file on the same frames with one thread; the boxes above 0.3 must be the same. `detect` and
`score_boxes` of 10 boxes on one frame run the network once; the plain side scores the boxes against its detections.
Target: 12 ms of CPU a frame, all in.
"""

from __future__ import annotations

import math
import statistics
import time
from itertools import islice
from typing import Any

import cv2
import numpy as np

import _measure
from evfr._core.lazy import require
from evfr.models import OnnxDetector
from evfr.video import frames

CLIPS = ("video/people_one_by_one.mp4", "research/pets_vtest_h264.avi", "video/basketball.mp4")
ABOVE = 0.3


def overlap(a: list[float], b: list[float]) -> float:
    """Return the IoU of two boxes."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0.0) * max(h, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def plain_boxes(session: Any, image: np.ndarray, above: float) -> list[tuple[float, int, list[float]]]:
    """Run the model and read it cell by cell; class-wise NMS at 0.5."""
    height, width = image.shape[:2]
    way = cv2.INTER_AREA if height >= 352 and width >= 352 else cv2.INTER_LINEAR
    small = cv2.resize(image, (352, 352), interpolation=way)[:, :, ::-1]
    planes = (small.transpose(2, 0, 1).reshape(1, 3, 352, 352) / 255).astype(np.float32)
    cells = session.run(None, {"input.1": planes})[0][0].transpose(1, 2, 0)
    found = []
    for row in range(22):
        for column in range(22):
            data = cells[row, column]
            best = int(np.argmax(data[5:]))
            score = float(data[0]) ** 0.6 * float(data[5 + best]) ** 0.4
            if score > above:
                x, y = (column + math.tanh(data[1])) / 22, (row + math.tanh(data[2])) / 22
                w, h = 1 / (1 + math.exp(-data[3])), 1 / (1 + math.exp(-data[4]))
                corners = [
                    (x - w / 2) * width,
                    (y - h / 2) * height,
                    (x + w / 2) * width,
                    (y + h / 2) * height,
                ]
                box = [min(max(v, 0.0), side) for v, side in zip(corners, [width, height] * 2, strict=True)]
                found.append((score, best, box))
    found.sort(key=lambda one: -one[0])
    kept: list[tuple[float, int, list[float]]] = []
    for one in found:
        if all(other[1] != one[1] or overlap(other[2], one[2]) <= 0.5 for other in kept):
            kept.append(one)
    return kept


def main() -> None:
    folder = _measure.data_folder()
    _measure.print_header("FastestDet, CPU ms a frame", "60 frames of each clip, every 5th")
    path = folder / "weights" / "fastestdet_coco80.onnx"
    detector = OnnxDetector(path, min_score=ABOVE)
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = np.random.default_rng(0).uniform(0, 200, (10, 2))
    given = np.concatenate([given, given + 80], axis=1)
    detector.score_boxes(np.zeros((9, 9, 3), np.uint8), given)
    head = ("frames", "boxes", "detect", "+ score 10", "network", "plain", "ratio", "boxes alike")
    print(f"{'clip':30}" + "".join(f"{word:>12}" for word in head))
    for clip in CLIPS:
        times: dict[str, list[float]] = {name: [] for name in ("detect", "score", "network", "plain")}
        same = count = 0
        for frame in islice(frames(folder / clip), 0, 300, 5):
            begin = time.process_time()
            found = detector.detect(frame.image)
            times["detect"].append(time.process_time() - begin)
            begin = time.process_time()
            detector.score_boxes(frame.image, given)
            times["score"].append(time.process_time() - begin)
            planes, _, _ = detector._prepared(frame.image)
            begin = time.process_time()
            session.run(None, {"input.1": planes[None]})
            times["network"].append(time.process_time() - begin)
            begin = time.process_time()
            plain = plain_boxes(session, frame.image, ABOVE)
            times["plain"].append(time.process_time() - begin)
            boxes = np.array([one[2] for one in plain]).reshape(-1, 4)
            same += len(boxes) == len(found) and bool(np.allclose(boxes, found.boxes_xyxy, atol=0.05))
            count += len(found)
        total = len(times["plain"])
        detect, score, network, other = (1e3 * statistics.median(values) for values in times.values())
        row = f"{clip:30}{total:12}{count:12}{detect:12.1f}{detect + score:12.1f}{network:12.1f}{other:12.1f}"
        print(f"{row}{other / detect:12.2f}{f'{same}/{total}':>12}")


if __name__ == "__main__":
    main()

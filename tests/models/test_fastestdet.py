"""The real detector, FastestDet: against plain loops over its cells, on photos and on people in videos."""

from __future__ import annotations

import io
import math
import zipfile
from itertools import islice

import cv2
import numpy as np
import pytest
from PIL import Image

from evfr._core.masks import box_iou
from evfr.models import OnnxDetector, pick
from evfr.video import frames

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def coco80(data_dir, tmp_path_factory):
    """Return the file of COCO's class names and the photos by name."""
    folder = tmp_path_factory.mktemp("labels")
    with zipfile.ZipFile(data_dir / "weights" / "labels_photos.zip") as archive:
        archive.extractall(folder)
    photos = {
        path.stem: np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))
        for path in (folder / "photos").iterdir()
    }
    return folder / "coco80.txt", photos


@pytest.fixture(scope="module")
def fastestdet(data_dir, coco80):
    return OnnxDetector(data_dir / "weights" / "fastestdet_coco80.onnx", names=coco80[0])


def named(detector, found, above):
    return [
        (detector.categories[c].name, b)
        for c, s, b in zip(found.category, found.scores, found.boxes_xyxy, strict=True)
        if s > above
    ]


def plain_fastestdet(path, image, min_score, nms):
    """Decode cell by cell, as the repository's example describes it, and drop overlaps by a double loop."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    height, width = image.shape[:2]
    way = cv2.INTER_AREA if height >= 352 and width >= 352 else cv2.INTER_LINEAR
    small = cv2.resize(image, (352, 352), interpolation=way)[:, :, ::-1]
    cells = session.run(None, {"input.1": (small.astype(np.float32) / 255).transpose(2, 0, 1)[None]})[0][0]
    found = []
    for row in range(22):
        for column in range(22):
            values = [float(v) for v in cells[:, row, column]]
            best = max(range(80), key=lambda c: values[5 + c])
            score = values[0] ** 0.6 * values[5 + best] ** 0.4
            x = (column + math.tanh(values[1])) / 22 * width
            y = (row + math.tanh(values[2])) / 22 * height
            w = width / (1 + math.exp(-values[3]))
            h = height / (1 + math.exp(-values[4]))
            box = [max(x - w / 2, 0), max(y - h / 2, 0), min(x + w / 2, width), min(y + h / 2, height)]
            if score > min_score:
                found.append((score, best, box))
    found.sort(key=lambda one: -one[0])
    kept = []
    for one in found:
        if all(k[1] != one[1] or box_iou([k[2]], [one[2]])[0, 0] <= nms for k in kept):
            kept.append(one)
    return kept


def test_the_real_detector_finds_what_is_in_the_photos(fastestdet, coco80):
    expected = {"cat": ["cat"], "owl": ["bird"], "pets": ["dog", "dog"]}
    for name, image in coco80[1].items():
        found = pick(fastestdet.detect(image), min_score=0.6)
        assert [label for label, _ in named(fastestdet, found, 0.6)] == expected[name], name


def test_the_real_detector_equals_plain_loops(fastestdet, coco80):
    for image in coco80[1].values():
        expected = plain_fastestdet(fastestdet.path, image, 0.1, 0.5)
        found = OnnxDetector(fastestdet.path, min_score=0.1).detect(image)
        assert len(found) == len(expected) > 3
        assert np.allclose(found.scores, [one[0] for one in expected], atol=1e-5)
        assert found.category.tolist() == [one[1] for one in expected]
        assert np.allclose(found.boxes_xyxy, [one[2] for one in expected], atol=1e-2)


def test_the_real_detector_finds_people_in_videos(fastestdet, data_dir):
    video = islice(frames(data_dir / "video" / "people_one_by_one.mp4"), 141)
    pictures = [frame.image for number, frame in enumerate(video) if number in (0, 140)]
    counts = []
    for picture in pictures:
        found = fastestdet.detect(picture)
        people = [box for name, box in named(fastestdet, found, 0.6) if name == "person"]
        counts.append(len(people))
    assert counts == [0, 1]
    assert box_iou([people[0]], [[380, 5, 522, 382]])[0, 0] > 0.8


def test_the_real_detector_finds_the_people_of_pets(fastestdet, data_dir):
    rows = np.loadtxt(data_dir / "research" / "pets_gt.txt", delimiter=",")
    picked = {0, 60, 120}
    video = islice(frames(data_dir / "research" / "pets_vtest_h264.avi"), 121)
    hits = total = 0
    for number, frame in enumerate(video):
        if number not in picked:
            continue
        x, y, w, h = rows[rows[:, 0] == number + 1, 2:6].T * 0.625
        truth = np.stack([x, y, x + w, y + h], axis=1)
        people = [
            box for name, box in named(fastestdet, fastestdet.detect(frame.image), 0.4) if name == "person"
        ]
        overlaps = box_iou(truth, np.array(people).reshape(-1, 4))
        hits += int((overlaps.max(axis=1, initial=0) > 0.5).sum())
        total += len(truth)
    assert total > 12
    assert hits / total > 0.6  # people here are 40 pixels high, and some hide each other


def test_scores_at_boxes_follow_the_detections(fastestdet, coco80, monkeypatch):
    image = coco80[1]["owl"]
    runs = []
    run = type(fastestdet._model).run
    monkeypatch.setattr(type(fastestdet._model), "run", lambda *a: runs.append(1) or run(*a))
    fresh = image.copy()
    found = fastestdet.detect(fresh)
    scores = fastestdet.score_boxes(fresh, np.array([found.boxes_xyxy[0], [0, 0, 5, 5]]))
    assert len(runs) == 1
    assert scores.shape == (2, 80)
    bird = [c.name for c in fastestdet.categories].index("bird")
    assert scores[0].argmax() == bird
    assert scores[0, bird] == pytest.approx(found.scores[0])
    assert scores[1].max() < 0.2

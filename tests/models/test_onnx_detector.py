"""Detectors in ONNX files: each layout against hand-made outputs, and files that are none."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from evfr.errors import InputError
from evfr.models import OnnxDetector, open_detector
from helpers.detector_files import constant_model

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def letterboxed(boxes, ratio, left, top):
    return np.asarray(boxes, float) * ratio + [left, top, left, top]


def centred(boxes):
    boxes = np.asarray(boxes, float)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


BOXES = np.array([[6.0, 4, 24, 20], [30, 10, 54, 38]])
CLASS_SCORES = np.array([[0.1, 0.7, 0.0], [0.6, 0.25, 0.1]])
# The 60 x 40 picture in 64 x 32: a factor of .8, 48 wide, 8 pixels left and right.
PLACED = letterboxed(BOXES, 0.8, 8, 0)
FRACTIONS = centred(BOXES) / [60, 40, 60, 40]


def with_nothing(rows, count, width):
    """Pad rows with anchors that found nothing."""
    return np.concatenate([rows, np.tile([1.0, 1, 2, 2] + [0] * (width - 4), (count - len(rows), 1))]).astype(
        np.float32
    )


def outputs_of(layout):
    """Return the outputs by which a model of the layout says BOXES and CLASS_SCORES."""
    if layout == "yolov5":
        rows = np.concatenate([centred(PLACED), [[0.5], [1.0]], CLASS_SCORES / [[0.5 * 2], [1.0]]], axis=1)
        rows[0, 4], rows[0, 5:] = 1.0, CLASS_SCORES[0]
        rows[1, 4], rows[1, 5:] = 0.8, CLASS_SCORES[1] / 0.8
        return {"output0": with_nothing(rows, 20, 8)[None]}
    if layout == "yolov8":
        rows = np.concatenate([centred(PLACED), CLASS_SCORES], axis=1)
        return {"output0": np.ascontiguousarray(with_nothing(rows, 20, 7).T)[None]}
    if layout == "detr":
        p = np.concatenate([CLASS_SCORES, 1 - CLASS_SCORES.sum(1, keepdims=True)], axis=1)
        p = np.concatenate([p, [[0, 0, 0, 1]]])
        boxes = np.concatenate([FRACTIONS, [[0.5, 0.5, 0.1, 0.1]]])
        logits = np.log(np.maximum(p, 1e-9)) - 3
        return {"pred_boxes": boxes[None].astype(np.float32), "logits": logits[None].astype(np.float32)}
    if layout == "rtdetr":
        p = np.clip(CLASS_SCORES, 1e-6, 1)
        return {
            "logits": np.log(p / (1 - p))[None].astype(np.float32),
            "pred_boxes": FRACTIONS[None].astype(np.float32),
        }
    best = CLASS_SCORES.argmax(axis=1)
    if layout == "end-to-end":
        rows = np.concatenate([PLACED, CLASS_SCORES.max(1, keepdims=True), best[:, None]], axis=1)
        return {"output0": np.concatenate([rows, np.zeros((3, 6))])[None].astype(np.float32)}
    assert layout == "boxes-scores-labels"
    stretched = BOXES * [64 / 60, 32 / 40, 64 / 60, 32 / 40]
    return {
        "boxes": stretched.astype(np.float32),
        "labels": best.astype(np.int64) + 1,
        "scores": CLASS_SCORES.max(1).astype(np.float32),
    }


ONE_HOT = np.where(CLASS_SCORES.max(1, keepdims=True) == CLASS_SCORES, CLASS_SCORES, 0)
OPTIONS = {"boxes-scores-labels": {"first_label": 1}}


@pytest.mark.parametrize(
    "layout", ["yolov5", "yolov8", "end-to-end", "detr", "rtdetr", "boxes-scores-labels"]
)
def test_each_layout_is_recognised_and_read(layout, tmp_path):
    path = constant_model(tmp_path / "m.onnx", outputs_of(layout))
    detector = OnnxDetector(path, names=["a", "b", "c"], **OPTIONS.get(layout, {}))
    assert detector.layout == layout
    found = detector.detect(PICTURE)
    assert found.category.tolist() == [1, 0]
    assert np.allclose(found.scores, [0.7, 0.6], atol=1e-6)
    assert np.allclose(found.boxes_xyxy, BOXES, atol=1e-4)
    expected = ONE_HOT if "label" in layout or layout == "end-to-end" else CLASS_SCORES
    assert np.allclose(found.class_scores, expected, atol=1e-6)
    assert np.allclose(detector.score_boxes(PICTURE, BOXES), expected, atol=1e-5)
    asked = OnnxDetector(path, names=["a", "b", "c"], layout=layout, **OPTIONS.get(layout, {}))
    assert np.array_equal(asked.detect(PICTURE).boxes_xyxy, found.boxes_xyxy)
    again = pickle.loads(pickle.dumps(asked))
    assert np.array_equal(again.detect(PICTURE).scores, found.scores)


def test_overlaps_low_scores_and_boxes_outside(tmp_path):
    rows = np.array(
        [
            [10, 10, 10, 10, 0.9, 0.0],
            [11, 10, 10, 10, 0.8, 0.0],  # IoU 9 / 11 with the first
            [10, 10, 10, 10, 0.0, 0.7],
            [30, 30, 10, 10, 0.04, 0.0],
            [64, 10, 20, 10, 0.5, 0.0],  # half of it is outside
            [90, 10, 20, 10, 0.6, 0.0],  # all of it
            [40, 10, 0, 10, 0.6, 0.0],  # no area
        ],
        np.float32,
    )
    path = constant_model(tmp_path / "m.onnx", {"y": np.ascontiguousarray(rows.T)[None]})
    image = np.zeros((32, 64, 3), np.uint8)
    found = OnnxDetector(path, names=["a", "b"]).detect(image)
    assert np.allclose(found.scores, [0.9, 0.7, 0.5])
    assert np.allclose(found.boxes_xyxy[2], [54, 5, 64, 15])
    kept = OnnxDetector(path, names=["a", "b"], nms=1.0, min_score=0.01).detect(image)
    assert np.allclose(kept.scores, [0.9, 0.8, 0.7, 0.5, 0.04])
    at = OnnxDetector(path, names=["a", "b"]).score_boxes(image, np.array([[25.0, 25, 35, 35]]))
    assert np.allclose(at, [[0.04 * (10 * 7) / (10 * 7 + 10 * 3), 0]], atol=1e-6)


def test_pictures_go_in_as_the_layout_says(tmp_path):
    detector = OnnxDetector(constant_model(tmp_path / "m.onnx", outputs_of("yolov8")), names=["a", "b", "c"])
    planes, step, border = detector._prepared(PICTURE)
    assert planes.shape == (3, 32, 64)
    assert (planes[:, :, :8] == np.float32(114 / 255)).all()
    small = cv2.resize(PICTURE, (48, 32), interpolation=cv2.INTER_AREA)
    assert np.array_equal(planes[:, :, 8:56], small.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    assert (step.tolist(), border.tolist()) == ([0.8, 0.8], [8, 0])
    other = OnnxDetector(
        detector.path,
        names=["a", "b", "c"],
        channels="bgr",
        resize="stretch",
        mean=[1, 2, 3],
        scale=2,
    )
    planes, step, border = other._prepared(PICTURE)
    small = cv2.resize(PICTURE, (64, 32), interpolation=cv2.INTER_LINEAR).astype(np.float32)[:, :, ::-1]
    assert np.array_equal(planes, ((small - [1, 2, 3]) / 2).transpose(2, 0, 1).astype(np.float32))
    assert (step.tolist(), border.tolist()) == ([64 / 60, 32 / 40], [0, 0])
    large = np.zeros((320, 10, 3), np.uint8)
    planes, step, border = detector._prepared(large)
    assert (planes[0] != np.float32(114 / 255)).sum() == 32  # one column of ten is left
    assert (step.tolist(), border.tolist()) == ([0.1, 0.1], [31, 0])


def test_sizes_free_and_fixed(tmp_path):
    free = [1, 3, "h", "w"]
    yolo = constant_model(tmp_path / "yolo.onnx", outputs_of("yolov8"), shape=free)
    with pytest.raises(InputError, match=r"takes pictures of any size; pass size=\(height, width\)"):
        OnnxDetector(yolo, names=["a", "b", "c"])
    assert OnnxDetector(yolo, names=["a", "b", "c"], size=(32, 64))._prepared(PICTURE)[0].shape == (3, 32, 64)
    assert OnnxDetector(yolo, names=["a", "b", "c"], size=64)._prepared(PICTURE)[0].shape == (3, 64, 64)
    noted = constant_model(
        tmp_path / "noted.onnx",
        outputs_of("yolov8"),
        shape=free,
        metadata={"imgsz": "[32, 64]", "names": "{0: 'a', 1: 'b', 2: 'c'}"},
    )
    detector = open_detector(noted)
    assert [category.name for category in detector.categories] == ["a", "b", "c"]
    assert np.allclose(detector.detect(PICTURE).boxes_xyxy, BOXES, atol=1e-4)
    plain = outputs_of("boxes-scores-labels")
    plain["boxes"] = BOXES.astype(np.float32)
    own = constant_model(tmp_path / "own.onnx", plain, shape=[3, "h", "w"])
    found = OnnxDetector(own, names=["a", "b", "c"], first_label=1)
    assert found._prepared(PICTURE)[0].shape == (3, 40, 60)
    assert np.allclose(found.detect(PICTURE).boxes_xyxy, BOXES, atol=1e-4)
    half = constant_model(tmp_path / "half.onnx", outputs_of("yolov8"), kind="FLOAT16")
    assert len(OnnxDetector(half, names=["a", "b", "c"]).detect(PICTURE)) == 2
    for size, text in [
        ((32, 60), r"takes pictures of \[32, 64\] \(height, width\), got size=\(32, 60\)"),
        (0, "size must be"),
    ]:
        with pytest.raises(ValueError, match=text):
            OnnxDetector(half, size=size)


def test_names_come_from_the_file_the_user_or_numbers(tmp_path):
    outputs = outputs_of("yolov8")
    plain = constant_model(tmp_path / "plain.onnx", outputs)
    assert [c.name for c in OnnxDetector(plain).categories] == ["class 0", "class 1", "class 2"]
    listed = constant_model(tmp_path / "listed.onnx", outputs, metadata={"names": "['x', 'y', 'z']"})
    assert [c.name for c in OnnxDetector(listed).categories] == ["x", "y", "z"]
    with pytest.raises(InputError, match="no layout of 2 classes known here"):
        OnnxDetector(listed, names=["a", "b"])
    with pytest.raises(InputError, match="has 3 classes, 2 names were given"):
        OnnxDetector(listed, names=["a", "b"], layout="yolov8")
    for text in ["{1: 'a', 2: 'b'}", "'a'", "[1, 2]", "__import__('os')", "{}"]:
        bad = constant_model(tmp_path / "bad.onnx", outputs, metadata={"names": text})
        with pytest.raises(InputError, match="its metadata 'names' is no list of class names"):
            OnnxDetector(bad)


def test_what_is_ambiguous_or_unknown_is_asked_for(tmp_path):
    def model(**outputs):
        return constant_model(tmp_path / "m.onnx", {k: np.zeros(v, np.float32) for k, v in outputs.items()})

    with pytest.raises(InputError, match=r"logits \(1, 9, 5\), .* fits detr and rtdetr; pass layout="):
        OnnxDetector(model(logits=(1, 9, 5), pred_boxes=(1, 9, 4)))
    assert OnnxDetector(model(logits=(1, 9, 5), pred_boxes=(1, 9, 4)), names=list("abcd")).layout == "detr"
    assert OnnxDetector(model(a=(1, 9, 5), b=(1, 9, 4)), names=list("abcde")).layout == "rtdetr"
    with pytest.raises(InputError, match="fits yolov5 and end-to-end"):
        OnnxDetector(model(y=(1, 30, 6)))
    assert OnnxDetector(model(y=(1, 30, 6)), names=["only"]).layout == "yolov5"
    with pytest.raises(InputError, match="fits yolov5 and yolov8"):
        OnnxDetector(model(y=(1, 9, 9)))
    for shapes in [
        {"y": (1, 7)},
        {"y": (1, 4, 3), "z": (1, 3)},
        {"y": (1, 5, 3, 3)},
        {"y": (1, 30, 85), "z": (1, 3)},
    ]:
        with pytest.raises(InputError, match=r"no layout known here \(fastestdet: one"):
            OnnxDetector(model(**shapes))
    with pytest.raises(InputError, match="layout end-to-end does not tell the classes; pass names="):
        OnnxDetector(model(y=(1, 30, 6)), layout="end-to-end")
    with pytest.raises(
        InputError, match=r"layout detr needs logits \(1, N, C \+ 1\) and boxes \(1, N, 4\), the outputs"
    ):
        OnnxDetector(model(y=(1, 30, 6)), layout="detr")
    with pytest.raises(InputError, match="layout yolov5 needs more than 5 channels"):
        OnnxDetector(model(y=(1, 30, 5)), layout="yolov5")


def test_outputs_of_another_form_or_value_name_the_file(tmp_path, monkeypatch):
    def detect(layout, change, told=None, names=("a", "b", "c"), **options):
        outputs = outputs_of(layout)
        change(outputs)
        path = constant_model(tmp_path / "odd.onnx", outputs, told=told)
        return OnnxDetector(path, names=list(names), layout=layout, **options).detect(PICTURE)

    def put(name, place, value):
        return lambda outputs: outputs[name].__setitem__(place, value)

    with pytest.raises(InputError, match=r"odd.onnx: output 'output0' holds values that are not finite"):
        detect("yolov8", put("output0", (0, 2, 3), np.nan))
    with pytest.raises(
        InputError, match=r"odd.onnx: scores run from 0 to 7; layout yolov8 needs probabilities"
    ):
        detect("yolov8", put("output0", (0, 5, 3), 7))
    with pytest.raises(InputError, match=r"odd.onnx: a box has its corners the wrong way round"):
        detect("end-to-end", put("output0", (0, 0, 0), 60))
    with pytest.raises(InputError, match=r"labels run from 0 to 3, but there are 3 class names"):
        detect("end-to-end", put("output0", (0, 0, 5), 3))
    with pytest.raises(
        InputError, match=r"labels run from 1 to 3, .* first_label= if they do not start at 0"
    ):
        detect("boxes-scores-labels", put("labels", 0, 3))
    with pytest.raises(InputError, match="there are 2 boxes, 1 scores and 2 labels"):
        detect(
            "boxes-scores-labels",
            lambda o: o.update(scores=o["scores"][:1]),
            told={"scores": ["n"]},
            first_label=1,
        )
    detector = OnnxDetector(constant_model(tmp_path / "odd.onnx", outputs_of("yolov8")))
    monkeypatch.setattr(type(detector._model), "run", lambda *_: [np.zeros((1, 9, 20), np.float32)])
    with pytest.raises(InputError, match=r"odd.onnx: the outputs \[\(1, 9, 20\)\] are not of 3 classes"):
        detector.detect(PICTURE)
    monkeypatch.setattr(type(detector._model), "run", lambda *_: [np.zeros((1, 7), np.float32)])
    with pytest.raises(
        InputError, match=r"odd.onnx: layout yolov8 needs one \(1, 4 \+ C, N\), the outputs are"
    ):
        detector.detect(PICTURE)


def test_no_detections_at_all(tmp_path):
    empty = {
        "boxes": np.zeros((0, 4), np.float32),
        "labels": np.zeros(0, np.int64),
        "scores": np.zeros(0, np.float32),
    }
    told = {"boxes": ["n", 4], "labels": ["n"], "scores": ["n"]}
    path = constant_model(tmp_path / "m.onnx", empty, told=told)
    detector = OnnxDetector(path, names=["a"])
    assert len(detector.detect(PICTURE)) == 0
    assert detector.score_boxes(PICTURE, BOXES).tolist() == [[0], [0]]


def test_files_that_are_no_such_models(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"bad.onnx is no ONNX model that can run"):
        OnnxDetector(tmp_path / "bad.onnx")
    with pytest.raises(InputError, match="there is no model at"):
        OnnxDetector(tmp_path / "none.onnx")
    outputs = outputs_of("yolov8")
    for changes, text in [
        ({"more_inputs": ("orig_target_sizes",)}, "must take one picture and nothing else, it takes"),
        ({"shape": [1, 4, 8, 8]}, r"the input must be one picture \(1, 3, h, w\)"),
        ({"shape": [8, 8]}, "the input must be one picture"),
        ({"kind": "UINT8"}, r"got \[1, 3, 32, 64\] tensor\(uint8\)"),
        ({"shape": [2, 3, 8, 8]}, "takes 2 pictures at once; export it for one"),
    ]:
        with pytest.raises(InputError, match=text):
            OnnxDetector(constant_model(tmp_path / "m.onnx", outputs, **changes))


def test_options_are_checked(tmp_path):
    path = constant_model(tmp_path / "m.onnx", outputs_of("yolov8"))
    for options, text in [
        ({"layout": "ssd"}, "layout must be 'auto' or one of fastestdet"),
        ({"channels": "gbr"}, "channels must be 'rgb' or 'bgr'"),
        ({"resize": "crop"}, "resize must be 'stretch' or 'letterbox'"),
        ({"min_score": 1.0}, r"min_score must be in \[0, 1\)"),
        ({"nms": 1.5}, r"nms in \[0, 1\], got"),
        ({"mean": [1, 2]}, "mean must be one or three finite numbers"),
        ({"scale": 0}, "scale must not be 0"),
        ({"threads": 0}, "threads must be 1 or more"),
    ]:
        with pytest.raises(ValueError, match=text):
            OnnxDetector(path, **options)
    with pytest.raises(ValueError, match="a picture must be"):
        OnnxDetector(path).detect(PICTURE.astype(np.float32))

"""The classifier of boxes: crops, probabilities, names and outputs; MobileNet V2 on real photos."""

from __future__ import annotations

import pickle
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from evfr.errors import InputError
from evfr.models import OnnxClassifier

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def colours(path, *, shape=("n", 3, 4, 6), nodes=None, outputs=(("y", ("n", 3)),), metadata=None):
    """Save a model whose scores are the mean of each channel of its input."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    made = [helper.make_node(*node[:3], **node[3]) for node in nodes or [MEAN]]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, kind, list(sides)) for name, sides in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


MEAN = ("ReduceMean", ["x"], ["y"], {"axes": [2, 3], "keepdims": 0})
PLAIN = {"mean": 0, "scale": 255}


def halves():
    """Return a picture that is red on the left and blue on the right, 20 x 40."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :20, 0] = 255
    image[:, 20:, 2] = 204
    return image


def test_crops_are_what_is_classified(tmp_path):
    path = colours(tmp_path / "m.onnx")
    classifier = OnnxClassifier(path, names=["red", "green", "blue"], **PLAIN)
    boxes = np.array(
        [[0, 0, 20, 20], [20, 5, 40, 9], [10, 0, 30, 20], [-5, -5, 3, 3], [50, 0, 60, 9], [7, 7, 7, 7.0]]
    )
    expected = [[1, 0, 0], [0, 0, 0.8], [0.5, 0, 0.4], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert np.allclose(classifier.score_boxes(halves(), boxes), expected, atol=0.01)
    wide = OnnxClassifier(path, names=["red", "green", "blue"], context=1.0, **PLAIN)
    assert np.allclose(
        wide.score_boxes(halves(), np.array([[15, 5, 20, 10.0]])), [[2 / 3, 0, 0.8 / 3]], atol=0.02
    )
    bgr = OnnxClassifier(path, channels="bgr", **PLAIN)
    assert np.allclose(bgr.score_boxes(halves(), boxes[:1]), [[0, 0, 1]])
    assert [c.name for c in bgr.categories] == ["class 0", "class 1", "class 2"]
    assert classifier.score_boxes(halves(), np.zeros((0, 4))).shape == (0, 3)
    many = np.tile(boxes[:1], (70, 1))
    assert np.allclose(classifier.score_boxes(halves(), many), [[1, 0, 0]] * 70)
    fixed = colours(tmp_path / "fixed.onnx", shape=(1, 3, 4, 6), outputs=(("y", (1, 3)),))
    assert np.allclose(OnnxClassifier(fixed, **PLAIN).score_boxes(halves(), boxes), expected, atol=0.01)
    again = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(again.score_boxes(halves(), boxes), classifier.score_boxes(halves(), boxes))
    assert "output='y', 3 classes" in repr(classifier)


def test_logits_become_probabilities_only_if_asked(tmp_path):
    path = colours(tmp_path / "m.onnx")
    box = np.array([[0, 0, 20, 20.0]])
    with pytest.raises(
        InputError, match=r"m.onnx: output 'y' runs from 0 to 25.5, these are no probabilities; pass"
    ):
        OnnxClassifier(path, mean=0, scale=10).score_boxes(halves(), box)
    soft = OnnxClassifier(path, activation="softmax", mean=0, scale=127.5).score_boxes(halves(), box)
    assert np.allclose(soft, np.exp([2, 0, 0]) / (np.exp(2) + 2))
    each = OnnxClassifier(path, activation="sigmoid", mean=0, scale=127.5).score_boxes(halves(), box)
    assert np.allclose(each, [[1 / (1 + np.exp(-2)), 0.5, 0.5]])


def test_background_and_names(tmp_path):
    path = colours(tmp_path / "m.onnx", metadata={"names": "['none', 'green', 'blue']"})
    classifier = OnnxClassifier(path, background="none", **PLAIN)
    assert [c.name for c in classifier.categories] == ["green", "blue"]
    assert np.allclose(classifier.score_boxes(halves(), np.array([[20, 0, 40, 20.0]])), [[0, 0.8]])
    with pytest.raises(ValueError, match="has no class 'nothing' to leave out"):
        OnnxClassifier(path, background="nothing", **PLAIN)
    with pytest.raises(
        InputError, match=r"has 0 outputs of scores with 2 columns as names has: y .*; pass output="
    ):
        OnnxClassifier(path, names=["a", "b"])
    with pytest.raises(InputError, match="output 'y' has 3 classes, 2 names were given"):
        OnnxClassifier(path, names=["a", "b"], output="y")


def test_which_output(tmp_path):
    both = [MEAN, ("ReduceMax", ["x"], ["z"], {"axes": [2, 3], "keepdims": 1})]
    two = colours(tmp_path / "two.onnx", nodes=both, outputs=(("y", ("n", 3)), ("z", ("n", 3, 1, 1))))
    with pytest.raises(InputError, match=r"has 2 outputs of scores: y .*, z .*; pass output= or names="):
        OnnxClassifier(two, **PLAIN)
    chosen = OnnxClassifier(two, output="z", **PLAIN)
    assert np.allclose(chosen.score_boxes(halves(), np.array([[10, 0, 30, 20.0]])), [[1, 0, 0.8]])
    with pytest.raises(InputError, match=r"has no output 'w' of \(N, C\) scores; it has y"):
        OnnxClassifier(two, output="w")
    planes = colours(
        tmp_path / "planes.onnx", nodes=[("Identity", ["x"], ["y"], {})], outputs=(("y", ("n", 3, 4, 6)),)
    )
    with pytest.raises(InputError, match="has 0 outputs of scores: y"):
        OnnxClassifier(planes)
    free = colours(tmp_path / "free.onnx", shape=("n", 3, "h", "w"))
    with pytest.raises(InputError, match=r"takes pictures of any size; pass size=\(height, width\)"):
        OnnxClassifier(free)
    sized = OnnxClassifier(free, size=8, **PLAIN)
    assert np.allclose(sized.score_boxes(halves(), np.array([[0, 0, 9, 9.0]])), [[1, 0, 0]])


def test_outputs_that_change_and_options(tmp_path, monkeypatch):
    path = colours(tmp_path / "m.onnx")
    classifier = OnnxClassifier(path, **PLAIN)
    monkeypatch.setattr(type(classifier._model), "run", lambda *_: [np.zeros((1, 5))])
    with pytest.raises(InputError, match=r"output 'y' is \(1, 5\), not 3 scores a picture"):
        classifier.score_boxes(halves(), np.array([[0, 0, 9, 9.0]]))
    for options, text in [
        ({"activation": "relu"}, "activation must be 'none', 'softmax' or 'sigmoid'"),
        ({"channels": "gray"}, "channels must be 'rgb' or 'bgr'"),
        ({"context": -0.1}, r"context must be in \[0, 10\]"),
        ({"scale": 0}, "scale must not be 0"),
        ({"mean": float("nan")}, "mean must be one or three finite numbers"),
        ({"size": (1, 2, 3)}, "size must be"),
    ]:
        with pytest.raises(ValueError, match=text):
            OnnxClassifier(path, **options)
    with pytest.raises(ValueError, match="a picture must be"):
        classifier.score_boxes(halves()[0], np.zeros((1, 4)))
    with pytest.raises(ValueError, match="box 0 is"):
        classifier.score_boxes(halves(), np.array([[0, 0, np.nan, 1]]))


def test_the_real_classifier_names_what_boxes_hold(data_dir, tmp_path):
    with zipfile.ZipFile(data_dir / "weights" / "labels_photos.zip") as archive:
        archive.extractall(tmp_path)
    classifier = OnnxClassifier(
        data_dir / "weights" / "mobilenetv2_imagenet.onnx",
        names=tmp_path / "imagenet1001.txt",
        background="background",
        mean=128,
        scale=128,
    )
    assert len(classifier.categories) == 1000
    expected = {"cat": ([118, 102, 953, 720], "cat"), "pets": ([334, 170, 494, 373], "Boston bull")}
    for name, (box, label) in expected.items():
        image = np.asarray(Image.open(tmp_path / "photos" / f"{name}.jpg").convert("RGB"))
        scores = classifier.score_boxes(image, np.array([box, [0, 0, 9, 9]], float))
        assert label in classifier.categories[scores[0].argmax()].name
        assert scores[0].max() > 0.5
        x0, y0, x1, y1 = box
        small = cv2.resize(image[y0:y1, x0:x1], (224, 224), interpolation=cv2.INTER_LINEAR)
        if min(y1 - y0, x1 - x0) >= 224:
            small = cv2.resize(image[y0:y1, x0:x1], (224, 224), interpolation=cv2.INTER_AREA)
        planes = ((small.astype(np.float32) - 128) / 128).transpose(2, 0, 1)[None]
        plain = classifier._model.session.run(["probs"], {"image": planes})[0][0, 1:]
        assert np.allclose(scores[0], plain, atol=1e-5)

"""A real ImageNet model on real photos; the choices that a file leaves open are refused or recorded."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from evfr.embeddings import OnnxEmbedder, make_embedder
from evfr.errors import InputError, MissingExtraError
from evfr.signals import feature_dissimilarity, signal_parameters


@pytest.fixture(scope="module")
def model(data_dir):
    return data_dir / "weights" / "mobilenetv2_imagenet.onnx"


@pytest.fixture(scope="module")
def photos(data_dir):
    with zipfile.ZipFile(data_dir / "weights" / "labels_photos.zip") as archive:
        names = archive.read("imagenet1001.txt").decode().split("\n")
        pictures = {
            name: np.asarray(Image.open(io.BytesIO(archive.read(f"photos/{name}.jpg"))).convert("RGB"))
            for name in ("cat", "pets", "owl")
        }
    return names, pictures


def coral(model, **options):
    """The preprocessing this model was trained with."""
    return OnnxEmbedder(model, mean=128, scale=128, **options)


BIRDS = ("kite", "grouse", "partridge", "prairie chicken", "great grey owl")
"""What the 1000 classes offer for a burrowing owl, which is none of them."""


@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_photos_get_their_names(model, photos, resize):
    names, pictures = photos
    probabilities = coral(model, output="probs", resize=resize)(pictures[name] for name in pictures)
    assert probabilities.shape == (3, 1001)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-3)
    cat, pets, owl = ([names[i] for i in np.argsort(-row)[:3]] for row in probabilities)
    assert set(cat) == {"Egyptian cat", "tabby, tabby cat", "tiger cat"}
    assert set(pets[:2]) == {"Italian greyhound", "Boston bull, Boston terrier"}
    assert any(bird in owl[0] for bird in BIRDS), owl


def test_wrong_preprocessing_shows(model, photos):
    names, pictures = photos
    wrong = OnnxEmbedder(model, output="probs", mean=0, scale=1)([pictures["cat"]])[0]
    assert "cat" not in names[wrong.argmax()]
    swapped = OnnxEmbedder(model, output="probs", mean=128, scale=128, channels="bgr")
    flipped = coral(model, output="probs")([pictures["owl"][..., ::-1]])
    np.testing.assert_array_equal(swapped([pictures["owl"]]), flipped)


def test_features_are_the_default_output(model, photos):
    _, pictures = photos
    embedder = coral(model)
    cat, owl = embedder([pictures["cat"], pictures["owl"]])
    assert (cat.shape, cat.dtype) == ((1280,), np.float32)
    near = embedder([np.roll(pictures["cat"], 5, axis=1)])[0]
    assert feature_dissimilarity(cat, near) < feature_dissimilarity(cat, owl) / 2
    assert embedder([]).shape == (0, 1280)


def test_batches_make_no_difference(model, photos):
    _, pictures = photos
    frames = list(pictures.values())
    one, many = coral(model, batch_size=1)(frames), coral(model, batch_size=2)(frames)
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-5)
    assert coral(model, batch_size=2)(frames).tobytes() == many.tobytes()


def test_parameters_say_everything(model):
    embedder = coral(model, resize="crop")
    assert embedder.parameters == {
        "name": "onnx",
        "schema": 1,
        "model": hashlib.blake2b(model.read_bytes(), digest_size=16).hexdigest(),
        "output": "features",
        "layout": "NCHW",
        "size": [224, 224],
        "mean": [128.0] * 3,
        "scale": [128.0] * 3,
        "channels": "rgb",
        "resize": "crop",
    }
    assert json.loads(json.dumps(embedder.parameters)) == embedder.parameters
    assert signal_parameters("feature", embedder=embedder)["embedder"] == embedder.parameters
    assert repr(embedder) == "OnnxEmbedder('mobilenetv2_imagenet.onnx', output='features', size=(224, 224))"
    # By name: ImageNet's mean and deviation, recorded.
    assert make_embedder(str(model)).parameters["mean"] == pytest.approx([123.675, 116.28, 103.53])


def test_goes_to_another_process(model, photos):
    _, pictures = photos
    embedder = coral(model, output="probs", batch_size=3)
    copy = pickle.loads(pickle.dumps(embedder))
    assert copy.parameters == embedder.parameters
    assert copy([pictures["cat"]]).tobytes() == embedder([pictures["cat"]]).tobytes()


def test_preparation_by_hand(model):
    left = np.zeros((2, 4, 3), np.uint8)
    left[:, 1:3] = (128, 0, 255)
    preprocess = coral(model, resize="crop").preprocess
    picture = preprocess(left)
    assert (picture.shape, picture.dtype) == ((224, 224, 3), np.uint8)
    normalised = preprocess.normalised(picture)
    np.testing.assert_array_equal(normalised[100, 100], np.float32([0, -1, 127 / 128]))
    assert len(np.unique(picture[..., 0])) == 1
    np.testing.assert_array_equal(preprocess(np.ascontiguousarray(left.swapaxes(0, 1))), picture)
    assert coral(model).preprocess(left)[..., 0].min() == 0
    assert coral(model, channels="bgr").preprocess(left)[100, 100].tolist() == [255, 0, 128]


def test_what_a_file_leaves_open_is_refused(model, data_dir):
    detector = data_dir / "weights" / "fastestdet_coco80.onnx"
    segmenter = data_dir / "weights" / "deeplabv3_dm05_voc21.onnx"
    with pytest.raises(ValueError, match=r"has no output 'logits', only probs, features"):
        OnnxEmbedder(model, output="logits")
    with pytest.raises(ValueError, match=r"takes pictures of \[224, 224\], got size=\(64, 64\)"):
        OnnxEmbedder(model, size=(64, 64))
    with pytest.raises(ValueError, match=r"it must be \(N, D\) or \(N, D, h, w\); name another output"):
        OnnxEmbedder(segmenter)(np.zeros((1, 9, 9, 3), np.uint8))
    # (N, D, h, w) is averaged over h and w, and a model of batch 1 gets one frame at a time.
    vectors = OnnxEmbedder(detector, mean=0, scale=255, channels="bgr")(np.zeros((3, 9, 9, 3), np.uint8))
    assert vectors.shape == (3, 85)
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_wrong_options(model, tmp_path):
    for options, message in [
        ({"channels": "hsv"}, "channels must be 'rgb' or 'bgr', got 'hsv'"),
        ({"resize": "pad"}, "resize must be 'stretch' or 'crop', got 'pad'"),
        ({"layout": "CHWN"}, "layout must be 'NCHW' or 'NHWC', got 'CHWN'"),
        ({"mean": (1, 2)}, "mean must be one or three finite numbers"),
        ({"scale": 0}, "scale must not be 0"),
        ({"batch_size": 0}, "must be 1 or more, got 0 and 1"),
        ({"size": (0, 3)}, r"size must be \(height, width\) in pixels"),
    ]:
        with pytest.raises(ValueError, match=message):
            OnnxEmbedder(model, **options)
    with pytest.raises(InputError, match=r"cannot read the model .*no\.onnx: No such file"):
        OnnxEmbedder(tmp_path / "no.onnx")
    for name, data in [
        ("text.onnx", b"not a model"),
        ("empty.onnx", b""),
        ("half.onnx", model.read_bytes()[:999]),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="is no ONNX model that onnxruntime runs"):
            OnnxEmbedder(tmp_path / name)


def test_a_missing_runtime_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"python -m pip install 'evfr\[onnx\]'"):
        OnnxEmbedder(tmp_path / "any.onnx")

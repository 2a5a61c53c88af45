"""By name: every kind is found, every option reaches it, what does not fit together is refused."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from evfr.embeddings import (
    EMBEDDERS,
    ModelEmbedder,
    OnnxEmbedder,
    TorchEmbedder,
    make_embedder,
    preprocess_of,
)
from evfr.embeddings._torch import LoadedModel, resolve_device, resolve_precision
from evfr.errors import InputError, MissingExtraError, WorkerError


@pytest.fixture
def onnx(data_dir):
    return data_dir / "weights" / "mobilenetv2_imagenet.onnx"


def test_photos_get_their_names_by_options_alone(onnx, data_dir):
    """As a command line gives them: numbers, lists and words."""
    embedder = make_embedder(
        onnx, options={"output": "probs", "mean": 128, "scale": [128, 128, 128]}, batch_size=2
    )
    with zipfile.ZipFile(data_dir / "weights" / "labels_photos.zip") as archive:
        names = archive.read("imagenet1001.txt").decode().split("\n")
        photos = [
            np.asarray(Image.open(io.BytesIO(archive.read(f"photos/{name}.jpg"))).convert("RGB"))
            for name in ("cat", "pets", "owl")
        ]
    cat, pets, owl = (names[row.argmax()] for row in embedder(photos))
    assert "cat" in cat
    assert pets in ("Italian greyhound", "Boston bull, Boston terrier")
    assert (
        owl in ("kite", "great grey owl, great gray owl, Strix nebulosa")
        or "partridge" in owl
        or "grouse" in owl
    )


def test_onnx_keeps_the_contract_of_models(onnx, noise):
    embedder = make_embedder(onnx, options={"mean": 128, "scale": 128}, device="cpu", batch_size=2)
    assert isinstance(embedder, ModelEmbedder)
    assert (embedder.dimension, embedder.device, embedder.batch_size) == (1280, "cpu", 2)
    embedder.load()
    assert preprocess_of(onnx, options={"mean": 128, "scale": 128}) == embedder.preprocess
    prepared = np.stack([embedder.preprocess(frame) for frame in noise])
    np.testing.assert_array_equal(embedder.embed_prepared(prepared), embedder(noise))
    assert embedder.embed_prepared(prepared[:0]).shape == (0, 1280)
    with pytest.raises(
        ValueError, match=r"prepared pictures must be \(B, 224, 224, 3\), got \(5, 48, 80, 3\)"
    ):
        embedder.embed_prepared(noise)
    with pytest.raises(TypeError, match="prepared pictures must be uint8, got float32"):
        embedder.embed_prepared(prepared.astype(np.float32))


def test_onnx_of_unknown_width(data_dir):
    detector = OnnxEmbedder(data_dir / "weights" / "fastestdet_coco80.onnx", mean=0, scale=255)
    assert detector.dimension == 85
    assert detector([]).shape == (0, 85)


def test_onnx_on_a_gpu_that_is_not_here(onnx, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert make_embedder(onnx, device="auto").device == "cpu"
    with pytest.raises(
        InputError, match="device 'cuda' asked for, but this onnxruntime runs on the CPU only"
    ):
        make_embedder(onnx, device="cuda")
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu', 'cuda' or 'cuda:0', got 'tpu'"):
        make_embedder(onnx, device="tpu")
    with pytest.raises(ValueError, match="an ONNX file runs as it was exported; precision 'bf16'"):
        make_embedder(onnx, precision="bf16")
    with pytest.raises(
        ValueError, match="an ONNX file has no option 'pooling'; it takes output, layout, size"
    ):
        make_embedder(onnx, options={"pooling": "mean"})


def test_light_embedders_take_their_own_options():
    assert make_embedder("hsv", options={"bins": [8, 2, 2]}).parameters["bins"] == [8, 2, 2]
    assert make_embedder("thumbnail") is EMBEDDERS["thumbnail"]
    with pytest.raises(ValueError, match="hsv has no option 'size'; it takes bins"):
        make_embedder("hsv", options={"size": 3})
    with pytest.raises(ValueError, match="hog has no option 'size'; it takes none"):
        make_embedder("hog", options={"size": 3})
    with pytest.raises(ValueError, match="hsv runs on the CPU, got device='cuda'"):
        make_embedder("hsv", device="cuda")
    with pytest.raises(ValueError, match="hsv runs in fp32, got precision='bf16'"):
        make_embedder("hsv", precision="bf16")
    with pytest.raises(ValueError, match="weights are for resnet50 and timm:NAME; hsv takes none"):
        make_embedder("hsv", weights="w.pth")
    with pytest.raises(ValueError, match="hsv takes frames as they are; only models prepare them"):
        preprocess_of("hsv")


def test_options_as_words_of_a_command_line(onnx):
    assert make_embedder("hsv", options={"bins": "8,2,2"}).parameters["bins"] == [8, 2, 2]
    words = make_embedder(
        onnx, options={"mean": "128,127.5,0", "size": "224, 224", "output": "probs"}
    ).parameters
    assert (words["mean"], words["size"], words["output"]) == ([128.0, 127.5, 0.0], [224, 224], "probs")
    with pytest.raises(ValueError, match="could not convert string to float: '1,x,3'"):
        make_embedder(onnx, options={"mean": "1,x,3"})


def test_names_that_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"the model models/weights\.pth is no folder; a model is a folder"):
        make_embedder("models/weights.pth")
    with pytest.raises(InputError, match=r"the model \./models/none does not exist"):
        make_embedder("./models/none")
    with pytest.raises(InputError, match="the model /no/where does not exist"):
        make_embedder("/no/where")
    with pytest.raises(InputError, match=r"models is no model folder: config\.json"):
        make_embedder("models")
    with pytest.raises(ValueError, match=r"embedding must be one of thumbnail, .* got 'resnet18'"):
        make_embedder("resnet18")


class FakeCuda:
    """A machine with GPUs, as far as torch is asked."""

    def __init__(self, count, has_bf16=True):
        self.count, self.has_bf16 = count, has_bf16

    def is_available(self):
        return self.count > 0

    def device_count(self):
        return self.count

    def is_bf16_supported(self, including_emulation):
        assert not including_emulation
        return self.has_bf16


def test_devices(monkeypatch):
    import torch

    monkeypatch.setattr(torch, "cuda", FakeCuda(0))
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    with pytest.raises(
        InputError, match=r"device 'cuda' asked for, but torch sees no GPU here; pass device='cpu'"
    ):
        resolve_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(InputError, match="device 'cuda:0' asked for, but this torch is built without CUDA"):
        resolve_device("cuda:0")
    monkeypatch.setattr(torch, "cuda", FakeCuda(2))
    assert (resolve_device("auto"), resolve_device("cuda"), resolve_device("cuda:1")) == (
        "cuda:0",
        "cuda:0",
        "cuda:1",
    )
    with pytest.raises(InputError, match=r"device 'cuda:2' asked for, but torch sees 2 GPU\(s\) here"):
        resolve_device("cuda:2")
    for wrong in ("gpu", "cuda:", "cuda:x", "mps", "cpu:0", ""):
        with pytest.raises(ValueError, match="device must be 'auto', 'cpu', 'cuda' or 'cuda:0', got"):
            resolve_device(wrong)


def test_precisions(monkeypatch):
    import torch

    assert (resolve_precision("auto", "cpu"), resolve_precision("bf16", "cpu")) == ("fp32", "bf16")
    with pytest.raises(ValueError, match="precision 'fp16' needs a GPU; on the CPU use 'fp32' or 'bf16'"):
        resolve_precision("fp16", "cpu")
    with pytest.raises(ValueError, match="precision must be one of auto, fp32, bf16, fp16, got 'int8'"):
        resolve_precision("int8", "cpu")
    for has_bf16, expected in [(True, "bf16"), (False, "fp16")]:
        monkeypatch.setattr(torch, "cuda", FakeCuda(1, has_bf16))
        assert resolve_precision("auto", "cuda:0") == expected
    assert [resolve_precision(p, "cuda:0") for p in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]


class Fixed:
    """A source whose model returns what the test says."""

    def __init__(self, preprocess, answer):
        self.preprocess, self.answer = preprocess, answer
        self.parameters = {"name": "fixed", "model": "fixed"}
        self.cache_key = id(self)

    def load(self):
        import torch

        return LoadedModel(torch.nn.Identity(), self.answer)


def test_wrong_batches_and_models(checkpoint, noise):
    import torch

    from evfr.embeddings import Preprocess

    embedder = make_embedder(checkpoint("dinov2"), device="cpu")
    with pytest.raises(ValueError, match=r"prepared pictures must be \(B, h, w, 3\), got \(48, 80, 3\)"):
        embedder.embed_prepared(noise[0])
    with pytest.raises(TypeError, match="prepared pictures must be uint8, got float32"):
        embedder.embed_prepared(noise.astype(np.float32))
    with pytest.raises(TypeError, match="frame 0 is float32"):
        embedder(noise.astype(np.float32))
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        make_embedder(checkpoint("dinov2"), device="cpu", batch_size=0)
    tokens = TorchEmbedder(Fixed(Preprocess("none", None), lambda x: x[:, 0]), device="cpu")
    with pytest.raises(ValueError, match=r"gives \(5, 48, 80\), it must be \(B, D\)"):
        tokens(noise)

    def too_large(pixels):
        raise torch.OutOfMemoryError("CUDA out of memory")

    full = TorchEmbedder(Fixed(Preprocess("none", None), too_large), device="cpu", batch_size=3)
    with pytest.raises(WorkerError, match="a batch of 3 does not fit into the memory of cpu; pass a smaller"):
        full(noise)


def test_pictures_of_many_sizes_keep_their_order(noise):
    """A preparation that keeps proportions gives pictures that no batch can hold together."""
    from evfr.embeddings import Preprocess

    source = Fixed(
        Preprocess("none", None, rescale=1.0, mean=(0, 0, 0), std=(1, 1, 1)), lambda x: x[:, :, 0, 0]
    )
    embedder = TorchEmbedder(source, device="cpu", batch_size=2)
    frames = [noise[0], noise[1], noise[2], noise[3][:20], noise[4][:, :30], noise[0][:, :30]]
    np.testing.assert_array_equal(embedder(frames), [frame[0, 0] for frame in frames])
    read_only = noise.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(embedder.embed_prepared(read_only), noise[:, 0, 0])
    np.testing.assert_array_equal(embedder.embed_prepared(noise[:, ::-1]), noise[:, -1, 0])


def test_models_are_forgotten_in_turn():
    from evfr.embeddings import _weights

    loads = []

    def get(key):
        return _weights.once(("test", key), lambda: loads.append(key) or key)

    for key in "abab":
        assert get(key) == key
    assert loads == ["a", "b"]
    get("c")
    get("b")
    get("a")
    assert loads == ["a", "b", "c", "a"]
    assert len(_weights._loaded) == 2


def test_missing_torch(monkeypatch, checkpoint):
    folder = checkpoint("dinov2")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"'evfr\[torch\]'"):
        make_embedder(folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"'evfr\[torch\]'"):
        make_embedder("owner/model")


def test_light_embedders_and_preparation_load_no_torch(checkpoint):
    script = (
        "import sys, numpy as np\n"
        "from evfr.embeddings import make_embedder, preprocess_of\n"
        "make_embedder('hsv')(np.zeros((1, 9, 9, 3), np.uint8))\n"
        f"preprocess_of({str(checkpoint('dinov2'))!r})(np.zeros((60, 60, 3), np.uint8))\n"
        "preprocess_of('resnet50')\n"
        "print([m for m in ('torch', 'transformers', 'torchvision', 'timm', 'onnxruntime') if m in sys.modules])"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout == "[]\n"


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["dinov2", "convnext", "clip"])
def test_gpu_equals_cpu(kind, checkpoint, noise):
    folder = checkpoint(kind)
    exact = make_embedder(folder, device="cpu")(noise)
    np.testing.assert_allclose(
        make_embedder(folder, device="cuda", precision="fp32")(noise), exact, atol=1e-4
    )
    for precision in ("bf16", "fp16"):
        near = make_embedder(folder, device="cuda", precision=precision)(noise)
        assert near.dtype == np.float32
        assert np.abs(near - exact).max() < 0.05 * np.abs(exact).max()

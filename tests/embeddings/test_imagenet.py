"""ResNet-50 and timm models: the same vectors as torchvision and timm give, from weights in a file only."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from evfr._core.tensor_files import read_state_dict, tensor_names
from evfr.embeddings import ModelEmbedder, Preprocess, TextEmbedder, make_embedder, preprocess_of
from evfr.embeddings._imagenet import resnet50_preprocess
from evfr.embeddings._weights import load_into
from evfr.errors import InputError, MissingExtraError
from helpers.tensors import save_tensors


@pytest.fixture(scope="module")
def resnet50(one_thread):
    """Return torchvision's ResNet-50 with random weights and statistics."""
    import torch
    from torchvision.models import resnet50

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet50(weights=None).eval()
        for name, values in network.named_buffers():
            if name.endswith("running_mean"):
                values.normal_(0, 0.1)
    return network


@pytest.fixture(scope="module")
def resnet50_file(resnet50, tmp_path_factory):

    path = tmp_path_factory.mktemp("weights") / "resnet50.safetensors"
    save_tensors(resnet50.state_dict(), path)
    return path


def timm_model(name, path):
    import timm
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=False).eval()
    save_tensors(network.state_dict(), path)
    return network


def test_resnet50_is_the_last_average_pooling(resnet50, resnet50_file, noise):
    import torch

    embedder = make_embedder("resnet50", weights=resnet50_file, device="cpu")
    assert isinstance(embedder, ModelEmbedder) and not isinstance(embedder, TextEmbedder)
    pooled = []
    hook = resnet50.avgpool.register_forward_hook(lambda module, inputs, output: pooled.append(output))
    pictures = embedder.preprocess.normalised(np.stack([embedder.preprocess(frame) for frame in noise]))
    with torch.no_grad():
        resnet50(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))
    hook.remove()
    vectors = embedder(noise)
    assert (vectors.shape, vectors.dtype, embedder.dimension) == ((5, 2048), np.float32, 2048)
    np.testing.assert_allclose(vectors, pooled[0].flatten(1).numpy(), atol=1e-4)
    assert preprocess_of("resnet50", weights=resnet50_file) == embedder.preprocess
    known = embedder.parameters
    assert (known["name"], known["model"], known["precision"]) == ("torchvision", "resnet50", "fp32")
    copy = pickle.loads(pickle.dumps(embedder))
    assert copy.parameters == known == json.loads(json.dumps(known))
    np.testing.assert_array_equal(copy(noise[:2]), embedder(noise[:2]))
    other = make_embedder("resnet50", weights=resnet50_file, device="cpu", options={"recipe": "v2"})
    assert other.preprocess.size == 232 and other.parameters != known


@pytest.mark.slow
def test_resnet50_by_onnxruntime(resnet50_file, noise):
    by_torch = make_embedder("resnet50", weights=resnet50_file, device="cpu")
    by_onnx = make_embedder(
        "resnet50", weights=resnet50_file, device="cpu", options={"runtime": "onnxruntime"}
    )
    np.testing.assert_allclose(by_onnx(noise[:2]), by_torch(noise[:2]), atol=1e-4)
    assert by_onnx.parameters == {**by_torch.parameters, "runtime": "onnxruntime"}
    copy = pickle.loads(pickle.dumps(by_onnx))
    np.testing.assert_array_equal(copy(noise[:1]), by_onnx(noise[:1]))
    with pytest.raises(ValueError, match="runtime 'onnxruntime' is for the CPU in fp32, got cpu in bf16"):
        make_embedder(
            "resnet50",
            weights=resnet50_file,
            device="cpu",
            precision="bf16",
            options={"runtime": "onnxruntime"},
        )
    with pytest.raises(ValueError, match="runtime must be torch or onnxruntime, got 'tvm'"):
        make_embedder("resnet50", weights=resnet50_file, options={"runtime": "tvm"})


def test_resnet50_recipes():
    assert resnet50_preprocess(None).size == 256
    assert preprocess_of("resnet50", options={"recipe": "v2"}).size == 232
    with pytest.raises(ValueError, match="recipe must be one of v1, v2, got 'v3'"):
        preprocess_of("resnet50", options={"recipe": "v3"})


def test_the_name_of_the_second_weights_tells_the_recipe(tmp_path):
    assert preprocess_of("resnet50", weights=tmp_path / "weights.safetensors").size == 256
    assert preprocess_of("resnet50", weights=tmp_path / "resnet50-0676ba61.safetensors").size == 256
    assert preprocess_of("resnet50", weights=tmp_path / "resnet50-11ad3fa6.safetensors").size == 232


def test_resnet50_without_weights():
    where = r"resnet50 needs its weights as a file \(--weights FILE\): .*download\.pytorch\.org.*resnet50-0676ba61"
    with pytest.raises(ValueError, match=where):
        make_embedder("resnet50")
    with pytest.raises(InputError, match=r"cannot read the weights none\.safetensors: No such file"):
        make_embedder("resnet50", weights="none.safetensors")
    with pytest.raises(ValueError, match="resnet50 has no option 'pooling'; it takes recipe, runtime"):
        make_embedder("resnet50", weights="none.safetensors", options={"pooling": "mean"})


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_timm_without_its_classifier(name, noise, tmp_path):
    import torch

    path = tmp_path / "model.safetensors"
    network = timm_model(name, path)
    embedder = make_embedder(f"timm:{name}", weights=path, device="cpu")
    pictures = embedder.preprocess.normalised(np.stack([embedder.preprocess(frame) for frame in noise]))
    with torch.no_grad():
        inputs = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
        expected = network.forward_head(network.forward_features(inputs), pre_logits=True)
    vectors = embedder(noise)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-4)
    assert embedder.dimension == network.num_features == vectors.shape[1]
    assert preprocess_of(f"timm:{name}") == embedder.preprocess
    assert (embedder.parameters["name"], embedder.parameters["model"]) == ("timm", name)
    single = make_embedder(f"timm:{name}", weights=path, device="cpu", batch_size=1)
    np.testing.assert_allclose(single(noise), vectors, atol=1e-5)


def test_timm_names(tmp_path):
    with pytest.raises(ValueError, match=r"timm has no model 'resnet51'; timm\.list_models"):
        make_embedder("timm:resnet51")
    with pytest.raises(ValueError, match=r"timm has no weights 'resnet50\.of_mine'; timm\.list_pretrained"):
        make_embedder("timm:resnet50.of_mine")
    with pytest.raises(
        ValueError, match=r"timm:resnet18 needs its weights as a file .*huggingface\.co/timm/resnet18"
    ):
        make_embedder("timm:resnet18")
    with pytest.raises(ValueError, match="timm:test_vit has no option 'recipe'; it takes none"):
        make_embedder("timm:test_vit", options={"recipe": "v1"})
    swin = preprocess_of("timm:swin_tiny_patch4_window7_224")
    assert (swin.fit, swin.size, swin.crop, swin.interpolation) == ("shortest", 248, (224, 224), "bicubic")


def test_weights_of_another_model(tmp_path):
    path = tmp_path / "model.safetensors"
    timm_model("test_vit", path)
    embedder = make_embedder("timm:test_resnet", weights=path, device="cpu")
    with pytest.raises(InputError, match=r"is not for this model: it lacks .* and \d+ more"):
        embedder.load()
    with pytest.raises(InputError, match=r"is not for this model: it lacks"):
        make_embedder("resnet50", weights=path, device="cpu").dimension  # noqa: B018


def test_every_tensor_must_fit(tmp_path):
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 3))
    state = {name: torch.full_like(value, 7) for name, value in module.state_dict().items()}
    load_into(module, {**state, "head.weight": torch.zeros(9)}, tmp_path, head=("head",))
    assert all((value == 7).all() for value in module.state_dict().values())
    with pytest.raises(InputError, match=r"it lacks 0\.weight"):
        load_into(module, {k: v for k, v in state.items() if k != "0.weight"}, tmp_path, head=())
    with pytest.raises(InputError, match=r"it has unknown head\.weight"):
        load_into(module, {**state, "head.weight": torch.zeros(9)}, tmp_path, head=())
    with pytest.raises(InputError, match=r"it has misshapen 1\.bias"):
        load_into(module, {**state, "1.bias": torch.zeros(1)}, tmp_path, head=())


class Malicious:
    """What a pickle can do when it is read."""

    def __reduce__(self):
        return sys.exit, ("a pickle ran code",)


@pytest.mark.slow
def test_pickles_are_not_opened_and_the_line_that_converts_one_works(tmp_path):
    """The line is run here as a person would; what it writes is what evfr reads."""
    import torch

    torch.save({"a": Malicious()}, tmp_path / "code.pth")
    torch.save({"state_dict": {"a": torch.arange(3.0)}, "epoch": 3}, tmp_path / "sound.pth")
    for name in ("code", "sound"):
        with pytest.raises(InputError, match=rf"{name}\.pth is a pickle, which can run code") as caught:
            read_state_dict(tmp_path / f"{name}.pth", extra="torch")
        line = str(caught.value).partition("file: ")[2].replace("python", sys.executable, 1)
        done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is (name == "sound"), done.stderr
    assert read_state_dict(tmp_path / "sound.safetensors", extra="torch")["a"].tolist() == [0, 1, 2]
    assert not (tmp_path / "code.safetensors").exists()


@pytest.mark.parametrize("data", [b"", b"short", b"PK\x03\x04 no zip at all", b"\x80\x02}q\x00"])
def test_damaged_weights(data, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is no safetensors file"):
        read_state_dict(path, extra="torch")


def test_cut_safetensors(tmp_path):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    assert tensor_names(path) == {"a"}
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="is no whole safetensors file"):
        read_state_dict(path, extra="torch")
    path.write_bytes((2).to_bytes(8, "little") + b"[]")
    with pytest.raises(InputError, match="is no safetensors file"):
        tensor_names(path)
    with pytest.raises(InputError, match=r"cannot read the weights .*none\.safetensors"):
        tensor_names(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"weights must be a \.safetensors file, got w\.npz"):
        read_state_dict(tmp_path.relative_to(tmp_path) / "w.npz", extra="torch")


def test_missing_extras(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"'evfr\[train\]'"):
        make_embedder("timm:test_vit")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"'evfr\[train\]'"):
        make_embedder("resnet50", weights=tmp_path / "w.safetensors")
    assert preprocess_of("resnet50") == Preprocess("shortest", 256, crop=(224, 224), crop_rounding="even")

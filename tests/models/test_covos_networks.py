"""Networks of CoVOS: shapes, counts, gradients, names; files that fit and files that do not; an ONNX segmenter."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from evfr._core.lazy import require
from evfr.errors import InputError
from evfr.models import CovosNetwork, OnnxSegmenter, covos_decoder, covos_network, low_level_features
from evfr.propagation._covos_math import soft_aggregate
from helpers.tensors import save_state

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

DECODER_SHAPES = {
    "current.weight": (64, 256, 1, 1),
    "warped.weight": (64, 256, 1, 1),
    "reduce1.weight": (128, 289, 3, 3),
    "reduce2.weight": (64, 128, 3, 3),
    **{f"block{b}.conv{c}.weight": (64, 64, 3, 3) for b in (1, 2, 3) for c in (1, 2)},
    **{f"block{b}.conv{c}.bias": (64,) for b in (1, 2, 3) for c in (1, 2)},
    "last.weight": (11, 64, 1, 1),
    "last.bias": (11,),
}


@pytest.fixture(scope="module")
def decoder():
    return covos_decoder(seed=1)


def inputs(height=6, width=7, objects=2, seed=0, batch=1):
    """Return V, V^, P^ and P- as the decoder takes them."""
    rng = np.random.default_rng(seed)
    planes = rng.random((batch, objects, height, width), dtype=np.float32)
    probabilities = np.zeros((batch, 11, height, width), np.float32)
    probabilities[:, 1 : objects + 1] = planes
    probabilities[:, 0] = np.prod(1 - planes, axis=1)
    features = rng.random((2, batch, 256, height, width), dtype=np.float32)
    return [torch.from_numpy(a) for a in (features[0], features[1], probabilities, probabilities.copy())]


def test_names_shapes_and_count(decoder):
    assert {name: tuple(t.shape) for name, t in decoder.state_dict().items()} == DECODER_SHAPES
    assert (
        sum(p.numel() for p in decoder.parameters()) == 661_707 == sum(map(np.prod, DECODER_SHAPES.values()))
    )
    features = low_level_features()
    assert sum(p.numel() for p in features.parameters()) == 225_344
    assert not any(p.requires_grad for p in features.parameters())
    assert not features.train().training


@pytest.mark.parametrize("size", [(24, 28), (21, 25)])
def test_output_shape_and_sums(decoder, size):
    out = decoder(*inputs(), size)
    assert out.shape == (1, 11, *size)
    assert ((out > 0) & (out < 1)).all()


def test_every_weight_gets_a_gradient(decoder):
    out = decoder(*inputs(objects=10), (24, 28))
    (-torch.log(out[:, 3]).mean()).backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        assert torch.isfinite(parameter.grad).all(), name
    decoder.zero_grad()


def test_parts_against_plain_formulas(decoder):
    """The whole decoder again, written with numpy where that is short and torch's own functions elsewhere."""
    current, warped, probabilities, corrected = inputs()
    with torch.no_grad():
        w1, w2 = (decoder.state_dict()[n][:, :, 0, 0].numpy() for n in ("current.weight", "warped.weight"))
        v, u = (t[0].numpy().reshape(256, -1) for t in (current, warped))
        trust = 1 / (1 + np.exp(-((w1 @ v) * (w2 @ u)).sum(axis=0))).reshape(6, 7)
        assert np.allclose(decoder.confidence(current, warped)[0, 0].numpy(), trust, atol=1e-5)
        psi = soft_aggregate(probabilities[0, 1:].permute(1, 2, 0).numpy()).transpose(2, 0, 1)
        stack = np.concatenate(
            [psi, trust * probabilities[0].numpy(), current[0].numpy(), corrected[0].numpy()]
        )
        assert stack.shape == (289, 6, 7)
        x = torch.from_numpy(stack[None].astype(np.float32))
        f, state = torch.nn.functional, decoder.state_dict()
        x = f.conv2d(f.conv2d(x, state["reduce1.weight"], padding=1), state["reduce2.weight"], padding=1)
        for b in (1, 2, 3):
            y = f.conv2d(f.relu(x), state[f"block{b}.conv1.weight"], state[f"block{b}.conv1.bias"], padding=1)
            x = x + f.conv2d(
                f.relu(y), state[f"block{b}.conv2.weight"], state[f"block{b}.conv2.bias"], padding=1
            )
        x = f.conv2d(x, state["last.weight"], state["last.bias"])
        wanted = torch.sigmoid(f.interpolate(x, (24, 28), mode="bilinear", align_corners=False)).numpy()
        got = decoder(current, warped, probabilities, corrected, (24, 28)).numpy()
        own = require("evfr.models._covos_modules", extra="train").soft_aggregate(probabilities[:, 1:])
        assert np.allclose(own[0].numpy(), psi, atol=1e-5)
    assert np.allclose(got, wanted, atol=1e-4)


def test_seeds():
    first, again, other = (covos_decoder(seed=s).state_dict()["last.weight"] for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_file_loads_by_name_and_its_form_is_followed(tmp_path, decoder):
    state = dict(decoder.state_dict())
    state["last.weight"] = torch.rand(11, 64, 3, 3)
    state["current.bias"], state["warped.bias"] = torch.rand(64), torch.rand(64)
    for name in [n for n in state if n.startswith("block") and n.endswith("bias")]:
        del state[name]
    path = tmp_path / "decoder.safetensors"
    safetensors.save_file(state, path)
    loaded = covos_decoder(path)
    assert loaded.last.kernel_size == (3, 3)
    assert all(torch.equal(loaded.state_dict()[name], state[name]) for name in state)
    assert loaded(*inputs(), (24, 28)).shape == (1, 11, 24, 28)


def test_other_names_are_mapped_openly(tmp_path, decoder):
    path = tmp_path / "theirs.safetensors"
    theirs = {
        name.replace("current", "head.w1").replace("block1", "body.0"): t
        for name, t in decoder.state_dict().items()
    }
    safetensors.save_file(theirs, path)
    loaded = covos_decoder(path, names={"head.w1": "current", "body.0": "block1."})
    assert torch.equal(loaded.block1.conv2.weight, decoder.block1.conv2.weight)
    with pytest.raises(InputError, match=r"has no tensor 'tail' to rename; it has block2\.conv1\.bias"):
        covos_decoder(path, names={"tail": "last"})
    with pytest.raises(InputError, match=r"two tensors would be called warped\.weight"):
        covos_decoder(path, names={"head.w1": "warped"})
    with pytest.raises(ValueError, match="give weights too"):
        covos_decoder(names={"a": "b"})


def test_what_does_not_fit_is_listed(tmp_path, decoder):
    state = dict(decoder.state_dict())
    state["lost.weight"] = state.pop("reduce2.weight")
    state["reduce1.weight"] = torch.zeros(128, 288, 3, 3)
    path = tmp_path / "decoder.safetensors"
    safetensors.save_file(state, path)
    with pytest.raises(InputError) as caught:
        covos_decoder(path)
    text = str(caught.value)
    assert "it lacks reduce2.weight 64x128x3x3" in text
    assert "it has the unknown lost.weight 64x128x3x3" in text
    assert "it has reduce1.weight 128x288x3x3 where reduce1.weight 128x289x3x3 belongs" in text
    assert "names={theirs: ours}" in text


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(InputError, match="cannot read the weights"):
        covos_decoder(tmp_path / "none.safetensors")
    for name, data, message in [
        ("a.safetensors", b"nonsense", "is no safetensors file"),
        ("b.pth", pickle.dumps(print), r"b\.pth is a pickle, .* torch\.load\(.* b\.pth b\.safetensors"),
        ("a.txt", b"", "must be a .safetensors file"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=message):
            covos_decoder(tmp_path / name)
    save_state({"loss": [1, 2]}, tmp_path / "list.safetensors")
    with pytest.raises(InputError, match="holds no state_dict"):
        covos_decoder(tmp_path / "list.safetensors")


def test_resnet_weights_load_without_later_stages(tmp_path):
    source = low_level_features(seed=5)
    state = dict(source.state_dict()) | {"layer2.0.conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(2)}
    path = tmp_path / "resnet.safetensors"
    safetensors.save_file(state, path)
    loaded = low_level_features(path)
    assert torch.equal(loaded.conv1.weight, source.conv1.weight)
    safetensors.save_file({**state, "layer9.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=r"unknown layer9\.weight 3"):
        low_level_features(path)


def test_features_are_those_of_torchvision():
    torchvision = pytest.importorskip("torchvision")
    module = low_level_features(seed=2)
    whole = torchvision.models.resnet50(weights=None).eval()
    whole.load_state_dict(module.state_dict(), strict=False)
    image = torch.rand(1, 3, 33, 41)
    normal = (image - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(1, 3, 1, 1)
    with torch.no_grad():
        wanted = whole.layer1(whole.maxpool(whole.relu(whole.bn1(whole.conv1(normal)))))
        assert torch.allclose(module(image), wanted)


def test_network_on_arrays():
    network = covos_network(seed=1)
    image = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    features = network.features(image)
    assert features.shape == (8, 11, 256)
    assert features.dtype == np.float32
    probabilities = np.zeros((8, 11, 11), np.float32)
    probabilities[..., 0] = 1
    out = network.decode(features, features, probabilities, probabilities, (30, 41))
    assert out.shape == (30, 41, 11)
    assert ((out >= 0) & (out <= 1)).all()
    assert isinstance(network, CovosNetwork)


# --- the ONNX segmenter


def test_deeplab_finds_what_the_mask_shows(data_dir):
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(data_dir / "seq" / "davis_car-shadow.zip") as archive:
        frame = np.asarray(Image.open(io.BytesIO(archive.read("images/00000.jpg"))))
        mask = np.asarray(Image.open(io.BytesIO(archive.read("masks/00000.png")))) > 127
    segment = OnnxSegmenter(data_dir / "weights" / "deeplabv3_dm05_voc21.onnx", classes=[7, 15])
    planes = segment(frame)
    assert planes.shape == (2, *mask.shape)
    assert set(np.unique(planes)) <= {0.0, 1.0}
    car = planes[0] > 0
    assert (car & mask).sum() / (car | mask).sum() > 0.5


def test_a_model_of_scores_and_models_of_other_forms(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def save(name, nodes, shape, outputs):
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info(o, kind, None) for o in outputs],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    identity = helper.make_node("Identity", ["x"], ["y"])
    path = save("scores.onnx", [identity], [1, 3, 4, 4], ["y"])
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2, :, 1] = 200
    picture[2:, :, 2] = 200
    planes = OnnxSegmenter(path, classes=[2, 1])(picture)
    assert planes[:, :, 0].tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]
    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)
    with pytest.raises(InputError, match=r"output must be \(1, h, w\) or \(1, C, h, w\), got \(1, 4\)"):
        OnnxSegmenter(save("mean.onnx", [mean], [1, 3, 4, 4], ["y"]), classes=[0])(picture)
    with pytest.raises(InputError, match=r"one \(1, 3, h, w\) of fixed size, got \[1, 3, 'h', 4\]"):
        OnnxSegmenter(save("free.onnx", [identity], [1, 3, "h", 4], ["y"]), classes=[0])
    two = [identity, helper.make_node("Identity", ["x"], ["z"])]
    with pytest.raises(InputError, match="there must be one output"):
        OnnxSegmenter(save("two.onnx", two, [1, 3, 4, 4], ["y", "z"]), classes=[0])
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is no ONNX model that can run"):
        OnnxSegmenter(tmp_path / "bad.onnx", classes=[0])
    with pytest.raises(InputError, match="there is no model at"):
        OnnxSegmenter(tmp_path / "none.onnx", classes=[0])
    with pytest.raises(ValueError, match=r"classes must name labels of 0 or more, got \[\]"):
        OnnxSegmenter(path, classes=[])
    with pytest.raises(ValueError, match="scale must not be 0"):
        OnnxSegmenter(path, classes=[0], scale=0.0)

"""The VGG-16 family: torchvision's layers as oracle, levels, sizes, and files that fit or do not."""

from __future__ import annotations

import pytest

from evfr.errors import InputError
from evfr.models import SEGMENTERS, vgg_segmenter, vgg_taps
from helpers.drawn_pixels import torchvision_features, write_vgg
from helpers.tensors import save_tensors

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def normalised(pictures):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    return (pictures - mean) / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_layers_are_called_and_shaped_as_torchvision_calls_its_own(batch_norm):
    from torchvision.models.vgg import cfgs, make_layers

    with torch.device("meta"):
        theirs = make_layers(cfgs["D"], batch_norm).state_dict()
        own = vgg_taps(batch_norm=batch_norm).features.state_dict()
    assert {name: tensor.shape for name, tensor in own.items()} == {
        name: tensor.shape for name, tensor in theirs.items()
    }


@pytest.mark.parametrize("batch_norm", [False, True])
def test_taps_are_the_outputs_of_torchvisions_layers(tmp_path, batch_norm):
    """Oracle: torchvision's ``make_layers`` of configuration D, cut after the layers that C19 names."""
    theirs = torchvision_features(8, batch_norm)
    taps = vgg_taps(write_vgg(tmp_path / "vgg16.safetensors", theirs))
    pictures = torch.rand(2, 3, 64, 96)
    # After the ReLU of conv1_2, conv2_2, conv3_3, conv4_3, and after the fifth pooling.
    cuts = (6, 13, 23, 33, 44) if batch_norm else (4, 9, 16, 23, 31)
    found = taps(pictures)
    for tap, cut, stride, channels in zip(found, cuts, taps.strides, (8, 16, 32, 64, 64), strict=True):
        wanted = theirs[:cut](normalised(pictures)).detach()
        assert tap.shape == (2, channels, 64 // stride, 96 // stride)
        assert float((tap - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
    assert taps.channels == sum((8, 16, 32, 64, 64))
    assert not any(parameter.requires_grad for parameter in taps.parameters())
    assert not taps.train().training


@pytest.mark.parametrize("kind", SEGMENTERS)
def test_the_encoder_of_a_file_is_used_and_decides_the_form(tmp_path, kind):
    theirs = torchvision_features(4, False, seed=kind == "unet")
    network = vgg_segmenter(kind, 3, encoder_weights=write_vgg(tmp_path / "vgg16.safetensors", theirs))
    assert (network.width, network.batch_norm) == (4, False)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(network.features.state_dict()[name], tensor)
    assert not any("running" in name for name in network.state_dict())
    normed = write_vgg(tmp_path / "vgg16_bn.safetensors", torchvision_features(4, True))
    network = vgg_segmenter(kind, 3, encoder_weights=normed, batch_norm=False)
    assert network.batch_norm
    assert any(name.startswith(("decoder", "bottom")) and "running" in name for name in network.state_dict())


def resolutions(network, side=64):
    """Return the heights that convolutions work at, and the channels that enter the decoder's blocks."""
    heights = set()
    hooks = [
        module.register_forward_hook(lambda module, given, out: heights.add(out.shape[2]))
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    network.eval()(torch.rand(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return heights


def test_the_deep_unet_has_one_level_more():
    assert resolutions(vgg_segmenter("unet", 2, width=2)) == {64, 32, 16, 8, 4}
    deep = vgg_segmenter("deep-unet", 2, width=2)
    assert resolutions(deep) == {64, 32, 16, 8, 4, 2}
    assert len(deep.decoder) == len(vgg_segmenter("unet", 2, width=2).decoder) + 1
    assert [vgg_segmenter(kind, 2, width=2).stride for kind in SEGMENTERS] == [16, 32, 32]
    assert resolutions(vgg_segmenter("vgg", 2, width=2)) == {64, 32, 16, 8, 4, 2}


def test_skips_carry_what_poolings_lose():
    """Move one pixel within a cell of every pooling: U-Nets see where it is, and VGG without skips cannot."""
    pictures = torch.zeros(2, 3, 32, 32)
    pictures[0, :, 16, 16] = pictures[1, :, 17, 17] = 1.0
    for kind in SEGMENTERS:
        network = vgg_segmenter(kind, 2, width=4, batch_norm=False).eval()
        # An identity in the first block, so that its largest output in a cell is the pixel wherever it is.
        for place in (0, 2):
            layer = network.features[place]
            torch.nn.init.dirac_(layer.weight)
        with torch.inference_mode():
            scores = network(pictures)
        is_same = bool(torch.allclose(scores[0], scores[1], atol=1e-6))
        assert is_same is (kind == "vgg")


@pytest.mark.parametrize("kind", SEGMENTERS)
@pytest.mark.parametrize("size", [(32, 64), (33, 47), (5, 7)])
def test_every_size_works_as_if_borders_were_repeated(kind, size):
    network = vgg_segmenter(kind, 3, width=2).eval()
    pictures = torch.rand(2, 3, *size)
    with torch.inference_mode():
        scores = network(pictures)
        assert scores.shape == (2, 3, *size)
        stride = network.stride
        missing = (-size[1] % stride, -size[0] % stride)
        whole = torch.nn.functional.pad(pictures, (0, missing[0], 0, missing[1]), mode="replicate")
        assert torch.allclose(network(whole)[..., : size[0], : size[1]], scores, atol=1e-6)


def test_random_weights_follow_the_seed_and_leave_torchs_generator_alone():
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    a, b, c = (vgg_segmenter("unet", 2, width=2, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.rand(1), wanted)
    assert torch.equal(a.head.weight, b.head.weight)
    assert not torch.equal(a.head.weight, c.head.weight)


def test_all_parameters_are_reached_by_gradients():
    for kind in SEGMENTERS:
        network = vgg_segmenter(kind, 2, width=2)
        network(torch.rand(2, 3, 64, 64)).square().mean().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_wrong_arguments():
    with pytest.raises(ValueError, match="kind must be one of unet, deep-unet, vgg, got 'fcn'"):
        vgg_segmenter("fcn", 2)
    for outputs in (1, 255):
        with pytest.raises(
            ValueError, match=f"outputs must be 2 to 254 classes with the background, got {outputs}"
        ):
            vgg_segmenter("unet", outputs)
    with pytest.raises(ValueError, match="width must be 1 or more channels, got 0"):
        vgg_taps(width=0)


def test_files_that_do_not_fit(tmp_path):
    path = write_vgg(tmp_path / "vgg16.safetensors", torchvision_features(4, False))
    assert vgg_taps(path, width=4).width == 4
    with pytest.raises(
        ValueError, match=r"width is 4 in .*vgg16.safetensors, got 8; leave it out where weights are given"
    ):
        vgg_taps(path, width=8)
    from safetensors.torch import load_file

    state = load_file(path)
    save_tensors({name.removeprefix("features."): tensor for name, tensor in state.items()}, path)
    with pytest.raises(
        InputError, match=r"has no features.0.weight of a convolution; it has 0.bias, 0.weight, .*vgg16_bn"
    ):
        vgg_taps(path)
    save_tensors({name: tensor for name, tensor in state.items() if name != "features.28.bias"}, path)
    with pytest.raises(InputError, match=r"it lacks features.28.bias 32"):
        vgg_segmenter("unet", 2, encoder_weights=path)
    save_tensors(state | {"features.7.weight": torch.zeros(8, 8, 1, 1)}, path)
    with pytest.raises(
        InputError, match=r"it has features.7.weight 8x8x1x1 where features.7.weight 8x8x3x3 belongs"
    ):
        vgg_segmenter("unet", 2, encoder_weights=path)
    save_tensors({}, path)
    with pytest.raises(InputError, match=r"it has nothing: give the state dict"):
        vgg_taps(path)
    with pytest.raises(InputError, match="cannot read the weights"):
        vgg_taps(tmp_path / "none.safetensors")

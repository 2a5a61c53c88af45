"""Mask R-CNN to be trained: what is loaded, fresh and fixed; what it is shown; what becomes of its file."""

from __future__ import annotations

import numpy as np
import pytest

from evfr._core.labelled import IGNORE_ID, LabelledClip
from evfr.augmentation import IMAGENET_MEAN, Augmentation
from evfr.errors import InputError
from evfr.models import MaskRcnnDetector, maskrcnn_network
from evfr.training import (
    DeviceFrames,
    MaskRcnn,
    Recipe,
    fit_maskrcnn,
    load_maskrcnn,
    predict_maskrcnn,
    save_maskrcnn,
)
from evfr.training import _maskrcnn as module_of
from helpers.learner_clips import CLASSES, SMALL, squares
from helpers.tensors import save_tensors

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

STAGES = ("layer4", "layer3", "layer2", "layer1", "conv1")
OPTIONS = {"backbone": "resnet18", "channels": 4}


@pytest.fixture(scope="module")
def network():
    return maskrcnn_network(class_count=2, **OPTIONS, seed=1)


@pytest.fixture(scope="module")
def model(network):
    """Return an untrained model as `fit_maskrcnn` would."""
    from pathlib import Path

    from evfr.models._maskrcnn_build import build_from_state

    built = build_from_state(network.state_dict(), Path("x"), backbone="auto", size=(48, 64), norm_eps=1e-5)
    return MaskRcnn(built, CLASSES, (48, 64))


@pytest.fixture
def file(model, tmp_path):
    save_maskrcnn(model, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def fixed(module):
    """Return which stages of the backbone get no gradient, and which have fixed statistics."""
    frozen = torchvision.ops.misc.FrozenBatchNorm2d
    body = module.backbone.body
    parts = {name: body.get_submodule(name) for name in STAGES}
    still = {name for name, part in parts.items() if not any(p.requires_grad for p in part.parameters())}
    kept = {
        name
        for name in STAGES[:-1]
        if all(not isinstance(m, torch.nn.BatchNorm2d) for m in parts[name].modules())
    }
    if isinstance(body.bn1, frozen):
        kept.add("conv1")
    return still, kept


def test_random_weights_follow_the_seed(network):
    again = maskrcnn_network(class_count=2, **OPTIONS, seed=1).state_dict()
    own = network.state_dict()
    assert all(torch.equal(own[name], again[name]) for name in own)
    other = maskrcnn_network(class_count=2, **OPTIONS, seed=2, norm="frozen")
    assert not torch.equal(other.backbone.body.conv1.weight, network.backbone.body.conv1.weight)
    assert network.fresh == ("backbone.", "rpn.", "roi_heads.")
    assert network.backbone.out_channels == 4
    assert fixed(network) == (set(), set())
    assert fixed(other) == (set(), set(STAGES))


def test_stages_that_are_not_trained_keep_weights_and_statistics(file):
    pretrained = maskrcnn_network(file, class_count=2)
    # As torchvision's maskrcnn_resnet50_fpn with weights: three stages are trained.
    assert fixed(pretrained) == ({"layer1", "conv1"}, {"layer1", "conv1"})
    none = maskrcnn_network(file, class_count=2, trainable_layers=0)
    assert fixed(none) == (set(STAGES), set(STAGES))
    assert all(p.requires_grad for p in none.rpn.parameters())


def test_a_whole_network_is_loaded_and_only_other_classes_are_fresh(network, file):
    own = network.state_dict()
    same = maskrcnn_network(file, class_count=2)
    assert same.fresh == ()
    assert (same.transform.min_size, same.transform.max_size) == ((800,), 1333)
    state = same.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in own.items() if "num_batches" not in name)
    other = maskrcnn_network(file, class_count=5, seed=3)
    assert other.fresh == ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
    state = other.state_dict()
    for name, value in own.items():
        if name.startswith(other.fresh):
            assert len(state[name]) != len(value)
        elif "num_batches" not in name:
            assert torch.equal(value, state[name])
    again = maskrcnn_network(file, class_count=5, seed=3).roi_heads.box_predictor.cls_score.weight
    assert torch.equal(again, other.roi_heads.box_predictor.cls_score.weight)


def test_a_backbone_is_loaded_below_fresh_heads(tmp_path):
    classifier = torchvision.models.resnet18(weights=None)
    save_tensors(classifier.state_dict(), tmp_path / "resnet18.safetensors")
    built = maskrcnn_network(tmp_path / "resnet18.safetensors", class_count=2, channels=4)
    assert built.fresh == ("backbone.fpn.", "rpn.", "roi_heads.")
    state = built.backbone.body.state_dict()
    given = classifier.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in state.items())
    with pytest.raises(InputError, match="is not for this network"):
        maskrcnn_network(tmp_path / "resnet18.safetensors", class_count=2, backbone="resnet34", channels=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_count": 0}, "class_count must be 1 or more, got 0"),
        ({"backbone": "vgg"}, "backbone must be 'auto' or one of resnet18, .*, got 'vgg'"),
        ({"channels": 3}, "channels must be 4 or more, got 3"),
        (
            {"size": (64, 48)},
            r"size must be \(shorter, longer\) of 32 pixels or more, the longer no less, got \(64, 48\)",
        ),
        ({"trainable_layers": 6}, r"trainable_layers must be in 0\.\.5, got 6"),
        ({"norm": "group"}, "norm must be 'batch' or 'frozen', got 'group'"),
    ],
)
def test_wrong_networks(options, message):
    with pytest.raises(ValueError, match=message):
        maskrcnn_network(**{"class_count": 2, **options})


def test_wrong_files(file, tmp_path):
    with pytest.raises(
        InputError, match=r"has a pyramid of 4 channels, 8 were asked for; leave channels out"
    ):
        maskrcnn_network(file, class_count=2, channels=8)
    save_tensors({"stem.conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(
        InputError,
        match=r"other\.safetensors is no Mask R-CNN of torchvision: it lacks backbone\.body\.layer1",
    ):
        maskrcnn_network(tmp_path / "other.safetensors", class_count=2)


PLAIN = Augmentation()


def shown(clip, augmentation=PLAIN, batch_size=2, iteration=0):
    draw = module_of._picture_draw(
        torch, DeviceFrames([clip]), augmentation, 0, batch_size, slice(None), torch.device("cpu")
    )
    return draw(np.random.default_rng(0), iteration)


def test_targets_are_the_objects_that_can_be_seen():
    clip = squares(frames=3)
    ids = clip.ids.copy()
    ids[1][ids[1] == 1] = 0  # hidden: it keeps its number, and has no pixel
    ids[2] = 0
    clip = LabelledClip("a", clip.frame_index, clip.images, ids, clip.category, clip.classes)
    images, targets = shown(clip, batch_size=3)
    assert len(images) == 3
    seen = set()
    for image, target in zip(images, targets, strict=True):
        place = next(
            f
            for f in range(3)
            if np.array_equal(
                image.numpy()[:, :47] * 255, clip.images[f].transpose(2, 0, 1)[:, :47].astype(np.float32)
            )
        )
        seen.add(place)
        truth = clip.objects(place)
        rows = np.flatnonzero(~truth.is_crowd)
        assert target["boxes"].tolist() == truth.boxes_xyxy[rows].tolist()
        assert target["labels"].tolist() == (truth.category[rows] + 1).tolist()
        assert target["labels"].dtype == torch.int64
        assert target["masks"].shape == (len(rows), 48, 64)
        assert all(
            (target["masks"][k].numpy() == truth.masks[row].to_mask()).all() for k, row in enumerate(rows)
        )
    assert seen == {0, 1, 2}


def test_what_is_ignored_is_shown_in_the_mean_colour():
    images, _ = shown(squares(frames=1), batch_size=1)
    assert (images[0][:, 47] * 255).round().T.unique(dim=0).tolist() == [list(map(float, IMAGENET_MEAN))]
    assert (squares(frames=1).ids[0, 46] != IGNORE_ID).all()
    assert len((images[0][:, 46] * 255).T.unique(dim=0)) > 10


def test_noise_is_drawn_anew_and_follows_the_iteration():
    std = np.full((1, 48, 64, 3), 6.0, np.float32)
    clip = squares(frames=1, noise_std=std, copies=4)
    (first, second), _ = shown(clip)
    assert not torch.equal(first, second)
    assert 4 < float((first[:, :47] * 255 - torch.from_numpy(clip.images[0, :47]).permute(2, 0, 1)).std()) < 8
    assert torch.equal(shown(clip)[0][0], first)
    assert not torch.equal(shown(clip, iteration=1)[0][0], first)
    # Pictures whose objects are pasted have noise of their own.
    pasted, targets = shown(clip, Augmentation(copy_paste=1.0), batch_size=4)
    assert len(pasted) == len(targets) == 4


def test_its_file_opens_as_a_detector(model, file):
    image = squares().images[0]
    found = predict_maskrcnn(model, image[None], least_score=0.0, most_objects=20)[0]
    detector = MaskRcnnDetector(file, names=CLASSES, size=(48, 64), min_score=0.0, limit=20)
    seen = detector.detect(image)
    assert len(found) == len(seen) == 20
    assert found.score.tolist() == seen.scores.tolist()
    assert found.boxes_xyxy.tolist() == seen.boxes_xyxy.tolist()
    assert found.masks == seen.masks
    assert repr(load_maskrcnn(file)) == repr(model) == "MaskRcnn(2 classes, pictures of 48 to 64 pixels)"


def test_wrong_numbers(model, monkeypatch):
    recipe = Recipe(iterations=1)
    with pytest.raises(ValueError, match="norm must be one of sync, batch, frozen, got 'group'"):
        fit_maskrcnn([squares()], recipe=recipe, norm="group")
    with pytest.raises(ValueError, match="batch_size must be 1 or more"):
        fit_maskrcnn([squares()], recipe=recipe, batch_size=0)
    with pytest.raises(ValueError, match="device must be 'cpu', 'cuda' or 'cuda:0', got 'tpu'"):
        fit_maskrcnn([squares()], recipe=recipe, device="tpu")
    with pytest.raises(ValueError, match="min_score must be in"):
        predict_maskrcnn(model, squares().images, least_score=1.0)
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        predict_maskrcnn(model, squares().images, most_objects=0)
    with pytest.raises(
        ValueError, match=r"size must be the shorter side and the most of the longer one, got \(1, 2, 3\)"
    ):
        fit_maskrcnn([squares()], recipe=recipe, size=(1, 2, 3))
    with pytest.raises(ValueError, match=r"the longer no less, got \(8, 128\)"):
        fit_maskrcnn([squares()], recipe=recipe, size=8)
    monkeypatch.setattr(module_of, "rank_and_count", lambda: (0, 2))
    with pytest.raises(
        InputError, match="norm 'sync' over several processes needs GPUs; take 'batch' or 'frozen'"
    ):
        fit_maskrcnn([squares()], recipe=recipe, **SMALL["maskrcnn"])


@pytest.mark.slow
def test_it_learns_two_squares():
    """After 100 iterations the best find of each class on an unseen clip covers its square with IoU above .6."""
    from evfr._core.masks import iou

    clips = [squares(seed=seed) for seed in (0, 2, 4)]
    recipe = Recipe(iterations=100, learning_rate=0.003, optimizer="adam", warmup=10, seed=0)
    options = {**SMALL["maskrcnn"], "channels": 8, "size": (96, 128)}
    model, run = fit_maskrcnn(clips, recipe=recipe, **options)
    assert run.loss[-15:].mean() < 0.5 * run.loss[:10].mean()
    unseen = squares(seed=3)
    for place, found in enumerate(predict_maskrcnn(model, unseen.images, least_score=0.3)):
        truth = unseen.objects(place)
        for row in np.flatnonzero(~truth.is_crowd):
            best = found.category.tolist().index(truth.category[row])  # they are in the order of their scores
            assert iou(found.masks[best], truth.masks[row]) > 0.6

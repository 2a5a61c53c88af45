"""Mask R-CNN from a file: equal to torchvision, at its own proposals and at given boxes; files that do not fit."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from evfr.errors import InputError
from evfr.models import DETECTORS, MaskRcnnDetector, open_detector
from evfr.models._detector import categories_from
from evfr.models._maskrcnn import RegionDetector
from evfr.models._maskrcnn_build import build_from_state
from helpers.tensors import save_tensors

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
torchvision = pytest.importorskip("torchvision")
detection = pytest.importorskip("torchvision.models.detection")

SIZE = (96, 160)


def reference(classes=3, seed=0):
    """Return torchvision's network with random weights that give every class a say."""
    torch.manual_seed(seed)
    body = torchvision.models.resnet18(weights=None)
    layers = {f"layer{number}": str(number - 1) for number in (1, 2, 3, 4)}
    trunk = detection.backbone_utils.BackboneWithFPN(body, layers, [64, 128, 256, 512], 16)
    module = detection.MaskRCNN(
        trunk,
        box_head=detection.faster_rcnn.TwoMLPHead(16 * 49, 32),
        box_predictor=detection.faster_rcnn.FastRCNNPredictor(32, classes + 1),
        mask_head=detection.mask_rcnn.MaskRCNNHeads(16, (16, 16), 1),
        mask_predictor=detection.mask_rcnn.MaskRCNNPredictor(16, 12, classes + 1),
        min_size=SIZE[0],
        max_size=SIZE[1],
    )
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            if "box_predictor" in name or "mask_fcn_logits" in name:
                tensor.normal_(0, 0.5)
    return module.eval()


def picture(height=60, width=90, seed=1):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 80, (height, width, 3), dtype=np.uint8)
    image[15:45, 20:50] = 200
    image[30:55, 60:85, 1] = 250
    return image


@pytest.fixture(scope="module")
def network():
    return reference()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("maskrcnn") / "tiny.safetensors"
    safetensors.save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def detector(weights):
    return MaskRcnnDetector(weights, names=["a", "b", "c"], size=SIZE, min_score=0.2)


def test_detections_equal_torchvision(network, detector):
    image = picture()
    found = detector.detect(image)
    network.roi_heads.score_thresh = 0.2
    with torch.inference_mode():
        expected = network([torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255])[0]
    assert len(found) == len(expected["scores"]) > 3
    assert np.allclose(found.scores, expected["scores"].numpy(), atol=1e-6)
    assert (found.category == expected["labels"].numpy() - 1).all()
    assert np.allclose(found.boxes_xyxy, expected["boxes"].numpy().clip(0, (90, 60, 90, 60)), atol=1e-3)
    for mask, plane in zip(found.masks, expected["masks"].numpy()[:, 0], strict=True):
        # Pixels at the threshold may fall either way with the last digit of a box.
        assert (mask.to_mask() != (plane > 0.5)).sum() <= 2
    assert np.allclose(found.class_scores[np.arange(len(found)), found.category], found.scores)
    assert (found.class_scores.sum(axis=1) <= 1 + 1e-6).all()
    assert len({mask.area for mask in found.masks}) > 1


def test_given_boxes_score_as_torchvision_scores_its_proposals(network, detector):
    image = picture(seed=2)
    seen = {}
    hooks = [
        network.rpn.register_forward_hook(lambda m, i, out: seen.update(boxes=out[0][0])),
        network.roi_heads.box_predictor.register_forward_hook(
            lambda m, i, out: seen.update(p=out[0].softmax(1))
        ),
        network.transform.register_forward_hook(lambda m, i, out: seen.update(size=out[0].image_sizes[0])),
    ]
    with torch.inference_mode():
        network([torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255])
    for hook in hooks:
        hook.remove()
    height, width = seen["size"]
    boxes = seen["boxes"].numpy().astype(np.float64) * ([90 / width, 60 / height] * 2)
    assert len(boxes) > 10
    scores = detector.score_boxes(image, boxes)
    assert scores.shape == (len(boxes), 3)
    assert np.allclose(scores, seen["p"].numpy()[:, 1:], atol=2e-5)
    assert detector.score_boxes(image, np.zeros((0, 4))).shape == (0, 3)


def test_one_run_of_the_backbone_for_two_questions(detector):
    runs = []
    hook = detector._module.backbone.register_forward_hook(lambda *_: runs.append(1))
    image = picture(seed=3)
    found = detector.detect(image)
    detector.score_boxes(image, found.boxes_xyxy)
    hook.remove()
    assert len(runs) == 1


def test_nothing_above_the_threshold_and_bad_values(weights, detector):
    none = MaskRcnnDetector(weights, size=SIZE, min_score=0.999)
    found = none.detect(picture())
    assert (len(found), found.class_scores.shape) == (0, (0, 3))
    assert [category.name for category in none.categories] == ["class 0", "class 1", "class 2"]
    few = MaskRcnnDetector(weights, size=SIZE, min_score=0.2, limit=2)
    assert len(few.detect(picture())) == 2
    with pytest.raises(ValueError, match="a picture must be"):
        detector.score_boxes(np.zeros((3, 3), np.uint8), np.zeros((0, 4)))
    with pytest.raises(ValueError, match="box 0 is"):
        detector.score_boxes(picture(), np.array([[5.0, 5, 1, 9]]))
    again = pickle.loads(pickle.dumps(detector))
    assert np.array_equal(again.detect(picture()).scores, detector.detect(picture()).scores)
    assert "3 classes, cpu" in repr(detector)


def test_old_names_and_counters_load(network, tmp_path):
    state = {}
    for name, tensor in network.state_dict().items():
        if name.startswith("rpn.head.conv.0.0"):
            name = name.replace("conv.0.0", "conv")
        if name.startswith("roi_heads.mask_head."):
            number, _, rest = name.removeprefix("roi_heads.mask_head.").split(".")
            name = f"roi_heads.mask_head.mask_fcn{int(number) + 1}.{rest}"
        state[name] = tensor
    assert any(name.endswith("num_batches_tracked") for name in state)
    save_tensors(state, tmp_path / "old.safetensors")
    old = open_detector(tmp_path / "old.safetensors", names=["a", "b", "c"], size=SIZE)
    assert isinstance(old, MaskRcnnDetector)
    assert DETECTORS["maskrcnn"] is MaskRcnnDetector


def test_files_that_do_not_fit(network, weights):
    def build(**changes):
        state = {**network.state_dict(), **changes}
        state = {name: value for name, value in state.items() if value is not None}
        return build_from_state(state, Path("changed.safetensors"), backbone="auto", size=SIZE, norm_eps=1e-5)

    for changes, text in [
        (
            {"roi_heads.box_predictor.cls_score.weight": None},
            "is no Mask R-CNN of torchvision: it lacks roi_heads",
        ),
        ({"backbone.body.layer1.0.conv2.weight": None}, "it lacks backbone.body.layer1.0.conv2.weight"),
        ({"roi_heads.mask_head.0.0.weight": None}, "has no mask head"),
        ({"rpn.head.cls_logits.bias": None}, "lacks rpn.head.cls_logits.bias 3; if only names differ"),
        ({"extra": torch.zeros(2)}, "has the unknown extra 2"),
        ({"rpn.head.cls_logits.bias": torch.zeros(4)}, "has rpn.head.cls_logits.bias 4 where .* 3 belongs"),
        (
            {"backbone.body.layer3.2.conv1.weight": torch.zeros(2, 2)},
            "no backbone of resnet18, .* has 3 blocks in layer 3",
        ),
    ]:
        with pytest.raises(InputError, match=text):
            build(**changes)
    with pytest.raises(
        InputError, match=r"is not for this network: it lacks backbone.body.layer1.2.conv1.weight"
    ):
        MaskRcnnDetector(weights, backbone="resnet34")
    with pytest.raises(InputError, match="has 3 classes beside background, 2 names were given"):
        MaskRcnnDetector(weights, names=["a", "b"])
    broken = build(**{"roi_heads.box_predictor.cls_score.bias": torch.full((4,), torch.nan)})
    options = {"device": "cpu", "min_score": 0.1, "nms": 0.5, "limit": 9, "name": "broken.safetensors"}
    broken = RegionDetector(broken, categories_from(["a", "b", "c"]), **options)
    with pytest.raises(
        InputError, match=r"broken.safetensors: the network's outputs are not finite; check its weights"
    ):
        broken.detect(picture())


def test_options_are_checked(weights):
    for options, text in [
        ({"backbone": "vgg"}, "backbone must be 'auto' or one of resnet18"),
        ({"size": (800, 600)}, r"size must be \(shorter, longer\)"),
        ({"norm_eps": -1.0}, r"norm_eps must be in \[0, 1\), got -1.0"),
        ({"min_score": 1.0}, r"min_score must be in \[0, 1\)"),
        ({"limit": 0}, "limit must be 1 or more"),
        ({"device": "tpu"}, "device must be 'cpu', 'cuda' or 'cuda:0', got 'tpu'"),
    ]:
        with pytest.raises(ValueError, match=text):
            MaskRcnnDetector(weights, **{"size": SIZE, **options})
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device 'cuda' asked for, but torch sees 0 GPUs"):
            MaskRcnnDetector(weights, size=SIZE, device="cuda")


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"])
def test_published_forms_load_and_agree(builder, tmp_path):
    torch.manual_seed(0)
    network = getattr(detection, builder)(
        weights=None, weights_backbone=None, num_classes=5, min_size=SIZE[0], max_size=SIZE[1]
    ).eval()
    save_tensors(network.state_dict(), tmp_path / "weights.safetensors")
    detector = MaskRcnnDetector(tmp_path / "weights.safetensors", size=SIZE, min_score=0.01)
    image = picture()
    found = detector.detect(image)
    network.roi_heads.score_thresh = 0.01
    with torch.inference_mode():
        expected = network([torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255])[0]
    assert len(found) == len(expected["scores"]) > 0
    assert np.allclose(found.scores, expected["scores"].numpy(), atol=1e-5)

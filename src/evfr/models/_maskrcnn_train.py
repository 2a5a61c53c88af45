"""Build torchvision's Mask R-CNN to be trained: random, from a whole detector, or on a classifier's backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from evfr._core.lazy import require
from evfr._core.rng import spawn_seed
from evfr._core.tensor_files import read_state_dict
from evfr.errors import InputError
from evfr.models._maskrcnn_build import RESNETS, backbone_in, build_from_state
from evfr.models._state import load_by_name

__all__ = ["maskrcnn_network"]

_STAGES = ("layer4", "layer3", "layer2", "layer1", "conv1")
_CLASS_LAYERS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
_WIDTH = 256


def maskrcnn_network(
    weights: str | Path | None = None,
    *,
    class_count: int,
    backbone: str = "auto",
    channels: int | None = None,
    size: Sequence[int] = (800, 1333),
    trainable_layers: int | None = None,
    norm: Literal["batch", "frozen"] = "batch",
    seed: int = 0,
) -> Any:
    """Build Mask R-CNN on a ResNet with a feature pyramid, ready to be trained (He et al. 2017 [1]_).

    Parameters
    ----------
    weights : path or None
        A state dict (``.safetensors``), as torchvision has it, of the whole network (such
        as ``maskrcnn_resnet50_fpn``, or what `evfr.training.save_maskrcnn` wrote) or of its backbone alone (such as
        ``resnet50``). None draws random weights.
    class_count : int
        Classes without background, 1 or more.
    backbone : str
        A ResNet or ResNeXt of torchvision; ``"auto"`` is the file's, or ``"resnet50"``.
    channels : int or None
        Width of the pyramid and the heads; None is the file's, or 256.
    size : (int, int)
        Pictures are scaled so that their shorter side is the first, unless their longer one would exceed the second.
    trainable_layers : int or None
        How many stages of the backbone are trained, 0 to 5, the last first: all but those get no gradient and keep
        their statistics. None is 3 with weights and 5 without, as torchvision has it.
    norm : {"batch", "frozen"}
        Whether batch normalisation uses the statistics of the batch, or those of the weights for good.
    seed : int
        Of random weights.

    Returns
    -------
    torch.nn.Module
        torchvision's ``MaskRCNN`` in evaluation mode. Its attribute ``fresh``, a tuple of str, tells which parts have
        random weights: of a whole network only the layers that name classes, if it has another number of them.

    Raises
    ------
    MissingExtraError
        If torch or torchvision is not installed.
    InputError
        If the file cannot be read, or tensors are missing, unknown or misshapen: all are listed.
    ValueError
        If an argument is out of range.

    References
    ----------
    .. [1] He, Gkioxari, Dollár, Girshick: Mask R-CNN. ICCV 2017, arXiv:1703.06870.
    """
    if class_count < 1:
        raise ValueError(f"class_count must be 1 or more, got {class_count}")
    if backbone != "auto" and backbone not in RESNETS:
        raise ValueError(f"backbone must be 'auto' or one of {', '.join(RESNETS)}, got {backbone!r}")
    if channels is not None and channels < 4:
        raise ValueError(f"channels must be 4 or more, got {channels}")
    if len(size) != 2 or not 32 <= size[0] <= size[1]:
        raise ValueError(
            f"size must be (shorter, longer) of 32 pixels or more, the longer no less, got {tuple(size)}"
        )
    if trainable_layers is not None and not 0 <= trainable_layers <= len(_STAGES):
        raise ValueError(f"trainable_layers must be in 0..{len(_STAGES)}, got {trainable_layers}")
    if norm not in ("batch", "frozen"):
        raise ValueError(f"norm must be 'batch' or 'frozen', got {norm!r}")
    torch = require("torch", extra="train")
    sides = int(size[0]), int(size[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_seed(seed, "mask r-cnn"))
        if weights is None:
            module = _random(backbone if backbone != "auto" else "resnet50", class_count, channels, sides)
            module.fresh = ("backbone.", "rpn.", "roi_heads.")
        else:
            path = Path(weights)
            state = read_state_dict(path, extra="train")
            if any(name.startswith(("backbone.", "roi_heads.")) for name in state):
                module = build_from_state(state, path, backbone=backbone, size=sides, norm_eps=1e-5)
                if channels not in (None, module.backbone.out_channels):
                    raise InputError(
                        f"{path} has a pyramid of {module.backbone.out_channels} channels, {channels} were asked for; "
                        "leave channels out"
                    )
                module.fresh = _with_classes(module, class_count)
            else:
                module = _on_backbone(state, path, backbone, class_count, channels, sides)
                module.fresh = ("backbone.fpn.", "rpn.", "roi_heads.")
    trained = trainable_layers
    if trained is None:
        trained = len(_STAGES) if weights is None else 3
    _prepare(torch, module, trained, has_batch_norm=norm == "batch")
    return module.eval()


def _random(backbone: str, class_count: int, channels: int | None, size: tuple[int, int]) -> Any:
    modules = require("evfr.models._seq_maskrcnn_modules", extra="train")
    module = modules.build_maskrcnn(backbone, class_count, _WIDTH if channels is None else channels, size)
    modules.calibrate(module.backbone.body)
    return module


def _on_backbone(
    state: Mapping[str, Any],
    path: Path,
    backbone: str,
    class_count: int,
    channels: int | None,
    size: tuple[int, int],
) -> Any:
    """Build a network whose backbone is a classifier's."""
    given = {f"backbone.body.{name}": value for name, value in state.items()}
    name = backbone_in(given, path) if backbone == "auto" else backbone
    modules = require("evfr.models._seq_maskrcnn_modules", extra="train")
    module = modules.build_maskrcnn(name, class_count, _WIDTH if channels is None else channels, size)
    kept = {name: value for name, value in state.items() if not name.endswith(".num_batches_tracked")}
    load_by_name(module.backbone.body, kept, path, ignore=("fc.",))
    return module


def _with_classes(module: Any, class_count: int) -> tuple[str, ...]:
    """Give the network fresh layers for the classes, if it has another number of them."""
    box, mask = module.roi_heads.box_predictor, module.roi_heads.mask_predictor
    if box.cls_score.out_features == class_count + 1:
        return ()
    faster = require("torchvision.models.detection.faster_rcnn", extra="train")
    masks = require("torchvision.models.detection.mask_rcnn", extra="train")
    narrow = mask.conv5_mask
    module.roi_heads.box_predictor = faster.FastRCNNPredictor(box.cls_score.in_features, class_count + 1)
    fresh = masks.MaskRCNNPredictor(narrow.in_channels, narrow.out_channels, class_count + 1)
    mask.mask_fcn_logits = fresh.mask_fcn_logits
    return _CLASS_LAYERS


def _prepare(torch: Any, module: Any, trained: int, *, has_batch_norm: bool) -> None:
    """Fix stages that are not trained; elsewhere normalise by the batch where asked."""
    body = module.backbone.body
    learning = (*_STAGES[:trained], *(["bn1"] if trained == len(_STAGES) else []))
    fixed = set()
    for name, child in body.named_children():
        child.requires_grad_(name in learning)
        if name not in learning:
            fixed.update(child.modules())
    if not has_batch_norm:
        return
    frozen = require("torchvision.ops.misc", extra="train").FrozenBatchNorm2d
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, frozen) and child not in fixed:
                layer = torch.nn.BatchNorm2d(len(child.weight), eps=child.eps)
                layer.load_state_dict(child.state_dict(), strict=False)
                setattr(parent, name, layer)

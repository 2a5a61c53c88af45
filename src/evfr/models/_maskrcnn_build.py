"""Build torchvision's Mask R-CNN in the size that a file of weights has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evfr._core.lazy import require
from evfr.errors import InputError
from evfr.models._state import load_by_name, rename

__all__ = ["RESNETS", "backbone_in", "build_from_state", "current_names"]

RESNETS: dict[str, tuple[bool, int, int, int]] = {
    "resnet18": (False, 2, 64, 64),
    "resnet34": (False, 6, 64, 64),
    "resnet50": (True, 6, 64, 64),
    "resnet101": (True, 23, 64, 64),
    "resnet152": (True, 36, 64, 64),
    "resnext50_32x4d": (True, 6, 128, 4),
    "resnext101_32x8d": (True, 23, 256, 8),
    "resnext101_64x4d": (True, 23, 256, 4),
}
"""Networks of torchvision: has bottlenecks, blocks of layer 3, and output and input width of a 3 x 3 convolution."""

_OLD_NAMES = {
    "rpn.head.conv": "rpn.head.conv.0.0",
    **{f"roi_heads.mask_head.mask_fcn{n}": f"roi_heads.mask_head.{n - 1}.0" for n in range(1, 5)},
}
"""Of torchvision before 0.13, and of its published files to this day."""


def current_names(state: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the tensors of a file under the names that torchvision has today.

    Parameters
    ----------
    state : mapping of str to tensor
        Of any version of torchvision.
    path : Path
        Where it is from, for errors.

    Returns
    -------
    dict of str to tensor
        Without counts of batches: frozen normalisation counts nothing.

    Raises
    ------
    InputError
        If two tensors would get one name.
    """
    old = {before: after for before, after in _OLD_NAMES.items() if f"{before}.weight" in state}
    given = rename(state, old, path) if old else state
    return {name: value for name, value in given.items() if not name.endswith(".num_batches_tracked")}


def build_from_state(
    state: Mapping[str, Any], path: Path, *, backbone: str, size: tuple[int, int], norm_eps: float
) -> Any:
    """Build the network that a state dict is of, with its weights, in evaluation mode.

    Parameters
    ----------
    state : mapping of str to tensor
        Of torchvision's ``maskrcnn_resnet50_fpn``, its second version, or the same on another ResNet; widths of all
        heads are told by the tensors.
    path : Path
        Where it is from, for errors.
    backbone : str
        A key of `RESNETS`, or ``"auto"``: told by the tensors.
    size : (int, int)
        Shorter side, and the most of the longer one.
    norm_eps : float
        Of batch normalisation, which is frozen.

    Returns
    -------
    torch.nn.Module
        torchvision's ``MaskRCNN``.

    Raises
    ------
    InputError
        If it is of another network, or tensors are missing, unknown or misshapen: all are listed.
    """
    given = current_names(state, path)
    name = backbone_in(given, path) if backbone == "auto" else backbone
    torch: Any = require("torch", extra="train")
    detection = "torchvision.models.detection"
    faster: Any = require(f"{detection}.faster_rcnn", extra="train")
    mask: Any = require(f"{detection}.mask_rcnn", extra="train")
    rpn: Any = require(f"{detection}.rpn", extra="train")
    blocks: Any = require("torchvision.ops", extra="train")
    resnets: Any = require("torchvision.models.resnet", extra="train")
    backbones: Any = require(f"{detection}.backbone_utils", extra="train")

    width = _width(given, "backbone.fpn.inner_blocks.0.0.weight", path)
    classes = _width(given, "roi_heads.box_predictor.cls_score.weight", path)
    fpn_has_norm = "backbone.fpn.inner_blocks.0.1.weight" in given
    norm = blocks.FrozenBatchNorm2d
    # Drawing weights that are replaced at once would take longer than reading the file.
    with torch.device("meta"):
        body = getattr(resnets, name)(weights=None, norm_layer=norm)
    body = body.to_empty(device="cpu")
    stages = [body.inplanes // 2**step for step in (3, 2, 1, 0)]
    trunk = backbones.BackboneWithFPN(
        body,
        {f"layer{number}": str(number - 1) for number in (1, 2, 3, 4)},
        stages,
        width,
        norm_layer=norm if fpn_has_norm else None,
    )
    anchors = rpn.AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
    with torch.device("meta"):
        if "roi_heads.box_head.fc6.weight" in given:
            flat = _width(given, "roi_heads.box_head.fc6.weight", path)
            box_head = faster.TwoMLPHead(width * 49, flat)
        else:
            convolutions = _widths(given, "roi_heads.box_head.{}.0.weight")
            flat = _width(given, f"roi_heads.box_head.{len(convolutions) + 1}.weight", path)
            box_head = faster.FastRCNNConvFCHead((width, 7, 7), convolutions, [flat], norm_layer=norm)
    box_head = box_head.to_empty(device="cpu")
    layers = _widths(given, "roi_heads.mask_head.{}.0.weight")
    if not layers:
        raise InputError(f"{path} has no mask head (roi_heads.mask_head.0.0.weight): it finds boxes only")
    mask_has_norm = "roi_heads.mask_head.0.1.weight" in given
    narrow = given.get("roi_heads.mask_predictor.conv5_mask.weight")
    module = mask.MaskRCNN(
        trunk,
        num_classes=None,
        min_size=size[0],
        max_size=size[1],
        rpn_anchor_generator=anchors,
        rpn_head=rpn.RPNHead(width, 3, conv_depth=max(1, len(_widths(given, "rpn.head.conv.{}.0.weight")))),
        box_head=box_head,
        box_predictor=faster.FastRCNNPredictor(flat, classes),
        mask_head=mask.MaskRCNNHeads(width, layers, 1, norm_layer=norm if mask_has_norm else None),
        mask_predictor=mask.MaskRCNNPredictor(
            layers[-1], layers[-1] if narrow is None else int(narrow.shape[1]), classes
        ),
    )
    for child in module.modules():
        if isinstance(child, norm):
            child.eps = norm_eps
    load_by_name(module, given, path)
    return module.eval()


def _width(state: Mapping[str, Any], name: str, path: Path) -> int:
    if name not in state:
        some = ", ".join(sorted(state)[:4])
        raise InputError(f"{path} is no Mask R-CNN of torchvision: it lacks {name}; it has {some}")
    return int(state[name].shape[0])


def _widths(state: Mapping[str, Any], form: str) -> list[int]:
    found: list[int] = []
    while (name := form.format(len(found))) in state:
        found.append(int(state[name].shape[0]))
    return found


def backbone_in(state: Mapping[str, Any], path: Path) -> str:
    """Return which of `RESNETS` the tensors below ``backbone.body.`` are of.

    Raises
    ------
    InputError
        If they are of none.
    """
    body = "backbone.body.layer"
    _width(state, f"{body}1.0.conv2.weight", path)
    middle = state[f"{body}1.0.conv2.weight"].shape
    depth = len(_widths(state, body + "3.{}.conv1.weight"))
    told = (f"{body}1.0.conv3.weight" in state, depth, int(middle[0]), int(middle[1]))
    for name, form in RESNETS.items():
        if form == told:
            return name
    raise InputError(
        f"{path}: no backbone of {', '.join(RESNETS)} has {depth} blocks in layer 3 with 3x3 convolutions of "
        f"{told[2]} x {told[3]} channels"
    )

"""The torch modules of Seq Mask R-CNN; imported by its builder only, since this needs torch and torchvision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from evfr._core.lazy import require
from evfr.models._covos_modules import ResidualBlock

__all__ = ["SequenceHead", "build_maskrcnn", "calibrate", "compete", "read_memory"]

LEVELS = ("0", "1", "2")
"""Levels of the feature pyramid at 1/4, 1/8 and 1/16 of the picture, by torchvision's names."""

_MASK_GAIN = 4.0
"""By how much fresh masks weigh more in the memory: as much as the features that they are added to."""

_KEY = 128
"""Width of keys, as in Oh et al."""

_CELLS = 1 << 24
"""Similarities held at a time where no gradient is wanted: 64 MiB of float32."""


def read_memory(keys: Tensor, values: Tensor, query: Tensor, *, top_k: int = 0) -> Tensor:
    """Read from a memory by attention (Oh et al. 2019, Eq. 1 to 3, without the query's own value).

    Parameters
    ----------
    keys : (K, D, M) tensor
        Keys of M memory cells, for each of K objects.
    values : (K, V, M) tensor
        Values of the same cells.
    query : (D, N) tensor
        Keys of N cells of the query frame.
    top_k : int
        Read only the ``top_k`` most similar cells; 0 reads all.

    Returns
    -------
    (K, V, N) tensor
        For each query cell the mean of the values, weighted by the softmax over M of key similarity / sqrt(D). Query
        cells are taken in portions, so that similarities never need more than 64 MiB, or one portion of one cell.
    """
    count, depth, cells = keys.shape
    portion = max(1, _CELLS // (count * cells))
    read = []
    for part in torch.split(query, portion, dim=1):
        similarity = torch.matmul(keys.transpose(1, 2), part) / math.sqrt(depth)
        if 0 < top_k < cells:
            best, rows = similarity.topk(top_k, dim=1)
            weight = torch.zeros_like(similarity).scatter(1, rows, torch.softmax(best, dim=1))
        else:
            weight = torch.softmax(similarity, dim=1)
        read.append(torch.matmul(values, weight))
    return torch.cat(read, dim=2)


def compete(logits: Tensor) -> Tensor:
    """Return log-probabilities (K + 1, H, W) of the background and K objects by soft aggregation (Oh et al. 2019).

    The odds of an object are p / (1 - p) = exp(logit), those of the background the same of prod(1 - p). From logits
    nothing saturates, so an object that is lost for now still gets a gradient.

    Parameters
    ----------
    logits : (K, H, W) tensor
        Of the objects, before they compete.
    """
    strength = functional.softplus(logits).sum(dim=0, keepdim=True)
    background = -strength - torch.log(-torch.expm1(-strength.clamp_min(1e-30)))
    return torch.log_softmax(torch.cat([background, logits]), dim=0)


class SequenceHead(nn.Module):
    """Segment K objects in a frame by what a memory of earlier frames holds of them.

    The paper names keys and values of the key frame and of every m-th frame, attention, a decoder to K masks, as
    space-time memory networks have them. What it leaves open is as in Oh et al. (2019): keys and values of the memory
    are convolutions of features of picture and masks (the object's, and that of all others), those of the query of
    features of the picture; keys have 128 numbers; similarity over memory is a softmax of scaled dot products; the
    decoder refines from 1/16 to 1/4 with the query's finer features, and objects compete by soft aggregation.

    Ours: the picture's features are those of the feature pyramid that the detector uses anyway, and keys see its three
    finest levels; masks are encoded beside them by four strided convolutions and added; the decoder has half the
    pyramid's channels, for CPUs. A fresh head compares looks: memory keys start equal to query keys, masks enter
    them with weights that start at zero, and query keys are centred over the picture, since what all cells share would
    favour memory cells of large norm whatever they show. Objects that look alike are told apart by nothing.

    Parameters
    ----------
    channels : int
        Of the feature pyramid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 2, 4)
        widths = (2, max(channels // 16, 4), max(channels // 8, 4), max(channels // 4, 4), channels)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        self.mask_encoder = nn.Sequential(*layers[:-1])
        self.fuse = ResidualBlock(channels, bias=True)
        self.memory_key = nn.Conv2d(len(LEVELS) * channels, _KEY, 3, padding=1)
        self.mask_key = nn.Conv2d(channels, _KEY, 1, bias=False)
        self.memory_value = nn.Conv2d(channels, channels, 3, padding=1)
        self.query_key = nn.Conv2d(len(LEVELS) * channels, _KEY, 3, padding=1)
        self.query_value = nn.Conv2d(channels, channels, 3, padding=1)
        self.reduce = nn.Conv2d(2 * channels, width, 3, padding=1)
        self.block16 = ResidualBlock(width, bias=True)
        self.skip8 = nn.Conv2d(channels, width, 3, padding=1)
        self.block8 = ResidualBlock(width, bias=True)
        self.skip4 = nn.Conv2d(channels, width, 3, padding=1)
        self.block4 = ResidualBlock(width, bias=True)
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        # torch's own initial weights would shrink masks to nothing on their way into the memory and make keys alike.
        encoders = [layer for layer in self.mask_encoder if isinstance(layer, nn.Conv2d)]
        for layer in (*encoders, self.query_key):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        with torch.no_grad():
            encoders[-1].weight.mul_(_MASK_GAIN)
        self.memory_key.load_state_dict(self.query_key.state_dict())
        nn.init.zeros_(self.mask_key.weight)

    def memorise(self, features: Mapping[str, Tensor], masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys (K, D, M) and values (K, V, M) of a frame with K soft masks.

        Parameters
        ----------
        features : mapping of str to (1, C, h, w) tensor
            The frame's pyramid.
        masks : (K, H, W) tensor
            In [0, 1]; H and W are 16 times the size of level "2", M = H W / 256.
        """
        others = (masks.sum(dim=0, keepdim=True) - masks).clamp(0, 1)
        encoded = self.mask_encoder(torch.stack([masks, others], dim=1))
        fused = self.fuse(features["2"] + encoded)
        keys = self.memory_key(_looks(features)) + self.mask_key(encoded)
        return keys.flatten(2), self.memory_value(fused).flatten(2)

    def forward(
        self, features: Mapping[str, Tensor], keys: Tensor, values: Tensor, *, top_k: int = 0
    ) -> Tensor:
        """Return (K, H, W) logits of K objects in a frame, before they compete.

        Parameters
        ----------
        features : mapping of str to (1, C, h, w) tensor
            The frame's pyramid.
        keys, values : (K, D, M) and (K, V, M) tensor
            Of the memory, from `memorise`; frames are joined along M.
        top_k : int
            See `read_memory`.
        """
        coarse = features["2"]
        height, width = coarse.shape[2:]
        query = self.query_key(_looks(features))[0].flatten(1)
        read = read_memory(keys, values, query - query.mean(dim=1, keepdim=True), top_k=top_k)
        read = read.view(*read.shape[:2], height, width)
        own = self.query_value(coarse).expand(len(read), -1, -1, -1)
        x = self.block16(self.reduce(torch.cat([read, own], dim=1)))
        for level, skip, block in (("1", self.skip8, self.block8), ("0", self.skip4, self.block4)):
            finer = skip(features[level])
            grown = functional.interpolate(x, finer.shape[2:], mode="bilinear", align_corners=False)
            x = block(finer + grown)
        logits = self.last(functional.relu(x))
        size = 16 * height, 16 * width
        full: Tensor = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        return full[:, 0]


def _looks(features: Mapping[str, Tensor]) -> Tensor:
    """Return the levels of the pyramid side by side at 1/16: (1, 3 C, h, w)."""
    size = features["2"].shape[2], features["2"].shape[3]
    return torch.cat([functional.adaptive_avg_pool2d(features[level], size) for level in LEVELS], dim=1)


def build_maskrcnn(backbone: str, class_count: int, channels: int, size: tuple[int, int]) -> Any:
    """Return torchvision's Mask R-CNN with feature pyramid, whose names are those of torchvision's published weights.

    Parameters
    ----------
    backbone : str
        A ResNet or ResNeXt of torchvision.
    class_count : int
        Classes without background.
    channels : int
        Of the pyramid and the heads; 256 is torchvision's.
    size : (int, int)
        Longer and shorter side that pictures are scaled into.
    """
    resnet = require("torchvision.models.resnet", extra="train")
    detection = require("torchvision.models.detection", extra="train")
    faster = require("torchvision.models.detection.faster_rcnn", extra="train")
    masks = require("torchvision.models.detection.mask_rcnn", extra="train")
    frozen = require("torchvision.ops.misc", extra="train").FrozenBatchNorm2d
    backbones = require("torchvision.models.detection.backbone_utils", extra="train")
    builder: Callable[..., Any] = getattr(resnet, backbone)
    # Published detectors are trained with batch statistics that stay; clips of three frames would give none anyway.
    body = builder(weights=None, norm_layer=frozen)
    inner = body.inplanes // 8
    pyramid = backbones.BackboneWithFPN(
        body,
        {f"layer{stage + 1}": str(stage) for stage in range(4)},
        [inner * 2**stage for stage in range(4)],
        channels,
    )
    wide = 4 * channels
    return detection.MaskRCNN(
        pyramid,
        min_size=min(size),
        max_size=max(size),
        box_head=faster.TwoMLPHead(channels * 7 * 7, wide),
        box_predictor=faster.FastRCNNPredictor(wide, class_count + 1),
        mask_head=masks.MaskRCNNHeads(channels, (channels,) * 4, 1),
        mask_predictor=masks.MaskRCNNPredictor(channels, channels, class_count + 1),
    )


def calibrate(body: Any) -> None:
    """Set the fixed statistics of a random backbone to those of noise, or its features would grow or fade."""
    frozen = require("torchvision.ops.misc", extra="train").FrozenBatchNorm2d

    def measure(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        layer.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        layer.running_var.copy_(inputs[0].var(dim=(0, 2, 3)).clamp_min(1e-4))

    hooks = [
        layer.register_forward_pre_hook(measure) for layer in body.modules() if isinstance(layer, frozen)
    ]
    # One thread: sums in another order would give a seed other weights on another machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            fine, coarse = torch.randn(4, 3, 128, 128), torch.randn(4, 3, 16, 16)
            grown = functional.interpolate(coarse, size=(128, 128), mode="bilinear", align_corners=False)
            body((fine + grown) / math.sqrt(2.0))
    finally:
        torch.set_num_threads(threads)
    for hook in hooks:
        hook.remove()

"""The torch modules of CoVOS; imported by its builders only, since this needs torch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from evfr._core.lazy import require

__all__ = ["CHANNELS", "EPSILON", "OBJECTS", "CovosDecoder", "LowLevelFeatures", "soft_aggregate"]

OBJECTS = 10
CHANNELS = OBJECTS + 1
FEATURES = 256
EPSILON = 1e-7

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def soft_aggregate(objects: Tensor) -> Tensor:
    """Turn (B, K, h, w) object probabilities into (B, K + 1, h, w) that sum to 1, the background first (psi)."""
    background = torch.prod(1.0 - objects, dim=1, keepdim=True)
    every = torch.cat([background, objects], dim=1).clamp(EPSILON, 1.0 - EPSILON)
    return torch.softmax(torch.log(every / (1.0 - every)), dim=1)


class LowLevelFeatures(nn.Module):
    """Take a picture to ResNet-50's first residual stage: 256 channels at 1/4 size. Always in evaluation mode."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        # The parts of torchvision's ResNet-50, without building its 23 million weights of later stages.
        bottleneck = require("torchvision.models.resnet", extra="train").Bottleneck
        widen = nn.Sequential(nn.Conv2d(64, FEATURES, 1, bias=False), nn.BatchNorm2d(FEATURES))
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(
            bottleneck(64, 64, downsample=widen), bottleneck(FEATURES, 64), bottleneck(FEATURES, 64)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> LowLevelFeatures:
        """Stay in evaluation mode: the paper does not train these layers."""
        del mode
        super().train(False)
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Take (B, 3, H, W) in [0, 1], RGB, to (B, 256, ceil(H / 4), ceil(W / 4))."""
        start = functional.relu(self.bn1(self.conv1((image - self.mean) / self.deviation)))
        stage: Tensor = self.layer1(functional.max_pool2d(start, 3, stride=2, padding=1))
        return stage


class ResidualBlock(nn.Module):
    """Add two 3x3 convolutions, each after a ReLU, to what comes in; no normalisation."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        added: Tensor = self.conv2(functional.relu(self.conv1(functional.relu(x))))
        return x + added


class CovosDecoder(nn.Module):
    """Turn warped, corrected and low-level inputs at 1/4 size into the objects of a full-size picture.

    Parameters
    ----------
    last_kernel : {1, 3}
        Of the last convolution, 64 -> 11: 1 in the released weights, 3 in the supplement.
    confidence_bias, block_bias : bool
        Whether W1 and W2, and the convolutions of the residual blocks, have biases.
    """

    def __init__(
        self, *, last_kernel: int = 1, confidence_bias: bool = False, block_bias: bool = True
    ) -> None:
        super().__init__()
        self.current = nn.Conv2d(FEATURES, 64, 1, bias=confidence_bias)
        self.warped = nn.Conv2d(FEATURES, 64, 1, bias=confidence_bias)
        self.reduce1 = nn.Conv2d(3 * CHANNELS + FEATURES, 128, 3, padding=1, bias=False)
        self.reduce2 = nn.Conv2d(128, 64, 3, padding=1, bias=False)
        self.block1 = ResidualBlock(64, block_bias)
        self.block2 = ResidualBlock(64, block_bias)
        self.block3 = ResidualBlock(64, block_bias)
        self.last = nn.Conv2d(64, CHANNELS, last_kernel, padding=last_kernel // 2)

    def confidence(self, current: Tensor, warped: Tensor) -> Tensor:
        """Return S = sigmoid(sum over 64 of (W1 V) (W2 V^)): (B, 1, h, w) in [0, 1]."""
        return torch.sigmoid((self.current(current) * self.warped(warped)).sum(dim=1, keepdim=True))

    def forward(
        self, current: Tensor, warped: Tensor, probabilities: Tensor, corrected: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Return (B, 11, H, W) probabilities in [0, 1] before soft aggregation.

        The first channel and those without an object are to be dropped before psi, as the paper drops its padding.

        Parameters
        ----------
        current, warped : (B, 256, h, w) tensor
            V and V^: low-level features of the frame, and those warped to it.
        probabilities : (B, 11, h, w) tensor
            P^: warped probabilities, the background first, zeros where there are fewer than 10 objects.
        corrected : (B, 11, h, w) tensor
            P-: after residual correction.
        size : (int, int)
            H and W; at most 4 h and 4 w.
        """
        trusted = self.confidence(current, warped) * probabilities
        stack = torch.cat([soft_aggregate(probabilities[:, 1:]), trusted, current, corrected], dim=1)
        x = self.block3(self.block2(self.block1(self.reduce2(self.reduce1(stack)))))
        logits = functional.interpolate(self.last(x), scale_factor=4, mode="bilinear", align_corners=False)
        return torch.sigmoid(logits[..., : size[0], : size[1]])


def form_of(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the keywords of `CovosDecoder` that the names and shapes of a state dict ask for."""
    last = shapes.get("last.weight", (CHANNELS, 64, 1, 1))
    return {
        "last_kernel": 3 if last[-1] == 3 else 1,
        "confidence_bias": "current.bias" in shapes or "warped.bias" in shapes,
        "block_bias": any(name.startswith("block") and name.endswith(".bias") for name in shapes),
    }

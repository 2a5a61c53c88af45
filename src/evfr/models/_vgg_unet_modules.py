"""The torch modules of the VGG-16 family; imported by its builders only, since this needs torch."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

__all__ = ["BLOCKS", "STRIDES", "ColumnScores", "VggSegmenter", "VggTaps", "vgg_layers"]

BLOCKS = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Width, in units of the first, and number of convolutions of the five blocks of VGG-16 (Simonyan & Zisserman 2015)."""

STRIDES = (1, 2, 4, 8, 32)
"""Pixels of the picture for one cell of conv1_2, conv2_2, conv3_3, conv4_3 and pool5."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def vgg_layers(width: int, batch_norm: bool) -> tuple[nn.Sequential, list[int]]:
    """Return the layers numbered as in torchvision's ``features``, and the places of the five poolings."""
    layers: list[nn.Module] = []
    pools = []
    channels = 3
    for factor, count in BLOCKS:
        for _ in range(count):
            layers.append(nn.Conv2d(channels, factor * width, 3, padding=1))
            channels = factor * width
            layers += [nn.BatchNorm2d(channels)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
        pools.append(len(layers))
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers), pools


def initialise(module: nn.Module) -> None:
    """Draw weights as torchvision does for VGG: He's normal of the outputs, biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class _Encoder(nn.Module):
    """VGG-16's convolutions, and the pictures as they want them."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, batch_norm: bool) -> None:
        super().__init__()
        self.width, self.batch_norm = width, batch_norm
        self.features, self.pools = vgg_layers(width, batch_norm)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1), persistent=False)

    def _levels(self, pictures: Tensor, multiple: int, has_last_pool: bool) -> list[Tensor]:
        """Return the last convolution of each block, and pool5 if asked; sides are filled up to ``multiple``."""
        x = (pictures - self.mean) / self.deviation
        height, width = x.shape[2:]
        missing = -width % multiple, -height % multiple
        if any(missing):
            x = functional.pad(x, (0, missing[0], 0, missing[1]), mode="replicate")
        found = []
        for place, layer in enumerate(self.features):
            if place in self.pools:
                found.append(x)
                if place == self.pools[-1] and not has_last_pool:
                    break
            x = layer(x)
        return [*found, x] if has_last_pool else found


class VggTaps(_Encoder):
    """Give what hypercolumns are made of. Always in evaluation mode, and never trained."""

    def __init__(self, width: int, batch_norm: bool) -> None:
        super().__init__(width, batch_norm)
        initialise(self)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> VggTaps:
        """Stay in evaluation mode."""
        del mode
        super().train(False)
        return self

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels of the picture for one cell of each level."""
        return STRIDES

    @property
    def channels(self) -> int:
        """Length of a hypercolumn: 1472 at the full width."""
        return sum(factor for factor, _ in BLOCKS) * self.width

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Take (B, 3, H, W) in [0, 1] to conv1_2, conv2_2, conv3_3, conv4_3 (after their ReLU) and pool5."""
        levels = self._levels(pictures, STRIDES[-1], has_last_pool=True)
        return [*levels[:4], levels[5]]


class _Double(nn.Sequential):
    """Two 3x3 convolutions, each with a ReLU."""

    def __init__(self, channels: int, out: int, batch_norm: bool) -> None:
        layers: list[nn.Module] = []
        for given in (channels, out):
            layers.append(nn.Conv2d(given, out, 3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(out)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class VggSegmenter(_Encoder):
    """Give each pixel a class by a VGG-16 encoder and one of three decoders.

    Parameters
    ----------
    kind : {"unet", "deep-unet", "vgg"}
        ``unet`` goes down to conv5_3 (1/16), ``deep-unet`` one level more (1/32), both with skips from each block;
        ``vgg`` scores pool5 (1/32) and enlarges the scores, with no skips.
    outputs : int
        Classes with the background.
    width : int
        Channels of the first block; 64 in VGG-16.
    batch_norm : bool
        Whether convolutions are followed by batch normalisation (vgg16_bn).
    """

    def __init__(self, kind: str, outputs: int, width: int, batch_norm: bool) -> None:
        super().__init__(width, batch_norm)
        self.kind, self.outputs = kind, outputs
        top = BLOCKS[-1][0] * width
        channels = [factor * width for factor, _ in BLOCKS]
        if kind == "vgg":
            self.decoder: nn.Module = nn.Identity()
            self.bottom: nn.Module = _Double(top, top, batch_norm)
            self.head = nn.Conv2d(top, outputs, 1)
        else:
            skips = channels if kind == "deep-unet" else channels[:-1]
            self.bottom = _Double(top, top, batch_norm) if kind == "deep-unet" else nn.Identity()
            blocks = []
            below = top
            for own in reversed(skips):
                blocks.append(_Double(below + own, own, batch_norm))
                below = own
            self.decoder = nn.ModuleList(blocks)
            self.head = nn.Conv2d(below, outputs, 1)
        initialise(self)
        # All classes are equally likely at first, whatever the decoder gives.
        nn.init.normal_(self.head.weight, std=0.01)

    @property
    def stride(self) -> int:
        """Pixels of the picture for one cell of the smallest level."""
        return 16 if self.kind == "unet" else 32

    def forward(self, pictures: Tensor) -> Tensor:
        """Take (B, 3, H, W) in [0, 1] to scores (B, outputs, H, W); sides that do not divide are filled up inside."""
        height, width = pictures.shape[2:]
        *skips, x = self._levels(pictures, self.stride, has_last_pool=self.kind != "unet")
        x = self.bottom(x)
        if isinstance(self.decoder, nn.ModuleList):
            for block, skip in zip(self.decoder, reversed(skips), strict=True):
                x = block(torch.cat([functional.interpolate(x, scale_factor=2.0), skip], dim=1))
            return self.head(x)[..., :height, :width]  # type: ignore[no-any-return]
        scores = functional.interpolate(
            self.head(x), scale_factor=float(self.stride), mode="bilinear", align_corners=False
        )
        return scores[..., :height, :width]


class ColumnScores(nn.Module):
    """Score standardised hypercolumns linearly: what an SVM on them has learnt.

    Parameters
    ----------
    channels : int
        Length D of a hypercolumn.
    outputs : int
        Classes K with the background.
    """

    mean: Tensor
    deviation: Tensor
    is_seen: Tensor

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, channels))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.register_buffer("is_seen", torch.ones(outputs, dtype=torch.bool))

    def forward(self, columns: Tensor) -> Tensor:
        """Take hypercolumns (P, D) to scores (P, K)."""
        return functional.linear((columns - self.mean) / self.deviation, self.weight, self.bias)

    def score_levels(self, levels: list[Tensor]) -> list[Tensor]:
        """Take levels (B, h, w, C) to their shares of the scores (B, h, w, K).

        Interpolation and scores are linear both, and its weights sum to 1: interpolating K shares and adding them up
        is scoring interpolated hypercolumns, for a fraction of the work.
        """
        found = []
        begin = 0
        for level in levels:
            part = slice(begin, begin + level.shape[-1])
            begin = part.stop
            standard = (level - self.mean[part]) / self.deviation[part]
            found.append(functional.linear(standard, self.weight[:, part]))
        return found

"""Mix the colours of training pictures at random, so that a class is not learnt as the colours of its few objects."""

from __future__ import annotations

from typing import Any

from evfr._core.lazy import require

__all__ = ["recoloured"]

SHIFT = 30.0


def recoloured(images: Any, strength: float) -> Any:
    """Return pictures whose colours are a random affine function of theirs, one for each picture.

    Parameters
    ----------
    images : (B, 3, H, W) uint8 tensor
        RGB.
    strength : float
        0 or more. With s of U(0, 2 strength) for each picture, its colour c around its mean m becomes
        ``A (c - m) + m (1 - s) + 128 s + 30 s z``, where A is (1 - s) times the identity plus s / sqrt(3) times a
        matrix of N(0, 1), and z is of N(0, 1) for each channel.

    Returns
    -------
    (B, 3, H, W) float32 tensor
        In 0..255; nothing waits for the device.
    """
    torch = require("torch", extra="train")
    count, device = images.shape[0], images.device
    with torch.autocast(device.type, enabled=False):
        share = torch.rand((count, 1, 1), device=device) * (2 * strength)
        mixed = torch.randn((count, 3, 3), device=device) * (share / 3**0.5)
        mixing = torch.eye(3, device=device) * (1 - share) + mixed
        shift = torch.randn((count, 3, 1), device=device) * (SHIFT * share)
        flat = images.flatten(2).float()
        mean = flat.mean(dim=2, keepdim=True)
        made = torch.baddbmm(mean * (1 - share) + 128 * share + shift, mixing, flat - mean)
    return made.clamp_(0, 255).view(images.shape)

"""The small instance network `tiny`: one stage, fixed shapes, fast on a CPU."""

from __future__ import annotations

from typing import Any

from evfr._core.lazy import require
from evfr._core.rng import spawn_seed

__all__ = ["tiny_network"]


def tiny_network(class_count: int, *, width: int = 32, maps: int = 12, seed: int = 0) -> Any:
    """Build a small one-stage network that finds boxes and masks (after FCOS and YOLACT; see Notes).

    Parameters
    ----------
    class_count : int
        C, 1 or more.
    width : int
        Channels of the first layer, 8 or more; parameters grow with its square.
    maps : int
        Learnt maps in the basis of masks, 1 or more.
    seed : int
        Of the random weights.

    Returns
    -------
    torch.nn.Module
        From (B, 3, H, W) uint8 RGB to what each of the G cells of 8 x 8 pixels says; about 0.36 million parameters as
        it is by default. In evaluation mode.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    ValueError
        If a number is out of range.

    Notes
    -----
    Each cell gives a score for each class, a box and the coefficients of a mask [1]_, [2]_. A mask is a sum of maps
    that all objects of a picture share, as in YOLACT, and of a quadratic blob around the cell, which tells apart
    objects that look alike. It needs no anchors, no proposals and no host in between.

    References
    ----------
    .. [1] Tian, Shen, Chen, He: FCOS: Fully Convolutional One-Stage Object Detection. ICCV 2019, arXiv:1904.01355.
    .. [2] Bolya, Zhou, Xiao, Lee: YOLACT: Real-time Instance Segmentation. ICCV 2019, arXiv:1904.02689.
    """
    if class_count < 1 or width < 8 or maps < 1:
        raise ValueError(
            f"class_count and maps must be 1 or more and width 8 or more, got {class_count}, {maps} and {width}"
        )
    torch = require("torch", extra="train")
    modules = require("evfr.models._tiny_modules", extra="train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_seed(seed, "tiny"))
        return modules.TinyNetwork(class_count, width, maps).eval()

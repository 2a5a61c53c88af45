"""Build Seq Mask R-CNN (Lin et al. 2021): torchvision's Mask R-CNN with a head that carries masks along a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evfr._core.lazy import require
from evfr._core.rng import spawn_seed
from evfr._core.tensor_files import read_state_dict
from evfr.models._maskrcnn_build import RESNETS, current_names
from evfr.models._state import load_by_name

__all__ = ["seq_maskrcnn"]

_HEAD = "propagation."
_CLASS_LAYERS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")


def seq_maskrcnn(
    weights: str | Path | None = None,
    *,
    class_count: int,
    backbone: str = "resnet50",
    channels: int = 256,
    size: Sequence[int] = (640, 320),
    seed: int = 0,
) -> Any:
    """Build Seq Mask R-CNN: Mask R-CNN and a sequence-propagation head on one feature pyramid (Lin et al. 2021).

    Parameters
    ----------
    weights : path or None
        A state dict (``.safetensors``) that loads by name: either all of this network,
        or torchvision's ``maskrcnn_resnet50_fpn`` (the detector alone). None draws random weights.
    class_count : int
        Classes without background, 1 or more.
    backbone : str
        ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"resnet101"``, ``"resnet152"``, ``"resnext50_32x4d"``,
        ``"resnext101_32x8d"`` or ``"resnext101_64x4d"``.
    channels : int
        Width of the pyramid; the heads follow it. 256 is torchvision's, and needed for published weights.
    size : (int, int)
        Pictures are scaled until the longer or the shorter side reaches its one, keeping their aspect.
    seed : int
        Of random weights.

    Returns
    -------
    torch.nn.Module
        torchvision's ``MaskRCNN`` with a further child ``propagation``, in evaluation mode. Its attribute ``fresh``, a
        tuple of str, tells which parts have random weights: of a plain Mask R-CNN the propagation head, and the layers
        that name classes where the file has another number of classes. ``settings`` are this function's arguments.

    Raises
    ------
    MissingExtraError
        If torch or torchvision is not installed.
    InputError
        If the file cannot be read, or tensors are missing, unknown or misshapen: all are listed.
    ValueError
        If an argument is out of range.

    Notes
    -----
    Batch normalisation is frozen, as in torchvision's published detectors. Of a random backbone its statistics are set
    from noise, or features would grow from block to block.

    References
    ----------
    .. [1] Lin, Wu, Liu, Jia: Video Instance Segmentation with a Propose-Reduce Paradigm. ICCV 2021, arXiv:2103.13746.
    .. [2] Oh, Lee, Xu, Kim: Video Object Segmentation using Space-Time Memory Networks. ICCV 2019, arXiv:1904.00607.
    """
    if class_count < 1:
        raise ValueError(f"class_count must be 1 or more, got {class_count}")
    if backbone not in RESNETS:
        raise ValueError(f"backbone must be one of {', '.join(RESNETS)}, got {backbone!r}")
    if channels < 4:
        raise ValueError(f"channels must be 4 or more, got {channels}")
    if len(size) != 2 or min(size) < 32:
        raise ValueError(f"size must be two sides of 32 pixels or more, got {tuple(size)}")
    torch = require("torch", extra="train")
    modules = require("evfr.models._seq_maskrcnn_modules", extra="train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_seed(seed, "seq mask r-cnn"))
        module = modules.build_maskrcnn(backbone, class_count, channels, (int(size[0]), int(size[1])))
        module.propagation = modules.SequenceHead(channels)
        modules.calibrate(module.backbone.body)
    module.settings = {
        "class_count": class_count,
        "backbone": backbone,
        "channels": channels,
        "size": [int(side) for side in size],
    }
    module.fresh = ("backbone.", "rpn.", "roi_heads.", _HEAD)
    if weights is not None:
        path = Path(weights)
        module.fresh = _load(module, read_state_dict(path, extra="train"), path)
    return module.eval()


def _load(module: Any, state: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Load a whole network or a plain detector; return the beginnings of what the file did not give."""
    own = module.state_dict()
    given = current_names(state, path)
    fresh: tuple[str, ...] = ()
    if not any(name.startswith(_HEAD) for name in given):
        fresh = (_HEAD,)
        is_misfit = any(
            name.startswith(_CLASS_LAYERS) and name in own and own[name].shape != value.shape
            for name, value in given.items()
        )
        if is_misfit:
            fresh = (*fresh, *_CLASS_LAYERS)
    kept = {name: value for name, value in given.items() if not (fresh and name.startswith(fresh))}
    kept |= {name: value for name, value in own.items() if fresh and name.startswith(fresh)}
    load_by_name(module, kept, path)
    return fresh

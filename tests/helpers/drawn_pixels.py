"""Labelled clips whose classes are colours, and checkpoints of VGG-16 made small, for learners of pixels."""

from __future__ import annotations

import numpy as np

from evfr._core.labelled import LabelledClip
from helpers.tensors import save_tensors

COLOURS = {"red": (200, 70, 70), "blue": (70, 70, 200)}


def coloured_clip(seed, frames=4, height=32, width=64, *, side=16, video_id="drawn", noise=20, **options):
    """Draw a red and a blue square on grey noise, anywhere without overlap."""
    rng = np.random.default_rng(seed)
    images = rng.integers(100 - noise, 100 + noise, (frames, height, width, 3)).astype(np.uint8)
    ids = np.zeros((frames, height, width), np.uint8)
    for place in range(frames):
        halves = rng.permutation(2)
        for k, colour in enumerate(COLOURS.values(), start=1):
            y = rng.integers(0, height - side + 1)
            x = halves[k - 1] * (width // 2) + rng.integers(0, width // 2 - side + 1)
            texture = rng.integers(-noise, noise, (side, side, 3))
            images[place, y : y + side, x : x + side] = np.array(colour) + texture
            ids[place, y : y + side, x : x + side] = k
    category = np.tile(np.array([[0, 1]], np.int16), (frames, 1))
    return LabelledClip(video_id, np.arange(frames), images, ids, category, tuple(COLOURS), **options)


def truth_of(clip):
    """Return the label maps (F, H, W) of a clip."""
    return np.stack([clip.label_map(place) for place in range(len(clip))])


def torchvision_features(width, batch_norm, seed=0):
    """Return torchvision's own VGG-16 layers at another width, with weights and statistics drawn at random."""
    import torch
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(seed)
    plan = [item if item == "M" else item * width // 64 for item in cfgs["D"]]
    layers = make_layers(plan, batch_norm)
    for module in layers.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            torch.nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                torch.nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                torch.nn.init.normal_(tensor, std=0.1)
    return layers.eval()


def write_vgg(path, layers):
    """Write a state dict as torchvision's ``vgg16`` has it, with a classifier beyond ``features``."""
    import torch

    state = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    for place in (0, 3, 6):
        state |= {f"classifier.{place}.weight": torch.zeros(2, 2), f"classifier.{place}.bias": torch.zeros(2)}
    save_tensors(state, path)
    return path

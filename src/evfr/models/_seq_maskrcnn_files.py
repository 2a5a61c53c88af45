"""A trained Seq Mask R-CNN on disk: weights, and beside them what is needed to open them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evfr._core.annotations import Category
from evfr._core.atomic import atomic_write_bytes, make_folder
from evfr._core.lazy import require
from evfr.errors import InputError

__all__ = ["MODEL", "SETTINGS", "SeqSettings", "read_settings", "write_seq_maskrcnn"]

MODEL, SETTINGS = "model.safetensors", "model.json"
_KIND = "seq-maskrcnn"


@dataclass(frozen=True, slots=True)
class SeqSettings:
    """Say what a file of weights is.

    Attributes
    ----------
    categories : tuple of Category
        The classes.
    backbone : str
        See `seq_maskrcnn`.
    channels : int
        See `seq_maskrcnn`.
    size : (int, int)
        See `seq_maskrcnn`.
    memory_every : int
        Frames from one that propagation remembers to the next.
    memory_limit : int
        Frames that it remembers at most.
    """

    categories: tuple[Category, ...]
    backbone: str
    channels: int
    size: tuple[int, int]
    memory_every: int
    memory_limit: int


def write_seq_maskrcnn(
    module: Any,
    folder: Path,
    *,
    categories: Sequence[Category],
    memory_every: int = 5,
    memory_limit: int = 10,
    training: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write a network so that `evfr.models.open_detector` opens it without further options.

    Parameters
    ----------
    module : torch.nn.Module
        From `seq_maskrcnn`.
    folder : Path
        Made where it is missing.
    categories : sequence of Category
        As many as the network has classes.
    memory_every : int
        Frames from one that propagation remembers to the next.
    memory_limit : int
        Frames that it remembers at most.
    training : mapping or None
        How it was trained, for people to read; JSON values.

    Returns
    -------
    tuple of two Path
        ``model.safetensors`` and ``model.json``.

    Raises
    ------
    StoreError
        If it cannot be written.
    ValueError
        If there are not as many categories as classes.
    """
    settings = module.settings
    if len(categories) != settings["class_count"]:
        raise ValueError(
            f"the network has {settings['class_count']} classes, got {len(categories)} categories"
        )
    save = require("safetensors.torch", extra="train").save
    make_folder(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    note = {
        "kind": _KIND,
        "categories": [{"id": c.category_id, "name": c.name} for c in categories],
        "backbone": settings["backbone"],
        "channels": settings["channels"],
        "size": settings["size"],
        "memory_every": memory_every,
        "memory_limit": memory_limit,
        "training": dict(training or {}),
    }
    paths = folder / MODEL, folder / SETTINGS
    atomic_write_bytes(paths[0], save(tensors))
    atomic_write_bytes(paths[1], (json.dumps(note, indent=1) + "\n").encode())
    return paths


def read_settings(weights: Path) -> SeqSettings:
    """Read what `write_seq_maskrcnn` wrote beside the weights.

    Raises
    ------
    InputError
        If the file is missing, or is none of these.
    """
    path = weights.with_name(SETTINGS)
    try:
        note = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"{weights} needs {path.name} beside it, which says what the network is ({error.strerror}); "
            "evfr train seq-maskrcnn writes both"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    try:
        if note["kind"] != _KIND:
            raise InputError(f"{path} is of the kind {note['kind']!r}, not {_KIND!r}")
        longer, shorter = (int(side) for side in note["size"])
        return SeqSettings(
            tuple(Category(int(c["id"]), str(c["name"])) for c in note["categories"]),
            str(note["backbone"]),
            int(note["channels"]),
            (longer, shorter),
            int(note["memory_every"]),
            int(note["memory_limit"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} lacks something or has a value of another type ({type(error).__name__}: {error})"
        ) from error

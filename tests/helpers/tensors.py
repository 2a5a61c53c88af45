"""Write and read files of tensors as people have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evfr._core.tensor_state import read_state, write_state

__all__ = ["load_state", "save_state", "save_tensors"]


def save_tensors(tensors: Mapping[str, Any], path: Path) -> Path:
    """Write a state dict as other programs do: names to tensors, nothing else."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path)
    return path


def save_state(state: Mapping[str, Any], path: Path) -> Path:
    """Write nested values as evfr does."""
    write_state(state, path, extra="train")
    return path


def load_state(path: Path) -> dict[str, Any]:
    """Read nested values as evfr does."""
    return read_state(path, extra="train")

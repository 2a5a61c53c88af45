"""Files of weights: a hash that names them, and tensors without running what a pickle holds."""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evfr._core.lazy import require
from evfr.errors import InputError

__all__ = ["file_state", "files_digest", "read_state_dict", "tensor_names"]

_CHUNK = 1 << 22
_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OSError,
)
"""What torch raises for files that are damaged, or pickles of anything else."""


def file_state(path: Path) -> tuple[str, int, int]:
    """Return (path, size, time of change), which tells a file that was replaced.

    Raises
    ------
    InputError
        If there is no such file.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror}") from error
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def files_digest(paths: Iterable[Path], algorithm: str = "blake2b") -> str:
    """Return the hex hash of the bytes of the files, one after the other.

    Raises
    ------
    InputError
        If one cannot be read.
    """
    return _digest(tuple(file_state(path) for path in paths), algorithm)


@functools.lru_cache(maxsize=64)
def _digest(states: tuple[tuple[str, int, int], ...], algorithm: str) -> str:
    found = hashlib.blake2b(digest_size=16) if algorithm == "blake2b" else hashlib.new(algorithm)
    for path, size, _ in states:
        found.update(size.to_bytes(8, "little") if len(states) > 1 else b"")
        try:
            with Path(path).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
        except OSError as error:
            raise InputError(f"cannot read the weights {path}: {error.strerror}") from error
    return found.hexdigest()


def tensor_names(path: Path) -> set[str]:
    """Return the names of the tensors in a safetensors file, reading its header only.

    Raises
    ------
    InputError
        If it is no safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < 1 << 27 else None
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no safetensors file") from error
    if not isinstance(header, dict):
        raise InputError(f"{path} is no safetensors file")
    return set(header) - {"__metadata__"}


def read_state_dict(path: Path, *, extra: str) -> dict[str, Any]:
    """Return the tensors of a ``.safetensors`` file, or of a ``.pth``, ``.pt`` or ``.bin`` read as tensors only.

    Parameters
    ----------
    path : Path
        The file.
    extra : str
        The extra to name where torch or safetensors is not installed.

    Returns
    -------
    dict of str to tensor
        On the CPU; of a checkpoint its ``state_dict`` or ``model``.

    Raises
    ------
    MissingExtraError
        If torch or safetensors is not installed.
    InputError
        If the file cannot be read, is of another kind, or is a pickle of more than tensors.
    """
    if path.suffix == ".safetensors":
        tensor_names(path)
        try:
            return dict(require("safetensors.torch", extra=extra).load_file(path))
        except require("safetensors", extra=extra).SafetensorError as error:
            raise InputError(f"{path} is no whole safetensors file: {error}") from error
    if path.suffix not in (".pth", ".pt", ".bin"):
        raise InputError(f"weights must be a .safetensors, .pth, .pt or .bin file, got {path}")
    file_state(path)
    torch = require("torch", extra=extra)
    try:
        # torch warns of pickles that it then refuses.
        with warnings.catch_warnings(action="ignore"):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read as tensors only ({type(error).__name__}): it is damaged, or a pickle of more "
            "than tensors, which could run code; save its state_dict as .safetensors"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(torch.is_tensor(value) for value in found.values()):
        raise InputError(f"{path} holds no state_dict (names to tensors)")
    for name, value in found.items():
        # A stride of 0 makes one number stand for any size, and whatever copies the tensor takes that much memory.
        if value.layout != torch.strided or value.nbytes > value.untyped_storage().nbytes():
            raise InputError(
                f"{path}: the tensor {name!r:.80} claims {tuple(value.shape)}, more than the file holds; save it again "
                "as .safetensors"
            )
    return dict(found)

"""Files of weights: a hash that names them, and their tensors; no pickle is opened."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evfr._core.lazy import require
from evfr._core.tensor_state import STATE, read_state
from evfr.errors import InputError

__all__ = ["CONVERT", "PICKLES", "file_state", "files_digest", "read_state_dict", "tensor_names"]

_CHUNK = 1 << 22
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")
CONVERT = (
    "import sys, torch, safetensors.torch as s; t = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    "t = t.get('state_dict', t.get('model', t)); s.save_file({k: v.clone() for k, v in t.items()}, sys.argv[2])"
)
"""What a person who trusts a file of weights runs once."""


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
    return set(_header(path)) - {"__metadata__"}


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < 1 << 27 else None
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no safetensors file") from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise InputError(f"{path} is no safetensors file")
    return header


def read_state_dict(path: Path, *, extra: str) -> dict[str, Any]:
    """Return the tensors of a ``.safetensors`` file; a pickle is never opened.

    Parameters
    ----------
    path : Path
        The file: names to tensors, or a network that evfr trained.
    extra : str
        The extra to name where torch or safetensors is not installed.

    Returns
    -------
    dict of str to tensor
        On the CPU.

    Raises
    ------
    MissingExtraError
        If torch or safetensors is not installed.
    InputError
        If the file cannot be read or is of another kind; for a pickle the text has the line that converts it.
    """
    if path.suffix in PICKLES:
        file_state(path)
        raise InputError(
            f"{path} is a pickle, which can run code and is never opened; if you trust it, convert it once, and "
            f'give the .safetensors file: python -c "{CONVERT}" {path.name} {path.with_suffix(".safetensors").name}'
        )
    if path.suffix != ".safetensors":
        raise InputError(f"weights must be a .safetensors file, got {path}")
    is_ours = STATE in _header(path).get("__metadata__", {})
    try:
        if not is_ours:
            return dict(require("safetensors.torch", extra=extra).load_file(path))
        state = read_state(path, extra=extra)
    except (require("safetensors", extra=extra).SafetensorError, ValueError) as error:
        raise InputError(f"{path} is no whole safetensors file: {error}") from error
    found = state.get("state_dict", state.get("module"))
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no state_dict (names to tensors); give the weights of a network")
    return found

"""Nested plain values with tensors in them, as one safetensors file: what a pickle would be used for, without one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evfr._core.atomic import atomic_write_bytes
from evfr._core.lazy import require

__all__ = ["STATE", "read_state", "write_state"]

STATE = "evfr-state"
"""Key of the file's metadata that says how its tensors are nested."""
_TENSOR, _PAIRS, _TUPLE, _FLOAT = "tensor", "pairs", "tuple", "float"


def write_state(state: Mapping[str, Any], path: Path, *, extra: str) -> None:
    """Write tensors and plain values to a safetensors file that appears whole or not at all.

    Parameters
    ----------
    state : mapping
        Mappings, lists and tuples of tensors, numbers, texts, bools and None, nested as you like. Tensors are stored by
        their numbers: those that share memory do not after reading.
    path : Path
        The file.
    extra : str
        The extra to name where safetensors is not installed.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    torch = require("torch", extra=extra)
    tensors: dict[str, Any] = {}

    def pack(value: Any, place: str) -> Any:
        if torch.is_tensor(value):
            tensors[place] = value.detach().to("cpu", copy=True).contiguous()
            return {_TENSOR: place}
        if isinstance(value, Mapping):
            return {
                _PAIRS: [
                    [pack(k, ""), pack(v, f"{place}.{k}" if place else str(k))] for k, v in value.items()
                ]
            }
        if isinstance(value, list | tuple):
            items = [pack(item, f"{place}.{number}") for number, item in enumerate(value)]
            return {_TUPLE: items} if isinstance(value, tuple) else items
        if isinstance(value, float) and not math.isfinite(value):
            return {_FLOAT: repr(value)}
        if value is None or type(value) in (bool, int, float, str):
            return value
        raise TypeError(f"{place} is a {type(value).__name__}, which a file of tensors cannot hold")

    text = json.dumps(pack(state, ""), separators=(",", ":"), allow_nan=False)
    save = require("safetensors.torch", extra=extra).save
    atomic_write_bytes(path, save(tensors, metadata={STATE: text}))


def read_state(path: Path, *, extra: str, device: Any = "cpu") -> dict[str, Any]:
    """Read what `write_state` wrote.

    Parameters
    ----------
    path : Path
        The file.
    extra : str
        The extra to name where safetensors is not installed.
    device : str or torch.device
        Where the tensors go.

    Returns
    -------
    dict
        As it was given.

    Raises
    ------
    ValueError
        If the file is anything else; nothing that it holds is ever run.
    OSError
        If it cannot be read.
    """
    safetensors = require("safetensors", extra=extra)
    with path.open("rb"):  # says why it cannot be read, which safetensors does not
        pass
    try:
        with safetensors.safe_open(path, framework="pt", device=str(device)) as file:
            text = (file.metadata() or {}).get(STATE)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise ValueError(f"it is no whole safetensors file ({error})") from error
    if text is None:
        raise ValueError("it is a safetensors file of another program")
    try:
        state = _unpack(json.loads(text), tensors)
    except (KeyError, TypeError, RecursionError, ValueError) as error:
        raise ValueError(f"its metadata {STATE} is damaged ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise ValueError(f"its metadata {STATE} is no mapping")
    return state


def _unpack(value: Any, tensors: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == _TENSOR:
        return tensors[inner]
    if kind == _PAIRS:
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in inner}
    if kind == _TUPLE:
        return tuple(_unpack(item, tensors) for item in inner)
    if kind == _FLOAT:
        return float(inner)
    raise ValueError(f"{kind!r} stands for nothing")

"""Weights of embedding models: copied into a module by name, one load per process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

from evfr.errors import InputError

__all__ = ["load_into", "once"]

_KEPT_MODELS = 2
_loaded: OrderedDict[Hashable, Any] = OrderedDict()
_lock = threading.RLock()


def once(key: Hashable, load: Callable[[], Any]) -> Any:
    """Return what ``load`` gives for this key, from this process's memory if it was loaded lately."""
    with _lock:
        if key not in _loaded:
            _loaded[key] = load()
            while len(_loaded) > _KEPT_MODELS:
                _loaded.popitem(last=False)
        _loaded.move_to_end(key)
        return _loaded[key]


def load_into(module: Any, state: Mapping[str, Any], path: Path, *, head: tuple[str, ...]) -> None:
    """Copy tensors into a module without its classifier; every other name and shape must fit.

    Parameters
    ----------
    module : torch.nn.Module
        Without the classifier.
    state : mapping
        Names to tensors.
    path : Path
        Where they are from, for the error.
    head : tuple of str
        Names of the classifier's layers, whose tensors are left out.

    Raises
    ------
    InputError
        If a tensor is missing, not expected, or of another shape.
    """
    kept = {name: value for name, value in state.items() if not name.startswith(tuple(f"{h}." for h in head))}
    own = module.state_dict()
    missing = sorted(set(own) - set(kept))
    unexpected = sorted(set(kept) - set(own))
    misshapen = sorted(name for name in set(own) & set(kept) if own[name].shape != kept[name].shape)
    for what, names in (("lacks", missing), ("has unknown", unexpected), ("has misshapen", misshapen)):
        if names:
            some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise InputError(f"{path} is not for this model: it {what} {some}")
    module.load_state_dict(kept)

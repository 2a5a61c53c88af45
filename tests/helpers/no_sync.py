"""Refuse what makes the host wait for a device, or depend on what is there; record what was done instead."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "item")
COPIES = ("lift_fresh",)  # torch.tensor(number)


class NoSync(TorchDispatchMode):
    """Fail at operations that read values back; ``done`` is what was run, with the shapes it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert not name.startswith((*WAITS, *COPIES)), f"{name} makes the host wait for the device"
        if name in ("index", "index_put_", "index_put"):
            kinds = [part.dtype for part in args[1] if part is not None]
            assert torch.bool not in kinds, f"{name} by a mask makes the host wait for the device"
        found = func(*args, **(kwargs or {}))
        self.done.append((name, tuple(found.shape) if isinstance(found, torch.Tensor) else ()))
        return found

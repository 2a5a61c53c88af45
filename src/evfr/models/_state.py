"""State dicts of a user: renamed openly, loaded by name or refused with a list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evfr.errors import InputError

__all__ = ["load_by_name", "rename"]


def rename(state: Mapping[str, Any], names: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Return the tensors under our names, where ``names`` maps beginnings of theirs to beginnings of ours.

    The longest beginning that fits is used, up to a dot or the whole name; a name that none fits is kept.

    Raises
    ------
    InputError
        If an entry fits no tensor, or two tensors get one name.
    """
    found: dict[str, Any] = {}
    used = set()
    for name, tensor in state.items():
        fits = [old for old in names if name == old or name.startswith(old.rstrip(".") + ".")]
        new = name
        if fits:
            old = max(fits, key=len)
            used.add(old)
            new = names[old].rstrip(".") + name[len(old.rstrip(".")) :]
        if new in found:
            raise InputError(f"{path}: two tensors would be called {new}; mend the names given")
        found[new] = tensor
    unused = sorted(set(names) - used)
    if unused:
        some = ", ".join(sorted(state)[:8])
        raise InputError(f"{path} has no tensor {unused[0]!r} to rename; it has {some}")
    return found


def load_by_name(module: Any, state: Mapping[str, Any], path: Path, *, ignore: tuple[str, ...] = ()) -> None:
    """Copy tensors into a module; every name and every shape must fit.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    state : mapping of str to tensor
        Its tensors by name.
    path : Path
        Where they are from, for the error.
    ignore : tuple of str
        Beginnings of names that the file may hold beyond the network.

    Raises
    ------
    InputError
        If a tensor is missing, not expected, or of another shape; all of them are listed with their shapes.
    """
    own = module.state_dict()
    given = {
        name: value for name, value in state.items() if name in own or not name.startswith(ignore or ("\0",))
    }
    faults = [f"lacks {_told(name, own[name])}" for name in own if name not in given]
    faults += [f"has the unknown {_told(name, given[name])}" for name in given if name not in own]
    faults += [
        f"has {_told(name, given[name])} where {_told(name, own[name])} belongs"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    if faults:
        raise InputError(
            f"{path} is not for this network: it {'; it '.join(faults)}; "
            "if only names differ, give names={theirs: ours}"
        )
    module.load_state_dict(given)


def _told(name: str, tensor: Any) -> str:
    return f"{name} {'x'.join(map(str, tensor.shape)) or 'scalar'}"

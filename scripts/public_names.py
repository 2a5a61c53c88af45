"""List what is public, in the order of the reference: the package, then each family's ``__all__``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import evfr

MODULES = (
    "evfr",
    "evfr.video",
    "evfr.signals",
    "evfr.embeddings",
    "evfr.sampling",
    "evfr.annotations",
    "evfr.propagation",
    "evfr.sequences",
    "evfr.metrics",
    "evfr.augmentation",
    "evfr.models",
    "evfr.datasets",
    "evfr.training",
    "evfr.experiments",
    "evfr.distributed",
    "evfr.reports",
    "evfr.errors",
    "evfr.verbs.cvat_tracking",
)


def public_names() -> Iterator[tuple[str, str, Any]]:
    """Yield (module, name, value) for every public name; the verbs that no ``__all__`` lists come last."""
    from evfr.cli import COMMANDS, load

    for module in MODULES:
        loaded = importlib.import_module(module)
        for name in sorted(getattr(loaded, "__all__", ()), key=lambda name: (name.lower(), name)):
            yield module, name, getattr(loaded, name)
    for address in COMMANDS.values():
        module, _, name = address.partition(":")
        if name not in evfr.__all__:
            yield module, name, load(address)


def public_methods(value: type) -> Iterator[tuple[str, Any]]:
    """Yield (name, function or property) for the public methods that a class itself defines."""
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if isinstance(member, property) or inspect.isfunction(member):
            yield name, member

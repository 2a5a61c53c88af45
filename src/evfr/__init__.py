"""evfr, video frame redundancy: choose the frames worth labelling and prove what they are worth.

The verbs of the command line are functions here (`evfr.select`, `evfr.score`, ...); the pure functions under
them live in the families (`evfr.sampling`, `evfr.signals`, ...). Importing this module loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from evfr.errors import EvfrError

if TYPE_CHECKING:
    from evfr._core.embedding_set import EmbeddingSet
    from evfr._core.selection import Selection
    from evfr.experiments.advise import advise
    from evfr.experiments.experiment import experiment
    from evfr.verbs.dedup import dedup
    from evfr.verbs.embed import embed
    from evfr.verbs.evaluate import evaluate
    from evfr.verbs.export import export
    from evfr.verbs.extract import extract
    from evfr.verbs.import_ import import_
    from evfr.verbs.inspect import inspect
    from evfr.verbs.overlay import overlay
    from evfr.verbs.propagate import propagate
    from evfr.verbs.propose import propose
    from evfr.verbs.reduce import reduce
    from evfr.verbs.score import score
    from evfr.verbs.search import search
    from evfr.verbs.select import select
    from evfr.verbs.split import split
    from evfr.verbs.synth import synth
    from evfr.verbs.train import train
    from evfr.verbs.view import view
    from evfr.video import open_video

__version__ = "0.1.0"

_EXPORTS = {
    "EmbeddingSet": "evfr._core.embedding_set",
    "Selection": "evfr._core.selection",
    "advise": "evfr.experiments.advise",
    "dedup": "evfr.verbs.dedup",
    "embed": "evfr.verbs.embed",
    "evaluate": "evfr.verbs.evaluate",
    "experiment": "evfr.experiments.experiment",
    "export": "evfr.verbs.export",
    "extract": "evfr.verbs.extract",
    "import_": "evfr.verbs.import_",
    "inspect": "evfr.verbs.inspect",
    "open_video": "evfr.video",
    "overlay": "evfr.verbs.overlay",
    "propagate": "evfr.verbs.propagate",
    "propose": "evfr.verbs.propose",
    "reduce": "evfr.verbs.reduce",
    "score": "evfr.verbs.score",
    "search": "evfr.verbs.search",
    "select": "evfr.verbs.select",
    "split": "evfr.verbs.split",
    "synth": "evfr.verbs.synth",
    "train": "evfr.verbs.train",
    "view": "evfr.verbs.view",
}
_FAMILIES = (
    *(
        "annotations",
        "augmentation",
        "datasets",
        "distributed",
        "embeddings",
        "experiments",
        "metrics",
        "models",
    ),
    *("propagation", "reports", "sampling", "sequences", "signals", "training", "verbs", "video"),
)

__all__ = [
    "EmbeddingSet",
    "EvfrError",
    "Selection",
    "__version__",
    "advise",
    "dedup",
    "embed",
    "evaluate",
    "experiment",
    "export",
    "extract",
    "import_",
    "inspect",
    "open_video",
    "overlay",
    "propagate",
    "propose",
    "reduce",
    "score",
    "search",
    "select",
    "split",
    "synth",
    "train",
    "view",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        value = getattr(importlib.import_module(_EXPORTS[name]), name)
    elif name in _FAMILIES:
        value = importlib.import_module(f"evfr.{name}")
    else:
        raise AttributeError(f"module 'evfr' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS, *_FAMILIES})

"""Under which keys the measurements of a video are kept, and which signals make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.store import Store, StoreKey
    from evfr.verbs._measure import MeasureJob

__all__ = ["is_intact", "keys_of", "signal_setup"]

FRAMES_SCHEMA = 2


def is_intact(store: Store, key: StoreKey) -> bool:
    """Return whether the store has an entry that reads well; a damaged one is made again and replaced.

    Parameters
    ----------
    store : Store
        The store.
    key : StoreKey
        Of the entry.

    Returns
    -------
    bool
    """
    from evfr.errors import StoreError

    if not store.has(key):
        return False
    try:
        store.read_entry(key)
    except StoreError:
        return False
    return True


def keys_of(
    store: Store, job: MeasureJob, digest: str
) -> tuple[StoreKey, dict[str, StoreKey], dict[str, dict[str, Any]]]:
    """Return where a video's measurements are or will be.

    Parameters
    ----------
    store : Store
        The store.
    job : MeasureJob
        What is measured.
    digest : str
        The video's hash.

    Returns
    -------
    tuple of (StoreKey, dict, dict)
        Key of the frames, keys of the signals, parameters of the signals.
    """
    parameters, _ = signal_setup(job)
    frames = store.key(digest, "frames", _frame_parameters(job.damaged))
    signals = {
        name: store.key(digest, f"signal-{name}", {**parameters[name], **_frame_parameters(job.damaged)})
        for name in job.signals
    }
    return frames, signals, parameters


def signal_setup(job: MeasureJob) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return each signal's parameters and the signals themselves.

    Parameters
    ----------
    job : MeasureJob
        What is measured.

    Returns
    -------
    tuple of (dict, dict)
        Parameters for the store's keys, and the signals for `evfr.signals.score_frames`.
    """
    from evfr.embeddings import make_embedder
    from evfr.signals import make_signals, signal_parameters

    names = [name for name in job.signals if name != "feature" or job.feature is None]
    embedder = make_embedder(job.embedding or "thumbnail") if "feature" in names else None
    made = make_signals(names, profile=job.profile, embedder=embedder)
    parameters = {
        name: signal_parameters(name, profile=job.profile, embedder=embedder)
        if name in made
        else dict(job.feature or {})
        for name in job.signals
    }
    if embedder is not None and hasattr(embedder, "embed_prepared"):
        from evfr.verbs._embed_feature import feature_parameters

        parameters["feature"] = feature_parameters(embedder)
    return parameters, made


def _frame_parameters(damaged: str) -> dict[str, Any]:
    return {"damaged": damaged, "frames_schema": FRAMES_SCHEMA}

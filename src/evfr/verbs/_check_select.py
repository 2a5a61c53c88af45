"""What `evfr select` refuses before it decodes anything, and what it takes when nothing is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evfr.verbs._request import Request

__all__ = ["check_request", "default_signal", "refuse_choices"]


def default_signal(
    method: str, every: int | None, fps: float | None, pool: float | None
) -> Literal["flow", "feature", "none"]:
    """Return the signal that is measured when the caller names none.

    Parameters
    ----------
    method : str
        The sampler.
    every, fps
        Which frames are embedded.
    pool
        Whether pools are made.

    Returns
    -------
    str
        ``"flow"``; for methods on embeddings ``"feature"``, or ``"none"`` where not all frames are embedded
        or only pools are read.
    """
    from evfr.sampling import SAMPLERS, takes_embeddings

    if method not in SAMPLERS or not takes_embeddings(SAMPLERS[method]):
        return "flow"
    return "feature" if every is None and fps is None and pool is None else "none"


def refuse_choices(
    inputs: Sequence[str | Path],
    request: Request,
    strides: Sequence[int],
    labels: Path | None,
    dry_run: bool,
) -> None:
    """Refuse whatever a manifest decides itself: it would be ignored in silence.

    Parameters
    ----------
    inputs : sequence of path
        Must be empty.
    request : Request
        Must be all defaults.
    strides, labels, dry_run
        Must be left out.

    Raises
    ------
    ValueError
        If any is given.
    """
    if inputs:
        raise ValueError("from_ brings its own inputs; give a manifest or paths, not both")
    asked = request.to_dict()
    given = [name for name, value in type(request)().to_dict().items() if asked[name] != value]
    more = {"strides": strides, "labels": labels, "dry_run": dry_run}
    given += [name for name, value in more.items() if value]
    if given:
        raise ValueError(
            f"from_ repeats what its manifest says; leave out {', '.join(given)}, or select from the videos again"
        )


def check_request(request: Request, strides: Sequence[int], labels: Path | None) -> None:
    """Refuse words that stand for nothing and choices that contradict each other, before anything is decoded.

    Parameters
    ----------
    request : Request
        What was asked for.
    strides : sequence of int
        Strides of reduced datasets.
    labels : Path or None
        The class check's labels.

    Raises
    ------
    ValueError
        If a word is unknown or two choices contradict each other.
    TypeError
        If the method has no such option.
    """
    from inspect import signature

    from evfr.sampling import SAMPLERS, SUPPLIED, is_greedy, takes_embeddings
    from evfr.signals import PROFILES, SIGNALS

    for name, value, allowed in (
        ("method", request.method, tuple(SAMPLERS)),
        ("signal", request.signal, (*SIGNALS, "none")),
        ("profile", request.profile, tuple(PROFILES)),
        ("allocation", request.allocation, ("duration", "equal", "activity")),
        ("damaged", request.damaged, ("drop", "keep", "fail")),
        ("image_format", request.image_format, ("jpg", "png")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    parameters = signature(SAMPLERS[request.method]).parameters.values()
    options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in SUPPLIED]
    unknown = sorted(set(request.method_options) - set(options))
    if unknown:
        raise TypeError(
            f"method {request.method} has no option {', '.join(unknown)}; it has {', '.join(options)}"
        )
    is_embedded = takes_embeddings(SAMPLERS[request.method])
    if request.signal == "none" and request.method not in ("uniform", "random") and not is_embedded:
        raise ValueError(f"method {request.method} needs a signal; choose one, or method uniform or random")
    if request.signal == "none" and request.allocation == "activity":
        raise ValueError("allocation by activity needs a signal; choose one, or another allocation")
    if request.embedding is not None and request.signal != "feature" and not is_embedded:
        raise ValueError(
            f"embedding is for methods on embeddings and the signal feature; method is {request.method}, "
            f"signal {request.signal}"
        )
    for name in ("every", "fps"):
        if getattr(request, name) is not None and not is_embedded:
            raise ValueError(
                f"{name} thins the frames that are embedded; method {request.method} embeds none"
            )
    if request.pool is not None and (not is_embedded or not is_greedy(request.method) or strides):
        raise ValueError("pool is for one selection by farthest or facility")
    if request.pool is not None and set(request.method_options) - {"metric"}:
        raise ValueError(f"with pool, method {request.method} has the option metric alone")
    if (request.every or request.fps) and request.signal == "feature":
        raise ValueError(
            "signal feature compares consecutive frames; leave every and fps out, or give signal none"
        )
    if request.floor_share and not is_greedy(request.method):
        raise ValueError(f"floor_share is for farthest and facility; method is {request.method}")
    if strides:
        if any(stride < 1 for stride in strides) or len(set(strides)) != len(strides):
            raise ValueError(f"strides must be different and 1 or more, got {list(strides)}")
        if any(value is not None for value in (request.n, request.ratio, request.stride)):
            raise ValueError("strides are the budgets; do not give n, ratio or stride as well")
    if labels is not None and not strides:
        raise ValueError("labels are for the class check of strides; give strides as well")

"""Bind a method of label carry to one video: its options, and where its motion comes from."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.gop import CodedClip
    from evfr._core.motion import StepFields
    from evfr.propagation import CovosCost, Propagator
    from evfr.verbs._measure import Measured

__all__ = ["SUPPLIED", "BoundMethod", "bind_method", "option_identity"]

SUPPLIED = ("interval", "steps", "stream", "cost")
"""Parameters of a method that the verb fills in."""


def __getattr__(name: str) -> Any:
    if name == "METHODS":  # the families load when a method is asked for, not with the command line
        from evfr.propagation import PROPAGATORS
        from evfr.verbs._carry_covos import covos

        return {**PROPAGATORS, "covos": covos}
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True, slots=True)
class BoundMethod:
    """Hold a propagator that needs nothing but the interval.

    Attributes
    ----------
    name : str
        Of the method.
    propagator : callable
        ``(interval) -> Carried``.
    parameters : mapping or None
        All that its result depends on besides the interval; None for a callable of the caller's.
    used : list of str
        Makers of step fields, filled in as they run.
    cost : CovosCost or None
        What a run of CoVOS cost, filled in as it runs.
    """

    name: str
    propagator: Propagator
    parameters: Mapping[str, Any] | None
    used: list[str] = field(default_factory=list)
    cost: CovosCost | None = None

    def notes(self) -> list[str]:
        """Return where motion came from and what it cost, in words."""
        notes = [f"motion from {', '.join(dict.fromkeys(self.used))}"] if self.used else []
        if self.cost is not None and self.cost.key_count + self.cost.carried_count:
            notes.append(str(self.cost))
        return notes


def bind_method(
    method: str | Propagator, options: Mapping[str, object], measured: Measured, damaged: Any
) -> BoundMethod:
    """Find a method by name, check its options, and give it the step fields that a video offers.

    Parameters
    ----------
    method : str or callable
        A key of `evfr.propagation.PROPAGATORS`, or a propagator.
    options : mapping
        Own options of the method.
    measured : Measured
        The video.
    damaged : str
        As in `evfr.select`.

    Returns
    -------
    BoundMethod
        Ready to be called for each stretch.

    Raises
    ------
    ValueError
        If there is no such method, or it has no such option.
    """
    from evfr.propagation import CovosCost

    methods = __getattr__("METHODS")
    if isinstance(method, str):
        if method not in methods:
            raise ValueError(f"method must be one of {', '.join(methods)} or a callable, got {method!r}")
        name, function = method, methods[method]
    else:
        name, function = getattr(method, "__name__", type(method).__name__), method
    own = [p for p in inspect.signature(function).parameters if p not in SUPPLIED]
    if unknown := [key for key in options if key not in own]:
        raise ValueError(f"method {name} has no option {unknown[0]!r}; it has {', '.join(own) or 'none'}")
    used: list[str] = []
    stream = _Stream(measured) if measured.source.kind == "file" else None
    steps = {key: _recorded(key, maker, used) for key, maker in _makers(stream).items()}
    given: dict[str, Any] = {"steps": steps}
    cost = None
    if method == "covos":
        cost = CovosCost()
        given = {"cost": cost, "stream": None if stream is None else stream.coded_clip}
    propagator = functools.partial(function, **given, **dict(options))
    parameters = None
    if isinstance(method, str):
        parameters = option_identity(options)
    return BoundMethod(name, propagator, parameters, used, cost)


def option_identity(options: Mapping[str, object]) -> dict[str, Any] | None:
    """Return all that tells options from any others, for keys of the store.

    Parameters
    ----------
    options : mapping
        Options by name; a path that is there counts by the bytes behind it.

    Returns
    -------
    dict or None
        JSON values; None where an option is no plain word, and nothing can be kept.
    """
    if not all(_is_word(value) for value in options.values()):
        return None
    return {
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in options.items()},
        "versions": _versions(),
        **_files(options),
    }


def _is_word(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_word(item) for key, item in value.items())
    return value is None or isinstance(value, str | int | float | bool | Path)


def _files(options: Mapping[str, object]) -> dict[str, Any]:
    """Name files and folders of weights by what they are, not by where they lie."""
    from evfr._core.tensor_files import files_digest

    found: dict[str, Any] = {}
    for key, value in options.items():
        if not isinstance(value, str | Path) or not str(value) or not Path(value).exists():
            continue
        path = Path(value)
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        found[f"file-{key}"] = [[str(p.relative_to(path)), files_digest([p])] for p in files]
    return found


def _versions() -> dict[str, str]:
    from evfr.verbs._manifest import versions

    return versions()


class _Stream:
    """Open the stream's vectors at the first use; a video without any says so then."""

    def __init__(self, measured: Measured) -> None:
        self._path = measured.source.path
        self._vectors: Any = None

    def _opened(self) -> Any:
        from evfr.video import StreamVectors

        if self._vectors is None:
            self._vectors = StreamVectors(self._path)
        return self._vectors

    def step_fields(self, frames: Sequence[NDArray[np.uint8]], frame_index: NDArray[np.int64]) -> StepFields:
        """Return the motion between the frames of a stretch."""
        fields: StepFields = self._opened().step_fields(frames, frame_index)
        return fields

    def coded_clip(self, first: int, stop: int) -> CodedClip:
        """Return types, decoding order and vectors of a stretch."""
        clip: CodedClip = self._opened().coded_clip(first, stop)
        return clip


def _makers(stream: _Stream | None) -> dict[str, Callable[..., StepFields]]:
    """Return the makers of step fields that come from the video family: the proxy's and the stream's own vectors."""
    from evfr.video import proxy_step_fields

    makers: dict[str, Callable[..., StepFields]] = {"proxy": proxy_step_fields}
    if stream is not None:
        makers["stream"] = stream.step_fields
    return makers


def _recorded(name: str, maker: Callable[..., StepFields], used: list[str]) -> Callable[..., StepFields]:
    def make(frames: Sequence[NDArray[np.uint8]], frame_index: NDArray[np.int64]) -> StepFields:
        fields = maker(frames, frame_index)
        used.append(f"{name} ({fields.name})" if fields.name != name else name)
        return fields

    return make

"""How `evfr propose` carries what was detected: the methods of `evfr propagate`, and a detector's own head."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from evfr.verbs._carry_method import BoundMethod, bind_method

if TYPE_CHECKING:
    from evfr._core.motion import StepFieldMaker
    from evfr.propagation import Carried, Interval, Propagator
    from evfr.verbs._measure import Measured
    from evfr.verbs._propose_detect import Opened

__all__ = ["choose_method", "detector_head"]


def __getattr__(name: str) -> Any:
    if name == "METHODS":
        from evfr.verbs import _carry_method

        return {**_carry_method.METHODS, "detector": detector_head}
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def detector_head(
    interval: Interval, *, steps: Mapping[str, StepFieldMaker] | None = None, open_session: Any = None
) -> Carried:
    """Carry masks by the propagation head of the detector itself (Seq Mask R-CNN of Lin et al. 2021).

    Parameters
    ----------
    interval : Interval
        Frames and the labels at one end.
    steps : mapping of str to StepFieldMaker or None
        Not used.
    open_session : SessionMaker
        What opens sessions of the detector.

    Returns
    -------
    Carried
        As `evfr.propagation.session` returns it.
    """
    from evfr.propagation import session as carry_session

    return carry_session(interval, steps=steps, session=open_session)


def choose_method(
    method: str | Propagator, options: Mapping[str, object], opened: Opened, measured: Measured, damaged: Any
) -> tuple[BoundMethod, bool]:
    """Bind a method by name, and say whether it can travel to a child process.

    Parameters
    ----------
    method : str or callable
        A key of METHODS, or a propagator.
    options : mapping
        Own options of the method.
    opened : Opened
        The detector, for its own head.
    measured : Measured
        The video.
    damaged : str
        As in `evfr.select`.

    Returns
    -------
    tuple of (BoundMethod, bool)
        The method; True where name and options say all about it.

    Raises
    ------
    ValueError
        If there is no such method, it has no such option, or the detector cannot carry.
    """
    known = __getattr__("METHODS")
    if method == "detector":
        return _detector_method(opened, options), False
    if isinstance(method, str) and method not in known:
        raise ValueError(f"method must be one of {', '.join(known)} or a callable, got {method!r}")
    bound = bind_method(method, options, measured, damaged)
    return bound, bound.parameters is not None


def _detector_method(opened: Opened, options: Mapping[str, object]) -> BoundMethod:
    maker: Callable[[], Any] | None = getattr(opened.model, "open_session", None)
    if maker is None:
        raise ValueError(
            "method detector needs a detector that carries masks itself (attribute open_session, as Seq Mask R-CNN "
            f"has); {opened.name} has none. Take method motion, default or another"
        )
    if options:
        raise ValueError(f"method detector has no option {next(iter(options))!r}; it has none")
    propagator = functools.partial(detector_head, open_session=maker)
    return BoundMethod("detector", propagator, opened.identity)

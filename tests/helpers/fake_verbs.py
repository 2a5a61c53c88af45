"""Verbs and methods without video, to test what the command line makes of a signature."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evfr._core.progress import current_progress
from evfr._core.types import Problem
from evfr.errors import ConstraintError, ProblemCode, VideoError

CALLS: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Result:
    values: dict[str, Any]
    problems: tuple[Problem, ...] = ()
    failed_count: int = field(default=0)

    def to_dict(self) -> dict[str, Any]:
        return self.values

    def __str__(self) -> str:
        return "\n".join(f"{name} = {value}" for name, value in self.values.items())


def pick(
    paths: Sequence[str | Path] = (),
    *,
    n: int | None = None,
    ratio: float | None = None,
    method: str | Callable[..., Any] = "even",
    method_options: Mapping[str, object] | None = None,
    signals: Sequence[str] = ("flow", "ssim"),
    strides: Sequence[int] | None = None,
    include: Sequence[str] = (),
    size: Literal["small", "large"] = "small",
    jobs: int | Literal["auto"] = "auto",
    minimum: Mapping[str, int] | None = None,
    labels: Path | None = None,
    from_: str | Path | None = None,
    is_dry: bool = False,
    thumbnails: bool = True,
    min_gap_seconds: float = 0.5,
    limit: int | None = 9,
) -> Result:
    """Pick things: the summary line.

    More text, with ``code`` and [/x] in it.

    Parameters
    ----------
    paths : sequence of path
        What to pick from.
    n : int or None
        How many; None asks ``ratio``.
    ratio : float or None, in (0, 1]
        Which share.
    method : str or callable
        How: even or odd.
    method_options : mapping or None
        Own options of the method.
    signals : sequence of str
        Which signals, of `flow`, `ssim`.
    strides : sequence of int or None
        Strides.
    include : sequence of str
        Frames that must be in.
    size : {"small", "large"}
        How large.
    jobs : int or "auto"
        Processes.
    minimum : mapping of str to int, or None
        Least number per video.
    labels : path or None
        A file.
    from_ : path or None
        An earlier result.
    is_dry : bool
        Only say.

    Other Parameters
    ----------------
    thumbnails : bool
        Make thumbnails.

        A second paragraph.
    min_gap_seconds : float, seconds
        Least gap.
    limit : int or None
        Most; None is no limit. Counts ``paths``.

    Returns
    -------
    Result
        What was asked.
    """
    keywords = dict(locals())
    CALLS.append(keywords)
    return Result({name: str(value) for name, value in keywords.items()})


def fail(kind: str, *, text: str = "it broke") -> Result:
    """Fail in the way asked.

    Parameters
    ----------
    kind : str
        Which way.
    text : str
        What to say.
    """
    progress = current_progress()
    progress.start("failing", 2)
    progress.advance(1, "a\x1b[31mb")
    if kind == "wait":
        print("waiting", flush=True)
        time.sleep(60)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "bad-input":
        problem = Problem(ProblemCode.E_CONTAINER, "no container", "a\nb.mp4")
        return Result({"x": float("nan")}, (problem,), 1)
    if kind == "warning":
        return Result({"x": 1.0}, (Problem(ProblemCode.W_CORRUPT, "two packets", "c.mp4", 7, 2),))
    if kind == "video":
        raise VideoError(Problem(ProblemCode.E_EMPTY, text, "v.mp4"))
    kinds = {"constraint": ConstraintError, "os": OSError, "value": ValueError, "internal": ZeroDivisionError}
    raise kinds[kind](text)


def even(
    weights: Sequence[float], n: int, *, seed: int = 0, start: Literal["first", "last"] = "first"
) -> None:
    """Pick evenly.

    Parameters
    ----------
    weights : (N,) float64
        Ignored.
    n : int
        How many.
    seed : int
        Ignored.
    start : {"first", "last"}
        Where to begin.
    """


def odd(weights: Sequence[float], n: int, *, seed: int = 0, strength: float = 0.5) -> None:
    """Pick oddly.

    Parameters
    ----------
    weights : (N,) float64
        Used.
    n : int
        How many.
    seed : int
        Of the draw.
    strength : float, in [0, 1]
        How oddly.
    """


METHODS = {"even": even, "odd": odd}

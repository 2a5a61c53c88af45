"""Read what the page asks for into the request that `evfr select` would make of the same words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.verbs._request import FrameNames, Request
    from evfr.verbs._view_folder import ViewFolder

__all__ = ["read_request", "refuse"]

BUDGETS = ("n", "ratio", "stride")
_WHOLE = ("n", "stride", "seed", "per_video_min", "per_video_max", "per_scene_min", "min_gap", "max_gap")
_REAL = ("ratio", "floor_share", "min_gap_seconds", "max_gap_seconds", "min_sharpness", "max_clipped")
_WORDS = ("method", "signal", "embedding", "allocation")
_FRAMES = ("include", "exclude", "labeled")
_OTHERS = ("options", "places")
_NULLABLE = frozenset({*_WHOLE, *_REAL, "embedding"} - {"seed"})
_FRAMES_MOST = 200_000


class Refusal(ValueError):
    """A request that says nothing that can be done; the text says which word, and what is allowed."""


def refuse(text: str) -> Refusal:
    """Return the error of a request."""
    return Refusal(text)


def read_request(data: Any, folder: ViewFolder) -> tuple[Request, tuple[int, ...]]:
    """Read the page's words; what they leave out stays as the folder's own selection has it.

    Parameters
    ----------
    data : object
        JSON: ``n``, ``ratio`` or ``stride``; ``method`` with ``options``; ``include``, ``exclude``, ``labeled`` as
        lists of [place, frame_index], added to the folder's own; other keywords of `evfr.select` by their names;
        ``places`` for some of the videos.
    folder : ViewFolder
        What is shown.

    Returns
    -------
    request : Request
        Checked as the command line checks it.
    places : tuple of int
        The videos it is over.

    Raises
    ------
    ValueError
        If a word is unknown, of a wrong type or not allowed.
    """
    from evfr.verbs._check_select import check_request

    if not isinstance(data, dict):
        raise refuse("a request must be a JSON object")
    known = (*_WHOLE, *_REAL, *_WORDS, *_FRAMES, *_OTHERS)
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise refuse(f"the viewer does not know {', '.join(unknown)[:200]!r}; it takes {', '.join(known)}")
    base = folder.request
    if base.pool is not None:
        raise refuse("this selection was made from pools, which the viewer does not make; run evfr select")
    places = _places(data.get("places"), folder)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if value is None and name in _NULLABLE:
            values[name] = None
        elif name in _WHOLE:
            values[name] = _number(name, value, is_whole=True)
        elif name in _REAL:
            values[name] = _number(name, value, is_whole=False)
        elif name in _WORDS:
            values[name] = _word(name, value)
        elif name in _FRAMES:
            values[name] = _union(getattr(base, name), _frames(name, value, folder))
    given = [name for name in BUDGETS if values.get(name) is not None]
    if len(given) > 1:
        raise refuse(f"give one of n, ratio and stride, got {' and '.join(given)}")
    if given:
        values |= {name: None for name in BUDGETS if name != given[0]}
    method = values.get("method", base.method)
    if "options" in data:
        values["method_options"] = _options(method, data["options"])
    elif method != base.method:
        values["method_options"] = {}
    if "embedding" in values and values["embedding"] != base.embedding:
        values |= _embedding(values["embedding"])
    request = replace(base, **values)
    if len(places) < len(folder.videos):
        request = _only(request, {folder.videos[place].video_id for place in places})
    try:
        check_request(request, (), None)
    except TypeError as error:
        raise refuse(str(error)) from error
    return request, places


def _places(value: Any, folder: ViewFolder) -> tuple[int, ...]:
    count = len(folder.videos)
    if value is None:
        return tuple(range(count))
    if not isinstance(value, list) or not value or len(value) > count:
        raise refuse(f"places must be a list of 1 to {count} places of videos")
    for place in value:
        if not _is_whole(place) or not 0 <= place < count:
            raise refuse(f"places must lie in 0..{count - 1}, got {str(place)[:40]}")
    if len(set(value)) != len(value):
        raise refuse("places must be different")
    return tuple(sorted(value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(name: str, value: Any, *, is_whole: bool) -> int | float:
    if _is_whole(value) and abs(value) < 2**53:
        return int(value) if is_whole else float(value)
    if not is_whole and isinstance(value, float) and math.isfinite(value):
        return value
    kind = "a whole number" if is_whole else "a number"
    raise refuse(f"{name} must be {kind}, got {str(value)[:40]!r}")


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise refuse(f"{name} must be a word, got {str(value)[:40]!r}")
    return value


def _frames(name: str, value: Any, folder: ViewFolder) -> FrameNames:
    if not isinstance(value, list) or len(value) > _FRAMES_MOST:
        raise refuse(f"{name} must be a list of at most {_FRAMES_MOST} pairs [place, frame_index]")
    found = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(_is_whole(item) for item in pair):
            raise refuse(f"{name} must hold pairs [place, frame_index], got {str(pair)[:40]!r}")
        place, index = pair
        if not 0 <= place < len(folder.videos) or not 0 <= index < 2**53:
            raise refuse(f"{name}: there is no frame {index} of a video {place}")
        found.append((folder.videos[place].video_id, index))
    return tuple(found)


def _union(old: FrameNames, new: FrameNames) -> FrameNames:
    """Add frames to those that the command named, which may leave the only video unnamed."""
    named = set(old)
    return (
        *old,
        *(pair for pair in dict.fromkeys(new) if pair not in named and (None, pair[1]) not in named),
    )


def _options(method: str, value: Any) -> dict[str, Any]:
    """Read the method's own options as the command line reads its words."""
    from evfr._core.signature import convert, read_signature
    from evfr.sampling import SAMPLERS, SUPPLIED

    if not isinstance(value, Mapping):
        raise refuse("options must be a JSON object of the method's own options")
    if method not in SAMPLERS:
        raise refuse(f"method must be one of {', '.join(SAMPLERS)}, got {method!r}")
    specs = {
        spec.name: spec
        for spec in read_signature(
            SAMPLERS[method], skip=(*SUPPLIED, "weights", "embeddings", "n", "stride")
        ).parameters
        if not spec.is_argument and "Path" not in spec.types
    }
    found: dict[str, Any] = {}
    for name, given in value.items():
        if name not in specs:
            raise refuse(f"method {method} has no option {name[:40]!r}; it has {', '.join(specs) or 'none'}")
        spec = specs[name]
        if spec.is_flag:
            if not isinstance(given, bool):
                raise refuse(f"option {name} is true or false, got {str(given)[:40]!r}")
            found[name] = given
        elif given is None and spec.is_optional:
            found[name] = None
        else:
            found[name] = _converted(name, lambda words, spec=spec: convert(spec, words), given)
    return {name: item for name, item in found.items() if item != specs[name].default}


def _converted(name: str, read: Any, given: Any) -> Any:
    items: Sequence[Any] = given if isinstance(given, list) else [given]
    if len(items) > 1000 or any(
        isinstance(item, bool) or not isinstance(item, int | float | str) for item in items
    ):
        raise refuse(f"option {name} must be a number or a word, got {str(given)[:40]!r}")
    try:
        return read([str(item) for item in items])
    except ValueError as error:
        raise refuse(f"option {name}: {error}") from error


def _embedding(name: str | None) -> dict[str, Any]:
    """Allow embeddings by name alone: the page opens no file and loads no model."""
    from evfr.embeddings import EMBEDDERS

    if name is not None and name not in EMBEDDERS:
        raise refuse(
            f"embedding must be one of {', '.join(EMBEDDERS)}, or that of the selection that is viewed, got {name!r}"
        )
    return {"weights": None, "precision": "auto", "model_options": {}, "every": None, "fps": None}


def _only(request: Request, names: set[str]) -> Request:
    """Leave out named frames of videos that the request is not over."""
    own: dict[str, Any] = {
        field: tuple(pair for pair in getattr(request, field) if pair[0] is None or pair[0] in names)
        for field in _FRAMES
    }
    return replace(request, **own)

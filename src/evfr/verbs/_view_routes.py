"""What the viewer answers about the folder: its state, the list of its videos, one video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_app import place_of, whole
from evfr.verbs._view_state import features, head, named_frames, saved_names, summary

if TYPE_CHECKING:
    from evfr.verbs._view_session import ViewSession

__all__ = ["state", "video", "videos"]

_LIMIT_MOST = 1000
_INPUTS_MOST = 200


def state(token: str) -> Callable[[ViewSession, Mapping[str, str]], Any]:
    """Return the function behind ``/api/state``: the head of the report, and what can be done.

    Parameters
    ----------
    token : str
        Of this start.

    Returns
    -------
    callable
        (session, words) to JSON.
    """

    def answer(session: ViewSession, words: Mapping[str, str]) -> Any:
        return {
            "report": head(session),
            "kind": session.folder.kind,
            "notes": list(session.folder.notes),
            "can_edit": session.is_editable,
            "token": token,
            "methods": method_options(),
            "features": features(session),
            "saved": saved_names(session.folder.root),
            "named": named_frames(session),
        }

    return answer


def method_options() -> dict[str, list[dict[str, Any]]]:
    """Return the options of every method, as the command line offers them.

    Returns
    -------
    dict
        Lists of ``option``, ``type``, ``default`` and ``help`` by method.
    """
    from evfr._core.signature import read_signature
    from evfr.sampling import SAMPLERS, SUPPLIED

    found = {}
    for name, sampler in SAMPLERS.items():
        specs = read_signature(sampler, skip=(*SUPPLIED, "weights", "embeddings", "n", "stride")).parameters
        found[name] = [
            {"option": spec.name, "type": spec.metavar, "default": spec.default, "help": spec.help}
            for spec in specs
            if not spec.is_argument
        ]
    return found


def videos(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/videos``: a page of the list."""
    offset = whole(words, "offset", 0, 0, 10**9)
    limit = whole(words, "limit", _INPUTS_MOST, 1, _LIMIT_MOST)
    stop = min(offset + limit, len(session))
    return [summary(session, place) for place in range(offset, stop)]


def video(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/video/{place}``: one video as a report holds it."""
    from evfr.reports._encode import encode_video

    return encode_video(session.report(place_of(session, words)))

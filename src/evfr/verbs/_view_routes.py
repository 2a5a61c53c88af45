"""What each address of the viewer answers: functions of the session and the words of the address or the body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_address import Refused, place_of, whole
from evfr.verbs._view_state import features, head, named_frames, saved_names, summary

if TYPE_CHECKING:
    from evfr.verbs._view_session import ViewSession

__all__ = [
    "frame",
    "labels",
    "map_points",
    "media",
    "neighbours",
    "review",
    "save",
    "select",
    "state",
    "video",
    "videos",
]

WIDTH_LEAST, WIDTH_MOST = 16, 1920
RANGE_WORD, TAG_WORD = "header:range", "header:if-none-match"
"""Words beside those of the address; no address can spell them."""
_LIMIT_MOST = 1000
_PART = 200


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
        Lists of ``option``, ``type``, ``choices``, ``default`` and ``help`` by method.
    """
    from evfr._core.signature import read_signature
    from evfr.sampling import SAMPLERS, SUPPLIED

    found = {}
    for name, sampler in SAMPLERS.items():
        specs = read_signature(sampler, skip=(*SUPPLIED, "weights", "embeddings", "n", "stride")).parameters
        found[name] = [
            {
                "option": spec.name,
                "type": "bool" if spec.is_flag else "|".join(spec.types) or "str",
                "choices": list(spec.choices),
                "default": spec.default,
                "help": spec.help,
            }
            for spec in specs
            if not spec.is_argument and "Path" not in spec.types
        ]
    return found


def videos(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/videos``: a page of the list."""
    offset = whole(words, "offset", 0, 0, 10**9)
    limit = whole(words, "limit", _PART, 1, _LIMIT_MOST)
    stop = min(offset + limit, len(session))
    return [summary(session, place) for place in range(offset, stop)]


def video(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/video/{place}``: one video as a report holds it."""
    from evfr.reports._encode import encode_video

    return encode_video(session.report(place_of(session, words)))


def frame(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/frame/{place}/{frame_index}.jpg``: exactly that frame, upright."""
    from starlette.responses import Response

    place, opened, index = _frame_of(session, words)
    width = whole(words, "width", WIDTH_MOST, WIDTH_LEAST, WIDTH_MOST)
    source, table = opened.measured.source, opened.measured.table
    tag = f'"{opened.measured.digest[:32]}-{index}-{width}"'
    headers = {"cache-control": "private, no-cache", "etag": tag}
    if words.get(TAG_WORD) == tag:
        return Response(status_code=304, headers=headers)
    picture = session.frames.picture(place, source, table, opened.stamp, index, width)
    return Response(picture, headers=headers, media_type="image/jpeg")


def _frame_of(session: ViewSession, words: Mapping[str, str]) -> tuple[int, Any, int]:
    """Return the video and the frame of an address; the video can be shown."""
    place = place_of(session, words)
    opened = session.opened(place)
    if opened.table is None:
        raise Refused(409, str(opened.measured.problems[0]))
    index = whole(words, "frame_index", None, 0, len(opened.table) - 1)
    return place, opened, index


def media(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/media/{place}``: the file itself where a browser plays it."""
    from evfr.verbs._view_media import MediaAnswer, NoMedia, open_media

    opened = session.opened(place_of(session, words))
    if opened.table is None:
        raise Refused(409, str(opened.measured.problems[0]))
    try:
        found = open_media(opened.measured.source)
    except NoMedia as error:
        raise Refused(415, str(error)) from error
    if found.stamp != opened.stamp:
        found.close()
        raise Refused(409, "the file is changing; try again")
    return MediaAnswer(found, words.get(RANGE_WORD))


def labels(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/labels/{place}``: what lies on some frames."""
    from evfr.verbs._view_labels import FRAMES_MOST, encode_frames

    place = place_of(session, words)
    if not session.labels:
        raise Refused(404, "no labels are shown; start evfr view with --labels FILE")
    opened = session.opened(place)
    most = max(0, (0 if opened.table is None else len(opened.table)) - 1)
    first = whole(words, "first", 0, 0, most)
    last = whole(words, "last", min(first + FRAMES_MOST - 1, most), first, most)
    if last - first >= FRAMES_MOST:
        raise Refused(422, f"at most {FRAMES_MOST} frames at a time, got {last - first + 1}")
    return encode_frames(session.labels.of(session, place), first, last)


def map_points(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/map``: the embeddings in two dimensions."""
    from evfr.verbs._view_map import NoMap, map_of

    limit = whole(words, "limit", 5000, 2, 50_000)
    try:
        return map_of(session, limit)
    except NoMap as error:
        raise Refused(404, str(error)) from error


def neighbours(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/neighbours/{place}/{frame_index}``: the dropped frames nearest to one."""
    from evfr.verbs._view_map import neighbours_of

    place, _, index = _frame_of(session, words)
    return neighbours_of(session, place, index, whole(words, "limit", 12, 1, 200))


def review(session: ViewSession, words: Mapping[str, str]) -> Any:
    """Answer ``/api/review``: the frames that ask for a label."""
    from evfr.verbs._view_labels import review_rows

    if session.folder.kind != "review":
        raise Refused(404, "this is no review folder; view the one that evfr propagate wrote")
    return review_rows(session)


def select(session: ViewSession, data: Any) -> Any:
    """Answer a post to ``/api/select``: another selection, which saving then saves."""
    from evfr.verbs._view_select import encode_answer

    answer = session.selector.select(data)
    encoded = encode_answer(answer, session)
    session.answer = answer
    return encoded


def save(session: ViewSession, data: Any) -> Any:
    """Answer a post to ``/api/save``: write the selection asked for last below the folder."""
    from evfr.verbs._view_save import NameTaken, save_below
    from evfr.verbs._view_select import selection_of

    if not session.is_editable:
        raise Refused(403, "this viewer changes nothing; start evfr view with --edit to save")
    if not isinstance(data, dict) or set(data) != {"name"}:
        raise Refused(422, "a save is a JSON object with name alone")
    answer = session.answer
    if answer is None:
        raise Refused(422, "nothing was selected here yet; change the budget, the method or a pin first")
    try:
        folder = save_below(selection_of(answer, session), session.folder.root, data["name"])
    except NameTaken as error:
        raise Refused(409, str(error)) from error
    return {"folder": str(folder), "name": folder.name, "saved": saved_names(session.folder.root)}

"""The viewer's addresses: what each answers, from the session, in the report's own encoding."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_guard import BODY_MOST, BodyTooLarge, Guard

if TYPE_CHECKING:
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

    from evfr.verbs._view_session import ViewSession

__all__ = ["Refused", "make_app"]

NO_STORE = {"cache-control": "no-store"}


class Refused(Exception):
    """A request that cannot be answered: status, and one sentence for the page."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def make_app(session: ViewSession, *, token: str, port: int) -> Guard:
    """Return the viewer as an ASGI application.

    Parameters
    ----------
    session : ViewSession
        What it shows.
    token : str
        Of this start.
    port : int
        Where it will listen.

    Returns
    -------
    Guard
        The application behind its guard.
    """
    from evfr._core.lazy import require

    starlette = require("starlette.applications", extra="view")
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    from evfr.verbs import _view_routes as routes

    def get(path: str, function: Callable[..., Any]) -> Route:
        return Route(path, _endpoint(session, function), methods=["GET"])

    app = starlette.Starlette(
        routes=[
            Route("/", _page(token), methods=["GET"]),
            Route("/assets/{name}", _asset, methods=["GET"]),
            get("/api/state", routes.state(token)),
            get("/api/videos", routes.videos),
            get("/api/video/{place}", routes.video),
        ],
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            BodyTooLarge: _too_large,
            Exception: _crashed,
        },
    )
    return Guard(app, session, token=token, port=port)


def _endpoint(
    session: ViewSession, function: Callable[..., Any]
) -> Callable[[HttpRequest], Awaitable[Response]]:
    """Run a plain function of (session, words) in a thread: a slow one keeps no other waiting."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response

    async def answer(request: HttpRequest) -> Response:
        words: dict[str, str] = {**request.query_params, **request.path_params}
        if len(words) != len(request.query_params.multi_items()) + len(request.path_params):
            raise Refused(400, "a word of the address is given twice")
        found = await run_in_threadpool(function, session, words)
        return found if isinstance(found, Response) else json_response(found)

    return answer


def json_response(data: Any, status: int = 200) -> Response:
    """Return data as JSON that is safe wherever it is shown: ASCII, no NaN, never kept by the browser."""
    from starlette.responses import Response

    from evfr.reports._page import block_text

    return Response(block_text(data), status, NO_STORE, media_type="application/json")


def whole(words: Mapping[str, str], name: str, default: int | None, low: int, high: int) -> int:
    """Return a whole number out of the address.

    Parameters
    ----------
    words : mapping of str to str
        The address's words.
    name : str
        Which.
    default : int or None
        Where it is left out; None refuses that.
    low, high : int
        Smallest and largest allowed.

    Returns
    -------
    int
        In [low, high].

    Raises
    ------
    Refused
        If it is no such number.
    """
    text = words.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise Refused(422, f"{name} must be a whole number from {low} to {high}, got {(text or '')[:40]!r}")
    return int(text)


def place_of(session: ViewSession, words: Mapping[str, str]) -> int:
    """Return the place of a video out of the address; `Refused` with 404 if there is none."""
    text = words["place"]
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) >= len(session):
        raise Refused(404, f"there is no video {text[:40]!r}; places go from 0 to {len(session) - 1}")
    return int(text)


def _page(token: str) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def answer(request: HttpRequest) -> Response:
        from starlette.responses import HTMLResponse

        from evfr.reports._viewer_page import render_viewer

        return HTMLResponse(render_viewer(token), headers=NO_STORE)

    return answer


async def _asset(request: HttpRequest) -> Response:
    from starlette.responses import Response

    from evfr.reports._viewer_page import viewer_asset

    try:
        content, media_type = viewer_asset(request.path_params["name"])
    except ValueError as error:
        raise Refused(404, "the viewer has no such file") from error
    return Response(content, headers={"cache-control": "no-cache"}, media_type=media_type)


async def _refused(request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return json_response({"error": str(error)}, error.status)


async def _http_error(request: HttpRequest, error: Exception) -> Response:
    status = getattr(error, "status_code", 400)
    reason = {404: "the viewer has no such address", 405: "this address does not take that method"}
    return json_response({"error": reason.get(status, str(getattr(error, "detail", "refused")))}, status)


async def _too_large(request: HttpRequest, error: Exception) -> Response:
    return json_response({"error": f"a request holds at most {BODY_MOST} bytes; send fewer frames"}, 413)


async def _crashed(request: HttpRequest, error: Exception) -> Response:
    return json_response({"error": f"internal error ({type(error).__name__}); see the terminal"}, 500)


def read_json(data: bytes) -> Any:
    """Read a request's JSON: no NaN, no number that no field could mean, no depth that ends the process.

    Parameters
    ----------
    data : bytes
        The body.

    Returns
    -------
    object
        What it says.

    Raises
    ------
    Refused
        If it is no such JSON.
    """

    def refuse(text: str) -> Any:
        raise Refused(400, f"the number {text[:20]} is not allowed")

    def integer(text: str) -> int:
        return int(text) if len(text) <= 20 else refuse(text)

    def real(text: str) -> float:
        value = float(text)
        return value if abs(value) < 1e300 else refuse(text)

    try:
        return json.loads(data, parse_int=integer, parse_float=real, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the request is no readable JSON ({type(error).__name__})") from error

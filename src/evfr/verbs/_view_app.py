"""The viewer's addresses: what each answers, from the session, in the report's own encoding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_address import Refused, read_json
from evfr.verbs._view_guard import BODY_MOST, BodyTooLarge, Guard

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

    from evfr.verbs._view_session import ViewSession

__all__ = ["make_app"]

NO_STORE = {"cache-control": "no-store"}


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
    from anyio import CapacityLimiter
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    from evfr.verbs import _view_routes as routes

    # Whoever waits for a slow video or a large map takes no thread from the rest.
    decoding, heavy = CapacityLimiter(8), CapacityLimiter(2)

    def get(path: str, function: Callable[..., Any], limiter: CapacityLimiter | None = None) -> Route:
        return Route(path, _endpoint(session, function, limiter), methods=["GET"])

    app = starlette.Starlette(
        routes=[
            Route("/", _page(token), methods=["GET"]),
            Route("/assets/{name}", _asset, methods=["GET"]),
            get("/api/state", routes.state(token)),
            get("/api/videos", routes.videos),
            get("/api/video/{place}", routes.video),
            get("/api/frame/{place}/{frame_index}.jpg", routes.frame, decoding),
            get("/api/media/{place}", routes.media),
            get("/api/labels/{place}", routes.labels),
            get("/api/map", routes.map_points, heavy),
            get("/api/neighbours/{place}/{frame_index}", routes.neighbours, heavy),
            get("/api/review", routes.review),
            Route("/api/select", _posted(session, routes.select), methods=["POST"]),
            Route("/api/save", _posted(session, routes.save), methods=["POST"]),
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
    session: ViewSession, function: Callable[..., Any], limiter: CapacityLimiter | None
) -> Callable[[HttpRequest], Awaitable[Response]]:
    """Run a plain function of (session, words) in a thread: a slow one keeps no other waiting."""
    from anyio import to_thread

    from evfr.verbs._view_routes import RANGE_WORD, TAG_WORD

    async def answer(request: HttpRequest) -> Any:
        words: dict[str, str] = {**request.query_params, **request.path_params}
        if len(words) != len(request.query_params.multi_items()) + len(request.path_params):
            raise Refused(400, "a word of the address is given twice")
        for word, name in ((RANGE_WORD, "range"), (TAG_WORD, "if-none-match")):
            words.pop(word, None)
            if name in request.headers:
                words[word] = ",".join(request.headers.getlist(name))
        with _refusing():
            found = await to_thread.run_sync(function, session, words, limiter=limiter)
        return found if callable(found) else json_response(found)

    return answer


def _posted(
    session: ViewSession, function: Callable[..., Any]
) -> Callable[[HttpRequest], Awaitable[Response]]:
    """Run a plain function of (session, JSON) in a thread, one at a time: the others wait without a thread."""
    import asyncio

    from anyio import to_thread

    turn = asyncio.Lock()

    async def answer(request: HttpRequest) -> Response:
        data = read_json(await request.body())
        async with turn:
            with _refusing():
                return json_response(await to_thread.run_sync(function, session, data))

    return answer


@contextmanager
def _refusing() -> Iterator[None]:
    """Say what cannot be done in the words of the error that says so."""
    from evfr.errors import EvfrError
    from evfr.verbs._view_measured import NotMeasured

    try:
        yield
    except (NotMeasured, EvfrError, ValueError) as error:
        raise Refused(422, str(error)) from error


def json_response(data: Any, status: int = 200) -> Response:
    """Return data as JSON that is safe wherever it is shown: ASCII, no NaN, never kept by the browser."""
    from starlette.responses import Response

    from evfr.reports._page import block_text

    return Response(block_text(data), status, NO_STORE, media_type="application/json")


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

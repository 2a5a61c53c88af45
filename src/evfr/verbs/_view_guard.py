"""Who may talk to the viewer: this machine's browser, with the address and the token of this start, and nobody else.

Written against the plain ASGI interface, so that no answer leaves without the headers, not even an error.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from evfr.verbs._view_session import ViewSession

__all__ = [
    "BODY_MOST",
    "HEADERS",
    "BodyTooLarge",
    "Guard",
    "Receive",
    "Scope",
    "Send",
    "cookie_name",
    "cookie_value",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_MOST = 1 << 20
"""Bytes of a request's body; a larger one is refused unread."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
"""What every answer carries."""

_METHODS = ("GET", "HEAD", "POST")
_PATH = re.compile(r"/[A-Za-z0-9._/-]{0,200}")


def cookie_name(port: int) -> str:
    """Return the name of the cookie: cookies know no ports, and two viewers may be open.

    Parameters
    ----------
    port : int
        Of this viewer.

    Returns
    -------
    str
        A cookie name.
    """
    return f"evfr-view-{port}"


def cookie_value(token: str) -> str:
    """Return what stands in the cookie: not the token, so that it opens no writing wherever it is sent.

    A browser sends the cookies of 127.0.0.1 to the servers of all its ports.

    Parameters
    ----------
    token : str
        Of this start.

    Returns
    -------
    str
        64 hexadecimal digits that the token cannot be found from.
    """
    return hmac.new(token.encode(), b"evfr view cookie", hashlib.sha256).hexdigest()


class Guard:
    """Let a request pass to the viewer, or refuse it.

    Parameters
    ----------
    app : callable
        The ASGI application behind it.
    session : ViewSession
        What is shown.
    token : str
        Of this start.
    port : int
        Where it listens.
    """

    def __init__(self, app: App, session: ViewSession, *, token: str, port: int) -> None:
        self.session = session
        self._app = app
        self._token = token
        self._cookie_name = cookie_name(port)
        self._cookie = cookie_value(token)
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no page of ours opens a WebSocket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in HEADERS}
                own = [(name, value) for name, value in message.get("headers", ()) if name not in names]
                message = {**message, "headers": [*own, *HEADERS]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(sealed, *refusal)
            return
        if scope["path"] == "/" and scope["method"] in ("GET", "HEAD") and scope.get("query_string"):
            await self._enter(sealed)
            return
        await self._app(scope, _Body(receive), sealed)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason, or None for a request that may pass."""
        headers = _Headers(scope["headers"])
        method, path = scope["method"], scope["path"]
        host = headers.only("host")
        if host not in self._hosts:
            return 421, f"this viewer answers to {self._hosts[0]} alone; open the address that it printed"
        if method not in _METHODS:
            return 405, f"the viewer takes {', '.join(_METHODS)}"
        if not _PATH.fullmatch(path) or ".." in path or b"%" in scope.get("raw_path", b""):
            return 404, "the viewer has no such address"
        site = headers.only("sec-fetch-site", "none")
        if site not in ("same-origin", "none"):
            return 403, "another site may not ask the viewer for anything"
        origin = headers.only("origin", "" if method == "POST" else f"http://{host}")
        if origin != f"http://{host}":
            return 403, "only the viewer's own page may ask the viewer for anything"
        if self._is_entry(scope):
            return None
        if not self._may_pass(headers, is_write=method == "POST"):
            return 403, "the token is missing or not this start's; open the address that the viewer printed"
        if method == "POST":
            if headers.only("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return 415, "the viewer takes application/json"
            length = headers.only("content-length", "0")
            if not re.fullmatch(r"\d{1,18}", length) or int(length) > BODY_MOST:
                return 413, f"a request holds at most {BODY_MOST} bytes; send fewer frames at a time"
        return None

    def _is_entry(self, scope: Scope) -> bool:
        """Whether this is the printed address, with this start's token."""
        if scope["path"] != "/" or scope["method"] not in ("GET", "HEAD"):
            return False
        try:
            pairs = parse_qsl(
                scope.get("query_string", b"").decode("ascii"), keep_blank_values=True, max_num_fields=4
            )
        except ValueError:
            return False
        given = [value for name, value in pairs if name == "token"]
        return len(given) == 1 and _equal(given[0], self._token)

    def _may_pass(self, headers: _Headers, *, is_write: bool) -> bool:
        if _equal(headers.only("x-evfr-token", ""), self._token):
            return True
        return not is_write and any(
            _equal(value, self._cookie) for value in headers.cookies(self._cookie_name)
        )

    async def _enter(self, send: Send) -> None:
        """Put the token out of sight: into a cookie, and out of the address."""
        cookie = f"{self._cookie_name}={self._cookie}; HttpOnly; SameSite=Strict; Path=/"
        await send(
            {
                "type": "http.response.start",
                "status": 303,
                "headers": [
                    (b"location", b"/"),
                    (b"set-cookie", cookie.encode()),
                    (b"cache-control", b"no-store"),
                    (b"content-length", b"0"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": b""})


class BodyTooLarge(Exception):
    """More bytes came than a request may hold."""


class _Body:
    """Hand on a request's body, and stop where it grows beyond what is allowed, whatever it claimed."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._count = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        if self._count > BODY_MOST:
            raise BodyTooLarge
        return message


class _Headers:
    """See a request's headers, where a name given twice is as good as none."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in pairs]

    def only(self, name: str, missing: str = "") -> str:
        """Return the one value; ``missing`` if there is none, and nothing that is ever allowed if there are several."""
        values = [value.strip() for key, value in self._pairs if key == name]
        if not values:
            return missing
        return values[0] if len(values) == 1 else "\0"

    def cookies(self, name: str) -> list[str]:
        """Return the values of a cookie, at most four."""
        found = []
        for key, value in self._pairs:
            if key == "cookie":
                parts = (part.strip().partition("=") for part in value.split(";"))
                found += [text for own, _, text in parts if own == name]
        return found[:4]


def _equal(given: str, expected: str) -> bool:
    # Over digests: neither content nor length shows in the time it takes.
    left, right = (hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, expected))
    return hmac.compare_digest(left, right)


async def _answer(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

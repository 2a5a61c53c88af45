"""Read ranges of a web address, connecting only to addresses that were checked.

The standard library's client is used rather than one that follows redirects and resolves names by itself: each
redirect is held against the allowed prefixes, and the connection goes to the very address that was looked at.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urljoin

from evfr._core.remote import RemoteAccess, RemoteUrl, addresses_of, parse_url
from evfr.errors import InputError, ProblemCode
from evfr.video._container import fail, printable
from evfr.video._remote_transport import Dropped, Identity, Sink, changed, refused

__all__ = ["HttpTransport"]

TIMEOUT_SECONDS = 30.0
_REDIRECTS_MOST = 5
_PIECE_BYTES = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_WAIT_MOST_SECONDS = 30.0
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_RACY_SECONDS = 2.0


class _Connection(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked; encrypted for https."""

    def __init__(self, url: RemoteUrl, access: RemoteAccess) -> None:
        host, port = url.host_and_port
        self._access = access
        self._context = ssl.create_default_context() if url.scheme == "https" else None
        if url.scheme == "https":
            self.default_port = 443
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)

    def connect(self) -> None:
        """Connect to the first address that answers."""
        reason: OSError | None = None
        for family, address in addresses_of(
            self.host, self.port, is_private_allowed=self._access.is_private_allowed
        ):
            self.sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                self.sock.settimeout(TIMEOUT_SECONDS)
                self.sock.connect((address, self.port))
                if self._context is not None:
                    self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
                return
            except OSError as error:
                self.sock.close()
                self.sock = None
                reason = error
        raise reason or OSError("no address")


class HttpTransport:
    """Reach one file by ``https://`` or ``http://``.

    Parameters
    ----------
    url : RemoteUrl
        Allowed by ``access``.
    access : RemoteAccess
        What redirects are held against.
    """

    def __init__(self, url: RemoteUrl, access: RemoteAccess) -> None:
        self._url, self._access = url, access
        self._target = url
        self._connection: _Connection | None = None
        self._response: http.client.HTTPResponse | None = None

    def close(self) -> None:
        """Close the connection, and the answer that was not read to its end."""
        if self._response is not None:
            self._response.close()
            self._response = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def identify(self) -> Identity:
        """Ask for the first byte: addresses signed for GET answer no HEAD."""
        response = self._ask({"Range": "bytes=0-0"})
        self.close()  # without ranges the answer is the whole file
        if response.status == 416:
            total = re.fullmatch(r"bytes \*/(\d+)", response.getheader("Content-Range", ""))
            if total and int(total[1]) == 0:
                return Identity(0, "")
        if response.status not in (200, 206):
            raise refused(self._url, response.status)
        if response.status == 206:
            found = _RANGE.fullmatch(response.getheader("Content-Range", ""))
            if not found or int(found[1]) != 0:
                raise self._nonsense("it answers another range than was asked for")
            size, has_ranges = int(found[3]), True
        else:
            length = response.getheader("Content-Length", "")
            if not length.isdecimal():
                raise self._nonsense("it does not say how long the file is")
            size, has_ranges = int(length), False
        entity, tag = _tags(response)
        return Identity(size, tag, entity, "", has_ranges)

    def fetch(self, start: int, stop: int, identity: Identity, sink: Sink) -> None:
        """Hand out the bytes of one range."""
        headers = {"Range": f"bytes={start}-{stop - 1}"} if identity.has_ranges else {}
        if identity.entity_tag and not identity.entity_tag.startswith("W/"):
            headers["If-Match"] = identity.entity_tag
        response = self._ask(headers)
        if response.status == 412:
            raise changed(self._url)
        if response.status not in (200, 206):
            raise refused(self._url, response.status)
        if _tags(response)[1] != identity.tag:
            raise changed(self._url)
        skip = self._check_range(response, start, stop, identity)
        left = stop - start
        while left:
            try:
                piece = response.read(min(_PIECE_BYTES, left + skip))
            except (OSError, http.client.HTTPException) as error:
                raise self._dropped(error) from error
            if not piece:
                raise self._dropped(f"the connection ended {left} bytes early")
            dropped, skip = min(skip, len(piece)), max(0, skip - len(piece))
            left -= len(piece) - dropped
            sink(piece[dropped:])
        if not response.isclosed():
            self.close()

    def _check_range(
        self, response: http.client.HTTPResponse, start: int, stop: int, identity: Identity
    ) -> int:
        """Return how many bytes come before ``start``."""
        if response.status == 206:
            found = _RANGE.fullmatch(response.getheader("Content-Range", ""))
            if not found or int(found[1]) != start or int(found[2]) > stop - 1:
                raise self._nonsense("it answers another range than was asked for")
            if int(found[3]) != identity.size:
                raise changed(self._url)
            return 0
        length = response.getheader("Content-Length", "")
        if length.isdecimal() and int(length) != identity.size:
            raise changed(self._url)
        return start

    def _ask(self, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Send a request, following redirects that are allowed."""
        for _ in range(_REDIRECTS_MOST + 1):
            response = self._send(headers)
            if response.status in _REDIRECTS:
                self._follow(response.getheader("Location", ""))
                continue
            if response.status in _TRY_AGAIN:
                wait = response.getheader("Retry-After", "")
                raise self._dropped(
                    f"the server answers {response.status}", float(wait) if wait.isdecimal() else 0.0
                )
            if response.status in (401, 403) and self._target != self._url:
                # What a redirect led to was perhaps signed for a short time: go the way again.
                self.close()
                self._target = self._url
                continue
            if response.getheader("Content-Encoding", "identity").lower() not in ("identity", ""):
                raise self._nonsense("it sends the file compressed, though told not to")
            return response
        raise self._nonsense(f"it redirects more than {_REDIRECTS_MOST} times")

    def _send(self, headers: dict[str, str]) -> http.client.HTTPResponse:
        is_reused = self._connection is not None
        connection = self._connection or _Connection(self._target, self._access)
        self._connection = connection
        path = quote(self._target.path, safe="/%:@!$&'()*+,;=~-._")
        query = quote(self._target.query, safe="/%:@!$&'()*+,;=~-._?")
        try:
            connection.request(
                "GET",
                f"{path}?{query}" if query else path,
                headers={"Accept-Encoding": "identity", "User-Agent": "evfr", **headers},
            )
            self._response = connection.getresponse()
            return self._response
        except InputError as error:
            self.close()
            raise fail(ProblemCode.E_UNREADABLE, f"not connected: {error}", self._url.shown) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if is_reused:
                return self._send(headers)  # the server closed a connection that was idle
            if isinstance(error, ssl.SSLCertVerificationError):
                raise fail(
                    ProblemCode.E_UNREADABLE,
                    f"its certificate is refused: {error.verify_message}",
                    self._url.shown,
                ) from error
            raise self._dropped(error) from error

    def _follow(self, location: str) -> None:
        self.close()
        try:
            target = parse_url(urljoin(self._target.text, location))
            self._access.check(target)
        except (InputError, ValueError) as error:
            raise fail(
                ProblemCode.E_UNREADABLE, f"a redirect that is not followed: {error}", self._url.shown
            ) from error
        if not target.is_web:
            raise fail(ProblemCode.E_UNREADABLE, "a redirect out of the web is not followed", self._url.shown)
        self._target = target

    def _dropped(self, reason: object, wait_seconds: float = 0.0) -> Dropped:
        self.close()
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return Dropped(printable(text), min(wait_seconds, _WAIT_MOST_SECONDS))

    def _nonsense(self, what: str) -> Exception:
        self.close()
        return fail(
            ProblemCode.E_UNREADABLE, f"the server cannot be used: {what}; fetch it first", self._url.shown
        )


def _tags(response: http.client.HTTPResponse) -> tuple[str, str]:
    """Return the entity tag, and what changes with the bytes: nothing, where a second is too coarse to tell."""
    entity, modified = response.getheader("ETag", ""), response.getheader("Last-Modified", "")
    if entity and not entity.startswith("W/"):
        return entity, f"{entity} {modified}"
    if modified:
        with contextlib.suppress(ValueError, TypeError):
            then, now = parsedate_to_datetime(modified), parsedate_to_datetime(response.getheader("Date", ""))
            if (now - then).total_seconds() > _RACY_SECONDS:
                return entity, f"{entity} {modified}"
    return entity, ""

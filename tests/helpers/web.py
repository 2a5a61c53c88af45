"""A web server on loopback that serves bytes by ranges, and misbehaves when told to."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LAST_MODIFIED = "Mon, 05 Feb 2024 10:00:00 GMT"


@dataclass
class Site:
    """What a server offers, what it was asked, and how it misbehaves.

    Attributes
    ----------
    files : dict of str to bytes
        By path.
    requests : list of (str, str)
        Path with query, and the range asked for.
    fault : callable or None
        ``fault(handler, number)``: answer in another way and return True; numbers count requests from 0.
    has_ranges, has_tags : bool
        Whether ranges are served, and entity tags and dates sent.
    drop_after : list of int
        Bytes of the body after which the connections of the next requests are cut.
    """

    files: dict[str, bytes]
    requests: list[tuple[str, str]] = field(default_factory=list)
    fault: Callable[[Any, int], bool] | None = None
    has_ranges: bool = True
    has_tags: bool = True
    drop_after: list[int] = field(default_factory=list)
    url: str = ""

    @property
    def asked(self) -> list[str]:
        """The ranges asked for."""
        return [wanted for _, wanted in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        """Answer in one go."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer with a range of a file."""
        site: Site = self.server.site  # type: ignore[attr-defined]
        wanted = self.headers.get("Range", "")
        number = len(site.requests)
        site.requests.append((self.path, wanted))
        if site.fault is not None and site.fault(self, number):
            return
        data = site.files.get(self.path.partition("?")[0])
        if data is None:
            self.reply(404)
            return
        tag = f'"{hash(data) & 0xFFFFFFFF:08x}"'
        if self.headers.get("If-Match", tag) != tag:
            self.reply(412)
            return
        headers = {"ETag": tag, "Last-Modified": LAST_MODIFIED} if site.has_tags else {}
        status, body = 200, data
        if wanted and site.has_ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            if int(first) >= len(data):
                self.reply(416, {"Content-Range": f"bytes */{len(data)}"})
                return
            stop = min(int(last) + 1, len(data))
            status, body = 206, data[int(first) : stop]
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{len(data)}"
        headers["Content-Length"] = str(len(body))
        if site.drop_after and len(body) > 1:
            self.reply(status, headers, body[: site.drop_after.pop(0)])
            self.close_connection = True
            return
        self.reply(status, headers, body)


@contextmanager
def serve(
    files: dict[str, bytes], *, context: ssl.SSLContext | None = None, **options: Any
) -> Iterator[Site]:
    """Serve files on a free port of loopback, encrypted where a context is given."""
    site = Site(dict(files), **options)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  (clients that hang up are meant to)
    server.site = site  # type: ignore[attr-defined]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stall(handler: Any, seconds: float) -> None:
    """Promise a body, send none, and keep the connection open for a while."""
    handler.send_response(206)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    time.sleep(seconds)

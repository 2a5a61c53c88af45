"""Start the real viewer on a free port of this machine, in a thread; and small folders for it to show."""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evfr.verbs._view_guard import Guard
from evfr.verbs._view_serve import listen, make_server
from evfr.verbs._view_session import ViewSession
from evfr.verbs.view import create_app


@dataclass(frozen=True)
class Viewer:
    """A running viewer: where it is, its secret, and what it knows."""

    port: int
    token: str
    app: Guard

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """What `evfr view` prints."""
        return f"{self.origin}/?token={self.token}"

    @property
    def session(self) -> ViewSession:
        """What the viewer shows."""
        return self.app.session

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request exactly as said, and return status, headers (lower case) and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask with the token, as the page does."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("GET", target, headers={"X-Evfr-Token": self.token, **more})

    def json(self, target: str) -> Any:
        """Return what an address answers; it must answer well."""
        status, _, body = self.get(target)
        assert status == 200, (target, status, body[:500])
        return json.loads(body)

    def post(self, target: str, data: Any) -> tuple[int, Any]:
        """Post JSON as the page does; return status and JSON."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        headers = {
            "X-Evfr-Token": self.token,
            "Origin": self.origin,
            "Content-Type": "application/json",
            "Sec-Fetch-Site": "same-origin",
        }
        status, _, answer = self.ask("POST", target, body, headers)
        return status, json.loads(answer)


@contextmanager
def running_viewer(
    folder: Path,
    *,
    labels: Path | None = None,
    store: Path | None = None,
    edit: bool = False,
) -> Iterator[Viewer]:
    """Serve a folder until the block ends."""
    token = secrets.token_urlsafe(32)
    with listen(0) as listener:
        port = listener.getsockname()[1]
        app = create_app(folder, token=token, port=port, labels=labels, store=store, edit=edit)
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline and thread.is_alive(), "the viewer does not start"
            time.sleep(0.005)
        try:
            yield Viewer(port, token, app)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the viewer does not end"


def raw(viewer: Viewer, *lines: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Send these very lines, and return what comes until the connection ends."""
    request = "\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1") + body
    with socket.create_connection(("127.0.0.1", viewer.port), timeout=20) as link:
        link.sendall(request)
        found = b""
        while part := link.recv(1 << 16):
            found += part
    head, _, content = found.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return int(first.split()[1]), headers, content


def tree(folder: Path) -> dict[str, str]:
    """Return every name below a folder with its kind, its time of change and a hash of its bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (
            f"{status.st_mode} {status.st_mtime_ns} {hashlib.sha256(content).hexdigest()}"
        )
    return found

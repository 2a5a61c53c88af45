"""What a hostile page, a hostile address or a hostile folder gets from the viewer: nothing.

Over real sockets, byte by byte. Requests that are sent slowly (slow loris) come from this machine alone and are out of
scope; the server still drops idle connections.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evfr.verbs._view_guard import BODY_MOST, cookie_name, cookie_value
from evfr.verbs.select import select
from helpers.view_server import Viewer, raw, running_viewer

SECRET = b"the sentinel that no answer holds"


@pytest.fixture(scope="module")
def place(clips: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a selection named ``picks`` beside files that nobody may see."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "secret.txt").write_bytes(SECRET)
    (folder / "secret.json").write_text(json.dumps({"secret": SECRET.decode()}))
    select(clips / "one.mp4", n=5, out=folder / "picks", store=store, executor="serial", no_report=True)
    (folder / "picks" / "out.txt").symlink_to(folder / "secret.txt")
    (folder / "picks" / "outside").symlink_to(folder)
    return folder


@pytest.fixture(scope="module")
def viewer(place: Path, store: Path) -> Iterator[Viewer]:
    with running_viewer(place / "picks", store=store, edit=True) as found:
        yield found


def host(viewer: Viewer) -> str:
    return f"Host: 127.0.0.1:{viewer.port}"


def token(viewer: Viewer) -> str:
    return f"X-Evfr-Token: {viewer.token}"


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.1.evil:{port}",
        "127.0.0.1:1",
        "127.0.0.1",
        "localhost",
        "LOCALHOST:{port}",
        "localhost.:{port}",
        "127.0.0.1:{port}@evil.example",
        "evil.example#127.0.0.1:{port}",
        "[::1]:{port}",
        "0.0.0.0:{port}",
        "127.1:{port}",
        "2130706433:{port}",
        "127.0.0.1:0{port}",
        "127.0.0.1:{port}, evil.example",
        "",
    ],
)
def test_another_host_is_refused_however_good_the_token(viewer: Viewer, name: str) -> None:
    status, _, body = raw(
        viewer, "GET /api/state HTTP/1.1", f"Host: {name.format(port=viewer.port)}", token(viewer)
    )
    assert status in (400, 421), body
    assert viewer.token.encode() not in body


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        (["GET /api/state HTTP/1.1"], (400,)),
        (["GET /api/state HTTP/1.0"], (421,)),
        (["GET /api/state HTTP/1.1", "Host: 127.0.0.1:{port}", "Host: evil.example"], (400, 421)),
        (["GET /api/state HTTP/1.0", "Host: 127.0.0.1:{port}", "Host: 127.0.0.1:{port}"], (400, 421)),
        (["GET http://evil.example/api/state HTTP/1.1", "Host: 127.0.0.1:{port}"], (400, 404)),
    ],
)
def test_a_missing_or_doubled_host_is_refused(
    viewer: Viewer, lines: list[str], statuses: tuple[int, ...]
) -> None:
    status, _, body = raw(viewer, *(line.format(port=viewer.port) for line in lines), token(viewer))
    assert status in statuses and b"methods" not in body


def test_localhost_is_this_machine_too(viewer: Viewer) -> None:
    local = f"Host: localhost:{viewer.port}"
    assert raw(viewer, "GET /api/state HTTP/1.1", local, token(viewer))[0] == 200
    origin = f"Origin: http://127.0.0.1:{viewer.port}"
    assert raw(viewer, "GET /api/state HTTP/1.1", local, token(viewer), origin)[0] == 403, "not of this name"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_another_site_is_refused(viewer: Viewer, site: str) -> None:
    lines = ["GET /api/state HTTP/1.1", host(viewer), token(viewer), f"Sec-Fetch-Site: {site}"]
    assert raw(viewer, *lines)[0] == 403
    entry = f"GET /?token={viewer.token} HTTP/1.1"
    assert raw(viewer, entry, host(viewer), f"Sec-Fetch-Site: {site}")[0] == 403


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_origin_is_refused(viewer: Viewer, origin: str, method: str) -> None:
    body = b'{"n":3}' if method == "POST" else b""
    path = "/api/select" if method == "POST" else "/api/state"
    lines = [
        f"{method} {path} HTTP/1.1",
        host(viewer),
        token(viewer),
        f"Origin: {origin.format(port=viewer.port)}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    assert raw(viewer, *lines, body=body)[0] == 403


@pytest.mark.parametrize(
    "pair",
    [
        ("Origin: http://127.0.0.1:{port}", "Origin: http://evil.example"),
        ("Origin: http://127.0.0.1:{port}", "Origin: http://127.0.0.1:{port}"),
        ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"),
        ("X-Evfr-Token: {token}", "X-Evfr-Token: {token}"),
        ("X-Evfr-Token: {token}", "X-Evfr-Token: x"),
    ],
)
def test_a_header_given_twice_is_as_good_as_a_wrong_one(viewer: Viewer, pair: tuple[str, str]) -> None:
    lines = [line.format(port=viewer.port, token=viewer.token) for line in pair]
    own = [] if "Token" in pair[0] else [token(viewer)]
    assert raw(viewer, "GET /api/state HTTP/1.1", host(viewer), *own, lines[0])[0] == 200
    assert raw(viewer, "GET /api/state HTTP/1.1", host(viewer), *own, *lines)[0] == 403


def test_writing_needs_an_origin_the_header_and_json(viewer: Viewer) -> None:
    body = b'{"n":3}'
    good = {
        "X-Evfr-Token": viewer.token,
        "Origin": viewer.origin,
        "Content-Type": "application/json; charset=utf-8",
    }
    assert viewer.ask("POST", "/api/select", body, good)[0] == 200
    cookie = f"{cookie_name(viewer.port)}={cookie_value(viewer.token)}"
    for change, status in (
        ({"Origin": None}, 403),
        ({"X-Evfr-Token": None}, 403),
        ({"X-Evfr-Token": None, "Cookie": cookie}, 403),
        ({"X-Evfr-Token": None, "Cookie": cookie.replace(cookie_value(viewer.token), viewer.token)}, 403),
        ({"X-Evfr-Token": cookie_value(viewer.token)}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": None}, 415),
    ):
        headers = {name: value for name, value in {**good, **change}.items() if value is not None}
        assert viewer.ask("POST", "/api/select", body, headers)[0] == status, change


def test_reading_needs_the_cookie_or_the_header(viewer: Viewer) -> None:
    cookie = f"{cookie_name(viewer.port)}={cookie_value(viewer.token)}"
    for headers, status in (
        ({}, 403),
        ({"X-Evfr-Token": viewer.token}, 200),
        ({"X-Evfr-Token": viewer.token[:-1]}, 403),
        ({"X-Evfr-Token": viewer.token + "x"}, 403),
        ({"X-Evfr-Token": ""}, 403),
        ({"Cookie": f"a=b; {cookie}"}, 200),
        ({"Cookie": f"{cookie}x"}, 403),
        ({"Cookie": cookie.replace(str(viewer.port), "1")}, 403),
        ({"Cookie": f"{cookie_name(viewer.port)}={viewer.token}"}, 403),
        ({"Authorization": f"Bearer {viewer.token}"}, 403),
    ):
        for path in ("/", "/api/state", "/assets/dom.js", "/api/frame/0/0.jpg", "/api/media/0"):
            assert viewer.ask("GET", path, headers=dict(headers))[0] == status, (path, headers)


def test_the_printed_address_sets_a_strict_cookie_and_hides_the_token(viewer: Viewer) -> None:
    status, headers, body = viewer.ask("GET", f"/?token={viewer.token}")
    assert (status, headers["location"], body) == (303, "/", b"")
    name, _, rest = headers["set-cookie"].partition("=")
    value, _, words = rest.partition(";")
    assert name == f"evfr-view-{viewer.port}"
    assert value != viewer.token and viewer.token not in headers["set-cookie"]
    assert {word.strip() for word in words.split(";")} == {"HttpOnly", "SameSite=Strict", "Path=/"}
    for wrong in (
        "",
        "?token=",
        f"?token={viewer.token}x",
        f"?token={viewer.token}&token={viewer.token}",
        f"?Token={viewer.token}",
        "?" + "&".join(["a"] * 1000) + f"&token={viewer.token}",
    ):
        assert viewer.ask("GET", f"/{wrong}")[0] == 403, wrong
    assert viewer.ask("POST", f"/?token={viewer.token}")[0] == 403
    assert viewer.ask("GET", f"/api/state?token={viewer.token}")[0] == 403, "the address opens the page alone"


def test_tokens_are_compared_in_constant_time(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    seen: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(a: Any, b: Any) -> bool:
        seen.append((len(a), len(b)))
        return compare(a, b)

    monkeypatch.setattr("evfr.verbs._view_guard.hmac.compare_digest", watched)
    for given in ("", "x", viewer.token[:-1], viewer.token + "y" * 5000):
        viewer.ask("GET", "/api/state", headers={"X-Evfr-Token": given})
    assert len(seen) >= 4 and set(seen) == {(32, 32)}, "digests of one length, whatever is given"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../../secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/assets/%252e%252e%252fsecret.txt",
        "/assets/..\\..\\secret.txt",
        "/assets/..%5c..%5csecret.txt",
        "/assets/dom.js%00.txt",
        "/assets//etc/passwd",
        "//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/C:%5cWindows%5cwin.ini",
        "/assets/report.html",
        "/assets/template.html",
        "/assets/viewer.html",
        "/assets/",
        "/out.txt",
        "/picks/out.txt",
        "/selection.json",
        "/frames/one.mp4_f000003_p1536.jpg",
        "/api/frame/../../secret.txt",
        "/api/frame/0/..%2f..%2f..%2fsecret.txt",
        "/api/frame/0/../0.jpg",
        "/api/frame/0/%2e%2e%2f0.jpg",
        "/api/frame/0/0.png",
        "/api/frame/0/0.jpg/secret.txt",
        "/api/frame/%2e%2e/0.jpg",
        "/api/video/..",
        "/api/video/%2e%2e",
        "/api/video/0%00",
        "/api/video/outside",
        "/api/video/-0",
        "/api/video/+0",
        "/api/video/0x0",
        "/api/video/00000000000000000000",
        "/api/video/٠",
        "/api/media/..%2fsecret.txt",
        "/api/media/1",
        "/api/media/file:%2f%2f%2fetc%2fpasswd",
        "/api/labels/..%2fsecret.json",
        "/openapi.json",
        "/docs",
        "/favicon.ico",
    ],
)
def test_no_path_leads_out(viewer: Viewer, path: str) -> None:
    line = b"GET " + path.encode("utf-8") + b" HTTP/1.1"
    status, headers, body = raw(viewer, line.decode("latin-1"), host(viewer), token(viewer))
    assert status in (400, 404, 422), body[:200]
    assert SECRET not in body and b"root:" not in body
    if headers["content-type"].startswith("application/json"):
        assert set(json.loads(body)) == {"error"}


@pytest.mark.parametrize(
    "query",
    [
        "/api/frame/0/0.jpg?width=..%2fsecret.txt",
        "/api/frame/0/0.jpg?width=0",
        "/api/frame/0/0.jpg?width=15",
        "/api/frame/0/0.jpg?width=1921",
        "/api/frame/0/0.jpg?width=99999999999999999999",
        "/api/frame/0/0.jpg?width=-16",
        "/api/frame/0/0.jpg?width=1e2",
        "/api/frame/0/0.jpg?width=NaN",
        "/api/frame/0/0.jpg?width=",
        "/api/frame/0/0.jpg?width=%D9%A1%D9%A6",
        "/api/frame/0/-1.jpg",
        "/api/frame/0/60.jpg",
        "/api/frame/0/999999999999999999999999.jpg",
        "/api/frame/0/1.5.jpg",
        "/api/frame/0/one.jpg",
        "/api/videos?offset=-1",
        "/api/videos?limit=0",
        "/api/videos?limit=1001",
        "/api/videos?limit=1%00",
        "/api/neighbours/0/-1",
        "/api/neighbours/0/60",
        "/api/neighbours/0/0?limit=201",
        "/api/map?limit=1",
        "/api/map?limit=50001",
    ],
)
def test_numbers_out_of_range_are_refused(viewer: Viewer, query: str) -> None:
    status, _, body = viewer.get(query)
    assert status == 422, body[:200]
    assert "must be a whole number from" in json.loads(body)["error"]


def test_a_word_that_is_given_twice_is_refused(viewer: Viewer) -> None:
    assert viewer.get("/api/frame/0/0.jpg?width=32&width=64")[0] == 400
    assert viewer.get("/api/frame/0/0.jpg?frame_index=3")[0] == 400
    assert viewer.get("/api/media/0?header:range=bytes=0-1")[0] == 200


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-0,2-3",
        "bytes=" + ",".join(["0-"] * 2000),
        "bytes=-0",
        "bytes=--5",
        "bytes=-1-5",
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=0x0-0x5",
        "bytes=99999999999999999999-",
        "bytes=0-99999999999999999999",
        "bytes=999999999999-",
        "items=0-5",
        "bytes 0-5",
        "bytes=0-5\t, 7-9",
        "bytes=٠-٥",
    ],
)
def test_ranges_that_are_no_single_one_are_refused(viewer: Viewer, wanted: str) -> None:
    lines = [
        "GET /api/media/0 HTTP/1.1",
        host(viewer),
        token(viewer),
        f"Range: {wanted}".encode().decode("latin-1"),
    ]
    status, headers, body = raw(viewer, *lines)
    assert status == 416 and body == b""
    assert headers["content-range"].startswith("bytes */")


def test_two_range_headers_are_refused(viewer: Viewer) -> None:
    lines = ["GET /api/media/0 HTTP/1.1", host(viewer), token(viewer), "Range: bytes=0-1", "Range: bytes=4-5"]
    assert raw(viewer, *lines)[0] == 416


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400),
        (b'{"n":NaN}', 400),
        (b'{"ratio":Infinity}', 400),
        (b'{"ratio":-Infinity}', 400),
        (b'{"n":' + b"9" * 900_000 + b"}", 400),
        (b'{"ratio":1e999999}', 400),
        (b'{"ratio":0.' + b"1" * 900_000 + b"}", 200),
        (b'{"n":1', 400),
        (b"", 400),
        (b"\xff\xfe{}", 400),
        (b'{"n":3,"n":4}', 200),
        (b'{"__proto__":{"n":3}}', 422),
        (b'{"method":"\\ud800"}', 422),
        (b'{"method":"\\u0000/etc/passwd"}', 422),
        (b'{"options":{"threshold":"' + b"9" * 100_000 + b'"}}', 422),
    ],
)
def test_bodies_that_would_exhaust_a_reader(viewer: Viewer, body: bytes, status: int) -> None:
    found, answer = viewer.post("/api/select", body)
    assert found == status, answer
    assert viewer.json("/api/videos"), "the viewer is still there"


def test_a_body_larger_than_allowed_is_refused_unread(viewer: Viewer) -> None:
    big = b'{"n":3,"options":{"a":"' + b"x" * BODY_MOST + b'"}}'
    lines = [
        "POST /api/select HTTP/1.1",
        host(viewer),
        token(viewer),
        f"Origin: {viewer.origin}",
        "Content-Type: application/json",
    ]
    claimed = raw(viewer, *lines, f"Content-Length: {10**17}")
    assert claimed[0] == 413, "before a byte of it came"
    assert viewer.post("/api/select", big)[0] == 413
    chunked = f"{len(big):x}".encode() + b"\r\n" + big + b"\r\n0\r\n\r\n"
    status, _, answer = raw(viewer, *lines, "Transfer-Encoding: chunked", body=chunked)
    assert status == 413 and b"at most 1048576 bytes" in answer, "it said no length"
    assert raw(viewer, *lines, "Content-Length: -1")[0] in (400, 413)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_refused(viewer: Viewer, method: str) -> None:
    target = f"127.0.0.1:{viewer.port}" if method == "CONNECT" else "/api/state"
    assert raw(viewer, f"{method} {target} HTTP/1.1", host(viewer), token(viewer))[0] in (400, 404, 405)


def test_an_address_takes_its_own_method_alone(viewer: Viewer) -> None:
    assert viewer.post("/api/state", {})[0] == 405
    assert viewer.get("/api/select")[0] == 405
    assert viewer.ask("HEAD", "/api/state", headers={"X-Evfr-Token": viewer.token})[0] == 200


def test_a_websocket_is_not_opened(viewer: Viewer) -> None:
    lines = ["GET /api/state HTTP/1.1", host(viewer), token(viewer), "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    request = "\r\n".join((*lines, "Connection: Upgrade, close", "", "")).encode()
    with socket.create_connection(("127.0.0.1", viewer.port), timeout=20) as link:
        link.sendall(request)
        assert b" 101 " not in link.recv(1 << 12).split(b"\r\n")[0]


def test_every_answer_carries_the_headers_that_bind_a_browser(viewer: Viewer) -> None:
    answers = [
        viewer.get("/"),
        viewer.get("/api/state"),
        viewer.get("/api/frame/0/0.jpg?width=32"),
        viewer.get("/api/media/0"),
        viewer.get("/assets/dom.js"),
        viewer.get("/nowhere"),
        viewer.get("/api/video/9"),
        viewer.get("/api/media/0", Range="bytes=9-1"),
        viewer.ask("GET", "/"),
        viewer.ask("GET", f"/?token={viewer.token}"),
        viewer.ask("GET", "/", headers={"Host": "evil.example"}),
        viewer.ask("POST", "/api/save", b"{}", {"Content-Type": "text/plain"}),
    ]
    assert {status for status, _, _ in answers} >= {200, 303, 403, 404, 416, 421}
    for status, headers, _ in answers:
        policy = headers["content-security-policy"]
        for rule in (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "media-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ):
            assert rule in policy.split("; "), (status, rule)
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_a_crash_of_ours_is_one_sentence_with_the_same_headers(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("/home/user/private")

    monkeypatch.setattr(viewer.session, "facts", crash)
    status, headers, body = viewer.get("/api/videos")
    assert status == 500 and "content-security-policy" in headers
    assert json.loads(body) == {"error": "internal error (RuntimeError); see the terminal"}


def test_a_connection_that_is_cut_leaves_the_viewer_well(viewer: Viewer) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", viewer.port), timeout=20) as link:
            link.sendall(f"GET /api/media/0 HTTP/1.1\r\n{host(viewer)}\r\n{token(viewer)}\r\n\r\n".encode())
            link.recv(64)
            # A reset, not an orderly end.
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert viewer.json("/api/videos")
    open_files = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    readers = len(viewer.session.frames._readers)
    assert sum(path.endswith("/one.mp4") for path in open_files) <= readers

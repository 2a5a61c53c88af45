"""A store in Google Cloud Storage, played by a few lines of its JSON interface on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pytest

from evfr._core import _bucket, _mirror, cloud
from evfr._core.remote_store import store_root
from evfr._core.store import Store
from evfr.errors import StoreError

pytest.importorskip("gcsfs")
TABLE = pa.table({"flow": [0.5, 0.25, 0.0]})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def described(self, name: str) -> dict[str, str]:
        return {"name": name, "size": str(len(self.files[name])), "generation": "1", "bucket": "footage"}

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        name = unquote(parts.path.rpartition("/o/")[2])
        if parts.path == "/storage/v1/b/footage/o":
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            names = [name for name in sorted(self.files) if name.startswith(query.get("prefix", ""))]
            at = int(query.get("pageToken", "0"))
            more = {"nextPageToken": str(at + 2)} if at + 2 < len(names) else {}
            found = {"items": [self.described(name) for name in names[at : at + 2]], **more}
            self.answer(200, json.dumps(found).encode())
        elif name not in self.files:
            self.answer(404, b'{"error": {"code": 404, "message": "none"}}')
        elif parts.path.startswith("/download"):
            self.answer(200, self.files[name])
        else:
            self.answer(200, json.dumps(self.described(name)).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlsplit(self.path)
        assert parts.path == "/upload/storage/v1/b/footage/o"
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        assert query["uploadType"] == "media"
        self.files[query["name"]] = body
        self.answer(200, json.dumps(self.described(query["name"])).encode())

    def do_DELETE(self) -> None:
        name = unquote(urlsplit(self.path).path.rpartition("/o/")[2])
        self.answer(204 if self.files.pop(name, None) is not None else 404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    import fsspec

    made: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"files": made}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "one"))
    monkeypatch.setenv("EVFR_ALLOW_PRIVATE", "1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr(_bucket, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    cloud.connected.cache_clear()
    _mirror.forget_listings()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()
    cloud.connected.cache_clear()
    _mirror.forget_listings()


def test_the_same_store(files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = store_root("gs://footage/runs/a", ["gs://footage"])
    one, local = Store(root), Store(tmp_path / "local")
    keys = [one.key(f"6c{number}", "signals", {"width": 320}) for number in range(5)]
    for key in keys:
        assert not one.has(key)
        for store in (one, local):
            store.write(key, TABLE, {"video_id": "a.mp4"})
    assert files == {f"runs/a/{key.file_name}": local.path(key).read_bytes() for key in keys}
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "two"))
    _mirror.forget_listings()
    two = Store(root)
    assert two.missing(keys) == []
    assert two.read(keys[0]).equals(TABLE)
    assert len(list(two.files())) == 5
    files[f"runs/a/{keys[1].file_name}"] = b"nonsense"
    assert sorted(finding.status for finding in two.verify(repair=True)) == [
        "corrupt",
        "ok",
        "ok",
        "ok",
        "ok",
    ]
    assert sorted(files) == sorted(f"runs/a/{key.file_name}" for key in keys if key != keys[1])
    with pytest.raises(StoreError, match="is not there"):
        two.read(keys[1])

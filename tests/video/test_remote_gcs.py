"""Objects of Google Cloud Storage, played by a few lines of its JSON interface on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from evfr._core import cloud
from evfr.errors import ProblemCode, VideoError
from evfr.video import _remote as remote_module
from evfr.video import content_hash, remote_file, resolve_inputs
from helpers.clips import moving_square, write_clip
from helpers.web import Site, serve

pytest.importorskip("gcsfs")
OBJECTS = "/storage/v1/b/footage/o"


def answer(site: Site, generations: dict[str, int], handler: Any) -> bool:
    parts = urlsplit(handler.path)
    query = parse_qs(parts.query)

    def metadata(name: str) -> dict[str, str]:
        return {"name": name, "size": str(len(site.files[name])), "generation": str(generations[name])}

    if parts.path == OBJECTS:
        names = [name for name in sorted(site.files) if name.startswith(query.get("prefix", [""])[0])]
        at = int(query.get("pageToken", ["0"])[0])
        more = {"nextPageToken": str(at + 2)} if at + 2 < len(names) else {}
        handler.reply(
            200, {}, json.dumps({"items": [metadata(n) for n in names[at : at + 2]], **more}).encode()
        )
        return True
    name = unquote(parts.path.rpartition("/")[2])
    if name not in site.files:
        handler.reply(404, {}, b'{"error": {"code": 404, "message": "none"}}')
    elif parts.path.startswith("/download"):
        if query["generation"] != [str(generations[name])]:
            handler.reply(404, {}, b"No such object")
            return True
        first, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
        handler.reply(206, {}, site.files[name][int(first) : int(last) + 1])
    else:
        handler.reply(200, {}, json.dumps(metadata(name)).encode())
    return True


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "remote"))
    monkeypatch.setenv("EVFR_ALLOW_PRIVATE", "1")
    monkeypatch.setattr(remote_module, "BACKOFF_SECONDS", 0.001)
    data = write_clip(tmp_path / "clip.mp4", moving_square(12)).read_bytes()
    generations = {f"f/{number}.mp4": 1 for number in (10, 2, 3)}
    with serve(dict.fromkeys(generations, data)) as made:
        made.fault = lambda handler, _: answer(made, generations, handler)
        made.generations = generations  # type: ignore[attr-defined]
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", made.url)
        import fsspec

        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        cloud.connected.cache_clear()
        yield made
        cloud.connected.cache_clear()


def test_lists_and_reads(site: Site) -> None:
    sources = resolve_inputs(["gs://footage/f/"], allow_remote=["gs://footage/f"])
    assert [source.video_id for source in sources] == ["2.mp4", "3.mp4", "10.mp4"]
    first = sources[0].path
    assert content_hash(first) == content_hash(
        remote_file("gs://footage/f/3.mp4", allow_remote=["gs://footage"])
    )


def test_a_new_generation_is_an_error(site: Site) -> None:
    source = remote_file("gs://footage/f/2.mp4", allow_remote=["gs://footage"])
    source.identity()
    site.generations["f/2.mp4"] = 2  # type: ignore[attr-defined]
    with pytest.raises(VideoError, match="changed while it was read") as caught:
        content_hash(source)
    assert caught.value.problem.code == ProblemCode.E_CHANGED


def test_what_is_not_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VideoError, match="no such remote file"):
        content_hash(remote_file("gs://footage/f/9.mp4", allow_remote=["gs://footage"]))
    monkeypatch.delenv("EVFR_ALLOW_PRIVATE")
    with pytest.raises(VideoError, match="private address"):
        content_hash(remote_file("gs://footage/f/2.mp4", allow_remote=["gs://footage"]))
